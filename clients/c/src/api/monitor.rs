//! Functions for monitoring sockets, their callbacks and events.

use std::ffi::{c_int, c_void};
use std::time::Duration;

use libc::timeval;

use crate::context::Context;
use crate::definitions::Definitions;
use crate::event_types::{callback_t, event_t, filter_arg, filter_t};
use crate::failure::{Failure, answer};
use crate::filter::monitor_filter_t;
use crate::sockets::Filters;
use crate::types::mctx_t;
use crate::{clock, memory, registry, serve};

/// Creates a monitoring socket. `domain` is AF_INET: the socket observes IPv4 only. `type` is MOS_SOCK_MONITOR_STREAM or
/// MOS_SOCK_MONITOR_RAW, `protocol` has no effect. The socket observes nothing until a callback is registered.
///
/// EACCES; EAFNOSUPPORT: another domain. EINVAL: another type. ENFILE.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_socket(
    mctx: mctx_t,
    domain: c_int,
    r#type: c_int,
    protocol: c_int,
) -> c_int {
    let _ = protocol;
    answer(registry::within(mctx, |context| {
        context.socket(domain, r#type)
    }))
}

/// Sets the filters of a socket of mtcp_socket(), for connections and packets to come. Without one, everything is selected;
/// `ft` NULL changes nothing. A filter has the daemon's language (docs/rpc.md); `&`, `|` and `mask` are understood too.
///
/// EACCES, EBADF. EINVAL: not such a filter. ENOPROTOOPT: the socket is a connection's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_bind_monitor_filter(
    mctx: mctx_t,
    sock: c_int,
    ft: monitor_filter_t,
) -> c_int {
    let bound = registry::within(mctx, |context| {
        let is_raw = context.is_raw(sock)?;
        if ft.is_null() {
            return Ok(0);
        }
        // SAFETY: the caller promises the union, whose pointers are NULL or strings. A raw socket has the first one only.
        let filters = unsafe {
            let given = memory::read(ft)?;
            Filters {
                first: memory::text(given.first)?,
                orphan: if is_raw {
                    None
                } else {
                    memory::text(given.orphan)?
                },
            }
        };
        context.bind(sock, filters).map(|()| 0)
    });
    answer(bound.and_then(|done| serve::subscribe(mctx).map(|()| done)))
}

/// Registers a callback for an event at a hook of a socket, instead of one that is registered there. `cb` NULL removes it.
/// The sockets of new connections have the callbacks that their socket has then.
///
/// Events at MOS_HK_SND have the side of the sending end, those at MOS_HK_RCV that of the receiving end. MOS_ON_CONN_START
/// and MOS_ON_CONN_END happen at the client that sends and at the server that receives, once each.
///
/// EACCES. EINVAL: no such socket or event; an event that isn't raised at this hook; nothing to remove.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_register_callback(
    mctx: mctx_t,
    sock: c_int,
    event: event_t,
    hook_point: c_int,
    cb: callback_t,
) -> c_int {
    let registered = registry::within(mctx, |context| {
        context.register(sock, event, hook_point, cb).map(|()| 0)
    });
    answer(registered.and_then(|done| serve::subscribe(mctx).map(|()| done)))
}

/// Defines an event: it happens when `event` happens and `filter` returns true. The filter is called once for each `event`
/// at a hook of a socket, if a callback depends on it. The memory of `arg` is copied. An equal definition has the same
/// number.
///
/// Returns the number of the event; 0 on error. EINVAL: no such event; `filter` is NULL. ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_define_event(
    event: event_t,
    filter: filter_t,
    arg: *mut filter_arg,
) -> event_t {
    if filter.is_none() {
        return none(Failure(libc::EINVAL));
    }
    if arg.is_null() {
        return Definitions::define(event, filter, (0, 0), || 0).unwrap_or_else(none);
    }
    // SAFETY: the caller promises the structure, and `len` bytes at its `arg`.
    let given = unsafe { memory::read(arg) };
    given
        .and_then(|given| {
            Definitions::define(event, filter, (given.arg.addr(), given.len), || {
                // SAFETY: as above.
                unsafe { memory::keep(given) }
            })
        })
        .unwrap_or_else(none)
}

/// Allocates an event that mtcp_raise_event() raises, as a child of `event`.
///
/// Returns the number of the event; 0 on error. EINVAL: no such event. ENOMEM.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_alloc_event(event: event_t) -> event_t {
    Definitions::define(event, None, (0, 0), || 0).unwrap_or_else(none)
}

/// Raises an event of mtcp_alloc_event(), in a filter or callback: for the same socket, side and hook, right after the filter
/// or callback returns.
///
/// EACCES. EINVAL: no such event. EPERM: no filter or callback runs.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_raise_event(mctx: mctx_t, event: event_t) -> c_int {
    answer(registry::within(mctx, |context| {
        context.raise(event).map(|()| 0)
    }))
}

/// Calls a function once after a time, with `id` as its socket. The function may set the timer again.
///
/// EACCES, EFAULT. EINVAL: a negative time; `cb` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_settimer(
    mctx: mctx_t,
    id: c_int,
    timeout: *mut timeval,
    cb: callback_t,
) -> c_int {
    let invalid = Failure(libc::EINVAL);
    let set = registry::within(mctx, |context| {
        // SAFETY: the caller promises the structure.
        let timeout = unsafe { memory::read(timeout) }?;
        let seconds = u64::try_from(timeout.tv_sec).map_err(|_| invalid)?;
        let micros = u64::try_from(timeout.tv_usec).map_err(|_| invalid)?;
        let after = Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros));
        cb.ok_or(invalid)?;
        context.timers.set(id, after, cb);
        Ok(())
    });
    answer(set.and_then(|()| registry::find(mctx)).map(|node| {
        node.notify();
        0
    }))
}

/// Keeps an address with a socket.
///
/// Sets errno on error: EACCES, EBADF.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_set_uctx(mctx: mctx_t, sock: c_int, uctx: *mut c_void) {
    answer::<c_int>(registry::within(mctx, |context| {
        context.set_uctx(sock, uctx.expose_provenance()).map(|()| 0)
    }));
}

/// Returns the address that is kept with a socket; NULL at first.
///
/// Returns NULL on error. EACCES, EBADF.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_get_uctx(mctx: mctx_t, sock: c_int) -> *mut c_void {
    let found = registry::within(mctx, |context| context.get_uctx(sock));
    found.map_or_else(
        |failure| {
            answer::<c_int>(Err(failure));
            std::ptr::null_mut()
        },
        std::ptr::with_exposed_provenance_mut,
    )
}

/// Returns the time of the event that the callback is called for, in microseconds modulo 2^32; otherwise the present time.
///
/// Returns 0 on error. EACCES.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_cb_get_ts(mctx: mctx_t) -> u32 {
    let time = |context: &mut Context| {
        let event = context.current.as_ref().map(|current| current.time_us);
        Ok(event.filter(|time| *time > 0).unwrap_or_else(clock::now_us) as u32)
    };
    registry::within(mctx, time).unwrap_or_else(|failure| none(failure) as u32)
}

/// Returns the number of connections that have a socket of the context now.
///
/// Returns 0 on error. EACCES.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_get_connection_cnt(mctx: mctx_t) -> u32 {
    let counted = registry::within(mctx, |context| Ok(context.connections()));
    counted.unwrap_or_else(|failure| none(failure) as u32)
}

/// Sets errno, and returns 0.
fn none(failure: Failure) -> event_t {
    answer::<c_int>(Err(failure));
    0
}
