//! Heartbeats of hosts in a key-value bucket, and the claim to a host's name.
//!
//! The bucket drops an entry 30 s after its last update. A relay creates the entry of its name, and updates it only on top of
//! its own last update: two relays with one name are noticed by the second.

use std::net::IpAddr;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::kv::{CreateErrorKind, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use super::subjects::BUCKET;

/// Age at which the bucket drops an entry.
const MAX_AGE: Duration = Duration::from_secs(30);
/// Time between two heartbeats: two may be lost.
pub(super) const PERIOD: Duration = Duration::from_secs(10);

/// Heartbeat of a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Name.
    pub host: String,
    /// Instance of the daemon in hexadecimal digits; `None` while it is down.
    pub instance: Option<String>,
    /// Name and version of the daemon.
    pub server: String,
    /// Mode of the capture.
    pub mode: String,
    /// Interfaces that are captured.
    pub interfaces: Vec<String>,
    /// Number of worker threads.
    pub workers: u16,
    /// Addresses of the host, without loopback and link-local ones.
    pub addresses: Vec<IpAddr>,
    /// Random name of the relay's spool.
    pub relay: String,
}

/// Failure to update an entry.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another relay has the name.
    #[error(
        "another relay is named \"{0}\": give this one another name in [fleet] host; the name of a relay that has died is \
         free after 30 s"
    )]
    Taken(String),
    /// The server didn't store the entry.
    #[error("cannot write the heartbeat of \"{0}\"")]
    Store(String, #[source] async_nats::Error),
}

/// Returns the bucket, which is created if it doesn't exist.
///
/// # Errors
/// The server has no JetStream, or denies access.
pub(super) async fn bucket(context: &Context) -> Result<Store, async_nats::Error> {
    if let Ok(store) = context.get_key_value(BUCKET).await {
        return Ok(store);
    }
    // The stream below the bucket: `create_key_value` needs access to the whole account, and a newer server.
    let config = Config {
        name: format!("KV_{BUCKET}"),
        subjects: vec![format!("$KV.{BUCKET}.>")],
        description: Some("heartbeats of monitored hosts".to_owned()),
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_messages_per_subject: 1,
        max_age: MAX_AGE,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        ..Config::default()
    };
    context.create_stream(config).await?;
    Ok(context.get_key_value(BUCKET).await?)
}

/// Writes an entry. `revision` is that of the last update; 0 before the first. Returns the new one.
///
/// # Errors
/// [`ClaimError::Taken`] if another relay wrote the entry.
pub(super) async fn claim(store: &Store, host: &Host, revision: u64) -> Result<u64, ClaimError> {
    let failed = |error: async_nats::Error| ClaimError::Store(host.host.clone(), error);
    let value = serde_json::to_vec(host).map_err(|error| failed(error.into()))?;
    if revision > 0 {
        match store
            .update(&host.host, value.clone().into(), revision)
            .await
        {
            Ok(revision) => return Ok(revision),
            // It was dropped while the server was away, or another relay has written it.
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
            Err(error) => return Err(failed(error.into())),
        }
    }
    match store.create(&host.host, value.clone().into()).await {
        Ok(revision) => return Ok(revision),
        Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error.into())),
    }
    let entry = store
        .entry(&host.host)
        .await
        .map_err(|error| failed(error.into()))?;
    let entry = entry.filter(|entry| entry.operation == Operation::Put);
    let owner = entry
        .as_ref()
        .and_then(|entry| serde_json::from_slice::<Host>(&entry.value).ok());
    match (entry, owner) {
        // This relay before it was killed.
        (Some(entry), Some(owner)) if owner.relay == host.relay => {
            let updated = store.update(&host.host, value.into(), entry.revision).await;
            updated.map_err(|error| failed(error.into()))
        }
        _ => Err(ClaimError::Taken(host.host.clone())),
    }
}

/// Returns the hosts with a heartbeat in the last 30 s, by name.
///
/// # Errors
/// The server has no JetStream, or denies access.
pub async fn list(client: &Client) -> Result<Vec<Host>, async_nats::Error> {
    let context = jetstream::new(client.clone());
    let store = context.get_key_value(BUCKET).await?;
    let keys: Vec<String> = store.keys().await?.try_collect().await?;
    let mut hosts = Vec::new();
    for key in keys {
        // It may have been dropped in between.
        if let Some(value) = store.get(&key).await? {
            // A relay of another version is named all the same.
            let unknown = || Host {
                host: key.clone(),
                ..Host::default()
            };
            hosts.push(serde_json::from_slice(&value).unwrap_or_else(|_| unknown()));
        }
    }
    hosts.sort_by(|a, b| a.host.cmp(&b.host));
    Ok(hosts)
}

/// Returns the addresses of this host.
pub(super) fn addresses() -> Vec<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs();
    let addresses = interfaces.into_iter().flatten().filter_map(|interface| {
        let address = interface.address?;
        let v4 = address
            .as_sockaddr_in()
            .map(|address| IpAddr::from(address.ip()));
        v4.or_else(|| {
            address
                .as_sockaddr_in6()
                .map(|address| IpAddr::from(address.ip()))
        })
    });
    let mut addresses: Vec<_> = addresses.filter(is_global).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn is_global(address: &IpAddr) -> bool {
    !match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local(),
    }
}
