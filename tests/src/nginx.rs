//! A real web server, on its own port, in a namespace, apart from any other nginx of the host.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::{Namespace, Program, until};

/// nginx that serves the files of a directory.
pub struct Nginx {
    dir: TempDir,
    _server: Program,
}

impl Nginx {
    /// Starts it on a port of every address of the namespace, and waits until it answers.
    #[must_use]
    pub fn start(namespace: &Namespace, port: u16) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().display();
        let config = format!(
            "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log;\n\
             events {{ }}\n\
             http {{\n\
               log_format bytes '$remote_port $request_length $bytes_sent';\n\
               access_log {path}/access.log bytes; keepalive_timeout 0; sendfile on;\n\
               client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;\n\
               uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;\n\
               server {{ listen {port}; listen [::]:{port}; root {path}/files; }}\n\
             }}\n"
        );
        fs::create_dir(dir.path().join("files")).expect("a directory");
        let file = dir.path().join("nginx.conf");
        fs::write(&file, config).expect("a file");
        let mut command = namespace.command("nginx");
        command
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(dir.path().join("error.log"));
        let mut server = Program::start(&mut command);
        until("nginx to listen", || {
            assert!(server.ended().is_none(), "nginx ended: {}", server.stderr());
            namespace
                .run("ss -Hltn")
                .contains(&format!(":{port} "))
                .then_some(())
        });
        Self {
            dir,
            _server: server,
        }
    }

    /// Port of the client, bytes of the request and bytes of the response of each request so far.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn requests(&self) -> Vec<[u64; 3]> {
        let text = fs::read_to_string(self.dir.path().join("access.log")).expect("a log");
        let numbers = |line: &str| {
            let mut numbers = line.split(' ').map(|word| word.parse().expect("a number"));
            [(); 3].map(|()| numbers.next().expect("three numbers"))
        };
        text.lines().map(numbers).collect()
    }

    /// A file that it serves as /NAME.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn serve(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.dir.path().join("files").join(name);
        fs::write(&path, content).expect("room for the file");
        path
    }
}
