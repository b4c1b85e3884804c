//! Stopping connections and sides.

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use monitor_tests::wiregen::{End, Flow, Random};
use monitor_tests::{Daemon, Network, Pair, inject, needs, until};
use serde_json::{Value, json};

use crate::{CLIENT, SERVER, captured, connect, content, rest, running, settings, transfer};

#[test]
fn a_running_transfer_is_stopped_and_continues_unmonitored() {
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
