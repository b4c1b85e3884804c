//! Replay at a multiple of the recorded speed.

use std::time::{Duration, Instant};

use monitor_engine::{Engine, Packet, Sink};

use super::Besides;

/// Longest pause that is asked for at once: further ones follow.
const SLICE: Duration = Duration::from_secs(3600);

/// Holds packets back until they are due.
pub(super) struct Pace<'a, S: Sink> {
    besides: Besides<'a, S>,
    stopped: bool,
    speed: Option<f64>,
    /// When the first packet went out, and its time.
    origin: Option<(Instant, u64)>,
}

impl<'a, S: Sink> Pace<'a, S> {
    /// `speed`: multiple of the recorded one, above 0; `None`: everything is due at once.
    pub(super) fn new(speed: Option<f64>, besides: Besides<'a, S>) -> Self {
        Self {
            besides,
            stopped: false,
            speed,
            origin: None,
        }
    }

    /// Whether to end before the files do.
    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    /// Lets the worker do what else it has to do; false when that is to end.
    pub(super) fn goes_on(&mut self, engine: &mut Engine<S>) -> bool {
        self.pause(engine, Duration::ZERO)
    }

    /// Hands the packets to the engine, those together that are due together. A packet earlier than its predecessors
    /// is due with them. Returns early when told to stop.
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
        self.stopped = self.stopped || !(self.besides)(engine, left);
        !self.stopped
    }
}

/// How long until a packet of this time is due.
fn delay((start, first): (Instant, u64), speed: f64, time: u64) -> Duration {
    let recorded = Duration::from_nanos(time.saturating_sub(first));
    let after =
        Duration::try_from_secs_f64(recorded.as_secs_f64() / speed).unwrap_or(Duration::MAX);
    after.saturating_sub(start.elapsed())
}
