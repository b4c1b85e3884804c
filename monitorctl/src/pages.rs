//! Lists of connections, page by page.

use monitor_client::Client;
use monitor_client::types::{Socket, SocketsParams};

use crate::failure::Failure;

/// Connections per page: enough to amortize the round trip, few enough for prompt output.
const PAGE: u64 = 1000;

/// Requests pages until `limit` connections were listed or there are no more. Returns `next` of the last page.
pub fn pages(
    client: &mut Client,
    mut params: SocketsParams,
    limit: u64,
    mut on_page: impl FnMut(&mut Vec<Socket>) -> Result<(), Failure>,
) -> Result<Option<u64>, Failure> {
    let mut left = limit;
    if params.sort.is_some() {
        // A sorted list has one page only.
        params.limit = (limit < u64::MAX).then_some(limit);
        on_page(&mut client.sockets(&params)?.sockets)?;
        return Ok(None);
    }
    loop {
        params.limit = Some(left.min(PAGE));
        let mut page = client.sockets(&params)?;
        left -= (page.sockets.len() as u64).min(left);
        on_page(&mut page.sockets)?;
        if page.next.is_none() || left == 0 {
            return Ok(page.next);
        }
        params.after = page.next;
    }
}

/// Returns all connections that match.
pub fn all(client: &mut Client, params: SocketsParams) -> Result<Vec<Socket>, Failure> {
    let mut sockets = Vec::new();
    pages(client, params, u64::MAX, |page| {
        sockets.append(page);
        Ok(())
    })?;
    Ok(sockets)
}
