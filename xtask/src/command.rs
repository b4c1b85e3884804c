//! Runs other programs, and shows them before they run.

use std::ffi::OsStr;
use std::io::{ErrorKind, IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Shows the command, runs it with this terminal, and fails when it does.
pub fn run(command: &mut Command) -> Result<()> {
    show(command);
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` failed: {status}", name(command));
    }
    Ok(())
}

/// Runs a command like [`run`], but ends it after `limit`.
pub fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    show(command);
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| cannot_start(command))?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            if status.success() {
                return Ok(());
            }
            bail!("`{}` failed: {status}", name(command));
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!(
                "`{}` gave no result in {} s",
                name(command),
                limit.as_secs()
            );
        }
        sleep(Duration::from_millis(50));
    }
}

/// Runs a command that changes nothing, unshown; its standard output as text.
pub fn read(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!(
            "`{}` failed: {}",
            name(command),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command unshown and keeps all that it printed, whether it succeeded or not.
pub fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| cannot_start(command))
}

/// Prints the command as a person would type it, with the variables that it sets.
pub fn show(command: &Command) {
    let line = line(command);
    if stderr().is_terminal() {
        eprintln!("\x1b[1m$ {line}\x1b[0m");
    } else {
        eprintln!("$ {line}");
    }
}

fn line(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(key, value)| {
        let value = value?;
        Some(format!("{}={}", key.to_string_lossy(), quote(value)))
    });
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(quote);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn name(command: &Command) -> String {
    Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", command.get_program().to_string_lossy())
}

/// Finds a program on `PATH` or in the directories of administrators, which `PATH` may lack.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrator = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(administrator)
        .map(|directory| directory.join(program))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Returns whether an I/O error means that the file doesn't exist.
pub fn is_missing(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("apt-get");
        command.env("A", "x y").args(["install", "-y", "it's"]);
        assert_eq!(line(&command), r"A='x y' apt-get install -y 'it'\''s'");
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let started = Instant::now();
        let error =
            run_within(Command::new("sleep").arg("30"), Duration::from_millis(200)).unwrap_err();
        assert!(error.to_string().contains("gave no result"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn programs_are_found_on_the_path_only_when_they_can_run() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-here").is_none());
    }
}
