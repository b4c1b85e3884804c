//! Two hosts with real traffic in one fleet, while the server and a relay are killed.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::fs;

use monitor_tests::wiregen::Random;
use monitor_tests::{
    Daemon, Namespace, NatsServer, Network, Nginx, Pair, Program, monitor_relay, monitorctl, needs,
    until,
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const SETTINGS: &str = "[capture]\ninterfaces = ['veth']\nworkers = 1\n[filter]\nports = [8000]\n\
                        [store]\nwindow = '1MiB'\nmemory = '256MiB'\n";
const HUB: &str = "10.9.0.1:4222";

/// Daemon and relay of a host.
struct Host<'a> {
    name: &'a str,
    namespace: &'a Namespace,
    daemon: Daemon,
    relay: Option<Program>,
    directory: TempDir,
}

impl<'a> Host<'a> {
    fn start(name: &'a str, namespace: &'a Namespace) -> Self {
        let mut host = Self {
            name,
            namespace,
            daemon: Daemon::start(namespace, SETTINGS),
            relay: None,
            directory: tempfile::tempdir().unwrap(),
        };
        host.start_relay();
        host
    }

    fn start_relay(&mut self) {
        let config = self.directory.path().join("relay.toml");
        let (socket, spool) = (self.daemon.socket(), self.directory.path().join("spool"));
        let settings = format!(
            "[monitor]\nsocket = {socket:?}\n[metrics]\nlisten = []\n\
             [fleet]\nurl = 'nats://{HUB}'\nhost = '{}'\nspool = {spool:?}\n",
            self.name
        );
        fs::write(&config, settings).unwrap();
        let mut command = self.namespace.command(monitor_relay().to_str().unwrap());
        self.relay = Some(Program::start(command.arg("--config").arg(config)));
    }

    fn kill_relay(&mut self) {
        let relay = self.relay.take().unwrap();
        relay.signal(Signal::KILL);
        relay.finish();
    }
}

/// Makes connections one after the other: the server closes each after its response.
fn curl(client: &Namespace, count: u32) -> Program {
    let mut command = client.command("curl");
    let url = format!("http://10.9.0.1:8000/file?[1-{count}]");
    Program::start(command.args(["-sS", "-o", "/dev/null", &url]))
}

/// Returns the number of records in the stream.
fn records(hub: &Namespace) -> Option<u64> {
    let mut command = hub.command("curl");
    let url = "http://127.0.0.1:8222/jsz?streams=true";
    let text = Program::start(command.args(["-sS", url])).finish().text();
    let status: Value = serde_json::from_str(&text).ok()?;
    let streams = status["account_details"][0]["stream_detail"]
        .as_array()?
        .iter();
    let mut flows = streams.filter(|stream| stream["name"] == "MON_FLOWS");
    flows.next()?["state"]["messages"].as_u64()
}

#[test]
fn each_host_has_a_record_of_each_connection_and_both_views_are_equal() {
    needs!("nats-server", "nginx", "curl");
    let Pair { a, b } = Network::default().pair();
    let mut nats = NatsServer::start_in(&a, HUB);
    let nginx = Nginx::start(&a, 8000);
    let content = Random::new(9).bytes(20_000);
    nginx.serve("file", &content);
    let (h1, mut h2) = (Host::start("h1", &a), Host::start("h2", &b));
    let ctl = |arguments: &[&str]| {
        let mut command = b.command(monitorctl().to_str().unwrap());
        command
            .args(["--fleet", &format!("nats://{HUB}")])
            .args(arguments);
        Program::start(&mut command).finish()
    };
    until("both hosts", || {
        (ctl(&["--json", "hosts"]).text().lines().count() == 2).then_some(())
    });
    assert!(curl(&b, 300).finish().status.success());
    until("the records of 300 connections", || {
        (records(&a) == Some(600)).then_some(())
    });
    let curls = curl(&b, 600);
    nats.kill();
    h2.kill_relay();
    assert!(curls.finish().status.success());
    h2.start_relay();
    assert!(curl(&b, 100).finish().status.success());
    nats.restart();
    until("the records of 1000 connections", || {
        (records(&a) == Some(2000)).then_some(())
    });
    // One list holds both views, of which the bytes are equal.
    until("both hosts again", || {
        (ctl(&["--json", "hosts"]).text().lines().count() == 2).then_some(())
    });
    let listed = ctl(&[
        "--json", "sockets", "--closed", "--sort", "opened", "--limit", "1",
    ])
    .text();
    let listed: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(listed.len(), 2, "{listed:#?}");
    assert_eq!(listed[0]["community_id"], listed[1]["community_id"]);
    let streams = [0, 1].map(|index: usize| {
        let name = listed[index]["name"].as_str().unwrap();
        ctl(&["ppeek", name, "client", "0", "--raw"]).stdout
    });
    assert!(streams[0].ends_with(&content) && streams[0] == streams[1]);
    let id = listed[0]["community_id"].as_str().unwrap();
    let compared = ctl(&["compare", id]);
    assert!(compared.status.success(), "{}", compared.stderr);
    assert_eq!(compared.text().matches("bytes are equal").count(), 2);
    drop(h1);
}
