//! A client that does as little as one can, and a server that does nothing: round trips over a Unix socket.
//!
//! Both are spoken to with the same requests and answer with as many bytes: a line, then the bytes that it announces.

mod echo;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

pub use echo::echo;

/// Requests that are on their way at once where the rate of bytes is measured.
const AHEAD: usize = 4;

/// Server and requested stream.
#[derive(Clone, Debug)]
pub struct Target {
    /// Socket of the server.
    pub socket: PathBuf,
    /// Requested connection.
    pub sockid: u64,
}

struct Client {
    stream: UnixStream,
    request: Vec<u8>,
    /// Bytes after the line of each reply.
    len: usize,
    reply: Vec<u8>,
    have: usize,
}

impl Target {
    /// Returns the durations of single requests for `len` bytes, nanoseconds, in order of size.
    pub fn round_trips(&self, len: usize, count: usize) -> Result<Vec<u64>> {
        let mut client = self.client(len)?;
        let mut trip = || -> Result<u64> {
            let started = Instant::now();
            client.ask()?;
            client.receive()?;
            Ok(started.elapsed().as_nanos() as u64)
        };
        for _ in 0..count / 10 {
            trip()?;
        }
        let mut times = (0..count).map(|_| trip()).collect::<Result<Vec<_>>>()?;
        times.sort_unstable();
        Ok(times)
    }

    /// Bytes a second when the next request never has to be waited for.
    pub fn stream(&self, len: usize, count: usize) -> Result<f64> {
        let mut client = self.client(len)?;
        for _ in 0..AHEAD {
            client.ask()?;
        }
        let started = Instant::now();
        for _ in 0..count {
            client.receive()?;
            client.ask()?;
        }
        Ok((count * len) as f64 / started.elapsed().as_secs_f64())
    }

    /// Returns the requests per second of `clients` clients, each of which asks again at once after
    /// its answer.
    pub fn requests(&self, len: usize, clients: usize, time: Duration) -> Result<f64> {
        let mut all = (0..clients)
            .map(|_| self.client(len))
            .collect::<Result<Vec<_>>>()?;
        let started = Instant::now();
        let counts = thread::scope(|scope| {
            let threads: Vec<_> = all
                .iter_mut()
                .map(|client| {
                    scope.spawn(move || -> Result<u64> {
                        let mut count = 0;
                        while started.elapsed() < time {
                            client.ask()?;
                            client.receive()?;
                            count += 1;
                        }
                        Ok(count)
                    })
                })
                .collect();
            let join = |thread: thread::ScopedJoinHandle<'_, Result<u64>>| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect::<Result<Vec<_>>>()
        })?;
        Ok(counts.iter().sum::<u64>() as f64 / started.elapsed().as_secs_f64())
    }

    /// Length of the line in front of the bytes.
    pub fn line(&self, len: usize) -> Result<usize> {
        let mut client = self.client(len)?;
        client.ask()?;
        client.receive()
    }

    fn client(&self, len: usize) -> Result<Client> {
        let stream = UnixStream::connect(&self.socket).context("nobody listens")?;
        // A server that doesn't answer is detected.
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let sockid = self.sockid;
        let request = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ppeek\",\"params\":{{\"sockid\":{sockid},\"side\":\"server\",\
             \"off\":0,\"encoding\":\"raw\",\"len\":{len}}}}}\n"
        );
        Ok(Client {
            stream,
            request: request.into_bytes(),
            len,
            reply: vec![0; 2 * len + 4096],
            have: 0,
        })
    }
}

impl Client {
    fn ask(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.request)
    }

    /// The next reply; the length of its line.
    fn receive(&mut self) -> Result<usize> {
        let mut line = None;
        loop {
            if line.is_none() {
                line = self.reply[..self.have]
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .map(|at| at + 1);
            }
            if let Some(line) = line
                && self.have >= line + self.len
            {
                ensure!(
                    !self.reply[..line]
                        .windows(7)
                        .any(|word| word == b"\"error\""),
                    "it answers an error"
                );
                self.reply.copy_within(line + self.len..self.have, 0);
                self.have -= line + self.len;
                return Ok(line);
            }
            let read = self
                .stream
                .read(&mut self.reply[self.have..])
                .context("no answer")?;
            ensure!(
                read > 0,
                "the server closed the connection: {}",
                String::from_utf8_lossy(&self.reply[..200])
            );
            self.have += read;
        }
    }
}
