//! Time at which missing records are counted: once no event comes any more that could explain them.

use std::time::{Duration, Instant};

use crate::{Lost, Tracker};

/// Time without an event after which none of a connection in a listing is on its way.
const QUIET: Duration = Duration::from_secs(1);
/// Time after which such events are no longer expected, although others come.
const AT_LATEST: Duration = Duration::from_secs(10);

/// Watch on the events of a [`Tracker`]. The caller passes the time, and asks for the mark about once a second.
///
/// ```
/// use std::time::{Duration, Instant};
/// # use monitor_records::{Settling, Source, Tracker};
/// # let source = Source { host: "h".to_owned(), instance: 1, mode: "tap".to_owned() };
///
/// let mut tracker = Tracker::new(source, Duration::from_secs(300));
/// let start = Instant::now();
/// let mut settling = Settling::new(start);
/// settling.on_event(start + Duration::from_secs(1));
/// let mark = settling.lost(&mut tracker, start + Duration::from_secs(3), 1.8e9);
/// assert_eq!(mark, None, "no event was lost");
/// ```
#[derive(Debug)]
pub struct Settling {
    /// Time of the latest event.
    latest: Instant,
    /// Time when records were first found to be missing.
    since: Option<Instant>,
}

impl Settling {
    /// Creates it at the start of a subscription.
    #[must_use]
    pub fn new(at: Instant) -> Self {
        Self {
            latest: at,
            since: None,
        }
    }

    /// Notes the time of an event.
    pub fn on_event(&mut self, at: Instant) {
        self.latest = at;
    }

    /// Returns the mark of missing records once it's final. `now` is `at` in seconds since the epoch.
    pub fn lost(&mut self, tracker: &mut Tracker, at: Instant, now: f64) -> Option<Lost> {
        if !tracker.is_incomplete() {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(at);
        let is_final =
            at.duration_since(self.latest) >= QUIET || at.duration_since(since) >= AT_LATEST;
        if !is_final {
            return None;
        }
        self.since = None;
        tracker.lost(now)
    }
}

#[cfg(test)]
mod tests {
    use monitor_common::EventKind;
    use monitor_rpc::Notification;
    use serde_json::json;

    use super::*;
    use crate::{Request, Source};

    fn incomplete() -> Tracker {
        assert!(Tracker::EVENTS.contains(&EventKind::Closed));
        let source = Source {
            host: "h".to_owned(),
            instance: 1,
            mode: "tap".to_owned(),
        };
        let mut tracker = Tracker::new(source, Duration::from_secs(300));
        let lost = json!({ "event": "lost", "time": 1.0, "listener": 1, "count": 5 });
        let lost: Notification = serde_json::from_value(lost).unwrap();
        assert_eq!(tracker.event(&lost, 1.0), Request::List);
        tracker.listed();
        tracker
    }

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn records_are_missing_once_no_event_has_come_for_a_second() {
        let (start, mut tracker) = (Instant::now(), incomplete());
        let mut settling = Settling::new(start);
        settling.on_event(after(start, 500));
        assert_eq!(settling.lost(&mut tracker, after(start, 1400), 1.0), None);
        let mark = settling
            .lost(&mut tracker, after(start, 1500), 2.0)
            .unwrap();
        assert_eq!((mark.lost, mark.time), (Some(5), 2.0));
        assert_eq!(
            settling.lost(&mut tracker, after(start, 9000), 3.0),
            None,
            "counted once"
        );
    }

    #[test]
    fn records_are_missing_after_ten_seconds_of_other_events() {
        let (start, mut tracker) = (Instant::now(), incomplete());
        let mut settling = Settling::new(start);
        for ms in (0..10_000).step_by(500) {
            settling.on_event(after(start, ms));
            assert_eq!(settling.lost(&mut tracker, after(start, ms), 1.0), None);
        }
        settling.on_event(after(start, 10_000));
        assert!(
            settling
                .lost(&mut tracker, after(start, 10_000), 1.0)
                .is_some()
        );
    }
}
