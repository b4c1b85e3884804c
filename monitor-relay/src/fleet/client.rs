//! Client of the fleet, for programs that ask it.
//!
//! ```no_run
//! use monitor_relay::fleet::access::Access;
//! use monitor_relay::fleet::client::Fleet;
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let url = "nats://127.0.0.1:4222".into();
//! let fleet = Fleet::connect(&Access { url, ..Access::default() }).await?;
//! let gathered = fleet.gather("sockets", &json!({ "port": 80 })).await?;
//! for answer in gathered.answers {
//!     if let Ok(result) = answer.result {
//!         println!("{}: {}", answer.host, result["sockets"]);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, Event, HeaderMap, Message, RequestErrorKind, ServerError, StatusCode};
use futures_util::StreamExt as _;
use monitor_client::ErrorObject;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::access::{Access, AccessError};
use super::hosts::{self, Host};
use super::subjects::{self, ALL, HOST, INSTANCE, LEFT_OUT, RAW};

/// Time for the answers of all hosts.
const GATHER: Duration = Duration::from_secs(1);
/// Time for one host's answer; `wait` may take 30 s.
const TIMEOUT: Duration = Duration::from_secs(45);

/// Connection to the fleet.
pub struct Fleet {
    client: Client,
    refusals: Arc<Refusals>,
}

/// Requests that the server refused.
#[derive(Default)]
struct Refusals {
    latest: Mutex<String>,
    added: Notify,
}

/// Answer of a host.
#[derive(Debug)]
pub struct Answer {
    /// Name of the host.
    pub host: String,
    /// Instance of its daemon.
    pub instance: u64,
    /// Result, or the error of the daemon or of its relay.
    pub result: Result<Value, ErrorObject>,
    /// Raw bytes.
    pub bytes: Vec<u8>,
    /// Number of connections that a sorted list lacks, since a message doesn't hold them.
    pub left_out: u64,
}

/// Answers of all hosts.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Answers, by host.
    pub answers: Vec<Answer>,
    /// Hosts with a heartbeat in the last 30 s that didn't answer.
    pub silent: Vec<String>,
    /// Hosts with a reply that violates the protocol: their relays have another version.
    pub invalid: Vec<String>,
}

/// Events of the fleet, at most once.
pub struct Events<'a> {
    fleet: &'a Fleet,
    messages: async_nats::Subscriber,
}

impl Events<'_> {
    /// Waits for the next event; `None` after the connection was closed. A message that isn't an event is skipped.
    ///
    /// # Errors
    /// The server denies the subscription.
    pub async fn next(&mut self) -> Result<Option<Value>, AskError> {
        let fleet = self.fleet;
        let next = async {
            while let Some(message) = self.messages.next().await {
                if let Ok(event) = serde_json::from_slice(&message.payload) {
                    return Ok(Some(event));
                }
            }
            Ok(None)
        };
        fleet.unless_denied(next).await
    }
}

/// Failure of a request.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No connection to the server.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// No relay answers for the host.
    #[error("the host \"{0}\" does not answer: `hosts` lists those that do")]
    Silent(String),
    /// The server's permissions forbid the request.
    #[error("the server refused: {0}")]
    Denied(String),
    /// The connection broke, or JetStream is unavailable.
    #[error("the request failed")]
    Nats(#[source] async_nats::Error),
    /// The reply violates the protocol.
    #[error("invalid reply of \"{0}\": its relay must have the version of this program")]
    Reply(String),
}

impl Fleet {
    /// Connects to the server.
    ///
    /// # Errors
    /// The server is unreachable, or refuses.
    pub async fn connect(access: &Access) -> Result<Self, AskError> {
        let refusals = Arc::new(Refusals::default());
        let heard = Arc::clone(&refusals);
        let on_event = move |event: Event| {
            if let Event::ServerError(ServerError::Other(text)) = event {
                *heard.latest.lock().unwrap_or_else(PoisonError::into_inner) = text;
                heard.added.notify_waiters();
            }
        };
        let client = access.connect("monitorctl", false, on_event).await?;
        Ok(Self { client, refusals })
    }

    /// Returns the underlying connection, for subscriptions.
    #[must_use]
    pub fn nats(&self) -> &Client {
        &self.client
    }

    /// Lists the hosts with a heartbeat in the last 30 s.
    ///
    /// # Errors
    /// The server denies it.
    pub async fn hosts(&self) -> Result<Vec<Host>, AskError> {
        self.unless_denied(async { hosts::list(&self.client).await.map_err(AskError::Nats) })
            .await
    }

    /// Calls a method of one host. `instance` is that of a sockid in `params`.
    ///
    /// # Errors
    /// The host doesn't answer, or the server denies it. Errors of the daemon are in the answer.
    pub async fn call(
        &self,
        host: &str,
        instance: Option<u64>,
        method: &str,
        params: &Value,
    ) -> Result<Answer, AskError> {
        let mut headers = HeaderMap::new();
        if let Some(instance) = instance {
            headers.insert(INSTANCE, format!("{instance:x}"));
        }
        let request = async_nats::Request::new()
            .payload(params.to_string().into())
            .headers(headers)
            .timeout(Some(TIMEOUT));
        let subject = subjects::rpc(host, method);
        let reply = self.unless_denied(async {
            let sent = self.client.send_request(subject, request).await;
            sent.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders | RequestErrorKind::TimedOut => {
                    AskError::Silent(host.to_owned())
                }
                _ => AskError::Nats(error.into()),
            })
        });
        parse(&reply.await?).ok_or_else(|| AskError::Reply(host.to_owned()))
    }

    /// Calls a method of all hosts, and waits until each answered, for at most 1 s.
    ///
    /// # Errors
    /// The server denies it.
    pub async fn gather(&self, method: &str, params: &Value) -> Result<Gathered, AskError> {
        let hosts = self.hosts().await?;
        self.gather_from(&hosts, method, params).await
    }

    /// Calls a method of all hosts, as [`Fleet::gather`] does; `hosts` are those that must answer.
    ///
    /// # Errors
    /// The server denies it.
    pub async fn gather_from(
        &self,
        hosts: &[Host],
        method: &str,
        params: &Value,
    ) -> Result<Gathered, AskError> {
        let mut silent: BTreeSet<String> = hosts.iter().map(|host| host.host.clone()).collect();
        let inbox = self.client.new_inbox();
        let nats = |error: async_nats::Error| AskError::Nats(error);
        let subscribed = self.client.subscribe(inbox.clone()).await;
        let mut replies = subscribed.map_err(|error| nats(error.into()))?;
        let subject = subjects::rpc(ALL, method);
        let sent = self
            .client
            .publish_with_reply(subject, inbox, params.to_string().into());
        sent.await.map_err(|error| nats(error.into()))?;
        let deadline = Instant::now() + GATHER;
        let mut gathered = Gathered::default();
        let collect = async {
            while !silent.is_empty() || gathered.is_empty() {
                let Ok(Some(message)) = timeout_at(deadline, replies.next()).await else {
                    break;
                };
                if message.status == Some(StatusCode::NO_RESPONDERS) {
                    break;
                }
                // Without its name, the host is silent.
                let Some(host) = header(&message, HOST) else {
                    continue;
                };
                silent.remove(&host);
                match parse(&message) {
                    Some(answer) => gathered.answers.push(answer),
                    None => gathered.invalid.push(host),
                }
            }
            Ok(())
        };
        self.unless_denied(collect).await?;
        gathered.answers.sort_by(|a, b| a.host.cmp(&b.host));
        gathered.silent = silent.into_iter().collect();
        Ok(gathered)
    }

    /// Waits for a request, or for the server's refusal: the server replies nothing to a refused request.
    async fn unless_denied<T>(
        &self,
        request: impl Future<Output = Result<T, AskError>>,
    ) -> Result<T, AskError> {
        tokio::select! {
            result = request => result,
            () = self.refusals.added.notified() => {
                // Several requests at once may be refused: each has the text.
                let latest = self.refusals.latest.lock().unwrap_or_else(PoisonError::into_inner);
                Err(AskError::Denied(latest.clone()))
            }
        }
    }

    /// Subscribes to events, by a subject of [`subjects::event`].
    ///
    /// # Errors
    /// The connection broke.
    pub async fn subscribe(&self, subject: String) -> Result<Events<'_>, AskError> {
        let subscribed = self.client.subscribe(subject).await;
        Ok(Events {
            fleet: self,
            messages: subscribed.map_err(|error| AskError::Nats(error.into()))?,
        })
    }

    /// Closes the connection after everything was sent.
    pub async fn close(self) {
        // The program ends in either case.
        let _ = timeout(GATHER, self.client.flush()).await;
    }
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.invalid.is_empty()
    }
}

/// Takes a reply apart: headers, JSON, raw bytes.
fn parse(message: &Message) -> Option<Answer> {
    let host = header(message, HOST)?;
    let Some(instance) = header(message, INSTANCE) else {
        let error: ErrorObject = serde_json::from_slice(&message.payload).ok()?;
        return Some(Answer {
            host,
            instance: 0,
            result: Err(error),
            bytes: Vec::new(),
            left_out: 0,
        });
    };
    let raw: usize = header(message, RAW)?.parse().ok()?;
    let (json, bytes) = message
        .payload
        .split_at_checked(message.payload.len().checked_sub(raw)?)?;
    Some(Answer {
        host,
        instance: u64::from_str_radix(&instance, 16).ok()?,
        result: Ok(serde_json::from_slice(json).ok()?),
        bytes: bytes.to_vec(),
        left_out: match header(message, LEFT_OUT) {
            Some(count) => count.parse().ok()?,
            None => 0,
        },
    })
}

fn header(message: &Message, name: &str) -> Option<String> {
    let value = message.headers.as_ref()?.get(name)?;
    Some(value.as_str().to_owned())
}
