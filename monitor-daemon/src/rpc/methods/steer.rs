//! `stop`, `configure`.

use std::sync::Arc;

use monitor_engine::{Connection, ControlError, Rule, Side, SideSettings};
use monitor_rpc::ErrorObject;
use monitor_rpc::types::{ConfigureParams, Configured, Socket, StopParams};

use super::super::serve::Shared;
use super::super::{fault, view};
use crate::config::LEAST_WINDOW;
use crate::control::{Answer, Command};
use crate::filter::Filter;

/// Most rules at once: each is asked for every connection that opens.
pub(super) const MOST_RULES: usize = 64;

/// What connections to come start with, as clients said it.
#[derive(Debug, Default)]
pub(in crate::rpc) struct RuleBook {
    /// How many were ever made: the next one's name.
    made: u64,
    /// In the order in which they are asked.
    rules: Vec<(u64, Rule)>,
}

/// What is to be configured.
enum Target<'a> {
    Connection(u64),
    Opening(&'a str),
    Removed(u64),
}

pub(super) async fn stop(shared: &Shared, params: &StopParams) -> Result<Socket, ErrorObject> {
    let &StopParams {
        sockid,
        side,
        worker,
    } = params;
    let (_, id) = shared.reader(sockid, worker)?;
    let side = side.map(view::side);
    let stopped = shared
        .ask(id.worker(), |answer| Command::StopConnection {
            id,
            side,
            answer,
        })
        .await?;
    told(stopped, sockid)
}

pub(super) async fn configure(
    shared: &Shared,
    params: &ConfigureParams,
) -> Result<Configured, ErrorObject> {
    match target(params)? {
        Target::Connection(sockid) => {
            let (_, id) = shared.reader(sockid, params.worker)?;
            let settings = settings(params, shared.budget(id.worker()))?;
            let configured = shared
                .ask(id.worker(), |answer| Command::Configure {
                    id,
                    settings,
                    answer,
                })
                .await?;
            told(configured, sockid).map(|socket| Configured {
                socket: Some(socket),
                rule: None,
            })
        }
        Target::Opening(filter) => {
            let least = (0..shared.status.mailboxes.workers())
                .map(|worker| shared.budget(worker))
                .min();
            let sides = settings(params, least.unwrap_or(0))?;
            let filter =
                Filter::compile(filter).map_err(|error| fault::filter("filter", &error))?;
            let applies = Arc::new(move |opened: &Connection| filter.matches(opened));
            let rule = shared.add_rule(Rule { applies, sides }).await?;
            Ok(Configured {
                rule: Some(rule),
                socket: None,
            })
        }
        Target::Removed(rule) => shared
            .remove_rule(rule)
            .await
            .map(|()| Configured::default()),
    }
}

fn told(answer: Result<Connection, ControlError>, sockid: u64) -> Result<Socket, ErrorObject> {
    answer
        .map(|connection| view::socket(&connection))
        .map_err(|error| fault::steer(error, sockid))
}

/// Which of the three that `configure` can do is meant.
fn target(params: &ConfigureParams) -> Result<Target<'_>, ErrorObject> {
    let wrong =
        |name: &str, why: &str| Err(fault::parameter(name, format!("parameter `{name}` {why}")));
    let sets = params.side.is_some()
        || params.window.is_some()
        || params.enabled.is_some()
        || params.overlap.is_some();
    match (params.sockid, &params.filter, params.rule) {
        (Some(_), Some(_), _) => wrong(
            "filter",
            "is for connections to come, `sockid` for one that is there: give one of them",
        ),
        (Some(_), None, Some(_)) | (None, Some(_), Some(_)) => {
            wrong("rule", "names a rule to be removed and stands alone")
        }
        (None, None, Some(_)) if sets => {
            wrong("rule", "cannot be changed: remove it and make another")
        }
        (None, None, Some(_)) if !params.remove => {
            wrong("remove", "must be true: a rule can only be removed")
        }
        (None, None, Some(rule)) => Ok(Target::Removed(rule)),
        _ if params.remove => wrong("remove", "is for a `rule`, which it does not name"),
        (None, Some(_), None) if params.worker.is_some() => wrong("worker", "is for a `sockid`"),
        (Some(sockid), None, None) => Ok(Target::Connection(sockid)),
        (None, Some(filter), None) => Ok(Target::Opening(filter)),
        (None, None, None) => {
            let message =
                "give `sockid` for a connection that is there, or `filter` for connections to come";
            Err(fault::parameters(message))
        }
    }
}

/// What is to be set, for each side. `budget`: what the whole store holds.
fn settings(params: &ConfigureParams, budget: u64) -> Result<[SideSettings; 2], ErrorObject> {
    if let Some(window) = params.window
        && !(LEAST_WINDOW..=budget).contains(&window)
    {
        let message = format!(
            "parameter `window` must be from {LEAST_WINDOW} to {budget}, a worker's share of [store] memory, not {window}"
        );
        return Err(fault::parameter("window", message));
    }
    if params.enabled == Some(true) {
        let message = "parameter `enabled` can only be false: what was not kept cannot be had back, and a side starts with it";
        return Err(fault::parameter("enabled", message));
    }
    let wanted = SideSettings {
        window: params.window,
        overlap: params.overlap.map(view::policy),
        disable: params.enabled == Some(false),
    };
    if wanted == SideSettings::default() {
        return Err(fault::parameters(
            "there is nothing to set: give `window`, `enabled` or `overlap`",
        ));
    }
    let only = params.side.map(view::side);
    Ok(Side::BOTH.map(|side| {
        if only.is_none_or(|only| only == side) {
            wanted
        } else {
            Default::default()
        }
    }))
}

impl Shared {
    async fn ask<T>(
        &self,
        worker: u16,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<T, ErrorObject> {
        self.status
            .mailboxes
            .ask(worker, command)
            .await
            .map_err(fault::unanswered)
    }

    /// The store of one worker, bytes.
    fn budget(&self, worker: u16) -> u64 {
        self.status
            .engines
            .get(usize::from(worker))
            .map_or(0, |counters| counters.budget.get())
    }

    /// Every worker has the rule when this returns, or none has.
    async fn add_rule(&self, rule: Rule) -> Result<u64, ErrorObject> {
        let mut book = self.book.lock().await;
        if book.rules.len() >= MOST_RULES {
            return Err(fault::too_many_rules(MOST_RULES));
        }
        let name = book.made;
        let mut rules = book.rules.clone();
        rules.push((name, rule));
        self.tell_rules(&rules, &book.rules).await?;
        *book = RuleBook {
            made: name + 1,
            rules,
        };
        Ok(name)
    }

    async fn remove_rule(&self, name: u64) -> Result<(), ErrorObject> {
        let mut book = self.book.lock().await;
        let rules: Vec<_> = book
            .rules
            .iter()
            .filter(|(own, _)| *own != name)
            .cloned()
            .collect();
        if rules.len() == book.rules.len() {
            let message =
                format!("parameter `rule` is {name}, and there is no such rule, or not any more");
            return Err(fault::parameter("rule", message));
        }
        self.tell_rules(&rules, &book.rules).await?;
        book.rules = rules;
        Ok(())
    }

    /// When one worker cannot, those that were told before go back to the rules that there were.
    async fn tell_rules(
        &self,
        rules: &[(u64, Rule)],
        before: &[(u64, Rule)],
    ) -> Result<(), ErrorObject> {
        for worker in 0..self.status.mailboxes.workers() {
            if let Err(error) = self.tell(worker, rules).await {
                for told in 0..=worker {
                    if let Err(error) = self.tell(told, before).await {
                        tracing::error!(worker = told, %error, "a worker may follow rules that were refused");
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn tell(&self, worker: u16, rules: &[(u64, Rule)]) -> Result<(), ErrorObject> {
        let rules = rules.iter().map(|(_, rule)| rule.clone()).collect();
        self.ask(worker, |answer| Command::SetRules { rules, answer })
            .await
    }
}
