//! The smallest XDP program that there is for AF_XDP: every packet to the socket of its queue. Loaded by hand, since it
//! is five instructions.

use std::{
    io,
    mem::size_of,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use super::checked;

const MAP_CREATE: libc::c_long = 0;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
const LINK_CREATE: libc::c_long = 28;
const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const DRIVER_MODE: u32 = 1 << 2;
/// Longer than what any of these commands takes; the kernel asks for zeros behind it.
const ATTRIBUTES: usize = 128;

/// An attached program and its map. The kernel takes both away when it is dropped.
pub struct Redirect {
    map: OwnedFd,
    _link: OwnedFd,
}

impl Redirect {
    /// On an interface, in its driver.
    pub fn attach(interface: u32) -> io::Result<Self> {
        let map = create(MAP_CREATE, &[MAP_TYPE_XSKMAP, 4, 4, 1])?;
        let program = load(map.as_raw_fd())?;
        let link = create(LINK_CREATE, &[program.as_raw_fd() as u32, interface, ATTACH_XDP, DRIVER_MODE])?;
        Ok(Self { map, _link: link })
    }

    /// Sends the packets of queue 0 to this socket.
    pub fn to(&self, socket: RawFd) -> io::Result<()> {
        let (key, value) = (0_u32, socket as u32);
        let words = [
            self.map.as_raw_fd() as u64,
            (&raw const key).addr() as u64,
            (&raw const value).addr() as u64,
            0,
        ];
        call(MAP_UPDATE_ELEM, &words).map(drop)
    }
}

/// `return bpf_redirect_map(&map, ctx->rx_queue_index, XDP_PASS)`
fn load(map: RawFd) -> io::Result<OwnedFd> {
    let instruction = |code: u8, registers: u8, offset: u16, value: i32| {
        u64::from(code) | u64::from(registers) << 8 | u64::from(offset) << 16 | u64::from(value as u32) << 32
    };
    let program = [
        // r2 = *(u32 *)(r1 + offsetof(struct xdp_md, rx_queue_index))
        instruction(0x61, 0x12, 16, 0),
        // r1 = the map, in two instructions
        instruction(0x18, 0x11, 0, map),
        0,
        // r3 = XDP_PASS
        instruction(0xb7, 0x03, 0, 2),
        // call redirect_map
        instruction(0x85, 0, 0, 51),
        instruction(0x95, 0, 0, 0),
    ];
    let license = c"GPL";
    let words = [
        u64::from(PROG_TYPE_XDP) | (program.len() as u64) << 32,
        program.as_ptr().addr() as u64,
        license.as_ptr().addr() as u64,
    ];
    let fd = call(PROG_LOAD, &words)?;
    // SAFETY: the kernel has just opened it for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn create(command: libc::c_long, words: &[u32; 4]) -> io::Result<OwnedFd> {
    let wide = [0, 2].map(|at| u64::from(words[at]) | u64::from(words[at + 1]) << 32);
    let fd = call(command, &wide)?;
    // SAFETY: the kernel has just opened it for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// bpf(2). Halves of words stand in this machine's order, which is the low one first.
fn call(command: libc::c_long, words: &[u64]) -> io::Result<RawFd> {
    let mut attributes = [0_u64; ATTRIBUTES / size_of::<u64>()];
    attributes[..words.len()].copy_from_slice(words);
    // SAFETY: the attributes are those of the command, their pointers are to values that outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), ATTRIBUTES) };
    checked(result).map(|fd| fd as RawFd)
}
