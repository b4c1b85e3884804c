//! `watch`.

use std::io;
use std::sync::Arc;

use monitor_rpc::ErrorObject;
use monitor_rpc::types::{PatternForm, PatternId, WatchParams, WatchPattern, Watching};
use serde_json::value::RawValue;

use super::events::{check_listeners, listen, queue, scope};
use super::handler::Serve;
use crate::events::{EventFilter, EventKind, EventKinds};
use crate::rpc::access::account::Purpose;
use crate::rpc::access::limits;
use crate::rpc::protocol::errors;
use crate::rpc::session::Session;
use crate::rpc::subscriptions::Active;
use crate::rpc::subscriptions::watch::{Search, Watch};
use crate::scan::{Limits, Pattern, Set, SetError, Syntax};

/// Events after which there is something to search, or the end of it.
const SEARCHABLE: &[EventKind] = &[
    EventKind::Data,
    EventKind::State,
    EventKind::Closed,
    EventKind::Evicted,
];

impl Serve for WatchParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let result = watch(session, &self).await;
        session.reply(id, result);
        Ok(())
    }
}

async fn watch(session: &mut Session, params: &WatchParams) -> Result<Watching, ErrorObject> {
    check_listeners(session)?;
    let (patterns, names) = read(params)?;
    let count = patterns.len() as u64;
    let most = limits::CONTEXT;
    if params.context.is_some_and(|context| context > most) {
        let message = format!("parameter `context` must be at most {most} bytes");
        return Err(errors::parameter("context", message));
    }
    let scope = scope(session, params.sockid, params.filter.as_deref())?;
    let queue = queue(params.queue)?;
    let set = Arc::new(compile(session, params, patterns).await?);
    let filter = EventFilter {
        kinds: EventKinds::of(SEARCHABLE),
        side: params.side,
        worker: None,
        scope,
    };
    let subscription = listen(session, &filter, Some(queue)).await?;
    let sockid = subscription.number();
    let context = params.context.map(|context| context as usize);
    let search = Search {
        scratch: set.scratch(),
        set,
        names,
        context,
    };
    let memory = session
        .account()
        .lease(Purpose::Listener, search.memory())
        .ok_or_else(errors::no_listener_memory)?;
    session.subscriptions.add(Active::Watch(Box::new(Watch::new(
        subscription,
        search,
        memory,
    ))));
    Ok(Watching {
        sockid,
        patterns: count,
    })
}

/// Compiles the patterns of one client at a time, on a thread of its own.
async fn compile(
    session: &Session,
    params: &WatchParams,
    patterns: Vec<Pattern>,
) -> Result<Set, ErrorObject> {
    let limits = Limits {
        patterns: limits::PATTERNS,
        memory: limits::PATTERN_BYTES,
    };
    let _one_at_a_time = session.shared.compiling.lock().await;
    let set = tokio::task::spawn_blocking(move || Set::new(&patterns, limits)).await;
    let parameter = if params.pattern.is_some() {
        "pattern"
    } else {
        "patterns"
    };
    match set {
        Ok(Ok(set)) => Ok(set),
        Ok(Err(SetError::Pattern { index, why })) => Err(wrong(parameter, index, &why)),
        Ok(Err(error)) => Err(errors::parameter(
            parameter,
            format!("parameter `{parameter}`: {error}"),
        )),
        Err(error) => {
            tracing::error!(%error, "patterns could not be compiled");
            Err(errors::parameter(
                parameter,
                format!("parameter `{parameter}` could not be compiled"),
            ))
        }
    }
}

/// Error of one pattern.
fn wrong(parameter: &str, index: usize, why: &str) -> ErrorObject {
    let name = if parameter == "pattern" {
        "pattern".to_owned()
    } else {
        format!("patterns[{index}]")
    };
    errors::parameter(
        &name,
        format!("parameter `{name}` cannot be searched for: {why}"),
    )
}

/// Returns the patterns and their names.
fn read(params: &WatchParams) -> Result<(Vec<Pattern>, Vec<PatternId>), ErrorObject> {
    let (parameter, list) = match (&params.pattern, &params.patterns) {
        (Some(pattern), None) => ("pattern", std::slice::from_ref(pattern)),
        (None, Some(patterns)) => ("patterns", &**patterns),
        _ => {
            let message =
                "give what to search for as parameter `pattern`, or as `patterns` if it is several";
            return Err(errors::parameter("pattern", message));
        }
    };
    let mut patterns = Vec::with_capacity(list.len());
    let mut names = Vec::with_capacity(list.len());
    for (index, pattern) in list.iter().enumerate() {
        let (pattern, name) = match pattern {
            WatchPattern::Regex(regex) => (
                Pattern {
                    syntax: Syntax::Regex(regex.clone()),
                    nocase: false,
                },
                None,
            ),
            WatchPattern::Form(form) => {
                let syntax = form_of(form).map_err(|why| wrong(parameter, index, why))?;
                (
                    Pattern {
                        syntax,
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

fn form_of(form: &PatternForm) -> Result<Syntax, &'static str> {
    match (&form.regex, &form.text, &form.hex) {
        (Some(regex), None, None) => Ok(Syntax::Regex(regex.clone())),
        (None, Some(text), None) => Ok(Syntax::Literal(text.clone().into_bytes())),
        (None, None, Some(hex)) => bytes(hex)
            .map(Syntax::Literal)
            .ok_or("`hex` must be pairs of hexadecimal digits such as \"00ff\""),
        _ => Err("it must have exactly one of `regex`, `text` and `hex`"),
    }
}

/// Parses pairs of hexadecimal digits.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?))
        .collect()
}
