//! `stop` and `configure` while real packets come.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

mod configure;
mod stop;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use monitor_tests::wiregen::{Capture, Flow, Layers};
use monitor_tests::{DEADLINE, Namespace, Rpc, until};
use rustix::net::{AddressFamily, SocketType, sockopt};
use serde_json::json;

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
