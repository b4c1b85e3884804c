//! Records from the spool to the stream, at least once.
//!
//! A batch is sent, and acknowledged by the server as a whole, before its lines leave the spool. Each record has a message id, by
//! which the server removes duplicates.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use monitor_client::Chain;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::journal::Journal;
use super::subjects::{self, PREFIX, STREAM};
use crate::status::Status;

/// Records in flight.
const BATCH: usize = 500;
/// Time for the acknowledgment of a batch.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a batch failed, and between looks at a connection that is down.
const PAUSE: Duration = Duration::from_millis(250);
/// Time between looks at the connection and the spool while there is nothing to send.
const LOOK: Duration = Duration::from_secs(1);
/// Time for which the stream keeps records.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Time within which the server recognizes a record that is sent again: longer than a relay's restart.
const DUPLICATES: Duration = Duration::from_secs(600);

/// Sender of the records in a journal.
pub(super) struct Publisher {
    journal: Arc<Journal>,
    client: Client,
    context: Context,
    subject: String,
    status: Arc<Status>,
}

impl Publisher {
    pub(super) fn new(
        journal: Arc<Journal>,
        client: Client,
        host: &str,
        status: Arc<Status>,
    ) -> Self {
        Self {
            journal,
            context: jetstream::new(client.clone()),
            client,
            subject: subjects::flow(host),
            status,
        }
    }

    /// Sends records until the future is dropped.
    pub(super) async fn run(self) {
        // Without it, the first records would fail. An error is reported with them.
        let _ = self.create_stream().await;
        let mut failed = false;
        loop {
            let result = self.step().await;
            if let Err(error) = &result
                && !failed
            {
                tracing::warn!("records wait: {}", Chain(error.as_ref()));
            }
            failed = result.is_err();
            let connected = self.client.connection_state() == State::Connected;
            self.status.connected.store(connected, Relaxed);
            match result {
                Ok(true) => {}
                Ok(false) => drop(timeout(LOOK, self.journal.appended.notified()).await),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Sends a batch; returns false if there was none.
    async fn step(&self) -> Result<bool, async_nats::Error> {
        let (lines, end) = self.journal.pending(BATCH)?;
        if lines.is_empty() {
            return Ok(false);
        }
        let count = lines.len() as u64;
        if self.client.connection_state() != State::Connected {
            return Err("the server is away".into());
        }
        match timeout(TIMEOUT, self.send(lines)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.create_stream().await?;
                return Err(error);
            }
            Err(_) => return Err("the server acknowledged no records in time".into()),
        }
        self.journal.acknowledge(end)?;
        self.status.sent.fetch_add(count, Relaxed);
        Ok(true)
    }

    async fn send(&self, lines: Vec<Vec<u8>>) -> Result<(), async_nats::Error> {
        let mut acknowledgments = Vec::with_capacity(lines.len());
        for line in lines {
            let Some(id) = message_id(&line) else {
                // A line of another version; it can't be identified.
                continue;
            };
            let message = PublishMessage::build().payload(line.into()).message_id(id);
            let sent = self.context.send_publish(self.subject.clone(), message);
            acknowledgments.push(sent.await?);
        }
        for acknowledgment in acknowledgments {
            acknowledgment.await?;
        }
        Ok(())
    }

    /// Creates the stream unless it exists. Its settings are then the administrator's.
    async fn create_stream(&self) -> Result<(), async_nats::Error> {
        let config = Config {
            name: STREAM.to_owned(),
            subjects: vec![format!("{PREFIX}.*.flow")],
            description: Some("records of connections".to_owned()),
            storage: StorageType::File,
            discard: DiscardPolicy::Old,
            max_age: MAX_AGE,
            duplicate_window: DUPLICATES,
            ..Config::default()
        };
        self.context.get_or_create_stream(config).await?;
        Ok(())
    }
}

/// Returns `INSTANCE:SOCKID:PART` of a record, or `INSTANCE:lost:TIME` of a mark.
fn message_id(line: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let instance = value["instance"].as_u64()?;
    Some(match (value["sockid"].as_u64(), value["part"].as_u64()) {
        (Some(sockid), Some(part)) => format!("{instance:x}:{sockid}:{part}"),
        _ => format!("{instance:x}:lost:{}", value["time"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_same_id_whenever_it_is_sent() {
        let id = |line: &str| message_id(line.as_bytes());
        let record = r#"{"v":1,"host":"h","instance":255,"sockid":7,"part":0}"#;
        assert_eq!(id(record).unwrap(), "ff:7:0");
        let mark = r#"{"v":1,"host":"h","instance":255,"time":1.5,"lost":3,"reason":"events"}"#;
        assert_eq!(id(mark).unwrap(), "ff:lost:1.5");
        assert_eq!(id("{}"), None);
    }
}
