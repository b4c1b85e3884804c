//! Records and views while the server is away, a relay is killed, a viewer reads nothing, or a link is cut.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use monitor_tests::{
    Finished, Namespace, NatsServer, Network, Nginx, Pair, Program, needs, until, within,
};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketType, connect, socket};
use rustix::process::Signal;
use serde_json::json;

use crate::{Host, has_hosts, objects, relay_in, view, viewer_in};

const HUB: &str = "10.9.0.1:4222";
/// Connections in that time, and after it: curl starts one every 6 ms.
const OUTAGE: u64 = 2000;
/// Time for which the server is away, at least.
const AWAY: Duration = Duration::from_secs(10);
/// Time for which a link is cut, at least.
const CUT: Duration = Duration::from_secs(30);
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

/// Subscribes to everything with a small buffer, and reads nothing.
fn unread(namespace: &Namespace) -> TcpStream {
    let mut stream = namespace.enter(|| {
        let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        set_socket_recv_buffer_size(&stream, 4096).unwrap();
        connect(&stream, &HUB.parse::<SocketAddr>().unwrap()).unwrap();
        TcpStream::from(stream)
    });
    let lines = b"CONNECT {\"verbose\":false}\r\nSUB mon.v1.> 1\r\n";
    stream.write_all(lines).unwrap();
    stream
}

/// Returns whether the server's kernel has bytes that the client of a connection has no buffer for.
fn is_full(server: &Namespace, client: &TcpStream) -> bool {
    let port = client.local_addr().unwrap().port();
    let line = server.run(&format!("ss -Htn sport = :4222 and dport = :{port}"));
    // State, receive queue, send queue.
    let queue = line.split_whitespace().nth(2).unwrap();
    queue.parse::<u64>().unwrap() > 0
}

/// Hub and first host in `a`, second host in `b`, and a web server in `a`.
struct World {
    a: Namespace,
    b: Namespace,
    nats: NatsServer,
    h1: Host,
    h2: Host,
    _nginx: Nginx,
}

impl World {
    fn start() -> Self {
        let Pair { a, b } = Network::default().pair();
        let nats = NatsServer::start_in(&a, HUB);
        let nginx = Nginx::start(&a, 8000);
        nginx.serve("file", b"content");
        let (mut h1, mut h2) = (Host::start("h1", &a, &nats), Host::start("h2", &b, &nats));
        h1.start_relay(relay_in(&a));
        h2.start_relay(relay_in(&b));
        let world = Self {
            a,
            b,
            nats,
            h1,
            h2,
            _nginx: nginx,
        };
        until("the hosts", || world.has_hosts(&["h1", "h2"]));
        world
    }

    /// Returns whether these hosts have heartbeats, and no others.
    fn has_hosts(&self, names: &[&str]) -> Option<()> {
        has_hosts(viewer_in(&self.a), &self.nats, names)
    }

    /// Makes connections, to their end.
    fn curl(&self, count: u64) -> u64 {
        assert!(curl(&self.b, count, &[]).finish().status.success());
        count
    }

    fn view(&self, arguments: &[&str]) -> Finished {
        view(viewer_in(&self.a), &self.nats, arguments)
    }
}

#[test]
fn each_host_has_a_record_of_each_connection_although_server_and_relay_are_killed() {
    needs!("nats-server", "nginx", "curl");
    let mut world = World::start();
    let connections = world.curl(100);
    assert_records(&world.nats, connections);
    // The server is away for ten seconds, and the relay is killed in that time.
    let curls = curl(&world.b, OUTAGE, &["--rate", "160/s"]);
    world.nats.kill();
    let killed = Instant::now();
    world.h2.kill_relay();
    world.h2.start_relay(relay_in(&world.b));
    assert!(curls.finish_within(HEARTBEAT).status.success());
    assert!(killed.elapsed() >= AWAY, "{:?}", killed.elapsed());
    world.nats.restart();
    assert_records(&world.nats, connections + OUTAGE);
}

#[test]
fn viewers_that_read_nothing_delay_no_other() {
    needs!("nats-server", "nginx", "curl");
    let world = World::start();
    let unread = unread(&world.b);
    let events = |arguments: &[&str]| {
        let mut command = viewer_in(&world.b);
        command.args(["--fleet", &world.nats.url(), "events"]);
        Program::start(command.args(arguments))
    };
    let stopped = events(&[]);
    stopped.signal(Signal::STOP);
    let mut connections = 0;
    until("the server to wait for a viewer", || {
        connections += world.curl(20);
        is_full(&world.a, &unread).then_some(())
    });
    // Another viewer gets every event, and both hosts answer.
    let mut listening = events(&["-n", "300", "--host", "h2"]);
    until("the events", || {
        connections += world.curl(20);
        listening.ended()
    });
    let events = objects(&listening.finish());
    let first = events[0]["seq"].as_u64().unwrap();
    for (number, event) in (first..).zip(&events) {
        assert_eq!(
            (&event["seq"], &event["host"]),
            (&number.into(), &"h2".into())
        );
        assert_eq!(event["lost"], 0, "{event}");
    }
    let listed = world.view(&["--json", "sockets"]);
    let hosts: BTreeSet<_> = objects(&listed)
        .iter()
        .map(|socket| socket["host"].to_string())
        .collect();
    assert_eq!((hosts.len(), listed.stderr.as_str()), (2, ""));
    assert_records(&world.nats, connections);
    assert!(is_full(&world.a, &unread), "the viewer has read nothing");
    for host in [&world.h1, &world.h2] {
        let stats = host.daemon.rpc().ok("stats", json!({}));
        assert_eq!(stats["rpc"]["events_lost"], 0, "{stats}");
    }
    stopped.signal(Signal::KILL);
    stopped.finish();
}

#[test]
fn a_host_with_a_cut_link_is_silent_and_returns() {
    needs!("nats-server", "nginx", "curl");
    let world = World::start();
    // The relay gets the events of these connections when the link is cut.
    let relay = world.h2.relay.as_ref().unwrap();
    relay.signal(Signal::STOP);
    let mut connections = world.curl(20);
    world.b.ip("link set veth down");
    let cut = Instant::now();
    relay.signal(Signal::CONT);
    let listed = world.view(&["--json", "sockets"]);
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
    // Its heartbeat is 30 s old.
    within(HEARTBEAT, "the hosts", || world.has_hosts(&["h1"]));
    within(HEARTBEAT, "the time without a link", || {
        (cut.elapsed() >= CUT).then_some(())
    });
    assert_eq!(
        world.nats.count("MON_FLOWS"),
        Some(connections),
        "those of h1"
    );
    world.b.ip("link set veth up");
    world.b.until_up("veth");
    within(HEARTBEAT, "the hosts", || world.has_hosts(&["h1", "h2"]));
    until("the host to answer", || {
        let listed = world.view(&["--json", "sockets"]);
        listed.stderr.is_empty().then_some(())
    });
    connections += world.curl(20);
    assert_records(&world.nats, connections);
}
