//! Turns of a live conversation, beside a packet socket on the same interface.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use monitor_tests::{Daemon, Namespace, Network, Pair, Program, needs, until};
use serde_json::json;

const PAIRS: usize = 100;
const REQUEST: &[u8] = b"how late is it?";
const RESPONSE: &[u8] = b"later than it was";

/// Prints time (nanoseconds), source port and length of each TCP payload that crosses an interface, as the kernel stamps it.
const WITNESS: &str = r#"
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((sys.argv[1], 0))
TIMESTAMPNS = 35
s.setsockopt(socket.SOL_SOCKET, TIMESTAMPNS, 1)
print("ready", flush=True)
left = int(sys.argv[2])
while left:
    frame, control, _, _ = s.recvmsg(65536, 256)
    if frame[12:14] != b"\x08\x00" or frame[23] != 6:
        continue
    tcp = 14 + (frame[14] & 15) * 4
    length = struct.unpack_from("!H", frame, 16)[0] - (tcp - 14) - (frame[tcp + 12] >> 4) * 4
    if length > 0:
        seconds, nanoseconds = struct.unpack("qq", control[0][2][:16])
        print(seconds * 10**9 + nanoseconds, struct.unpack_from("!H", frame, tcp)[0], length, flush=True)
        left -= 1
"#;

fn ends(server: &Namespace, client: &Namespace) -> (TcpStream, TcpStream) {
    let address = "10.9.0.1:7000";
    let listener = server.enter(|| TcpListener::bind(address)).unwrap();
    let client = client.enter(|| TcpStream::connect(address)).unwrap();
    let server = listener.accept().unwrap().0;
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    (client, server)
}

#[test]
fn turns_have_the_order_and_the_times_of_a_packet_socket() {
    needs!("python3");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(
        &a,
        "[capture]\nmode = 'tap'\ninterfaces = ['veth']\n[store]\nmemory = '64MiB'\n",
    );
    let mut witness = a.command("python3");
    witness
        .args(["-c", WITNESS, "veth"])
        .arg((2 * PAIRS).to_string());
    let witness = Program::start(&mut witness);
    until("the packet socket is open", || {
        witness.stdout().starts_with(b"ready").then_some(())
    });

    let (mut client, mut server) = ends(&a, &b);
    let pause = || std::thread::sleep(Duration::from_millis(3));
    for _ in 0..PAIRS {
        client.write_all(REQUEST).unwrap();
        server.read_exact(&mut [0; REQUEST.len()]).unwrap();
        pause();
        server.write_all(RESPONSE).unwrap();
        client.read_exact(&mut [0; RESPONSE.len()]).unwrap();
        pause();
    }
    let seen = witness.finish().text();
    let seen: Vec<(f64, &str, usize)> = seen
        .lines()
        .skip(1)
        .map(|line| {
            let mut words = line.split(' ');
            let time: f64 = words.next().unwrap().parse().unwrap();
            let side = if words.next() == Some("7000") {
                "client"
            } else {
                "server"
            };
            (time / 1e9, side, words.next().unwrap().parse().unwrap())
        })
        .collect();

    let mut rpc = daemon.rpc();
    let sockid = until("the connection is captured", || {
        let sockets = rpc.sockets(json!({ "port": 7000 }));
        let socket = sockets.first()?;
        let received = &socket["sides"]["client"]["next"];
        (*received == PAIRS * RESPONSE.len()).then(|| socket["sockid"].as_u64().unwrap())
    });
    let reply = rpc.ok("turns", json!({ "sockid": sockid }));
    let turns = reply["turns"].as_array().unwrap();
    let order: Vec<_> = turns
        .iter()
        .map(|turn| {
            (
                turn["side"].as_str().unwrap(),
                turn["len"].as_u64().unwrap() as usize,
            )
        })
        .collect();
    let expected: Vec<_> = seen.iter().map(|&(_, side, len)| (side, len)).collect();
    assert_eq!(order, expected);
    assert_eq!(order.len(), 2 * PAIRS);
    let mut late: Vec<f64> = turns
        .iter()
        .zip(&seen)
        .map(|(turn, (time, ..))| (turn["time"].as_f64().unwrap() - time).abs())
        .collect();
    late.sort_by(f64::total_cmp);
    // A worker that waits for its processor stamps its packets later: a few may be late on a busy machine.
    assert!(late[late.len() * 9 / 10] < 0.001, "{late:?}");
    daemon.stop();
}
