//! Captures that can be read once: standard input, named pipes, and PCAP-over-IP.
//!
//! A thread reads and decompresses the stream and passes its bytes to the worker, so that the worker never blocks in a
//! read: it runs commands and serves while the stream is idle. At most [`CHUNKS`] wait between the two; then the thread
//! stops reading, and the sender waits.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;

use super::compression::decompressed;
use super::error::ReplayError;

/// Bytes that one read asks for.
const CHUNK: usize = 256 << 10;
/// Most chunks between the reading thread and the worker.
const CHUNKS: usize = 4;
/// Time to wait for an address of a PCAP-over-IP server to accept the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Prefix of PCAP-over-IP addresses.
const TCP: &str = "tcp://";

/// Argument of `replay` that names a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StreamAddress {
    StandardInput,
    Pipe(PathBuf),
    /// Host and port behind `tcp://`.
    Tcp(String),
}

impl StreamAddress {
    /// Returns the address if the argument names a stream, not a file.
    pub(super) fn of(argument: &Path) -> Option<Self> {
        if argument.as_os_str() == "-" {
            return Some(Self::StandardInput);
        }
        if let Some(address) = argument.to_str().and_then(|text| text.strip_prefix(TCP)) {
            return Some(Self::Tcp(address.to_owned()));
        }
        let is_pipe = argument
            .metadata()
            .is_ok_and(|found| found.file_type().is_fifo());
        is_pipe.then(|| Self::Pipe(argument.to_owned()))
    }

    /// Opens the stream. A named pipe without a writer is not waited for, an unreachable server is an error.
    pub(super) fn open(&self) -> Result<Stream, ReplayError> {
        let path = PathBuf::from(self.to_string());
        let refused = |source| ReplayError::Open {
            path: path.clone(),
            source,
        };
        let source: Box<dyn Read + Send> = match self {
            Self::StandardInput => {
                let input = io::stdin();
                if input.is_terminal() {
                    return Err(ReplayError::Terminal);
                }
                Box::new(File::from(
                    input.as_fd().try_clone_to_owned().map_err(refused)?,
                ))
            }
            Self::Pipe(pipe) => Box::new(NamedPipe::open(pipe).map_err(refused)?),
            Self::Tcp(address) => Box::new(connect(address)?),
        };
        Ok(Stream::new(path, source))
    }
}

impl fmt::Display for StreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StandardInput => f.write_str("standard input"),
            Self::Pipe(path) => path.display().fmt(f),
            Self::Tcp(address) => write!(f, "{TCP}{address}"),
        }
    }
}

fn connect(address: &str) -> Result<TcpStream, ReplayError> {
    let complete = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !complete {
        return Err(ReplayError::Address {
            address: address.to_owned(),
        });
    }
    let failed = |source| ReplayError::Connect {
        address: address.to_owned(),
        source,
    };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for found in address.to_socket_addrs().map_err(failed)? {
        match TcpStream::connect_timeout(&found, CONNECT_TIMEOUT) {
            Ok(stream) => {
                // Otherwise a server on a host that is gone would be waited for indefinitely.
                rustix::net::sockopt::set_socket_keepalive(&stream, true)
                    .map_err(|error| failed(error.into()))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// Named pipe. Its writer may come later.
struct NamedPipe {
    pipe: File,
    had_writer: bool,
}

impl NamedPipe {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        // Otherwise opening would wait for the writer.
        let pipe = options
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path)?;
        rustix::fs::fcntl_setfl(&pipe, OFlags::empty())?;
        Ok(Self {
            pipe,
            had_writer: false,
        })
    }
}

impl Read for NamedPipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.had_writer {
            // Before the first writer a read returns the end of the file, and poll waits.
            poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], None)?;
            self.had_writer = true;
        }
        self.pipe.read(buf)
    }
}

/// Opened stream that nothing was read from yet.
pub(super) struct Stream {
    path: PathBuf,
    source: Box<dyn Read + Send>,
}

impl Stream {
    /// Creates a stream; `path` is its name in messages.
    pub(super) fn new(path: PathBuf, source: Box<dyn Read + Send>) -> Self {
        Self { path, source }
    }

    /// Returns its name for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts the thread that reads. It calls `notify` after each chunk, and at the end. The thread ends with the
    /// stream, or with its next chunk once the [`StreamReader`] is gone; nothing waits for it.
    pub(super) fn start(self, notify: impl Fn() + Send + 'static) -> io::Result<StreamReader> {
        let (sender, chunks) = sync_channel(CHUNKS);
        let source = self.source;
        thread::Builder::new()
            .name("stream".to_owned())
            .spawn(move || {
                forward(source, &sender, &notify);
                // The worker must find the channel closed when it wakes.
                drop(sender);
                notify();
            })?;
        Ok(StreamReader {
            chunks,
            current: Vec::new(),
            used: 0,
        })
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

type Chunk = io::Result<Vec<u8>>;

/// Reads and decompresses the stream to its end, or until the receiver is gone.
fn forward(source: Box<dyn Read + Send>, chunks: &SyncSender<Chunk>, notify: &impl Fn()) {
    let mut source = match decompressed(source) {
        Ok(source) => source,
        Err(error) => {
            // The receiver is gone when the daemon stops.
            let _ = chunks.send(Err(error));
            return;
        }
    };
    let mut buffer = vec![0; CHUNK];
    loop {
        let chunk = match source.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => Ok(buffer[..len].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = chunk.is_err();
        if chunks.send(chunk).is_err() || failed {
            return;
        }
        notify();
    }
}

/// Receiving end of a stream. A read never blocks: without bytes it fails with [`io::ErrorKind::WouldBlock`].
pub(super) struct StreamReader {
    chunks: Receiver<Chunk>,
    current: Vec<u8>,
    /// Bytes of `current` that were returned.
    used: usize,
}

impl Read for StreamReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.used == self.current.len() {
            match self.chunks.try_recv() {
                Ok(chunk) => {
                    self.current = chunk?;
                    self.used = 0;
                }
                Err(TryRecvError::Empty) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(TryRecvError::Disconnected) => return Ok(0),
            }
        }
        let rest = &self.current[self.used..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.used += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_files_or_streams() {
        let of = |argument: &str| StreamAddress::of(Path::new(argument));
        assert_eq!(of("-"), Some(StreamAddress::StandardInput));
        assert_eq!(
            of("tcp://[::1]:57012"),
            Some(StreamAddress::Tcp("[::1]:57012".to_owned()))
        );
        assert_eq!(of("./-"), None);
        assert_eq!(of("/no/such/file"), None);
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        assert_eq!(
            StreamAddress::of(&pipe),
            Some(StreamAddress::Pipe(pipe.clone()))
        );
    }

    #[test]
    fn incomplete_addresses_are_refused_before_any_look_up() {
        for address in [
            "",
            "localhost",
            "localhost:",
            ":57012",
            "localhost:0",
            "localhost:pcap",
            "[::1]",
        ] {
            assert!(
                matches!(connect(address), Err(ReplayError::Address { .. })),
                "{address}"
            );
        }
    }
}
