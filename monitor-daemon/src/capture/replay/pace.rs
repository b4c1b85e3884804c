//! Pacing of a replay at a multiple of the recorded speed.

use std::time::{Duration, Instant};

use monitor_engine::{Engine, Packet, Sink};

/// Idle hook of a worker. It is called between batches, and while no packet is due, with the time until the next one, in
/// which it may wait. It returns false to end the replay.
pub type IdleHook<'a, S> = &'a mut dyn FnMut(&mut Engine<S>, Duration) -> bool;

/// Longest time passed to the idle hook at once.
const SLICE: Duration = Duration::from_secs(3600);

/// Delays packets until they are due.
pub(super) struct Pace<'a, S: Sink> {
    idle_hook: IdleHook<'a, S>,
    stopped: bool,
    speed: Option<f64>,
    /// Instant at which the first packet was delivered, and its recorded time.
    origin: Option<(Instant, u64)>,
}

impl<'a, S: Sink> Pace<'a, S> {
    /// `speed`: multiple of the recorded one, above 0; `None`: everything is due at once.
    pub(super) fn new(speed: Option<f64>, idle_hook: IdleHook<'a, S>) -> Self {
        Self {
            idle_hook,
            stopped: false,
            speed,
            origin: None,
        }
    }

    /// Returns whether the idle hook has ended the replay.
    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    /// Calls the idle hook; returns false when it ends the replay.
    pub(super) fn keeps_running(&mut self, engine: &mut Engine<S>) -> bool {
        self.pause(engine, Duration::ZERO)
    }

    /// Waits for news of the source or for a command; returns false when the idle hook ends the replay.
    pub(super) fn wait(&mut self, engine: &mut Engine<S>) -> bool {
        self.pause(engine, SLICE)
    }

    /// Passes the packets to the engine, in batches of those due at one time. A packet earlier than its predecessors is
    /// due with them. Returns early when the idle hook ends the replay.
    pub(super) fn each(&mut self, packets: &[Packet<'_>], engine: &mut Engine<S>) {
        let Some(speed) = self.speed else {
            engine.process(packets);
            return;
        };
        let mut rest = packets;
        while let Some(next) = rest.first() {
            let origin = *self.origin.get_or_insert((Instant::now(), next.time));
            loop {
                let left = delay(origin, speed, next.time);
                if left.is_zero() {
                    break;
                }
                if !self.pause(engine, left.min(SLICE)) {
                    return;
                }
            }
            let due = rest
                .iter()
                .take_while(|packet| delay(origin, speed, packet.time).is_zero())
                .count();
            let (now, later) = rest.split_at(due.max(1));
            engine.process(now);
            rest = later;
        }
    }

    fn pause(&mut self, engine: &mut Engine<S>, left: Duration) -> bool {
        self.stopped = self.stopped || !(self.idle_hook)(engine, left);
        !self.stopped
    }
}

/// Returns the time until a packet recorded at `time` is due.
fn delay((start, first): (Instant, u64), speed: f64, time: u64) -> Duration {
    let recorded = Duration::from_nanos(time.saturating_sub(first));
    let after =
        Duration::try_from_secs_f64(recorded.as_secs_f64() / speed).unwrap_or(Duration::MAX);
    after.saturating_sub(start.elapsed())
}
