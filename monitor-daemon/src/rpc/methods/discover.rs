//! `rpc.discover`.

use std::sync::LazyLock;

use monitor_rpc::OpenRpc;

/// Returns the document, which is created once.
pub(crate) fn document() -> &'static OpenRpc {
    static DOCUMENT: LazyLock<OpenRpc> = LazyLock::new(OpenRpc::document);
    &DOCUMENT
}
