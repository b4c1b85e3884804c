//! Turns of a live conversation, beside tcpdump on the same interface.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use monitor_tests::{Daemon, Namespace, Network, Pair, Program, needs, until};
use serde_json::{Value, json};

const PAIRS: usize = 100;
const REQUEST: &[u8] = b"how late is it?";
/// Pause before each request and response.
const PAUSE: Duration = Duration::from_millis(3);
/// Largest difference in seconds.
const BOUND: f64 = 0.001;
const RESPONSE: &[u8] = b"later than it was";
/// Seconds that the RPC's times are rounded by, as numbers of JSON.
const EXACT: f64 = 0.000_001;

/// Payload that tcpdump saw: time in seconds, receiving side, length.
type Seen = (f64, &'static str, usize);

/// tcpdump on the interface of the daemon. It prints the kernel's timestamps.
struct Tcpdump(Program);

impl Tcpdump {
    fn start(namespace: &Namespace) -> Self {
        let mut command = namespace.command("tcpdump");
        let options =
            "-i veth -n -tt --time-stamp-precision=nano --immediate-mode -l tcp port 7000";
        let program = Program::start(command.args(options.split(' ')));
        until("tcpdump to listen", || {
            program.stderr().contains("listening on veth").then_some(())
        });
        Self(program)
    }

    /// Returns the segments with payload.
    fn seen(&self) -> Vec<Seen> {
        let text = String::from_utf8(self.0.stdout()).unwrap();
        // 1790000000.123456789 IP 10.9.0.2.40000 > 10.9.0.1.7000: Flags [P.], seq 1:16, ack 1, win 502, length 15
        let parse = |line: &str| -> Option<Seen> {
            let (head, length) = line.rsplit_once(", length ")?;
            let (time, ends) = head.split_once(" IP ")?;
            let (from, _) = ends.split_once(" > ")?;
            let side = if from.ends_with(".7000") {
                "client"
            } else {
                "server"
            };
            Some((time.parse().ok()?, side, length.trim().parse().ok()?))
        };
        let lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let seen = lines.map(|line| parse(line).unwrap_or_else(|| panic!("{line}")));
        seen.filter(|&(_, _, len)| len > 0).collect()
    }
}

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

/// A conversation with pauses, as tcpdump and the daemon have captured it.
struct Conversation {
    seen: Vec<Seen>,
    turns: Vec<Value>,
    /// Seconds that the daemon's worker waited for a processor meanwhile.
    waited: f64,
}

/// Returns the seconds that the worker was able to run and had no processor, as the kernel counts them.
fn waited(daemon: &Daemon) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let of = |file: &str| {
        let mut paths = tasks.map(|task| task.unwrap().path());
        let is_worker = |path: &PathBuf| {
            fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "worker-0")
        };
        fs::read_to_string(paths.find(is_worker).unwrap().join(file)).unwrap()
    };
    // Time on a processor, time waiting for one, number of time slices.
    let nanoseconds: f64 = of("schedstat").split(' ').nth(1).unwrap().parse().unwrap();
    nanoseconds / 1e9
}

fn conversation(path: &str) -> Conversation {
    let Pair { a, b } = Network::default().pair();
    let settings = format!(
        "[capture]\nmode = 'tap'\ninterfaces = ['veth']\npath = '{path}'\nworkers = 1\n[store]\nmemory = '64MiB'\n"
    );
    let daemon = Daemon::start(&a, &settings);
    let tcpdump = Tcpdump::start(&a);
    let (mut client, mut server) = ends(&a, &b);
    let before = waited(&daemon);
    let pause = || std::thread::sleep(PAUSE);
    for _ in 0..PAIRS {
        client.write_all(REQUEST).unwrap();
        server.read_exact(&mut [0; REQUEST.len()]).unwrap();
        pause();
        server.write_all(RESPONSE).unwrap();
        client.read_exact(&mut [0; RESPONSE.len()]).unwrap();
        pause();
    }
    let seen = until("tcpdump to print all segments", || {
        let seen = tcpdump.seen();
        (seen.len() == 2 * PAIRS).then_some(seen)
    });
    let mut rpc = daemon.rpc();
    let sockid = until("the connection is captured", || {
        let sockets = rpc.sockets(json!({ "port": 7000 }));
        let socket = sockets.first()?;
        let received = &socket["sides"]["client"]["next"];
        (*received == PAIRS * RESPONSE.len()).then(|| socket["sockid"].as_u64().unwrap())
    });
    let mut reply = rpc.ok("turns", json!({ "sockid": sockid }));
    let waited = waited(&daemon) - before;
    daemon.stop();
    let Value::Array(turns) = reply["turns"].take() else {
        panic!("{reply}");
    };
    Conversation {
        seen,
        turns,
        waited,
    }
}

/// Asserts that turns have the order of tcpdump. Returns the differences of their times in seconds, by size.
fn late(Conversation { seen, turns, .. }: &Conversation) -> Vec<f64> {
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
        .zip(seen)
        .map(|(turn, (time, ..))| turn["time"].as_f64().unwrap() - time)
        .collect();
    late.sort_by(f64::total_cmp);
    late
}

/// Packet sockets: the daemon and tcpdump both have the kernel's timestamps, so the load of the machine is irrelevant.
#[test]
fn turns_of_packet_sockets_have_the_order_and_the_times_of_tcpdump() {
    needs!("tcpdump");
    let late = late(&conversation("packet"));
    eprintln!(
        "differences: {:?}",
        [late[0], late[PAIRS], late[2 * PAIRS - 1]]
    );
    assert!(late.iter().all(|late| late.abs() < BOUND), "{late:?}");
}

/// AF_XDP has no timestamps: the worker reads the clock when it takes the packets. Such a time is never earlier than the
/// kernel's. It's later while the worker waits for a processor, which the kernel counts: such a wait of N ms delays the
/// turns of N ms.
#[test]
fn turns_of_af_xdp_have_the_order_and_the_times_of_tcpdump() {
    needs!("tcpdump");
    let conversation = conversation("xdp");
    let (late, waited) = (late(&conversation), conversation.waited);
    eprintln!(
        "differences: {:?}, waited {waited}",
        [late[0], late[PAIRS], late[2 * PAIRS - 1]]
    );
    assert!(late[0] > -EXACT, "{late:?}");
    let beyond: Vec<_> = late.iter().filter(|late| **late >= BOUND).collect();
    let explained = waited / BOUND + waited / PAUSE.as_secs_f64();
    assert!(
        beyond.len() as f64 <= explained,
        "waited {waited}: {beyond:?}"
    );
    assert!(
        late[2 * PAIRS - 1] < BOUND + waited,
        "waited {waited}: {beyond:?}"
    );
}
