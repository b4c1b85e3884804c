//! Records and views while the server is away, a relay is killed, a viewer reads nothing, or a link is cut.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use monitor_tests::wiregen::Random;
use monitor_tests::{Namespace, NatsServer, Network, Nginx, Pair, Program, needs, until, within};
use rustix::process::Signal;
use serde_json::Value;

use crate::{Host, objects, relay_in, until_hosts, view, viewer_in};

const HUB: &str = "10.9.0.1:4222";
/// Connections in that time, and after it: curl starts one every 6 ms.
const OUTAGE: u64 = 2000;
/// Time for which the server is away, at least.
const AWAY: Duration = Duration::from_secs(10);
/// Time after which a host without a heartbeat is gone, and its relay has connected again.
const HEARTBEAT: Duration = Duration::from_secs(90);

/// Makes connections one after the other: the server closes each after its response.
fn curl(client: &Namespace, count: u64, options: &[&str]) -> Program {
    let mut command = client.command("curl");
    command.args(options);
    let url = format!("http://10.9.0.1:8000/file?[1-{count}]");
    Program::start(command.args(["-sS", "-o", "/dev/null", &url]))
}

/// Waits until the stream has the final records of a number of connections of two hosts, and asserts that each is there once.
fn assert_records(nats: &NatsServer, connections: u64) {
    within(HEARTBEAT, "all records", || {
        (nats.count("MON_FLOWS")? >= 2 * connections).then_some(())
    });
    let records = nats.messages("MON_FLOWS").unwrap();
    assert_eq!(records.len() as u64, 2 * connections);
    let keys: BTreeSet<_> = records
        .iter()
        .map(|record| {
            let key = ["host", "instance", "sockid", "part"].map(|key| record[key].to_string());
            assert_eq!(record["part"], 0, "{record}");
            key
        })
        .collect();
    assert_eq!(keys.len(), records.len(), "each record once");
    let of = |host: &str| {
        records
            .iter()
            .filter(|record| record["host"] == host)
            .count() as u64
    };
    assert_eq!((of("h1"), of("h2")), (connections, connections));
}

/// Subscribes to everything, and reads nothing.
fn unread(namespace: &Namespace) -> TcpStream {
    let mut stream = namespace.enter(|| TcpStream::connect(HUB)).unwrap();
    let lines = b"CONNECT {\"verbose\":false}\r\nSUB mon.v1.> 1\r\n";
    stream.write_all(lines).unwrap();
    stream
}

#[test]
fn each_host_has_a_record_of_each_connection_and_both_views_are_equal() {
    needs!("nats-server", "nginx", "curl");
    let Pair { a, b } = Network::default().pair();
    let mut nats = NatsServer::start_in(&a, HUB);
    let nginx = Nginx::start(&a, 8000);
    let content = Random::new(9).bytes(20_000);
    nginx.serve("file", &content);
    let (mut h1, mut h2) = (Host::start("h1", &a, &nats), Host::start("h2", &b, &nats));
    h1.start_relay(relay_in(&a));
    h2.start_relay(relay_in(&b));
    let viewer = || viewer_in(&b);
    until_hosts(&viewer, &nats, &["h1", "h2"]);
    // Neither delays the others: one subscribes and never reads, one is stopped with its subscription.
    let _unread = unread(&b);
    let mut stopped = viewer();
    stopped.args(["--fleet", &nats.url(), "events"]);
    let stopped = Program::start(&mut stopped);
    stopped.signal(Signal::STOP);
    assert!(curl(&b, 100, &[]).finish().status.success());
    let mut connections = 100;
    assert_records(&nats, connections);
    // The server is away for ten seconds, and the relay is killed in that time.
    let curls = curl(&b, OUTAGE, &["--rate", "160/s"]);
    nats.kill();
    let killed = Instant::now();
    h2.kill_relay();
    h2.start_relay(relay_in(&b));
    assert!(curls.finish_within(HEARTBEAT).status.success());
    connections += OUTAGE;
    assert!(killed.elapsed() >= AWAY, "{:?}", killed.elapsed());
    nats.restart();
    assert_records(&nats, connections);
    // One list holds both views, of which the bytes are equal.
    until_hosts(&viewer, &nats, &["h1", "h2"]);
    let newest = [
        "--json", "sockets", "--closed", "--sort", "opened", "--limit", "1",
    ];
    let listed = objects(&view(viewer(), &nats, &newest));
    assert_eq!(listed.len(), 2, "{listed:#?}");
    assert_eq!(listed[0]["community_id"], listed[1]["community_id"]);
    let streams = [0, 1].map(|index: usize| {
        let name = listed[index]["name"].as_str().unwrap();
        view(viewer(), &nats, &["ppeek", name, "client", "0", "--raw"]).stdout
    });
    assert!(streams[0].ends_with(&content) && streams[0] == streams[1]);
    let id = listed[0]["community_id"].as_str().unwrap();
    let compared = view(viewer(), &nats, &["compare", id]);
    assert!(compared.status.success(), "{}", compared.stderr);
    assert_eq!(compared.text().matches("bytes are equal").count(), 2);
    stopped.signal(Signal::KILL);
    stopped.finish();
}

#[test]
fn a_host_with_a_cut_link_is_silent_and_returns() {
    needs!("nats-server", "nginx", "curl");
    let Pair { a, b } = Network::default().pair();
    let nats = NatsServer::start_in(&a, HUB);
    let nginx = Nginx::start(&a, 8000);
    nginx.serve("file", b"content");
    let (mut h1, mut h2) = (Host::start("h1", &a, &nats), Host::start("h2", &b, &nats));
    h1.start_relay(relay_in(&a));
    h2.start_relay(relay_in(&b));
    let viewer = || viewer_in(&a);
    until_hosts(&viewer, &nats, &["h1", "h2"]);
    assert!(curl(&b, 20, &[]).finish().status.success());
    // In the middle of sending records, perhaps.
    b.ip("link set veth down");
    let listed = view(viewer(), &nats, &["--json", "sockets"]);
    assert!(
        listed.stderr.contains("h2 did not answer"),
        "{}",
        listed.stderr
    );
    let hosts: BTreeSet<_> = objects(&listed)
        .iter()
        .map(|socket| socket["host"].to_string())
        .collect();
    assert_eq!(
        hosts,
        BTreeSet::from(["\"h1\"".to_owned()]),
        "the others are listed"
    );
    let names = |listed: &[Value]| -> Vec<String> {
        listed.iter().map(|host| host["host"].to_string()).collect()
    };
    // Its heartbeat is 30 s old.
    within(HEARTBEAT, "the host to be gone", || {
        let listed = objects(&view(viewer(), &nats, &["--json", "hosts"]));
        (names(&listed) == ["\"h1\""]).then_some(())
    });
    b.ip("link set veth up");
    b.until_up("veth");
    within(HEARTBEAT, "the host to return", || {
        let listed = objects(&view(viewer(), &nats, &["--json", "hosts"]));
        (names(&listed) == ["\"h1\"", "\"h2\""]).then_some(())
    });
    until("the host to answer", || {
        let listed = view(viewer(), &nats, &["--json", "sockets"]);
        listed.stderr.is_empty().then_some(())
    });
    assert!(curl(&b, 20, &[]).finish().status.success());
    assert_records(&nats, 40);
}
