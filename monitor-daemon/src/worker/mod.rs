//! Worker threads: one engine each, fed by a capture.
//!
//! What a worker reads is its own business (a live one is handed sources at its [`Place`], a replay has files); what it
//! can be asked is the same for all of them ([`crate::control`]).
//!
//! **Architecture invariant:** a worker touches only its own state on the packet path. What crosses threads are its
//! mailbox (commands, and the rare datagram put together by a neighbour), the queues of those who listen to its events,
//! and counters that others only read.

mod place;
mod replay;
mod shunts;
mod thread;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use monitor_engine::EngineError;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::capture::source::{Source, reuse};
use crate::config::{Capture, Config, Mode, Origin};
use crate::control::{Engine, obey};
use crate::events::Publisher;
use place::Change;
pub use place::Place;
pub use replay::ReplayWorker;
pub use shunts::Shunts;
pub use thread::{Crew, Ended, SpawnError, cores};

/// Longest sleep: how late the timeouts of idle connections may fire.
const NAP: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Batches that are read from a source that is being closed: more than any ring holds, and an end if one does not dry.
const LAST_BATCHES: u32 = 1 << 16;
const FAULT: PollFlags = PollFlags::ERR.union(PollFlags::HUP).union(PollFlags::NVAL);

/// The engines of all `workers`, each with its share of the memory.
pub fn engines(
    config: &Config,
    origin: Origin,
    workers: u16,
    seed: [u64; 2],
) -> Result<Vec<Engine>, EngineError> {
    (0..workers)
        .map(|worker| Publisher::engine(config.engine(origin, worker, workers, seed)))
        .collect()
}

/// What a worker does when it has taken all packets there were, before it sleeps until there are more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// How long it lets packets gather; `None`: it does not.
    pub nap: Option<Duration>,
    /// How long it keeps looking after that.
    pub spin: Duration,
}

impl Patience {
    /// A worker that is woken for each packet of a program on its own host takes the time for that from the program. At a
    /// mirror port, packets that gather are packets at risk.
    #[must_use]
    pub fn of(capture: &Capture) -> Self {
        let nap = capture.nap.filter(|_| capture.mode == Mode::Tap);
        Self {
            nap,
            spin: capture.spin.unwrap_or_default(),
        }
    }
}

/// One thread's worth of a live capture.
pub struct Worker<S: Source> {
    engine: Engine,
    index: usize,
    /// Everybody's, in the order of the workers: `places[index]` is this worker's own.
    places: Arc<[Place<S>]>,
    shunts: Arc<Shunts>,
    sources: Vec<Connected<S>>,
    patience: Patience,
    /// Empty between sleeps; only its memory is kept.
    poll_list: Vec<PollFd<'static>>,
}

struct Connected<S> {
    source: S,
    /// Which interface it belongs to, as the capture calls it.
    port: u64,
    /// Its device is gone: polling it would return at once, for ever.
    broken: bool,
}

impl<S: Source> Worker<S> {
    /// The worker at place `index` of `places`.
    #[must_use]
    pub fn new(
        engine: Engine,
        index: usize,
        places: Arc<[Place<S>]>,
        shunts: Arc<Shunts>,
        patience: Patience,
    ) -> Self {
        Self {
            engine,
            index,
            places,
            shunts,
            sources: Vec::new(),
            patience,
            poll_list: Vec::new(),
        }
    }

    /// Works until it is told to stop.
    pub fn run(mut self) {
        let Patience { nap, spin } = self.patience;
        let mut to_nap = None;
        let mut idle_since: Option<Instant> = None;
        while self.obey() {
            if self.round() > 0 {
                to_nap = nap;
                idle_since = None;
            } else if let Some(nap) = to_nap.take() {
                std::thread::sleep(nap);
            } else if idle_since.get_or_insert_with(Instant::now).elapsed() < spin {
                std::hint::spin_loop();
            } else {
                self.sleep();
                self.engine.advance(now());
            }
        }
        self.engine.finish();
    }

    /// Does what the mailbox asks for; false when that is to stop.
    fn obey(&mut self) -> bool {
        if !self.places[self.index].mailbox().has_mail() {
            return true;
        }
        let places = Arc::clone(&self.places);
        let place = &places[self.index];
        while let Some(change) = place.next_change() {
            match change {
                Change::Add { port, source } => {
                    self.sources.push(Connected {
                        source,
                        port,
                        broken: false,
                    });
                }
                // Dropping the answer tells whoever waits for it that the sources are gone.
                Change::Remove { port, gone } => {
                    self.close(port);
                    drop(gone);
                }
            }
        }
        let goes_on = obey(&mut self.engine, place.mailbox());
        self.engine
            .shunts()
            .for_each(|shunt| self.shunts.post(shunt));
        goes_on
    }

    /// Reads what is left in the sources of a port, whose program is detached, and closes them.
    fn close(&mut self, port: u64) {
        let (engine, time) = (&mut self.engine, now());
        for mut closing in self
            .sources
            .extract_if(.., |connected| connected.port == port)
        {
            let mut rest = LAST_BATCHES;
            while rest > 0
                && closing
                    .source
                    .receive(time, &mut |batch| engine.process(batch))
                    > 0
            {
                rest -= 1;
            }
        }
    }

    /// A batch of every source; how many packets there were.
    fn round(&mut self) -> usize {
        let time = now();
        let engine = &mut self.engine;
        let mut packets = 0;
        for connected in &mut self.sources {
            packets += connected
                .source
                .receive(time, &mut |batch| engine.process(batch));
        }
        if packets > 0 {
            for handoff in self.engine.handoffs() {
                if let Some(place) = self.places.get(usize::from(handoff.worker)) {
                    place.mailbox().post(handoff);
                }
            }
            self.engine
                .shunts()
                .for_each(|shunt| self.shunts.post(shunt));
        }
        packets
    }

    /// Until a packet or mail comes, or for a nap.
    fn sleep(&mut self) {
        let mut list = reuse(mem::take(&mut self.poll_list));
        list.push(PollFd::from_borrowed_fd(
            self.places[self.index].mailbox().fd(),
            PollFlags::IN,
        ));
        let sound = self.sources.iter().filter(|connected| !connected.broken);
        list.extend(
            sound.map(|connected| PollFd::from_borrowed_fd(connected.source.fd(), PollFlags::IN)),
        );
        // An interrupted sleep is a short one.
        let _ = poll(&mut list, Some(&NAP));
        let faults = list
            .iter()
            .skip(1)
            .any(|entry| entry.revents().intersects(FAULT));
        self.poll_list = reuse(list);
        if faults {
            self.sources.iter_mut().for_each(Connected::examine);
        }
    }
}

impl<S: Source> Connected<S> {
    fn examine(&mut self) {
        let mut entry = [PollFd::from_borrowed_fd(self.source.fd(), PollFlags::IN)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        self.broken |=
            poll(&mut entry, Some(&at_once)).is_ok() && entry[0].revents().intersects(FAULT);
    }
}

/// Nanoseconds since the epoch.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests;
