//! Monitoring sockets in a context: creation, filters, callbacks, options and closing.

use std::ffi::c_int;
use std::sync::Arc;

use monitor_client::types::SocketsParams;
use monitor_client::{Code, Error};

use crate::context::Context;
use crate::definitions::{Definitions, hook};
use crate::event_types::{callback_t, event_t, pkt_info, socket_type};
use crate::failure::Failure;
use crate::filter::translate;
use crate::monitor::Listener;
use crate::options::Set;

/// Filters of a socket, as the program gave them; `None`: everything.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    /// Filter of connections, or of packets if the socket is raw.
    pub(crate) first: Option<String>,
    /// Filter of packets of no connection.
    pub(crate) orphan: Option<String>,
}

impl Context {
    /// Creates a monitoring socket. EAFNOSUPPORT: another domain than AF_INET. EINVAL: another type. ENFILE.
    pub(crate) fn socket(&mut self, domain: c_int, kind: c_int) -> Result<c_int, Failure> {
        const STREAM: c_int = socket_type::MOS_SOCK_MONITOR_STREAM as c_int;
        const RAW: c_int = socket_type::MOS_SOCK_MONITOR_RAW as c_int;
        if domain != libc::AF_INET {
            return Err(Failure(libc::EAFNOSUPPORT));
        }
        if kind != STREAM && kind != RAW {
            return Err(Failure(libc::EINVAL));
        }
        let number = self.numbers.allocate()?;
        self.monitor
            .listeners
            .insert(number, Listener::new(kind == RAW));
        Ok(number)
    }

    /// Returns whether a socket is raw. EBADF: no such socket. ENOPROTOOPT: a connection's.
    pub(crate) fn is_raw(&self, sock: c_int) -> Result<bool, Failure> {
        match self.monitor.listeners.get(&sock) {
            Some(listener) => Ok(listener.is_raw),
            None if self.opened.contains_key(&sock) => Err(Failure(libc::ENOPROTOOPT)),
            None => Err(Failure(libc::EBADF)),
        }
    }

    /// Sets the filters of a socket, for connections and packets to come. EINVAL: the daemon refuses one of them.
    pub(crate) fn bind(&mut self, sock: c_int, filters: Filters) -> Result<(), Failure> {
        self.is_raw(sock)?;
        let first = self.check(filters.first)?;
        let orphan = self.check(filters.orphan)?;
        if let Some(listener) = self.monitor.listeners.get_mut(&sock) {
            listener.filter = first;
            listener.orphan_filter = orphan;
        }
        self.monitor.changes += 1;
        Ok(())
    }

    fn check(&mut self, filter: Option<String>) -> Result<Option<String>, Failure> {
        let Some(text) = filter else {
            return Ok(None);
        };
        let filter = Some(translate(&text)?);
        let params = SocketsParams {
            filter: filter.clone(),
            limit: Some(1),
            ..SocketsParams::default()
        };
        match self.client.sockets(&params) {
            Ok(_) => Ok(filter),
            Err(Error::Rpc(error)) if error.known_code() == Some(Code::Params) => {
                Err(Failure(libc::EINVAL))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Registers a callback, or removes it if it's `None`. EINVAL: no such socket, event or hook; nothing to remove.
    pub(crate) fn register(
        &mut self,
        sock: c_int,
        event: event_t,
        hook_point: c_int,
        callback: callback_t,
    ) -> Result<(), Failure> {
        let invalid = Failure(libc::EINVAL);
        let is_raw = self.is_raw(sock).unwrap_or(false);
        let root = Definitions::current().root(event).ok_or(invalid)?;
        let hook_point = hook(root, hook_point, is_raw)?;
        let monitor = &mut self.monitor;
        let registrations = match monitor.active.get_mut(&sock) {
            Some(active) => &mut active.registrations,
            None => {
                let listener = monitor.listeners.get_mut(&sock).ok_or(invalid)?;
                &mut listener.registrations
            }
        };
        // A connection's socket shares the callbacks of its listener until one of the two changes them.
        Arc::make_mut(registrations).set(event, hook_point, callback)?;
        monitor.changes += 1;
        Ok(())
    }

    /// Applies an option to a socket of mtcp_socket() or of one of its connections, where it concerns the program alone.
    /// Returns false if the daemon has to apply it.
    pub(crate) fn set_option(&mut self, sock: c_int, option: Set) -> Result<bool, Failure> {
        if let Some(listener) = self.monitor.listeners.get_mut(&sock) {
            return match option {
                Set::Off(side) => {
                    listener.off[side as usize] = true;
                    Ok(true)
                }
                // The daemon's `[store] window` holds for all its clients.
                Set::Window(..) | Set::Overlap(..) | Set::Stop(_) => Err(Failure(libc::EPERM)),
            };
        }
        let Some(active) = self.monitor.active.get_mut(&sock) else {
            return Ok(false);
        };
        match option {
            Set::Off(side) | Set::Window(side, _) if active.off[side as usize] => {
                Err(Failure(libc::EINVAL))
            }
            Set::Off(side) => {
                active.off[side as usize] = true;
                Ok(true)
            }
            Set::Stop(side) => {
                active.stop(side);
                Ok(true)
            }
            Set::Window(..) | Set::Overlap(..) => Ok(false),
        }
    }

    /// Closes any socket. The sockets of a listener's connections are closed with it.
    pub(crate) fn close_any(&mut self, sock: c_int) -> Result<c_int, Failure> {
        if !self.monitor.listeners.contains_key(&sock) {
            return self.close(sock);
        }
        for active in self.monitor.sockets(sock) {
            self.close(active)?;
        }
        self.monitor.listeners.remove(&sock);
        self.monitor.changes += 1;
        self.uctx.remove(&sock);
        self.numbers.free(sock);
        Ok(0)
    }

    /// Keeps an address with a socket.
    pub(crate) fn set_uctx(&mut self, sock: c_int, address: usize) -> Result<(), Failure> {
        self.exists(sock)?;
        self.uctx.insert(sock, address);
        Ok(())
    }

    /// Returns the address that is kept with a socket.
    pub(crate) fn get_uctx(&self, sock: c_int) -> Result<usize, Failure> {
        self.exists(sock)?;
        Ok(self.uctx.get(&sock).copied().unwrap_or(0))
    }

    /// EBADF: no such socket.
    pub(crate) fn exists(&self, sock: c_int) -> Result<(), Failure> {
        let exists = self.opened.contains_key(&sock) || self.monitor.listeners.contains_key(&sock);
        exists.then_some(()).ok_or(Failure(libc::EBADF))
    }

    /// Returns the number of connections that have sockets.
    pub(crate) fn connections(&self) -> u32 {
        let mut sockids: Vec<u64> = self.monitor.active.values().map(|own| own.sockid).collect();
        sockids.sort_unstable();
        sockids.dedup();
        u32::try_from(sockids.len()).unwrap_or(u32::MAX)
    }

    /// Copies the packet of the callback that runs. EBADF: no such socket. ENODATA: no packet.
    pub(crate) fn last_packet(&mut self, sock: c_int) -> Result<pkt_info, Failure> {
        self.exists(sock)?;
        let current = self.current.as_ref();
        let frame = current.and_then(|current| current.frame.clone());
        let frame = frame.ok_or(Failure(libc::ENODATA))?;
        let isn = frame
            .segment()
            .and_then(|segment| self.monitor.isn(sock, segment.source));
        Ok(frame.info(isn, &mut self.copy))
    }

    /// Raises an event that was allocated, for the callback that runs. EINVAL: no such event. EPERM: no callback runs.
    pub(crate) fn raise(&mut self, event: event_t) -> Result<(), Failure> {
        let definitions = Definitions::current();
        let allocated = definitions.get(event).filter(|own| own.filter.is_none());
        allocated.ok_or(Failure(libc::EINVAL))?;
        self.current.as_ref().ok_or(Failure(libc::EPERM))?;
        self.raised.push(event);
        Ok(())
    }
}
