//! `ppeek`, `fragments`.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_engine::{Extents, Peek, PeekError, Reader, Side, SockId};
use monitor_rpc::types::{Encoding, FragmentsParams, Ppeek, PpeekParams};
use monitor_rpc::{ErrorObject, MAX_LEN};
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::connection::Session;
use super::super::memory::{OWN, PeekBuffer};
use super::super::serve::Shared;
use super::super::{fault, reply, view};

/// Bytes copied before other clients of this thread get their turn: some ten microseconds.
const TURN: usize = 256 * 1024;
/// Bytes encoded before the text is sent on. A multiple of 3, so that only the last piece is padded.
const PIECE: usize = 48 * 1024;
/// Extents written before the text is sent on.
const RUNS: usize = 2048;

/// What is to be read.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) reader: &'a Reader,
    pub(super) id: SockId,
    pub(super) side: Side,
    pub(super) off: u64,
    /// Most bytes.
    pub(super) len: usize,
}

impl Session {
    pub(super) async fn ppeek(&mut self, id: &RawValue, params: &PpeekParams) -> io::Result<()> {
        let read = match self.check_encoding(params.encoding) {
            Ok(()) => self.read(params).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(read) => {
                let head = |raw| Ppeek {
                    raw,
                    ..head(params.off, &read)
                };
                self.reply_bytes(id, params.encoding, read.len, head).await
            }
            Err(error) => {
                self.error(Some(id), &error);
                Ok(())
            }
        }
    }

    async fn read(&mut self, params: &PpeekParams) -> Result<Peek, ErrorObject> {
        let (reader, id) = self.shared.reader(params.sockid, params.worker)?;
        let len = params.len.min(MAX_LEN) as usize;
        let wish = Wish {
            reader,
            id,
            side: view::side(params.side),
            off: params.off,
            len,
        };
        let read = fill(&mut self.peeks, &self.shared, wish).await;
        read.map_err(|error| fault::peek(error, params.sockid, params.side, params.off))
    }

    pub(super) fn check_encoding(&self, encoding: Encoding) -> Result<(), ErrorObject> {
        if encoding == Encoding::Raw && self.out.in_batch() {
            let message = "parameter `encoding` cannot be \"raw\" within a batch: raw bytes follow a reply's own line";
            return Err(fault::parameter("encoding", message));
        }
        Ok(())
    }

    /// Replies with the first `len` bytes of the client's buffer. `head` is the rest of the result; it is told how many
    /// raw bytes follow, if they do.
    pub(super) async fn reply_bytes<H: Serialize>(
        &mut self,
        id: &RawValue,
        encoding: Encoding,
        len: usize,
        head: impl FnOnce(Option<u64>) -> H,
    ) -> io::Result<()> {
        self.shared.metrics.requests.add(1);
        self.shared.metrics.peeked_bytes.add(len as u64);
        match encoding {
            Encoding::Raw => self.reply_raw(id, len, &head(Some(len as u64))).await,
            Encoding::Base64 => self.reply_base64(id, len, &head(None)).await,
        }
    }

    async fn reply_raw(
        &mut self,
        id: &RawValue,
        len: usize,
        head: &impl Serialize,
    ) -> io::Result<()> {
        reply::result(self.out.open(), id, head);
        self.out.close();
        let bytes = self.peeks.filled(len);
        if bytes.len() <= PIECE {
            self.out.text().extend_from_slice(bytes);
            Ok(())
        } else {
            self.out.flush_with(bytes).await
        }
    }

    async fn reply_base64(
        &mut self,
        id: &RawValue,
        len: usize,
        head: &impl Serialize,
    ) -> io::Result<()> {
        let text = self.out.open();
        reply::start(text, id);
        reply::value(text, head);
        // In place of the object's closing brace.
        text.pop();
        text.extend_from_slice(b",\"data\":\"");
        for piece in self.peeks.filled(len).chunks(PIECE) {
            encode(self.out.text(), piece);
            self.out.flush_if_full().await?;
        }
        let text = self.out.text();
        text.extend_from_slice(b"\"}");
        reply::end(text);
        self.out.close();
        Ok(())
    }

    pub(super) async fn fragments(
        &mut self,
        id: &RawValue,
        params: &FragmentsParams,
    ) -> io::Result<()> {
        let extents = match self.extents(params) {
            Ok(extents) => extents,
            Err(error) => {
                self.error(Some(id), &error);
                return Ok(());
            }
        };
        // While a slow client reads it, the list takes memory like any other large reply.
        let size = size_of_val(extents.runs.as_slice());
        let lease = if size > OWN {
            self.shared.memory.lease(size)
        } else {
            None
        };
        if size > OWN && lease.is_none() {
            self.error(Some(id), &fault::no_memory());
            return Ok(());
        }
        self.shared.metrics.requests.add(1);
        let text = self.out.open();
        reply::start(text, id);
        text.extend_from_slice(b"{\"extents\":[");
        let mut first = true;
        for runs in extents.runs.chunks(RUNS) {
            let text = self.out.text();
            for run in runs {
                if !first {
                    text.push(b',');
                }
                first = false;
                reply::value(text, run);
            }
            self.out.flush_if_full().await?;
        }
        let text = self.out.text();
        let Extents {
            base, next, end, ..
        } = extents;
        text.extend_from_slice(
            format!("],\"base\":{base},\"next\":{next},\"end\":{end}}}").as_bytes(),
        );
        reply::end(text);
        self.out.close();
        Ok(())
    }

    fn extents(&self, params: &FragmentsParams) -> Result<Extents, ErrorObject> {
        let &FragmentsParams {
            sockid,
            side,
            worker,
        } = params;
        let (reader, id) = self.shared.reader(sockid, worker)?;
        reader
            .extents(id, view::side(side))
            .map_err(|error| fault::peek(error, sockid, side, 0))
    }
}

/// Reads into a client's buffer. All of it before the reply starts, since the reply starts with its length and what is
/// not copied yet may be evicted while a slow client reads.
pub(super) async fn fill(
    buffer: &mut PeekBuffer,
    shared: &Shared,
    wish: Wish<'_>,
) -> Result<Peek, PeekError> {
    let Wish {
        reader,
        id,
        side,
        off,
        len: wanted,
    } = wish;
    let first = buffer.own(wanted.min(OWN));
    let room = first.len();
    let mut peek = reader.peek(id, side, off, first)?;
    if peek.len < room || peek.len == wanted {
        return Ok(peek);
    }
    // There may be more: now `end` tells how much memory that can take.
    let most = peek.end.saturating_sub(off).min(wanted as u64) as usize;
    let buffer = buffer.grow(peek.len, most, &shared.memory);
    if buffer.len() < most {
        shared.metrics.cut_reads.add(1);
    }
    while peek.len < buffer.len() {
        tokio::task::yield_now().await;
        let turn = (buffer.len() - peek.len).min(TURN);
        let rest = &mut buffer[peek.len..peek.len + turn];
        // A hole, or evicted meanwhile: what was read stands.
        let Ok(more) = reader.peek(id, side, off + peek.len as u64, rest) else {
            break;
        };
        peek = Peek {
            len: peek.len + more.len,
            ..more
        };
        if more.len < turn {
            break;
        }
    }
    peek.eof = peek.fin == Some(off + peek.len as u64);
    Ok(peek)
}

fn head(off: u64, peek: &Peek) -> Ppeek {
    Ppeek {
        off,
        len: peek.len as u64,
        base: peek.base,
        next: peek.next,
        end: peek.end,
        fin: peek.fin,
        eof: peek.eof,
        raw: None,
        data: None,
    }
}

fn encode(text: &mut Vec<u8>, bytes: &[u8]) {
    let start = text.len();
    text.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD
        .encode_slice(bytes, &mut text[start..])
        .unwrap_or(0);
    text.truncate(start + written);
}
