//! Listeners with the largest filters, while connections open as fast as the host can: neither the capture nor the host
//! pays for them.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use monitor_tests::{Daemon, Namespace, Rpc, as_user, needs, open_to_all, until};
use rustix::net::sockopt::set_socket_linger;
use serde_json::json;

/// Listeners of one client, and of all clients.
const OF_ONE: usize = 64;
const OF_ALL: usize = 1024;
/// Maximum size of a filter.
const FILTER: usize = 16 << 10;
/// Time in which connections are counted.
const ROUND: Duration = Duration::from_millis(1500);
/// Rounds with and without listeners. The best ones are compared: other programs of the machine cost some rounds.
const ROUNDS: usize = 8;
/// Share of the connection rate that the host keeps, at least. On two processors, which the connections and two workers
/// use up, it is 0.90 to 1.03: the filters' thread has the lowest priority, but only among the daemon's threads where the
/// kernel groups tasks by session (sched_autogroup).
const KEPT: f64 = 0.8;

const SETTINGS: &str = "[capture]\nmode = 'tap'\ninterfaces = ['lo']\nworkers = 2\nbuffers = '128MiB'\n\
                        [store]\nmemory = '256MiB'\n[tcp]\nlinger = '1s'\n[rpc]\nmode = '0666'\n";

/// Returns a filter of the maximum size that refuses every connection after all its tests.
fn filter() -> String {
    let mut filter = "port 1".to_owned();
    while filter.len() + " or 9".len() <= FILTER {
        filter.push_str(" or 9");
    }
    filter
}

/// Returns a client with listeners.
fn client(daemon: &Daemon, filter: &str) -> Rpc {
    let mut rpc = daemon.rpc();
    for _ in 0..OF_ONE {
        let params = json!({ "filter": filter, "events": ["opened", "closed"], "queue": 16 });
        rpc.ok("subscribe", params);
    }
    rpc
}

/// Opens, accepts and resets connections for a while, and returns their number.
///
/// One thread does all three: the queue of a listening socket that fills up would cost a second for each SYN.
fn connections(listener: &TcpListener) -> usize {
    let address = listener.local_addr().unwrap();
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < ROUND {
        let stream = TcpStream::connect(address).unwrap();
        let accepted = listener.accept().unwrap();
        // Reset at its end, so that no port waits for late segments.
        set_socket_linger(stream.as_fd(), Some(Duration::ZERO)).unwrap();
        drop(stream);
        drop(accepted);
        count += 1;
    }
    count
}

#[test]
fn filters_of_1024_listeners_cost_neither_the_capture_nor_the_host() {
    needs!();
    let namespace = Namespace::new();
    let daemon = Daemon::start(&namespace, SETTINGS);
    open_to_all(&daemon.socket());
    let listener = namespace
        .enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .unwrap();
    let filter = filter();
    let mut rpc = daemon.rpc();
    // 448 of each of two users, the rest of root: no user may have more than half, an eighth is for admins.
    let subscribe = |uid, clients: usize| {
        as_user(uid, &[], || {
            let list = (0..clients).map(|_| client(&daemon, &filter));
            list.collect::<Vec<_>>()
        })
    };
    let (mut bare, mut loaded, mut opened) = (0, 0, 0);
    namespace.enter(|| {
        connections(&listener);
        for round in 1..=ROUNDS {
            let without = connections(&listener);
            let clients = [(4_000_001, 7), (4_000_002, 7), (0, 2)]
                .map(|(uid, clients)| subscribe(uid, clients));
            assert_eq!(rpc.stat("rpc", "listeners"), OF_ALL as u64);
            let with = connections(&listener);
            drop(clients);
            until("all listeners to be gone", || {
                (rpc.stat("rpc", "listeners") == 0).then_some(())
            });
            eprintln!("round {round}: {without} connections without, {with} with listeners");
            (bare, loaded) = (bare.max(without), loaded.max(with));
            opened += with + without;
            if loaded as f64 >= KEPT * bare as f64 && round > 1 {
                break;
            }
        }
    });
    assert!(
        loaded as f64 >= KEPT * bare as f64,
        "{bare} connections without, {loaded} with listeners"
    );
    until("all connections to be captured", || {
        (rpc.stat("flows", "opened") >= opened as u64).then_some(())
    });
    rpc.nothing_lost();
    daemon.stop();
}
