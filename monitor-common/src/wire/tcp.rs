//! TCP headers.

use super::{Bytes, Error, be16};

const TCP_HEADER_LEN: usize = 20;
const CONTROL_OFFSET: usize = 13;

/// The bits of [`Tcp::flags`].
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment number counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
    /// ECN echo (RFC 3168).
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced (RFC 3168).
    pub const CWR: u8 = 0x80;
}

/// A TCP header (RFC 9293, 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// The eight control bits, see [`flags`].
    pub flags: u8,
    /// Window, not scaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Offset of the options; they end at `payload`.
    pub options: usize,
    /// Offset of the segment's data.
    pub payload: usize,
    /// Checksum field.
    pub checksum: u16,
}

/// Reads the TCP header at `at`. A data offset below 20 bytes is malformed, one past the packet truncated.
#[inline(always)]
pub fn tcp<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Result<Tcp, Error> {
    let tcp = tcp_cut(bytes, at)?;
    if tcp.payload > bytes.len() {
        return Err(Error::Truncated);
    }
    Ok(tcp)
}

/// Reads the TCP header at `at`, of which the options may be cut off: then `payload` is past the packet.
#[inline(always)]
pub fn tcp_cut<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Result<Tcp, Error> {
    let h: [u8; TCP_HEADER_LEN] = bytes.array(at).ok_or(Error::Truncated)?;
    let header_len = usize::from(h[12] >> 4) * 4;
    if header_len < TCP_HEADER_LEN {
        return Err(Error::Malformed);
    }
    let payload = at + header_len;
    Ok(Tcp {
        src: be16(h[0], h[1]),
        dst: be16(h[2], h[3]),
        seq: u32::from_be_bytes([h[4], h[5], h[6], h[7]]),
        ack: u32::from_be_bytes([h[8], h[9], h[10], h[11]]),
        flags: h[13],
        window: be16(h[14], h[15]),
        urgent: be16(h[18], h[19]),
        options: at + TCP_HEADER_LEN,
        payload,
        checksum: be16(h[16], h[17]),
    })
}

/// Reads only the control bits of the TCP header at `at`, see [`flags`].
#[inline(always)]
pub fn control<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Result<u8, Error> {
    let [_, control] = bytes
        .array(at + CONTROL_OFFSET - 1)
        .ok_or(Error::Truncated)?;
    Ok(control)
}

/// Reads only the source and destination ports of the TCP header at `at`: all that steering needs.
#[inline(always)]
pub fn ports<B: Bytes + ?Sized>(bytes: &B, at: usize) -> Result<(u16, u16), Error> {
    let [a, b, c, d] = bytes.array(at).ok_or(Error::Truncated)?;
    Ok((be16(a, b), be16(c, d)))
}
