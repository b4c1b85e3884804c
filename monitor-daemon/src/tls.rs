//! TLS parameters in the first bytes of a connection: the hello messages of RFC 5246 and RFC 8446.
//!
//! A hello is a handshake message in one or more records. [`client_hello`] and [`server_version`] read one from the
//! start of a stream. They are pure, and never read behind the bytes given: a hello that is incomplete or malformed is
//! `None`. GREASE values (RFC 8701) are left out.

use std::borrow::Cow;

/// Longest start of a stream in which a hello is searched, in bytes: one record of maximum length.
pub const LONGEST_HELLO: usize = 5 + (1 << 14);
/// Record type of handshake messages.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
/// Longest name of a host (RFC 1035), in bytes.
const LONGEST_NAME: usize = 255;
/// Maximum number of protocols that are kept.
const PROTOCOLS: usize = 16;

/// Parameters that a client offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// Name of the server (RFC 6066).
    pub sni: Option<String>,
    /// Application protocols (RFC 7301), the preferred one first.
    pub alpn: Vec<String>,
}

/// Returns whether a stream starts like TLS: with a handshake record. Three bytes decide.
#[must_use]
pub fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [HANDSHAKE, 3, 0..=4, ..])
}

/// Reads the hello at the start of the client's stream.
#[must_use]
pub fn client_hello(bytes: &[u8]) -> Option<ClientHello> {
    let message = handshake(bytes, CLIENT_HELLO)?;
    let mut body = Cursor(&message);
    body.take(2 + 32)?; // Version, random
    body.vector8()?; // Session id
    body.vector16()?; // Cipher suites
    body.vector8()?; // Compression methods
    let mut hello = ClientHello::default();
    for (kind, data) in extensions(&mut body)? {
        match kind {
            SERVER_NAME => hello.sni = server_name(data),
            ALPN => hello.alpn = protocols(data).unwrap_or_default(),
            _ => {}
        }
    }
    Some(hello)
}

/// Reads the negotiated version from the hello at the start of the server's stream.
#[must_use]
pub fn server_version(bytes: &[u8]) -> Option<Cow<'static, str>> {
    let message = handshake(bytes, SERVER_HELLO)?;
    let mut body = Cursor(&message);
    let legacy = body.u16()?;
    body.take(32)?; // Random
    body.vector8()?; // Session id
    body.take(2 + 1)?; // Cipher suite, compression method
    let selected = extensions(&mut body)?
        .into_iter()
        .find(|(kind, _)| *kind == SUPPORTED_VERSIONS);
    // RFC 8446, 4.2.1: from TLS 1.3 on, the older field is frozen.
    let version = match selected {
        Some((_, data)) => Cursor(data).u16()?,
        None => legacy,
    };
    Some(match version {
        0x0300 => Cow::Borrowed("SSLv3"),
        0x0301 => Cow::Borrowed("TLSv1.0"),
        0x0302 => Cow::Borrowed("TLSv1.1"),
        0x0303 => Cow::Borrowed("TLSv1.2"),
        0x0304 => Cow::Borrowed("TLSv1.3"),
        other => Cow::Owned(format!("0x{other:04x}")),
    })
}

/// Returns the body of the handshake message at the start of a stream, joined if it takes several records.
fn handshake(bytes: &[u8], kind: u8) -> Option<Cow<'_, [u8]>> {
    let mut records = Cursor(bytes);
    let mut message = Cow::Borrowed(&[][..]);
    loop {
        let [HANDSHAKE, 3, _] = records.take(3)? else {
            return None;
        };
        let len = usize::from(records.u16()?);
        // An empty handshake record is forbidden (RFC 8446, 5.1): each turn makes progress.
        let fragment = records.take_at_most(len).filter(|rest| !rest.is_empty())?;
        if message.is_empty() {
            message = Cow::Borrowed(fragment);
        } else {
            message.to_mut().extend_from_slice(fragment);
        }
        if let [first, high, middle, low, ..] = *message {
            if first != kind {
                return None;
            }
            let end = 4 + (usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low));
            if message.len() >= end {
                return Some(match message {
                    Cow::Borrowed(message) => Cow::Borrowed(&message[4..end]),
                    Cow::Owned(mut message) => {
                        message.truncate(end);
                        message.drain(..4);
                        Cow::Owned(message)
                    }
                });
            }
        }
        if fragment.len() < len {
            return None;
        }
    }
}

/// Returns the extensions, with their types. A hello may end before them.
fn extensions<'a>(body: &mut Cursor<'a>) -> Option<Vec<(u16, &'a [u8])>> {
    let mut extensions = Vec::new();
    if body.0.is_empty() {
        return Some(extensions);
    }
    let mut list = Cursor(body.vector16()?);
    while !list.0.is_empty() {
        extensions.push((list.u16()?, list.vector16()?));
    }
    Some(extensions)
}

fn server_name(data: &[u8]) -> Option<String> {
    let mut list = Cursor(Cursor(data).vector16()?);
    while !list.0.is_empty() {
        let (kind, name) = (list.u8()?, list.vector16()?);
        if kind == 0 {
            let name = &name[..name.len().min(LONGEST_NAME)];
            return Some(String::from_utf8_lossy(name).into_owned());
        }
    }
    None
}

fn protocols(data: &[u8]) -> Option<Vec<String>> {
    let mut list = Cursor(Cursor(data).vector16()?);
    let mut protocols = Vec::new();
    while !list.0.is_empty() && protocols.len() < PROTOCOLS {
        let name = list.vector8()?;
        let is_grease = matches!(*name, [a, b] if a == b && a & 0x0f == 0x0a);
        if !is_grease {
            protocols.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    Some(protocols)
}

/// Rest of a text that is read from its start.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn take_at_most(&mut self, count: usize) -> Option<&'a [u8]> {
        self.take(count.min(self.0.len()))
    }

    fn u8(&mut self) -> Option<u8> {
        let [byte] = self.take(1)? else { return None };
        Some(*byte)
    }

    fn u16(&mut self) -> Option<u16> {
        let [high, low] = self.take(2)? else {
            return None;
        };
        Some(u16::from_be_bytes([*high, *low]))
    }

    /// Reads a vector with a length of one byte.
    fn vector8(&mut self) -> Option<&'a [u8]> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }

    /// Reads a vector with a length of two bytes.
    fn vector16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
