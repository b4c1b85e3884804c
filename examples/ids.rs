//! Small intrusion detection system: searches all streams for the texts of a rules file, prints each match, and stops
//! monitoring that connection.
//!
//! ```text
//! printf 'passwd  /etc/passwd\nshell  /bin/sh -i\n' > rules
//! cargo run --release --package monitor-client --example ids -- rules "port 80"
//! ```
//!
//! A rule is a name, a space, and the text, in which \xHH is any byte; case is ignored. The daemon searches for all texts
//! with one automaton, across the borders of segments. The second argument is a filter on connections; the default is
//! all. The variable MONITOR_SOCKET is the path of the daemon's socket, if it isn't the default.

use std::collections::HashSet;
use std::error::Error;
use std::fs;

use monitor_client::types::PatternId;
use monitor_client::{Client, DEFAULT_SOCKET, EventBody, Method, Notification, Reconnect};
use serde_json::{Value, json};

/// Number of bytes shown before and after a match.
const CONTEXT: u64 = 24;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rules = arguments.next().ok_or("usage: ids RULES [FILTER]")?;
    let rules = rules_of(&fs::read_to_string(rules)?)?;
    let socket = std::env::var_os("MONITOR_SOCKET").unwrap_or_else(|| DEFAULT_SOCKET.into());
    // After a restart of the daemon, the search starts again.
    let mut client = Client::connect_with(socket, Reconnect::default())?;
    let mut params = json!({ "patterns": rules, "context": CONTEXT });
    if let Some(filter) = arguments.next() {
        params["filter"] = json!(filter);
    }
    let events = client.listen(Method::Watch, &params)?;
    eprintln!(
        "searching for {} texts",
        events.subscribed().patterns.unwrap_or_default()
    );
    let mut stopped = HashSet::new();
    for notification in events {
        match notification {
            Ok(notification) => on_event(&mut client, &notification, &mut stopped),
            // The new instance has other sockids.
            Err(monitor_client::Error::Restarted) => stopped.clear(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn on_event(client: &mut Client, notification: &Notification, stopped: &mut HashSet<u64>) {
    match (&notification.body, notification.sockid) {
        // Found before the daemon stopped the connection.
        (EventBody::Match { .. }, Some(sockid)) if stopped.contains(&sockid) => {}
        (
            EventBody::Match {
                range,
                pattern,
                context,
                ..
            },
            Some(sockid),
        ) => {
            let ends = client.info(sockid).map_or_else(
                |_| format!("sockid {sockid}"),
                |socket| format!("{} -> {}", socket.client, socket.server),
            );
            let shown = context.as_ref().map_or(&[][..], |context| &context.data.0);
            let name = match pattern {
                PatternId::Text(name) => name.clone(),
                PatternId::Number(number) => number.to_string(),
            };
            println!(
                "{name} {ends} {}:{} \"{}\"",
                range.side,
                range.off,
                shown.escape_ascii()
            );
            match client.stop(sockid, None) {
                Ok(_) => drop(stopped.insert(sockid)),
                // It has ended, or this user may only read.
                Err(error) => eprintln!("{sockid} is still monitored: {error}"),
            }
        }
        (EventBody::Lost { .. } | EventBody::Interrupted, _) => {
            eprintln!("some bytes were not searched");
        }
        _ => {}
    }
}

/// Reads a name and a text from each line; empty lines and comments (#) are skipped.
fn rules_of(text: &str) -> Result<Vec<Value>, Box<dyn Error>> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, text) = line
                .split_once(' ')
                .ok_or_else(|| format!("no text in the rule: {line}"))?;
            let text = text.trim_start();
            // As bytes if one of them is written as \xHH.
            Ok(match text.contains("\\x") {
                true => json!({ "id": name, "hex": hex(text)?, "nocase": true }),
                false => json!({ "id": name, "text": text, "nocase": true }),
            })
        })
        .collect()
}

fn hex(text: &str) -> Result<String, Box<dyn Error>> {
    let mut digits = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let width = match rest.strip_prefix("\\x") {
            Some(escaped) => {
                let byte = escaped.get(..2).ok_or("\\x needs two digits")?;
                u8::from_str_radix(byte, 16)?;
                digits += byte;
                4
            }
            None => {
                digits.extend(next.to_string().bytes().map(|byte| format!("{byte:02x}")));
                next.len_utf8()
            }
        };
        rest = &rest[width..];
    }
    Ok(digits)
}
