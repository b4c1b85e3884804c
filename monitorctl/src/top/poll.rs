//! Looks at the daemon on a thread of its own: the screen obeys its keys while an answer takes its time.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use monitor_client::types::{Socket, SocketsParams, Stats};
use monitor_client::{Client, Error};

use super::cpu;
use crate::failure::Failure;
use crate::sockets::pages;

/// What there was at one time.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// None: at no time yet.
    pub at: Option<Instant>,
    pub stats: Stats,
    pub sockets: Vec<Socket>,
    /// Each worker's CPU time so far in seconds, if the daemon's threads can be seen.
    pub cpu: Vec<Option<f64>>,
}

/// Where samples come from.
pub struct Source {
    socket: PathBuf,
    filter: Option<String>,
    client: Option<(Client, u32)>,
}

impl Source {
    pub fn connect(socket: &Path, filter: Option<String>) -> Result<Self, Failure> {
        let client = Some(connect(socket)?);
        Ok(Self {
            socket: socket.to_path_buf(),
            filter,
            client,
        })
    }

    /// One sample. After a failure it connects anew: a daemon may be started again.
    pub fn look(&mut self) -> Result<Sample, Failure> {
        let (mut client, pid) = match self.client.take() {
            Some(client) => client,
            None => connect(&self.socket)?,
        };
        let sample = sample(&mut client, pid, self.filter.as_ref())?;
        self.client = Some((client, pid));
        Ok(sample)
    }
}

fn connect(socket: &Path) -> Result<(Client, u32), Error> {
    let mut client = Client::connect(socket)?;
    let hello = client.hello(concat!("monitorctl ", env!("CARGO_PKG_VERSION"), " top"))?;
    Ok((client, hello.pid))
}

fn sample(client: &mut Client, pid: u32, filter: Option<&String>) -> Result<Sample, Failure> {
    let stats = client.stats()?;
    let cpu = (0..stats.capture.workers)
        .map(|worker| cpu::of_worker(pid, worker))
        .collect();
    let mut sockets = Vec::new();
    let at = Some(Instant::now());
    let params = SocketsParams {
        filter: filter.cloned(),
        ..SocketsParams::default()
    };
    pages(client, params, u64::MAX, |page| {
        sockets.append(page);
        Ok(())
    })?;
    Ok(Sample {
        at,
        stats,
        sockets,
        cpu,
    })
}

/// The thread that looks when it is told to.
pub struct Poller {
    asks: Sender<()>,
    answers: Receiver<Result<Sample, Failure>>,
}

impl Poller {
    /// The thread ends when this is dropped and its last look is done; nobody waits for it.
    pub fn start(mut source: Source) -> Self {
        let (asks, asked) = channel();
        let (sender, answers) = channel();
        thread::spawn(move || while asked.recv().is_ok() && sender.send(source.look()).is_ok() {});
        Self { asks, answers }
    }

    pub fn ask(&self) {
        // The thread ends only when this is dropped.
        let _ = self.asks.send(());
    }

    pub fn answer(&self) -> Option<Result<Sample, Failure>> {
        self.answers.try_recv().ok()
    }
}
