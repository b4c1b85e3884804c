//! A proxy between two hosts, which both see one connection, and one byte of it differently.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use monitor_tests::wiregen::Random;
use monitor_tests::{
    Namespace, NatsServer, Network, Nginx, Pair, Program, monitor_relay, monitorctl, needs, until,
};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::Value;

use crate::{Host, objects, until_hosts, view};

/// Offset in the bytes to the client of the one that the proxy changes.
const ALTERED: usize = 12_345;

/// Passes one connection on: from a client's namespace into a server's, with the client's address on both sides.
fn proxy(listener: &TcpListener, to: &Namespace) {
    let (mut client, from) = listener.accept().unwrap();
    let mut server = to.enter(|| connect_from(from, "10.9.0.1:8000".parse().unwrap()));
    let (mut requests, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::scope(|scope| {
        scope.spawn(move || {
            io::copy(&mut requests, &mut to_server).unwrap();
            to_server.shutdown(Shutdown::Write).unwrap();
        });
        let mut response = Vec::new();
        server.read_to_end(&mut response).unwrap();
        response[ALTERED] ^= 1;
        client.write_all(&response).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
    });
}

/// Connects from an address and port.
fn connect_from(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&stream, &from).unwrap();
    connect(&stream, &to).unwrap();
    TcpStream::from(stream)
}

#[test]
fn the_byte_that_a_proxy_alters_is_found() {
    needs!("nats-server", "nginx", "curl");
    // The proxy has the server's address at the client's side, and the client's at the server's.
    let Pair {
        a: server,
        b: behind,
    } = Network::default().pair();
    let Pair {
        a: front,
        b: client,
    } = Network::default().pair();
    let nats = NatsServer::start();
    let nginx = Nginx::start(&server, 8000);
    let content = Random::new(3).bytes(40_000);
    nginx.serve("file", &content);
    let mut hosts = [("h1", &server), ("h2", &client)]
        .map(|(name, namespace)| Host::start(name, namespace, &nats));
    for host in &mut hosts {
        host.start_relay(Command::new(monitor_relay()));
    }
    let viewer = || Command::new(monitorctl());
    until_hosts(&viewer, &nats, &["h1", "h2"]);
    let listener = front.enter(|| TcpListener::bind("10.9.0.1:8000")).unwrap();
    let mut curl = client.command("curl");
    let curl = curl.args([
        "-sS",
        "-H",
        "Connection: close",
        "http://10.9.0.1:8000/file",
    ]);
    let curl = Program::start(curl);
    proxy(&listener, &behind);
    let received = curl.finish();
    assert!(received.status.success(), "{}", received.stderr);
    let head = received.stdout.len() - content.len();
    assert_eq!(head, 0, "curl prints the content alone");
    assert_eq!(
        received
            .stdout
            .iter()
            .zip(&content)
            .filter(|(one, other)| one != other)
            .count(),
        1
    );
    let listed = until("both views of the connection", || {
        let listed = objects(&view(viewer(), &nats, &["--json", "sockets", "--closed"]));
        (listed.len() == 2).then_some(listed)
    });
    let id = |socket: &Value| socket["community_id"].as_str().unwrap().to_owned();
    assert_eq!(id(&listed[0]), id(&listed[1]));
    let compared = view(viewer(), &nats, &["compare", &id(&listed[0])]);
    assert_eq!(compared.status.code(), Some(8), "{}", compared.stderr);
    let text = compared.text();
    let found = format!("client side: the bytes differ at offset {ALTERED}");
    assert!(text.contains(&found), "{text}");
    assert!(
        text.contains("server side: ") && text.contains("bytes are equal"),
        "{text}"
    );
}
