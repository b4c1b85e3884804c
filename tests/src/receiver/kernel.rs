//! Sockets of the running kernel, and the application that reads them.

use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket_with};

/// End of the stream, as the application saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Not yet.
    None,
    /// `read` returned 0.
    EndOfStream,
    /// `read` failed: the connection was reset.
    Reset,
}

/// A connected socket and its reading application.
pub struct Application {
    stream: TcpStream,
    /// Everything that was read.
    pub bytes: Vec<u8>,
    /// End of the stream.
    pub ending: Ending,
}

impl Application {
    fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).expect("an open socket");
        // Each write is a segment of its own.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            bytes: Vec::new(),
            ending: Ending::None,
        }
    }

    /// Reads at most `limit` bytes.
    ///
    /// # Panics
    /// When the kernel reports an unexpected error.
    pub fn read(&mut self, limit: usize) {
        let mut left = limit;
        let mut buffer = [0; 4096];
        while left > 0 && self.ending == Ending::None {
            let most = left.min(buffer.len());
            match self.stream.read(&mut buffer[..most]) {
                Ok(0) => self.ending = Ending::EndOfStream,
                Ok(len) => {
                    self.bytes.extend(&buffer[..len]);
                    left -= len;
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => return,
                    ErrorKind::ConnectionReset
                    | ErrorKind::BrokenPipe
                    | ErrorKind::ConnectionRefused => self.ending = Ending::Reset,
                    _ => panic!("read: {error}"),
                },
            }
        }
    }

    /// Sends bytes, as many as the socket takes.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write(bytes);
    }

    /// Sends a FIN.
    pub fn shutdown(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Returns whether the connection is over for the kernel, be it in TIME-WAIT.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.stream.peer_addr().is_err()
    }

    /// Closes the connection by RST, so that nothing of it stays in the kernel.
    pub fn abort(self) {
        let _ =
            rustix::net::sockopt::set_socket_linger(&self.stream, Some(std::time::Duration::ZERO));
    }
}

/// Listening socket.
pub struct Listener(TcpListener);

impl Listener {
    /// Listens at an address, with a receive buffer of `buffer` bytes for each connection (`None`: automatic).
    ///
    /// # Panics
    /// When the address is in use.
    #[must_use]
    pub fn new(address: SocketAddr, buffer: Option<usize>) -> Self {
        let socket = stream_socket(address, buffer);
        bind(&socket, &address).expect("a free port");
        listen(&socket, 4096).expect("a bound socket listens");
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(true).expect("an open socket");
        Self(listener)
    }

    /// Returns the next established connection with its remote address.
    #[must_use]
    pub fn accept(&self) -> Option<(Application, SocketAddr)> {
        let (stream, remote) = self.0.accept().ok()?;
        Some((Application::new(stream), remote))
    }
}

/// Connects from one address to another, without waiting.
///
/// # Panics
/// When the local address is in use.
#[must_use]
pub fn begin_connect(local: SocketAddr, remote: SocketAddr, buffer: Option<usize>) -> Application {
    let socket = stream_socket(local, buffer);
    bind(&socket, &local).expect("a free port");
    // In progress until the script answers.
    let _ = connect(&socket, &remote);
    Application::new(TcpStream::from(socket))
}

fn stream_socket(address: SocketAddr, buffer: Option<usize>) -> std::os::fd::OwnedFd {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None).expect("a socket");
    set_socket_reuseaddr(&socket, true).expect("an option of every socket");
    if let Some(buffer) = buffer {
        set_socket_recv_buffer_size(&socket, buffer).expect("an option of every socket");
    }
    socket
}

/// Connections that the kernel considers open, by local and remote address. TIME-WAIT and CLOSE are not open.
///
/// # Panics
/// When /proc is missing.
#[must_use]
pub fn open_connections() -> HashMap<(SocketAddr, SocketAddr), u8> {
    const TIME_WAIT: u8 = 6;
    const CLOSE: u8 = 7;
    let mut open = HashMap::new();
    for file in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/thread-self/net/{file}")).expect("/proc");
        for line in table.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            let state = u8::from_str_radix(words[3], 16).expect("a state");
            if ![TIME_WAIT, CLOSE].contains(&state) {
                open.insert((address(words[1]), address(words[2])), state);
            }
        }
    }
    open
}

/// Returns the number of acceptable segments that this namespace's sockets have dropped for lack of memory.
///
/// # Panics
/// When /proc is missing.
#[must_use]
pub fn dropped_for_memory() -> u64 {
    const NAMES: [&str; 4] = ["TCPRcvQDrop", "TCPOFODrop", "RcvPruned", "OfoPruned"];
    let table = fs::read_to_string("/proc/thread-self/net/netstat").expect("/proc");
    let mut lines = table.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    names
        .split_whitespace()
        .zip(values.split_whitespace())
        .filter(|(name, _)| NAMES.contains(name))
        .map(|(_, value)| value.parse::<u64>().expect("a number"))
        .sum()
}

/// Reads an address as /proc/net/tcp writes it: words in the byte order of the machine.
fn address(text: &str) -> SocketAddr {
    let (host, port) = text.split_once(':').expect("address and port");
    let mut octets = Vec::new();
    for at in (0..host.len()).step_by(8) {
        let word = u32::from_str_radix(&host[at..at + 8], 16).expect("hexadecimal digits");
        octets.extend(word.to_ne_bytes());
    }
    let ip = match <[u8; 4]>::try_from(&octets[..]) {
        Ok(octets) => IpAddr::from(octets),
        Err(_) => {
            let octets = <[u8; 16]>::try_from(&octets[..]).expect("an IPv6 address");
            IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
        }
    };
    SocketAddr::new(ip, u16::from_str_radix(port, 16).expect("a port"))
}
