//! The Rust clients when their connection breaks, and the one for tokio.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod rpc_common;

use std::time::Duration;

use monitor_client::types::SocketsParams;
use monitor_client::{AsyncClient, Client, Code, Error, Method, Reconnect, Side};
use rpc_common::relay::Relay;
use rpc_common::world::{ANSWER, STREAM, world};
use rpc_common::{Server, pattern};

/// Quick enough for a test, patient enough for a loaded machine.
const POLICY: Reconnect = Reconnect {
    attempts: 100,
    pause: Duration::from_millis(1),
    longest: Duration::from_millis(50),
};

#[test]
fn a_read_is_asked_again_over_a_new_connection() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let relay = Relay::to(&server.socket);
    let mut client = Client::connect_with(&relay.socket, POLICY).unwrap();
    for _ in 0..3 {
        relay.cut();
        let read = client.ppeek(sockid, Side::Server, 5, 100_000).unwrap();
        assert!(read.bytes == pattern(5, 100_000));
        assert_eq!(client.info(sockid).unwrap().sockid, sockid);
    }
    assert_eq!(relay.accepted(), 4);
}

#[test]
fn without_a_policy_a_broken_client_stays_broken() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let relay = Relay::to(&server.socket);
    let mut client = Client::connect(&relay.socket).unwrap();
    assert!(client.info(sockid).is_ok());
    relay.cut();
    for _ in 0..3 {
        assert!(client.info(sockid).unwrap_err().is_broken());
    }
    assert_eq!(relay.accepted(), 1);
}

#[test]
fn a_restart_is_reported_before_an_old_sockid_is_used() {
    let (engines, sockid) = world();
    let mut server = Server::start(&engines);
    let relay = Relay::to(&server.socket);
    let mut client = Client::connect_with(&relay.socket, POLICY).unwrap();
    assert!(client.info(sockid).is_ok());
    // The next one gives the same sockids to connections of its own.
    let (engines, same) = world();
    assert_eq!(same, sockid);
    let next = Server::start(&engines);
    relay.turn(&next.socket);
    server.stop();
    assert!(matches!(client.info(sockid), Err(Error::Restarted)));
    assert!(client.info(sockid).is_ok(), "said once");
}

#[test]
fn cursors_survive_a_broken_connection() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let relay = Relay::to(&server.socket);
    let mut client = Client::connect_with(&relay.socket, POLICY).unwrap();
    assert!(client.peek(sockid, Side::Server, 1000).unwrap().bytes == pattern(0, 1000));
    relay.cut();
    let next = client.peek(sockid, Side::Server, 500).unwrap();
    assert!((next.head.off, &next.bytes[..]) == (1000, &pattern(1000, 500)[..]));
    relay.cut();
    assert!(client.info(sockid).is_ok());
    assert_eq!(client.peek(sockid, Side::Server, 1).unwrap().head.off, 1500);
}

#[test]
fn a_daemon_that_does_not_come_back_is_given_up() {
    let (engines, sockid) = world();
    let mut server = Server::start(&engines);
    let policy = Reconnect {
        attempts: 3,
        ..POLICY
    };
    let mut client = Client::connect_with(&server.socket, policy).unwrap();
    server.stop();
    assert!(matches!(client.info(sockid), Err(Error::Connect { .. })));
    assert!(matches!(
        Client::connect_with(&server.socket, policy),
        Err(Error::Connect { .. })
    ));
}

#[tokio::test]
async fn the_async_client_reads_lists_and_distinguishes_errors() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let mut client = AsyncClient::connect(&server.socket).await.unwrap();
    assert_eq!(client.hello("async").await.unwrap().version, 1);
    assert_eq!(
        client
            .sockets(&SocketsParams::default())
            .await
            .unwrap()
            .sockets
            .len(),
        12
    );
    let read = client
        .ppeek(sockid, Side::Server, 9, 1 << 40)
        .await
        .unwrap();
    assert!(read.bytes == pattern(9, STREAM - 9));
    assert_eq!(
        client
            .ppeek(sockid, Side::Client, 0, 1000)
            .await
            .unwrap()
            .bytes,
        ANSWER
    );
    assert_eq!(
        client
            .fragments(sockid, Side::Server)
            .await
            .unwrap()
            .extents
            .len(),
        2
    );
    let Err(Error::Rpc(error)) = client.info(1 << 52).await else {
        panic!("there is no such connection")
    };
    assert_eq!(error.known_code(), Some(Code::BadSocket));
    assert_eq!(client.stats().await.unwrap().rpc.get("clients"), Some(1));
    assert_eq!(
        client.peek(sockid, Side::Client, 4).await.unwrap().bytes,
        b"HTTP"
    );
    assert_eq!(
        client.peek(sockid, Side::Client, 4).await.unwrap().bytes,
        b"/1.1"
    );
    assert_eq!(
        client.discover().await.unwrap().methods.len(),
        Method::ALL.len()
    );
}

#[tokio::test]
async fn the_async_client_connects_again() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let relay = Relay::to(&server.socket);
    let mut client = AsyncClient::connect_with(&relay.socket, POLICY)
        .await
        .unwrap();
    relay.cut();
    assert!(
        client
            .ppeek(sockid, Side::Server, 0, 9)
            .await
            .unwrap()
            .bytes
            == pattern(0, 9)
    );
    let (engines, _) = world();
    let next = Server::start(&engines);
    relay.turn(&next.socket);
    relay.cut();
    assert!(matches!(client.info(sockid).await, Err(Error::Restarted)));
    assert!(client.info(sockid).await.is_ok());
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_no_reply_for_the_next() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let relay = Relay::to(&server.socket);
    let mut client = AsyncClient::connect_with(&relay.socket, POLICY)
        .await
        .unwrap();
    for len in 1..20 {
        // Polled once: the request is written, its reply is under way.
        tokio::select! {
            biased;
            _ = client.ppeek(sockid, Side::Server, 0, 200_000) => panic!("nobody waited for the reply"),
            () = std::future::ready(()) => {}
        }
        let read = client.ppeek(sockid, Side::Server, len, len).await.unwrap();
        assert!(read.bytes == pattern(len, len as usize));
    }
    assert_eq!(relay.accepted(), 20);
}
