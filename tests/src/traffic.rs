//! TCP transfers between namespaces, with bytes known to the test.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::{DEADLINE, Namespace};

/// Payload of one connection. The client sends `request` and ends its direction; concurrently, the
/// server sends `response` and ends the other.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a> {
    /// From the client to the server.
    pub request: &'a [u8],
    /// From the server to the client.
    pub response: &'a [u8],
}

/// Makes all transfers at once, each over a connection of its own, from `client`'s namespace to `address` in
/// `server`'s; returns the clients' addresses, in the order of the transfers.
///
/// # Panics
/// When a byte arrives that was not sent, or one does not arrive.
#[track_caller]
pub fn exchange(
    server: &Namespace,
    client: &Namespace,
    address: SocketAddr,
    transfers: &[Transfer<'_>],
) -> Vec<SocketAddr> {
    let listener = server
        .enter(|| TcpListener::bind(address))
        .expect("an address of the server");
    let pairs: Vec<_> = client.enter(|| {
        transfers
            .iter()
            .map(|_| connect(&listener, address))
            .collect()
    });
    thread::scope(|scope| {
        for (transfer, (client, server)) in transfers.iter().zip(&pairs) {
            for (stream, out, into) in [
                (client, transfer.request, transfer.response),
                (server, transfer.response, transfer.request),
            ] {
                scope.spawn(move || send(stream, out));
                scope.spawn(move || receive(stream, into));
            }
        }
    });
    pairs
        .iter()
        .map(|(client, _)| client.local_addr().expect("connected"))
        .collect()
}

/// A connection and both its ends, client first.
fn connect(listener: &TcpListener, address: SocketAddr) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect_timeout(&address, DEADLINE).expect("a way to the server");
    let (server, peer) = listener.accept().expect("a connection");
    assert_eq!(client.local_addr().ok(), Some(peer), "nobody else connects");
    for stream in [&client, &server] {
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a time above 0");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("a time above 0");
    }
    (client, server)
}

fn send(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("the peer takes the bytes");
    stream
        .shutdown(Shutdown::Write)
        .expect("a connected socket");
}

fn receive(mut stream: &TcpStream, expected: &[u8]) {
    let mut left = expected;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = stream.read(&mut buffer).expect("the peer sends bytes");
        if read == 0 {
            break;
        }
        assert!(
            left.starts_with(&buffer[..read]),
            "the network delivers what was sent"
        );
        left = &left[read..];
    }
    assert!(
        left.is_empty(),
        "{} bytes of {} are missing",
        left.len(),
        expected.len()
    );
}
