//! The verb `man`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;

use crate::failure::{EXIT_CODES, Failure};

/// Destination.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write one page per verb into this directory: monitorctl.1, monitorctl-sockets.1, ...
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the page of a command, or writes its pages and those of other commands.
pub fn man(
    out: &mut impl Write,
    args: &Args,
    command: Command,
    others: Vec<Command>,
) -> Result<(), Failure> {
    let Some(dir) = &args.dir else {
        out.write_all(&page(&command)?)?;
        return Ok(());
    };
    fs::create_dir_all(dir).map_err(|source| Failure::file("create the directory", dir, source))?;
    for mut command in std::iter::once(command).chain(others) {
        command.build();
        let name = command.get_name().to_owned();
        pages(dir, &command, &name)?;
    }
    Ok(())
}

/// Writes the page of a command, and those of its verbs.
fn pages(dir: &Path, command: &Command, name: &str) -> Result<(), Failure> {
    write(dir, &format!("{name}.1"), &page(command)?)?;
    // `help` needs no page.
    for verb in command
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help")
    {
        pages(dir, verb, &format!("{name}-{}", verb.get_name()))?;
    }
    Ok(())
}

fn write(dir: &Path, name: &str, page: &[u8]) -> Result<(), Failure> {
    let path = dir.join(name);
    fs::write(&path, page).map_err(|source| Failure::file("write", &path, source))
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone())
        .manual("monitor")
        .source("monitor");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    writeln!(page, ".SH \"EXIT STATUS\"")?;
    for (code, meaning) in EXIT_CODES {
        writeln!(page, ".TP\n\\fB{code}\\fR\n{meaning}.")?;
    }
    writeln!(
        page,
        ".SH ENVIRONMENT\n.TP\n\\fBNO_COLOR\\fR\nIf set and not empty, no colours are used."
    )?;
    writeln!(
        page,
        ".SH \"SEE ALSO\"\n\\fBmonitord\\fR(8); docs/rpc.md, the RPC reference."
    )?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_page_has_its_sections() {
        let page = String::from_utf8(page(&crate::args::Args::command()).unwrap()).unwrap();
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "SUBCOMMANDS",
            "\"EXIT STATUS\"",
        ] {
            assert!(
                page.contains(&format!(".SH {section}")),
                "{section}: {page}"
            );
        }
        assert!(page.contains("monitorctl\\-ppeek(1)"), "{page}");
    }
}
