//! Settings that change while the daemon captures.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::net::SocketAddr;

use monitor_tests::wiregen::Random;
use monitor_tests::{
    Daemon, Network, Pair, Rpc, Transfer, as_user, exchange, needs, open_to_all, until,
};
use serde_json::{Value, json};

const BASE: &str =
    "[capture]\nmode = 'tap'\ninterfaces = ['veth']\nworkers = 2\n[store]\nmemory = '64MiB'\n";

/// Daemon on a cable, with traffic through it.
struct Scene {
    pair: Pair,
    daemon: Daemon,
    rpc: Rpc,
    bytes: Vec<u8>,
}

impl Scene {
    fn new(settings: &str) -> Self {
        let pair = Network::default().pair();
        let daemon = Daemon::start(&pair.a, &format!("{BASE}{settings}"));
        let rpc = daemon.rpc();
        Self {
            pair,
            daemon,
            rpc,
            bytes: Random::new(1).bytes(100_000),
        }
    }

    /// Rewrites the file and has it read; the changes as key and when they apply.
    fn reload(&mut self, settings: &str) -> Vec<(String, String)> {
        self.daemon.rewrite(&format!("{BASE}{settings}"));
        let result = self.rpc.ok("config.reload", json!({}));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let changes = result["changes"].as_array().unwrap().iter();
        changes
            .map(|change| (text(&change["key"]), text(&change["applies"])))
            .collect()
    }

    /// Makes a connection to each of these ends; says which of them were captured, and whole.
    fn captured(&mut self, servers: &[&str]) -> Vec<SocketAddr> {
        let mut ends = Vec::new();
        for server in servers {
            let address: SocketAddr = server.parse().unwrap();
            let transfer = [Transfer {
                request: &self.bytes[..100],
                response: &self.bytes,
            }];
            ends.push((
                exchange(&self.pair.a, &self.pair.b, address, &transfer)[0],
                address,
            ));
        }
        let found = |rpc: &mut Rpc| -> Vec<(SocketAddr, u64)> {
            let sockets = rpc.sockets(json!({}));
            let of = |(client, server): &(SocketAddr, SocketAddr)| {
                let is = |socket: &&Value| {
                    socket["client"] == client.to_string() && socket["server"] == server.to_string()
                };
                let closed = sockets
                    .iter()
                    .filter(is)
                    .find(|socket| socket["closed"] == "fin")?;
                Some((*server, closed["sockid"].as_u64().unwrap()))
            };
            ends.iter().filter_map(of).collect()
        };
        // The last port is monitored; earlier packets are captured before its own.
        let last = *servers.last().unwrap();
        until("the last connection", || {
            found(&mut self.rpc)
                .iter()
                .any(|(server, _)| server.to_string() == last)
                .then_some(())
        });
        let found = found(&mut self.rpc);
        for (server, sockid) in &found {
            assert!(self.rpc.stream(*sockid, "client") == self.bytes, "{server}");
        }
        found.into_iter().map(|(server, _)| server).collect()
    }
}

fn ends(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn now(keys: &[&str]) -> Vec<(String, String)> {
    keys.iter()
        .map(|key| ((*key).to_owned(), "now".to_owned()))
        .collect()
}

#[test]
fn a_filter_of_the_programs_is_changed_widened_and_opened() {
    needs!();
    let (first, second, third) = ("10.9.0.1:7000", "10.9.0.1:7001", "[fd09::1]:7002");
    let mut scene = Scene::new("[filter]\nports = [7000]\nnetworks = ['10.0.0.0/8']\n");
    assert_eq!(scene.captured(&[second, third, first]), ends(&[first]));
    let ports = "[filter]\nports = [7001, 7002]\nnetworks = ['10.0.0.0/8']\n";
    assert_eq!(scene.reload(ports), now(&["filter.ports"]));
    assert_eq!(scene.captured(&[first, third, second]), ends(&[second]));
    let networks = "[filter]\nports = [7001, 7002]\nnetworks = ['fd09::/16']\n";
    assert_eq!(scene.reload(networks), now(&["filter.networks"]));
    assert_eq!(scene.captured(&[first, second, third]), ends(&[third]));
    assert_eq!(
        scene.rpc.stat("decode", "filtered"),
        0,
        "all of it by the programs"
    );
    assert_eq!(scene.reload(""), now(&["filter.ports", "filter.networks"]));
    assert_eq!(
        scene.captured(&[first, second, third]),
        ends(&[first, second, third])
    );
    assert_eq!(
        scene.reload(networks),
        now(&["filter.ports", "filter.networks"])
    );
    assert_eq!(scene.captured(&[first, second, third]), ends(&[third]));
    scene.rpc.nothing_lost();
    scene.daemon.stop();
}

#[test]
fn a_filter_that_the_programs_were_not_loaded_with_is_the_engines() {
    needs!();
    let (first, second) = ("10.9.0.1:7000", "10.9.0.1:7001");
    let mut scene = Scene::new("");
    assert_eq!(scene.captured(&[first, second]), ends(&[first, second]));
    assert_eq!(
        scene.reload("[filter]\nports = [7001]\n"),
        now(&["filter.ports"])
    );
    assert_eq!(scene.captured(&[first, second]), ends(&[second]));
    assert!(scene.rpc.stat("decode", "filtered") > 0);
    scene.daemon.stop();
}

#[test]
fn times_and_the_log_change_and_a_wrong_file_changes_nothing() {
    needs!();
    let end = "10.9.0.1:7000";
    let mut scene = Scene::new("");
    scene.captured(&[end]);
    assert_eq!(
        scene.reload("[tcp]\nlinger = '1s'\n[log]\nlevel = 'debug'\n"),
        now(&["tcp.linger", "log.level"])
    );
    until("what lingered to go", || {
        scene.rpc.sockets(json!({})).is_empty().then_some(())
    });
    drop(scene.daemon.rpc());
    until("a line that only debug has", || {
        scene
            .daemon
            .log()
            .contains("client connected")
            .then_some(())
    });
    let log = scene.daemon.log();
    assert!(
        log.contains("tcp.linger is \"1s\" instead of \"1m\", now"),
        "{log}"
    );
    assert!(
        log.contains("requested by an admin") && log.contains("config.reload"),
        "{log}"
    );
    scene.daemon.rewrite("[tcp]\nlinger = '1'\n");
    let error = scene.rpc.err("config.reload", json!({}));
    assert_eq!(error.code, 22, "{error}");
    assert!(error.message.contains("line 2: [tcp] linger"), "{error}");
    let config = scene.rpc.ok("config.get", json!({}))["config"].clone();
    assert_eq!(
        (&config["tcp"]["linger"], &config["log"]["level"]),
        (&json!("1s"), &json!("debug"))
    );
    let restart = ("store.window".to_owned(), "restart".to_owned());
    assert!(
        scene.reload("window = '2MiB'\n").contains(&restart),
        "BASE ends within [store]"
    );
    scene.daemon.stop();
}

#[test]
fn refused_clients_are_in_the_log() {
    needs!();
    const USER: u32 = 4_000_001;
    let scene = Scene::new("[rpc]\nmode = '0666'\nreaders = ['root']\n");
    open_to_all(&scene.daemon.socket());
    let error = as_user(USER, &[], || scene.daemon.rpc().err("stats", json!({})));
    assert_eq!(
        (error.code, &error.data["reason"]),
        (1, &json!("permission"))
    );
    let pid = std::process::id();
    let said = format!("refused: not permitted method=\"stats\" pid={pid} uid={USER}");
    until("a line in the log", || {
        scene.daemon.log().contains(&said).then_some(())
    });
    scene.daemon.stop();
}
