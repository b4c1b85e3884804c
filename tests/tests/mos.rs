//! Programs for mOS's API, in C, on real traffic, compared with the truth.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use monitor_tests::wiregen::Random;
use monitor_tests::{CProgram, Daemon, Namespace, Network, Pair, Program, needs, until};
use rustix::process::Signal;

/// Settings with a number of workers.
fn settings(workers: u16) -> String {
    format!(
        "[capture]\ninterfaces = ['veth']\nworkers = {workers}\n\
         [store]\nwindow = '4MiB'\nmemory = '64MiB'\n"
    )
}

/// Starts a program of clients/c/tests/mos, and waits until it observes.
fn start(program: &CProgram, daemon: &Daemon, arguments: &[&str]) -> Program {
    let mut program = Program::start(program.command(&daemon.socket()).args(arguments));
    until("it to observe", || {
        assert!(program.ended().is_none(), "it ended: {}", program.stderr());
        output(&program).contains("ready\n").then_some(())
    });
    program
}

fn compile(name: &str) -> CProgram {
    CProgram::compile(&format!("clients/c/tests/mos/{name}.c"))
}

fn output(program: &Program) -> String {
    String::from_utf8(program.stdout()).unwrap()
}

/// Ends a program as its user does. Returns its output.
fn terminate(program: Program) -> String {
    program.signal(Signal::TERM);
    let finished = program.finish();
    assert!(finished.status.success(), "{}", finished.stderr);
    finished.text()
}

/// Connections of `b` to a port of `a`: client, server.
fn connect(a: &Namespace, b: &Namespace, port: u16, count: usize) -> Vec<(TcpStream, TcpStream)> {
    let listener = a.enter(|| TcpListener::bind(("10.9.0.1", port))).unwrap();
    let mut pairs = Vec::new();
    for _ in 0..count {
        let client = b.enter(|| TcpStream::connect(("10.9.0.1", port))).unwrap();
        pairs.push((client, listener.accept().unwrap().0));
    }
    pairs
}

/// Closes a connection, the client first. Returns the client's port.
fn close((client, mut server): (TcpStream, TcpStream)) -> u16 {
    let port = client.local_addr().unwrap().port();
    client.shutdown(Shutdown::Write).unwrap();
    std::io::copy(&mut server, &mut std::io::sink()).unwrap();
    drop(server);
    std::io::copy(&mut &client, &mut std::io::sink()).unwrap();
    port
}

#[test]
fn the_table_of_connections_and_its_timer() {
    needs!("cc");
    let program = compile("connections");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &settings(2));
    // A context for each worker, and one beyond.
    let table = start(&program, &daemon, &["3"]);
    let pairs = connect(&a, &b, 7101, 6);
    let row = |client: &TcpStream, server: SocketAddr, states: &str| {
        format!("{} {server} {states}", client.local_addr().unwrap())
    };
    let is_shown = |expected: &BTreeSet<String>| {
        let text = output(&table);
        // The last table that is complete.
        let end = text.rfind("opened ")?;
        let start = text[..end].rfind("table ")?;
        let rows: BTreeSet<_> = text[start..end]
            .lines()
            .skip(1)
            .map(str::to_owned)
            .collect();
        (rows == *expected).then_some(())
    };
    let server = pairs[0].1.local_addr().unwrap();
    let mut rows: BTreeSet<_> = pairs
        .iter()
        .map(|(client, _)| row(client, server, "4 4"))
        .collect();
    until("all connections in the table", || is_shown(&rows));
    // Half of one is closed: FIN-WAIT-2 and CLOSE-WAIT.
    let client = &pairs[3].0;
    client.shutdown(Shutdown::Write).unwrap();
    rows.remove(&row(client, server, "4 4"));
    rows.insert(row(client, server, "6 7"));
    until("the states of a half-closed connection", || is_shown(&rows));
    for pair in pairs {
        close(pair);
    }
    until("the end of all connections", || is_shown(&BTreeSet::new()));
    let text = terminate(table);
    assert!(text.contains("opened 6 ended 6"), "{text}");
    assert!(text.ends_with("done\n"), "{text}");
    daemon.stop();
}

#[test]
fn the_bookkeeping_of_a_firewall() {
    needs!("cc");
    let program = compile("firewall");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &settings(1));
    let firewall = start(&program, &daemon, &["ACCEPT 7111", "DROP 7112"]);
    let mut ports = BTreeSet::new();
    for (port, count) in [(7111, 5), (7112, 3), (7113, 2)] {
        for mut pair in connect(&a, &b, port, count) {
            pair.0.write_all(b"payload").unwrap();
            ports.insert(close(pair));
        }
    }
    until("all SYNs", || {
        (output(&firewall).lines().count() > ports.len()).then_some(())
    });
    let text = terminate(firewall);
    let expected: BTreeSet<_> = ports
        .iter()
        .map(|port| format!("syn 10.9.0.2:{port}"))
        .collect();
    let seen: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("syn"))
        .collect();
    assert_eq!(seen.len(), ports.len(), "one for each connection: {text}");
    let seen: BTreeSet<_> = seen.into_iter().map(str::to_owned).collect();
    assert_eq!(seen, expected);
    assert!(
        text.contains("rule 7111 5\nrule 7112 3\nrefused 3 "),
        "{text}"
    );
    daemon.stop();
}

/// The sum that the program computes of a stream.
fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum: u32, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
    })
}

#[test]
fn bytes_that_are_counted_by_peek() {
    needs!("cc");
    let program = compile("bytes");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, &settings(1));
    let counter = start(
        &program,
        &daemon,
        &["dst net 10.9.0.0 mask 255.255.255.0 & dst port 7121"],
    );
    let mut random = Random::new(5);
    let mut expected = BTreeSet::new();
    for (size, port) in [
        (0, 7121),
        (1, 7121),
        (700_000, 7121),
        (50, 7122),
        (90_000, 7121),
    ] {
        let (mut client, mut server) = connect(&a, &b, port, 1).pop().unwrap();
        let (request, answer) = (random.bytes(size), random.bytes(size * 2));
        std::thread::scope(|scope| {
            scope.spawn(|| client.write_all(&request).unwrap());
            server.read_exact(&mut vec![0; size]).unwrap();
        });
        std::thread::scope(|scope| {
            scope.spawn(|| server.write_all(&answer).unwrap());
            client.read_exact(&mut vec![0; size * 2]).unwrap();
        });
        let own = close((client, server));
        if port == 7121 {
            expected.insert(format!(
                "{own} client {} {} server {size} {} lost 0",
                size * 2,
                sum(&answer),
                sum(&request)
            ));
        }
    }
    until("all connections", || {
        (output(&counter).lines().count() > expected.len()).then_some(())
    });
    let text = terminate(counter);
    let seen: BTreeSet<_> = text.lines().filter(|line| line.contains("lost")).collect();
    assert_eq!(seen, expected.iter().map(String::as_str).collect());
    daemon.stop();
}

#[test]
fn a_text_that_is_found_by_ppeek() {
    needs!("cc");
    let program = compile("search");
    let Pair { a, b } = Network::default().pair();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let daemon = Daemon::start(&a, &settings(processors.min(2) as u16));
    let text = "needle \u{1f9f5} in the haystack";
    let search = start(&program, &daemon, &[text]);
    let mut random = Random::new(9);
    let mut expected = BTreeSet::new();
    for (before, cut) in [(0, 1), (1447, 5), (70_000, 20), (300_000, 9)] {
        let (mut client, mut server) = connect(&a, &b, 7131, 1).pop().unwrap();
        client.set_nodelay(true).unwrap();
        let port = client.local_addr().unwrap().port();
        let mut request = random.bytes(before);
        request.extend(text.as_bytes());
        let (first, last) = request.split_at(before + cut);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                client.write_all(first).unwrap();
                // In a segment of its own.
                client.write_all(last).unwrap();
            });
            server.read_exact(&mut vec![0; request.len()]).unwrap();
        });
        server.write_all(b"no ").unwrap();
        server.write_all(text.as_bytes()).unwrap();
        close((client, server));
        expected.insert(format!("{port} request {before}"));
        expected.insert(format!("{port} answer 3"));
    }
    until("all finds", || {
        (output(&search).lines().count() > expected.len()).then_some(())
    });
    let text = terminate(search);
    let seen: BTreeSet<_> = text
        .lines()
        .filter(|line| line.contains("request") || line.contains("answer"))
        .collect();
    assert_eq!(seen, expected.iter().map(String::as_str).collect());
    assert!(text.contains("evaluations equal callbacks"), "{text}");
    daemon.stop();
}
