//! Requests of the fleet, as endpoints of a NATS micro service.
//!
//! Each method has an endpoint for this host, and some have a second one that every host answers. Requests are answered
//! concurrently, within a limit. A few more wait; beyond them, requests are answered as busy.

use std::sync::Arc;
use std::time::Duration;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Request, Service, ServiceExt as _};
use async_nats::{Client, HeaderMap};
use futures_util::StreamExt as _;
use monitor_client::{Code, ErrorObject, Method, Reason};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::pool::{self, Answer, Pool};
use super::subjects::{self, ALL, CONTROL, HOST, INSTANCE, LEFT_OUT, METHODS, RAW, SCATTERED};

/// Name of the micro service.
const NAME: &str = "monitord";
/// Calls at once. Each holds at most one message of memory, and a connection to the daemon.
const CALLS: usize = 16;
/// Calls of `wait` at once, which take no place of other calls for their time.
const WAITS: usize = 32;
/// Requests at once, with those that wait for their turn.
const REQUESTS: usize = 256;
/// Time that a daemon gets for a reply; `wait` may take 30 s by default.
const TIMEOUT: Duration = Duration::from_secs(40);
/// Bytes of a message that are left for headers.
const HEADERS: usize = 4096;
/// Header of NATS micro services with the number of an error, and the one with its text.
const ERROR_CODE: &str = "Nats-Service-Error-Code";
const ERROR_TEXT: &str = "Nats-Service-Error";

/// State that all requests share.
pub(super) struct Responder {
    client: Client,
    pool: Pool,
    host: String,
    allow: Vec<String>,
    requests: Arc<Semaphore>,
    calls: Semaphore,
    waits: Semaphore,
}

impl Responder {
    pub(super) fn new(client: Client, pool: Pool, host: String, allow: Vec<String>) -> Self {
        Self {
            client,
            pool,
            host,
            allow,
            requests: Arc::new(Semaphore::new(REQUESTS)),
            calls: Semaphore::new(CALLS),
            waits: Semaphore::new(WAITS),
        }
    }

    /// Registers the service; it ends when the returned value is dropped.
    ///
    /// # Errors
    /// The connection was closed.
    pub(super) async fn start(self) -> Result<Service, async_nats::Error> {
        let version = env!("CARGO_PKG_VERSION");
        let metadata = [("host".to_owned(), self.host.clone())].into();
        let service = self.client.service_builder();
        let service = service
            .description("TCP connections of a host, and their bytes")
            .metadata(metadata)
            // Of this host alone: a group of several hosts would share the requests to all of them.
            .queue_group(&self.host)
            .start(NAME, version)
            .await?;
        let responder = Arc::new(self);
        for method in METHODS.into_iter().chain(CONTROL) {
            let mut hosts = vec![responder.host.clone()];
            if SCATTERED.contains(&method) {
                hosts.push(ALL.to_owned());
            }
            for host in hosts {
                let prefix = if host == ALL { "all_" } else { "" };
                let name = format!("{prefix}{}", subjects::token(method.name()));
                let endpoint = service.endpoint_builder().name(name);
                let endpoint = endpoint.add(subjects::rpc(&host, method.name())).await?;
                tokio::spawn(Arc::clone(&responder).serve(endpoint, method));
            }
        }
        Ok(service)
    }

    async fn serve(self: Arc<Self>, mut endpoint: Endpoint, method: Method) {
        while let Some(request) = endpoint.next().await {
            let Ok(place) = Arc::clone(&self.requests).try_acquire_owned() else {
                self.respond(&request, Err(busy())).await;
                continue;
            };
            let responder = Arc::clone(&self);
            tokio::spawn(async move {
                responder.answer(method, &request).await;
                drop(place);
            });
        }
    }

    async fn answer(&self, method: Method, request: &Request) {
        let message = &request.message;
        let header = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get(INSTANCE));
        let instance = header.and_then(|text| u64::from_str_radix(text.as_str(), 16).ok());
        let result = self.call(method, &message.payload, instance).await;
        self.respond(request, result).await;
    }

    async fn respond(&self, request: &Request, result: Result<Answer, ErrorObject>) {
        let (headers, payload) = self.reply(result);
        if let Err(error) = request
            .respond_with_headers(Ok(payload.into()), headers)
            .await
        {
            tracing::debug!(%error, "a reply could not be sent");
        }
    }

    async fn call(
        &self,
        method: Method,
        payload: &[u8],
        instance: Option<u64>,
    ) -> Result<Answer, ErrorObject> {
        if CONTROL.contains(&method) && !self.allow.iter().any(|name| name == method.name()) {
            let text = format!(
                "{} does not allow {}: see [fleet] allow of its relay",
                self.host,
                method.name()
            );
            return Err(pool::error(Code::Perm, Some(Reason::Permission), text));
        }
        let params: Value = pool::params(payload)?;
        let room = self.client.max_payload().saturating_sub(HEADERS);
        let slots = match method {
            Method::Wait => &self.waits,
            _ => &self.calls,
        };
        let answer = async {
            // Never closed.
            let _slot = slots.acquire().await;
            self.pool.call(method, &params, instance, room).await
        };
        timeout(TIMEOUT, answer).await.unwrap_or_else(|_| {
            let text = format!("the daemon did not answer within {TIMEOUT:?}");
            Err(pool::error(Code::Again, Some(Reason::Unanswered), text))
        })
    }

    /// Returns headers and payload of a reply.
    fn reply(&self, result: Result<Answer, ErrorObject>) -> (HeaderMap, Vec<u8>) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, self.host.as_str());
        match result {
            Ok(Answer {
                instance,
                result,
                bytes,
                left_out,
            }) => {
                headers.insert(INSTANCE, format!("{instance:x}"));
                headers.insert(RAW, bytes.len().to_string());
                if left_out > 0 {
                    headers.insert(LEFT_OUT, left_out.to_string());
                }
                (headers, [result, bytes].concat())
            }
            Err(error) => {
                headers.insert(ERROR_CODE, error.code.to_string());
                // A header is one line.
                headers.insert(ERROR_TEXT, error.message.replace(['\r', '\n'], " "));
                (headers, serde_json::to_vec(&error).unwrap_or_default())
            }
        }
    }
}

fn busy() -> ErrorObject {
    let text = format!("{REQUESTS} requests to this host are being answered: ask again later");
    pool::error(Code::Again, Some(Reason::Clients), text)
}
