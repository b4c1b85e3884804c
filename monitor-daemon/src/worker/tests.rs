//! Unit tests of the workers, with sources that hand out prepared frames.

use std::sync::mpsc;

use rustix::fd::{AsFd, BorrowedFd};

use monitor_engine::{LinkType, Packet};

use tokio::sync::oneshot;

use super::*;
use crate::capture::replay::{Options, Replay};
use crate::control::{Answer, Command, CommandQueue};
use crate::util::notifier::Notifier;

/// Source that delivers the frames of a channel, through a descriptor that can be polled.
struct Scripted {
    notifier: Arc<Notifier>,
    frames: mpsc::Receiver<Vec<u8>>,
    given: mpsc::Sender<usize>,
}

impl Source for Scripted {
    fn receive(&mut self, time: u64, deliver: &mut dyn FnMut(&[Packet<'_>])) -> usize {
        let frames: Vec<Vec<u8>> = self.frames.try_iter().collect();
        let packet = |data| Packet {
            time,
            interface: 0,
            link: LinkType::Ethernet,
            data,
            more: &[],
            cut: 0,
            checksum: monitor_engine::Checksum::Unknown,
        };
        let packets: Vec<Packet<'_>> = frames.iter().map(|frame| packet(&frame[..])).collect();
        if !packets.is_empty() {
            self.notifier.clear();
            deliver(&packets);
            let _ = self.given.send(packets.len());
        }
        packets.len()
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.notifier.as_fd()
    }
}

type Feed = (mpsc::Sender<Vec<u8>>, mpsc::Receiver<usize>, Arc<Notifier>);

fn scripted() -> (Scripted, Feed) {
    let notifier = Arc::new(Notifier::new().unwrap());
    let (to, frames) = mpsc::channel();
    let (given, from) = mpsc::channel();
    let ring = Arc::clone(&notifier);
    (
        Scripted {
            notifier,
            frames,
            given,
        },
        (to, from, ring),
    )
}

fn start(
    policy: IdlePolicy,
) -> (
    Arc<[WorkerHandle<Scripted>]>,
    WorkerThreads,
    Arc<monitor_engine::Counters>,
) {
    let handles: Arc<[WorkerHandle<Scripted>]> =
        Arc::new([WorkerHandle::new(Arc::new(CommandQueue::new().unwrap()))]);
    let engine = Publisher::engine(Default::default()).unwrap();
    let counters = engine.counters();
    let worker = Worker::new(
        engine,
        0,
        Arc::clone(&handles),
        Arc::new(Shunts::new().unwrap()),
        policy,
    );
    let threads = WorkerThreads::start(vec![move || worker.run()], &cores(), 0).unwrap();
    (handles, threads, counters)
}

/// Policies that sleep immediately, busy-poll, and coalesce.
const POLICIES: [IdlePolicy; 3] = [
    IdlePolicy {
        coalesce: None,
        busy_poll: Duration::ZERO,
    },
    IdlePolicy {
        coalesce: None,
        busy_poll: Duration::from_millis(1),
    },
    IdlePolicy {
        coalesce: Some(Duration::from_millis(1)),
        busy_poll: Duration::ZERO,
    },
];

#[test]
fn packets_of_a_mirror_port_are_not_coalesced() {
    let mut capture = Capture::default();
    assert!(IdlePolicy::of(&capture).coalesce.is_some());
    capture.mode = Mode::Mirror;
    assert_eq!(IdlePolicy::of(&capture).coalesce, None);
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn packets_wake_a_sleeping_worker_and_reach_the_engine() {
    for policy in POLICIES {
        let (handles, threads, counters) = start(policy);
        let (source, (to, from, notifier)) = scripted();
        handles[0].add(7, source);
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(5));
            to.send(vec![0; 60]).unwrap();
            notifier.notify();
            assert_eq!(from.recv_timeout(LONG), Ok(1));
        }
        handles[0].command_queue().send(Command::Stop);
        threads.join();
        let packets = counters
            .each()
            .find(|(_, name, ..)| *name == "packets")
            .unwrap()
            .3;
        assert_eq!(packets, 3);
    }
}

#[test]
fn a_removed_device_is_closed_before_the_answer() {
    let (handles, threads, _) = start(POLICIES[0]);
    let (source, (to, ..)) = scripted();
    let (other, (to_other, ..)) = scripted();
    handles[0].add(1, source);
    handles[0].add(2, other);
    let (closed, wait) = mpsc::channel();
    handles[0].remove(1, closed);
    assert_eq!(
        wait.recv_timeout(LONG),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
    assert!(
        to.send(vec![]).is_err(),
        "the source of device 1 must be closed"
    );
    assert!(
        to_other.send(vec![]).is_ok(),
        "the source of device 2 must be open"
    );
    handles[0].command_queue().send(Command::Stop);
    threads.join();
}

#[tokio::test]
async fn the_end_of_a_worker_thread_is_reported() {
    let quiet: Box<dyn FnOnce() + Send> = Box::new(|| {});
    let mut threads = WorkerThreads::start(vec![quiet], &cores(), 0).unwrap();
    assert_eq!(
        threads.next_exit().await,
        Some(WorkerExit {
            worker: 0,
            panicked: false
        })
    );
    assert_eq!(threads.next_exit().await, None);
    threads.join();
}

/// Sends a command and waits for the answer; an error means that none came.
fn ask<T>(
    command_queue: &CommandQueue,
    command: impl FnOnce(Answer<T>) -> Command,
) -> Result<T, oneshot::error::RecvError> {
    let (answer, answered) = oneshot::channel();
    command_queue.send(command(answer));
    answered.blocking_recv()
}

#[test]
fn a_live_worker_runs_commands_awake_and_asleep() {
    for policy in POLICIES {
        let (handles, threads, _) = start(policy);
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(5));
            ask(handles[0].command_queue(), |answer| Command::Ping {
                answer,
            })
            .unwrap();
        }
        handles[0].command_queue().send(Command::Stop);
        threads.join();
    }
}

#[test]
fn a_replay_runs_commands_between_packets_and_after_the_last_until_the_command_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.pcap");
    // The second packet is due an hour after the first.
    let frames = [(0, &[0; 60][..]), (3600, &[0; 60])];
    std::fs::write(&path, pcap(&frames)).unwrap();
    for speed in [Some(1.0), None] {
        let files =
            Replay::open(std::slice::from_ref(&path), Options { workers: 1, speed }).unwrap();
        let engine = Publisher::engine(Default::default()).unwrap();
        let counters = engine.counters();
        let command_queue = Arc::new(CommandQueue::new().unwrap());
        let worker = ReplayWorker::new(engine, 0, Arc::clone(&command_queue));
        let (done, end) = mpsc::channel();
        let status = files.status();
        let threads = WorkerThreads::start(
            vec![move || worker.run(&files, |read| done.send(read).unwrap())],
            &cores(),
            0,
        )
        .unwrap();
        if speed.is_none() {
            end.recv_timeout(LONG)
                .expect("the end of the file")
                .unwrap();
            assert!(status.finished());
        } else {
            let start = Instant::now();
            while counters.packets.get() == 0 {
                assert!(start.elapsed() < LONG, "the first packet is due at once");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        ask(&command_queue, |answer| Command::Ping { answer }).unwrap();
        assert_eq!(counters.packets.get(), if speed.is_none() { 2 } else { 1 });
        command_queue.send(Command::Stop);
        threads.join();
        assert!(has_no_answer(&command_queue), "the thread has ended");
    }
}

/// Returns whether a command stays in the queue.
fn has_no_answer(command_queue: &CommandQueue) -> bool {
    let (answer, mut answered) = oneshot::channel();
    command_queue.send(Command::Ping { answer });
    answered.try_recv() == Err(oneshot::error::TryRecvError::Empty)
}

fn pcap(frames: &[(u32, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (seconds, data) in frames {
        for word in [*seconds, 0, data.len() as u32, data.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(*data);
    }
    file
}
