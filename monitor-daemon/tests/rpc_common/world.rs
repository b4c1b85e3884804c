//! Connections that the clients' tests read.

use monitor_daemon::control::Engine;

use super::talk::{From, Talk};
use super::{engines_with, pattern};

/// Ends of the connection that is read.
pub const ENDS: (&str, &str) = ("10.0.0.1:1234", "10.0.0.2:80");
/// Bytes that its client sent before a hole of 100 and 5 bytes more.
pub const STREAM: usize = 300_000;
/// The server's answer, which must not reach a terminal unescaped.
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n\x1b[2J";

/// Creates a connection with a hole in it, closed by an RST, and eleven others; returns the sockid of the first.
pub fn world() -> (Vec<Engine>, u64) {
    let mut engines = engines_with(2, true);
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    talk.say(&mut engines[0], From::Client, &pattern(0, STREAM));
    talk.at(
        &mut engines[0],
        From::Client,
        STREAM as u64 + 100,
        &pattern(STREAM as u64 + 100, 5),
    );
    talk.say(&mut engines[0], From::Server, ANSWER);
    talk.reset(&mut engines[0], From::Server);
    let id = talk.id(&engines[0]).as_u64();
    for number in 0..11 {
        let mut talk = Talk::new(&format!("10.0.0.3:{}", 5000 + number), ENDS.1);
        talk.open(&mut engines[number % 2]);
    }
    (engines, id)
}
