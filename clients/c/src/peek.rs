//! `mtcp_peek`: reads in order, with a position in each descriptor.

use std::ffi::c_int;

use monitor_client::types::Ppeek;
use monitor_client::{Error, ErrorObject, Next, Reason};

use crate::context::{Context, one_side};
use crate::failure::Failure;

/// Result of `mtcp_peek`.
pub(crate) enum Peeked {
    /// Number of bytes copied; 0 at the end of the stream.
    Bytes(usize),
    /// Number of bytes that are lost.
    Lost(u64),
}

impl Peeked {
    fn length(&self) -> u64 {
        match self {
            Peeked::Bytes(count) => *count as u64,
            Peeked::Lost(count) => *count,
        }
    }
}

impl Context {
    /// Reads in order from the cursor, as the manual page of `mtcp_peek` says.
    pub(crate) fn peek(
        &mut self,
        descriptor: c_int,
        side: c_int,
        buffer: &mut [u8],
    ) -> Result<Peeked, Failure> {
        let side = one_side(side)?;
        let opened = self.opened.get(&descriptor).ok_or(Failure(libc::EBADF))?;
        let at = opened.cursors[side as usize];
        if buffer.is_empty() {
            // Nothing can be copied, and 0 is the end of the stream.
            return Err(Failure(libc::EINVAL));
        }
        let params = self.params(descriptor, side, at)?;
        let found = loop {
            let reply = match self.client.ppeek_slice(&params, buffer) {
                Ok(head) => Ok(head),
                Err(Error::Rpc(error)) => Err(error),
                Err(error) => return Err(self.failed(error)),
            };
            match Next::from_reply(at, reply.as_ref().map_err(Clone::clone)) {
                Ok(Next::Bytes { len, .. }) => break Peeked::Bytes(len as usize),
                Ok(Next::Lost { to } | Next::Gap { to }) => break Peeked::Lost(to - at),
                Ok(Next::Eof) => break Peeked::Bytes(0),
                Ok(Next::Pending { .. }) if !is_not_established(&reply) => {
                    let socket = self.info(descriptor)?;
                    if socket.sides.get(side).next > at {
                        // It arrived between the two requests.
                        continue;
                    }
                    break socket
                        .closed
                        .map(|_| Peeked::Bytes(0))
                        .ok_or(Failure(libc::EAGAIN))?;
                }
                _ => {
                    return Err(reply.map_or_else(
                        |error| self.failed(Error::Rpc(error)),
                        |_| Failure(libc::EPROTO),
                    ));
                }
            }
        };
        if let Some(opened) = self.opened.get_mut(&descriptor) {
            opened.cursors[side as usize] = at + found.length();
        }
        Ok(found)
    }
}

/// Returns whether only the start of the handshake was seen, which has an errno of its own.
fn is_not_established(reply: &Result<Ppeek, ErrorObject>) -> bool {
    reply
        .as_ref()
        .is_err_and(|error| error.reason() == Some(Reason::NotEstablished))
}
