//! Cache of the ends of connections, for printing events.

use std::collections::HashMap;

use monitor_client::{Client, EventBody, Notification};

/// Maximum number of connections in the cache. It is cleared when it is full, and filled again on demand.
const CAPACITY: usize = 10_000;

/// Client and server address by sockid, as text; `None` for a connection that is gone.
#[derive(Debug, Default)]
pub struct EndsCache {
    known: HashMap<u64, Option<(String, String)>>,
}

impl EndsCache {
    /// Returns the ends of an event's connection. Requests them from the daemon if no event carried them.
    pub fn get(&mut self, client: &mut Client, event: &Notification) -> Option<&(String, String)> {
        let sockid = event.sockid?;
        if self.known.len() >= CAPACITY && !self.known.contains_key(&sockid) {
            self.known.clear();
        }
        let entry = self.known.entry(sockid).or_insert_with(|| {
            if let EventBody::Opened { client, server, .. } = event.body {
                return Some((client.to_string(), server.to_string()));
            }
            let socket = client.info(sockid).ok()?;
            Some((socket.client.to_string(), socket.server.to_string()))
        });
        entry.as_ref()
    }
}
