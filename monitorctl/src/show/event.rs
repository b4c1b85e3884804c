//! Formatting of an event as one line.

use std::fmt::Write as _;

use monitor_client::types::EventParams;

use super::colour::{Ink, Palette};

/// Returns time (UTC), kind, connection and details. `ends` are those of the connection, if known. Kinds of a newer daemon
/// are shown by name.
pub fn line(event: &EventParams, ends: Option<&(String, String)>, palette: Palette) -> String {
    let time = event.time.map_or_else(|| " ".repeat(15), clock);
    let mut line = format!(
        "{time}  {}",
        palette.paint(Ink::Heading, &format!("{:<11}", event.event))
    );
    if let Some(sockid) = event.sockid {
        add(&mut line, format_args!("{sockid}"));
    }
    if let Some((client, server)) = ends {
        add(&mut line, format_args!("{client} -> {server}"));
    }
    if let Some(side) = event.side {
        add(
            &mut line,
            format_args!("{}", palette.paint(Ink::Side(side), side.name())),
        );
    }
    match (event.off, event.len) {
        (Some(off), Some(len)) => add(&mut line, format_args!("{len} bytes at {off}")),
        (Some(off), None) => add(&mut line, format_args!("at {off}")),
        _ => {}
    }
    if let Some(count) = event.count {
        add(
            &mut line,
            format_args!("{count} events were lost here: this reader was too slow"),
        );
    }
    if let Some(state) = event.state {
        add(&mut line, format_args!("{state}"));
    }
    if let Some(reason) = &event.reason {
        add(&mut line, format_args!("{reason}"));
    }
    for (flag, word) in [(event.midstream, "midstream"), (event.late, "late")] {
        if flag == Some(true) {
            add(&mut line, format_args!("{word}"));
        }
    }
    line.truncate(line.trim_end().len());
    line
}

fn add(line: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a string never fails.
    let _ = write!(line, "  {part}");
}

/// Formats the time of day in UTC, to the microsecond.
fn clock(time: f64) -> String {
    let micros = (time * 1e6).max(0.0) as u64;
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{micros:06}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use monitor_client::Side;
    use monitor_client::types::State;

    use super::*;

    #[test]
    fn a_line_has_kind_connection_and_details() {
        let event = |event: &'static str| EventParams {
            event: event.into(),
            time: Some(1_700_000_000.25),
            sockid: Some(7),
            ..EventParams::default()
        };
        let ends = ("10.0.0.1:1".to_owned(), "10.0.0.2:80".to_owned());
        let shown = |event: &EventParams| line(event, Some(&ends), Palette::NONE);
        assert_eq!(
            shown(&event("opened")),
            "22:13:20.250000  opened       7  10.0.0.1:1 -> 10.0.0.2:80"
        );
        let gap = EventParams {
            side: Some(Side::Server),
            off: Some(5),
            len: Some(3),
            ..event("gap")
        };
        assert!(
            shown(&gap).ends_with("  server  3 bytes at 5"),
            "{}",
            shown(&gap)
        );
        let state = EventParams {
            state: Some(State::Established),
            side: Some(Side::Client),
            ..event("state")
        };
        assert!(shown(&state).ends_with("  client  ESTABLISHED"));
        let lost = EventParams {
            event: "lost".into(),
            count: Some(9),
            ..EventParams::default()
        };
        assert_eq!(
            line(&lost, None, Palette::NONE).trim_start(),
            "lost         9 events were lost here: this reader was too slow"
        );
    }
}
