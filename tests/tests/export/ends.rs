//! Ends of connections: FINs at their times.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

use monitor_tests::{Daemon, Network, Pair, needs, until};
use rustix::process::Signal;

use crate::live::{TAP, empty, start};

#[test]
fn a_fin_is_exported_when_it_is_sent() {
    needs!("tshark");
    let Pair { a, b } = Network::default().pair();
    let daemon = Daemon::start(&a, TAP);
    let listener = a.enter(|| TcpListener::bind("10.9.0.1:7000")).unwrap();
    let exported = empty();
    let export = start(&daemon, &["--filter", "port 7000"], &exported);
    let mut client = b.enter(|| TcpStream::connect("10.9.0.1:7000")).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"request").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    server.read_exact(&mut [0; 7]).unwrap();
    // The other direction is still open.
    until("the first FIN in the file", || {
        let shown = exported.tshark_partial(&["-Y", "tcp.flags.fin == 1"]);
        (shown.lines().count() == 1).then_some(())
    });
    server.write_all(b"response").unwrap();
    drop(server);
    client.read_to_end(&mut Vec::new()).unwrap();
    until("the second FIN in the file", || {
        let shown = exported.tshark_partial(&["-Y", "tcp.flags.fin == 1"]);
        (shown.lines().count() == 2).then_some(())
    });
    export.signal(Signal::INT);
    assert!(export.finish().status.success());
    exported.is_clean();
    let fields =
        "-Y;tcp.len > 0 or tcp.flags.fin == 1;-T;fields;-e;tcp.srcport;-e;tcp.flags.fin;-e;tcp.len";
    let shown = exported.tshark(&fields.split(';').collect::<Vec<_>>());
    let rows: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let from_server: Vec<bool> = rows.iter().map(|row| row[0] == "7000").collect();
    assert_eq!(from_server, [false, false, true, true], "{shown}");
    let fins: Vec<bool> = rows
        .iter()
        .map(|row| matches!(row[1], "1" | "True"))
        .collect();
    assert_eq!(fins, [false, true, false, true], "{shown}");
    daemon.stop();
}
