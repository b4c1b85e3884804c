//! Receive ring of a packet socket: TPACKET_V3 blocks, shared with the kernel.
//!
//! The kernel fills a block with packets and passes it to user space when it is full, or some time after its first
//! packet. User space returns the block after reading. A block belongs to one of them at any time, by its status.
//!
//! See Documentation/networking/packet_mmap.rst of the kernel.
#![expect(
    unsafe_code,
    reason = "blocks are shared with the kernel; the status of a block determines its owner"
)]

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{sockaddr_ll, tpacket_block_desc, tpacket_hdr_v1, tpacket3_hdr};

/// Bytes of a block. It must hold the largest packet, 64 KiB with segmentation offload. A smaller block is filled
/// badly by three such packets; a larger one wastes more when it is passed with a single small packet.
pub(super) const BLOCK_BYTES: usize = 256 << 10;
/// Bytes before a packet for the VLAN tag, which the kernel keeps beside it.
pub(super) const RESERVE: libc::c_int = VLAN_TAG as libc::c_int;

const VLAN_TAG: usize = 4;
/// Bytes of the two addresses in an Ethernet header, after which the tag is inserted.
const MAC_ADDRESSES: usize = 12;
const ETHERTYPE_VLAN: u16 = 0x8100;
/// Offset of the address behind a packet's header.
const ADDRESS: usize = size_of::<tpacket3_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);

/// Mapped ring.
pub(super) struct Ring {
    memory: NonNull<u8>,
    blocks: usize,
    /// Index of the next or current block.
    block: usize,
    /// Position in the current block; `None` before it is opened.
    position: Option<Position>,
}

#[derive(Clone, Copy)]
struct Position {
    /// Offset of the next packet's header in the block.
    offset: usize,
    /// Packets left.
    left: u32,
}

/// Packet in the ring, with its VLAN tag restored.
pub(super) struct Frame<'a> {
    pub(super) data: &'a [u8],
    /// The kernel's timestamp, by the wall clock, in nanoseconds since the epoch.
    pub(super) time: u64,
    /// Number of bytes after `data` that didn't fit into the ring.
    pub(super) cut: u32,
    /// Bits `TP_STATUS_*`.
    pub(super) status: u32,
    /// `PACKET_HOST`, `PACKET_OUTGOING` or another type of linux/if_packet.h.
    pub(super) packet_type: u8,
    /// Index of the interface.
    pub(super) interface: u32,
    /// ARPHRD type of the interface.
    pub(super) hardware_type: u16,
}

// SAFETY: the mapping belongs to the process, not to a thread, and the ring is its only user.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring of a socket, which has `blocks` blocks of [`BLOCK_BYTES`].
    pub(super) fn map(socket: BorrowedFd<'_>, blocks: usize) -> io::Result<Self> {
        // SAFETY: a new mapping, which replaces none.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                blocks * BLOCK_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            memory,
            blocks,
            block: 0,
            position: None,
        })
    }

    /// Returns up to `most` packets of the current block; none if the kernel owns it.
    pub(super) fn frames(&mut self, most: usize) -> Frames<'_> {
        if self.position.is_none()
            && self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
        {
            // SAFETY: user space owns the block, and the kernel has initialized its header.
            let header = unsafe { self.header().read() };
            self.position = Some(Position {
                offset: header.offset_to_first_pkt as usize,
                left: header.num_pkts,
            });
        }
        Frames { ring: self, most }
    }

    /// Returns the current block to the kernel if all its packets were read.
    pub(super) fn release(&mut self) {
        if self.position.is_some_and(|position| position.left == 0) {
            self.status()
                .store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.position = None;
            self.block = (self.block + 1) % self.blocks;
        }
    }

    fn start(&self) -> NonNull<u8> {
        // SAFETY: `block` is below `blocks`: the result is inside of the mapping.
        unsafe { self.memory.add(self.block * BLOCK_BYTES) }
    }

    fn header(&self) -> NonNull<tpacket_hdr_v1> {
        // SAFETY: a block starts with its descriptor; the offset is inside.
        unsafe { self.start().add(offset_of!(tpacket_block_desc, hdr)).cast() }
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY: the field is aligned and valid while the ring exists. Both sides access it as a word.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.header().as_ptr()).block_status) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was created with this length, and nothing borrows it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.blocks * BLOCK_BYTES) };
    }
}

/// Iterator over packets of a block.
pub(super) struct Frames<'a> {
    ring: &'a mut Ring,
    most: usize,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let position = self.ring.position.as_mut().filter(|p| p.left > 0)?;
        self.most = self.most.checked_sub(1)?;
        let offset = position.offset;
        // The kernel writes valid offsets; a fault of it must not become one of this process.
        if offset + ADDRESS + size_of::<sockaddr_ll>() > BLOCK_BYTES {
            position.left = 0;
            return None;
        }
        let start = self.ring.start();
        // SAFETY: user space owns the block, and both structures are inside of it.
        let (header, address) = unsafe {
            let header = start.add(offset);
            (
                header.cast::<tpacket3_hdr>().read_unaligned(),
                header.add(ADDRESS).cast::<sockaddr_ll>().read_unaligned(),
            )
        };
        let (first, len) = (
            offset + usize::from(header.tp_mac),
            header.tp_snaplen as usize,
        );
        let position = self.ring.position.as_mut()?;
        if first < offset + ADDRESS + VLAN_TAG || first + len > BLOCK_BYTES {
            position.left = 0;
            return None;
        }
        position.left -= 1;
        position.offset += header.tp_next_offset as usize;
        let tag = (header.tp_status & libc::TP_STATUS_VLAN_VALID != 0 && len > MAC_ADDRESSES)
            .then(|| tag(&header));
        // SAFETY: the range is inside of the block, which user space owns until `release`; each packet is returned once,
        // and the tag is written to the bytes reserved before it.
        let data = unsafe {
            let mut data = start.add(first);
            let mut len = len;
            if let Some(tag) = tag {
                let moved = data.sub(VLAN_TAG);
                ptr::copy(data.as_ptr(), moved.as_ptr(), MAC_ADDRESSES);
                moved.add(MAC_ADDRESSES).cast::<[u8; VLAN_TAG]>().write(tag);
                (data, len) = (moved, len + VLAN_TAG);
            }
            slice::from_raw_parts(data.as_ptr(), len)
        };
        Some(Frame {
            data,
            time: u64::from(header.tp_sec) * 1_000_000_000 + u64::from(header.tp_nsec),
            cut: header.tp_len.saturating_sub(header.tp_snaplen),
            status: header.tp_status,
            packet_type: address.sll_pkttype,
            interface: address.sll_ifindex.cast_unsigned(),
            hardware_type: address.sll_hatype,
        })
    }
}

/// Returns the VLAN tag of a packet as it was on the wire.
fn tag(header: &tpacket3_hdr) -> [u8; VLAN_TAG] {
    let protocol = if header.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0 {
        header.hv1.tp_vlan_tpid
    } else {
        ETHERTYPE_VLAN
    };
    let [a, b] = protocol.to_be_bytes();
    let [c, d] = (header.hv1.tp_vlan_tci as u16).to_be_bytes();
    [a, b, c, d]
}
