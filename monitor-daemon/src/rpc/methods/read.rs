//! `ppeek`, `fragments`.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_engine::{Extents, Peek, PeekError, Reader, Side, SockId};
use monitor_rpc::types::{Encoding, FragmentsParams, Ppeek, PpeekParams};
use monitor_rpc::{ErrorObject, MAX_LEN};
use serde::Serialize;
use serde_json::value::RawValue;

use super::handler::Serve;
use crate::rpc::access::account::Purpose;
use crate::rpc::access::memory::{OWN, PeekBuffer};
use crate::rpc::protocol::errors;
use crate::rpc::protocol::response;
use crate::rpc::session::Session;
use crate::rpc::shared::Shared;

/// Bytes copied before other clients of this thread get their turn: about ten microseconds.
const TURN: usize = 256 * 1024;
/// Bytes encoded before the text is sent. A multiple of 3, so that only the last chunk is padded.
const CHUNK: usize = 48 * 1024;
/// Extents written before the text is sent.
const EXTENTS: usize = 2048;

/// Range to read.
struct ReadRequest<'a> {
    reader: &'a Reader,
    id: SockId,
    side: Side,
    off: u64,
    /// Maximum number of bytes.
    len: usize,
}

impl Serve for PpeekParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        ppeek(session, id, &self).await
    }
}

impl Serve for FragmentsParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        fragments(session, id, &self).await
    }
}

async fn ppeek(session: &mut Session, id: &RawValue, params: &PpeekParams) -> io::Result<()> {
    let read = match check_encoding(session, params.encoding) {
        Ok(()) => read(session, params).await,
        Err(error) => Err(error),
    };
    match read {
        Ok(read) => {
            let head = |raw| Ppeek {
                raw,
                ..Ppeek::of(params.off, &read)
            };
            reply_bytes(session, id, params.encoding, read.len, head).await
        }
        Err(error) => {
            session.error(Some(id), &error);
            Ok(())
        }
    }
}

async fn read(session: &mut Session, params: &PpeekParams) -> Result<Peek, ErrorObject> {
    let (reader, id) = session.shared.reader(params.sockid, params.worker)?;
    let len = params.len.min(MAX_LEN) as usize;
    let request = ReadRequest {
        reader,
        id,
        side: params.side,
        off: params.off,
        len,
    };
    let read = fill(&mut session.peeks, &session.shared, request).await;
    read.map_err(|error| errors::peek(error, params.sockid, params.side, params.off))
}

fn check_encoding(session: &Session, encoding: Encoding) -> Result<(), ErrorObject> {
    if encoding == Encoding::Raw && session.out.in_batch() {
        let message = "parameter `encoding` cannot be \"raw\" within a batch: raw bytes follow a reply's own line";
        return Err(errors::parameter("encoding", message));
    }
    Ok(())
}

/// Replies with the first `len` bytes of the client's buffer. `head` is the rest of the result, made from the
/// number of raw bytes that follow the line, if any.
async fn reply_bytes<H: Serialize>(
    session: &mut Session,
    id: &RawValue,
    encoding: Encoding,
    len: usize,
    head: impl FnOnce(Option<u64>) -> H,
) -> io::Result<()> {
    session.shared.metrics.requests.add(1);
    session.shared.metrics.peeked_bytes.add(len as u64);
    match encoding {
        Encoding::Raw => reply_raw(session, id, len, &head(Some(len as u64))).await,
        Encoding::Base64 => reply_base64(session, id, len, &head(None)).await,
    }
}

async fn reply_raw(
    session: &mut Session,
    id: &RawValue,
    len: usize,
    head: &impl Serialize,
) -> io::Result<()> {
    response::result(session.out.open(), id, head);
    session.out.close();
    let bytes = session.peeks.filled(len);
    if bytes.len() <= CHUNK {
        session.out.text().extend_from_slice(bytes);
        Ok(())
    } else {
        session.out.flush_with(bytes).await
    }
}

async fn reply_base64(
    session: &mut Session,
    id: &RawValue,
    len: usize,
    head: &impl Serialize,
) -> io::Result<()> {
    let text = session.out.open();
    response::start(text, id);
    response::value(text, head);
    // In place of the object's closing brace.
    text.pop();
    text.extend_from_slice(b",\"data\":\"");
    for piece in session.peeks.filled(len).chunks(CHUNK) {
        encode(session.out.text(), piece);
        session.out.flush_if_full().await?;
    }
    let text = session.out.text();
    text.extend_from_slice(b"\"}");
    response::end(text);
    session.out.close();
    Ok(())
}

async fn fragments(
    session: &mut Session,
    id: &RawValue,
    params: &FragmentsParams,
) -> io::Result<()> {
    let extents = match extents(session, params) {
        Ok(extents) => extents,
        Err(error) => {
            session.error(Some(id), &error);
            return Ok(());
        }
    };
    // The list is held until a slow client has read it, so it is leased as other large replies are.
    let size = size_of_val(extents.runs.as_slice());
    let lease = if size > OWN {
        session.account().lease(Purpose::Reply, size)
    } else {
        None
    };
    if size > OWN && lease.is_none() {
        session.error(Some(id), &errors::no_memory());
        return Ok(());
    }
    session.shared.metrics.requests.add(1);
    let text = session.out.open();
    response::start(text, id);
    text.extend_from_slice(b"{\"extents\":[");
    let mut first = true;
    for runs in extents.runs.chunks(EXTENTS) {
        let text = session.out.text();
        for run in runs {
            if !first {
                text.push(b',');
            }
            first = false;
            response::value(text, run);
        }
        session.out.flush_if_full().await?;
    }
    let text = session.out.text();
    let Extents {
        base, next, end, ..
    } = extents;
    text.extend_from_slice(format!("],\"base\":{base},\"next\":{next},\"end\":{end}}}").as_bytes());
    response::end(text);
    session.out.close();
    Ok(())
}

fn extents(session: &Session, params: &FragmentsParams) -> Result<Extents, ErrorObject> {
    let &FragmentsParams {
        sockid,
        side,
        worker,
    } = params;
    let (reader, id) = session.shared.reader(sockid, worker)?;
    reader
        .extents(id, side)
        .map_err(|error| errors::peek(error, sockid, side, 0))
}

/// Reads into the client's buffer. Everything is copied before the reply starts: the reply starts with its length,
/// and bytes that aren't copied yet may be evicted while a slow client reads.
async fn fill(
    buffer: &mut PeekBuffer,
    shared: &Shared,
    request: ReadRequest<'_>,
) -> Result<Peek, PeekError> {
    let ReadRequest {
        reader,
        id,
        side,
        off,
        len: wanted,
    } = request;
    let first = buffer.own(wanted.min(OWN));
    let room = first.len();
    let mut peek = loop {
        match reader.peek(id, side, off, first) {
            // Other clients of this thread get their turn.
            Err(PeekError::Busy) => tokio::task::yield_now().await,
            result => break result?,
        }
    };
    if peek.len < room || peek.len == wanted {
        return Ok(peek);
    }
    // There may be more: `end` bounds the memory for it.
    let most = peek.end.saturating_sub(off).min(wanted as u64) as usize;
    let buffer = buffer.grow(peek.len, most);
    if buffer.len() < most {
        shared.metrics.cut_reads.add(1);
    }
    while peek.len < buffer.len() {
        tokio::task::yield_now().await;
        let turn = (buffer.len() - peek.len).min(TURN);
        let rest = &mut buffer[peek.len..peek.len + turn];
        // A hole, or evicted in between: the bytes before it are the reply.
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

fn encode(text: &mut Vec<u8>, bytes: &[u8]) {
    let start = text.len();
    text.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD
        .encode_slice(bytes, &mut text[start..])
        .unwrap_or(0);
    text.truncate(start + written);
}
