//! NATS server of a test, and certificates for it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{DEADLINE, Namespace, Program, namespace, until};

/// Settings of a server without users. Its address, and directories, are replaced.
const OPEN: &str = "listen: \"0.0.0.0:4222\"\njetstream { store_dir: \"/var/lib/nats\" }\n";

/// Running nats-server with JetStream. Dropping it kills it.
pub struct NatsServer {
    // Dropped first: the directory must outlive the process.
    program: Option<Program>,
    directory: TempDir,
    address: String,
    /// Namespace that it runs in; `None`: that of the test.
    namespace: Option<PathBuf>,
    certificates: Option<Certificates>,
}

impl NatsServer {
    /// Starts a server without users on a port of loopback.
    #[must_use]
    pub fn start() -> Self {
        Self::launch(OPEN, &loopback(), None, None)
    }

    /// Starts a server without users in a namespace, at an address of it.
    #[must_use]
    pub fn start_in(namespace: &Namespace, address: &str) -> Self {
        Self::launch(OPEN, address, Some(namespace), None)
    }

    /// Starts a server with a configuration on a port of loopback. The server's address, and the directories `/var/lib/nats`
    /// and `/etc/nats`, are replaced.
    #[must_use]
    pub fn start_with(config: &str, certificates: Option<Certificates>) -> Self {
        Self::launch(config, &loopback(), None, certificates)
    }

    /// [`NatsServer::start_with`] in a namespace, at an address of it.
    #[must_use]
    pub fn start_in_with(
        namespace: &Namespace,
        address: &str,
        config: &str,
        certificates: Certificates,
    ) -> Self {
        Self::launch(config, address, Some(namespace), Some(certificates))
    }

    fn launch(
        config: &str,
        address: &str,
        namespace: Option<&Namespace>,
        certificates: Option<Certificates>,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = directory.path().join("store").display().to_string();
        let mut config = config
            .replace("0.0.0.0:4222", address)
            .replace("/var/lib/nats", &store);
        if let Some(certificates) = &certificates {
            let path = certificates.0.path().display().to_string();
            config = config.replace("/etc/nats", &path);
        }
        fs::write(directory.path().join("nats.conf"), config).expect("room for the configuration");
        let mut server = Self {
            program: None,
            directory,
            address: address.to_owned(),
            namespace: namespace.map(Namespace::path),
            certificates,
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
        let scheme = match self.certificates {
            Some(_) => "tls",
            None => "nats",
        };
        format!("{scheme}://{}", self.address)
    }

    /// Returns the settings with which the owner of a certificate connects: `ca`, `cert` and `key`, each with its file.
    /// There are none without TLS.
    #[must_use]
    pub fn settings(&self, name: &str) -> Vec<(&'static str, PathBuf)> {
        let Some(certificates) = &self.certificates else {
            return Vec::new();
        };
        let files = [
            ("ca", "ca.pem".to_owned()),
            ("cert", format!("{name}.pem")),
            ("key", format!("{name}.key")),
        ];
        let directory = certificates.0.path();
        files
            .map(|(setting, file)| (setting, directory.join(file)))
            .into()
    }

    /// Returns the messages of a stream, which are JSON, in their order; `None` if there is no such stream. The server has
    /// no users.
    ///
    /// # Panics
    /// When the server doesn't answer, or doesn't answer by its protocol.
    #[must_use]
    pub fn messages(&self, stream: &str) -> Option<Vec<Value>> {
        let mut client = NatsClient::connect(self);
        let info = client.ask(&format!("STREAM.INFO.{stream}"), "");
        let state = info.get("state")?;
        let (first, last) = (state["first_seq"].as_u64()?, state["last_seq"].as_u64()?);
        let messages = (first..=last).filter_map(|seq| {
            let request = format!("{{\"seq\":{seq}}}");
            let reply = client.ask(&format!("STREAM.MSG.GET.{stream}"), &request);
            // A removed message is an error.
            let data = BASE64.decode(reply["message"]["data"].as_str()?);
            let data = data.expect("messages are encoded by base64");
            Some(serde_json::from_slice(&data).expect("messages are JSON"))
        });
        Some(messages.collect())
    }

    /// Returns the number of messages of a stream; `None` if there is no such stream. The server has no users.
    ///
    /// # Panics
    /// When the server doesn't answer, or doesn't answer by its protocol.
    #[must_use]
    pub fn count(&self, stream: &str) -> Option<u64> {
        let info = NatsClient::connect(self).ask(&format!("STREAM.INFO.{stream}"), "");
        info.get("state")?["messages"].as_u64()
    }

    /// Returns its process id.
    ///
    /// # Panics
    /// When it was killed.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program.as_ref().expect("it runs").pid()
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

/// Client of the server's protocol, without a library: what it measures is the server and those that reply.
pub struct NatsClient(BufReader<TcpStream>);

impl NatsClient {
    /// Connects to a server.
    ///
    /// # Panics
    /// When it doesn't listen.
    #[must_use]
    pub fn connect(server: &NatsServer) -> Self {
        let connect = || TcpStream::connect(&server.address).expect("the server listens");
        let socket = match &server.namespace {
            Some(namespace) => namespace::enter(namespace, connect),
            None => connect(),
        };
        socket.set_nodelay(true).expect("a socket of TCP");
        socket.set_read_timeout(Some(DEADLINE)).expect("not zero");
        let mut client = Self(BufReader::new(socket));
        client.send("CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB reply 1\r\n");
        client
    }

    fn send(&mut self, text: &str) {
        let sent = self.0.get_mut().write_all(text.as_bytes());
        sent.expect("the server reads");
    }

    /// Sends a request, and returns the payload of its reply, without headers.
    ///
    /// # Panics
    /// When there is no reply, or it isn't one of the protocol.
    pub fn request(&mut self, subject: &str, payload: &str) -> Vec<u8> {
        let len = payload.len();
        self.send(&format!("PUB {subject} reply {len}\r\n{payload}\r\n"));
        loop {
            let mut line = String::new();
            let len = self.0.read_line(&mut line).expect("the server answers");
            assert!(len > 0, "the server closed the connection");
            if line.starts_with("PING") {
                self.send("PONG\r\n");
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |word: &str| word.parse::<usize>().expect("a length");
            // MSG subject id length; HMSG subject id length-of-headers length; others are greetings.
            let (headers, len) = match words[..] {
                ["MSG", .., len] => (0, number(len)),
                ["HMSG", .., headers, len] => (number(headers), number(len)),
                _ => continue,
            };
            let mut message = vec![0; len + 2];
            self.0.read_exact(&mut message).expect("a payload");
            message.truncate(len);
            return message.split_off(headers);
        }
    }

    /// Sends a request to JetStream.
    fn ask(&mut self, subject: &str, payload: &str) -> Value {
        let reply = self.request(&format!("$JS.API.{subject}"), payload);
        serde_json::from_slice(&reply).expect("replies are JSON")
    }
}

/// Returns a free address of loopback.
fn loopback() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

/// Certificates of an authority, of a server, and of clients.
pub struct Certificates(TempDir);

impl Certificates {
    /// Makes them by openssl, for a server at an IP address, and for clients with these names.
    ///
    /// # Panics
    /// When openssl fails.
    #[must_use]
    pub fn new(server: &str, clients: &[&str]) -> Self {
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
            let extension = if *name == "server" {
                format!("subjectAltName=IP:{server}")
            } else {
                "keyUsage=digitalSignature".to_owned()
            };
            run(&format!(
                "req {key} -subj /CN={name} -addext {extension} -keyout {name}.key -out {name}.csr"
            ));
            let authority = "-CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy";
            run(&format!(
                "x509 -req -in {name}.csr {authority} -days 2 -out {name}.pem"
            ));
        }
        Self(directory)
    }
}
