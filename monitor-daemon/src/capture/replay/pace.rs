//! Replay at a multiple of the recorded speed.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use monitor_engine::Packet;

/// Longest sleep before looking whether to stop.
const SLICE: Duration = Duration::from_millis(50);

/// Holds packets back until they are due.
pub(super) struct Pace<'a> {
    stop: &'a AtomicBool,
    speed: Option<f64>,
    /// When the first packet went out, and its time.
    origin: Option<(Instant, u64)>,
}

impl<'a> Pace<'a> {
    /// `speed`: multiple of the recorded one, above 0; `None`: everything is due at once.
    pub(super) fn new(speed: Option<f64>, stop: &'a AtomicBool) -> Self {
        Self { stop, speed, origin: None }
    }

    /// Whether to end before the files do.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Hands the packets to `process`, those together that are due together. A packet earlier than its predecessors
    /// is due with them. Returns early when told to stop.
    pub(super) fn each<'p>(&mut self, packets: &[Packet<'p>], mut process: impl FnMut(&[Packet<'p>])) {
        let Some(speed) = self.speed else {
            if !packets.is_empty() {
                process(packets);
            }
            return;
        };
        let mut rest = packets;
        while let Some(next) = rest.first() {
            let origin = *self.origin.get_or_insert((Instant::now(), next.time));
            if !self.sleep(delay(origin, speed, next.time)) {
                return;
            }
            let due = rest.iter().take_while(|packet| delay(origin, speed, packet.time).is_zero()).count();
            let (now, later) = rest.split_at(due.max(1));
            process(now);
            rest = later;
        }
    }

    /// False when told to stop meanwhile.
    fn sleep(&self, delay: Duration) -> bool {
        let until = Instant::now().checked_add(delay);
        loop {
            if self.stopped() {
                return false;
            }
            let left = until.map_or(SLICE, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(SLICE));
        }
    }
}

/// How long until a packet of this time is due.
fn delay((start, first): (Instant, u64), speed: f64, time: u64) -> Duration {
    let recorded = Duration::from_nanos(time.saturating_sub(first));
    let after = Duration::try_from_secs_f64(recorded.as_secs_f64() / speed).unwrap_or(Duration::MAX);
    after.saturating_sub(start.elapsed())
}
