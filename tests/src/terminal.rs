//! A terminal with a shell in it, for programs that draw on one: tmux plays the part.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Program, until};

/// A shell in a terminal of its own. Dropping it ends everything in it.
pub struct Terminal {
    /// Holds tmux's socket: its server is ours alone.
    dir: TempDir,
}

impl Terminal {
    /// A terminal of this size with a shell that knows nothing of the person's settings; its prompt is `$ `.
    ///
    /// # Panics
    /// Without tmux; ask [`crate::have`] first.
    #[must_use]
    #[track_caller]
    pub fn start(width: u16, height: u16) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let terminal = Self { dir };
        let (width, height) = (width.to_string(), height.to_string());
        let shell = "env -u NO_COLOR PS1='$ ' bash --norc --noprofile";
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
            shell,
        ]);
        // A detached window keeps its size.
        terminal.tmux(&["set-option", "-g", "window-size", "manual"]);
        terminal.until("the prompt", |screen| screen.contains('$'));
        terminal
    }

    /// Presses keys, by tmux's names: `q`, `C-c`, `Enter`, `PageDown`.
    #[track_caller]
    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types a line and Enter.
    #[track_caller]
    pub fn line(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.press(&["Enter"]);
    }

    /// Changes its size.
    #[track_caller]
    pub fn resize(&self, width: u16, height: u16) {
        self.tmux(&[
            "resize-window",
            "-x",
            &width.to_string(),
            "-y",
            &height.to_string(),
        ]);
    }

    /// Returns the screen's text, without colours.
    #[must_use]
    #[track_caller]
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Returns the screen's text with the escapes that colour it.
    #[must_use]
    #[track_caller]
    pub fn coloured(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits until the screen shows it, and gives the screen back.
    ///
    /// # Panics
    /// When it does not in time; the message holds the screen.
    #[track_caller]
    pub fn until(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(what, || {
                last = self.screen();
                is_there(&last).then_some(())
            });
        }));
        assert!(
            found.is_ok(),
            "waited for {what} on a screen that shows:\n{last}"
        );
        last
    }

    /// Returns whether a program has the whole screen, and whether the cursor is visible.
    #[must_use]
    #[track_caller]
    pub fn modes(&self) -> (bool, bool) {
        let modes = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        let (alternate, cursor) = modes.trim().split_once(' ').expect("two flags");
        (alternate == "1", cursor == "1")
    }

    /// Sends a signal to the shell's foreground job.
    ///
    /// # Panics
    /// When it runs nothing.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill_process(self.job(), signal).expect("it is ours");
    }

    /// Returns the shell's foreground job.
    ///
    /// # Panics
    /// When it runs nothing.
    #[must_use]
    #[track_caller]
    pub fn job(&self) -> Pid {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        // `env` has become the shell.
        let children = std::fs::read_to_string(
            Path::new("/proc")
                .join(shell)
                .join("task")
                .join(shell)
                .join("children"),
        );
        let children = children.expect("the shell runs");
        let pid = children
            .split_whitespace()
            .next()
            .and_then(|pid| pid.parse().ok())
            .and_then(Pid::from_raw);
        pid.expect("the shell runs a program")
    }

    #[track_caller]
    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command
            .arg("-S")
            .arg(self.dir.path().join("tmux"))
            .args(arguments)
            .env_remove("TMUX");
        Program::run(&mut command).text()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.dir.path().join("tmux");
        // It may have ended with its shell.
        let _ = Command::new("tmux")
            .arg("-S")
            .arg(socket)
            .arg("kill-server")
            .output();
    }
}
