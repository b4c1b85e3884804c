//! State machine that turns the bytes of a connection into TCP segments. Pure: it does no I/O and knows no time.
//!
//! The handshake and the acknowledgments are reconstructed. Sequence numbers are the real ones where the initial ones
//! are known. Missing bytes become a jump in the sequence, by which Wireshark finds their number.
//!
//! **Invariant:** no segment acknowledges a byte beyond the last one sent, nor a byte behind a hole that may be filled.

#[cfg(test)]
mod tests;

use std::io;

use monitor_client::Side;

use super::frame::Segment;
use super::frame::flags::{ACK, FIN, PSH, RST, SYN};

/// Number of bytes after which the receiver acknowledges, if it doesn't send bytes of its own.
const ACKNOWLEDGE: u64 = 32 * 1024;
/// Largest window scale (RFC 7323, 2.3): no window is ever full.
const WINDOW_SCALE: u8 = 14;

/// Part of the handshake that was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// SYN.
    Syn,
    /// SYN and SYN-ACK.
    Answered,
    /// All three segments, or a start that wasn't captured.
    Complete,
}

/// Receiver of segments.
pub type Out<'a> = dyn FnMut(&Segment<'_>) -> io::Result<()> + 'a;

/// Connection on its way into a capture.
#[derive(Clone, Debug)]
pub struct Conversation {
    ends: [End; 2],
    mss: usize,
}

/// Stream that one end sends.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Sequence number of the SYN in the capture.
    isn: u32,
    /// Offset of the byte after the SYN: 0, unless the start of a long stream is left out.
    start: u64,
    /// True once the SYN was sent.
    syn: bool,
    /// One past the highest byte sent.
    sent: u64,
    /// Every byte below was sent, or is lost: the peer may acknowledge it.
    edge: u64,
    /// Every missing byte below is lost.
    lost: u64,
    /// Edge that the peer acknowledged last.
    acknowledged: u64,
    fin: Fin,
    /// True once it has sent an RST.
    reset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    Open,
    /// Sent behind a hole that may be filled.
    Sent,
    /// Sent, and every byte before it as well.
    InOrder,
    Acknowledged,
}

impl End {
    fn new(isn: u32, start: u64) -> Self {
        Self {
            // Sequence numbers are offsets modulo 2^32.
            isn: isn.wrapping_add(start as u32),
            start,
            syn: false,
            sent: start,
            edge: start,
            lost: start,
            acknowledged: start,
            fin: Fin::Open,
            reset: false,
        }
    }

    fn seq(&self, off: u64) -> u32 {
        let distance = off.wrapping_sub(self.start) as u32;
        self.isn.wrapping_add(1).wrapping_add(distance)
    }

    /// Returns the number that acknowledges everything up to the edge.
    fn ack(&self) -> u32 {
        let fin = matches!(self.fin, Fin::InOrder | Fin::Acknowledged);
        self.seq(self.edge).wrapping_add(u32::from(fin))
    }

    fn is_behind_a_hole(&self, off: u64) -> bool {
        off > self.edge.max(self.lost)
    }

    fn note_acknowledgment(&mut self) {
        self.acknowledged = self.edge;
        if self.fin == Fin::InOrder {
            self.fin = Fin::Acknowledged;
        }
    }
}

impl Conversation {
    /// Creates a connection. `isn` and `start` are those of the streams that the client and the server send: the initial
    /// sequence number, and the offset of the first byte that is not left out.
    pub fn new(isn: [u32; 2], start: [u64; 2], mss: usize) -> Self {
        let end = |side: Side| End::new(isn[side.index()], start[side.index()]);
        Self {
            ends: Side::BOTH.map(end),
            mss: mss.max(1),
        }
    }

    /// Sends the handshake.
    pub fn open(&mut self, handshake: Handshake, out: &mut Out<'_>) -> io::Result<()> {
        let mss = (self.mss as u16).to_be_bytes();
        // Maximum segment size, no operation, window scale.
        let options = [2, 4, mss[0], mss[1], 1, 3, 3, WINDOW_SCALE];
        let [client, server] = self.ends;
        let syn = Segment {
            from: Side::Client,
            seq: client.isn,
            ack: 0,
            flags: SYN,
            options: &options,
            payload: &[],
        };
        self.ends[0].syn = true;
        out(&syn)?;
        if handshake == Handshake::Syn {
            return Ok(());
        }
        let answer = Segment {
            from: Side::Server,
            seq: server.isn,
            ack: client.ack(),
            flags: SYN | ACK,
            ..syn
        };
        self.ends[1].syn = true;
        out(&answer)?;
        if handshake == Handshake::Complete {
            self.acknowledge(Side::Client, out)?;
        }
        Ok(())
    }

    /// Sends bytes of the stream from `from`, which start at `off`.
    pub fn send(
        &mut self,
        from: Side,
        off: u64,
        bytes: &[u8],
        out: &mut Out<'_>,
    ) -> io::Result<()> {
        let mut off = off;
        let mut chunks = bytes.chunks(self.mss).peekable();
        while let Some(payload) = chunks.next() {
            let push = if chunks.peek().is_none() { PSH } else { 0 };
            let end = self.ends[from.index()];
            self.segment(from, end.seq(off), ACK | push, payload, out)?;
            let end = &mut self.ends[from.index()];
            let behind_a_hole = end.is_behind_a_hole(off);
            off += payload.len() as u64;
            end.sent = end.sent.max(off);
            if !behind_a_hole {
                end.edge = end.edge.max(off);
            }
            if end.edge - end.acknowledged >= ACKNOWLEDGE {
                self.acknowledge(from.peer(), out)?;
            }
        }
        Ok(())
    }

    /// Notes that the bytes below `to` that were not sent are lost: the receiver may acknowledge beyond them.
    pub fn lose(&mut self, from: Side, to: u64) {
        let end = &mut self.ends[from.index()];
        end.lost = end.lost.max(to);
    }

    /// Returns whether an end has sent its FIN.
    pub fn has_fin(&self, from: Side) -> bool {
        self.ends[from.index()].fin != Fin::Open
    }

    /// Returns whether an end has sent an RST.
    pub fn has_reset(&self) -> bool {
        self.ends.iter().any(|end| end.reset)
    }

    /// Sends a FIN behind the byte before `off`.
    pub fn fin(&mut self, from: Side, off: u64, out: &mut Out<'_>) -> io::Result<()> {
        let end = self.ends[from.index()];
        if end.fin != Fin::Open {
            return Ok(());
        }
        self.segment(from, end.seq(off), FIN | ACK, &[], out)?;
        let end = &mut self.ends[from.index()];
        end.fin = if end.is_behind_a_hole(off) {
            Fin::Sent
        } else {
            end.edge = end.edge.max(off);
            Fin::InOrder
        };
        Ok(())
    }

    /// Sends an RST, after the acknowledgments of both ends. Its sender acknowledges nothing more.
    pub fn reset(&mut self, from: Side, out: &mut Out<'_>) -> io::Result<()> {
        self.settle(out)?;
        self.ends[from.index()].reset = true;
        let end = self.ends[from.index()];
        let seq = if end.syn {
            let fin = u32::from(end.fin != Fin::Open);
            end.seq(end.sent.max(end.edge)).wrapping_add(fin)
        } else {
            0
        };
        self.segment(from, seq, RST | ACK, &[], out)
    }

    /// Acknowledges everything that was sent.
    pub fn settle(&mut self, out: &mut Out<'_>) -> io::Result<()> {
        for from in Side::BOTH {
            let end = self.ends[from.index()];
            if end.edge > end.acknowledged || end.fin == Fin::InOrder {
                self.acknowledge(from.peer(), out)?;
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, from: Side, out: &mut Out<'_>) -> io::Result<()> {
        let end = self.ends[from.index()];
        if end.reset {
            return Ok(());
        }
        let fin = u32::from(end.fin != Fin::Open);
        self.segment(from, end.seq(end.sent).wrapping_add(fin), ACK, &[], out)
    }

    /// Sends a segment that acknowledges everything up to the peer's edge.
    fn segment(
        &mut self,
        from: Side,
        seq: u32,
        flags: u8,
        payload: &[u8],
        out: &mut Out<'_>,
    ) -> io::Result<()> {
        let peer = &mut self.ends[from.peer().index()];
        peer.note_acknowledgment();
        let ack = peer.ack();
        out(&Segment {
            from,
            seq,
            ack,
            flags,
            options: &[],
            payload,
        })
    }
}
