//! XDP programs of a few instructions, loaded by hand: one that gives every packet to the socket of its queue, one that
//! lets it pass, and one that sends.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::checked;

const MAP_CREATE: libc::c_long = 0;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
const PROG_TEST_RUN: libc::c_long = 10;
const LINK_CREATE: libc::c_long = 28;
const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const DRIVER_MODE: u32 = 1 << 2;
const LIVE_FRAMES: u64 = 1 << 1;
/// Longer than the attributes of any of these commands; the kernel asks for zeros behind them.
const ATTRIBUTES: usize = 128;

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const XDP_TX: i32 = 3;
/// Offsets in struct xdp_md.
const DATA: i16 = 0;
const DATA_END: i16 = 4;
const RX_QUEUE_INDEX: i16 = 16;
/// Helper functions.
const MAP_LOOKUP_ELEM: i32 = 1;
const REDIRECT_MAP: i32 = 51;

/// An attached program and its map. The kernel takes both away when it is dropped.
pub struct Redirect {
    map: OwnedFd,
    _link: OwnedFd,
}

impl Redirect {
    /// On an interface, in its driver.
    pub fn attach(interface: u32) -> io::Result<Self> {
        let map = create(MAP_CREATE, &[MAP_TYPE_XSKMAP, 4, 4, 1])?;
        // return bpf_redirect_map(&map, ctx->rx_queue_index, XDP_PASS)
        let program = load(&[
            op(0x61, 2, 1, RX_QUEUE_INDEX, 0),
            op(0x18, 1, 1, 0, map.as_raw_fd()),
            0,
            op(0xb7, 3, 0, 0, XDP_PASS),
            op(0x85, 0, 0, 0, REDIRECT_MAP),
            op(0x95, 0, 0, 0, 0),
        ])?;
        Ok(Self {
            map,
            _link: attach(&program, interface)?,
        })
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

/// Attaches a program that lets everything pass: then a veth takes frames that a program at its other end sends.
pub fn pass(interface: u32) -> io::Result<OwnedFd> {
    attach(
        &load(&[op(0xb7, 0, 0, 0, XDP_PASS), op(0x95, 0, 0, 0, 0)])?,
        interface,
    )
}

/// Template for the frames of a [`Generator`].
#[derive(Clone, Debug)]
pub struct Template {
    /// Ethernet, IPv4 and TCP without options; ports, sequence number and checksum are filled in.
    pub frame: Vec<u8>,
    /// Sum of all words that the TCP checksum is of, but for those of the source port and the sequence number.
    pub sum: u32,
    /// Source port of the first flow; those of the others follow it.
    pub port: u16,
    /// Number of flows that take turns, a power of two.
    pub flows: u16,
    /// Bytes of payload in each frame.
    pub payload: u16,
}

/// A program that makes frames in the kernel and sends them: BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES, see the
/// kernel's Documentation/bpf/bpf_prog_run.rst.
pub struct Generator {
    program: OwnedFd,
    template: Template,
    interface: u32,
    /// Holds how many frames were made.
    _count: OwnedFd,
}

impl Generator {
    /// Frames that the program is run for at once.
    const BATCH: u64 = 64;

    /// For frames that go out of `interface`.
    pub fn new(interface: u32, template: Template) -> io::Result<Self> {
        const SOURCE_PORT: i16 = 34;
        const SEQUENCE: i16 = 38;
        const CHECKSUM: i16 = 50;
        const HEADERS: i32 = 54;
        let count = create(MAP_CREATE, &[MAP_TYPE_ARRAY, 4, 8, 1])?;
        let turn_shift = template.flows.trailing_zeros() as i32;
        let mut code = vec![
            // r7 = data; if (data + HEADERS > data_end) drop
            op(0x61, 7, 1, DATA, 0),
            op(0x61, 8, 1, DATA_END, 0),
            op(0xbf, 2, 7, 0, 0),
            op(0x07, 2, 0, 0, HEADERS),
            op(0x2d, 2, 8, 0, 0),
            // r9 = (*count)++
            op(0x62, 10, 0, -4, 0),
            op(0x18, 1, 1, 0, count.as_raw_fd()),
            0,
            op(0xbf, 2, 10, 0, 0),
            op(0x07, 2, 0, 0, -4),
            op(0x85, 0, 0, 0, MAP_LOOKUP_ELEM),
            op(0x15, 0, 0, 0, 0),
            op(0x79, 9, 0, 0, 0),
            op(0xbf, 1, 9, 0, 0),
            op(0x07, 1, 0, 0, 1),
            op(0x7b, 0, 1, 0, 0),
            // r3 = port + r9 % flows
            op(0xbf, 3, 9, 0, 0),
            op(0x57, 3, 0, 0, i32::from(template.flows) - 1),
            op(0x07, 3, 0, 0, template.port.into()),
            // r2 = (u32)(r9 / flows) * payload
            op(0xbf, 2, 9, 0, 0),
            op(0x77, 2, 0, 0, turn_shift),
            op(0x24, 2, 0, 0, template.payload.into()),
            // r4 = sum + r3 + (r2 >> 16) + (u16)r2, folded
            op(0xb7, 4, 0, 0, template.sum as i32),
            op(0x0f, 4, 3, 0, 0),
            op(0xbf, 5, 2, 0, 0),
            op(0x77, 5, 0, 0, 16),
            op(0x0f, 4, 5, 0, 0),
            op(0xbf, 5, 2, 0, 0),
            op(0x57, 5, 0, 0, 0xffff),
            op(0x0f, 4, 5, 0, 0),
        ];
        for _ in 0..2 {
            code.extend([
                op(0xbf, 5, 4, 0, 0),
                op(0x77, 5, 0, 0, 16),
                op(0x57, 4, 0, 0, 0xffff),
                op(0x0f, 4, 5, 0, 0),
            ]);
        }
        code.extend([
            op(0xa7, 4, 0, 0, 0xffff),
            // Into network order, and into the frame.
            op(0xdc, 3, 0, 0, 16),
            op(0xdc, 2, 0, 0, 32),
            op(0xdc, 4, 0, 0, 16),
            op(0x6b, 7, 3, SOURCE_PORT, 0),
            op(0x63, 7, 2, SEQUENCE, 0),
            op(0x6b, 7, 4, CHECKSUM, 0),
            op(0xb7, 0, 0, 0, XDP_TX),
            op(0x95, 0, 0, 0, 0),
            op(0xb7, 0, 0, 0, XDP_DROP),
            op(0x95, 0, 0, 0, 0),
        ]);
        // The two jumps go to the last two instructions.
        let drop = code.len() - 2;
        for at in [4, 11] {
            code[at] |= ((drop - at - 1) as u64) << 16;
        }
        Ok(Self {
            program: load(&code)?,
            template,
            interface,
            _count: count,
        })
    }

    /// Makes and sends a number of frames.
    pub fn send(&mut self, frames: u32) -> io::Result<()> {
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
        let context = [0, self.template.frame.len() as u32, 0, self.interface, 0, 0];
        let words = [
            self.program.as_raw_fd() as u64,
            self.template.frame.len() as u64,
            self.template.frame.as_ptr().addr() as u64,
            0,
            frames.into(),
            size_of_val(&context) as u64,
            context.as_ptr().addr() as u64,
            0,
            LIVE_FRAMES,
            Self::BATCH,
        ];
        call(PROG_TEST_RUN, &words).map(drop)
    }
}

/// An instruction of the BPF machine (Documentation/bpf/standardization/instruction-set.rst).
fn op(code: u8, destination: u8, source: u8, offset: i16, value: i32) -> u64 {
    let registers = u64::from(destination | source << 4);
    u64::from(code)
        | registers << 8
        | u64::from(offset as u16) << 16
        | u64::from(value as u32) << 32
}

fn load(code: &[u64]) -> io::Result<OwnedFd> {
    let license = c"GPL";
    let words = [
        u64::from(PROG_TYPE_XDP) | (code.len() as u64) << 32,
        code.as_ptr().addr() as u64,
        license.as_ptr().addr() as u64,
    ];
    let fd = call(PROG_LOAD, &words)?;
    // SAFETY: the kernel has just opened it for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// In the driver of the interface.
fn attach(program: &OwnedFd, interface: u32) -> io::Result<OwnedFd> {
    create(
        LINK_CREATE,
        &[
            program.as_raw_fd() as u32,
            interface,
            ATTACH_XDP,
            DRIVER_MODE,
        ],
    )
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
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), ATTRIBUTES) };
    checked(result).map(|fd| fd as RawFd)
}
