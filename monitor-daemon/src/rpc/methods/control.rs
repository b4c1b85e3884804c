//! `stop`, `configure`.

use std::io;
use std::sync::Arc;

use monitor_engine::{Connection, ControlError, Rule, Side, SideSettings};
use monitor_rpc::ErrorObject;
use monitor_rpc::types::{ConfigureParams, Configured, Socket, StopParams};
use serde_json::value::RawValue;

use super::handler::Serve;
use crate::config::LEAST_WINDOW;
use crate::control::{Answer, Command};
use crate::filter::Filter;
use crate::rpc::access::limits;
use crate::rpc::protocol::errors;
use crate::rpc::session::Session;
use crate::rpc::shared::{ConnectionRules, Shared};
use crate::rpc::view;

/// Subject of `configure`.
enum Target<'a> {
    Connection(u64),
    Opening(&'a str),
    Removed(u64),
}

impl Serve for StopParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let result = stop(&session.shared, &self).await;
        session.reply(id, result);
        Ok(())
    }

    async fn notify(self, session: &mut Session) {
        drop(stop(&session.shared, &self).await);
    }
}

impl Serve for ConfigureParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let result = configure(&session.shared, &self).await;
        session.reply(id, result);
        Ok(())
    }

    async fn notify(self, session: &mut Session) {
        drop(configure(&session.shared, &self).await);
    }
}

async fn stop(shared: &Shared, params: &StopParams) -> Result<Socket, ErrorObject> {
    let &StopParams {
        sockid,
        side,
        worker,
    } = params;
    let (_, id) = shared.reader(sockid, worker)?;
    let stopped = ask(shared, id.worker(), |answer| Command::StopConnection {
        id,
        side,
        answer,
    })
    .await?;
    socket(shared, stopped, sockid)
}

async fn configure(shared: &Shared, params: &ConfigureParams) -> Result<Configured, ErrorObject> {
    match target(params)? {
        Target::Connection(sockid) => {
            let (_, id) = shared.reader(sockid, params.worker)?;
            let settings = settings(params, budget(shared, id.worker()))?;
            let configured = ask(shared, id.worker(), |answer| Command::Configure {
                id,
                settings,
                answer,
            })
            .await?;
            socket(shared, configured, sockid).map(|socket| Configured {
                socket: Some(socket),
                rule: None,
            })
        }
        Target::Opening(filter) => {
            let least = (0..shared.status.command_queues.workers())
                .map(|worker| budget(shared, worker))
                .min();
            let sides = settings(params, least.unwrap_or(0))?;
            let filter =
                Filter::compile(filter).map_err(|error| errors::filter("filter", &error))?;
            let applies = Arc::new(move |opened: &Connection| filter.matches(opened));
            let rule = add_rule(shared, Rule { applies, sides }).await?;
            Ok(Configured {
                rule: Some(rule),
                socket: None,
            })
        }
        Target::Removed(rule) => remove_rule(shared, rule)
            .await
            .map(|()| Configured::default()),
    }
}

fn socket(
    shared: &Shared,
    answer: Result<Connection, ControlError>,
    sockid: u64,
) -> Result<Socket, ErrorObject> {
    answer
        .map(|connection| view::socket_with_tls(&shared.status.readers, &connection))
        .map_err(|error| errors::control(error, sockid))
}

/// Returns the subject, after a check that the parameters go together.
fn target(params: &ConfigureParams) -> Result<Target<'_>, ErrorObject> {
    let wrong =
        |name: &str, why: &str| Err(errors::parameter(name, format!("parameter `{name}` {why}")));
    let sets = params.side.is_some()
        || params.window.is_some()
        || params.enabled.is_some()
        || params.overlap.is_some();
    match (params.sockid, &params.filter, params.rule) {
        (Some(_), Some(_), _) => wrong(
            "filter",
            "is for future connections, `sockid` for an existing one: give one of them",
        ),
        (Some(_), None, Some(_)) | (None, Some(_), Some(_)) => {
            wrong("rule", "names a rule to remove and cannot be combined")
        }
        (None, None, Some(_)) if sets => {
            wrong("rule", "cannot be changed: remove it and make another")
        }
        (None, None, Some(_)) if !params.remove => {
            wrong("remove", "must be true: a rule can only be removed")
        }
        (None, None, Some(rule)) => Ok(Target::Removed(rule)),
        _ if params.remove => wrong("remove", "needs `rule`"),
        (None, Some(_), None) if params.worker.is_some() => wrong("worker", "is for a `sockid`"),
        (Some(sockid), None, None) => Ok(Target::Connection(sockid)),
        (None, Some(filter), None) => Ok(Target::Opening(filter)),
        (None, None, None) => {
            let message =
                "give `sockid` for an existing connection, or `filter` for future connections";
            Err(errors::parameters(message))
        }
    }
}

/// Returns the settings of each side. `budget`: size of the whole store in bytes.
fn settings(params: &ConfigureParams, budget: u64) -> Result<[SideSettings; 2], ErrorObject> {
    if let Some(window) = params.window
        && !(LEAST_WINDOW..=budget).contains(&window)
    {
        let message = format!(
            "parameter `window` must be from {LEAST_WINDOW} to {budget}, a worker's share of [store] memory, not {window}"
        );
        return Err(errors::parameter("window", message));
    }
    if params.enabled == Some(true) {
        let message = "parameter `enabled` can only be false: bytes that were not kept cannot be read later, and a side starts enabled";
        return Err(errors::parameter("enabled", message));
    }
    let wanted = SideSettings {
        window: params.window,
        overlap: params.overlap,
        disable: params.enabled == Some(false),
    };
    if wanted == SideSettings::default() {
        return Err(errors::parameters(
            "there is nothing to set: give `window`, `enabled` or `overlap`",
        ));
    }
    let only = params.side;
    Ok(Side::BOTH.map(|side| {
        if only.is_none_or(|only| only == side) {
            wanted
        } else {
            Default::default()
        }
    }))
}

async fn ask<T>(
    shared: &Shared,
    worker: u16,
    command: impl FnOnce(Answer<T>) -> Command,
) -> Result<T, ErrorObject> {
    let answer = shared.status.command_queues.ask(worker, command).await;
    answer.map_err(errors::unanswered)
}

/// Returns the size of one worker's store in bytes.
fn budget(shared: &Shared, worker: u16) -> u64 {
    let counters = shared.status.engines.get(usize::from(worker));
    counters.map_or(0, |counters| counters.budget.get())
}

/// Adds a rule and returns its name. On return every worker has it, or none.
async fn add_rule(shared: &Shared, rule: Rule) -> Result<u64, ErrorObject> {
    let mut current = shared.rules.lock().await;
    if current.rules.len() >= limits::RULES {
        return Err(errors::too_many_rules(limits::RULES));
    }
    let name = current.made;
    let mut rules = current.rules.clone();
    rules.push((name, rule));
    set_rules(shared, &rules, &current.rules).await?;
    *current = ConnectionRules {
        made: name + 1,
        rules,
    };
    Ok(name)
}

async fn remove_rule(shared: &Shared, name: u64) -> Result<(), ErrorObject> {
    let mut current = shared.rules.lock().await;
    let mut rules = current.rules.clone();
    rules.retain(|(own, _)| *own != name);
    if rules.len() == current.rules.len() {
        let message = format!("parameter `rule` is {name}, and no rule has that name (now)");
        return Err(errors::parameter("rule", message));
    }
    set_rules(shared, &rules, &current.rules).await?;
    current.rules = rules;
    Ok(())
}

/// Sends the rules to every worker. If one fails, those that have them get the rules of before.
async fn set_rules(
    shared: &Shared,
    rules: &[(u64, Rule)],
    before: &[(u64, Rule)],
) -> Result<(), ErrorObject> {
    for worker in 0..shared.status.command_queues.workers() {
        let Err(error) = set_rules_of(shared, worker, rules).await else {
            continue;
        };
        for worker in 0..=worker {
            if let Err(error) = set_rules_of(shared, worker, before).await {
                tracing::error!(worker, %error, "a worker may apply rules that were refused");
            }
        }
        return Err(error);
    }
    Ok(())
}

async fn set_rules_of(
    shared: &Shared,
    worker: u16,
    rules: &[(u64, Rule)],
) -> Result<(), ErrorObject> {
    let rules = rules.iter().map(|(_, rule)| rule.clone()).collect();
    ask(shared, worker, |answer| Command::SetRules { rules, answer }).await
}
