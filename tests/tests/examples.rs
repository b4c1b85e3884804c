//! The programs under examples/, and the C library on live connections: real traffic, the real
//! daemon.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random, flags};
use monitor_tests::{
    CProgram, Daemon, Namespace, Network, Nginx, Pair, Program, TlsServer, needs, until,
};
use serde_json::{Value, json};

/// Time limit for Cargo to check the builds that an example is tested with.
const BUILDS: Duration = Duration::from_secs(300);

const TAP: &str = "[capture]\ninterfaces = ['veth']\n[store]\nwindow = '4MiB'\nmemory = '64MiB'\n";

/// Both ends of a connection from `b` to a port of `a`: client, server.
fn connect(a: &Namespace, b: &Namespace, port: u16) -> (TcpStream, TcpStream) {
    let listener = a.enter(|| TcpListener::bind(("10.9.0.1", port))).unwrap();
    let client = b.enter(|| TcpStream::connect(("10.9.0.1", port))).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn a_c_program_reads_a_live_connection() {
    needs!("cc");
    let program = CProgram::compile("clients/c/tests/live.c");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, TAP);
    let (mut client, server) = connect(&a, &b, 7001);
    let mut rpc = daemon.rpc();
    until("the connection", || {
        rpc.sockets(json!({"port": 7001})).pop()
    });
    let bytes = Random::new(1).bytes(1_000_000);
    let drain = std::thread::spawn(move || std::io::copy(&mut &server, &mut std::io::sink()));
    let reader = Program::start(program.command(&daemon.socket()).args(["7001", "1000000"]));
    // It reads the received bytes before the next part is sent.
    for part in bytes.chunks(100_000) {
        let before = reader.stdout().len();
        client.write_all(part).unwrap();
        until("the part to be read", || {
            (reader.stdout().len() == before + part.len()).then_some(())
        });
    }
    let finished = reader.finish();
    assert!(finished.status.success(), "{}", finished.stderr);
    assert!(finished.stdout == bytes);
    drop(client);
    drain.join().unwrap().unwrap();
    daemon.stop();
}

#[test]
fn the_table_of_states() {
    needs!("cc");
    let program = CProgram::compile("examples/states.c");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, TAP);
    let (mut client, mut server) = connect(&a, &b, 7002);
    let ends = format!(
        "{:<28}{:<28}",
        client.local_addr().unwrap(),
        server.local_addr().unwrap()
    );
    let row = |states: [&str; 2], received: &str| {
        let expected = format!("{ends}{:<13}{:<13} {received:>12}", states[0], states[1]);
        until(&expected, || {
            let table = Program::run(&mut program.command(&daemon.socket())).text();
            assert!(
                table.starts_with("CLIENT") && table.contains(" connections\n"),
                "{table}"
            );
            table
                .lines()
                .any(|line| line.starts_with(&expected))
                .then_some(())
        });
    };
    row(["ESTABLISHED", "ESTABLISHED"], "0 ");
    client.write_all(b"question").unwrap();
    row(["ESTABLISHED", "ESTABLISHED"], "8 ");
    client.shutdown(std::net::Shutdown::Write).unwrap();
    row(["FIN-WAIT-2", "CLOSE-WAIT"], "8.");
    // Closing with unread bytes would send an RST.
    server.read_exact(&mut [0; 8]).unwrap();
    drop(server);
    row(["TIME-WAIT", "CLOSED"], "8.");
    daemon.stop();
    let finished = Program::start(&mut program.command("/nowhere".as_ref())).finish();
    assert!(
        !finished.status.success() && finished.stderr.contains("start monitord"),
        "{}",
        finished.stderr
    );
}

/// Starts a Python example and waits until it listens.
fn listening(daemon: &Daemon, script: &str, arguments: &[&str]) -> Program {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut python = Command::new("python3");
    python
        .args(["-B", "-W", "error"])
        .arg(script)
        .args(arguments)
        .current_dir(root);
    let mut program = Program::start(
        python
            .env("PYTHONPATH", "clients/python")
            .env("MONITOR_SOCKET", daemon.socket()),
    );
    let mut rpc = daemon.rpc();
    until("it to listen", || {
        assert!(
            program.ended().is_none(),
            "{script} ended: {}",
            program.stderr()
        );
        (rpc.stat("rpc", "listeners") > 0).then_some(())
    });
    program
}

/// Waits for `count` lines of output.
fn lines(program: &mut Program, count: usize) -> Vec<String> {
    until(&format!("{count} lines"), || {
        assert!(program.ended().is_none(), "it ended: {}", program.stderr());
        let text = String::from_utf8(program.stdout()).unwrap();
        (text.lines().count() >= count && text.ends_with('\n'))
            .then(|| text.lines().map(str::to_owned).collect())
    })
}

#[test]
fn the_log_of_http_requests() {
    needs!("python3", "nginx", "curl");
    let Pair { a, b } = Network::default().pair();
    let web = Nginx::start(&a, 8080);
    web.serve("page.txt", &Random::new(3).bytes(300_000));
    web.serve("other.txt", b"short");
    let daemon = Daemon::start(&a, TAP);
    let mut log = listening(&daemon, "examples/http_requests.py", &["port 8080"]);
    let fetch = |arguments: &str| b.run(&format!("curl -s -A tester -o /dev/null {arguments}"));
    fetch("http://10.9.0.1:8080/page.txt");
    fetch("-X POST -d 0123456789 http://10.9.0.1:8080/other.txt");
    fetch("-I http://10.9.0.1:8080/page.txt");
    fetch("http://10.9.0.1:8080/missing");
    let entries = lines(&mut log, 4);
    for (entry, (request, status)) in entries.iter().zip([
        ("GET /page.txt HTTP/1.1", 200),
        ("POST /other.txt HTTP/1.1", 405),
        ("HEAD /page.txt HTTP/1.1", 200),
        ("GET /missing HTTP/1.1", 404),
    ]) {
        assert!(
            entry.contains(&format!(" 10.9.0.1:8080 \"{request}\" {status} ")),
            "{entry}"
        );
        assert!(
            entry.contains(" 10.9.0.2:") && entry.ends_with("ms \"tester\""),
            "{entry}"
        );
    }
    daemon.stop();
}

#[test]
fn the_list_of_tls_clients() {
    needs!("python3", "openssl", "ss");
    let Pair { a, b } = Network::default().pair();
    let _server = TlsServer::start(&a, 8443, &[]);
    let daemon = Daemon::start(&a, TAP);
    let mut list = listening(&daemon, "examples/tls_hellos.py", &["port 8443"]);
    let call = |more: &[&str]| {
        let mut client = b.command("openssl");
        Program::run(
            client
                .args(["s_client", "-connect", "10.9.0.1:8443"])
                .args(more),
        );
    };
    call(&["-servername", "shop.example", "-alpn", "h2,http/1.1"]);
    call(&["-servername", "shop.example", "-alpn", "h2,http/1.1"]);
    call(&[
        "-noservername",
        "-tls1_2",
        "-cipher",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
    ]);
    let hellos = lines(&mut list, 3);
    let fields: Vec<Vec<&str>> = hellos
        .iter()
        .map(|line| line.split(' ').collect())
        .collect();
    for (line, (name, protocols)) in fields.iter().zip([
        ("shop.example", "h2,http/1.1"),
        ("shop.example", "h2,http/1.1"),
        ("-", "-"),
    ]) {
        assert!(
            line[0].starts_with("10.9.0.2:") && line[1] == "10.9.0.1:8443",
            "{line:?}"
        );
        assert_eq!((line[2], line[3], line[4].len()), (name, protocols, 32));
    }
    assert_eq!(fields[0][4], fields[1][4], "one client has one fingerprint");
    assert_ne!(fields[0][4], fields[2][4], "another one has another");
    daemon.stop();
}

/// A capture with a hole that is acknowledged, and a segment that comes again with other bytes; both after a while.
fn tampered() -> Flow {
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open()
        .wait(4_000_000_000)
        .send(End::Client, b"GET / HTTP/1.1\r\n\r\n");
    flow.send(End::Server, &[b'a'; 3 * 1448]);
    let lost = flow.seq(End::Server, 1448);
    flow.segments
        .retain(|segment| segment.seq != lost || segment.from == End::Client);
    flow.wait(500_000_000).send(End::Server, b"all is well");
    let again = flow.seq(End::Server, 3 * 1448);
    flow.segment_at(End::Server, again, flags::PSH | flags::ACK, b"all is lost");
    flow.reset(End::Server);
    flow
}

#[test]
fn the_account_of_gaps_and_tampering() {
    needs!("python3");
    let flow = tampered();
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("tampered.pcap");
    std::fs::write(&file, Capture::of(&Layers::ethernet(), &flow).pcap()).unwrap();
    let daemon = Daemon::replay(&[&file], "", &["--speed", "1"]);
    let mut accountant = listening(&daemon, "examples/accountant.py", &["--filter", "port 80"]);
    let entries: Vec<Value> = lines(&mut accountant, 3)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ends = "10.0.0.1:40000 -> 10.0.0.2:80";
    for (entry, expected) in entries.iter().zip([
        json!({"event": "gap", "side": "client", "off": 1448, "len": 1448}),
        json!({"event": "conflict", "side": "client", "off": 3 * 1448 + 7, "late": true, "kept": "well"}),
        json!({"event": "total", "why": "rst", "gap_bytes": 1448, "late_conflicts": 1}),
    ]) {
        assert_eq!(entry["ends"], ends, "{entry}");
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&entry[key], value, "{key}: {entry}");
        }
    }
    daemon.stop();
}

/// The example in Rust, built as its first lines say, but not for speed.
fn ids() -> std::path::PathBuf {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "build",
        "--locked",
        "--package",
        "monitor-client",
        "--example",
        "ids",
        "--message-format=json",
    ]);
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let built = Program::start(&mut cargo).finish_within(BUILDS);
    assert!(built.status.success(), "{}", built.stderr);
    let built = built.text();
    let artifacts = built
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let path = artifacts
        .filter(|it| it["target"]["name"] == "ids")
        .find_map(|it| it["executable"].as_str().map(Into::into));
    path.expect("cargo says where the example is")
}

#[test]
fn the_intrusion_detection_stops_the_connections_that_it_finds() {
    let program = ids();
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, TAP);
    let files = tempfile::tempdir().unwrap();
    let rules = files.path().join("rules");
    std::fs::write(
        &rules,
        "# name, text\npasswd  /etc/passwd\nzeros  \\x00\\x00\\x00\n",
    )
    .unwrap();
    let mut command = Command::new(program);
    command
        .arg(&rules)
        .arg("port 7003")
        .env("MONITOR_SOCKET", daemon.socket());
    let mut detection = Program::start(&mut command);
    until("it to look", || {
        detection
            .stderr()
            .contains("searching for 2 texts")
            .then_some(())
    });

    let (mut bad, _bad) = connect(&a, &b, 7003);
    let mut rpc = daemon.rpc();
    let client = bad.local_addr().unwrap();
    // Across the border of two segments.
    bad.set_nodelay(true).unwrap();
    bad.write_all(b"GET /../../etc/pas").unwrap();
    let found = || -> Option<Value> {
        let ends = json!({"client": client.to_string(), "server": "10.9.0.1:7003"});
        daemon.rpc().call("lookup", ends).ok()
    };
    until("the first segment", || {
        found().filter(|socket| socket["sides"]["server"]["end"] == 18)
    });
    bad.write_all(b"swd HTTP/1.0\r\n\r\n").unwrap();
    let alerts = lines(&mut detection, 1);
    let expected = format!("passwd {client} -> 10.9.0.1:7003 server:10 \"GET /../../etc/passwd");
    assert!(alerts[0].starts_with(&expected), "{alerts:?}");
    until("it to be stopped", || {
        found().filter(|socket| socket["closed"] == "stopped")
    });

    let (mut good, _good) = connect(&a, &b, 7003);
    good.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    until("the other connection", || {
        let sockets = rpc.sockets(json!({"port": 7003}));
        sockets
            .iter()
            .any(|socket| socket["closed"].is_null() && socket["sides"]["server"]["end"] == 18)
            .then_some(())
    });
    assert_eq!(
        String::from_utf8(detection.stdout())
            .unwrap()
            .lines()
            .count(),
        1
    );
    daemon.stop();
}
