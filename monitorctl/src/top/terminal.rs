//! Terminal in raw mode, restored at every exit.

use std::io::{self, Stdout, Write as _};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::low_level;

/// The alternate screen in raw mode, until it is dropped.
pub struct Terminal {
    inner: ratatui::Terminal<CrosstermBackend<Stdout>>,
}

impl Terminal {
    pub fn enter() -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // Before the message, which is then readable.
            leave();
            before(panic);
        }));
        enter()?;
        match ratatui::Terminal::new(CrosstermBackend::new(io::stdout())) {
            Ok(inner) => Ok(Self { inner }),
            Err(error) => {
                leave();
                Err(error)
            }
        }
    }

    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.inner.draw(draw).map(drop)
    }

    /// Suspends the process (Ctrl-Z), and restores the terminal until it continues.
    pub fn suspend(&mut self) -> io::Result<()> {
        leave();
        low_level::emulate_default_handler(SIGTSTP)?;
        enter()?;
        self.inner.clear()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen).inspect_err(|_| leave())
}

/// Restores the terminal. Repeated calls, and calls after the terminal is gone, are harmless.
fn leave() {
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = io::stdout().flush();
}

/// Termination signals, recorded instead of executed.
pub struct Signals {
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Records the signals from here on. A thread ends the process if the signal has not done so after a while: reading
    /// from a terminal that is gone never returns.
    pub fn catch() -> io::Result<Self> {
        /// Enough for the end of a sample and the last changes of the screen.
        const GRACE: Duration = Duration::from_secs(2);
        let last = Arc::new(AtomicUsize::new(0));
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])?;
        let seen = Arc::clone(&last);
        let watch = move || {
            for signal in &mut signals {
                seen.store(signal as usize, Ordering::Relaxed);
                thread::sleep(GRACE);
                let _ = disable_raw_mode();
                let _ = low_level::emulate_default_handler(signal);
            }
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(watch)?;
        Ok(Self { last })
    }

    pub fn caught(&self) -> Option<i32> {
        match self.last.load(Ordering::Relaxed) {
            0 => None,
            signal => i32::try_from(signal).ok(),
        }
    }

    /// Ends the process by the signal, for the exit status that the parent sees.
    pub fn end_by(&self, signal: i32) {
        let _ = low_level::emulate_default_handler(signal);
    }
}
