//! A way to the server that can be cut.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

/// Socket that connects each client to its current destination.
pub struct Relay {
    pub socket: PathBuf,
    state: Arc<Mutex<State>>,
    _directory: TempDir,
}

struct State {
    to: PathBuf,
    open: Vec<UnixStream>,
    accepted: usize,
}

impl Relay {
    pub fn to(server: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("relay.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let state = Arc::new(Mutex::new(State {
            to: server.to_owned(),
            open: Vec::new(),
            accepted: 0,
        }));
        let shared = Arc::clone(&state);
        // Ends with the process: a test has one of them.
        thread::spawn(move || {
            for client in listener.incoming() {
                shared.lock().unwrap().join(client.unwrap());
            }
        });
        Self {
            socket,
            state,
            _directory: directory,
        }
    }

    /// Cuts every connection in both directions.
    pub fn cut(&self) {
        for stream in self.state.lock().unwrap().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Leads elsewhere from now on.
    pub fn turn(&self, server: &Path) {
        self.state.lock().unwrap().to = server.to_owned();
    }

    /// Returns the number of connections accepted.
    pub fn accepted(&self) -> usize {
        self.state.lock().unwrap().accepted
    }
}

impl State {
    fn join(&mut self, client: UnixStream) {
        self.accepted += 1;
        // A server that is not there: the client finds its connection closed.
        let Ok(server) = UnixStream::connect(&self.to) else {
            return;
        };
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        self.open.extend([client, server]);
    }
}
