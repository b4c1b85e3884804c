//! The clients in Rust (blocking) and Python, against a real server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping it")]

mod rpc_common;

use std::path::Path;
use std::process::Command;

use monitor_client::types::{Closed, LookupParams, SocketsParams};
use monitor_client::{Client, Code, Error, Method, Reason, Side};
use monitor_tests::skip;
use rpc_common::world::{ENDS, STREAM, world};
use rpc_common::{Server, pattern};

#[test]
fn the_rust_client_reads_lists_and_finds() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let mut client = server.client();
    let hello = client.hello("test").unwrap();
    assert_eq!(hello.methods.len(), Method::ALL.len());
    let page = SocketsParams { port: Some(1234), ..SocketsParams::default() };
    let listed = client.sockets(&page).unwrap().sockets;
    let ends = LookupParams { client: ENDS.0.parse().unwrap(), server: ENDS.1.parse().unwrap(), vlan: None };
    let found = client.lookup(&ends).unwrap();
    assert_eq!(listed, std::slice::from_ref(&found));
    assert_eq!(client.info(sockid).unwrap(), found);
    assert_eq!(found.closed, Some(Closed::Rst));
    let read = client.ppeek(sockid, Side::Server, 9, 1 << 40).unwrap();
    assert!(read.bytes == pattern(9, STREAM - 9));
    assert_eq!((read.head.len, read.head.data), (STREAM as u64 - 9, None));
    let extents = client.fragments(sockid, Side::Server).unwrap().extents;
    assert_eq!(extents, [(0, STREAM as u64), (STREAM as u64 + 100, 5)]);
    assert_eq!(client.stats().unwrap().rpc.get("clients"), Some(1));
}

#[test]
fn the_rust_client_tells_errors_apart_and_goes_on() {
    let (engines, sockid) = world();
    let mut server = Server::start(&engines);
    let mut client = server.client();
    let Err(Error::Rpc(error)) = client.ppeek(sockid, Side::Server, STREAM as u64, 1) else {
        panic!("there is a hole")
    };
    assert_eq!((error.known_code(), error.reason()), (Some(Code::NoData), Some(Reason::Gap)));
    assert_eq!(error.data.unwrap().next_extent, Some(Some(STREAM as u64 + 100)));
    assert!(
        matches!(client.info(1 << 52), Err(Error::Rpc(error)) if error.known_code() == Some(Code::BadSocket))
    );
    assert!(client.info(sockid).is_ok());
    server.stop();
    assert!(matches!(client.info(sockid), Err(Error::Closed | Error::Io(_))));
    assert!(matches!(Client::connect(&server.socket), Err(Error::Connect { .. })));
}

#[test]
fn the_python_client_passes_its_tests() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/python");
    let output = Command::new("python3")
        .args(["-B", "-W", "error", "test_monitor.py", "-v"])
        .current_dir(directory)
        .env("MONITOR_SOCKET", &server.socket)
        .env("MONITOR_SOCKID", sockid.to_string())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skip!("python3 is not installed");
        }
        Err(error) => panic!("python3 cannot be run: {error}"),
    };
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("\nOK"), "{text}");
}
