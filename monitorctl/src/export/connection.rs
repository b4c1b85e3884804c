//! Connection on its way into a capture: its facts, its positions in both streams, and copying from the daemon.

use std::io::{self, Write};

use monitor_client::types::{SideRange, Socket, TcpState};
use monitor_client::{Client, Error, Next, Side};

use super::capture::Capture;
use super::client_hello::SEARCHED;
use super::conversation::{Conversation, Handshake};
use super::endings::{self, Ending, micros};
use super::frame::{Envelope, Segment};
use crate::failure::Failure;

/// Bytes per request.
const CHUNK: u64 = 256 * 1024;
/// Longest evicted start that is shown as a hole. A jump of half of all sequence numbers would point backwards.
const LONGEST_JUMP: u64 = 1 << 30;

/// Form of the packets.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Maximum payload of a segment.
    pub mss: usize,
    /// Ethernet frames, also for connections without VLAN tags.
    pub ethernet: bool,
}

/// Numbers of bytes that were exported and that were missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub bytes: u64,
    pub missing: u64,
}

impl Tally {
    /// Adds the numbers of a connection.
    pub fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.missing += other.missing;
    }
}

/// Connection on its way into a capture.
pub struct Connection {
    pub socket: Socket,
    conversation: Conversation,
    envelope: Envelope,
    /// Next offset of each side.
    pos: [u64; 2],
    tally: Tally,
    stamp: Stamp,
}

/// Numbers that each packet takes from its connection.
struct Stamp {
    /// Time of the latest packet: times never go back within a connection.
    time: u64,
    /// Identification of the next IPv4 packet of each end.
    ident: [u16; 2],
    /// Comment of the next packet.
    comment: String,
}

impl Connection {
    /// Creates a connection from its facts.
    pub fn new(socket: Socket, form: Form) -> Self {
        let start = |side: Side| {
            let base = socket.sides.get(side).base;
            if base > LONGEST_JUMP { base } else { 0 }
        };
        // A stream belongs to its receiver's side.
        let sent_by = |end: Side| (isn(&socket, end).unwrap_or(0), start(end.peer()));
        let [client, server] = Side::BOTH.map(sent_by);
        let pos = Side::BOTH.map(start);
        Self {
            conversation: Conversation::new([client.0, server.0], [client.1, server.1], form.mss),
            envelope: Envelope {
                client: socket.client,
                server: socket.server,
                vlan: socket.vlan.clone(),
                ethernet: form.ethernet || !socket.vlan.is_empty(),
            },
            tally: Tally {
                bytes: 0,
                missing: pos.iter().sum(),
            },
            pos,
            stamp: Stamp {
                time: 0,
                ident: [0; 2],
                comment: note(&socket),
            },
            socket,
        }
    }

    /// Returns the next offset of a side.
    pub fn position(&self, side: Side) -> u64 {
        self.pos[side.index()]
    }

    /// Returns the numbers of bytes up to now.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Writes the handshake.
    pub fn open<W: Write>(&mut self, capture: &mut Capture<W>) -> io::Result<()> {
        let handshake = handshake(&self.socket);
        self.stamp.time = micros(self.socket.opened);
        let mut out = self.stamp.writer(&self.envelope, capture);
        self.conversation.open(handshake, &mut out)
    }

    /// Writes bytes of a side that start at `off`, and moves the position behind them.
    pub fn send<W: Write>(
        &mut self,
        side: Side,
        off: u64,
        bytes: &[u8],
        time: u64,
        capture: &mut Capture<W>,
    ) -> io::Result<()> {
        if off < SEARCHED {
            capture.search(bytes);
        }
        self.stamp.time = self.stamp.time.max(time);
        let mut out = self.stamp.writer(&self.envelope, capture);
        self.conversation.send(side.peer(), off, bytes, &mut out)?;
        self.tally.bytes += bytes.len() as u64;
        let pos = &mut self.pos[side.index()];
        *pos = (*pos).max(off + bytes.len() as u64);
        Ok(())
    }

    /// Copies the bytes of a side up to `to`. A hole that was declared lost is skipped as a whole; other missing bytes
    /// are skipped up to `to`. Returns false if the connection is gone.
    pub fn copy<W: Write>(
        &mut self,
        source: &mut Source<'_>,
        side: Side,
        to: u64,
        time: u64,
        capture: &mut Capture<W>,
    ) -> Result<bool, Failure> {
        loop {
            let off = self.pos[side.index()];
            if off >= to {
                return Ok(true);
            }
            let next = source.read(self.socket.sockid, side, off, CHUNK.min(to - off))?;
            match next {
                Next::Bytes { len, .. } => {
                    (source.progress)(len);
                    self.send(side, off, &source.bytes, time, capture)?;
                }
                Next::Lost { to: end } | Next::Gap { to: end } => self.lose(side, end),
                Next::Pending { beyond } => {
                    let end = beyond.map_or(to, |beyond| beyond.min(to));
                    self.tally.missing += end - off;
                    self.pos[side.index()] = end;
                }
                // The bytes were evicted, or never stored.
                Next::Eof | Next::Disabled => self.lose(side, to),
                Next::Gone => return Ok(false),
            }
        }
    }

    /// Writes bytes that arrived after their hole was skipped, as retransmissions.
    pub fn late<W: Write>(
        &mut self,
        source: &mut Source<'_>,
        range: SideRange,
        time: u64,
        capture: &mut Capture<W>,
    ) -> Result<(), Failure> {
        let SideRange { side, mut off, len } = range;
        let to = self.pos[side.index()].min(off + len);
        while off < to {
            let next = source.read(self.socket.sockid, side, off, CHUNK.min(to - off))?;
            let Next::Bytes { len, .. } = next else {
                break;
            };
            self.send(side, off, &source.bytes, time, capture)?;
            self.tally.missing = self.tally.missing.saturating_sub(len);
            off += len;
        }
        Ok(())
    }

    /// Skips bytes that are lost.
    pub fn lose(&mut self, side: Side, to: u64) {
        let pos = &mut self.pos[side.index()];
        self.tally.missing += to.saturating_sub(*pos);
        *pos = (*pos).max(to);
        self.conversation.lose(side.peer(), to);
    }

    /// Writes the FIN of an end, if all bytes before it were written. Otherwise it is part of the connection's end.
    pub fn fin<W: Write>(
        &mut self,
        end: Side,
        time: u64,
        capture: &mut Capture<W>,
    ) -> io::Result<()> {
        let side = end.peer();
        match self.socket.sides.get(side).fin {
            Some(off) if off == self.position(side) => {
                self.stamp.time = self.stamp.time.max(time);
                let mut out = self.stamp.writer(&self.envelope, capture);
                self.conversation.fin(end, off, &mut out)
            }
            _ => Ok(()),
        }
    }

    /// Returns the next ending that isn't written, with its time.
    pub fn next_ending(&self) -> Option<(u64, Ending)> {
        endings::of(&self.socket).find(|(_, ending)| match ending {
            Ending::Fin(end, _) => !self.conversation.has_fin(*end),
            Ending::Reset(_) => !self.conversation.has_reset(),
        })
    }

    /// Writes an ending at its time. All bytes before it are written.
    pub fn end<W: Write>(
        &mut self,
        (time, ending): (u64, Ending),
        capture: &mut Capture<W>,
    ) -> io::Result<()> {
        self.stamp.time = self.stamp.time.max(time);
        let mut out = self.stamp.writer(&self.envelope, capture);
        match ending {
            Ending::Fin(end, off) => self.conversation.fin(end, off, &mut out),
            Ending::Reset(end) => self.conversation.reset(end, &mut out),
        }
    }

    /// Writes the end: FINs, an RST, or acknowledgments alone while it is open.
    pub fn close<W: Write>(&mut self, capture: &mut Capture<W>) -> io::Result<()> {
        if self.socket.closed.is_some() {
            // Holes are filled no more.
            for side in Side::BOTH {
                let stats = self.socket.sides.get(side);
                self.lose(side, stats.end.max(stats.fin.unwrap_or(0)));
            }
        }
        while let Some(ending) = self.next_ending() {
            self.end(ending, capture)?;
        }
        self.stamp.time = self.stamp.time.max(micros(self.socket.last));
        let mut out = self.stamp.writer(&self.envelope, capture);
        for end in Side::BOTH {
            // A FIN beyond a hole that may be filled.
            if let Some(off) = self.socket.sides.get(end.peer()).fin {
                self.conversation.fin(end, off, &mut out)?;
            }
        }
        self.conversation.settle(&mut out)
    }
}

impl Stamp {
    /// Returns a function that writes segments at the current time.
    fn writer<W: Write>(
        &mut self,
        envelope: &Envelope,
        capture: &mut Capture<W>,
    ) -> impl FnMut(&Segment<'_>) -> io::Result<()> {
        |segment| {
            let ident = &mut self.ident[segment.from.index()];
            *ident = ident.wrapping_add(1);
            let comment = std::mem::take(&mut self.comment);
            capture.write(envelope, segment, *ident, self.time, &comment)
        }
    }
}

/// Streams in the daemon.
pub struct Source<'a> {
    pub client: &'a mut Client,
    /// Bytes of the latest read.
    pub bytes: Vec<u8>,
    /// Called with the number of bytes of each read.
    pub progress: &'a dyn Fn(u64),
}

impl Source<'_> {
    /// Reads at most `len` bytes at `off`, or returns the reason for their absence.
    pub fn read(&mut self, sockid: u64, side: Side, off: u64, len: u64) -> Result<Next, Failure> {
        let reply = match self
            .client
            .ppeek_into(sockid, side, off, len, &mut self.bytes)
        {
            Ok(head) => Ok(head),
            Err(Error::Rpc(error)) => Err(error),
            Err(error) => return Err(error.into()),
        };
        let next = Next::from_reply(off, reply.as_ref().map_err(Clone::clone));
        next.map_err(|error| Error::Rpc(error).into())
    }
}

/// Returns a sentence on each number of a connection that is unknown.
pub fn note(socket: &Socket) -> String {
    let mut note = format!(
        "monitord connection {}, {} -> {}.",
        socket.sockid, socket.client, socket.server
    );
    if socket.midstream {
        note.push_str(" Its start was not captured.");
    }
    for end in Side::BOTH {
        if isn(socket, end).is_none() {
            note.push_str(&format!(
                " The initial sequence number of the {end} is unknown: 0 is written."
            ));
        }
        let base = socket.sides.get(end.peer()).base;
        if base > LONGEST_JUMP {
            note.push_str(&format!(
                " The first {base} bytes that the {end} sent are left out."
            ));
        }
    }
    note
}

/// Returns true if a number of a connection is unknown.
pub fn has_unknowns(socket: &Socket) -> bool {
    socket.midstream || Side::BOTH.iter().any(|end| isn(socket, *end).is_none())
}

fn isn(socket: &Socket, end: Side) -> Option<u32> {
    socket.sides.get(end.peer()).isn
}

fn handshake(socket: &Socket) -> Handshake {
    let has_bytes = Side::BOTH
        .iter()
        .any(|side| socket.sides.get(*side).end > 0);
    if socket.midstream || has_bytes {
        Handshake::Complete
    } else if isn(socket, Side::Server).is_none() {
        Handshake::Syn
    } else if socket.state.server == TcpState::SynReceived {
        Handshake::Answered
    } else {
        Handshake::Complete
    }
}
