//! TLS server: `openssl s_server`, with a certificate of its own.

use std::process::Command;

use tempfile::TempDir;

use crate::{Namespace, Program, until};

/// Running TLS server for `shop.example` on a port of a namespace. Dropping it kills it.
pub struct TlsServer {
    // Dropped first: the directory must outlive the process.
    _program: Program,
    _directory: TempDir,
}

impl TlsServer {
    /// Starts it with further options of `s_server`, and waits until it listens.
    ///
    /// # Panics
    /// When openssl fails.
    #[must_use]
    pub fn start(namespace: &Namespace, port: u16, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (key, certificate) = (
            directory.path().join("key.pem"),
            directory.path().join("certificate.pem"),
        );
        let mut make = Command::new("openssl");
        let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=shop.example";
        make.args(line.split(' ')).arg("-keyout").arg(&key);
        Program::run(make.arg("-out").arg(&certificate));
        let mut serve = namespace.command("openssl");
        serve.args(["s_server", "-quiet", "-accept", &port.to_string(), "-key"]);
        serve.arg(&key).arg("-cert").arg(&certificate).args(options);
        let program = Program::start(&mut serve);
        let address = format!(":{port} ");
        until("openssl to listen", || {
            namespace.run("ss -Hltn").contains(&address).then_some(())
        });
        Self {
            _program: program,
            _directory: directory,
        }
    }
}
