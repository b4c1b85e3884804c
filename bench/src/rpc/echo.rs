//! The server that does nothing: a thread for each client, one read, one write.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};

/// Serves until it is killed. Each request ends in the number of bytes that it wants; each reply is a line of `line`
/// bytes and as many bytes as were wanted.
pub fn echo(socket: &Path, line: usize) -> Result<serde_json::Value> {
    let listener =
        UnixListener::bind(socket).with_context(|| format!("cannot bind {}", socket.display()))?;
    loop {
        let (client, _) = listener.accept()?;
        // An error is the client's end.
        thread::spawn(move || serve(&client, line));
    }
}

fn serve(client: &UnixStream, line: usize) -> Option<()> {
    let mut reply = vec![b' '; line];
    *reply.last_mut()? = b'\n';
    let mut reader = BufReader::new(client);
    let mut request = Vec::new();
    loop {
        request.clear();
        if reader.read_until(b'\n', &mut request).ok()? == 0 {
            return None;
        }
        let number = request.rsplit(|byte| *byte == b':').next()?;
        let digits = number.iter().take_while(|byte| byte.is_ascii_digit());
        let wanted = digits.fold(0, |value, digit| value * 10 + usize::from(digit - b'0'));
        reply.resize(line + wanted, 0x55);
        let mut out = client;
        out.write_all(&reply).ok()?;
    }
}
