//! Two hundred clients at once during a capture: well-behaved, slow, hostile and killed ones. The
//! others get right answers, no traffic is lost, memory and descriptors return to their values.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::Duration;

use monitor_tests::wiregen::Random;
use monitor_tests::{Daemon, Network, Pair, Rpc, Transfer, exchange, monitorctl, needs, until};
use serde_json::json;

const MIB: usize = 1 << 20;
/// Length of the stream that clients read.
const READ: usize = 4 * MIB;
/// Connections captured during the test.
const TRANSFERS: usize = 30;
/// Share of `rpc.memory` that one user may hold: half.
const USER_SHARE: u64 = 256 << 20;

const SETTINGS: &str = "[capture]\nmode = 'tap'\ninterfaces = ['veth']\nworkers = 2\nbuffers = '128MiB'\n\
                        [store]\nmemory = '192MiB'\nwindow = '8MiB'\n[rpc]\nmemory = '512MiB'\n";

#[test]
fn two_hundred_clients_and_nothing_is_lost() {
    needs!();
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, SETTINGS);
    let bytes = Random::new(1).bytes(READ);
    exchange(
        &a,
        &b,
        "10.9.0.1:6000".parse().unwrap(),
        &[Transfer {
            request: b"?",
            response: &bytes,
        }],
    );
    let mut rpc = daemon.rpc();
    let sockid = rpc.complete(6000, 1)[0]["sockid"].as_u64().unwrap();
    polite(&mut rpc, sockid, &bytes, 20);
    let (memory, descriptors) = (daemon.resident(), daemon.descriptors());
    let (over, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    let socket = daemon.socket();

    let body = &bytes[..MIB];
    let transfer = [Transfer {
        request: &bytes[MIB..MIB + 10_000],
        response: body,
    }];
    thread::scope(|scope| {
        let _whatever_fails = SetOnDrop(&over);
        let (over, peak, bytes, socket, daemon) = (&over, &peak, &bytes[..], &socket, &daemon);
        scope.spawn(move || {
            while !over.load(Relaxed) {
                peak.fetch_max(daemon.resident(), Relaxed);
                thread::sleep(Duration::from_millis(50));
            }
        });
        for index in 0..40 {
            scope.spawn(move || {
                while !over.load(Relaxed) {
                    hostile(socket, sockid, index);
                    thread::sleep(Duration::from_millis(100));
                }
            });
        }
        let polite = (0..120).map(|_| {
            scope.spawn(move || polite(&mut Rpc::connect(socket).unwrap(), sockid, bytes, 100))
        });
        let slow = (0..20).map(|_| scope.spawn(move || slow(socket, sockid, bytes)));
        let others: Vec<_> = polite.chain(slow).collect();
        let killed: Vec<_> = (0..20).map(|_| follower(socket, sockid)).collect();
        for _ in 0..TRANSFERS {
            exchange(&a, &b, "10.9.0.1:7000".parse().unwrap(), &transfer);
            thread::sleep(Duration::from_millis(30));
        }
        for mut process in killed {
            assert_eq!(process.try_wait().unwrap(), None, "it is still reading");
            process.kill().unwrap();
            process.wait().unwrap();
        }
        others.into_iter().for_each(|client| client.join().unwrap());
    });

    let sockets = rpc.complete(7000, TRANSFERS);
    rpc.nothing_lost();
    for socket in sockets {
        let sockid = socket["sockid"].as_u64().unwrap();
        assert!(
            rpc.stream(sockid, "client") == body
                && rpc.stream(sockid, "server") == transfer[0].request
        );
    }
    // The one that has just read much has buffers of its own.
    rpc = daemon.rpc();
    until("only this client is left", || {
        (rpc.stat("rpc", "clients") == 1).then_some(())
    });
    assert!(rpc.stat("rpc", "accepted") >= 200, "all of them were there");
    until("its buffers are given back", || {
        (rpc.stat("rpc", "reply_memory") == 0).then_some(())
    });
    until("descriptors are closed", || {
        (daemon.descriptors() <= descriptors).then_some(())
    });
    // All clients are of one user. The buffers of each client are part of the share.
    let most = memory + USER_SHARE + (16 << 20);
    let peak = peak.load(Relaxed);
    assert!(
        peak <= most,
        "{} MiB at the peak, {} before",
        peak >> 20,
        memory >> 20
    );
    until("memory is given back", || {
        // The allocator returns it a while later, and while there is something to do. It keeps some.
        rpc.ok("sockets", json!({}));
        (daemon.resident() <= memory + (48 << 20)).then_some(())
    });
    daemon.stop();
}

/// Sets its flag even when an assertion fails, so that the other threads end.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Asks like any other program, and checks every answer.
fn polite(rpc: &mut Rpc, sockid: u64, bytes: &[u8], count: usize) {
    for index in 0..count {
        let off = index * 39_367 % (READ - 5000);
        let params = json!({ "sockid": sockid, "side": "client", "off": off, "len": 5000, "encoding": "raw" });
        assert_eq!(rpc.ok("ppeek", params)["raw"], 5000);
        assert!(
            rpc.bytes(5000) == bytes[off..off + 5000],
            "foreign bytes at {off}"
        );
    }
}

fn all_of_it(sockid: u64) -> String {
    let params =
        json!({ "sockid": sockid, "side": "client", "off": 0, "len": READ, "encoding": "raw" });
    format!(
        "{}\n",
        json!({ "jsonrpc": "2.0", "id": 1, "method": "ppeek", "params": params })
    )
}

/// Reads the stream in small pieces and checks each of them.
fn slow(socket: &Path, sockid: u64, bytes: &[u8]) {
    let mut rpc = Rpc::connect(socket).unwrap();
    rpc.send(all_of_it(sockid).as_bytes()).unwrap();
    // Cut to 64 KiB when others hold the memory.
    let len = rpc.line().unwrap()["result"]["raw"].as_u64().unwrap() as usize;
    assert!((64 << 10..=READ).contains(&len), "{len}");
    for piece in bytes[..len].chunks(128 << 10) {
        assert!(rpc.bytes(piece.len()) == piece);
        thread::sleep(Duration::from_millis(20));
    }
}

/// Misbehaves in one of five ways, then disconnects.
fn hostile(socket: &Path, sockid: u64, index: usize) {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return;
    };
    let _ = stream.set_write_timeout(Some(Duration::from_millis(50)));
    let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
    // The server may accept or disconnect; it must continue to serve.
    let _ = match index % 5 {
        0 => stream.write_all(&Random::new(index as u64).bytes(10_000)),
        1 => stream.write_all(&vec![b'['; 200_000]),
        // Never reads.
        2 => stream.write_all(all_of_it(sockid).repeat(50).as_bytes()),
        // Goes away in the middle of a reply.
        3 => stream
            .write_all(all_of_it(sockid).as_bytes())
            .and_then(|()| stream.read_exact(&mut [0; 1000])),
        _ => stream.write_all(format!("[{}1]\n", "1,".repeat(2000)).as_bytes()),
    };
}

/// Starts a client process that stalls in the middle of a read: its output isn't consumed.
fn follower(socket: &Path, sockid: u64) -> Child {
    let mut command = Command::new(monitorctl());
    command.arg("--socket").arg(socket).args([
        "ppeek",
        &sockid.to_string(),
        "client",
        "0",
        "--raw",
    ]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}
