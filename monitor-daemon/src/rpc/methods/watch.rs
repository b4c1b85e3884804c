//! `watch`.

use std::sync::Arc;

use monitor_rpc::ErrorObject;
use monitor_rpc::types::{PatternForm, PatternId, WatchParams, WatchPattern, Watching};

use super::super::connection::Session;
use super::super::listeners::{Listener, Search, Watched};
use super::super::{fault, view};
use crate::events::{Interest, Kind, Kinds};
use crate::scan::{Limits, Pattern, Set, SetError, What};

/// Most bytes of context on each side of a match.
const MOST_CONTEXT: u64 = 4096;

/// What tells that there is something to search, or that there will be nothing any more.
const SEARCHABLE: &[Kind] = &[Kind::Data, Kind::State, Kind::Closed, Kind::Evicted];

impl Session {
    pub(super) async fn watch(&mut self, params: &WatchParams) -> Result<Watching, ErrorObject> {
        self.room_for_listener()?;
        let (patterns, names) = read(params)?;
        let count = patterns.len() as u64;
        if params.context.is_some_and(|context| context > MOST_CONTEXT) {
            let message = format!("parameter `context` must be at most {MOST_CONTEXT} bytes");
            return Err(fault::parameter("context", message));
        }
        let whose = self.whose(params.sockid, params.filter.as_deref())?;
        let queue = self.queue(params.queue)?;
        let set = Arc::new(self.compile(params, patterns).await?);
        let memory = self
            .shared
            .board
            .memory
            .lease(set.memory())
            .ok_or_else(fault::no_event_memory)?;
        let interest = Interest {
            kinds: Kinds::of(SEARCHABLE),
            side: params.side.map(view::side),
            whose,
        };
        let subscription = self.listen(&interest, Some(queue)).await?;
        let sockid = subscription.number();
        let context = params.context.map(|context| context as usize);
        let search = Search {
            scratch: set.scratch(),
            set,
            names,
            context,
        };
        self.listeners.add(Listener::Watched(Box::new(Watched::new(
            subscription,
            search,
            memory,
        ))));
        Ok(Watching {
            sockid,
            patterns: count,
        })
    }

    /// One client's patterns at a time, on a thread where nobody waits for it.
    async fn compile(
        &self,
        params: &WatchParams,
        patterns: Vec<Pattern>,
    ) -> Result<Set, ErrorObject> {
        let limits = {
            let rules = self.shared.rules.borrow();
            let memory = usize::try_from(rules.settings.watch_memory).unwrap_or(usize::MAX);
            Limits {
                patterns: rules.settings.watch_patterns,
                memory,
            }
        };
        let _one_at_a_time = self.shared.compiling.lock().await;
        let set = tokio::task::spawn_blocking(move || Set::new(&patterns, limits)).await;
        let parameter = if params.pattern.is_some() {
            "pattern"
        } else {
            "patterns"
        };
        match set {
            Ok(Ok(set)) => Ok(set),
            Ok(Err(SetError::Pattern { index, why })) => Err(wrong(parameter, index, &why)),
            Ok(Err(error)) => Err(fault::parameter(
                parameter,
                format!("parameter `{parameter}`: {error}"),
            )),
            Err(error) => {
                tracing::error!(%error, "patterns could not be compiled");
                Err(fault::parameter(
                    parameter,
                    format!("parameter `{parameter}` could not be compiled"),
                ))
            }
        }
    }
}

/// A pattern cannot be searched for. The message says which one and why.
fn wrong(parameter: &str, index: usize, why: &str) -> ErrorObject {
    let name = if parameter == "pattern" {
        "pattern".to_owned()
    } else {
        format!("patterns[{index}]")
    };
    fault::parameter(
        &name,
        format!("parameter `{name}` cannot be searched for: {why}"),
    )
}

/// The patterns and their names.
fn read(params: &WatchParams) -> Result<(Vec<Pattern>, Vec<PatternId>), ErrorObject> {
    let (parameter, list) = match (&params.pattern, &params.patterns) {
        (Some(pattern), None) => ("pattern", std::slice::from_ref(pattern)),
        (None, Some(patterns)) => ("patterns", &**patterns),
        _ => {
            let message =
                "give what to search for as parameter `pattern`, or as `patterns` if it is several";
            return Err(fault::parameter("pattern", message));
        }
    };
    let mut patterns = Vec::with_capacity(list.len());
    let mut names = Vec::with_capacity(list.len());
    for (index, pattern) in list.iter().enumerate() {
        let (pattern, name) = match pattern {
            WatchPattern::Regex(regex) => (
                Pattern {
                    what: What::Regex(regex.clone()),
                    nocase: false,
                },
                None,
            ),
            WatchPattern::Form(form) => {
                let what = form_of(form).map_err(|why| wrong(parameter, index, why))?;
                (
                    Pattern {
                        what,
                        nocase: form.nocase,
                    },
                    form.id.clone(),
                )
            }
        };
        patterns.push(pattern);
        names.push(name.unwrap_or(PatternId::Number(index as u64)));
    }
    Ok((patterns, names))
}

fn form_of(form: &PatternForm) -> Result<What, &'static str> {
    match (&form.regex, &form.text, &form.hex) {
        (Some(regex), None, None) => Ok(What::Regex(regex.clone())),
        (None, Some(text), None) => Ok(What::Literal(text.clone().into_bytes())),
        (None, None, Some(hex)) => bytes(hex)
            .map(What::Literal)
            .ok_or("`hex` must be pairs of hexadecimal digits such as \"00ff\""),
        _ => Err("it must have exactly one of `regex`, `text` and `hex`"),
    }
}

/// Bytes from pairs of digits.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?))
        .collect()
}
