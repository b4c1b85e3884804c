//! The command `top`: samples of all hosts, in one model.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::time::Instant;

use monitor_client::{Code, Error};
use monitor_relay::fleet::access::Access;
use monitor_relay::fleet::client::{Answer, Fleet};
use monitor_relay::fleet::subjects::ConnectionName;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::failure::Failure;
use crate::show::units::now;
use crate::top::{self, Args, Model, Sample, Sort, Source};

/// Connections of each host in a sample: a message of the server holds about 2000.
const LIMIT: u64 = 1000;

/// Hosts of a fleet, as a source of models.
struct Hosts {
    runtime: Runtime,
    fleet: Fleet,
    filter: Option<String>,
    /// Latest sample of each host and instance.
    before: HashMap<(String, u64), Sample>,
}

/// Samples of the hosts that answered, and the names of the others.
#[derive(Default)]
struct Sampled {
    samples: HashMap<(String, u64), Sample>,
    silent: BTreeSet<String>,
    /// Hosts with an answer that cannot be used: their relays have another version.
    invalid: BTreeSet<String>,
}

pub(super) fn top(
    access: &Access,
    out: impl Write,
    json: bool,
    args: &Args,
) -> Result<(), Failure> {
    top::show(out, json, args, || {
        // The connection is kept alive between two samples.
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let fleet = runtime.block_on(Fleet::connect(access))?;
        Ok(Box::new(Hosts {
            runtime,
            fleet,
            filter: args.filter.clone(),
            before: HashMap::new(),
        }))
    })
}

impl Source for Hosts {
    fn model(&mut self, sort: Sort) -> Result<Model, Failure> {
        let asked = sample(&self.fleet, self.filter.as_ref(), sort);
        let Sampled {
            samples,
            silent,
            invalid,
        } = self.runtime.block_on(asked)?;
        let mut merged = Model::of_fleet();
        let mut before = std::mem::take(&mut self.before);
        let mut hosts: Vec<_> = samples.into_iter().collect();
        hosts.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (key, sample) in hosts {
            let (host, instance) = &key;
            let name = |sockid| {
                let (host, instance) = (host.clone(), *instance);
                let name = ConnectionName {
                    host,
                    instance,
                    sockid,
                };
                name.to_string()
            };
            merged.add(host, Model::new(before.get(&key), &sample), name);
            self.before.insert(key, sample);
        }
        // A host that doesn't answer once is compared with its sample before.
        before.retain(|(host, _), _| silent.contains(host));
        self.before.extend(before);
        merged.silent = silent.into_iter().collect();
        merged.invalid = invalid.into_iter().collect();
        Ok(merged)
    }
}

async fn sample(fleet: &Fleet, filter: Option<&String>, sort: Sort) -> Result<Sampled, Failure> {
    let params = serde_json::to_value(top::params(filter, sort, LIMIT))?;
    let none = json!({});
    let hosts = fleet.hosts().await?;
    let (stats, sockets) = tokio::join!(
        fleet.gather_from(&hosts, "stats", &none),
        fleet.gather_from(&hosts, "sockets", &params)
    );
    let (stats, sockets) = (stats?, sockets?);
    let mut sampled = Sampled::default();
    sampled.silent.extend(stats.silent);
    sampled
        .invalid
        .extend(stats.invalid.into_iter().chain(sockets.invalid));
    for answer in stats.answers {
        sampled.add_stats(answer);
    }
    for answer in sockets.answers {
        sampled.add_sockets(answer)?;
    }
    Ok(sampled)
}

impl Sampled {
    fn add_stats(&mut self, answer: Answer) {
        let Answer {
            host,
            instance,
            result,
            ..
        } = answer;
        let Ok(stats) = result else {
            self.silent.insert(host);
            return;
        };
        let Ok(stats) = serde_json::from_value(stats) else {
            self.invalid.insert(host);
            return;
        };
        let sample = Sample {
            at: Some(Instant::now()),
            time: now(),
            stats,
            // Until the connections are there. Without them, those of the next sample are not new.
            is_cut: true,
            ..Sample::default()
        };
        self.samples.insert((host, instance), sample);
    }

    /// Adds connections to the sample of a host. Without them, its counters are shown alone.
    ///
    /// # Errors
    /// The filter is wrong, for all hosts.
    fn add_sockets(&mut self, answer: Answer) -> Result<(), Failure> {
        let Answer {
            host,
            instance,
            result,
            left_out,
            ..
        } = answer;
        let mut page = match result {
            Ok(page) => page,
            Err(error) if error.known_code() == Some(Code::Params) => {
                return Err(Failure::Client(Error::Rpc(error)));
            }
            Err(_) => return Ok(()),
        };
        let key = (host, instance);
        let Some(sample) = self.samples.get_mut(&key) else {
            return Ok(());
        };
        match serde_json::from_value::<Vec<_>>(page["sockets"].take()) {
            Ok(sockets) => {
                sample.is_cut = left_out > 0 || sockets.len() as u64 == LIMIT;
                sample.sockets = sockets;
            }
            Err(_) => {
                self.invalid.insert(key.0);
            }
        }
        Ok(())
    }
}
