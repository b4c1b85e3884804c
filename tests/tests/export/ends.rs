//! Ends of connections: FINs at their times, and RSTs from their senders.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use monitor_tests::wiregen::{End, Flow, Layers};
use monitor_tests::{Daemon, Network, Pair, Program, needs, until};
use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;
use serde_json::json;

use crate::live::{TAP, empty, start};
use crate::{Exported, replayed};

/// Largest difference between the times of two captures, in seconds.
const BOUND: f64 = 0.001;

#[test]
fn a_fin_is_exported_when_it_is_sent() {
    needs!("tshark");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, TAP);
    let listener = a.enter(|| TcpListener::bind("10.9.0.1:7000")).unwrap();
    let exported = empty();
    let export = start(&daemon, &["--filter", "port 7000"], &exported);
    let mut client = b.enter(|| TcpStream::connect("10.9.0.1:7000")).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"request").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    server.read_exact(&mut [0; 7]).unwrap();
    // The other direction is still open.
    until("the first FIN in the file", || {
        let shown = exported.tshark_partial(&["-Y", "tcp.flags.fin == 1"]);
        (shown.lines().count() == 1).then_some(())
    });
    server.write_all(b"response").unwrap();
    drop(server);
    client.read_to_end(&mut Vec::new()).unwrap();
    until("the second FIN in the file", || {
        let shown = exported.tshark_partial(&["-Y", "tcp.flags.fin == 1"]);
        (shown.lines().count() == 2).then_some(())
    });
    export.signal(Signal::INT);
    assert!(export.finish().status.success());
    exported.is_clean();
    let fields =
        "-Y;tcp.len > 0 or tcp.flags.fin == 1;-T;fields;-e;tcp.srcport;-e;tcp.flags.fin;-e;tcp.len";
    let shown = exported.tshark(&fields.split(';').collect::<Vec<_>>());
    let rows: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let from_server: Vec<bool> = rows.iter().map(|row| row[0] == "7000").collect();
    assert_eq!(from_server, [false, false, true, true], "{shown}");
    let fins: Vec<bool> = rows
        .iter()
        .map(|row| matches!(row[1], "1" | "True"))
        .collect();
    assert_eq!(fins, [false, true, false, true], "{shown}");
    daemon.stop();
}

/// Segment that ends something: time in seconds, true if the server sent it, flags FIN and RST.
type Ending = (f64, bool, [bool; 2]);

/// Returns the FINs and RSTs in a file by the client's port, in their order.
fn endings(file: &Path) -> BTreeMap<u16, Vec<Ending>> {
    let shown = "-Y;tcp.flags.fin == 1 or tcp.flags.reset == 1;-T;fields;-e;frame.time_epoch;-e;tcp.srcport;-e;tcp.dstport;-e;tcp.flags.fin;-e;tcp.flags.reset";
    let mut command = Command::new("tshark");
    let command = command.arg("-n").arg("-r").arg(file);
    // A file that is still written may end within a packet.
    let text = Program::start(command.args(shown.split(';')))
        .finish()
        .text();
    let mut endings: BTreeMap<u16, Vec<Ending>> = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let is_set = |field: &str| matches!(field, "1" | "True");
        let [from, to]: [u16; 2] = [fields[1], fields[2]].map(|port| port.parse().unwrap());
        let is_server = (7000..7010).contains(&from);
        endings
            .entry(if is_server { to } else { from })
            .or_default()
            .push((
                fields[0].parse().unwrap(),
                is_server,
                [is_set(fields[3]), is_set(fields[4])],
            ));
    }
    endings
}

/// Ends connections in every way, with pauses. Returns the client's ports with the senders of FINs and RSTs that each has:
/// true is the server.
fn end_connections(connect: impl Fn() -> (TcpStream, TcpStream)) -> BTreeMap<u16, Vec<bool>> {
    let pause = || std::thread::sleep(Duration::from_millis(5));
    let mut expected = BTreeMap::new();
    let mut begin = |senders: &[bool]| {
        let (mut client, mut server) = connect();
        expected.insert(client.local_addr().unwrap().port(), senders.to_vec());
        client.write_all(b"request").unwrap();
        server.read_exact(&mut [0; 7]).unwrap();
        pause();
        server.write_all(b"response").unwrap();
        client.read_exact(&mut [0; 8]).unwrap();
        pause();
        (client, server)
    };
    let linger = |stream: &TcpStream| set_socket_linger(stream, Some(Duration::ZERO)).unwrap();

    // The client closes its half, and the server goes on.
    let (mut client, mut server) = begin(&[false, true]);
    client.shutdown(Shutdown::Write).unwrap();
    server.read_to_end(&mut Vec::new()).unwrap();
    for _ in 0..10 {
        pause();
        server.write_all(&[7; 5000]).unwrap();
    }
    pause();
    drop(server);
    client.read_to_end(&mut Vec::new()).unwrap();
    pause();

    // The server closes first.
    let (mut client, server) = begin(&[true, false]);
    drop(server);
    client.read_to_end(&mut Vec::new()).unwrap();
    pause();
    drop(client);
    pause();

    // Either end resets.
    let (client, server) = begin(&[false]);
    linger(&client);
    drop(client);
    pause();
    drop(server);
    let (client, server) = begin(&[true]);
    linger(&server);
    drop(server);
    pause();
    drop(client);

    // The client closes its half, and resets when it doesn't want the answer.
    let (client, mut server) = begin(&[false, false]);
    client.shutdown(Shutdown::Write).unwrap();
    server.read_to_end(&mut Vec::new()).unwrap();
    pause();
    server.write_all(b"unwanted").unwrap();
    client.peek(&mut [0; 8]).unwrap();
    pause();
    drop(client);
    pause();

    // The server closes its half, and resets.
    let (mut client, server) = begin(&[true, true]);
    server.shutdown(Shutdown::Write).unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    pause();
    linger(&server);
    drop(server);
    pause();
    expected
}

/// Packet sockets: the daemon and tcpdump both have the kernel's timestamps, so the load of the machine is irrelevant.
#[test]
fn stored_connections_end_as_tcpdump_has_seen_it() {
    needs!("tshark", "tcpdump");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &TAP.replace("[store]", "path = 'packet'\n[store]"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tcpdump.pcap");
    let mut command = a.command("tcpdump");
    let options = "-i veth -n --time-stamp-precision=nano --immediate-mode -U -Z root";
    command.args(options.split(' ')).arg("-w").arg(&file);
    let tcpdump = Program::start(command.arg("tcp"));
    until("tcpdump to listen", || {
        tcpdump.stderr().contains("listening on veth").then_some(())
    });

    let listener = a.enter(|| TcpListener::bind("10.9.0.1:7000")).unwrap();
    let mut expected = end_connections(|| {
        let client = b.enter(|| TcpStream::connect("10.9.0.1:7000")).unwrap();
        (client, listener.accept().unwrap().0)
    });
    // Nothing listens there.
    let refused = b.enter(|| TcpStream::connect("10.9.0.1:7001"));
    refused.unwrap_err();
    let count = expected.values().map(Vec::len).sum::<usize>() + 1;
    let seen = until("tcpdump to write all endings", || {
        let seen = endings(&file);
        (seen.values().map(Vec::len).sum::<usize>() == count).then_some(seen)
    });
    tcpdump.signal(Signal::INT);
    tcpdump.finish();
    for port in seen.keys() {
        expected.entry(*port).or_insert(vec![true]);
    }
    let senders = |all: &BTreeMap<u16, Vec<Ending>>| -> BTreeMap<u16, Vec<bool>> {
        all.iter()
            .map(|(port, endings)| (*port, endings.iter().map(|it| it.1).collect()))
            .collect()
    };
    assert_eq!(senders(&seen), expected, "the connections end as intended");
    let mut rpc = daemon.rpc();
    until("the ends are captured", || {
        let sockets = rpc.sockets(json!({ "closed": true }));
        (sockets.len() == expected.len()).then_some(())
    });

    let exported = Exported::new(&daemon, &["--all"]);
    exported.is_clean();
    let stored = endings(&exported.path());
    assert_eq!(senders(&stored), expected);
    let mut latest = 0.0_f64;
    for (port, seen) in &seen {
        for (stored, seen) in stored[port].iter().zip(seen) {
            assert_eq!(stored.2, seen.2, "FIN or RST: {port}");
            let late = stored.0 - seen.0;
            assert!(late.abs() < BOUND, "{port}: {stored:?} is late by {late}");
            latest = latest.max(late.abs());
        }
    }
    eprintln!("largest difference: {latest}");
    daemon.stop();
}

#[test]
fn bytes_on_their_way_follow_the_rst() {
    needs!("tshark");
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open()
        .send(End::Client, b"request")
        .wait(50_000_000)
        .reset(End::Server)
        .wait(50_000_000)
        .segment(End::Client, 0x10, b" and more")
        .wait(50_000_000)
        .reset(End::Server);
    let daemon = replayed(&[&flow], &Layers::ethernet(), "");
    let exported = Exported::new(&daemon, &["--all"]);
    exported.is_clean();
    let fields = "-Y;tcp.len > 0 or tcp.flags.reset == 1;-T;fields;-e;tcp.srcport;-e;tcp.len;-e;frame.time_relative";
    let shown = exported.tshark(&fields.split(';').collect::<Vec<_>>());
    let rows: Vec<(&str, &str, f64)> = shown
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .map(|row| (row[0], row[1], row[2].parse().unwrap()))
        .collect();
    let order: Vec<_> = rows.iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(order, [("40000", "7"), ("80", "0"), ("40000", "9")]);
    let step = rows[1].2 - rows[0].2;
    assert!(
        (0.05..0.06).contains(&step),
        "the RST has its time: {shown}"
    );
    let step = rows[2].2 - rows[1].2;
    assert!((0.05..0.06).contains(&step), "so have the bytes: {shown}");
    daemon.stop();
}
