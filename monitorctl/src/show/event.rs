//! Formatting of an event as one line.

use std::fmt::Write as _;

use monitor_client::{EventBody, Notification};

use super::colour::{Ink, Palette};

/// Returns time (UTC), kind, connection and details. `ends` are those of the connection, if known.
pub fn line(event: &Notification, ends: Option<&(String, String)>, palette: Palette) -> String {
    let time = event.time.map_or_else(|| " ".repeat(15), clock);
    let mut line = format!(
        "{time}  {}",
        palette.paint(Ink::Heading, &format!("{:<11}", event.body.name()))
    );
    if let Some(sockid) = event.sockid {
        add(&mut line, format_args!("{sockid}"));
    }
    if let Some((client, server)) = ends {
        add(&mut line, format_args!("{client} -> {server}"));
    }
    if let Some(side) = event.body.side() {
        add(
            &mut line,
            format_args!("{}", palette.paint(Ink::Side(side), side.name())),
        );
    }
    if let Some(range) = event.body.range() {
        add(
            &mut line,
            format_args!("{} bytes at {}", range.len, range.off),
        );
    }
    match &event.body {
        EventBody::Lost {
            count: Some(count), ..
        } => add(
            &mut line,
            format_args!("{count} events were lost here: this reader was too slow"),
        ),
        EventBody::Refused {
            seq, len, reason, ..
        } => add(
            &mut line,
            format_args!("{len} bytes at sequence number {seq}: {}", reason.name()),
        ),
        EventBody::State { state, .. } => add(&mut line, format_args!("{state}")),
        EventBody::Closed { reason } => add(&mut line, format_args!("{}", reason.name())),
        EventBody::End { reason, .. } => add(&mut line, format_args!("{reason}")),
        EventBody::Opened {
            midstream: true, ..
        } => add(&mut line, format_args!("midstream")),
        EventBody::Conflict { late: true, .. } => add(&mut line, format_args!("late")),
        _ => {}
    }
    line.truncate(line.trim_end().len());
    line
}

fn add(line: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a string never fails.
    let _ = write!(line, "  {part}");
}

/// Formats the time of day in UTC, to the microsecond.
pub fn clock(time: f64) -> String {
    let micros = (time * 1e6).max(0.0) as u64;
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{micros:06}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use monitor_client::Side;
    use monitor_client::types::{SideRange, TcpState};

    use super::*;

    #[test]
    fn a_line_has_kind_connection_and_details() {
        let event = |body| Notification {
            listener: 1,
            time: Some(1_700_000_000.25),
            sockid: Some(7),
            body,
        };
        let ends = ("10.0.0.1:1".to_owned(), "10.0.0.2:80".to_owned());
        let shown = |body| line(&event(body), Some(&ends), Palette::NONE);
        assert_eq!(
            shown(EventBody::Established),
            "22:13:20.250000  established  7  10.0.0.1:1 -> 10.0.0.2:80"
        );
        let gap = shown(EventBody::Gap(SideRange {
            side: Side::Server,
            off: 5,
            len: 3,
        }));
        assert!(gap.ends_with("  server  3 bytes at 5"), "{gap}");
        let state = EventBody::State {
            side: Side::Client,
            state: TcpState::Established,
        };
        assert!(shown(state).ends_with("  client  ESTABLISHED"));
        let lost = Notification {
            listener: 1,
            time: None,
            sockid: None,
            body: EventBody::Lost {
                count: Some(9),
                ends: None,
                side: None,
                off: None,
                len: None,
            },
        };
        assert_eq!(
            line(&lost, None, Palette::NONE).trim_start(),
            "lost         9 events were lost here: this reader was too slow"
        );
    }
}
