//! Live export: to a file, a pipe, and clients of PCAP-over-IP.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use monitor_tests::wiregen::Random;
use monitor_tests::{Daemon, Network, Pair, Program, Transfer, exchange, monitorctl, needs, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{Exported, ctl};

pub const TAP: &str =
    "[capture]\ninterfaces = ['veth']\n[store]\nwindow = '8MiB'\nmemory = '128MiB'\n";

/// Starts a live export and waits until it is subscribed.
pub fn start(daemon: &Daemon, args: &[&str], exported: &Exported) -> Program {
    let mut rpc = daemon.rpc();
    let before = rpc.stat("rpc", "listeners");
    let mut command = ctl(daemon, &["export", "--live", "-o"]);
    let program = Program::start(command.arg(exported.path()).args(args));
    until("the subscription", || {
        (rpc.stat("rpc", "listeners") > before).then_some(())
    });
    program
}

pub fn empty() -> Exported {
    Exported {
        dir: tempfile::tempdir().unwrap(),
    }
}

#[test]
fn new_connections_join_and_an_interrupt_completes_the_file() {
    needs!("tshark", "capinfos");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, TAP);
    let bytes = Random::new(1).bytes(3 << 20);
    let transfers = [
        Transfer {
            request: &bytes[..1 << 20],
            response: &bytes,
        },
        Transfer {
            request: b"a",
            response: b"b",
        },
    ];
    // One connection is stored, two more join.
    let address = |port| SocketAddr::new("10.9.0.1".parse().unwrap(), port);
    exchange(&a, &b, address(7000), &transfers[1..]);
    let mut rpc = daemon.rpc();
    rpc.complete(7000, 1);
    let exported = empty();
    let export = start(&daemon, &["--filter", "portrange 7000-7001"], &exported);
    exchange(&a, &b, address(7001), &transfers);
    let sockets = rpc.complete(7001, 2);
    // The daemon's last events may be on their way.
    until("both ends of three connections", || {
        let fins = exported.tshark_partial(&["-Y", "tcp.flags.fin == 1"]);
        (fins.lines().count() == 6).then_some(())
    });
    export.signal(Signal::INT);
    let finished = export.finish();
    assert!(finished.status.success(), "{}", finished.stderr);
    assert!(
        finished.text().starts_with("3 connections"),
        "{}",
        finished.text()
    );
    let described = Program::run(Command::new("capinfos").arg(exported.path())).text();
    assert!(
        described.contains("Number of stat entries = 1"),
        "{described}"
    );
    exported.is_clean();
    for number in 0..3 {
        let fields = ["-T", "fields", "-e", "tcp.srcport"];
        let only = format!("tcp.stream == {number} and tcp.flags.syn == 1 and tcp.flags.ack == 0");
        let port = exported.tshark(&[&["-Y", &only][..], &fields].concat());
        let streams = exported.streams(number);
        let client = format!("10.9.0.2:{}", port.trim());
        match sockets.iter().find(|socket| socket["client"] == client) {
            Some(socket) => {
                let sockid = socket["sockid"].as_u64().unwrap();
                assert!(streams[0] == rpc.stream(sockid, "server"));
                assert!(streams[1] == rpc.stream(sockid, "client"));
            }
            None => assert_eq!(streams, [b"a", b"b"], "the stored one"),
        }
    }
    daemon.stop();
}

#[test]
fn a_named_connection_is_exported_to_its_end() {
    needs!("tshark");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, TAP);
    let listener = a.enter(|| TcpListener::bind("10.9.0.1:7000")).unwrap();
    let mut client = b.enter(|| TcpStream::connect("10.9.0.1:7000")).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"before").unwrap();
    let mut rpc = daemon.rpc();
    let sockid = until("the first bytes", || {
        let socket = rpc.sockets(json!({"port": 7000})).pop()?;
        (socket["sides"]["server"]["next"] == 6).then(|| socket["sockid"].as_u64())?
    });
    let exported = empty();
    let export = start(&daemon, &[&sockid.to_string()], &exported);
    server.write_all(b"answer").unwrap();
    until("the answer in the file", || {
        let shown = exported.tshark_partial(&["-Y", "tcp.len == 6 and tcp.srcport == 7000"]);
        (!shown.is_empty()).then_some(())
    });
    client.write_all(b" after").unwrap();
    drop((client, server));
    let finished = export.finish();
    assert!(finished.status.success(), "{}", finished.stderr);
    assert_eq!(exported.streams(0), [&b"before after"[..], b"answer"]);
    exported.is_clean();
    daemon.stop();
}

#[test]
fn several_named_connections_are_exported_without_others() {
    needs!("tshark");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, TAP);
    let listener = a.enter(|| TcpListener::bind("[fd09::1]:7000")).unwrap();
    let mut pairs: Vec<_> = b.enter(|| {
        let connect = |_| {
            let client = TcpStream::connect("[fd09::1]:7000").unwrap();
            (client, listener.accept().unwrap().0)
        };
        (0..3).map(connect).collect()
    });
    let mut rpc = daemon.rpc();
    let sockids = pairs[..2].iter().map(|(client, _)| {
        let client = client.local_addr().unwrap().to_string();
        let params = json!({"client": client, "server": "[fd09::1]:7000"});
        until("the connection", || {
            rpc.call("lookup", params.clone()).ok()?["sockid"].as_u64()
        })
    });
    let sockids: Vec<_> = sockids.map(|sockid| sockid.to_string()).collect();
    let exported = empty();
    let args: Vec<_> = sockids.iter().map(String::as_str).collect();
    let export = start(&daemon, &args, &exported);
    for (number, (client, _)) in pairs.iter_mut().enumerate() {
        client.write_all(&[b'0' + number as u8]).unwrap();
    }
    let other = pairs.pop();
    // Their servers read everything, so that no end is a reset.
    for (_, server) in &mut pairs {
        server.read_exact(&mut [0]).unwrap();
    }
    drop(pairs);
    let finished = export.finish();
    assert!(finished.status.success(), "{}", finished.stderr);
    let sent = exported.tshark(&["-Y", "tcp.len > 0", "-T", "fields", "-e", "tcp.payload"]);
    let mut sent: Vec<_> = sent.lines().collect();
    sent.sort_unstable();
    assert_eq!(sent, ["30", "31"]);
    drop(other);
    daemon.stop();
}

#[test]
fn a_reader_that_leaves_ends_the_export_without_a_word() {
    needs!();
    let Pair { a, b: _b } = Network::default().pair();
    let daemon = Daemon::start(&a, TAP);
    // No packet arrives any more that would show the closed pipe.
    let line = format!(
        "set -o pipefail; {} --socket {} export --live --all | head -c 4 | od -An -tx1",
        monitorctl().display(),
        daemon.socket().display()
    );
    let finished = Program::run(Command::new("bash").args(["-c", &line]));
    assert_eq!(finished.text().trim(), "0a 0d 0d 0a");
    assert_eq!(finished.stderr, "");
    daemon.stop();
}

#[test]
fn each_client_of_pcap_over_ip_gets_a_whole_file() {
    needs!("tshark");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, TAP);
    let bytes = Random::new(2).bytes(1 << 20);
    let transfer = [Transfer {
        request: &bytes,
        response: b"done",
    }];
    let server: SocketAddr = "10.9.0.1:7000".parse().unwrap();
    exchange(&a, &b, server, &transfer);
    let mut rpc = daemon.rpc();
    rpc.complete(7000, 1);
    let args = ["export", "--live", "--all", "--listen", "127.0.0.1:0"];
    let export = Program::start(&mut ctl(&daemon, &args));
    let address = address_of(&export);
    // A client that never reads holds up no other.
    let _slow = TcpStream::connect(address).unwrap();
    until("the slow client's subscription", || {
        (rpc.stat("rpc", "listeners") == 1).then_some(())
    });
    let mut fast = TcpStream::connect(address).unwrap();
    until("the fast client's subscription", || {
        (rpc.stat("rpc", "listeners") == 2).then_some(())
    });
    exchange(&a, &b, server, &transfer);
    rpc.complete(7000, 2);
    let received = empty();
    let mut file = fs::File::create(received.path()).unwrap();
    let mut buffer = vec![0; 1 << 16];
    until("both connections", || {
        let count = fast.read(&mut buffer).unwrap();
        file.write_all(&buffer[..count]).unwrap();
        let length = file.metadata().unwrap().len();
        let fins = || received.tshark_partial(&["-Y", "tcp.flags.fin == 1"]);
        (length > 2 * bytes.len() as u64 && fins().lines().count() == 4).then_some(())
    });
    for number in 0..2 {
        let shown = received.tshark_partial(&["-q", "-z", &format!("follow,tcp,raw,{number}")]);
        assert!(crate::followed(&shown) == [&bytes[..], b"done"]);
    }
    // Wireshark and tshark read it by themselves.
    let mut reading = Command::new("tshark");
    reading.args(["-n", "-c", "10", "-i", &format!("TCP@{address}")]);
    let shown = Program::run(&mut reading).text();
    assert_eq!(shown.lines().count(), 10, "{shown}");
    drop(export);

    // Without --live the file ends.
    let args = ["export", "--all", "--listen", "127.0.0.1:0"];
    let export = Program::start(&mut ctl(&daemon, &args));
    let mut stored = Vec::new();
    let mut client = TcpStream::connect(address_of(&export)).unwrap();
    client.read_to_end(&mut stored).unwrap();
    fs::write(received.path(), &stored).unwrap();
    received.is_clean();
    assert!(received.streams(1) == [&bytes[..], b"done"]);
    drop(export);

    let args = ["export", "--all", "--listen", "0.0.0.0:0"];
    let refused = Program::start(&mut ctl(&daemon, &args)).finish();
    assert!(
        refused.stderr.contains("--listen-anywhere"),
        "{}",
        refused.stderr
    );
    daemon.stop();
}

/// Returns the address that an export with --listen reports.
pub fn address_of(export: &Program) -> SocketAddr {
    until("the address", || {
        let text = export.stderr();
        text.trim().rsplit_once(' ')?.1.parse().ok()
    })
}

#[test]
fn a_reader_that_is_too_slow_for_the_events_loses_no_bytes() {
    needs!("tshark", "mkfifo");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, TAP);
    let exported = empty();
    let pipe = exported.dir.path().join("pipe");
    Program::run(Command::new("mkfifo").arg(&pipe));
    let mut command = ctl(&daemon, &["export", "--live", "--all", "-o"]);
    let export = Program::start(command.arg(&pipe));
    let mut reader = fs::File::open(&pipe).unwrap();
    let mut rpc = daemon.rpc();
    until("the subscription", || {
        (rpc.stat("rpc", "listeners") > 0).then_some(())
    });
    let listener = a.enter(|| TcpListener::bind("10.9.0.1:7000")).unwrap();
    let mut pairs: Vec<_> = b.enter(|| {
        let connect = |_| {
            let client = TcpStream::connect("10.9.0.1:7000").unwrap();
            client.set_nodelay(true).unwrap();
            (client, listener.accept().unwrap().0)
        };
        (0..64).map(connect).collect()
    });
    // The pipe fills, then the queue of events.
    let rounds = 2000;
    for round in 0..rounds {
        for (client, _) in &mut pairs {
            client.write_all(&[round as u8; 3]).unwrap();
        }
        // The monitor itself must keep up.
        if round % 50 == 49 {
            until("the bytes of all connections", || {
                let sockets = rpc.sockets(json!({"port": 7000}));
                let arrived =
                    |socket: &&Value| socket["sides"]["server"]["next"] == 3 * (round + 1);
                (sockets.iter().filter(arrived).count() == 64).then_some(())
            });
        }
    }
    for (_, server) in &mut pairs {
        server.read_exact(&mut vec![0; 3 * rounds]).unwrap();
    }
    drop(pairs);
    rpc.complete(7000, 64);
    let mut file = fs::File::create(exported.path()).unwrap();
    let copy = std::thread::spawn(move || std::io::copy(&mut reader, &mut file));
    until("both ends of all connections", || {
        let fins = exported.tshark_partial(&["-Y", "tcp.flags.fin == 1"]);
        (fins.lines().count() == 128).then_some(())
    });
    export.signal(Signal::INT);
    assert!(export.finish().status.success());
    copy.join().unwrap().unwrap();
    exported.is_clean();
    let payloads = exported.tshark(&["-T", "fields", "-e", "tcp.stream", "-e", "tcp.payload"]);
    let mut streams = vec![String::new(); 64];
    for line in payloads.lines() {
        let (stream, payload) = line.split_once('\t').unwrap();
        streams[stream.parse::<usize>().unwrap()].push_str(payload);
    }
    assert!(rpc.stat("rpc", "events_lost") > 0);
    let expected: String = (0..rounds)
        .map(|n| format!("{0:02x}", n as u8).repeat(3))
        .collect();
    assert!(streams.iter().all(|stream| *stream == expected));
    daemon.stop();
}

impl Exported {
    /// Runs tshark on a file that is being written: its last block may be cut off.
    pub fn tshark_partial(&self, args: &[&str]) -> String {
        let copy = self.dir.path().join("partial");
        if fs::copy(self.path(), &copy).is_err() {
            return String::new();
        }
        let mut command = Command::new("tshark");
        Program::start(command.arg("-n").arg("-r").arg(copy).args(args))
            .finish()
            .text()
    }
}

#[test]
fn a_terminal_gets_no_capture() {
    needs!("script");
    let Pair { a, b: _b } = Network::default().pair();
    let daemon = Daemon::start(&a, TAP);
    let line = format!(
        "{} --socket {} export --all",
        monitorctl().display(),
        daemon.socket().display()
    );
    let mut script = Command::new("script");
    let finished = Program::start(script.args(["-qec", &line, "/dev/null"])).finish();
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished.text().contains("name a file with -o"),
        "{}",
        finished.text()
    );
    daemon.stop();
}
