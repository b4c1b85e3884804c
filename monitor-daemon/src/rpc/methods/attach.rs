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
        if let Err(error) = check(session) {
            session.error(Some(id), &error);
            return Ok(());
        }
        let shared = Arc::clone(&session.shared);
        let descriptors = match descriptors(&shared) {
            Ok(descriptors) => descriptors,
            Err(error) => {
                session.error(Some(id), &error);
                return Ok(());
            }
        };
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

/// Checks that the client may attach. What it gets can't be taken back, so each attempt is logged.
fn check(session: &Session) -> Result<(), ErrorObject> {
    let peer = &session.peer;
    let (pid, uid) = (peer.pid, peer.uid);
    if session.out.in_batch() {
        let message = "`attach` cannot be in a batch: descriptors come with a reply's own line";
        return Err(errors::request(message));
    }
    if !session.rights.may_attach(peer) {
        tracing::warn!(pid, uid, "refused to attach: not permitted");
        return Err(errors::no_attaching(peer));
    }
    tracing::info!(pid, uid, "attaches to the store");
    Ok(())
}

/// Returns the descriptor of each worker's store.
fn descriptors(shared: &Shared) -> Result<Vec<BorrowedFd<'_>>, ErrorObject> {
    let readers = shared.status.readers.iter();
    let all: Option<Vec<_>> = readers.map(Reader::descriptor).collect();
    all.ok_or_else(errors::not_shared)
}
