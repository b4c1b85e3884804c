//! Printer of several streams, with headings where the stream changes.

use std::io::{self, Write};

use monitor_client::Side;

use crate::show::colour::{Ink, Palette};
use crate::show::event::clock;
use crate::show::format::Format;

/// Source of a fragment of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub sockid: u64,
    /// The ends; "client" and "server" if only one connection is followed.
    pub client: &'a str,
    pub server: &'a str,
    pub side: Side,
}

/// Headings before bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headings {
    /// None.
    None,
    /// Where the stream changes.
    Streams,
    /// Where the stream or the time changes, with the time.
    Timed,
}

/// Prints fragments, and retains the position of the last one.
pub struct Printer {
    format: Format,
    headings: Headings,
    palette: Palette,
    last: Option<Last>,
}

/// Position after the last fragment.
struct Last {
    sockid: u64,
    side: Side,
    next: u64,
    time: Option<f64>,
    at_line_start: bool,
}

impl Printer {
    pub fn new(format: Format, headings: Headings, palette: Palette) -> Self {
        Self {
            format,
            // A heading between raw bytes could not be distinguished from them.
            headings: if format == Format::Raw {
                Headings::None
            } else {
                headings
            },
            palette,
            last: None,
        }
    }

    pub fn bytes(
        &mut self,
        out: &mut impl Write,
        from: Origin<'_>,
        off: u64,
        time: Option<f64>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let Some(end) = bytes.last() else {
            return Ok(());
        };
        let timed = self.headings == Headings::Timed;
        let continues = self.last.as_ref().is_some_and(|last| {
            (last.sockid, last.side, last.next) == (from.sockid, from.side, off)
                && (!timed || last.time == time)
        });
        if self.headings != Headings::None && !continues {
            let note = match time.filter(|_| timed) {
                Some(time) => format!("offset {off}, {}", clock(time)),
                None => format!("offset {off}"),
            };
            self.heading(out, from, &note)?;
        }
        if self.format == Format::Raw {
            out.write_all(bytes)?;
        } else {
            out.write_all(self.palette.begin(Ink::Side(from.side)).as_bytes())?;
            self.format.print(out, off, bytes)?;
            out.write_all(self.palette.end().as_bytes())?;
        }
        let at_line_start = self.format == Format::Hex || *end == b'\n';
        self.last = Some(Last {
            sockid: from.sockid,
            side: from.side,
            next: off + bytes.len() as u64,
            time,
            at_line_start,
        });
        Ok(())
    }

    /// Prints a note about a stream on a line of its own. Returns false if the output has no headings: the caller must
    /// report it on standard error.
    pub fn note(&mut self, out: &mut impl Write, from: Origin<'_>, note: &str) -> io::Result<bool> {
        let shown = self.headings != Headings::None;
        if shown {
            self.heading(out, from, note)?;
            self.last = None;
        }
        Ok(shown)
    }

    fn heading(&mut self, out: &mut impl Write, from: Origin<'_>, note: &str) -> io::Result<()> {
        if self.last.as_ref().is_some_and(|last| !last.at_line_start) {
            writeln!(out)?;
        }
        let (sender, receiver) = match from.side {
            Side::Server => (from.client, from.server),
            Side::Client => (from.server, from.client),
        };
        let heading = format!("--- {sender} -> {receiver}, {note}");
        writeln!(out, "{}", self.palette.paint(Ink::Dim, &heading))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::colour::ColorChoice;

    fn from(sockid: u64, side: Side) -> Origin<'static> {
        Origin {
            sockid,
            client: "10.0.0.1:1",
            server: "10.0.0.2:80",
            side,
        }
    }

    fn conversation(mut printer: Printer) -> String {
        let mut out = Vec::new();
        printer
            .bytes(&mut out, from(7, Side::Server), 0, Some(1.25), b"GET /")
            .unwrap();
        printer
            .bytes(
                &mut out,
                from(7, Side::Server),
                5,
                Some(1.5),
                b" HTTP/1.1\r\n",
            )
            .unwrap();
        printer
            .bytes(
                &mut out,
                from(7, Side::Client),
                0,
                Some(2.0),
                b"HTTP/1.1 200",
            )
            .unwrap();
        printer
            .bytes(&mut out, from(8, Side::Client), 12, None, b"x")
            .unwrap();
        printer
            .note(
                &mut out,
                from(8, Side::Client),
                "3 bytes missing at offset 13",
            )
            .unwrap();
        printer
            .bytes(&mut out, from(8, Side::Client), 16, None, b"y\n")
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_heading_marks_each_change_of_stream() {
        let printer = Printer::new(Format::Text, Headings::Streams, Palette::NONE);
        let expected = "\
--- 10.0.0.1:1 -> 10.0.0.2:80, offset 0
GET / HTTP/1.1
--- 10.0.0.2:80 -> 10.0.0.1:1, offset 0
HTTP/1.1 200
--- 10.0.0.2:80 -> 10.0.0.1:1, offset 12
x
--- 10.0.0.2:80 -> 10.0.0.1:1, 3 bytes missing at offset 13
--- 10.0.0.2:80 -> 10.0.0.1:1, offset 16
y
";
        assert_eq!(conversation(printer), expected);
    }

    #[test]
    fn a_heading_marks_each_change_of_time() {
        let printer = Printer::new(Format::Text, Headings::Timed, Palette::NONE);
        let expected = "\
--- 10.0.0.1:1 -> 10.0.0.2:80, offset 0, 00:00:01.250000
GET /
--- 10.0.0.1:1 -> 10.0.0.2:80, offset 5, 00:00:01.500000
 HTTP/1.1
--- 10.0.0.2:80 -> 10.0.0.1:1, offset 0, 00:00:02.000000
HTTP/1.1 200
--- 10.0.0.2:80 -> 10.0.0.1:1, offset 12
x
";
        assert!(conversation(printer).starts_with(expected));
    }

    #[test]
    fn raw_bytes_have_no_headings() {
        let printer = Printer::new(
            Format::Raw,
            Headings::Timed,
            Palette::choose(ColorChoice::Always),
        );
        assert_eq!(conversation(printer), "GET / HTTP/1.1\r\nHTTP/1.1 200xy\n");
    }

    #[test]
    fn each_side_has_its_colour() {
        let printer = Printer::new(
            Format::Text,
            Headings::None,
            Palette::choose(ColorChoice::Always),
        );
        let shown = conversation(printer);
        assert!(
            shown.starts_with("\x1b[36mGET /\x1b[0m\x1b[36m HTTP/1.1\n\x1b[0m\x1b[33mHTTP"),
            "{shown:?}"
        );
    }
}
