//! The service: the daemon as the service manager starts it, with its user, its capabilities and its sockets.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use monitor_tests::{
    DAEMON, Given, Namespace, Network, OTHER, Pair, Program, ServiceManager, Transfer, exchange,
    needs, skip, until,
};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use rustix::process::Signal;

const SETTINGS: &str = "[capture]\ninterfaces = ['veth']\nworkers = 2\n[store]\nmemory = '64MiB'\n";
const UNIT: &str = include_str!("../../packaging/monitord.service");

/// Returns the value of a key of the unit.
fn setting(key: &str) -> &'static str {
    let prefix = format!("{key}=");
    let line = UNIT.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap()
}

/// Returns the capabilities of the unit, as setpriv takes them.
fn capabilities() -> String {
    assert_eq!(
        setting("AmbientCapabilities"),
        setting("CapabilityBoundingSet")
    );
    setting("AmbientCapabilities")
        .split(' ')
        .map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()))
        .collect()
}

#[track_caller]
fn assert_captured(manager: &ServiceManager, a: &Namespace, b: &Namespace, port: u16) {
    let transfers = [Transfer {
        request: b"GET /",
        response: b"200 OK",
    }];
    let address = format!("10.9.0.1:{port}");
    exchange(a, b, address.parse().unwrap(), &transfers);
    // A member of the group reads. Packet sockets deliver a block that isn't full after some milliseconds.
    until("the connection to be listed", || {
        let listed = manager.monitorctl(OTHER, DAEMON, &["sockets", "--port", &port.to_string()]);
        let text = String::from_utf8(listed.stdout).unwrap();
        text.contains(&address).then_some(())
    });
}

#[test]
fn the_service_is_ready_when_it_captures_with_exactly_the_capabilities_of_its_unit() {
    needs!("setpriv");
    let Pair { a, b } = Network::default().pair();
    let manager = ServiceManager::new(SETTINGS, &capabilities());
    let given = Given {
        socket: true,
        ..Given::default()
    };
    let daemon = manager.start(&a, given, &[]);
    manager.await_notification("EXTEND_TIMEOUT_USEC=");
    manager.await_notification("READY=1");
    // The first connection after READY is captured.
    assert_captured(&manager, &a, &b, 7000);
    let status = manager.await_notification("STATUS=tap");
    // The path depends on the permissions of /dev/net/tun.
    assert!(
        status.starts_with("STATUS=tap: capturing veth (") && status.contains("); 0 packets lost"),
        "{status}"
    );
    // Other users cannot open the socket.
    let refused = manager.monitorctl(OTHER, OTHER, &["sockets"]);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    daemon.signal(Signal::TERM);
    manager.await_notification("STOPPING=1");
    assert!(daemon.finish().status.success());
    // The socket belongs to the service manager: it is neither removed nor locked.
    assert!(manager.socket().exists());
    let files = fs::read_dir(manager.socket().parent().unwrap()).unwrap();
    assert_eq!(files.count(), 1);
}

#[test]
fn a_reload_with_a_wrong_file_keeps_the_service_running_and_names_the_key() {
    needs!("setpriv");
    let Pair { a, b } = Network::default().pair();
    let manager = ServiceManager::new(SETTINGS, &capabilities());
    let daemon = manager.start(&a, Given::default(), &[]);
    manager.await_notification("READY=1");
    for (settings, outcome) in [
        ("[capture]\nbufers = '1MiB'\n", "bufers"),
        (SETTINGS, "settings were read again: 0 changes"),
    ] {
        manager.configure(settings);
        daemon.signal(Signal::HUP);
        let reloading = manager.await_notification("RELOADING=1");
        assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
        manager.await_notification("READY=1");
        until(outcome, || daemon.stderr().contains(outcome).then_some(()));
    }
    assert_captured(&manager, &a, &b, 7000);
    // The command of ExecReload reports the reason and fails.
    assert!(setting("ExecReload").ends_with("monitorctl config reload"));
    manager.configure("[store]\nmemory = 'much'\n");
    let reload = manager.monitorctl(DAEMON, DAEMON, &["config", "reload"]);
    let error = String::from_utf8(reload.stderr).unwrap();
    assert!(
        !reload.status.success() && error.contains("memory"),
        "{error}"
    );
}

/// Returns the threads of a process with a name that `select` accepts.
fn threads(process: u32, select: impl Fn(&str) -> bool) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let ids = tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap());
    let name = |id: &u32| fs::read_to_string(format!("/proc/{process}/task/{id}/comm"));
    ids.filter(|id| name(id).is_ok_and(|name| select(name.trim_end())))
        .collect()
}

#[test]
fn a_stopped_worker_stops_the_watchdog() {
    needs!("setpriv");
    const TIMEOUT: Duration = Duration::from_millis(900);
    let Pair { a, b: _b } = Network::default().pair();
    let manager = ServiceManager::new(SETTINGS, &capabilities());
    let given = Given {
        watchdog: Some(TIMEOUT),
        ..Given::default()
    };
    let daemon = manager.start(&a, given, &[]);
    manager.await_notification("READY=1");
    for name in ["worker-1", "interfaces"] {
        manager.await_notification("WATCHDOG=1");
        // SIGSTOP would stop the whole process. A debugger stops one thread.
        let thread = threads(daemon.pid(), |own| own == name)[0];
        let thread = Pid::from_raw(thread.cast_signed());
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        // One may have been sent before.
        while manager
            .next_within(TIMEOUT)
            .is_some_and(|text| !text.contains("WATCHDOG"))
        {}
        until("the watchdog to starve", || {
            manager.next_within(TIMEOUT).is_none().then_some(())
        });
        ptrace::detach(thread, None).unwrap();
    }
    manager.await_notification("WATCHDOG=1");
    daemon.signal(Signal::STOP);
    until("the watchdog to starve", || {
        manager.next_within(TIMEOUT).is_none().then_some(())
    });
    daemon.signal(Signal::CONT);
    manager.await_notification("WATCHDOG=1");
}

/// Returns the value of a field of a thread's status, hexadecimal.
fn status(process: u32, thread: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/task/{thread}/status")).unwrap();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap();
    u64::from_str_radix(value.trim(), 16).unwrap()
}

#[test]
fn only_the_supervisor_keeps_capabilities_and_attaches_interfaces_later() {
    needs!("setpriv");
    let more = format!("{},+chown,+dac_override,+kill", capabilities());
    for capabilities in [capabilities(), more] {
        let Pair { a, b } = Network::default().pair();
        let manager = ServiceManager::new(SETTINGS, &capabilities);
        let daemon = manager.start(&a, Given::default(), &[]);
        manager.await_notification("STATUS=tap");
        let threads = threads(daemon.pid(), |_| true);
        // Main, two workers, two of the server, and the supervisor.
        assert!(threads.len() >= 6, "{threads:?}");
        let mut kept = Vec::new();
        for thread in threads {
            assert_eq!(status(daemon.pid(), thread, "NoNewPrivs:"), 1);
            for field in ["CapEff:", "CapPrm:", "CapAmb:"] {
                kept.push((thread, status(daemon.pid(), thread, field)));
            }
        }
        let supervisor = self::threads(daemon.pid(), |name| name == "interfaces")[0];
        for (thread, set) in kept {
            if thread == supervisor {
                // CAP_NET_ADMIN, CAP_NET_RAW, CAP_IPC_LOCK, CAP_PERFMON, CAP_BPF.
                assert_eq!(set, 1 << 12 | 1 << 13 | 1 << 14 | 1 << 38 | 1 << 39);
            } else {
                assert_eq!(set, 0, "thread {thread}");
            }
        }
        a.ip("link del veth");
        Network::default().connect(&a, &b);
        until("the interface to be attached", || {
            let log = daemon.stderr();
            let count = log.matches("veth: tapping this host's connections").count();
            (count == 2).then_some(())
        });
        assert_captured(&manager, &a, &b, 7000);
    }
}

#[test]
fn the_sandbox_restricts_files_and_strict_insists_on_it() {
    needs!("setpriv");
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("other.toml");
    fs::write(&file, SETTINGS).unwrap();
    monitor_tests::open_to_all(&file);
    let file = file.to_str().unwrap();
    let mut enforced = true;
    for sandbox in ["strict", "auto", "off"] {
        let Pair { a, b } = Network::default().pair();
        let manager = ServiceManager::new(SETTINGS, &capabilities());
        let mut daemon = manager.start(&a, Given::default(), &["--sandbox", sandbox]);
        let started = until("the start or its refusal", || {
            let ready = manager.next_within(Duration::from_millis(100));
            let ready = ready.is_some_and(|text| text.contains("READY=1"));
            (ready || daemon.ended().is_some()).then_some(ready)
        });
        if !started {
            // A kernel without Landlock.
            let error = daemon.finish().stderr;
            assert!(error.contains("does not enforce Landlock"), "{error}");
            enforced = false;
            continue;
        }
        let readable = sandbox == "off" || !enforced;
        assert_captured(&manager, &a, &b, 7000);
        let params = format!("file={file}");
        let tested = manager.monitorctl(DAEMON, DAEMON, &["call", "config.test", &params]);
        assert_eq!(tested.status.success(), readable, "{sandbox}: {tested:?}");
        if !readable {
            let error = String::from_utf8(tested.stderr).unwrap();
            assert!(error.contains("Permission denied"), "{error}");
        }
        daemon.signal(Signal::TERM);
        assert!(daemon.finish().status.success());
        assert!(!manager.socket().exists(), "the socket file is removed");
    }
}

#[test]
fn the_journal_gets_each_line_with_its_priority() {
    needs!("setpriv");
    let Pair { a, b: _b } = Network::default().pair();
    let manager = ServiceManager::new(SETTINGS, &capabilities());
    let given = Given {
        journal: true,
        ..Given::default()
    };
    let daemon = manager.start(&a, given, &[]);
    manager.await_notification("READY=1");
    a.ip("link del veth");
    until("the warning", || {
        let log = daemon.stderr();
        log.contains("<4>veth: is gone;").then_some(())
    });
    let log = daemon.stderr();
    assert!(log.contains("<6>veth: tapping"), "{log}");
    assert!(log.lines().all(|line| line.starts_with('<')), "{log}");
}

#[test]
fn the_units_are_valid_and_the_service_is_confined() {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        skip!("needs systemd-analyze");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for (name, text) in [
        ("monitord.service", UNIT),
        (
            "monitord.socket",
            include_str!("../../packaging/monitord.socket"),
        ),
    ] {
        // The programs and the manual page may not be installed.
        let text = text
            .replace("/usr/sbin/monitord", "/bin/true")
            .replace("/usr/bin/monitorctl", "/bin/true")
            .replace("man:monitord(8)", "");
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        units.push(path);
    }
    let verified = Program::run(Command::new("systemd-analyze").arg("verify").args(&units));
    assert_eq!(verified.stderr, "");
    // Fails above 3.0.
    Program::run(
        Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=30", "--no-pager"])
            .arg(&units[0]),
    );
}
