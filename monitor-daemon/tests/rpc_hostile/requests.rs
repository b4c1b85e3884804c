//! Hostile requests, and replies that are not read.

use std::io::{BufRead, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use monitor_client::Side;
use monitor_daemon::events::Publisher;
use monitor_engine::{EngineConfig, OverlapPolicy, TcpConfig};
use serde_json::json;

use crate::rpc_common::talk::{From, Talk};
use crate::rpc_common::{
    PATIENCE, Server, Wire, descriptors, engines, memory_kib, pattern, status,
};
use crate::{MIB, alone, eventually, gauge, polite_requests, raw_peek, spoken};

#[test]
fn a_line_of_a_gigabyte_costs_nothing() {
    let _alone = alone();
    let (engines, sockid) = spoken(MIB);
    let server = Server::start(&engines);
    let mut polite = server.client();
    polite_requests(&mut polite, sockid, 10);
    let before = memory_kib("VmRSS:");
    let mut sent = 0_usize;
    let mut wire = server.wire();
    let chunk = vec![b'x'; MIB];
    let start = Instant::now();
    while sent < 1024 * MIB {
        match wire.stream.get_mut().write(&chunk) {
            Ok(count) => sent += count,
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                    ),
                    "{error}"
                );
                break;
            }
        }
    }
    assert!(sent < 16 * MIB, "the server took {sent} bytes of it");
    assert!(start.elapsed() < Duration::from_secs(10));
    let reply = wire.reply();
    assert_eq!(
        reply["error"]["code"], -32600,
        "the client can still read why"
    );
    let grown = memory_kib("VmRSS:").saturating_sub(before);
    assert!(grown < 4096, "memory grew by {grown} KiB");
    polite_requests(&mut polite, sockid, 10);
}

#[test]
fn clients_that_never_read_hold_one_reply_each_and_delay_no_other() {
    let _alone = alone();
    let (engines, sockid) = spoken(16 * MIB);
    let server = Server::start_with(status(&engines), |settings| settings.memory = 128 << 20);
    let mut polite = server.client();
    polite_requests(&mut polite, sockid, 10);
    let before = memory_kib("VmRSS:");
    let stalled: Vec<UnixStream> = (0..40)
        .map(|_| {
            let mut stream = UnixStream::connect(&server.socket).unwrap();
            stream
                .set_write_timeout(Some(Duration::from_millis(50)))
                .unwrap();
            // 16 MiB, many times over, and not a byte of it is read.
            for _ in 0..100 {
                if stream
                    .write_all(raw_peek(sockid, 16 * MIB).as_bytes())
                    .is_err()
                {
                    break;
                }
            }
            stream
        })
        .collect();
    polite_requests(&mut polite, sockid, 500);
    let mut watcher = server.wire();
    eventually("all are stalled", || gauge(&mut watcher, "cut_reads") >= 30);
    let held = gauge(&mut watcher, "reply_memory");
    assert!((32 << 20..=64 << 20).contains(&held), "{held}");
    let grown = memory_kib("VmRSS:").saturating_sub(before);
    // The leased memory, and for each client its own buffers.
    assert!(
        grown < 64 * 1024 + 40 * 256 + 4096,
        "memory grew by {grown} KiB"
    );
    // With nothing left to lease, a large read is short and right.
    let read = polite.ppeek(sockid, Side::Server, 5, 8 << 20).unwrap();
    assert!(read.bytes.len() >= 64 * 1024 && read.bytes == pattern(5, read.bytes.len()));
    assert!(read.bytes.len() < 8 << 20);
    drop(stalled);
    eventually("the memory is given back", || {
        gauge(&mut watcher, "reply_memory") == 0
    });
    let read = polite.ppeek(sockid, Side::Server, 5, 8 << 20).unwrap();
    assert!(
        read.bytes == pattern(5, 8 << 20),
        "and large reads are whole again"
    );
    eventually("idle buffers are given back", || {
        gauge(&mut watcher, "reply_memory") == 0
    });
}

#[test]
fn a_slow_reader_gets_every_byte() {
    let _alone = alone();
    let (engines, sockid) = spoken(4 * MIB);
    let server = Server::start(&engines);
    let mut slow = server.wire();
    slow.send(&raw_peek(sockid, 4 * MIB).repeat(3));
    let mut polite = server.client();
    for _ in 0..3 {
        assert_eq!(slow.reply()["result"]["raw"], 4 * MIB);
        let mut bytes = Vec::new();
        while bytes.len() < 4 * MIB {
            bytes.extend(slow.raw(MIB / 4));
            std::thread::sleep(Duration::from_millis(5));
            polite_requests(&mut polite, sockid, 5);
        }
        assert!(bytes == pattern(0, 4 * MIB));
    }
}

#[test]
fn two_hundred_clients_some_hostile() {
    let _alone = alone();
    let (engines, sockid) = spoken(2 * MIB);
    let server = Server::start_with(status(&engines), |settings| settings.memory = 256 << 20);
    polite_requests(&mut server.client(), sockid, 10);
    let (memory, files) = (memory_kib("VmRSS:"), descriptors());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _whatever_fails = StopOnDrop(&stop);
        let mut hostile = Vec::new();
        for index in 0..140 {
            let (server, stop) = (&server, &stop);
            hostile.push(scope.spawn(move || {
                while !stop.load(Relaxed) {
                    misbehave(&server.socket, sockid, index);
                    std::thread::sleep(Duration::from_millis(250));
                }
            }));
        }
        let polite: Vec<_> = (0..60)
            .map(|_| scope.spawn(|| polite_requests(&mut server.client(), sockid, 100)))
            .collect();
        for client in polite {
            client.join().unwrap();
        }
        stop.store(true, Relaxed);
        for client in hostile {
            client.join().unwrap();
        }
    });
    let mut watcher = server.wire();
    eventually("only the watcher is left", || {
        gauge(&mut watcher, "clients") == 1
    });
    assert_eq!(gauge(&mut watcher, "reply_memory"), 0);
    eventually("descriptors are closed", || descriptors() <= files + 2);
    // 200 threads of this test had their stacks and arenas in it too.
    let grown = memory_kib("VmRSS:").saturating_sub(memory);
    assert!(grown < 96 * 1024, "memory grew by {grown} KiB");
}

/// Lets the other threads of a test end when one of its assertions fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Misbehaves in one of seven ways, and then disconnects.
pub fn misbehave(socket: &std::path::Path, sockid: u64, index: usize) {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return;
    };
    let _ = stream.set_write_timeout(Some(Duration::from_millis(20)));
    let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
    let mut part = [0; 1000];
    // The server may accept it or disconnect; it must continue to serve.
    let _ = match index % 7 {
        0 => stream.write_all(&pattern(index as u64, 10_000)),
        1 => stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"met"),
        2 => stream.write_all(&vec![b'['; 100_000]),
        3 => stream.write_all(raw_peek(sockid, 2 * MIB).repeat(20).as_bytes()),
        // Goes away in the middle of a reply.
        4 => stream
            .write_all(raw_peek(sockid, 2 * MIB).as_bytes())
            .and_then(|()| stream.read_exact(&mut part)),
        5 => stream.write_all(format!("[{}1]\n", "1,".repeat(2000)).as_bytes()),
        _ => Ok(()),
    };
}

#[test]
fn one_client_too_many_of_a_user_is_refused_with_an_error() {
    let _alone = alone();
    let (engines, sockid) = spoken(100_000);
    let server = Server::start(&engines);
    let mut clients: Vec<Wire> = (0..512).map(|_| server.wire()).collect();
    for client in &mut clients {
        client.result("stats", json!({}));
    }
    let mut refused = server.wire();
    let reply = refused.reply();
    assert_eq!(
        (&reply["error"]["code"], &reply["error"]["data"]["errno"]),
        (&json!(11), &json!("EAGAIN"))
    );
    assert!(refused.at_end());
    clients.pop();
    eventually("there is room again", || {
        // One that is refused may find its connection closed before it has said anything.
        let mut stream = server.wire().stream;
        let sent = stream.get_mut().write_all(raw_peek(sockid, 10).as_bytes());
        let mut line = String::new();
        sent.is_ok() && stream.read_line(&mut line).is_ok() && line.contains("\"raw\":10")
    });
    assert!(gauge(&mut clients[0], "refused") >= 1);
}

#[test]
fn a_stalled_client_does_not_keep_the_server_from_stopping() {
    let _alone = alone();
    let (engines, sockid) = spoken(4 * MIB);
    let mut server = Server::start(&engines);
    let mut stalled = server.wire();
    stalled.send(&raw_peek(sockid, 4 * MIB).repeat(10));
    let mut watcher = server.wire();
    eventually("it stalls", || {
        gauge(&mut watcher, "peeked_bytes") >= 4 << 20
    });
    let start = Instant::now();
    server.stop();
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "it took {:?}",
        start.elapsed()
    );
}

#[test]
fn reads_are_right_while_the_engine_writes() {
    let _alone = alone();
    let mut engines = engines(1);
    let mut talk = Talk::new("10.0.0.1:1234", "10.0.0.2:80");
    talk.open(&mut engines[0]);
    talk.say(&mut engines[0], From::Client, &pattern(0, MIB));
    let sockid = talk.id(&engines[0]).as_u64();
    let server = Server::start(&engines);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _whatever_fails = StopOnDrop(&stop);
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut client, mut bytes, mut reads) = (server.client(), Vec::new(), 0);
                    while !stop.load(Relaxed) {
                        let side = client.info(sockid).unwrap().sides.server;
                        let off = side.base + (side.end - side.base) / 3;
                        // Behind the window by now, perhaps.
                        if client
                            .ppeek_into(sockid, Side::Server, off, 4 << 20, &mut bytes)
                            .is_ok()
                        {
                            assert!(bytes == pattern(off, bytes.len()), "foreign bytes at {off}");
                            reads += 1;
                        }
                    }
                    reads
                })
            })
            .collect();
        // Three windows of data, so that the bytes that are read are overwritten.
        for start in (MIB..72 * MIB).step_by(MIB / 4) {
            talk.say(
                &mut engines[0],
                From::Client,
                &pattern(start as u64, MIB / 4),
            );
        }
        stop.store(true, Relaxed);
        let reads: usize = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum();
        assert!(reads > 20, "{reads} reads");
    });
}

#[test]
fn a_flood_of_differing_overlaps_delays_neither_its_reader_nor_another_client() {
    let _alone = alone();
    let config = EngineConfig {
        memory: 64 << 20,
        window: 8 << 20,
        tcp: TcpConfig {
            // Bytes that were read before are replaced, too.
            overlap: OverlapPolicy::Last,
            ..TcpConfig::default()
        },
        ..EngineConfig::default()
    };
    let mut engine = Publisher::engine(config).unwrap();
    let mut talk = Talk::new("10.0.0.1:1234", "10.0.0.2:80");
    talk.open(&mut engine);
    talk.say(&mut engine, From::Client, &pattern(0, MIB));
    let sockid = talk.id(&engine).as_u64();
    let server = Server::start(std::slice::from_ref(&engine));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _whatever_fails = StopOnDrop(&stop);
        let flood = scope.spawn(|| {
            let mut round = 0_u64;
            while !stop.load(Relaxed) {
                let off = round * 1009 % (MIB as u64 - 1000);
                talk.at(&mut engine, From::Client, off, &[round as u8; 1000]);
                round += 1;
            }
            round
        });
        let (mut reader, mut other) = (server.client(), server.client());
        let start = Instant::now();
        for read in 0..100 {
            let found = reader
                .ppeek(sockid, Side::Server, read * 100, 4096)
                .unwrap();
            assert_eq!(found.bytes.len(), 4096);
            assert!(other.info(sockid).is_ok());
        }
        let took = start.elapsed();
        stop.store(true, Relaxed);
        let rounds = flood.join().unwrap();
        assert!(rounds > 100, "the flood was a drop: {rounds} overlaps");
        assert!(
            took < PATIENCE,
            "100 reads took {took:?} beside {rounds} overlaps"
        );
    });
}
