//! `rpc.discover`.

use std::io;
use std::sync::LazyLock;

use monitor_rpc::OpenRpc;
use monitor_rpc::types::DiscoverParams;
use serde_json::value::RawValue;

use super::handler::Serve;
use crate::rpc::session::Session;

impl Serve for DiscoverParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        session.result(id, document());
        Ok(())
    }
}

/// Returns the document, which is created once.
fn document() -> &'static OpenRpc {
    static DOCUMENT: LazyLock<OpenRpc> = LazyLock::new(OpenRpc::document);
    &DOCUMENT
}
