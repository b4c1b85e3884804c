//! Start and end of the binary: its refusals with their messages, and the state that it leaves behind.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use monitor_tests::skip;
use monitor_tests::wiregen::{Capture, Flow, Layers};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

const MONITORD: &str = env!("CARGO_BIN_EXE_monitord");
const DEADLINE: Duration = Duration::from_secs(30);

fn run(arguments: &[&str]) -> Output {
    Command::new(MONITORD)
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

/// The one line that a refused start leaves on standard error.
#[track_caller]
fn refusal(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let sentence = text
        .strip_prefix("monitord: ")
        .unwrap_or_else(|| panic!("{text}"))
        .trim_end();
    assert!(!sentence.contains('\n'), "one sentence: {sentence}");
    sentence.to_owned()
}

/// A configuration with its socket beside it.
fn config(dir: &TempDir, text: &str) -> String {
    let path = dir.path().join("config.toml");
    let socket = dir.path().join("monitord.sock");
    fs::write(
        &path,
        format!("{text}\n[rpc]\nsocket = {:?}\n", socket.to_str().unwrap()),
    )
    .unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_configuration_that_is_named_must_be_there_and_good() {
    let dir = tempfile::tempdir().unwrap();
    let missing = refusal(&run(&["--config", "/nonexistent.toml"]));
    assert!(
        missing.contains("cannot read the configuration /nonexistent.toml"),
        "{missing}"
    );
    let typo = config(&dir, "[capture]\nworker = 2");
    let sentence = refusal(&run(&["--config", &typo]));
    let expected = "line 2: unknown key \"worker\" in [capture]; did you mean \"workers\"?";
    assert!(sentence.ends_with(expected), "{sentence}");
    assert_eq!(
        refusal(&run(&["--check-config", "--config", &typo])),
        sentence
    );
}

#[test]
fn a_good_configuration_is_said_to_be_good() {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../config.toml");
    let output = run(&["--check-config", "--config", repository]);
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "the configuration is good\n"
    );
}

#[test]
fn an_interface_that_is_not_there_is_refused_with_those_that_are() {
    if !geteuid().is_root() {
        skip!("needs root");
    }
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir, "[capture]\ninterfaces = ['no-such-one']");
    let sentence = refusal(&run(&["--config", &config]));
    let names = sentence.strip_prefix("there is no interface \"no-such-one\"; there are: ");
    assert!(
        names.is_some_and(|names| names.split(", ").any(|name| name == "lo")),
        "{sentence}"
    );
    assert!(!dir.path().join("monitord.sock").exists());
}

#[test]
fn a_missing_privilege_is_named() {
    if !geteuid().is_root() || Command::new("setpriv").arg("--version").output().is_err() {
        skip!("needs root and setpriv");
    }
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir, "");
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set", "-net_raw", MONITORD, "--config", &config])
        .env_remove("RUST_LOG");
    let sentence = refusal(&command.output().unwrap());
    assert!(
        sentence.starts_with("missing CAP_NET_RAW (to open packet and XDP sockets)"),
        "{sentence}"
    );
    assert!(!dir.path().join("monitord.sock").exists());
}

#[test]
fn a_store_that_is_too_small_names_the_setting() {
    let dir = tempfile::tempdir().unwrap();
    let capture = empty_capture(&dir);
    let text = "[capture]\nworkers = 63\n[store]\nmemory = '1MiB'\nwindow = '64KiB'";
    let sentence = refusal(&run(&["replay", &capture, "--config", &config(&dir, text)]));
    assert!(
        sentence.contains("raise [store] memory or lower [capture] workers"),
        "{sentence}"
    );
}

#[test]
fn a_capture_file_that_is_not_there_is_refused() {
    let sentence = refusal(&run(&["replay", "/nonexistent.pcap"]));
    assert!(sentence.contains("/nonexistent.pcap"), "{sentence}");
}

#[test]
fn signals_end_it_in_order_and_a_second_daemon_waits_for_that() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().unwrap();
        let (capture, config) = (empty_capture(&dir), config(&dir, ""));
        let socket = dir.path().join("monitord.sock");
        let mut first = Running::start(&["replay", &capture, "--config", &config]);
        first.serves(&socket);
        let sentence = refusal(&run(&["replay", &capture, "--config", &config]));
        assert!(
            sentence.contains("another monitord serves on"),
            "{sentence}"
        );
        assert_eq!(first.end(signal), Some(0));
        assert!(!socket.exists(), "the socket file is removed");
        let mut second = Running::start(&["replay", &capture, "--config", &config]);
        second.serves(&socket);
        // Killed, it leaves its socket file; the next one takes its place.
        assert_eq!(second.end(Signal::KILL), None);
        assert!(socket.exists());
        let mut third = Running::start(&["replay", &capture, "--config", &config]);
        third.serves(&socket);
        assert_eq!(third.end(signal), Some(0));
    }
}

/// Value of a limit of a process, soft and hard.
fn open_files(process: u32) -> (String, String) {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let mut words = line.split_ascii_whitespace().skip(3);
    let mut next = || words.next().unwrap().to_owned();
    (next(), next())
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_and_clients_leave_some_to_the_capture() {
    let dir = tempfile::tempdir().unwrap();
    let capture = empty_capture(&dir);
    let config = config(&dir, "");
    let socket = dir.path().join("monitord.sock");
    let command = "ulimit -Sn 100; ulimit -Hn 400; exec \"$0\" \"$@\"";
    let child = Command::new("sh")
        .args(["-c", command, MONITORD, "replay", &capture])
        .args(["--config", &config])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut daemon = Running(child);
    daemon.serves(&socket);
    let process = daemon.0.id();
    assert_eq!(open_files(process), ("400".to_owned(), "400".to_owned()));
    // Clients that read nothing need two descriptors each. A client is refused with a reason, and the rest of the
    // descriptors stays free.
    let mut clients = Vec::new();
    let refusal = loop {
        let mut client = UnixStream::connect(&socket).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        let hello = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rpc.discover\"}\n";
        // Fails when the client was refused before it wrote.
        let _ = client.write_all(hello.as_bytes());
        let mut start = [0; 40];
        client.read_exact(&mut start).unwrap();
        if start.starts_with(b"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\"") {
            break client;
        }
        client
            .set_write_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        while client.write_all(hello.repeat(50).as_bytes()).is_ok() {}
        clients.push(client);
        assert!(clients.len() < 400, "all are served");
    };
    drop(refusal);
    assert!(clients.len() > 20, "{} clients", clients.len());
    let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    assert!(open <= 400 - 100, "{open} descriptors are open");
}

#[test]
fn a_store_that_no_machine_has_is_refused_before_anything_is_allocated() {
    let dir = tempfile::tempdir().unwrap();
    let capture = empty_capture(&dir);
    let config = config(&dir, "[store]\nmemory = '100TiB'");
    for arguments in [
        &["replay", &capture, "--config", &config][..],
        &["--check-config", "--config", &config],
    ] {
        let sentence = refusal(&run(arguments));
        assert!(sentence.starts_with("[store] memory"), "{sentence}");
        assert!(sentence.contains("lower them"), "{sentence}");
    }
}

#[test]
fn a_small_limit_of_the_address_space_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (capture, config) = (empty_capture(&dir), config(&dir, ""));
    let script = format!("ulimit -v 400000; exec {MONITORD} replay {capture} --config {config}");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let sentence = refusal(&output);
    assert!(sentence.contains("ulimit -v"), "{sentence}");
}

#[test]
fn a_level_that_does_not_exist_is_refused_with_the_nearest() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir, "[log]\nlevel = 'warning'");
    let sentence = refusal(&run(&["--check-config", "--config", &config]));
    assert!(sentence.contains("did you mean \"warn\"?"), "{sentence}");
}

#[test]
fn a_log_that_cannot_be_written_does_not_end_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let (capture, config) = (empty_capture(&dir), config(&dir, ""));
    let socket = dir.path().join("monitord.sock");
    let arguments = ["replay", &capture, "--config", &config];
    // A pipe with a reader that is closed at once.
    let mut piped = Running::start_logging(&arguments, Stdio::piped());
    drop(piped.0.stderr.take());
    let full = || {
        Stdio::from(
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        )
    };
    for mut daemon in [Some(piped), None] {
        let mut daemon = daemon
            .take()
            .unwrap_or_else(|| Running::start_logging(&arguments, full()));
        daemon.serves(&socket);
        // Each is a line of the log.
        for _ in 0..3 {
            kill_process(Pid::from_child(&daemon.0), Signal::HUP).unwrap();
        }
        while lost_lines(&socket) == 0 {
            assert!(daemon.0.try_wait().unwrap().is_none(), "it ended");
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(daemon.end(Signal::TERM), Some(0));
    }
}

#[test]
fn sighup_reloads_the_settings_and_a_bad_file_keeps_the_old_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (capture, file) = (empty_capture(&dir), config(&dir, "[tcp]\nlinger = '1m'"));
    let socket = dir.path().join("monitord.sock");
    let mut daemon = Running::start(&["replay", &capture, "--config", &file]);
    daemon.serves(&socket);
    let linger = || request(&socket, "config.get")["config"]["tcp"]["linger"].clone();
    let give_up = Instant::now() + DEADLINE;
    config(&dir, "[tcp]\nlingr = '2m'");
    kill_process(Pid::from_child(&daemon.0), Signal::HUP).unwrap();
    assert_eq!(linger(), "1m");
    config(&dir, "[tcp]\nlinger = '2m'");
    kill_process(Pid::from_child(&daemon.0), Signal::HUP).unwrap();
    while linger() != "2m" {
        assert!(Instant::now() < give_up, "the settings were not read again");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(daemon.end(Signal::TERM), Some(0));
}

/// Returns the result of a method without parameters.
#[track_caller]
fn request(socket: &Path, method: &str) -> serde_json::Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    writeln!(stream, r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let reply: serde_json::Value = serde_json::from_str(&line).unwrap();
    reply["result"].clone()
}

fn lost_lines(socket: &Path) -> u64 {
    request(socket, "stats")["rpc"]["log_lines_lost"]
        .as_u64()
        .unwrap()
}

/// A capture file without a packet.
fn empty_capture(dir: &TempDir) -> String {
    let path = dir.path().join("empty.pcap");
    let flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    fs::write(&path, Capture::of(&Layers::ethernet(), &flow).pcap()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A daemon beside the test; dropping it kills it.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str]) -> Self {
        Self::start_logging(arguments, Stdio::null())
    }

    fn start_logging(arguments: &[&str], log: Stdio) -> Self {
        let mut command = Command::new(MONITORD);
        Self(
            command
                .args(arguments)
                .env_remove("RUST_LOG")
                .stderr(log)
                .spawn()
                .unwrap(),
        )
    }

    /// Waits until the socket accepts a connection.
    #[track_caller]
    fn serves(&mut self, socket: &Path) {
        let socket: PathBuf = socket.to_owned();
        let give_up = Instant::now() + DEADLINE;
        while UnixStream::connect(&socket).is_err() {
            assert!(self.0.try_wait().unwrap().is_none(), "it ended");
            assert!(Instant::now() < give_up, "nobody serves");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn end(&mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
