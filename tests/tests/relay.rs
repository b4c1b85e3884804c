//! Metrics of a real daemon: read by Prometheus, and while the daemon hangs.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use monitor_tests::wiregen::{Capture, End, Flow, Layers};
use monitor_tests::{Daemon, Program, have, monitor_relay, skip, until, within};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Daemon with a replayed connection, and a relay that serves its metrics.
struct Relayed {
    daemon: Daemon,
    relay: Program,
    address: String,
    directory: TempDir,
}

impl Relayed {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut flow = Flow::new("10.0.0.1:4000", "10.0.0.2:80");
        flow.open().send(End::Client, b"GET /").close();
        let file = directory.path().join("a.pcap");
        fs::write(&file, Capture::of(&Layers::ethernet(), &flow).pcap()).unwrap();
        let daemon = Daemon::replay(&[&file], "", &[]);
        daemon.finished();
        let settings = directory.path().join("relay.toml");
        let socket = daemon.socket();
        let text = format!("[monitor]\nsocket = {socket:?}\n[metrics]\nlisten = '127.0.0.1:0'\n");
        fs::write(&settings, text).unwrap();
        let mut command = Command::new(monitor_relay());
        let relay = Program::start(command.arg("--config").arg(&settings));
        let address = until("the relay to listen", || {
            let log = relay.stderr();
            let (_, rest) = log.split_once("http://")?;
            Some(rest.split('/').next()?.to_owned())
        });
        Self {
            daemon,
            relay,
            address,
            directory,
        }
    }

    /// Returns the value of `monitord_up`.
    fn up(&self) -> String {
        let text = get(&self.address, "/metrics");
        let up = text
            .lines()
            .find_map(|line| line.strip_prefix("monitord_up "));
        up.unwrap().to_owned()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.daemon.pid().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

/// Returns the body of a reply.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_daemon_that_hangs_is_down_within_five_seconds() {
    let relayed = Relayed::start();
    assert_eq!(relayed.up(), "1");
    relayed.signal(Signal::STOP);
    let stopped = Instant::now();
    within(Duration::from_secs(5), "the daemon to be down", || {
        (relayed.up() == "0").then_some(())
    });
    let down = stopped.elapsed();
    relayed.signal(Signal::CONT);
    assert!(down < Duration::from_secs(5), "{down:?}");
    until("the daemon to be up", || {
        (relayed.up() == "1").then_some(())
    });
    let log = relayed.relay.stderr();
    assert!(
        log.contains("monitord is down: no answer within 2s"),
        "{log}"
    );
    relayed.daemon.stop();
}

#[test]
fn prometheus_scrapes_the_relay_and_loads_the_alerts() {
    if !have("prometheus") {
        skip!("needs prometheus");
    }
    let relayed = Relayed::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let alerts = concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards/alerts.yml");
    let settings = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\nrule_files: ['{alerts}']\n\
         scrape_configs: [{{job_name: monitord, static_configs: [{{targets: ['{}']}}]}}]\n",
        relayed.address
    );
    let directory = relayed.directory.path();
    let config = directory.join("prometheus.yml");
    fs::write(&config, settings).unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            directory.join("data").display()
        ))
        .arg(format!("--web.listen-address={address}"));
    let mut prometheus = Program::start(&mut command);
    let query = |metric: &str| -> Option<String> {
        TcpStream::connect(&address).ok()?;
        let text = get(&address, &format!("/api/v1/query?query={metric}"));
        let reply: Value = serde_json::from_str(&text).ok()?;
        let value = reply["data"]["result"][0]["value"][1].as_str()?;
        Some(value.to_owned())
    };
    let value = until("Prometheus to scrape", || {
        assert!(prometheus.ended().is_none(), "{}", prometheus.stderr());
        query("monitord_tcp_payload_bytes_total")
    });
    assert_eq!(value, "5");
    assert_eq!(query("monitord_up").as_deref(), Some("1"));
    let samples: f64 = query("scrape_samples_scraped").unwrap().parse().unwrap();
    assert!(samples > 100.0, "{samples}");
    let rules: Value = serde_json::from_str(&get(&address, "/api/v1/rules")).unwrap();
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap();
    assert!(
        rules.iter().all(|rule| rule["health"] != "err"),
        "{rules:#?}"
    );
    relayed.daemon.stop();
}
