//! BPF programs of the benchmarks: a redirection into one AF_XDP socket, and a source of frames.
//!
//! `redirect` does no more than AF_XDP requires, as the baseline of `steer`. `pass` lets everything pass: with it, a veth
//! accepts frames that a program at its other end sends. `generate` makes TCP data of several connections in turns.
#![no_std]
#![no_main]
#![expect(
    unsafe_code,
    reason = "read-only data that the loader overwrites, and packets behind pointers"
)]

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, XskMap};
use aya_ebpf::programs::XdpContext;

/// Sum of all words under the TCP checksum, except for the source port and the sequence number.
#[unsafe(no_mangle)]
static SUM: u32 = 0;
/// Source port of the first connection; those of the others follow it.
#[unsafe(no_mangle)]
static PORT: u32 = 0;
/// Number of connections, as a power of two.
#[unsafe(no_mangle)]
static CONNECTIONS_LOG2: u32 = 0;
/// Payload of each frame, bytes.
#[unsafe(no_mangle)]
static PAYLOAD: u32 = 0;

/// Socket of queue 0.
#[map]
static SOCKETS: XskMap = XskMap::with_max_entries(1, 0);

/// Number of frames that `generate` has made.
#[map]
static COUNT: Array<u64> = Array::with_max_entries(1, 0);

/// Offsets of the words that differ between frames: Ethernet, IPv4 and TCP without options.
const SOURCE_PORT: usize = 34;
const SEQUENCE: usize = 38;
const CHECKSUM: usize = 50;
const HEADERS: usize = 54;

/// Redirects the packets of queue 0 into its socket.
#[xdp]
pub fn redirect(ctx: XdpContext) -> u32 {
    SOCKETS
        .redirect(ctx.rx_queue_index(), XDP_PASS.into())
        .unwrap_or(XDP_PASS)
}

/// Lets everything pass.
#[xdp]
pub fn pass(_: XdpContext) -> u32 {
    XDP_PASS
}

/// Makes a frame of the next connection, and sends it.
#[xdp]
pub fn generate(ctx: XdpContext) -> u32 {
    // Read once: the verifier knows the bounds of this value alone.
    let data = ctx.data();
    if data + HEADERS > ctx.data_end() {
        return XDP_DROP;
    }
    let Some(count) = COUNT.get_ptr_mut(0) else {
        return XDP_DROP;
    };
    // SAFETY: the value of a map, which a single run of the program uses.
    let number = unsafe {
        *count += 1;
        *count - 1
    };
    let connections_log2 = setting(&CONNECTIONS_LOG2) & 31;
    let connection = number as u32 & ((1 << connections_log2) - 1);
    let port = setting(&PORT) + connection;
    let sequence = ((number >> connections_log2) as u32).wrapping_mul(setting(&PAYLOAD));
    let mut sum = setting(&SUM) + port + (sequence >> 16) + (sequence & 0xffff);
    for _ in 0..2 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    for (offset, word) in [
        (SOURCE_PORT, port),
        (SEQUENCE, sequence >> 16),
        (SEQUENCE + 2, sequence),
        (CHECKSUM, !sum),
    ] {
        // SAFETY: within the headers, the end of which was checked above; frames start at even addresses.
        unsafe { *((data + offset) as *mut u16) = (word as u16).to_be() };
    }
    XDP_TX
}

/// Reads a setting. Volatile: otherwise the compiler would use the zeros above.
#[inline(always)]
fn setting(value: &'static u32) -> u32 {
    // SAFETY: a static is valid and aligned, and nothing writes to it while the program runs.
    unsafe { core::ptr::read_volatile(value) }
}

/// Required by the compiler. No code that can panic is compiled into a program: the verifier refuses the loop.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
