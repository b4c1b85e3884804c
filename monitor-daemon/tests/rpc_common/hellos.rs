//! Hello messages of TLS, as short as they can be.

/// A client hello with the extensions of `openssl s_client -servername a.test -alpn h2`, without those that are not read.
const CLIENT: &str = "160301004701000043030307070707070707070707070707070707070707070707070707070707070707070000\
                      021301010000180000000b0009000006612e74657374001000050003026832";
const SERVER: &str = "16030300320200002e030307070707070707070707070707070707070707070707070707070707070707070013\
                      01000006002b00020304";

/// Returns a client hello for the server `a.test` that offers `h2`.
pub fn client_hello() -> Vec<u8> {
    hex(CLIENT)
}

/// Returns the hello of a server with TLS 1.3.
pub fn server_hello() -> Vec<u8> {
    hex(SERVER)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
