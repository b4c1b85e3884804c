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

    /// Returns the number of messages of a stream; `None` if there is no such stream.
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
