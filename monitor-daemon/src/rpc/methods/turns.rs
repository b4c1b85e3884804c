//! `turns`.

use std::io;

use monitor_engine::{PeekError, Side, Turns};
use monitor_rpc::ErrorObject;
use monitor_rpc::types::{Offsets, Turn, TurnsParams};
use serde_json::value::RawValue;

use super::handler::Serve;
use crate::rpc::access::limits;
use crate::rpc::protocol::{errors, response};
use crate::rpc::session::Session;
use crate::rpc::view::seconds;

/// Attempts to read turns while marks are evicted, each of many reads.
const ATTEMPTS: u32 = 100;
/// Turns written before the text is sent.
const CHUNK: usize = 256;

impl Serve for TurnsParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        match read(session, &self).await {
            Ok(turns) => reply(session, id, &turns).await,
            Err(error) => {
                session.error(Some(id), &error);
                Ok(())
            }
        }
    }
}

async fn read(session: &Session, params: &TurnsParams) -> Result<Turns, ErrorObject> {
    let limit = limit(params.limit)?;
    let (reader, id) = session.shared.reader(params.sockid, params.worker)?;
    let from = params.from.unwrap_or_default();
    let mut attempts = 0;
    loop {
        match reader.turns(id, [from.client, from.server], limit) {
            // Other clients of this thread get their turn.
            Err(PeekError::Busy) if attempts < ATTEMPTS => {
                attempts += 1;
                tokio::task::yield_now().await;
            }
            result => {
                return result.map_err(|error| errors::peek(error, params.sockid, Side::Client, 0));
            }
        }
    }
}

fn limit(asked: Option<u64>) -> Result<usize, ErrorObject> {
    match asked {
        Some(0) => Err(errors::parameter(
            "limit",
            "parameter `limit` must be 1 or more",
        )),
        Some(asked) => Ok(asked.min(limits::TURNS as u64) as usize),
        None => Ok(limits::TURNS),
    }
}

async fn reply(session: &mut Session, id: &RawValue, turns: &Turns) -> io::Result<()> {
    session.shared.metrics.requests.add(1);
    let text = session.out.open();
    response::start(text, id);
    text.extend_from_slice(b"{\"turns\":[");
    let mut first = true;
    for chunk in turns.turns.chunks(CHUNK) {
        let text = session.out.text();
        for turn in chunk {
            if !first {
                text.push(b',');
            }
            first = false;
            let &monitor_engine::Turn {
                side,
                off,
                len,
                time,
            } = turn;
            let time = seconds(time);
            response::value(
                text,
                &Turn {
                    side,
                    off,
                    len,
                    time,
                },
            );
        }
        session.out.flush_if_full().await?;
    }
    let [client, server] = turns.next;
    let text = session.out.text();
    text.extend_from_slice(b"],\"next\":");
    response::value(text, &Offsets { client, server });
    text.push(b'}');
    response::end(text);
    session.out.close();
    Ok(())
}
