//! Colours of a terminal, and when there are none.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};

use clap::ValueEnum;
use monitor_client::Side;

/// What a person wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

/// What a piece of output is; each has a colour of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Bytes of a side.
    Side(Side),
    /// What something is about: the kind of an event.
    Kind,
    /// What matters less.
    Dim,
}

impl Ink {
    /// Select Graphic Rendition (ECMA-48, 8.3.117): the 16 colours that every terminal's theme makes readable.
    fn code(self) -> &'static str {
        match self {
            Ink::Side(Side::Server) => "36",
            Ink::Side(Side::Client) => "33",
            Ink::Kind => "1",
            Ink::Dim => "2",
        }
    }
}

/// The colours, or none.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    on: bool,
}

impl Palette {
    /// By what is wanted, standard output, and the environment (no-color.org).
    pub fn choose(when: When) -> Self {
        let auto = || {
            io::stdout().is_terminal()
                && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && env::var_os("TERM").as_deref() != Some(OsStr::new("dumb"))
        };
        match when {
            When::Auto => Self { on: auto() },
            When::Always => Self { on: true },
            When::Never => Self { on: false },
        }
    }

    /// None at all.
    #[cfg(test)]
    pub const NONE: Self = Self { on: false };

    /// What stands before a piece in this colour.
    pub fn begin(self, ink: Ink) -> String {
        if self.on {
            format!("\x1b[{}m", ink.code())
        } else {
            String::new()
        }
    }

    /// What stands behind it.
    pub fn end(self) -> &'static str {
        if self.on { "\x1b[0m" } else { "" }
    }

    /// A word in this colour.
    pub fn paint(self, ink: Ink, text: &str) -> String {
        format!("{}{text}{}", self.begin(ink), self.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_colour_is_no_byte_more() {
        let (on, off) = (Palette::choose(When::Always), Palette::choose(When::Never));
        assert_eq!(on.paint(Ink::Side(Side::Server), "a"), "\x1b[36ma\x1b[0m");
        assert_eq!(off.paint(Ink::Dim, "a"), "a");
    }
}
