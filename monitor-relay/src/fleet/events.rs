//! Events of the daemon as core messages, at most once.
//!
//! Every message has a sequence number. `lost` is the number of events that are missing before it: those that the daemon
//! dropped, and those that happened while the server was away.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use monitor_client::types::{EventKind, SubscribeParams};
use monitor_client::{AsyncClient, Chain, Error, EventBody, Notification, Reconnect};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::subjects;

/// Pause after the daemon refused, or was gone.
const PAUSE: Duration = Duration::from_secs(1);

/// Publisher of events.
pub(super) struct Events {
    pub(super) client: Client,
    pub(super) socket: PathBuf,
    pub(super) host: String,
    /// Kinds; none: no events are published.
    pub(super) kinds: Vec<EventKind>,
}

/// Numbers of one run of the daemon.
#[derive(Default)]
struct Numbers {
    instance: u64,
    seq: u64,
    lost: u64,
}

impl Events {
    /// Publishes events until the future is dropped.
    pub(super) async fn run(self) {
        if self.kinds.is_empty() {
            return std::future::pending().await;
        }
        let mut numbers = Numbers::default();
        loop {
            if let Err(error) = self.listen(&mut numbers).await {
                tracing::debug!("events: {}", Chain(&error));
            }
            sleep(PAUSE).await;
        }
    }

    async fn listen(&self, numbers: &mut Numbers) -> Result<(), Error> {
        let mut client = AsyncClient::connect_with(&self.socket, Reconnect::NEVER).await?;
        let instance = client
            .hello("monitor-relay")
            .await?
            .instance
            .unwrap_or_default();
        if numbers.instance != instance {
            *numbers = Numbers {
                instance,
                ..Numbers::default()
            };
        }
        let params = SubscribeParams {
            events: Some(self.kinds.clone()),
            ..SubscribeParams::default()
        };
        let mut events = client.subscribe(&params).await?;
        while let Some(notification) = events.next().await {
            self.publish(&notification?, numbers).await;
        }
        Ok(())
    }

    async fn publish(&self, notification: &Notification, numbers: &mut Numbers) {
        if let EventBody::Lost { count, .. } = notification.body {
            numbers.lost += count.unwrap_or(1);
            return;
        }
        numbers.seq += 1;
        // A client that isn't connected would queue, and then stop this task.
        if self.client.connection_state() != State::Connected {
            numbers.lost += 1;
            return;
        }
        let Ok(Value::Object(mut event)) = serde_json::to_value(notification) else {
            return;
        };
        event.remove("listener");
        event.insert("host".to_owned(), json!(self.host));
        event.insert(
            "instance".to_owned(),
            json!(format!("{:x}", numbers.instance)),
        );
        event.insert("seq".to_owned(), json!(numbers.seq));
        event.insert("lost".to_owned(), json!(numbers.lost));
        let subject = subjects::event(&self.host, notification.body.name());
        let payload = Value::Object(event).to_string();
        match self.client.publish(subject, payload.into()).await {
            Ok(()) => numbers.lost = 0,
            Err(_) => numbers.lost += 1,
        }
    }
}
