use std::sync::mpsc;

use rustix::{
    event::{EventfdFlags, eventfd},
    fd::{AsFd, BorrowedFd, OwnedFd},
};

use monitor_engine::Link;

use super::*;

/// A source that hands out the frames it is given, through a descriptor that can be polled.
struct Scripted {
    bell: OwnedFd,
    frames: mpsc::Receiver<Vec<u8>>,
    given: mpsc::Sender<usize>,
}

impl Source for Scripted {
    fn receive(&mut self, time: u64, deliver: &mut dyn FnMut(&[Packet<'_>])) -> usize {
        let frames: Vec<Vec<u8>> = self.frames.try_iter().collect();
        let packet = |data| Packet { time, link: Link::Ethernet, data, more: &[] };
        let packets: Vec<Packet<'_>> = frames.iter().map(|frame| packet(&frame[..])).collect();
        if !packets.is_empty() {
            let _ = rustix::io::read(&self.bell, &mut [0; 8]);
            deliver(&packets);
            let _ = self.given.send(packets.len());
        }
        packets.len()
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

type Feed = (mpsc::Sender<Vec<u8>>, mpsc::Receiver<usize>, OwnedFd);

fn scripted() -> (Scripted, Feed) {
    let bell = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
    let (to, frames) = mpsc::channel();
    let (given, from) = mpsc::channel();
    let ring = bell.try_clone().unwrap();
    (Scripted { bell, frames, given }, (to, from, ring))
}

fn start(spin: Option<Duration>) -> (Arc<[Mailbox<Scripted>]>, Crew, Arc<monitor_engine::Counters>) {
    let mailboxes: Arc<[Mailbox<Scripted>]> = Arc::new([Mailbox::new().unwrap()]);
    let engine = Engine::new(Default::default(), ()).unwrap();
    let counters = engine.counters();
    let worker = Worker::new(engine, 0, Arc::clone(&mailboxes), spin);
    let crew = Crew::start(vec![move || worker.run()], &cores(), 0).unwrap();
    (mailboxes, crew, counters)
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn packets_wake_a_sleeping_worker_and_reach_the_engine() {
    for spin in [None, Some(Duration::from_millis(1))] {
        let (mailboxes, crew, counters) = start(spin);
        let (source, (to, from, bell)) = scripted();
        mailboxes[0].send(Command::Add { port: 7, source });
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(5));
            to.send(vec![0; 60]).unwrap();
            rustix::io::write(&bell, &1_u64.to_ne_bytes()).unwrap();
            assert_eq!(from.recv_timeout(LONG), Ok(1));
        }
        mailboxes[0].send(Command::Stop);
        crew.join();
        let packets = counters.each().find(|(_, name, ..)| *name == "packets").unwrap().3;
        assert_eq!(packets, 3);
    }
}

#[test]
fn a_removed_port_is_closed_before_the_answer() {
    let (mailboxes, crew, _) = start(None);
    let (source, (to, ..)) = scripted();
    let (other, (to_other, ..)) = scripted();
    mailboxes[0].send(Command::Add { port: 1, source });
    mailboxes[0].send(Command::Add { port: 2, source: other });
    let (gone, wait) = mpsc::channel();
    mailboxes[0].send(Command::Remove { port: 1, gone });
    assert_eq!(wait.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
    assert!(to.send(vec![]).is_err(), "the source of port 1 must be closed");
    assert!(to_other.send(vec![]).is_ok(), "the source of port 2 must be open");
    mailboxes[0].send(Command::Stop);
    crew.join();
}

#[test]
fn a_full_box_loses_datagrams_and_counts_them() {
    let mailbox = Mailbox::<Scripted>::new().unwrap();
    for _ in 0..300 {
        mailbox.post(monitor_engine::Handoff { worker: 0, time: 0, link: Link::Ip, data: vec![] });
    }
    assert_eq!(mailbox.lost(), 300 - 256);
}

#[tokio::test]
async fn the_end_of_a_thread_is_reported() {
    let quiet: Box<dyn FnOnce() + Send> = Box::new(|| {});
    let mut crew = Crew::start(vec![quiet], &cores(), 0).unwrap();
    assert_eq!(crew.ended().await, Some(Ended { worker: 0, panicked: false }));
    assert_eq!(crew.ended().await, None);
    crew.join();
}
