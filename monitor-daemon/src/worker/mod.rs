//! Worker threads: one engine each, fed by a capture.
//!
//! A live worker reads the sources that its [`WorkerHandle`] receives; a worker of a replay reads files. Both run the
//! same commands ([`crate::control`]).
//!
//! **Invariant:** a worker touches only its own state on the packet path. Threads share its command queue (commands,
//! and the rare datagram reassembled by another worker), the event queues of its subscribers, and counters that other
//! threads only read.

mod cpu_time;
mod handle;
mod replay;
mod shunts;
#[cfg(test)]
mod tests;
mod thread;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use monitor_engine::{EngineConfig, EngineError};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use crate::capture::checksums::{ChecksumTrial, Segments};
use crate::capture::source::{Source, reuse};
use crate::config::{Capture, Config, Mode, Origin};
use crate::control::{Engine, run_commands};
use crate::events::Publisher;
use crate::util::clock::now;
use cpu_time::CpuTime;
use handle::Change;
pub use handle::WorkerHandle;
pub use replay::ReplayWorker;
pub use shunts::Shunts;
pub use thread::{SpawnError, WorkerExit, WorkerThreads, cores};

/// Longest sleep, and so the greatest delay of the timeouts of idle connections.
const MAX_SLEEP: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Time that an idle worker polls its sources before it sleeps. Measured on two overloaded cores: without busy-polling
/// packets were lost at full speed; with 50 µs the rate of small requests that the same cores serve was halved.
const BUSY_POLL: Duration = Duration::from_micros(20);

/// Batches read at most from a source that is being closed. More than any ring holds; bounds a source that never
/// runs dry.
const LAST_BATCHES: u32 = 1 << 16;
const FAULT: PollFlags = PollFlags::ERR.union(PollFlags::HUP).union(PollFlags::NVAL);

/// Creates the engines of all `workers` of an instance, each with its share of the memory.
pub fn engines(
    config: &Config,
    origin: Origin,
    workers: u16,
    seed: [u64; 2],
    instance: u64,
) -> Result<Vec<Engine>, EngineError> {
    (0..workers)
        .map(|worker| {
            let config = config.engine(origin, worker, workers, seed);
            Publisher::engine(EngineConfig { instance, ..config })
        })
        .collect()
}

/// Behaviour of a worker between reading the last packet and sleeping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdlePolicy {
    /// Coalescing delay: time in which packets accumulate before they are read together. `None`: no delay.
    pub coalesce: Option<Duration>,
    /// Time of busy-polling after that.
    pub busy_poll: Duration,
}

impl IdlePolicy {
    /// Returns the policy for a capture. Packets are coalesced in tap mode alone: waking a worker for each packet of a
    /// local program takes time from that program. At a mirror port, packets that accumulate may be lost.
    #[must_use]
    pub fn of(capture: &Capture) -> Self {
        Self {
            coalesce: capture.nap.filter(|_| capture.mode == Mode::Tap),
            busy_poll: BUSY_POLL,
        }
    }
}

/// Thread of a live capture.
pub struct Worker<S: Source> {
    engine: Engine,
    index: usize,
    /// Handles of all workers, in their order; `handles[index]` is this worker's own.
    handles: Arc<[WorkerHandle<S>]>,
    shunts: Arc<Shunts>,
    inputs: Vec<Input<S>>,
    idle: IdlePolicy,
    cpu_time: CpuTime,
    /// Empty between sleeps; only its memory is kept.
    poll_list: Vec<PollFd<'static>>,
}

/// Source that a worker reads.
struct Input<S> {
    source: S,
    /// Key of the device that it belongs to.
    device: u64,
    /// Set when the device is gone: poll() on it would return immediately.
    broken: bool,
    /// Until its first segments are judged.
    trial: Option<Arc<ChecksumTrial>>,
}

impl<S: Source> Worker<S> {
    /// Creates the worker with number `index` of those in `handles`.
    #[must_use]
    pub fn new(
        engine: Engine,
        index: usize,
        handles: Arc<[WorkerHandle<S>]>,
        shunts: Arc<Shunts>,
        idle: IdlePolicy,
    ) -> Self {
        Self {
            engine,
            index,
            handles,
            shunts,
            inputs: Vec::new(),
            idle,
            cpu_time: CpuTime::default(),
            poll_list: Vec::new(),
        }
    }

    /// Processes packets and commands until the command to stop.
    pub fn run(mut self) {
        let IdlePolicy {
            coalesce,
            busy_poll,
        } = self.idle;
        let mut delay = None;
        let mut idle_since: Option<Instant> = None;
        while self.run_commands() {
            if self.poll_sources() > 0 {
                delay = coalesce;
                idle_since = None;
            } else if let Some(delay) = delay.take() {
                std::thread::sleep(delay);
            } else if idle_since.get_or_insert_with(Instant::now).elapsed() < busy_poll {
                std::hint::spin_loop();
            } else {
                // Before the sleep: packets that end it have arrived earlier than the worker runs again.
                self.engine.advance(now());
                self.sleep();
            }
        }
        self.engine.finish();
    }

    /// Adds and removes sources and runs the commands of the queue; returns false after the command to stop.
    fn run_commands(&mut self) -> bool {
        if !self.handles[self.index].command_queue().has_pending() {
            return true;
        }
        let handles = Arc::clone(&self.handles);
        let handle = &handles[self.index];
        while let Some(change) = handle.next_change() {
            match change {
                Change::Add { device, source } => {
                    self.inputs.push(Input {
                        trial: source.trial(),
                        source,
                        device,
                        broken: false,
                    });
                }
                Change::Remove { device, closed } => {
                    self.close(device);
                    drop(closed);
                }
            }
        }
        let running = run_commands(&mut self.engine, handle.command_queue());
        self.post_shunts();
        running
    }

    /// Reads the remaining packets of a detached device and closes its sources.
    fn close(&mut self, device: u64) {
        let time = now();
        let engine = &mut self.engine;
        for mut input in self.inputs.extract_if(.., |input| input.device == device) {
            for _ in 0..LAST_BATCHES {
                if input.receive(time, engine) == 0 {
                    break;
                }
            }
        }
    }

    /// Processes a batch of every source; returns the number of packets.
    fn poll_sources(&mut self) -> usize {
        let time = now();
        self.cpu_time.sample(time, &self.engine);
        let mut packets = 0;
        for input in &mut self.inputs {
            packets += input.receive(time, &mut self.engine);
        }
        if packets > 0 {
            for handoff in self.engine.handoffs() {
                if let Some(handle) = self.handles.get(usize::from(handoff.worker)) {
                    handle.command_queue().post(handoff);
                }
            }
            self.post_shunts();
        }
        packets
    }

    fn post_shunts(&mut self) {
        for shunt in self.engine.shunts() {
            self.shunts.post(shunt);
        }
    }

    /// Sleeps until a packet or a command arrives, or for [`MAX_SLEEP`].
    fn sleep(&mut self) {
        let mut list = reuse(mem::take(&mut self.poll_list));
        list.push(PollFd::from_borrowed_fd(
            self.handles[self.index].command_queue().fd(),
            PollFlags::IN,
        ));
        for input in self.inputs.iter().filter(|input| !input.broken) {
            list.push(PollFd::from_borrowed_fd(input.source.fd(), PollFlags::IN));
        }
        // An interrupted sleep is a short one.
        let _ = poll(&mut list, Some(&MAX_SLEEP));
        let faults = list
            .iter()
            .skip(1)
            .any(|entry| entry.revents().intersects(FAULT));
        self.poll_list = reuse(list);
        if faults {
            self.inputs.iter_mut().for_each(Input::check);
        }
    }
}

impl<S: Source> Input<S> {
    fn receive(&mut self, time: u64, engine: &mut Engine) -> usize {
        let before = self
            .trial
            .as_ref()
            .map(|_| Segments::of(&engine.counters()));
        let packets = self.source.receive(time, &mut |batch| {
            if let Some(log) = engine.sink().packet_log() {
                log.push(batch);
            }
            engine.process(batch);
        });
        if packets > 0
            && let (Some(trial), Some(before)) = (&self.trial, before)
            && !trial.add(before, Segments::of(&engine.counters()))
        {
            self.trial = None;
        }
        packets
    }

    /// Excludes the source from further sleeps if its device is gone.
    fn check(&mut self) {
        self.source.clear_error();
        let mut entry = [PollFd::from_borrowed_fd(self.source.fd(), PollFlags::IN)];
        let immediately = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        self.broken |=
            poll(&mut entry, Some(&immediately)).is_ok() && entry[0].revents().intersects(FAULT);
    }
}
