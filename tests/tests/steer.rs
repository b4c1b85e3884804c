//! `stop` and `configure` while real packets come.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use monitor_tests::wiregen::flags::{ACK, PSH, SYN};
use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use monitor_tests::{
    DEADLINE, Daemon, Namespace, Network, Pair, Rpc, Transfer, exchange, inject, needs, until,
};
use rustix::net::{AddressFamily, SocketType, sockopt};
use serde_json::{Value, json};

const SERVER: &str = "10.9.0.1:7000";
const CLIENT: &str = "10.9.0.2:4000";
const CHUNK: usize = 20_000;

fn settings(mode: &str) -> String {
    format!(
        "[capture]\nmode = '{mode}'\ninterfaces = ['veth']\nworkers = 2\nbuffers = '64MiB'\n\
         [store]\nwindow = '1MiB'\nmemory = '64MiB'\n"
    )
}

/// Returns the stream of a client: each byte follows from its offset.
fn content(from: usize, len: usize) -> Vec<u8> {
    (from..from + len)
        .map(|at| (at ^ at >> 8 ^ at >> 16).wrapping_mul(131) as u8)
        .collect()
}

/// A connection between the very same ends as any other that this makes.
fn connect(listener: &TcpListener, client: &Namespace) -> (TcpStream, TcpStream) {
    let (from, to): (SocketAddr, SocketAddr) = (CLIENT.parse().unwrap(), SERVER.parse().unwrap());
    let client: OwnedFd = client.enter(|| {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_reuseaddr(&socket, true).unwrap();
        // Closed by a RST: the ends are free at once.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).unwrap();
        rustix::net::bind(&socket, &from).unwrap();
        rustix::net::connect(&socket, &to).unwrap();
        socket
    });
    let (server, _) = listener.accept().unwrap();
    let client = TcpStream::from(client);
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
    }
    (client, server)
}

/// Sends without an end until `during` returns, then checks that everything arrived.
fn transfer<T>(client: &TcpStream, server: &TcpStream, during: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0;
            while !done.load(Relaxed) {
                (&mut &*client).write_all(&content(sent, CHUNK)).unwrap();
                sent += CHUNK;
                thread::sleep(Duration::from_millis(2));
            }
            client.shutdown(std::net::Shutdown::Write).unwrap();
            sent
        });
        let receiver = scope.spawn(|| {
            let (mut got, mut buffer) = (0, vec![0; 1 << 16]);
            loop {
                let read = (&mut &*server).read(&mut buffer).unwrap();
                if read == 0 {
                    return got;
                }
                assert!(
                    buffer[..read] == content(got, read)[..],
                    "the transfer is harmed at {got}"
                );
                got += read;
            }
        });
        let looked = Ended(&done).when(during);
        assert_eq!(
            sender.join().unwrap(),
            receiver.join().unwrap(),
            "all that was sent arrived"
        );
        looked
    })
}

/// Ends the sender, also when a test fails: the scope waits for it.
struct Ended<'a>(&'a AtomicBool);

impl Ended<'_> {
    fn when<T>(self, during: impl FnOnce() -> T) -> T {
        during()
    }
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Waits until the server of the only connection has received `bytes`.
fn running(rpc: &mut Rpc, bytes: u64) -> u64 {
    let socket = until("the transfer to run", || {
        let socket = rpc.sockets(json!({"port": 7000})).pop()?;
        (socket["sides"]["server"]["next"].as_u64() > Some(bytes)).then_some(socket)
    });
    socket["sockid"].as_u64().unwrap()
}

fn captured(rpc: &mut Rpc) -> (u64, u64) {
    (
        rpc.stat("capture", "tap_cloned"),
        rpc.stat("capture", "rx_packets"),
    )
}

#[test]
fn a_running_transfer_is_stopped_and_goes_on_unseen() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &settings("tap"));
    let mut rpc = daemon.rpc();
    let listener = a.enter(|| TcpListener::bind(SERVER)).unwrap();
    let (client, server) = connect(&listener, &b);
    let sockid = transfer(&client, &server, || {
        let sockid = running(&mut rpc, 100_000);
        let stopped = rpc.ok("stop", json!({"sockid": sockid}));
        assert_eq!(stopped["closed"], "stopped");
        until("packets to be shunted", || {
            (rpc.stat("capture", "tap_shunted") > 0).then_some(())
        });
        // Those that were on their way are through when their worker has nothing more to drop.
        let still = until("the last packets to be dropped", || {
            let (before, dropped) = (captured(&mut rpc), rpc.stat("flows", "stopped_segments"));
            thread::sleep(Duration::from_millis(50));
            let same =
                (captured(&mut rpc), rpc.stat("flows", "stopped_segments")) == (before, dropped);
            same.then_some(before)
        });
        let shunted = rpc.stat("capture", "tap_shunted");
        until("more packets", || {
            (rpc.stat("capture", "tap_shunted") > shunted + 100).then_some(())
        });
        assert_eq!(captured(&mut rpc), still, "what is shunted is not captured");
        assert_eq!(rpc.stat("capture", "shunted_flows"), 1);
        sockid
    });
    let side = rpc.side(sockid, "server");
    let (base, end) = (
        side["base"].as_u64().unwrap(),
        side["end"].as_u64().unwrap(),
    );
    let (_, bytes) = rpc.ppeek(sockid, "server", base, end - base).unwrap();
    assert!(
        bytes == content(base as usize, bytes.len()) && bytes.len() as u64 == end - base,
        "it can be read"
    );
    assert_eq!(
        rpc.sockets(json!({"port": 7000})).len(),
        1,
        "nothing of it came back midstream"
    );

    // Between the same ends.
    drop((client, server));
    let (client, server) = connect(&listener, &b);
    let new = transfer(&client, &server, || {
        until("the new connection", || {
            let found = rpc
                .call("lookup", json!({"client": CLIENT, "server": SERVER}))
                .ok()?;
            let seen = found["sides"]["server"]["next"].as_u64() > Some(100_000);
            (found["sockid"] != sockid && seen).then_some(found)
        })
    });
    assert_eq!(
        (&new["closed"], &new["midstream"]),
        (&Value::Null, &json!(false))
    );
    let new = new["sockid"].as_u64().unwrap();
    let base = rpc.side(new, "server")["base"].as_u64().unwrap();
    let (_, bytes) = rpc.ppeek(new, "server", base, 1000).unwrap();
    assert!(bytes == content(base as usize, 1000));
    assert_eq!(
        rpc.ok("info", json!({"sockid": sockid}))["closed"],
        "stopped",
        "the old one is still there"
    );
    daemon.stop();
}

#[test]
fn one_side_is_stopped_and_a_window_is_set_while_bytes_come() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &settings("tap"));
    let mut rpc = daemon.rpc();
    let listener = a.enter(|| TcpListener::bind(SERVER)).unwrap();
    let (client, server) = connect(&listener, &b);
    transfer(&client, &server, || {
        let sockid = running(&mut rpc, 300_000);
        let side =
            rpc.ok("configure", json!({"sockid": sockid, "window": 50_000}))["sides"]["server"]
                .take();
        let span = |side: &Value| side["end"].as_u64().unwrap() - side["base"].as_u64().unwrap();
        assert_eq!((span(&side), &side["window"]), (50_000, &json!(50_000)));
        let end = side["end"].as_u64().unwrap();
        let later = until("more bytes", || {
            let side = rpc.side(sockid, "server");
            (side["end"].as_u64().unwrap() > end + 200_000).then_some(side)
        });
        assert_eq!(span(&later), 50_000);

        let side =
            rpc.ok("stop", json!({"sockid": sockid, "side": "server"}))["sides"]["server"].take();
        assert_eq!(
            (&side["enabled"], &side["retained"]),
            (&json!(false), &json!(0))
        );
        let next = side["next"].as_u64().unwrap();
        until("its edge to go on", || {
            (rpc.side(sockid, "server")["next"].as_u64().unwrap() > next + 200_000).then_some(())
        });
        assert_eq!(
            rpc.ppeek(sockid, "server", next, 10).unwrap_err().data["errno"],
            "EINVAL"
        );
        (&mut &server).write_all(b"the other side").unwrap();
        until("the other side", || {
            let bytes = rpc.ppeek(sockid, "client", 0, 100).ok()?.1;
            (bytes == b"the other side").then_some(())
        });
        assert_eq!(rpc.stat("capture", "tap_shunted"), 0);
    });
    daemon.stop();
}

#[test]
fn rules_are_followed_by_connections_to_come() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &settings("tap"));
    let mut rpc = daemon.rpc();
    let rule = rpc.ok(
        "configure",
        json!({"filter": "dst port 7001", "side": "client", "enabled": false}),
    );
    let bytes = Random::new(1).bytes(300_000);
    let transfers = [Transfer {
        request: &bytes[..5000],
        response: &bytes,
    }];
    let check = |rpc: &mut Rpc, port: u16, kept: u64| {
        exchange(
            &a,
            &b,
            format!("10.9.0.1:{port}").parse().unwrap(),
            &transfers,
        );
        let socket = rpc.complete(port, 1).remove(0);
        let retained = |side: &str| socket["sides"][side]["retained"].as_u64().unwrap();
        assert_eq!(
            (retained("client"), retained("server")),
            (kept, 5000),
            "port {port}"
        );
        assert_eq!(socket["sides"]["client"]["fin"], 300_000, "port {port}");
    };
    check(&mut rpc, 7001, 0);
    check(&mut rpc, 7002, 300_000);
    rpc.ok("configure", json!({"rule": rule["rule"], "remove": true}));
    let rule = rpc.ok(
        "configure",
        json!({"filter": "net 10.9.0.0/16", "side": "client", "window": 10_000}),
    );
    assert!(rule["rule"].is_u64());
    check(&mut rpc, 7003, 10_000);
    daemon.stop();
}

/// The segments of a flow from one on.
fn rest(flow: &Flow, from: usize) -> Capture {
    let mut rest = flow.clone();
    rest.segments.drain(..from);
    Capture::of(
        &Layers {
            tags: vec![(0x8100, 7)],
            ..Layers::ethernet()
        },
        &rest,
    )
}

#[test]
fn at_a_mirror_port_a_stopped_connection_ends_in_the_driver() {
    needs!("python3");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &settings("mirror"));
    let mut rpc = daemon.rpc();
    let mut flow = Flow::new("192.0.2.1:40000", "192.0.2.2:80");
    flow.mss = 1400;
    flow.open().send(End::Client, b"request");
    inject(&b, "veth", &rest(&flow, 0), &[0]);
    let seen = until("the request", || {
        let socket = rpc.sockets(json!({"port": 80})).pop()?;
        (socket["sides"]["server"]["next"] == 7).then_some(socket)
    });
    assert_eq!(seen["vlan"], json!([7]));
    let sockid = seen["sockid"].as_u64().unwrap();
    rpc.ok("stop", json!({"sockid": sockid}));
    until("the flow to be shunted", || {
        (rpc.stat("capture", "shunted_flows") == 1).then_some(())
    });
    let packets = rpc.stat("capture", "rx_packets");
    let before = flow.segments.len();
    flow.send(End::Server, &Random::new(2).bytes(100_000));
    let more = rest(&flow, before);
    inject(&b, "veth", &more, &[0]);
    until("all to be shunted", || {
        (rpc.stat("capture", "xdp_shunted") == more.frames.len() as u64).then_some(())
    });
    assert_eq!(rpc.stat("capture", "rx_packets"), packets);
    assert_eq!(rpc.side(sockid, "client")["end"], 0);

    let mut again = Flow::new("192.0.2.1:40000", "192.0.2.2:80");
    again
        .isn(900_000, 800_000)
        .open()
        .send(End::Client, b"another request");
    inject(&b, "veth", &rest(&again, 0), &[0]);
    until("the new connection", || {
        let found = rpc.ok(
            "lookup",
            json!({"client": "192.0.2.1:40000", "server": "192.0.2.2:80"}),
        );
        (found["sockid"] != sockid && found["sides"]["server"]["next"] == 15).then_some(())
    });
    daemon.stop();
}

#[test]
fn another_overlap_policy_decides_on_a_live_connection() {
    needs!("python3");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &settings("mirror"));
    let mut rpc = daemon.rpc();
    for (port, policy, expected) in [(81, "last", b"xNEWNEWy"), (82, "first", b"xOLDOLDy")] {
        let mut flow = Flow::new("192.0.2.1:40000", &format!("192.0.2.2:{port}"));
        flow.open();
        let seq = |flow: &Flow, offset| flow.seq(End::Client, offset);
        let at = seq(&flow, 1);
        flow.segment_at(End::Client, at, PSH | ACK, b"OLDOLD");
        inject(&b, "veth", &rest(&flow, 0), &[0]);
        let socket = until("the segment ahead of a hole", || {
            let socket = rpc.sockets(json!({ "port": port })).pop()?;
            (socket["sides"]["server"]["end"] == 7).then_some(socket)
        });
        let sockid = socket["sockid"].as_u64().unwrap();
        let params = json!({"sockid": sockid, "side": "server", "overlap": policy});
        assert_eq!(
            rpc.ok("configure", params)["sides"]["server"]["overlap"],
            policy
        );
        let before = flow.segments.len();
        let (zero, seven) = (seq(&flow, 0), seq(&flow, 7));
        flow.segment_at(End::Client, at, PSH | ACK, b"NEWNEW");
        flow.segment_at(End::Client, seven, PSH | ACK, b"y")
            .segment_at(End::Client, zero, PSH | ACK, b"x");
        inject(&b, "veth", &rest(&flow, before), &[0]);
        let bytes = until("all bytes", || {
            rpc.ppeek(sockid, "server", 0, 100)
                .ok()
                .map(|(_, bytes)| bytes)
                .filter(|bytes| bytes.len() == 8)
        });
        assert_eq!(bytes, expected, "{policy}");
    }
    daemon.stop();
}

/// After the files' end there are workers still.
#[test]
fn connections_of_a_replay_are_stopped_and_configured() {
    let mut flow = Flow::new("192.0.2.1:40000", "192.0.2.2:80");
    flow.open().send(End::Client, &content(0, 100_000)).close();
    let mut stray = Flow::new("192.0.2.1:40001", "192.0.2.2:80");
    stray.segment(End::Client, SYN, &[]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("two.pcap");
    let captures = [&flow, &stray].map(|flow| Capture::of(&Layers::ethernet(), flow));
    std::fs::write(&file, Capture::mix(captures).pcap()).unwrap();
    let daemon = Daemon::replay(&[&file], "", &[]);
    daemon.finished();
    let mut rpc = daemon.rpc();
    let find = |rpc: &mut Rpc, client: &str| {
        rpc.ok(
            "lookup",
            json!({"client": client, "server": "192.0.2.2:80"}),
        )["sockid"]
            .as_u64()
            .unwrap()
    };
    let closed = find(&mut rpc, "192.0.2.1:40000");
    let side =
        rpc.ok("configure", json!({"sockid": closed, "window": 5000}))["sides"]["server"].take();
    assert_eq!(
        (&side["base"], &side["retained"]),
        (&json!(95_000), &json!(5000))
    );
    assert_eq!(
        rpc.ok("stop", json!({"sockid": closed}))["closed"],
        "fin",
        "it was over"
    );
    let open = find(&mut rpc, "192.0.2.1:40001");
    assert_eq!(rpc.ok("stop", json!({"sockid": open}))["closed"], "stopped");
    daemon.stop();
}
