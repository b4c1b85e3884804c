//! The programs under examples/, and what the C library reads of live connections: real traffic, the real daemon.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use monitor_tests::{CProgram, Daemon, Namespace, Network, Pair, Program, needs, until, wiregen::Random};

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
    until("the connection", || rpc.sockets(serde_json::json!({"port": 7001})).pop());
    let bytes = Random::new(1).bytes(1_000_000);
    let drain = std::thread::spawn(move || std::io::copy(&mut &server, &mut std::io::sink()));
    let reader = Program::start(program.command(&daemon.socket()).args(["7001", "1000000"]));
    // It reads what is there before the next part is sent.
    for part in bytes.chunks(100_000) {
        let before = reader.stdout().len();
        client.write_all(part).unwrap();
        until("the part to be read", || (reader.stdout().len() == before + part.len()).then_some(()));
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
    let ends = format!("{:<28}{:<28}", client.local_addr().unwrap(), server.local_addr().unwrap());
    let row = |states: [&str; 2], received: &str| {
        let expected = format!("{ends}{:<13}{:<13} {received:>12}", states[0], states[1]);
        until(&expected, || {
            let table = Program::run(&mut program.command(&daemon.socket())).text();
            assert!(table.starts_with("CLIENT") && table.contains(" connections\n"), "{table}");
            table.lines().any(|line| line.starts_with(&expected)).then_some(())
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
    assert!(!finished.status.success() && finished.stderr.contains("start monitord"), "{}", finished.stderr);
}
