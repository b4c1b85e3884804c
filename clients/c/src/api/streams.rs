//! Functions that find connections and read their bytes, states and addresses.

use std::ffi::{c_char, c_int, c_void};

use libc::{sockaddr, socklen_t, ssize_t};
use monitor_client::types::LookupParams;

use crate::context::one_side;
use crate::failure::{Failure, answer};
use crate::options::{self, Get, Set};
use crate::peek::Peeked;
use crate::types::{mctx_t, monitor_side, mos_side, tcp_buf_info, tcp_ring_fragment};
use crate::{address, memory, registry, serve};

/// Returns a descriptor for the connection with the RPC's number `rpc_sockid` (below 2^53). The daemon is not asked: a
/// connection that does not exist is noticed at the first use. Opening a connection again returns the same descriptor.
///
/// EACCES; ENFILE: all numbers are in use.
#[unsafe(no_mangle)]
pub extern "C" fn monitor_open(mctx: mctx_t, rpc_sockid: u64) -> c_int {
    answer(registry::within(mctx, |context| context.open(rpc_sockid)))
}

/// Returns a descriptor for the newest connection between two ends, each a struct sockaddr_in or sockaddr_in6.
///
/// ENOTCONN: no such connection is known. EAFNOSUPPORT, EINVAL: not such an address. EACCES, EFAULT, ENFILE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn monitor_lookup(
    mctx: mctx_t,
    client: *const sockaddr,
    client_len: socklen_t,
    server: *const sockaddr,
    server_len: socklen_t,
) -> c_int {
    answer(registry::within(mctx, |context| {
        // SAFETY: the caller promises `client_len` and `server_len` bytes.
        let [client, server] = unsafe {
            [
                memory::bytes(client.cast(), client_len as usize)?,
                memory::bytes(server.cast(), server_len as usize)?,
            ]
        };
        let params = LookupParams {
            client: address::decode(client)?,
            server: address::decode(server)?,
            vlan: None,
        };
        context.lookup(&params)
    }))
}

/// Iterates over all connections that can be read. Returns the descriptor of the first one when `previous` is 0, else of
/// the one after `previous`; 0 behind the last. A connection that exists during the whole iteration is returned exactly
/// once. Unwanted ones may be closed at any point.
///
/// EACCES, EBADF, ENFILE.
#[unsafe(no_mangle)]
pub extern "C" fn monitor_next(mctx: mctx_t, previous: c_int) -> c_int {
    answer(registry::within(mctx, |context| context.next(previous)))
}

/// Writes the RPC's number of the connection to `*rpc_sockid`.
///
/// EACCES, EBADF, EFAULT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn monitor_sockid(
    mctx: mctx_t,
    sockid: c_int,
    rpc_sockid: *mut u64,
) -> c_int {
    answer(registry::within(mctx, |context| {
        let number = context.sockid(sockid)?;
        // SAFETY: the caller promises room for the number.
        unsafe { memory::write(rpc_sockid, number) }.map(|()| 0)
    }))
}

/// Writes a side's offsets to `*info`.
///
/// EINVAL: `side` is neither MOS_SIDE_CLI nor MOS_SIDE_SVR. EACCES, EBADF, EFAULT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn monitor_getside(
    mctx: mctx_t,
    sockid: c_int,
    side: c_int,
    info: *mut monitor_side,
) -> c_int {
    answer(registry::within(mctx, |context| {
        let side = one_side(side)?;
        let socket = context.info(sockid)?;
        let own = socket.sides.get(side);
        let (base, next, end, fin) = (own.base, own.next, own.end, own.fin.unwrap_or(u64::MAX));
        let found = monitor_side {
            base,
            next,
            end,
            fin,
            closed: c_int::from(socket.closed.is_some()),
        };
        // SAFETY: the caller promises room for the structure.
        unsafe { memory::write(info, found) }.map(|()| 0)
    }))
}

/// Closes a descriptor. The connection itself is not affected, and its callbacks are no longer called. A socket of
/// mtcp_socket() is closed with the sockets of its connections.
///
/// EACCES, EBADF.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_close(mctx: mctx_t, sockid: c_int) -> c_int {
    let closed = registry::within(mctx, |context| context.close_any(sockid));
    answer(closed.and_then(|done| serve::subscribe(mctx).map(|()| done)))
}

/// Copies up to `len` bytes of one side into `buf`, from offset `off` on: the distance from the first payload byte. Any
/// received byte that is kept can be read, in order or not (see MOS_FRAGINFO_CLIBUF); the copy ends at a hole. Nothing
/// is flushed, and the position of mtcp_peek does not change.
///
/// Returns the number of bytes copied; fewer than asked is no error. Or -1:
/// EACCES           `mctx` is no context
/// EBADF            `sockid` is no descriptor of it, or its connection is gone
/// EINVAL           buffering of this side was switched off; or `side` is neither MOS_SIDE_CLI nor MOS_SIDE_SVR
/// ESOCKTNOSUPPORT  `sockid` stands for a listener, not a connection
/// ENOTCONN         nothing but the start of the handshake was seen
/// ENODATA          no received byte at `off`
/// EPERM            the daemon does not let the caller read
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_ppeek(
    mctx: mctx_t,
    sockid: c_int,
    side: c_int,
    buf: *mut c_char,
    len: usize,
    off: u64,
) -> ssize_t {
    let copied = registry::within(mctx, |context| {
        context.sockid(sockid)?;
        // SAFETY: the caller promises room for `len` bytes.
        let buffer = unsafe { memory::buffer(buf.cast::<c_void>(), len) }?;
        context.ppeek(sockid, side, buffer, off)
    });
    copied.map_or_else(|failure| answer(Err(failure)), |count| count as ssize_t)
}

/// Copies the next bytes of one side, in order: each call continues at the end of the last one on this descriptor and
/// side; the first one begins at offset 0.
///
/// Returns the number of bytes copied; 0 when the stream is complete; or a negative number:
/// -N with ENODATA  the next N bytes are lost (no longer kept, or never captured); the next call continues behind them
/// -1 with EAGAIN   no bytes yet; more may come
/// -1 with EINVAL   `len` is 0: no byte can be copied, and 0 means the end; or as mtcp_ppeek
/// -1 otherwise     as mtcp_ppeek
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_peek(
    mctx: mctx_t,
    sockid: c_int,
    side: c_int,
    buf: *mut c_char,
    len: usize,
) -> ssize_t {
    let found = registry::within(mctx, |context| {
        context.sockid(sockid)?;
        // SAFETY: the caller promises room for `len` bytes.
        let buffer = unsafe { memory::buffer(buf.cast::<c_void>(), len) }?;
        context.peek(sockid, side, buffer)
    });
    match found {
        Ok(Peeked::Bytes(count)) => count as ssize_t,
        Ok(Peeked::Lost(count)) => {
            answer::<c_int>(Err(Failure(libc::ENODATA)));
            -ssize_t::try_from(count).unwrap_or(ssize_t::MAX)
        }
        Err(failure) => answer(Err(failure)),
    }
}

/// Reads an option of enum mos_socket_opts into `optval`; `level` is SOL_MONSOCKET. `*optlen` is the size of `optval` in
/// bytes, in and out, but a number of elements with MOS_FRAGINFO_CLIBUF and MOS_FRAGINFO_SVRBUF.
///
/// ENOPROTOOPT: no such level or option to read. EINVAL: `*optlen` is too small. Otherwise as mtcp_ppeek.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_getsockopt(
    mctx: mctx_t,
    sockid: c_int,
    level: c_int,
    optname: c_int,
    optval: *mut c_void,
    optlen: *mut socklen_t,
) -> c_int {
    answer(registry::within(mctx, |context| {
        context.sockid(sockid)?;
        let get = Get::parse(level, optname)?;
        // SAFETY: the caller promises a length at `optlen`, and that much room at `optval`.
        unsafe {
            let room = memory::read(optlen)?;
            let written = match get {
                Get::Fragments(side) => {
                    let found = options::fragments(context, sockid, side)?;
                    let fitting = found.into_iter().take(room as usize);
                    let mut written: socklen_t = 0;
                    for (index, fragment) in fitting.enumerate() {
                        memory::write(
                            optval.cast::<tcp_ring_fragment>().wrapping_add(index),
                            fragment,
                        )?;
                        written += 1;
                    }
                    written
                }
                Get::Info(side) => {
                    let info = options::info(context.info(sockid)?.sides.get(side))?;
                    put::<tcp_buf_info>(optval, room, info)?
                }
                Get::State(side) => {
                    let state = context.states(sockid)?[side as usize];
                    put(optval, room, options::state(state) as c_int)?
                }
                Get::Timestamp => put(optval, room, options::timestamp(context, sockid)?)?,
            };
            memory::write(optlen, written).map(|()| 0)
        }
    }))
}

/// Sets an option of enum mos_socket_opts to the int at `optval`; `level` is SOL_MONSOCKET, `optlen` sizeof(int).
///
/// ENOPROTOOPT: no such level or option to set. EINVAL: no such value, `optlen` is too small, or buffering of that side
/// is switched off already. EPERM: the daemon does not let the caller change anything. EACCES, EBADF, EFAULT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_setsockopt(
    mctx: mctx_t,
    sockid: c_int,
    level: c_int,
    optname: c_int,
    optval: *const c_void,
    optlen: socklen_t,
) -> c_int {
    answer(registry::within(mctx, |context| {
        context.exists(sockid)?;
        if (optlen as usize) < size_of::<c_int>() {
            return Err(Failure(libc::EINVAL));
        }
        // SAFETY: the caller promises `optlen` bytes, which are enough.
        let value = unsafe { memory::read(optval.cast::<c_int>()) }?;
        let option = Set::parse(level, optname, value)?;
        if context.set_option(sockid, option)? {
            return Ok(0);
        }
        option.apply(context, sockid).map(|()| 0)
    }))
}

/// Writes addresses and ports, as struct sockaddr_in or sockaddr_in6: the client's with MOS_SIDE_CLI, the server's with
/// MOS_SIDE_SVR, both with MOS_SIDE_BOTH, the client's first and the server's right behind it. `*addrlen` is the size of
/// `addr` in bytes; on return, the number of bytes written.
///
/// EINVAL: no such side, or `*addrlen` is too small. EACCES, EBADF, EFAULT, ESOCKTNOSUPPORT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_getpeername(
    mctx: mctx_t,
    sockid: c_int,
    addr: *mut sockaddr,
    addrlen: *mut socklen_t,
    side: c_int,
) -> c_int {
    const BOTH: c_int = mos_side::MOS_SIDE_BOTH as c_int;
    answer(registry::within(mctx, |context| {
        let [client, server] = context.ends(sockid)?.map(address::encode);
        let bytes = match side {
            BOTH => [client, server].concat(),
            _ if one_side(side)? == monitor_client::Side::Client => client,
            _ => server,
        };
        // SAFETY: the caller promises a length at `addrlen`, and that much room at `addr`.
        unsafe {
            let room = memory::read(addrlen)?;
            let to = memory::buffer(addr.cast::<c_void>(), room as usize)?;
            to.get_mut(..bytes.len())
                .ok_or(Failure(libc::EINVAL))?
                .copy_from_slice(&bytes);
            memory::write(addrlen, bytes.len() as socklen_t).map(|()| 0)
        }
    }))
}

/// Writes one value of an option and returns its size. EINVAL if it doesn't fit.
///
/// # Safety
/// The caller owns `room` bytes at `optval`, unless it is null.
unsafe fn put<T: memory::Plain>(
    optval: *mut c_void,
    room: socklen_t,
    value: T,
) -> Result<socklen_t, Failure> {
    let size = size_of::<T>() as socklen_t;
    if room < size {
        return Err(Failure(libc::EINVAL));
    }
    // SAFETY: there is room for it, promised by the caller.
    unsafe { memory::write(optval.cast(), value) }.map(|()| size)
}
