//! `completions`.

use std::io::Write;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::failure::Failure;

/// For which shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// bash: `source <(monitorctl completions bash)`; zsh: into a directory of $fpath as `_monitorctl`; fish: into
    /// ~/.config/fish/completions/monitorctl.fish
    shell: Shell,
}

pub fn completions(out: &mut impl Write, args: &Args) -> Result<(), Failure> {
    // It cannot say that writing failed.
    let mut script = Vec::new();
    generate(
        args.shell,
        &mut crate::args::Args::command(),
        "monitorctl",
        &mut script,
    );
    out.write_all(&script)?;
    Ok(())
}
