//! Scripted end of a connection: honest sequence numbers, and the numbers that the kernel's end expects.

use std::net::SocketAddr;

use super::packet::{Bits, Incoming, Outgoing};
use super::tun::Tun;
use super::versions::Versions;
use crate::wiregen::{Random, flags};

/// Options that an end offers in its SYN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Timestamps (RFC 7323).
    pub timestamps: bool,
    /// Selective acknowledgments (RFC 2018).
    pub sack: bool,
    /// Window scale (RFC 7323).
    pub scale: Option<u8>,
}

impl Offer {
    fn both(self, other: Self) -> Self {
        Self {
            timestamps: self.timestamps && other.timestamps,
            sack: self.sack && other.sack,
            scale: other.scale.filter(|_| self.scale.is_some()),
        }
    }
}

/// Properties of a segment that a forger chooses freely.
#[derive(Clone, Debug, Default)]
pub struct Forgery {
    /// Added to the acknowledgment number.
    pub ack_by: u32,
    /// Added to the timestamp, if timestamps are in use.
    pub timestamp_by: u32,
    /// No timestamp, although agreed.
    pub no_timestamp: bool,
    /// Wrong checksum.
    pub bad_checksum: bool,
    /// MD5 option (RFC 2385), never agreed.
    pub md5: bool,
}

/// State of the scripted end.
pub struct Peer {
    /// Address of the script's end.
    pub address: SocketAddr,
    /// Address of the kernel's end.
    pub kernel: SocketAddr,
    /// Options of the script's SYN.
    pub offer: Offer,
    /// Options that both ends offered.
    pub agreed: Offer,
    /// Initial sequence number.
    pub isn: u32,
    /// Next sequence number expected from the kernel.
    pub kernel_next: u32,
    /// Highest acknowledgment of the kernel.
    pub acked: u32,
    /// Right edge of the kernel's window.
    pub edge: u32,
    /// The kernel has sent a RST.
    pub reset: bool,
    /// A segment may have closed the kernel's end, or may have been accepted, although no packet shows it.
    pub hides_effects: bool,
    /// Segments that the kernel sent since the last [`Peer::drain`].
    pub answers: Vec<Incoming>,
    /// Packets in both directions.
    pub packets: Vec<Vec<u8>>,
    /// Bytes and FINs of the segments that a receiver has no reason to refuse.
    pub versions: Versions,
    /// Line for each segment, printed on failure.
    pub log: Vec<String>,
    clock: u32,
    kernel_clock: u32,
}

impl Peer {
    /// Creates the state before the handshake.
    #[must_use]
    pub fn new(address: SocketAddr, kernel: SocketAddr, offer: Offer, random: &mut Random) -> Self {
        // Now and then the sequence numbers wrap within the script.
        let isn = if random.chance(25) {
            0_u32.wrapping_sub(random.below(6000) as u32)
        } else {
            random.number() as u32
        };
        // Timestamps wrap as well.
        let clock = if random.chance(10) {
            0_u32.wrapping_sub(20)
        } else {
            random.number() as u32
        };
        Self {
            address,
            kernel,
            offer,
            agreed: Offer::default(),
            isn,
            kernel_next: 0,
            acked: isn.wrapping_add(1),
            edge: isn.wrapping_add(1),
            reset: false,
            hides_effects: false,
            answers: Vec::new(),
            packets: Vec::new(),
            versions: Versions::default(),
            log: Vec::new(),
            clock,
            kernel_clock: 0,
        }
    }

    /// Continues the sequence numbers and the clock of a predecessor on the same addresses and ports, as an honest client
    /// does: a kernel in TIME-WAIT accepts no other successor.
    pub fn succeed(&mut self, (seq, clock): (u32, u32)) {
        self.isn = seq.wrapping_add(100_000);
        self.clock = clock.wrapping_add(100);
        self.acked = self.isn.wrapping_add(1);
        self.edge = self.acked;
    }

    /// Returns the highest acknowledgment of the kernel, and the clock: a successor continues after them.
    #[must_use]
    pub fn last(&self) -> (u32, u32) {
        (self.acked, self.clock)
    }

    /// Returns the sequence number of an offset in the honest stream.
    #[must_use]
    pub fn seq(&self, off: usize) -> u32 {
        self.isn.wrapping_add(1).wrapping_add(off as u32)
    }

    /// Returns the offset that the kernel expects next, as far as its acknowledgments show.
    #[must_use]
    pub fn expected(&self) -> usize {
        self.acked.wrapping_sub(self.seq(0)) as usize
    }

    /// Bytes between the expected sequence number and the right edge of the window.
    #[must_use]
    pub fn window(&self) -> usize {
        (self.edge.wrapping_sub(self.acked) as i32).max(0) as usize
    }

    /// Sends a segment and reads the answers.
    pub fn send(
        &mut self,
        tun: &Tun,
        name: &str,
        (seq, bits): (u32, u8),
        payload: &[u8],
        forged: &Forgery,
    ) {
        self.clock = self.clock.wrapping_add(1);
        let mut options = Vec::new();
        if bits & flags::SYN != 0 {
            options.extend([2, 4, 5, 0xb4]);
            if self.offer.sack {
                options.extend([1, 1, 4, 2]);
            }
            if let Some(scale) = self.offer.scale {
                options.extend([1, 3, 3, scale]);
            }
        }
        let stamped = self.agreed.timestamps || (bits & flags::SYN != 0 && self.offer.timestamps);
        let value = self.clock.wrapping_add(forged.timestamp_by);
        if stamped && !forged.no_timestamp {
            options.extend([1, 1, 8, 10]);
            options.extend(value.to_be_bytes());
            options.extend(self.kernel_clock.to_be_bytes());
        }
        if forged.md5 {
            options.extend([1, 1, 19, 18]);
            options.extend([0x5a; 16]);
        }
        let ack = if bits & flags::ACK != 0 {
            self.kernel_next.wrapping_add(forged.ack_by)
        } else {
            forged.ack_by
        };
        let segment = Outgoing {
            seq,
            ack,
            flags: bits,
            window: 60_000,
            options: &options,
            payload,
            bad_checksum: forged.bad_checksum,
        };
        let shown = [
            forged.timestamp_by as i32,
            ack.wrapping_sub(self.kernel_next) as i32,
        ];
        self.log.push(format!(
            "> {name}: {} off {} len {} ack {:+} ts {:+}{}{}{}",
            Bits(bits),
            seq.wrapping_sub(self.seq(0)) as i32,
            payload.len(),
            shown[1],
            shown[0],
            if forged.no_timestamp { " no-ts" } else { "" },
            if forged.bad_checksum { " bad-sum" } else { "" },
            if forged.md5 { " md5" } else { "" },
        ));
        if self.is_credible(bits, forged) {
            let off = seq.wrapping_sub(self.seq(0)) as i32;
            self.versions.add(off, payload, bits & flags::FIN != 0);
        }
        // Linux takes a segment that ends beyond the window only if the application has read all. It takes a RST at the end of
        // one of the four ranges that it reported last, of which an acknowledgment with timestamps names three.
        let starts_within = (self.edge.wrapping_sub(seq) as i32) >= 0;
        let end = seq.wrapping_add(payload.len() as u32);
        self.hides_effects |= starts_within && (end.wrapping_sub(self.edge) as i32) > 0;
        self.hides_effects |= bits & flags::RST != 0 && seq != self.acked;
        let packet = segment.packet(self.address, self.kernel);
        // Timers of the kernel send as well: what it sent before belongs before this segment in the capture.
        self.drain(tun);
        tun.send(&packet);
        self.packets.push(packet);
        self.drain(tun);
    }

    /// Returns whether a segment has the form of an honest one, with numbers that fit.
    fn is_credible(&self, bits: u8, forged: &Forgery) -> bool {
        // Behind a hole, the latest timestamp that counts may be a few segments old. Linux accepts segments without one.
        let is_recent = forged.timestamp_by.wrapping_neg() < 100;
        let is_stamped = !self.agreed.timestamps || forged.no_timestamp || is_recent;
        bits & (flags::ACK | flags::SYN | flags::RST) == flags::ACK
            && forged.ack_by.wrapping_neg() < 1 << 20
            && is_stamped
            && !forged.bad_checksum
            && !forged.md5
    }

    /// Sends a segment without defects.
    pub fn honest(&mut self, tun: &Tun, name: &str, seq: u32, bits: u8, payload: &[u8]) {
        self.send(tun, name, (seq, bits), payload, &Forgery::default());
    }

    /// Reads everything that the kernel has sent.
    pub fn drain(&mut self, tun: &Tun) {
        let mut buffer = [0; 65536];
        self.answers.clear();
        while let Some(len) = tun.receive(&mut buffer) {
            self.packets.push(buffer[..len].to_vec());
            let Some(segment) = Incoming::read(&buffer[..len]) else {
                continue;
            };
            if segment.destination == self.address.port() && segment.source == self.kernel.port() {
                self.take(&segment);
            }
        }
    }

    fn take(&mut self, segment: &Incoming) {
        self.answers.push(*segment);
        self.log.push(format!(
            "    < {} seq {} len {} ack {} win {}",
            Bits(segment.flags),
            segment.seq.wrapping_sub(self.kernel_next) as i32,
            segment.len,
            segment.ack.wrapping_sub(self.seq(0)) as i32,
            segment.window,
        ));
        if segment.flags & flags::RST != 0 {
            self.reset = true;
            // Its peer refuses a RST with another number than the next one.
            self.hides_effects |=
                segment.flags & flags::ACK == 0 && segment.seq != self.kernel_next;
            return;
        }
        if let Some(value) = segment.timestamp {
            self.kernel_clock = value;
        }
        let syn = segment.flags & flags::SYN != 0;
        if syn {
            let theirs = Offer {
                timestamps: segment.timestamp.is_some(),
                sack: segment.sack,
                scale: segment.scale,
            };
            self.agreed = self.offer.both(theirs);
            self.kernel_next = segment.end();
        } else if (segment.end().wrapping_sub(self.kernel_next) as i32) > 0 {
            self.kernel_next = segment.end();
        }
        if segment.flags & flags::ACK == 0 {
            return;
        }
        if (segment.ack.wrapping_sub(self.acked) as i32) > 0 {
            self.acked = segment.ack;
        }
        let shift = if syn {
            0
        } else {
            self.agreed.scale.unwrap_or(0)
        };
        let edge = segment.ack.wrapping_add(u32::from(segment.window) << shift);
        if (edge.wrapping_sub(self.edge) as i32) > 0 {
            self.edge = edge;
        }
    }
}
