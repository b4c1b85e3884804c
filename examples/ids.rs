//! A small intrusion detection system: looks for the texts of a rules file in all streams at once, tells of each that it
//! finds, and has the monitor let go of that connection.
//!
//! ```text
//! printf 'passwd  /etc/passwd\nshell  /bin/sh -i\n' > rules
//! cargo run --release --package monitor-client --example ids -- rules "port 80"
//! ```
//!
//! A rule is a name, a space, and the text, in which \xHH is any byte; the case of letters does not matter. The daemon
//! searches, with one automaton for all texts, across the borders of segments. The second argument says which
//! connections; without it, all. The variable MONITOR_SOCKET names the daemon's socket if it is not where it is by
//! default.

use std::collections::HashSet;
use std::error::Error;
use std::fs;

use monitor_client::notice::{Notice, What};
use monitor_client::{Client, DEFAULT_SOCKET, Reconnect};
use serde_json::{Value, json};

/// Bytes around what was found that are shown.
const CONTEXT: u64 = 24;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rules = arguments.next().ok_or("usage: ids RULES [FILTER]")?;
    let rules = rules_of(&fs::read_to_string(rules)?)?;
    let socket = std::env::var_os("MONITOR_SOCKET").unwrap_or_else(|| DEFAULT_SOCKET.into());
    // When the daemon is started anew, so is the search.
    let mut client = Client::connect_with(socket, Reconnect::default())?;
    let mut params = json!({ "patterns": rules, "context": CONTEXT });
    if let Some(filter) = arguments.next() {
        params["filter"] = json!(filter);
    }
    let notices = client.listen("watch", &params)?;
    eprintln!(
        "looking for {} texts",
        notices.listener().patterns.unwrap_or_default()
    );
    let mut stopped = HashSet::new();
    for notice in notices {
        match notice {
            Ok(notice) => heed(&mut client, &notice, &mut stopped),
            // Its sockids are others.
            Err(monitor_client::Error::Restarted) => stopped.clear(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn heed(client: &mut Client, notice: &Notice, stopped: &mut HashSet<u64>) {
    match (&notice.what, notice.sockid) {
        // Found before the daemon had let go of it.
        (What::Match { .. }, Some(sockid)) if stopped.contains(&sockid) => {}
        (
            What::Match {
                range,
                pattern,
                context,
            },
            Some(sockid),
        ) => {
            let ends = client.info(sockid).map_or_else(
                |_| format!("sockid {sockid}"),
                |socket| format!("{} -> {}", socket.client, socket.server),
            );
            let shown = context.as_ref().map_or(&[][..], |context| &context.bytes);
            println!(
                "{pattern} {ends} {}:{} \"{}\"",
                range.side,
                range.off,
                shown.escape_ascii()
            );
            match client.stop(sockid, None) {
                Ok(_) => drop(stopped.insert(sockid)),
                // Over already, or only reading is allowed.
                Err(error) => eprintln!("{sockid} goes on: {error}"),
            }
        }
        (What::Lost { .. } | What::Interrupted, _) => eprintln!("some bytes were not searched"),
        _ => {}
    }
}

/// A name and a text on each line; empty lines and those that begin with # are left out.
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
            // As bytes if some are written by their number.
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
                let byte = escaped.get(..2).ok_or("\\x wants two digits")?;
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
