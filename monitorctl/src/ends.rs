//! Whose events they are: the ends of connections that were met.

use std::collections::HashMap;

use monitor_client::Client;
use monitor_client::types::EventParams;

/// Connections remembered at once. When there are more, all are forgotten, and asked for again when they are met.
const MOST: usize = 10_000;

/// Ends by sockid, as text.
#[derive(Debug, Default)]
pub struct Ends {
    known: HashMap<u64, Option<(String, String)>>,
}

impl Ends {
    /// Of the connection that an event is about; asks the daemon when they have not been told. None: it is gone.
    pub fn of(&mut self, client: &mut Client, note: &EventParams) -> Option<&(String, String)> {
        let sockid = note.sockid?;
        if self.known.len() >= MOST && !self.known.contains_key(&sockid) {
            self.known.clear();
        }
        let told = || Some((note.client?.to_string(), note.server?.to_string()));
        let mut asked = || {
            client
                .info(sockid)
                .ok()
                .map(|it| (it.client.to_string(), it.server.to_string()))
        };
        self.known
            .entry(sockid)
            .or_insert_with(|| told().or_else(&mut asked))
            .as_ref()
    }
}
