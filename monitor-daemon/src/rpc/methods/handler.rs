//! Interface of a method, between its parameters and the dispatch that the table of methods generates.

use std::io;

use serde_json::value::RawValue;

use crate::rpc::session::Session;

/// Method of the server, implemented by its parameters.
pub(crate) trait Serve: Sized {
    /// Performs a request, and writes its reply.
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()>;

    /// Performs a notification, if the method has an effect. Its errors aren't reported to the client (JSON-RPC 2.0,
    /// section 4.1).
    async fn notify(self, _: &mut Session) {}
}
