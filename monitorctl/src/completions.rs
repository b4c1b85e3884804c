//! The verb `completions`.

use std::io::Write;

use clap::Command;
use clap_complete::{Shell, generate};

use crate::failure::Failure;

/// Shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// bash: `source <(monitorctl completions bash)`; zsh: save as `_monitorctl` in a directory of $fpath; fish: save as
    /// ~/.config/fish/completions/monitorctl.fish
    shell: Shell,
}

pub fn completions(out: &mut impl Write, args: &Args, mut command: Command) -> Result<(), Failure> {
    // clap_complete panics on a write error.
    let mut script = Vec::new();
    generate(args.shell, &mut command, "monitorctl", &mut script);
    out.write_all(&script)?;
    Ok(())
}
