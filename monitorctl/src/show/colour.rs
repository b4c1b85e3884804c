//! Colours for terminals.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};

use clap::ValueEnum;
use monitor_client::Side;

/// Value of --color.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    Auto,
    Always,
    Never,
}

/// Role of a part of the output; each has its own colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Bytes of a side.
    Side(Side),
    /// Heading, such as the kind of an event.
    Heading,
    /// Secondary text.
    Dim,
}

impl Ink {
    /// Returns the SGR parameter (ECMA-48, 8.3.117), one of the 16 colours that terminal themes keep readable.
    fn code(self) -> &'static str {
        match self {
            Ink::Side(Side::Server) => "36",
            Ink::Side(Side::Client) => "33",
            Ink::Heading => "1",
            Ink::Dim => "2",
        }
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    on: bool,
}

impl Palette {
    /// Chooses by the option, standard output, and the environment (no-color.org).
    pub fn choose(when: ColorChoice) -> Self {
        let auto = || {
            io::stdout().is_terminal()
                && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && env::var_os("TERM").as_deref() != Some(OsStr::new("dumb"))
        };
        match when {
            ColorChoice::Auto => Self { on: auto() },
            ColorChoice::Always => Self { on: true },
            ColorChoice::Never => Self { on: false },
        }
    }

    /// No colours.
    #[cfg(test)]
    pub const NONE: Self = Self { on: false };

    /// Returns the escape sequence before a part.
    pub fn begin(self, ink: Ink) -> String {
        if self.on {
            format!("\x1b[{}m", ink.code())
        } else {
            String::new()
        }
    }

    /// Returns the escape sequence after a part.
    pub fn end(self) -> &'static str {
        if self.on { "\x1b[0m" } else { "" }
    }

    /// Returns the text in this colour.
    pub fn paint(self, ink: Ink, text: &str) -> String {
        format!("{}{text}{}", self.begin(ink), self.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_the_text_is_unchanged() {
        let (on, off) = (
            Palette::choose(ColorChoice::Always),
            Palette::choose(ColorChoice::Never),
        );
        assert_eq!(on.paint(Ink::Side(Side::Server), "a"), "\x1b[36ma\x1b[0m");
        assert_eq!(off.paint(Ink::Dim, "a"), "a");
    }
}
