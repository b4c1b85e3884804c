//! Bytes of several streams, printed so that they can be told apart.

use std::io::{self, Write};

use monitor_client::Side;

use crate::show::colour::{Ink, Palette};
use crate::show::format::Format;

/// Where a piece of a stream comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub sockid: u64,
    /// The ends, "client" and "server" when there is one connection only.
    pub client: &'a str,
    pub server: &'a str,
    pub side: Side,
}

/// Remembers what was printed last.
pub struct Printer {
    format: Format,
    /// Whether a line says whose bytes follow.
    headings: bool,
    palette: Palette,
    last: Option<Last>,
}

/// Where the stream printed last goes on, and whether its line is ended.
struct Last {
    sockid: u64,
    side: Side,
    next: u64,
    at_line_start: bool,
}

impl Printer {
    pub fn new(format: Format, headings: bool, palette: Palette) -> Self {
        // A heading between bytes as they are could not be told from them.
        Self {
            format,
            headings: headings && format != Format::Raw,
            palette,
            last: None,
        }
    }

    pub fn bytes(
        &mut self,
        out: &mut impl Write,
        from: Origin<'_>,
        off: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        let Some(end) = bytes.last() else {
            return Ok(());
        };
        let goes_on = self.last.as_ref().is_some_and(|last| {
            (last.sockid, last.side, last.next) == (from.sockid, from.side, off)
        });
        if self.headings && !goes_on {
            self.heading(out, from, &format!("offset {off}"))?;
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
            at_line_start,
        });
        Ok(())
    }

    /// Says on a line of its own what became of a stream. False where lines could not be told from bytes: it has to be
    /// said elsewhere.
    pub fn note(&mut self, out: &mut impl Write, from: Origin<'_>, what: &str) -> io::Result<bool> {
        if self.headings {
            self.heading(out, from, what)?;
            self.last = None;
        }
        Ok(self.headings)
    }

    fn heading(&mut self, out: &mut impl Write, from: Origin<'_>, what: &str) -> io::Result<()> {
        if self.last.as_ref().is_some_and(|last| !last.at_line_start) {
            writeln!(out)?;
        }
        let (sender, receiver) = match from.side {
            Side::Server => (from.client, from.server),
            Side::Client => (from.server, from.client),
        };
        let heading = format!("--- {sender} -> {receiver}, {what}");
        writeln!(out, "{}", self.palette.paint(Ink::Dim, &heading))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::colour::When;

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
            .bytes(&mut out, from(7, Side::Server), 0, b"GET /")
            .unwrap();
        printer
            .bytes(&mut out, from(7, Side::Server), 5, b" HTTP/1.1\r\n")
            .unwrap();
        printer
            .bytes(&mut out, from(7, Side::Client), 0, b"HTTP/1.1 200")
            .unwrap();
        printer
            .bytes(&mut out, from(8, Side::Client), 12, b"x")
            .unwrap();
        printer
            .note(
                &mut out,
                from(8, Side::Client),
                "3 bytes missing at offset 13",
            )
            .unwrap();
        printer
            .bytes(&mut out, from(8, Side::Client), 16, b"y\n")
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_heading_stands_where_the_stream_changes() {
        let printer = Printer::new(Format::Text, true, Palette::NONE);
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
    fn bytes_as_they_are_have_nothing_between_them() {
        let printer = Printer::new(Format::Raw, true, Palette::choose(When::Always));
        assert_eq!(conversation(printer), "GET / HTTP/1.1\r\nHTTP/1.1 200xy\n");
    }

    #[test]
    fn each_side_has_its_colour() {
        let printer = Printer::new(Format::Text, false, Palette::choose(When::Always));
        let shown = conversation(printer);
        assert!(
            shown.starts_with("\x1b[36mGET /\x1b[0m\x1b[36m HTTP/1.1\n\x1b[0m\x1b[33mHTTP"),
            "{shown:?}"
        );
    }
}
