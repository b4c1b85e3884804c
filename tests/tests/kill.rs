//! Ends of the daemon: traffic continues and nothing is left behind, after any signal.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;

use monitor_tests::{DEADLINE, Daemon, Namespace, Network, Pair, Program, needs, until};
use serde_json::json;

/// Everything that a daemon might leave in a namespace: devices, XDP programs (shown with their device), queueing
/// disciplines and their filters, and programs on any hook.
fn traces(namespace: &Namespace) -> [String; 3] {
    let links = namespace.run("ip -details link show");
    // The number of packets or a changed carrier is no trace.
    [
        links,
        namespace.run("tc qdisc show"),
        namespace.run("bpftool net show"),
    ]
}

/// Returns whether the kernel still has a BPF program or link.
fn exists((kind, id): &(&str, u64)) -> bool {
    let id = id.to_string();
    Program::start(Command::new("bpftool").args([kind, "show", "id", &id]))
        .finish()
        .status
        .success()
}

/// Calls `during` while bytes flow from `a` to `b` and back, and asserts that they still flow afterwards.
fn with_traffic<T>(a: &Namespace, b: &Namespace, address: &str, during: impl FnOnce() -> T) -> T {
    let listener = a.enter(|| TcpListener::bind(address)).unwrap();
    let client = b.enter(|| TcpStream::connect(address)).unwrap();
    let (server, _) = listener.accept().unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
    }
    let (done, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let payload: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            // Ends when the client does.
            let mut buffer = vec![0; payload.len()];
            while (&server).read_exact(&mut buffer).is_ok() && (&server).write_all(&buffer).is_ok()
            {
            }
        });
        scope.spawn(|| {
            // Taken by the thread, so that it is closed even if an assertion fails.
            let client = client;
            let mut buffer = vec![0; payload.len()];
            while !done.load(Relaxed) {
                (&client).write_all(&payload).expect("the traffic goes on");
                (&client)
                    .read_exact(&mut buffer)
                    .expect("the traffic goes on");
                assert!(buffer == payload, "the traffic is unharmed");
                rounds.fetch_add(1, Relaxed);
            }
        });
        let moved = |what: &str| {
            let before = rounds.load(Relaxed);
            until(what, || (rounds.load(Relaxed) > before + 5).then_some(()));
        };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            moved("traffic before");
            let result = during();
            moved("traffic after");
            result
        }));
        done.store(true, Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Starts, ends in the way given, and starts again, with traffic all the time.
fn leaves_nothing(
    settings: &str,
    address: &str,
    server: &Namespace,
    client: &Namespace,
    end: fn(Daemon),
) {
    let before = traces(server);
    with_traffic(server, client, address, || {
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        for _ in 0..3 {
            let daemon = Daemon::start(server, settings);
            let mut rpc = daemon.rpc();
            // It does capture this traffic.
            until("captured traffic", || {
                let socket = rpc.sockets(json!({ "port": port })).pop()?;
                (socket["sides"]["server"]["end"].as_u64() > Some(500_000)).then_some(())
            });
            assert_ne!(traces(server), before, "while it runs, it shows");
            let bpf = daemon.bpf();
            assert!(
                bpf.len() >= 3 && bpf.iter().all(exists),
                "programs and links: {bpf:?}"
            );
            end(daemon);
            until("its programs and devices to be gone", || {
                (traces(server) == before && !bpf.iter().any(exists)).then_some(())
            });
        }
    });
}

#[test]
fn sigkill_in_tap_mode() {
    needs!("bpftool", "tc");
    let Pair { a, b } = Network::default().pair();
    let settings =
        "[capture]\npath = 'xdp'\ninterfaces = ['veth', 'lo']\n[store]\nwindow = '4MiB'\n";
    leaves_nothing(settings, "10.9.0.1:7000", &a, &b, Daemon::kill);
    leaves_nothing(settings, "127.0.0.1:7001", &a, &a, Daemon::kill);
}

#[test]
fn sigterm_in_tap_mode() {
    needs!("bpftool", "tc");
    let Pair { a, b } = Network::default().pair();
    let settings =
        "[capture]\npath = 'xdp'\ninterfaces = ['veth', 'lo']\n[store]\nwindow = '4MiB'\n";
    leaves_nothing(settings, "10.9.0.1:7000", &a, &b, |daemon| {
        daemon.stop();
    });
}

#[test]
fn sigkill_in_mirror_mode() {
    needs!("bpftool", "tc");
    let Pair { a, b: _b } = Network::default().pair();
    let before = traces(&a);
    let settings = "[capture]\nmode = 'mirror'\ninterfaces = ['veth']\n";
    for _ in 0..3 {
        let daemon = Daemon::start(&a, settings);
        assert_ne!(traces(&a), before);
        let bpf = daemon.bpf();
        assert!(!bpf.is_empty() && bpf.iter().all(exists), "{bpf:?}");
        daemon.kill();
        until("its programs to be gone", || {
            (traces(&a) == before && !bpf.iter().any(exists)).then_some(())
        });
    }
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    needs!();
    let namespace = Namespace::new();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("monitord.sock");
    let settings = "[capture]\ninterfaces = ['lo']\n";
    let start = || {
        let config = dir.path().join("config.toml");
        std::fs::write(&config, settings).unwrap();
        let mut command = namespace.command(monitor_tests::monitord().to_str().unwrap());
        Program::start(
            command
                .arg("--config")
                .arg(&config)
                .arg("--socket")
                .arg(&socket),
        )
    };
    let answers = || {
        monitor_tests::Rpc::connect(&socket)
            .ok()?
            .call("hello", json!({}))
            .ok()
    };
    let first = start();
    until("the first to answer", answers);
    let second = start().finish();
    assert!(!second.status.success());
    assert!(second.stderr.contains("monitord.sock"), "{}", second.stderr);
    assert_eq!(
        answers().unwrap()["pid"],
        first.pid(),
        "the first one goes on"
    );

    first.signal(rustix::process::Signal::KILL);
    first.finish();
    assert!(socket.exists(), "nobody could remove it");
    let third = start();
    until("the third to answer", || {
        answers().filter(|hello| hello["pid"] == third.pid())
    });
    third.signal(rustix::process::Signal::INT);
    assert!(third.finish().status.success(), "SIGINT ends it in order");
    assert!(!socket.exists());
}
