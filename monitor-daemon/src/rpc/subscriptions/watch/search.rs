//! Search of one client: its patterns, and the bytes around their matches.

use std::sync::Arc;

use monitor_engine::{Reader, Side, SockId};
use monitor_rpc::types::{Base64, Context, PatternId};

use crate::scan::{Match, Scratch, Set, Stream};

/// Patterns, and the form of their notifications.
pub(crate) struct Search {
    pub(crate) set: Arc<Set>,
    pub(crate) scratch: Scratch,
    /// Names of the patterns in events.
    pub(crate) names: Vec<PatternId>,
    /// Number of bytes around matches to send.
    pub(crate) context: Option<usize>,
}

/// Side with bytes to scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) id: SockId,
    pub(crate) side: Side,
    pub(crate) time: u64,
    /// The connection has ended: no more bytes will arrive.
    pub(crate) over: bool,
}

impl Search {
    /// Returns the memory in use, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let mut bytes = self.set.memory() + self.scratch.memory();
        bytes += self.names.capacity() * size_of::<PatternId>();
        for name in &self.names {
            // Clients choose names; a name is at most as long as its request.
            if let PatternId::Text(text) = name {
                bytes += text.capacity();
            }
        }
        bytes
    }
}

/// Returns the match with up to `around` bytes on each side, as far as they are retained.
pub(crate) fn surroundings(
    reader: &Reader,
    look: Look,
    found: &Match,
    around: usize,
) -> Option<Context> {
    let wanted = usize::try_from(found.len)
        .unwrap_or(usize::MAX)
        .saturating_add(around);
    let read = |off: u64| {
        let mut bytes = vec![0; wanted.saturating_add((found.off.saturating_sub(off)) as usize)];
        let len = reader.peek(look.id, look.side, off, &mut bytes).ok()?.len;
        bytes.truncate(len);
        // Useless if a hole before the match ends it.
        (off + len as u64 > found.off).then_some(Context {
            off,
            data: Base64(bytes),
        })
    };
    read(found.off.saturating_sub(around as u64)).or_else(|| read(found.off))
}

/// Side in the store.
pub(crate) struct Stored<'a> {
    pub(crate) reader: &'a Reader,
    pub(crate) id: SockId,
    pub(crate) side: Side,
}

impl Stream for Stored<'_> {
    fn read(&mut self, off: u64, to: &mut [u8]) -> bool {
        self.reader
            .peek(self.id, self.side, off, to)
            .is_ok_and(|peek| peek.len == to.len())
    }
}
