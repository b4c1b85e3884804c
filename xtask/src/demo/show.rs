//! Output of the demonstration, and waiting.

use std::io::{IsTerminal, stdout};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Time limit of each step; on an idle machine it takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn act(number: u32, title: &str) {
    println!("\n{}", bold(&format!("{number}. {title}")));
}

pub fn shown(command: &str) {
    println!("    $ {command}");
}

pub fn bold(text: &str) -> String {
    if stdout().is_terminal() {
        format!("\x1b[1m{text}\x1b[0m")
    } else {
        text.to_string()
    }
}

/// Asks again and again until there is an answer.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("waited {} s in vain for {what}", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(20));
    }
}
