//! A TCP segment in IPv4 in Ethernet.

const ETHERNET: usize = 14;
const IP: usize = 20;
const TCP: usize = 20;

pub struct Frame<'a> {
    /// The IP packet, without padding.
    pub packet: &'a [u8],
    /// Offset of the TCP header.
    pub tcp: usize,
    /// Addresses and ports, the lower one first: the same for both directions.
    pub ends: [u64; 2],
    /// Which of them sent it.
    pub from: usize,
    /// Hash of `ends`.
    pub tag: u32,
    pub seq: u32,
    pub flags: u8,
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// `None` for anything else.
    #[inline]
    pub fn parse(frame: &'a [u8]) -> Option<Self> {
        let (ethernet, packet) = frame.split_at_checked(ETHERNET)?;
        let ip: &[u8; IP] = packet.first_chunk()?;
        if ethernet[12..] != [8, 0] || ip[0] >> 4 != 4 || ip[9] != 6 {
            return None;
        }
        let tcp = usize::from(ip[0] & 15) * 4;
        let packet = packet.get(..usize::from(u16::from_be_bytes([ip[2], ip[3]])))?;
        let header: &[u8; TCP] = packet.get(tcp..)?.first_chunk()?;
        let payload = packet.get(tcp + usize::from(header[12] >> 4) * 4..)?;
        let word = |bytes: &[u8], at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let ports = word(header, 0);
        let source = u64::from(word(ip, 12)) << 16 | u64::from(ports >> 16);
        let destination = u64::from(word(ip, 16)) << 16 | u64::from(ports & 0xffff);
        let ends = [source.min(destination), source.max(destination)];
        Some(Self {
            packet,
            tcp,
            ends,
            from: usize::from(source > destination),
            tag: hash(ends),
            seq: word(header, 4),
            flags: header[13],
            payload,
        })
    }
}

/// Hashes with two multiplications: enough for addresses that aren't chosen by an attacker.
fn hash([low, high]: [u64; 2]) -> u32 {
    let product = u128::from(low ^ 0x9e37_79b9_7f4a_7c15)
        * u128::from(high.rotate_left(32) ^ 0xbf58_476d_1ce4_e5b9);
    let folded = product as u64 ^ (product >> 64) as u64;
    (folded.wrapping_mul(0x94d0_49bb_1331_11eb) >> 32) as u32
}
