//! Writer of pcapng files (draft-ietf-opsawg-pcapng), block by block.
//!
//! Little-endian; times are microseconds since the epoch, which is the resolution of an interface without an option that
//! says otherwise. Every block is written whole by one call of `write_all`.

use std::io::{self, Write};

/// Link type of packets that start with an IPv4 or IPv6 header.
pub const LINKTYPE_RAW: u16 = 101;
/// Link type of Ethernet frames.
pub const LINKTYPE_ETHERNET: u16 = 1;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const DECRYPTION_SECRETS: u32 = 10;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Type of secrets: a TLS key log, "TLSK".
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// Longest packet that is announced.
const SNAP_LENGTH: u32 = 262_144;

const OPT_COMMENT: u16 = 1;
const EPB_DROPCOUNT: u16 = 4;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const ISB_STARTTIME: u16 = 2;
const ISB_ENDTIME: u16 = 3;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

/// Counters of an Interface Statistics Block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Time of the first and of the last packet, microseconds since the epoch.
    pub times: (u64, u64),
    /// Packets received.
    pub received: u64,
    /// Packets lost.
    pub dropped: u64,
}

/// Writer of one section.
pub struct Writer<W: Write> {
    out: W,
    interfaces: u32,
    block: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Starts the section: the program that writes it, and a comment.
    pub fn new(out: W, application: &str, comment: &str) -> io::Result<Self> {
        let mut writer = Self {
            out,
            interfaces: 0,
            block: Vec::new(),
        };
        writer.begin(SECTION_HEADER);
        writer.u32(BYTE_ORDER_MAGIC);
        // Version 1.0 and an unknown length of the section.
        writer.u16(1);
        writer.u16(0);
        writer.u64(u64::MAX);
        writer.option(OPT_COMMENT, comment.as_bytes());
        writer.option(SHB_USERAPPL, application.as_bytes());
        writer.end_options();
        writer.finish()?;
        Ok(writer)
    }

    /// Describes an interface; returns its number.
    pub fn interface(&mut self, link_type: u16, name: &str) -> io::Result<u32> {
        self.begin(INTERFACE_DESCRIPTION);
        self.u16(link_type);
        self.u16(0);
        self.u32(SNAP_LENGTH);
        self.option(IF_NAME, name.as_bytes());
        self.end_options();
        self.finish()?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Writes lines of a TLS key log, which decrypt the packets after them.
    pub fn secrets(&mut self, key_log: &[u8]) -> io::Result<()> {
        self.begin(DECRYPTION_SECRETS);
        self.u32(TLS_KEY_LOG);
        self.u32(key_log.len() as u32);
        self.padded(key_log);
        self.finish()
    }

    /// Writes the first bytes of a packet of `length` bytes, and the number of packets that were lost before it.
    pub fn captured(
        &mut self,
        interface: u32,
        time: u64,
        packet: &[u8],
        length: u32,
        lost: u64,
    ) -> io::Result<()> {
        self.begin(ENHANCED_PACKET);
        self.u32(interface);
        self.time(time);
        self.u32(packet.len() as u32);
        self.u32(length);
        self.padded(packet);
        if lost > 0 {
            self.option(EPB_DROPCOUNT, &lost.to_le_bytes());
            self.end_options();
        }
        self.finish()
    }

    /// Writes a packet, captured completely. `comment` may be empty.
    pub fn packet(
        &mut self,
        interface: u32,
        time: u64,
        packet: &[u8],
        comment: &str,
    ) -> io::Result<()> {
        self.begin(ENHANCED_PACKET);
        self.u32(interface);
        self.time(time);
        self.u32(packet.len() as u32);
        self.u32(packet.len() as u32);
        self.padded(packet);
        if !comment.is_empty() {
            self.option(OPT_COMMENT, comment.as_bytes());
            self.end_options();
        }
        self.finish()
    }

    /// Writes the counters of an interface.
    pub fn statistics(
        &mut self,
        interface: u32,
        statistics: &Statistics,
        comment: &str,
    ) -> io::Result<()> {
        let (first, last) = statistics.times;
        self.begin(INTERFACE_STATISTICS);
        self.u32(interface);
        self.time(last);
        self.option(OPT_COMMENT, comment.as_bytes());
        self.option(ISB_STARTTIME, &halves(first));
        self.option(ISB_ENDTIME, &halves(last));
        self.option(ISB_IFRECV, &statistics.received.to_le_bytes());
        self.option(ISB_IFDROP, &statistics.dropped.to_le_bytes());
        self.end_options();
        self.finish()
    }

    /// Passes buffered blocks on.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.u32(kind);
        self.u32(0);
    }

    fn finish(&mut self) -> io::Result<()> {
        let length = (self.block.len() as u32 + 4).to_le_bytes();
        self.block[4..8].copy_from_slice(&length);
        self.block.extend(length);
        self.out.write_all(&self.block)
    }

    /// Appends an option; longer values than the format can hold are cut.
    fn option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.u16(code);
        self.u16(value.len() as u16);
        self.padded(value);
    }

    fn end_options(&mut self) {
        self.u32(0);
    }

    fn time(&mut self, time: u64) {
        self.block.extend(halves(time));
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.block.extend(bytes);
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn u16(&mut self, value: u16) {
        self.block.extend(value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.block.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.block.extend(value.to_le_bytes());
    }
}

/// Returns a time as the format splits it: the upper half first.
fn halves(time: u64) -> [u8; 8] {
    time.rotate_left(32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_their_length_at_both_ends_and_are_padded() {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, "test", "a comment").unwrap();
        let raw = writer.interface(LINKTYPE_RAW, "one").unwrap();
        let ethernet = writer.interface(LINKTYPE_ETHERNET, "two").unwrap();
        assert_eq!((raw, ethernet), (0, 1));
        writer.secrets(b"CLIENT_RANDOM").unwrap();
        writer.packet(raw, 1 << 32 | 5, &[1, 2, 3], "").unwrap();
        writer.packet(ethernet, 7, &[4; 8], "note").unwrap();
        let statistics = Statistics::default();
        writer.statistics(raw, &statistics, "counters").unwrap();

        let mut kinds = Vec::new();
        let mut rest = &file[..];
        let number = |at: &[u8]| u32::from_le_bytes(at[..4].try_into().unwrap());
        while !rest.is_empty() {
            let length = number(&rest[4..]) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(number(&rest[length - 4..]), length as u32);
            kinds.push((number(rest), length));
            rest = &rest[length..];
        }
        assert_eq!(
            kinds.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
            [
                SECTION_HEADER,
                INTERFACE_DESCRIPTION,
                INTERFACE_DESCRIPTION,
                DECRYPTION_SECRETS,
                ENHANCED_PACKET,
                ENHANCED_PACKET,
                INTERFACE_STATISTICS
            ]
        );
        assert_eq!(kinds[4].1, 36, "three bytes are padded to four");
        let packet = &file[kinds[..4].iter().map(|(_, length)| length).sum()..];
        assert_eq!((number(&packet[12..]), number(&packet[16..])), (1, 5));
        assert_eq!(
            (number(&packet[20..]), &packet[28..31]),
            (3, &[1, 2, 3][..])
        );
    }

    #[test]
    fn a_comment_beyond_the_format_is_cut() {
        let mut file = Vec::new();
        Writer::new(&mut file, "test", &"x".repeat(70_000)).unwrap();
        assert!(file.len() < 66_000);
        assert_eq!(file.len() % 4, 0);
    }
}
