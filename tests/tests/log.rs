//! The log of connections: real servers and clients, and all that happens to a log in months.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use monitor_tests::wiregen::{Capture, End, Flow, Layers, flags};
use monitor_tests::{
    Daemon, Namespace, Network, Nginx, Pair, Program, inject, monitorctl, needs, until, within,
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const SETTINGS: &str =
    "[capture]\nmode = 'tap'\ninterfaces = ['veth']\nworkers = 2\n[store]\nmemory = '384MiB'\n";
/// Time for thousands of connections on a loaded machine.
const LONG: Duration = Duration::from_secs(120);

/// A running `monitorctl log` with its directory.
struct Log {
    dir: TempDir,
    program: Option<Program>,
    socket: PathBuf,
    options: Vec<&'static str>,
}

impl Log {
    fn start(daemon: &Daemon, options: &[&'static str]) -> Self {
        let mut log = Self::new(daemon, options);
        log.run();
        log
    }

    fn new(daemon: &Daemon, options: &[&'static str]) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            program: None,
            socket: daemon.socket(),
            options: options.to_vec(),
        }
    }

    fn run(&mut self) {
        let mut command = Command::new(monitorctl());
        command.arg("--socket").arg(&self.socket);
        command.args(["log", "-o"]).arg(self.path());
        self.program = Some(Program::start(command.args(&self.options)));
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("log.json")
    }

    fn signal(&self, signal: Signal) {
        self.program.as_ref().unwrap().signal(signal);
    }

    /// Ends it by SIGKILL, and starts it again.
    fn kill_and_run(&mut self) {
        self.signal(Signal::KILL);
        let killed = self.program.take().unwrap().finish();
        assert!(killed.killed_by(Signal::KILL), "{}", killed.stderr);
        self.run();
    }

    /// Ends it by SIGTERM, and returns its standard error.
    fn stop(&mut self) -> String {
        self.signal(Signal::TERM);
        let stopped = self.program.take().unwrap().finish();
        assert!(stopped.status.success(), "{}", stopped.stderr);
        stopped.stderr
    }

    fn lines(&self) -> usize {
        let file = fs::read(self.path()).unwrap_or_default();
        file.iter().filter(|&&byte| byte == b'\n').count()
    }

    /// Number of lines in all files: until a rotation is noticed, the old file grows.
    fn all_lines(&self) -> usize {
        let files = fs::read_dir(self.dir.path()).unwrap().flatten();
        let text = files.map(|file| fs::read(file.path()).unwrap_or_default());
        text.map(|text| text.iter().filter(|&&byte| byte == b'\n').count())
            .sum()
    }

    /// Moves the file away, as logrotate does.
    fn rotate(&self, name: &str) {
        fs::rename(self.path(), self.dir.path().join(name)).unwrap();
    }

    /// Returns the records of the files, and asserts that each is there once.
    fn records(&self, names: &[&str]) -> Vec<Value> {
        // One may not have been created yet.
        let read = |name: &&str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        let text: String = names.iter().map(read).collect();
        let records: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let mut keys = BTreeSet::new();
        for record in &records {
            let key = (record["sockid"].as_u64().unwrap(), record["part"].as_u64());
            assert!(keys.insert(key), "twice: {record}");
        }
        records
    }
}

/// Port of the client, bytes of the request and bytes of the response, sorted.
fn transfers(records: &[Value]) -> Vec<[u64; 3]> {
    let transfer = |record: &Value| {
        let (_, port) = record["client"].as_str().unwrap().rsplit_once(':').unwrap();
        let bytes = |side: &str| record["sides"][side]["bytes"].as_u64().unwrap();
        assert_eq!(record["closed"], "fin", "{record}");
        [port.parse().unwrap(), bytes("server"), bytes("client")]
    };
    sorted(records.iter().map(transfer).collect())
}

fn sorted(mut transfers: Vec<[u64; 3]>) -> Vec<[u64; 3]> {
    transfers.sort_unstable();
    transfers
}

/// Starts a curl that makes one connection for each request.
fn curl(client: &Namespace, requests: u32, name: &str) -> Program {
    let url = format!("http://10.9.0.1:8080/{name}?[1-{requests}]");
    Program::start(
        client
            .command("curl")
            .args(["-s", "-S", "-o", "/dev/null", &url]),
    )
}

#[test]
fn ten_thousand_requests_are_ten_thousand_records() {
    needs!("nginx", "curl", "ss");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, SETTINGS);
    let web = Nginx::start(&a, 8080);
    web.serve("short", b"0123456789");
    web.serve("long", &[7; 6000]);
    let mut log = Log::start(&daemon, &["--filter", "dst port 8080"]);
    let clients = [curl(&b, 5000, "short"), curl(&b, 5000, "long")];
    for client in clients {
        assert!(client.finish_within(LONG).status.success());
    }
    within(LONG, "10,000 records", || {
        (log.lines() >= 10_000).then_some(())
    });
    daemon.rpc().nothing_lost();
    assert_eq!(log.stop(), "");
    let records = log.records(&["log.json"]);
    assert_eq!(records.len(), 10_000);
    assert!(
        transfers(&records) == sorted(web.requests()),
        "as nginx counts them"
    );
    daemon.stop();
}

#[test]
fn kills_and_rotations_lose_and_double_nothing() {
    needs!("nginx", "curl", "ss");
    const REQUESTS: usize = 3000;
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, SETTINGS);
    let web = Nginx::start(&a, 8080);
    web.serve("file", &[7; 3000]);
    let mut log = Log::start(&daemon, &[]);
    let events: [fn(&mut Log); 5] = [
        Log::kill_and_run,
        // The log notices by itself.
        |log| log.rotate("1"),
        Log::kill_and_run,
        // Killed before it can notice.
        |log| {
            log.rotate("2");
            log.kill_and_run();
        },
        |log| {
            log.rotate("3");
            log.signal(Signal::HUP);
        },
    ];
    for event in events {
        let already = log.all_lines();
        let client = curl(&b, REQUESTS as u32 / 5, "file");
        within(LONG, "some records", || {
            (log.all_lines() >= already + 100).then_some(())
        });
        event(&mut log);
        assert!(client.finish_within(LONG).status.success());
    }
    let names = ["1", "2", "3", "log.json"];
    within(LONG, "all records", || {
        (log.records(&names).len() >= REQUESTS).then_some(())
    });
    assert_eq!(log.stop(), "");
    let records = log.records(&names);
    assert!(
        transfers(&records) == sorted(web.requests()),
        "as nginx counts them"
    );
    daemon.stop();
}

/// A file system of its own, for a test that fills it.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"]);
        Program::run(mount.arg(path));
        Self(path)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_reported_and_delays_records() {
    needs!("nginx", "curl", "ss", "mount", "umount");
    const REQUESTS: usize = 500;
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, SETTINGS);
    let web = Nginx::start(&a, 8080);
    web.serve("file", &[7; 3000]);
    let mut log = Log::new(&daemon, &[]);
    let disk = log.dir.path().to_owned();
    let disk = SmallDisk::mount(&disk);
    let filler = disk.0.join("filler");
    fs::write(&filler, vec![0; 400 * 1024]).unwrap();
    log.run();
    let client = curl(&b, REQUESTS as u32, "file");
    assert!(client.finish_within(LONG).status.success());
    until("the report", || {
        let said = log.program.as_ref().unwrap().stderr();
        said.contains("No space left").then_some(())
    });
    let text = fs::read_to_string(log.path()).unwrap();
    assert!(text.ends_with("}\n") && text.lines().count() < REQUESTS);
    daemon.rpc().nothing_lost();
    fs::remove_file(&filler).unwrap();
    within(LONG, "all records", || {
        (log.lines() >= REQUESTS).then_some(())
    });
    let said = log.stop();
    assert!(
        said.contains("is written again") && said.lines().count() == 2,
        "{said}"
    );
    assert!(transfers(&log.records(&["log.json"])) == sorted(web.requests()));
    drop(disk);
    daemon.stop();
}

#[test]
fn a_long_connection_has_interim_records_and_a_last_one() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, SETTINGS);
    let mut log = Log::start(&daemon, &["--interim", "1"]);
    let listener = a.enter(|| TcpListener::bind("10.9.0.1:9000").unwrap());
    let mut client = b.enter(|| std::net::TcpStream::connect("10.9.0.1:9000").unwrap());
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"hello").unwrap();
    let mut bytes = [0; 5];
    server.read_exact(&mut bytes).unwrap();
    until("two interim records", || (log.lines() >= 2).then_some(()));
    log.kill_and_run();
    until("another one", || (log.lines() >= 3).then_some(()));
    drop((client, server));
    until("the last one", || {
        let records = log.records(&["log.json"]);
        records
            .iter()
            .any(|record| record["part"] == 0)
            .then_some(())
    });
    assert_eq!(log.stop(), "");
    let mut records = log.records(&["log.json"]);
    let last = records.pop().unwrap();
    assert_eq!((&last["part"], &last["closed"]), (&0.into(), &"fin".into()));
    let part = |record: &Value| record["part"].as_u64().unwrap();
    assert!(records.is_sorted_by_key(part) && part(&records[0]) > 0);
    for record in &records {
        assert_eq!(record["closed"], Value::Null);
        assert_eq!(record["sides"]["server"]["bytes"], 5);
        assert_eq!(record["community_id"], last["community_id"]);
    }
    daemon.stop();
}

#[test]
fn a_tls_connection_shows_version_name_and_protocols() {
    needs!("openssl", "ss");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, SETTINGS);
    let mut log = Log::start(&daemon, &[]);
    let path = |name: &str| log.dir.path().join(name).display().to_string();
    let (key, certificate) = (path("key"), path("certificate"));
    let request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=a.test";
    a.run(&format!("{request} -keyout {key} -out {certificate}"));
    let mut server = a.command("openssl");
    server.args(["s_server", "-accept", "8443", "-alpn", "h2", "-quiet"]);
    let _server = Program::start(server.args(["-key", &key, "-cert", &certificate]));
    until("openssl to listen", || {
        a.run("ss -Hltn").contains(":8443 ").then_some(())
    });
    for version in ["-tls1_3", "-tls1_2"] {
        let mut client = b.command("openssl");
        client.args([
            "s_client",
            "-connect",
            "10.9.0.1:8443",
            "-servername",
            "a.test",
        ]);
        Program::run(client.args(["-alpn", "h2,http/1.1", version]));
    }
    until("two records", || (log.lines() >= 2).then_some(()));
    log.stop();
    let records = log.records(&["log.json"]);
    let versions: Vec<_> = records
        .iter()
        .map(|record| &record["tls"]["version"])
        .collect();
    assert_eq!(versions, ["TLSv1.3", "TLSv1.2"]);
    for record in &records {
        assert_eq!(record["tls"]["sni"], "a.test");
        assert_eq!(record["tls"]["alpn"], serde_json::json!(["h2", "http/1.1"]));
    }
    daemon.stop();
}

#[test]
fn lost_bytes_and_refused_segments_are_counted() {
    needs!("python3");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &SETTINGS.replace("'tap'", "'mirror'"));
    let mut log = Log::start(&daemon, &[]);
    // A connection that opens before the log listens has an unknown number of refused segments.
    until("the log to listen", || {
        let stats = daemon.rpc().ok("stats", serde_json::json!({}));
        (stats["rpc"]["listeners"] == 1).then_some(())
    });
    let mut flow = Flow::new("10.9.0.2:4000", "10.9.0.1:80");
    flow.open();
    for segment in 0..5 {
        flow.segment(End::Client, flags::ACK, &[segment; 1000]);
    }
    flow.segments
        .retain(|it| !matches!(it.payload[..], [1 | 3, ..]));
    let past = flow.seq(End::Client, 0);
    for _ in 0..3 {
        flow.segment_at(End::Client, past, flags::PSH, b"no ACK flag");
    }
    flow.segment(End::Server, flags::ACK, b"done").close();
    inject(&b, "veth", &Capture::of(&Layers::ethernet(), &flow), &[0]);
    until("the record", || (log.lines() >= 1).then_some(()));
    assert_eq!(log.stop(), "");
    let record = log.records(&["log.json"]).remove(0);
    let server = serde_json::json!({ "bytes": 5000, "gaps": 2, "gap_bytes": 2000, "retransmitted": 0, "conflicts": 0,
        "refused": 3 });
    let client = serde_json::json!({ "bytes": 4, "gaps": 0, "gap_bytes": 0, "retransmitted": 0, "conflicts": 0,
        "refused": 0 });
    assert_eq!(
        (&record["sides"]["server"], &record["sides"]["client"]),
        (&server, &client)
    );
    assert_eq!(record["tunnels"], serde_json::json!([]));
    daemon.stop();
}
