//! Format of a capture file, and the plausibility of the times in it.

use super::pcap::Pcap;
use super::pcapng::PcapNg;
use super::record::Step;

/// Distance of a packet's time ahead of both its neighbours, in nanoseconds, from which on it is an error of the clock or
/// of the file. Captures of several processors are out of order by milliseconds.
const WILD: u64 = 1_000_000_000;
/// The same for the first and the last packet of a file, which have one neighbour: a day.
const WILD_AT_END: u64 = 86_400 * 1_000_000_000;

/// Parser of one of the formats.
#[derive(Clone)]
pub(super) enum Format {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

impl Format {
    /// Recognizes a format by the first bytes of a file.
    pub(super) fn recognize(start: [u8; 4]) -> Option<Self> {
        let pcap = Pcap::recognize(start).map(Self::Pcap);
        pcap.or_else(|| PcapNg::recognize(start).map(Self::PcapNg))
    }

    /// Returns the byte order of the file, or of its current section.
    #[inline]
    pub(super) fn is_big_endian(&self) -> bool {
        match self {
            Self::Pcap(pcap) => pcap.is_big_endian(),
            Self::PcapNg(pcapng) => pcapng.is_big_endian(),
        }
    }

    /// Parses the record at the start of `bytes`.
    #[inline]
    pub(super) fn step<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        match self {
            Self::Pcap(pcap) => pcap.step(bytes),
            Self::PcapNg(pcapng) => pcapng.step(bytes),
        }
    }

    /// Returns the time to use for a packet, and whether it replaces the recorded one. `last`: time of the packet before;
    /// `ahead`: bytes after the packet, the last ones if `ended`. `None`: more bytes are needed to decide.
    #[inline]
    pub(super) fn plausible(
        &self,
        recorded: Option<u64>,
        last: Option<u64>,
        ahead: &[u8],
        ended: bool,
    ) -> Option<(u64, bool)> {
        let time = recorded.or(last).unwrap_or(0);
        if last.is_some_and(|last| time <= last.saturating_add(WILD)) {
            return Some((time, false));
        }
        self.judge_jump(time, last, ahead, ended)
    }

    /// Decides on a time that is far ahead of the packet before: after a pause the next packet is as late.
    #[cold]
    fn judge_jump(
        &self,
        time: u64,
        last: Option<u64>,
        ahead: &[u8],
        ended: bool,
    ) -> Option<(u64, bool)> {
        // Descriptions of interfaces change a parser.
        let next = match self.clone().step(ahead) {
            Step::Frame(frame, _) => frame.time,
            Step::Need if !ended => return None,
            Step::Need => {
                let is_wild = last.is_some_and(|last| time > last.saturating_add(WILD_AT_END));
                return Some((last.filter(|_| is_wild).unwrap_or(time), is_wild));
            }
            Step::UnknownInterface(_) | Step::Skip(_) | Step::Malformed(_) => None,
        };
        // The first packet has one neighbour only: a clock may have been set back after it.
        let distance = if last.is_some() { WILD } else { WILD_AT_END };
        let is_wild = next.is_some_and(|next| next.saturating_add(distance) < time);
        Some(if is_wild {
            (last.or(next).unwrap_or(time), true)
        } else {
            (time, false)
        })
    }
}
