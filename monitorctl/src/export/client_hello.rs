//! Finder of TLS ClientHello messages in a stream. Pure.

/// Number of bytes at the start of a stream that are searched: a protocol may speak in clear before TLS.
pub const SEARCHED: u64 = 16 * 1024;

/// Bytes from the record's header to the end of the random number.
const LENGTH: usize = 43;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Major version of TLS, and of SSL 3.0.
const MAJOR: u8 = 3;

/// Random number that a client chose for its session, which names the session in a key log.
pub type ClientRandom = [u8; 32];

/// Returns the random number of each ClientHello. Bytes that look like one by accident are returned as well: no line of
/// a key log has their number.
pub fn client_randoms(bytes: &[u8]) -> impl Iterator<Item = ClientRandom> {
    let hellos = bytes.windows(LENGTH).filter(|hello| {
        hello[0] == HANDSHAKE && hello[1] == MAJOR && hello[5] == CLIENT_HELLO && hello[9] == MAJOR
    });
    hellos.filter_map(|hello| hello[11..].try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the start of a ClientHello with this byte as its random number.
    fn hello(random: u8) -> Vec<u8> {
        let mut hello = vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
        hello.extend([random; 32]);
        hello
    }

    #[test]
    fn hellos_are_found_anywhere() {
        let stream = [b"STARTTLS\r\n".to_vec(), hello(7), vec![0; 9], hello(8)].concat();
        let found: Vec<_> = client_randoms(&stream).collect();
        assert_eq!(found, [[7; 32], [8; 32]]);
        assert_eq!(client_randoms(&hello(7)[..42]).count(), 0, "cut off");
        assert_eq!(client_randoms(b"GET / HTTP/1.1\r\n").count(), 0);
    }
}
