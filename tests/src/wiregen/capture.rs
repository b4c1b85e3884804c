//! Capture files.

use super::{Flow, Layers};

/// Captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// From its link-layer header on.
    pub data: Vec<u8>,
}

/// Frames of one link type, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// Its LINKTYPE_ number.
    pub link_type: u16,
    /// The frames.
    pub frames: Vec<Frame>,
}

/// Which of the classic formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PcapFlavour {
    /// Byte order.
    pub big_endian: bool,
    /// Time stamps in nanoseconds instead of microseconds.
    pub nanoseconds: bool,
}

impl Capture {
    /// The segments of a flow in the headers of `layers`.
    #[must_use]
    pub fn of(layers: &Layers, flow: &Flow) -> Self {
        let mut capture = Self {
            link_type: layers.link.link_type(),
            frames: Vec::new(),
        };
        for segment in &flow.segments {
            let frames = layers.frames(flow, segment).into_iter();
            capture.frames.extend(frames.map(|data| Frame {
                time: segment.time,
                data,
            }));
        }
        capture
    }

    /// Several captures of one link type, mixed by time.
    ///
    /// # Panics
    /// When their link types differ.
    #[must_use]
    pub fn mix(captures: impl IntoIterator<Item = Self>) -> Self {
        let mut mixed: Option<Self> = None;
        for capture in captures {
            match &mut mixed {
                None => mixed = Some(capture),
                Some(mixed) => {
                    assert_eq!(
                        mixed.link_type, capture.link_type,
                        "a pcap file has one link type"
                    );
                    mixed.frames.extend(capture.frames);
                }
            }
        }
        let mut mixed = mixed.unwrap_or_default();
        mixed.frames.sort_by_key(|frame| frame.time);
        mixed
    }

    /// Captured bytes of all frames.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.frames
            .iter()
            .map(|frame| frame.data.len() as u64)
            .sum()
    }

    /// A pcap file as tcpdump writes it.
    #[must_use]
    pub fn pcap(&self) -> Vec<u8> {
        self.pcap_as(PcapFlavour::default())
    }

    /// A pcap file of any flavour.
    #[must_use]
    pub fn pcap_as(&self, flavour: PcapFlavour) -> Vec<u8> {
        let order = Order {
            big_endian: flavour.big_endian,
        };
        let mut file = Vec::new();
        file.extend(order.u32(if flavour.nanoseconds {
            0xa1b2_3c4d
        } else {
            0xa1b2_c3d4
        }));
        file.extend([order.u16(2), order.u16(4)].concat());
        file.extend([order.u32(0), order.u32(0), order.u32(262_144)].concat());
        file.extend(order.u32(u32::from(self.link_type)));
        let unit = if flavour.nanoseconds { 1 } else { 1000 };
        for frame in &self.frames {
            file.extend(order.u32((frame.time / 1_000_000_000) as u32));
            file.extend(order.u32((frame.time % 1_000_000_000 / unit) as u32));
            file.extend(order.u32(frame.data.len() as u32));
            file.extend(order.u32(frame.data.len() as u32));
            file.extend(&frame.data);
        }
        file
    }

    /// A pcapng file as Wireshark writes it: one section, one interface, nanoseconds.
    #[must_use]
    pub fn pcapng(&self) -> Vec<u8> {
        let mut file = PcapNg::new(false);
        file.section().interface(self.link_type, 9, 0);
        for frame in &self.frames {
            file.packet(Block::Enhanced, 0, frame.time, &frame.data);
        }
        file.finish()
    }
}

/// Which block a packet is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Enhanced packet block.
    Enhanced,
    /// The obsolete packet block.
    Obsolete,
    /// Simple packet block: no time, always interface 0.
    Simple,
}

/// A pcapng file that is being written.
#[derive(Clone, Debug)]
pub struct PcapNg {
    order: Order,
    file: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Order {
    big_endian: bool,
}

impl PcapNg {
    /// Nothing yet; a file starts with a [`PcapNg::section`].
    #[must_use]
    pub fn new(big_endian: bool) -> Self {
        Self {
            order: Order { big_endian },
            file: Vec::new(),
        }
    }

    /// Changes the byte order of later records; legal before a section only.
    pub fn big_endian(&mut self, big_endian: bool) -> &mut Self {
        self.order = Order { big_endian };
        self
    }

    /// A section header.
    pub fn section(&mut self) -> &mut Self {
        let mut body = self.order.u32(0x1a2b_3c4d).to_vec();
        body.extend([self.order.u16(1), self.order.u16(0)].concat());
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    /// An interface description. `resolution` and `offset` as in `if_tsresol` and `if_tsoffset` (seconds).
    pub fn interface(&mut self, link_type: u16, resolution: u8, offset: i64) -> &mut Self {
        let order = self.order;
        let mut body = [order.u16(link_type), order.u16(0)].concat();
        body.extend(order.u32(0));
        // if_name first, so that a reader that cannot skip options is found out.
        body.extend([order.u16(2), order.u16(5)].concat());
        body.extend(*b"veth0\0\0\0");
        body.extend([order.u16(9), order.u16(1)].concat());
        body.extend([resolution, 0, 0, 0]);
        if offset != 0 {
            body.extend([order.u16(14), order.u16(8)].concat());
            body.extend(if order.big_endian {
                offset.to_be_bytes()
            } else {
                offset.to_le_bytes()
            });
        }
        body.extend([0; 4]);
        self.block(1, &body)
    }

    /// A packet; `units` is its time in the units of its interface.
    pub fn packet(&mut self, block: Block, interface: u32, units: u64, data: &[u8]) -> &mut Self {
        let order = self.order;
        let length = order.u32(data.len() as u32);
        let mut body = match block {
            Block::Enhanced => order.u32(interface).to_vec(),
            Block::Obsolete => [order.u16(interface as u16), order.u16(0)].concat(),
            Block::Simple => Vec::new(),
        };
        if block != Block::Simple {
            body.extend(order.u32((units >> 32) as u32));
            body.extend(order.u32(units as u32));
            body.extend(length);
        }
        body.extend(length);
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        if block == Block::Enhanced {
            // epb_flags and the end of options.
            body.extend([order.u16(2), order.u16(4)].concat());
            body.extend([0; 8]);
        }
        let kind = match block {
            Block::Enhanced => 6,
            Block::Obsolete => 2,
            Block::Simple => 3,
        };
        self.block(kind, &body)
    }

    /// Any block; the body's length must be a multiple of 4.
    pub fn block(&mut self, kind: u32, body: &[u8]) -> &mut Self {
        let length = self.order.u32(body.len() as u32 + 12);
        self.file.extend(self.order.u32(kind));
        self.file.extend(length);
        self.file.extend(body);
        self.file.extend(length);
        self
    }

    /// The bytes of the file.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        self.file.clone()
    }
}

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        if self.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }
}
