//! NATS server of a test, and certificates for it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{DEADLINE, Namespace, Program, namespace, until};

/// Running nats-server with JetStream on a port of loopback. Dropping it kills it.
pub struct NatsServer {
    // Dropped first: the directory must outlive the process.
    program: Option<Program>,
    directory: TempDir,
    address: String,
    /// Namespace that it runs in; `None`: that of the test.
    namespace: Option<PathBuf>,
}

impl NatsServer {
    /// Starts a server without users.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(
            "listen: \"0.0.0.0:4222\"\njetstream { store_dir: \"/var/lib/nats\" }\n",
            None,
        )
    }

    /// Starts a server with a configuration. Its address, and the directories `/var/lib/nats` and `/etc/nats`, are replaced.
    ///
    /// # Panics
    /// When it doesn't start.
    #[must_use]
    pub fn start_with(config: &str, certificates: Option<&Certificates>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let address = format!("127.0.0.1:{port}");
        let mut config = config.replace("0.0.0.0:4222", &address);
        if let Some(certificates) = certificates {
            let path = certificates.0.path().display().to_string();
            config = config.replace("/etc/nats", &path);
        }
        Self::launch(directory, &config, address, None)
    }

    /// Starts a server without users in a namespace, at an address of it; its monitor is at port 8222 of loopback.
    #[must_use]
    pub fn start_in(namespace: &Namespace, address: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = format!(
            "listen: \"{address}\"\nhttp: \"127.0.0.1:8222\"\njetstream {{ store_dir: \"/var/lib/nats\" }}\n"
        );
        Self::launch(
            directory,
            &config,
            address.to_owned(),
            Some(namespace.path()),
        )
    }

    fn launch(
        directory: TempDir,
        config: &str,
        address: String,
        namespace: Option<PathBuf>,
    ) -> Self {
        let store = directory.path().join("store").display().to_string();
        let config = config.replace("/var/lib/nats", &store);
        fs::write(directory.path().join("nats.conf"), config).expect("room for the configuration");
        let mut server = Self {
            program: None,
            directory,
            address,
            namespace,
        };
        server.restart();
        server
    }

    /// Starts it again after [`NatsServer::kill`], with the data of its store.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn restart(&mut self) {
        let mut command = Command::new("nats-server");
        if let Some(namespace) = &self.namespace {
            command = Command::new("nsenter");
            let network = format!("--net={}", namespace.display());
            command.args([&network, "--", "nats-server"]);
        }
        command
            .arg("-c")
            .arg(self.directory.path().join("nats.conf"));
        let mut program = Program::start(&mut command);
        until("nats-server to listen", || {
            assert!(program.ended().is_none(), "{}", program.stderr());
            program.stderr().contains("Server is ready").then_some(())
        });
        self.program = Some(program);
    }

    /// Ends it by SIGKILL.
    pub fn kill(&mut self) {
        if let Some(program) = self.program.take() {
            program.signal(Signal::KILL);
            program.finish();
        }
    }

    /// Returns its address, as clients name it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Returns the messages of a stream, which are JSON, in their order; `None` if there is no such stream.
    ///
    /// # Panics
    /// When the server doesn't answer, or doesn't answer by its protocol.
    #[must_use]
    pub fn messages(&self, stream: &str) -> Option<Vec<Value>> {
        let connect = || TcpStream::connect(&self.address).expect("the server listens");
        let socket = match &self.namespace {
            Some(namespace) => namespace::enter(namespace, connect),
            None => connect(),
        };
        let mut session = Session::start(socket);
        let info = session.ask(&format!("STREAM.INFO.{stream}"), "");
        let state = info.get("state")?;
        let (first, last) = (state["first_seq"].as_u64()?, state["last_seq"].as_u64()?);
        let messages = (first..=last).filter_map(|seq| {
            let request = format!("{{\"seq\":{seq}}}");
            let reply = session.ask(&format!("STREAM.MSG.GET.{stream}"), &request);
            // A removed message is an error.
            let data = BASE64.decode(reply["message"]["data"].as_str()?);
            let data = data.expect("messages are encoded by base64");
            Some(serde_json::from_slice(&data).expect("messages are JSON"))
        });
        Some(messages.collect())
    }

    /// Returns its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.program
            .as_ref()
            .map(Program::stderr)
            .unwrap_or_default()
    }
}

/// Requests to JetStream, in the protocol of the server.
struct Session(BufReader<TcpStream>);

impl Session {
    fn start(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).expect("not zero");
        let mut session = Self(BufReader::new(socket));
        session.send("CONNECT {\"verbose\":false}\r\nSUB reply 1\r\n");
        session
    }

    fn send(&mut self, text: &str) {
        let sent = self.0.get_mut().write_all(text.as_bytes());
        sent.expect("the server reads");
    }

    fn ask(&mut self, subject: &str, payload: &str) -> Value {
        let len = payload.len();
        self.send(&format!(
            "PUB $JS.API.{subject} reply {len}\r\n{payload}\r\n"
        ));
        loop {
            let mut line = String::new();
            let len = self.0.read_line(&mut line).expect("the server answers");
            assert!(len > 0, "the server closed the connection");
            if line.starts_with("PING") {
                self.send("PONG\r\n");
            }
            // MSG subject id length; others are greetings.
            let Some(words) = line.strip_prefix("MSG ") else {
                continue;
            };
            let len: Option<usize> = words
                .split_whitespace()
                .last()
                .and_then(|len| len.parse().ok());
            let mut payload = vec![0; len.expect("a length") + 2];
            self.0.read_exact(&mut payload).expect("a payload");
            return serde_json::from_slice(&payload).expect("replies are JSON");
        }
    }
}

/// Certificates of an authority, of a server at 127.0.0.1, and of clients.
pub struct Certificates(TempDir);

impl Certificates {
    /// Makes them by openssl, for clients with these names.
    ///
    /// # Panics
    /// When openssl fails.
    #[must_use]
    pub fn new(clients: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let run = |line: &str| {
            let mut command = Command::new("openssl");
            command.current_dir(&directory).args(line.split(' '));
            Program::run(&mut command);
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        run(&format!(
            "req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"
        ));
        for name in clients.iter().chain(&["server"]) {
            let address = "-addext subjectAltName=IP:127.0.0.1,DNS:localhost";
            let address = if *name == "server" {
                address
            } else {
                "-addext keyUsage=digitalSignature"
            };
            run(&format!(
                "req {key} -subj /CN={name} {address} -keyout {name}.key -out {name}.csr"
            ));
            let authority = "-CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy";
            run(&format!(
                "x509 -req -in {name}.csr {authority} -days 2 -out {name}.pem"
            ));
        }
        Self(directory)
    }

    /// Returns the path of a file: `ca.pem`, `NAME.pem` or `NAME.key`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(self.0.path()).join(name)
    }
}
