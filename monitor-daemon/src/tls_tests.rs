//! Tests of the readers of hello messages, with hellos that are written here.

use proptest::prelude::*;

use super::*;

fn vector8(data: &[u8]) -> Vec<u8> {
    [&[data.len() as u8], data].concat()
}

fn vector16(data: &[u8]) -> Vec<u8> {
    [&(data.len() as u16).to_be_bytes(), data].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes(), &vector16(data)[..]].concat()
}

/// Splits a handshake message into records of at most `size` bytes.
fn records(kind: u8, body: &[u8], size: usize) -> Vec<u8> {
    let len = (body.len() as u32).to_be_bytes();
    let message = [&[kind], &len[1..], body].concat();
    let record = |fragment: &[u8]| [&[HANDSHAKE, 3, 1], &vector16(fragment)[..]].concat();
    message.chunks(size).flat_map(record).collect()
}

fn client(extensions: &[Vec<u8>], size: usize) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        &[7; 32],
        &vector8(&[9; 32]),
        &vector16(&[0x13, 1]),
        &vector8(&[0]),
        &vector16(&extensions.concat()),
    ];
    records(CLIENT_HELLO, &body.concat(), size)
}

fn name(host: &str) -> Vec<u8> {
    let entry = [&[0], &vector16(host.as_bytes())[..]].concat();
    extension(SERVER_NAME, &vector16(&entry))
}

fn alpn(protocols: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = protocols.iter().flat_map(|name| vector8(name)).collect();
    extension(ALPN, &vector16(&list))
}

fn server(extensions: Option<&[Vec<u8>]>, legacy: [u8; 2]) -> Vec<u8> {
    let mut body = [&legacy[..], &[7; 32], &vector8(&[]), &[0x13, 1, 0]].concat();
    if let Some(extensions) = extensions {
        body.extend(vector16(&extensions.concat()));
    }
    records(SERVER_HELLO, &body, 1 << 14)
}

#[test]
fn a_client_hello_shows_name_and_protocols() {
    let extensions = [
        extension(0x0a0a, &[]),
        name("example.com"),
        alpn(&[b"\x1a\x1a", b"h2", b"http/1.1"]),
    ];
    for size in [1 << 14, 50, 1] {
        let hello = client_hello(&client(&extensions, size)).unwrap();
        assert_eq!(
            hello.sni.as_deref(),
            Some("example.com"),
            "records of {size}"
        );
        assert_eq!(hello.alpn, ["h2", "http/1.1"], "without GREASE");
    }
    assert_eq!(
        client_hello(&client(&[], 100)),
        Some(ClientHello::default())
    );
}

#[test]
fn a_server_hello_shows_the_negotiated_version() {
    let selected = |version: u16| [extension(SUPPORTED_VERSIONS, &version.to_be_bytes())];
    let version = |extensions: Option<&[Vec<u8>]>, legacy| {
        server_version(&server(extensions, legacy)).unwrap()
    };
    assert_eq!(version(Some(&selected(0x0304)), [3, 3]), "TLSv1.3");
    assert_eq!(version(Some(&selected(0x7f1c)), [3, 3]), "0x7f1c");
    assert_eq!(version(Some(&[]), [3, 3]), "TLSv1.2");
    assert_eq!(version(None, [3, 1]), "TLSv1.0");
    assert_eq!(server_version(&client(&[], 100)), None, "a client's");
}

#[test]
fn other_streams_and_incomplete_hellos_are_refused() {
    assert!(!is_tls(b"GET / HTTP/1.1\r\n") && !is_tls(b"\x16\x03"));
    assert_eq!(client_hello(b"GET / HTTP/1.1\r\n"), None);
    // An empty record makes no progress.
    assert_eq!(client_hello(&[HANDSHAKE, 3, 1, 0, 0].repeat(1000)), None);
    let whole = client(&[name("example.com")], 60);
    assert!(is_tls(&whole));
    for len in 0..whole.len() {
        assert_eq!(client_hello(&whole[..len]), None, "{len} bytes");
    }
    let mut wrong = whole;
    let end = wrong.len() - 1;
    // The length of the extensions exceeds the message.
    wrong.truncate(end);
    wrong[3..5].copy_from_slice(&59u16.to_be_bytes());
    assert_eq!(client_hello(&wrong), None);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        size in 1usize..300,
        kind in prop::sample::select(vec![CLIENT_HELLO, SERVER_HELLO]),
    ) {
        for stream in [records(kind, &bytes, size), bytes] {
            if let Some(hello) = client_hello(&stream) {
                prop_assert!(hello.alpn.len() <= PROTOCOLS);
            }
            let _ = server_version(&stream);
        }
    }

    #[test]
    fn damaged_hellos_are_read_without_a_panic(at in 0usize..120, byte in any::<u8>(), size in 1usize..200) {
        let mut stream = client(&[name("example.com"), alpn(&[b"h2"])], size);
        let at = at.min(stream.len() - 1);
        stream[at] = byte;
        let _ = client_hello(&stream);
        let _ = server_version(&stream);
    }
}
