//! `attach`.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use monitor_engine::Reader;
use monitor_rpc::ErrorObject;
use monitor_rpc::types::{Attach, AttachParams};
use serde_json::value::RawValue;

use super::handler::Serve;
use crate::rpc::protocol::{errors, response};
use crate::rpc::session::Session;
use crate::rpc::shared::Shared;

impl Serve for AttachParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let shared = Arc::clone(&session.shared);
        let descriptors = match check(session).and_then(|()| descriptors(&shared)) {
            Ok(descriptors) => descriptors,
            Err(error) => {
                session.error(Some(id), &error);
                return Ok(());
            }
        };
        // What the client gets can't be taken back.
        let (pid, uid) = (session.peer.pid, session.peer.uid);
        tracing::info!(pid, uid, "attaches to the store");
        shared.metrics.requests.add(1);
        // The descriptors come with the first byte of the reply's own line.
        session.out.flush().await?;
        let result = Attach {
            descriptors: descriptors.len() as u16,
        };
        response::result(session.out.open(), id, &result);
        session.out.close();
        session.out.flush_with_descriptors(&descriptors).await
    }
}

/// Checks that the client may attach.
fn check(session: &Session) -> Result<(), ErrorObject> {
    let peer = &session.peer;
    if session.out.in_batch() {
        let message = "`attach` cannot be in a batch: descriptors come with a reply's own line";
        return Err(errors::request(message));
    }
    if !session.rights.may_attach(peer) {
        let (pid, uid) = (peer.pid, peer.uid);
        tracing::warn!(pid, uid, "refused to attach: not permitted");
        return Err(errors::no_attaching(peer));
    }
    Ok(())
}

/// Returns the descriptor of each worker's store.
fn descriptors(shared: &Shared) -> Result<Vec<BorrowedFd<'_>>, ErrorObject> {
    let readers = shared.status.readers.iter();
    let all: Option<Vec<_>> = readers.map(Reader::descriptor).collect();
    all.ok_or_else(errors::not_shared)
}
