//! Reads from an attached store: what they return, the clients that may attach, and the end of the daemon.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod rpc_common;

use std::os::unix::fs::symlink;
use std::time::Duration;

use monitor_client::{Attached, Client, Error, Reason, Reconnect, Side};
use monitor_daemon::config::Principal;
use monitor_daemon::control::Engine;
use monitor_daemon::events::Publisher;
use monitor_engine::EngineConfig;
use monitor_tests::{as_user, open_to_all, skip};
use rpc_common::talk::{From, Talk};
use rpc_common::{Server, engines, instance, pattern, status};

/// Users and groups that no system has.
const NAMED: u32 = 4_000_021;
const STRANGER: u32 = 4_000_022;
const GROUP: u32 = 4_000_023;

/// Two workers with shared stores.
fn shared() -> Vec<Engine> {
    let instance = instance();
    let engine = |worker| {
        let config = EngineConfig {
            worker,
            workers: 2,
            memory: 32 << 20,
            window: 1 << 20,
            instance,
            share: true,
            ..EngineConfig::default()
        };
        Publisher::engine(config).unwrap()
    };
    [0, 1].map(engine).into()
}

/// A connection of the second worker with a hole, evicted bytes and an end.
fn talk(engines: &mut [Engine]) -> (Talk, u64) {
    let mut talk = Talk::new("10.0.0.1:1234", "10.0.0.2:80");
    talk.open(&mut engines[1]);
    for off in (0..1_500_000).step_by(50_000) {
        talk.say(&mut engines[1], From::Client, &pattern(off, 50_000));
    }
    talk.at(
        &mut engines[1],
        From::Client,
        1_500_100,
        &pattern(1_500_100, 900),
    );
    let sockid = talk.id(&engines[1]).as_u64();
    (talk, sockid)
}

fn reason<T: std::fmt::Debug>(result: Result<T, Error>) -> Reason {
    match result {
        Err(Error::Rpc(error)) => error.reason().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_are_those_of_the_socket() {
    let mut engines = shared();
    let (mut talk, sockid) = talk(&mut engines);
    let server = Server::start(&engines);
    let (mut asked, mut attached) = (server.client(), server.client());
    attached.attach().unwrap();
    let mut compare = |sockid: u64| {
        let mut read = 0;
        for off in [
            0,
            400_000,
            700_000,
            1_499_990,
            1_500_000,
            1_500_100,
            1_501_000,
            1 << 60,
            1 << 40,
        ] {
            for len in [0, 1, 64, 4096, 65_536, 65_537, 300_000, 1 << 20, 1 << 30] {
                for side in Side::BOTH {
                    let both = [&mut asked, &mut attached]
                        .map(|client| client.ppeek(sockid, side, off, len));
                    match both {
                        [Ok(mut socket), Ok(local)] => {
                            socket.head.raw = None;
                            assert_eq!(socket, local, "{off} {len}");
                            read += local.bytes.len();
                        }
                        [Err(Error::Rpc(socket)), Err(Error::Rpc(local))] => {
                            assert_eq!(socket, local, "{off} {len}");
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
        read
    };
    assert!(compare(sockid) > 1_500_000);
    // Other connections, and none at all.
    for other in [sockid + (1 << 30), sockid ^ 1, 5, 1 << 52, u64::MAX] {
        assert_eq!(compare(other), 0);
    }
    talk.fin(&mut engines[1], From::Server);
    compare(sockid);
    assert_eq!(
        reason(attached.ppeek(sockid, Side::Client, 0, 1)),
        Reason::Eof
    );
}

#[test]
fn bytes_are_read_as_they_come() {
    let mut engines = shared();
    let (mut talk, sockid) = talk(&mut engines);
    let server = Server::start(&engines);
    let mut store = Attached::open(&server.socket).unwrap();
    for off in (0..200_000u64).step_by(1000) {
        let mut buffer = [0; 2000];
        assert_eq!(
            reason(store.ppeek(sockid, Side::Client, off, &mut buffer)),
            Reason::Future
        );
        talk.say(&mut engines[1], From::Server, &pattern(off, 1000));
        let head = store.ppeek(sockid, Side::Client, off, &mut buffer).unwrap();
        assert_eq!((head.len, head.next, head.eof), (1000, off + 1000, false));
        assert_eq!(buffer[..1000], pattern(off, 1000));
    }
    let (reader, id) = store.reader(sockid).unwrap().unwrap();
    assert_eq!(
        reader.info(id),
        Ok(engines[1].reader().connection(id).unwrap())
    );
}

#[test]
fn only_those_named_may_attach() {
    if !rustix::process::geteuid().is_root() {
        skip!("needs root, to be other users");
    }
    let engines = shared();
    let server = Server::start_with(status(&engines), |settings| {
        settings.mode = 0o666;
        settings.attach = vec![Principal::Uid(NAMED), Principal::Gid(GROUP)];
    });
    open_to_all(&server.socket);
    let attach = || Attached::open(&server.socket).map(drop);
    attach().unwrap();
    as_user(NAMED, &[], attach).unwrap();
    as_user(STRANGER, &[GROUP], attach).unwrap();
    match as_user(STRANGER, &[NAMED], attach) {
        Err(Error::Rpc(error)) => {
            assert_eq!((error.code, error.reason()), (1, Some(Reason::Permission)));
            assert!(error.message.contains("[rpc] attach"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_that_is_not_shared_stays_on_the_socket() {
    let server = Server::start(&engines(1));
    let mut client = server.client();
    assert_eq!(reason(client.attach()), Reason::NotShared);
    assert_eq!(
        reason(client.ppeek(64, Side::Server, 0, 1)),
        Reason::NoConnection
    );
}

#[test]
fn the_end_of_the_daemon_is_reported() {
    let mut engines = shared();
    let (_, sockid) = talk(&mut engines);
    let mut server = Server::start(&engines);
    let mut store = Attached::open(&server.socket).unwrap();
    let mut client = Client::connect(&server.socket).unwrap();
    client.attach().unwrap();
    let mut buffer = [0; 64];
    let off = 1_000_000;
    assert_eq!(
        store
            .ppeek(sockid, Side::Server, off, &mut buffer)
            .unwrap()
            .len,
        64
    );
    server.stop();
    // A read that finds nothing looks at once; one that finds bytes, at the latest after some milliseconds.
    assert!(matches!(
        store.ppeek(sockid, Side::Server, 1 << 40, &mut buffer),
        Err(Error::Restarted)
    ));
    for _ in 0..3 {
        let read = store.ppeek(sockid, Side::Server, off, &mut buffer);
        assert!(matches!(read, Err(Error::Restarted)), "{read:?}");
    }
    let started = std::time::Instant::now();
    let ended = loop {
        match client.ppeek(sockid, Side::Server, off, 64) {
            Ok(read) => assert_eq!(read.bytes, pattern(off, 64)),
            Err(error) => break error,
        }
        assert!(started.elapsed() < rpc_common::PATIENCE);
    };
    assert!(matches!(ended, Error::Restarted), "{ended:?}");
    assert!(matches!(
        client.ppeek(sockid, Side::Server, off, 64),
        Err(Error::Closed | Error::Io(_))
    ));
    assert!(matches!(
        Attached::open(&server.socket),
        Err(Error::Connect { .. })
    ));
}

#[test]
fn a_client_that_reconnects_is_told_of_a_restart_once() {
    let policy = Reconnect {
        attempts: 100,
        pause: Duration::from_millis(1),
        longest: Duration::from_millis(50),
    };
    let off = 1_000_000;
    // The first call after the restart is a read without bytes, one with bytes, or a call that stays on the socket.
    for first in 0..3 {
        let (mut engines, mut others) = (shared(), shared());
        let (_, sockid) = talk(&mut engines);
        let (_, same) = talk(&mut others);
        assert_eq!(same, sockid);
        let (mut server, next) = (Server::start(&engines), Server::start(&others));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        symlink(&server.socket, &path).unwrap();
        let mut client = Client::connect_with(&path, policy).unwrap();
        client.attach().unwrap();
        let read = client.ppeek(sockid, Side::Server, off, 64).unwrap();
        assert_eq!(read.head.raw, None, "from the store");
        std::fs::remove_file(&path).unwrap();
        symlink(&next.socket, &path).unwrap();
        server.stop();
        let started = std::time::Instant::now();
        let error = loop {
            let result = match first {
                0 => client.ppeek(sockid, Side::Server, 1 << 40, 64).map(drop),
                1 => client.ppeek(sockid, Side::Server, off, 64).map(drop),
                _ => client.info(sockid).map(drop),
            };
            match result {
                Ok(()) => assert!(started.elapsed() < rpc_common::PATIENCE),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Restarted), "{first}: {error:?}");
        let read = client.ppeek(sockid, Side::Server, off, 64).unwrap();
        assert_eq!(read.head.raw, Some(64), "{first}: from the next one");
        assert_eq!(read.bytes, pattern(off, 64));
    }
}

#[test]
fn the_store_of_another_instance_than_the_connection_is_refused() {
    let policy = Reconnect {
        attempts: 100,
        pause: Duration::from_millis(1),
        longest: Duration::from_millis(50),
    };
    let off = 1_000_000;
    // A client that stays with its connection, and one that reconnects once the first daemon has ended.
    for policy in [Reconnect::NEVER, policy] {
        let (mut engines, others) = (shared(), shared());
        let (_, sockid) = talk(&mut engines);
        let (mut server, next) = (Server::start(&engines), Server::start(&others));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        symlink(&server.socket, &path).unwrap();
        let mut client = Client::connect_with(&path, policy).unwrap();
        std::fs::remove_file(&path).unwrap();
        symlink(&next.socket, &path).unwrap();
        let refused = client.attach();
        assert!(matches!(refused, Err(Error::Restarted)), "{refused:?}");
        let read = client.ppeek(sockid, Side::Server, off, 64).unwrap();
        assert_eq!(read.bytes, pattern(off, 64), "from the first instance");
        server.stop();
        if policy == Reconnect::NEVER {
            continue;
        }
        let restarted = client.attach();
        assert!(matches!(restarted, Err(Error::Restarted)), "{restarted:?}");
        client.attach().unwrap();
        assert_eq!(
            reason(client.ppeek(sockid, Side::Server, off, 64)),
            Reason::NoConnection
        );
    }
}
