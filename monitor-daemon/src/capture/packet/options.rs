//! Options of packet sockets (packet(7)).
#![expect(unsafe_code, reason = "socket options that rustix has no form of")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_uint, packet_mreq, sockaddr_ll, socklen_t, tpacket_req3, tpacket_stats_v3};

use super::ring::{BLOCK_BYTES, RESERVE, Ring};

/// Time after the first packet of a block at which the kernel passes the block on, ms. The least that there is: it is
/// the latency of a packet that no other follows. (Before Linux 6.18 rounded up to a tick.)
const RETIRE_MS: c_uint = 1;
/// Nominal size of a packet, for a check of the kernel alone: packets of a block have their own sizes.
const FRAME_BYTES: usize = 2048;

/// Creates a packet socket that receives nothing until it is bound.
pub(super) fn create() -> io::Result<OwnedFd> {
    // SAFETY: a system call without pointers. Protocol 0: the socket receives nothing.
    let fd = unsafe {
        libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            0,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just created and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds a receive ring of `blocks` blocks.
pub(super) fn ring(socket: &OwnedFd, blocks: usize) -> io::Result<Ring> {
    let version = libc::tpacket_versions::TPACKET_V3 as c_int;
    set(socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
    set(socket, libc::SOL_PACKET, libc::PACKET_RESERVE, &RESERVE)?;
    let request = tpacket_req3 {
        tp_block_size: BLOCK_BYTES as c_uint,
        tp_block_nr: blocks as c_uint,
        tp_frame_size: FRAME_BYTES as c_uint,
        tp_frame_nr: (BLOCK_BYTES / FRAME_BYTES * blocks) as c_uint,
        tp_retire_blk_tov: RETIRE_MS,
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    };
    set(socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
    Ring::map(socket.as_fd(), blocks)
}

/// Excludes the packets that the interface sends (from Linux 4.20 on).
pub(super) fn ignore_outgoing(socket: &OwnedFd) -> io::Result<()> {
    set(
        socket,
        libc::SOL_PACKET,
        libc::PACKET_IGNORE_OUTGOING,
        &1_i32,
    )
}

/// Sets promiscuous mode of an interface while the socket is open: the kernel counts the sockets that requested it.
pub(super) fn promiscuous(socket: &OwnedFd, interface: u32) -> io::Result<()> {
    set(
        socket,
        libc::SOL_PACKET,
        libc::PACKET_ADD_MEMBERSHIP,
        &membership(interface),
    )
}

fn membership(interface: u32) -> packet_mreq {
    packet_mreq {
        mr_ifindex: interface.cast_signed(),
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    }
}

/// Attaches a filter that accepts nothing. Without it, packets would arrive twice while a group is set up.
pub(super) fn refuse_all(socket: &OwnedFd) -> io::Result<()> {
    let mut code = [libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: 0,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: code.as_mut_ptr(),
    };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Attaches a BPF program as the filter, in place of the present one.
pub(super) fn filter(socket: &OwnedFd, program: BorrowedFd<'_>) -> io::Result<()> {
    set(
        socket,
        libc::SOL_SOCKET,
        libc::SO_ATTACH_BPF,
        &program.as_raw_fd(),
    )
}

/// Removes the filter.
pub(super) fn accept_all(socket: &OwnedFd) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0_i32)
}

/// Binds a socket to an interface, or to all for index 0.
pub(super) fn bind(socket: &OwnedFd, interface: u32) -> io::Result<()> {
    let address = sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: interface.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer is to a live struct of the size given.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<sockaddr_ll>() as socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Joins bound sockets to a fanout group, in which `program` returns the index of a packet's socket.
pub(super) fn fanout<'a>(
    sockets: impl Iterator<Item = &'a OwnedFd>,
    program: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut group = None;
    for socket in sockets {
        match group {
            None => {
                let kind = libc::PACKET_FANOUT_EBPF | libc::PACKET_FANOUT_FLAG_UNIQUEID;
                set(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &(kind << 16))?;
                let joined: c_uint = get(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_FANOUT)?;
                group = Some(joined & 0xffff);
                let program = program.as_raw_fd();
                set(socket, libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, &program)?;
            }
            Some(id) => {
                let group = libc::PACKET_FANOUT_EBPF << 16 | id;
                set(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &group)?;
            }
        }
    }
    Ok(())
}

/// Returns and resets the kernel's statistics.
pub(super) fn statistics(socket: BorrowedFd<'_>) -> io::Result<tpacket_stats_v3> {
    get(socket, libc::SOL_PACKET, libc::PACKET_STATISTICS)
}

/// Returns and clears the pending error, for example of an interface that went down.
pub(super) fn take_error(socket: BorrowedFd<'_>) -> io::Result<c_int> {
    get(socket, libc::SOL_SOCKET, libc::SO_ERROR)
}

fn set<T>(socket: &OwnedFd, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer is to a live value of the size given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `T` consists of integers: every value of its bytes is valid.
fn get<T: Copy>(socket: BorrowedFd<'_>, level: c_int, option: c_int) -> io::Result<T> {
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    let mut len = size_of::<T>() as socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to a live value of that size.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed, then written by the kernel; the callers in this file ask for integers alone.
    Ok(unsafe { value.assume_init() })
}
