//! Reads while a connection runs, and errors at the start.

use monitor_tests::{Daemon, Namespace, Program, needs, until};
use serde_json::{Value, json};

use crate::tap;

#[test]
fn a_live_connection_is_read_while_it_runs() {
    needs!("python3", "ss");
    let namespace = Namespace::new();
    let daemon = Daemon::start(&namespace, &tap("'lo'", 0, 1, 64));
    // Says each line back in capitals, and stays.
    let server = "import socket\ns = socket.create_server(('127.0.0.1', 7000))\nc, _ = s.accept()\n\
                  for line in c.makefile('rb'): c.sendall(line.upper())\n";
    let _server = Program::start(namespace.command("python3").args(["-c", server]));
    until("the server to listen", || {
        namespace
            .run("ss -Hltn")
            .contains("127.0.0.1:7000 ")
            .then_some(())
    });
    let client = namespace
        .enter(|| std::net::TcpStream::connect("127.0.0.1:7000"))
        .unwrap();
    let mut rpc = daemon.rpc();
    let mut said = Vec::new();
    for line in [&b"one\n"[..], b"two\n", b"three\n"] {
        std::io::Write::write_all(&mut &client, line).unwrap();
        said.extend(line);
        let socket = until("the connection", || {
            rpc.sockets(json!({"port": 7000})).pop()
        });
        let sockid = socket["sockid"].as_u64().unwrap();
        for (side, expected) in [
            ("server", said.clone()),
            ("client", said.to_ascii_uppercase()),
        ] {
            let bytes = until("the line", || {
                rpc.ppeek(sockid, side, 0, 100)
                    .ok()
                    .filter(|(_, bytes)| bytes.len() == expected.len())
            });
            assert_eq!(bytes.1, expected);
        }
        assert_eq!(
            rpc.ok("info", json!({"sockid": sockid}))["closed"],
            Value::Null
        );
    }
    assert_eq!(rpc.sockets(json!({"port": 7000})).len(), 1);
    daemon.stop();
}

#[test]
fn a_failed_start_names_its_reason() {
    needs!();
    let namespace = Namespace::new();
    for (settings, says) in [
        ("[capture]\ninterfaces = ['nosuch0']\n", "nosuch0"),
        (
            "[capture]\nmode = 'mirror'\ninterfaces = ['nosuch0']\n",
            "nosuch0",
        ),
        ("[capture]\nnosuchkey = 1\n", "nosuchkey"),
    ] {
        let log = Daemon::refused(&namespace, settings);
        assert!(log.contains(says), "{settings} gave {log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}
