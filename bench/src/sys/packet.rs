//! AF_PACKET with TPACKET_V3: a receiver that does nothing.
//!
//! See the kernel's Documentation/networking/packet_mmap.rst.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use super::checked;

const BLOCK: usize = 1 << 20;
const BLOCKS: usize = 32;
const FRAME: u32 = 2048;
/// Milliseconds after which a block that is not full is handed over.
const RETIRE: u32 = 10;
/// Words of a block's header: its status, and how many packets are in it (struct tpacket_block_desc).
const STATUS: usize = 2;
const PACKETS: usize = 3;
const KERNEL: u32 = 0;
const USER: u32 = 1;

/// Takes all packets of an interface.
pub struct Receiver {
    _socket: OwnedFd,
    ring: *const AtomicU32,
    next: usize,
}

impl Receiver {
    /// Starts to receive.
    pub fn new(interface: &str) -> Result<Self> {
        let index = super::index(interface)?;
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: no pointers are passed.
        let fd = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                i32::from(protocol),
            )
        };
        checked(fd.into()).context("cannot open a packet socket")?;
        // SAFETY: the kernel has just opened it for us alone.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // TPACKET_V3
        set(&socket, libc::PACKET_VERSION, &2_i32)?;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK as u32,
            tp_block_nr: BLOCKS as u32,
            tp_frame_size: FRAME,
            tp_frame_nr: (BLOCK * BLOCKS) as u32 / FRAME,
            tp_retire_blk_tov: RETIRE,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set(&socket, libc::PACKET_RX_RING, &request)?;
        let ring = map(&socket).context("cannot map the ring")?;
        // SAFETY: all zeros is a value of this C struct of integers.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol;
        address.sll_ifindex = index as i32;
        // SAFETY: the pointer is to an address of the length that is passed.
        let bound = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of_val(&address) as libc::socklen_t,
            )
        };
        checked(bound.into()).context("cannot bind the packet socket")?;
        Ok(Self {
            _socket: socket,
            ring: ring.cast(),
            next: 0,
        })
    }

    /// Returns the number of packets in the next block; 0 if it is still the kernel's.
    pub fn receive(&mut self) -> usize {
        let word = |index: usize| {
            let at = self.next * BLOCK / size_of::<AtomicU32>() + index;
            // SAFETY: inside of the mapping, which lives as long as the process; the kernel writes whole words.
            unsafe { &*self.ring.add(at) }
        };
        if word(STATUS).load(Ordering::Acquire) & USER == 0 {
            return 0;
        }
        let count = word(PACKETS).load(Ordering::Relaxed);
        word(STATUS).store(KERNEL, Ordering::Release);
        self.next = (self.next + 1) % BLOCKS;
        count as usize
    }
}

fn set<T>(socket: &OwnedFd, option: i32, value: &T) -> Result<()> {
    // SAFETY: the pointer is to a value of the length that is passed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    checked(result.into())
        .map(drop)
        .context("cannot set up the ring")
}

fn map(socket: &OwnedFd) -> io::Result<*const libc::c_void> {
    let (read_write, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new mapping at an address of the kernel's choice; nothing is replaced.
    let ring = unsafe {
        libc::mmap(
            ptr::null_mut(),
            BLOCK * BLOCKS,
            read_write,
            shared,
            socket.as_raw_fd(),
            0,
        )
    };
    if ring == libc::MAP_FAILED {
        Err(io::Error::last_os_error())
    } else {
        Ok(ring)
    }
}
