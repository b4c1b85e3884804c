//! Output formats of stream bytes.

use std::io::{self, IsTerminal, Write};

use crate::values::FormatArgs;

/// Output format of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Hex,
    Raw,
    Text,
}

impl Format {
    /// Returns the requested format; by default `terminal` on a terminal, else raw bytes.
    pub fn choose(args: FormatArgs, terminal: Format) -> Self {
        match args {
            FormatArgs { hex: true, .. } => Format::Hex,
            FormatArgs { raw: true, .. } => Format::Raw,
            FormatArgs { text: true, .. } => Format::Text,
            _ if io::stdout().is_terminal() => terminal,
            _ => Format::Raw,
        }
    }

    /// Prints the bytes at `off` of a stream.
    pub fn print(self, out: &mut impl Write, off: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Format::Hex => hex(out, off, bytes),
            Format::Raw => out.write_all(bytes),
            Format::Text => text(out, bytes),
        }
    }
}

/// Bytes per line of a hex dump.
pub const LINE: usize = 16;

fn hex(out: &mut impl Write, off: u64, bytes: &[u8]) -> io::Result<()> {
    for (index, line) in bytes.chunks(LINE).enumerate() {
        write!(out, "{:08x} ", off + (index * LINE) as u64)?;
        for column in 0..LINE {
            if column % 8 == 0 {
                out.write_all(b" ")?;
            }
            match line.get(column) {
                Some(byte) => write!(out, "{byte:02x} ")?,
                None => out.write_all(b"   ")?,
            }
        }
        let shown: String = line.iter().map(|&byte| visible(byte)).collect();
        writeln!(out, " |{shown}|")?;
    }
    Ok(())
}

fn visible(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' {
        byte as char
    } else {
        '.'
    }
}

/// Prints line feeds and tabs unchanged, and other control characters as escapes: a stream must not control the terminal.
fn text(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for chunk in bytes.utf8_chunks() {
        let mut plain = 0;
        for (at, character) in chunk
            .valid()
            .char_indices()
            .filter(|(_, character)| is_control(*character))
        {
            out.write_all(&chunk.valid().as_bytes()[plain..at])?;
            if character != '\r' {
                write!(out, "{}", character.escape_default())?;
            }
            plain = at + character.len_utf8();
        }
        out.write_all(&chunk.valid().as_bytes()[plain..])?;
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

fn is_control(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format, off: u64, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        format.print(&mut out, off, bytes).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hex_dump() {
        let expected = "\
00000010  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|
00000020  00 ff                                             |..|
";
        assert_eq!(
            printed(Format::Hex, 16, b"GET / HTTP/1.1\r\n\x00\xff"),
            expected
        );
    }

    #[test]
    fn text_cannot_control_the_terminal() {
        let bytes = b"a\tb\r\n\x1b[2J\xff\xc3\xa4\xc2\x9b";
        assert_eq!(
            printed(Format::Text, 0, bytes),
            "a\tb\n\\u{1b}[2J\\xffä\\u{9b}"
        );
    }
}
