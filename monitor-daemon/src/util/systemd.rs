//! Messages to the service manager, by the protocol of sd_notify(3). Without `NOTIFY_SOCKET` they go nowhere.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// Reports that the service has started, or has finished reloading.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// Reports the start of a reload; [`ready`] reports its end.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => debug!("the clock cannot be read: {error}"),
    }
}

/// Reports that the service ends.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Sets the line that `systemctl status` shows.
pub fn status(text: &str) {
    send(&[NotifyState::Status(text)]);
}

/// Asks for at least `time` from now on for the start.
pub fn extend_timeout(time: Duration) {
    let time = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::ExtendTimeoutUsec(time)]);
}

/// Feeds the watchdog.
pub fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// Returns the time after which the service manager ends a service that does not feed its watchdog.
#[must_use]
pub fn watchdog_timeout() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|time| !time.is_zero())
}

/// Returns whether a service manager receives the messages.
#[must_use]
pub fn is_enabled() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!("the service manager cannot be notified: {error}");
    }
}
