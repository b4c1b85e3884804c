//! Waiting for things that happen in other processes.

use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a loaded machine, short enough to find a hang.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Asks until there is an answer, and returns it.
///
/// # Panics
/// When there is none after [`DEADLINE`]; the message names the condition.
#[track_caller]
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, what, ask)
}

/// [`until`] with a deadline of its own.
///
/// # Panics
/// When the answer is not there in time.
#[track_caller]
pub fn within<T>(time: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {time:?} for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
