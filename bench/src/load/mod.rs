//! Packets on a cable: senders and receivers.

mod traffic;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};

use crate::baseline::Baseline;
use crate::sys::{self, bpf, packet, xdp};
use traffic::Traffic;
pub use traffic::syns;

/// Frames sent between two readings of the clock; the kernel accepts this number in one call.
const BURST: usize = 32;
/// Time limit for the kernel to send the last frames.
const DRAIN: Duration = Duration::from_secs(1);
/// Until the first packets have filled caches and pages.
const WARM_UP: Duration = Duration::from_millis(300);

/// A receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// AF_XDP, native, copied.
    Xdp,
    /// The same, with the work of the engine's baseline: headers, checksums, flows, bytes kept.
    Keep,
    /// AF_PACKET, TPACKET_V3.
    Packet,
}

/// Arguments of the sender.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Sending {
    /// Bytes of a frame.
    pub bytes: usize,
    /// For how long.
    pub seconds: f64,
    /// Frames a second, sent before anything else is done on that processor; as many as go if it is 0.
    pub rate: u64,
    /// The processor that it runs on.
    pub core: usize,
}

/// Sends TCP segments of some connections out of an interface; `packets` are those that the kernel says it is done with.
pub fn send(interface: &str, sending: Sending) -> Result<Value> {
    pin(sending.core)?;
    let mut traffic = Traffic::new(sending.bytes);
    let mut sender = xdp::Sender::new(interface, |number| traffic.frame(number))?;
    let rate = sending.rate as f64;
    if sending.rate > 0 {
        sys::come_first().context("cannot run before all others")?;
    }
    let (started, end) = (Instant::now(), Duration::from_secs_f64(sending.seconds));
    let mut sent = 0_u64;
    let elapsed = loop {
        let elapsed = started.elapsed();
        if elapsed >= end {
            break elapsed;
        }
        // A burst is sent when all of it is due.
        let early = (sent + BURST as u64) as f64 - elapsed.as_secs_f64() * rate;
        if sending.rate > 0 && early > 0.0 {
            thread::sleep(Duration::from_secs_f64(early / rate));
            continue;
        }
        sent += sender
            .send(BURST, |number, frame| traffic.next(number, frame))
            .context("cannot send")? as u64;
    };
    let packets = sent - outstanding(&mut sender)?;
    Ok(json!({"packets": packets, "seconds": elapsed.as_secs_f64()}))
}

/// Sends data of some connections out of a veth at full speed, made in the kernel, until this
/// process ends or `seconds` have passed.
pub fn flood(interface: &str, bytes: usize, seconds: u32, core: usize) -> Result<Value> {
    /// More frames a second than any veth takes. One system call for all of them: between two the kernel waits for all
    /// processors (synchronize_rcu), and the receiver would get bursts.
    const RATE: u32 = 10_000_000;
    pin(core)?;
    let index = sys::index(interface)?;
    let _takes_frames = bpf::pass(index).context("cannot attach an XDP program")?;
    let mut generator = bpf::Generator::new(index, Traffic::template(bytes))
        .context("cannot load the generator")?;
    generator
        .send(RATE.saturating_mul(seconds))
        .context("cannot run the generator")?;
    Ok(json!({}))
}

/// Waits for the last frames; how many never went.
fn outstanding(sender: &mut xdp::Sender) -> Result<u64> {
    let end = Instant::now() + DRAIN;
    loop {
        let outstanding = sender
            .outstanding()
            .context("cannot send the last frames")?;
        if outstanding == 0 || Instant::now() >= end {
            return Ok(outstanding as u64);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Counts received packets for `seconds`, from shortly after the first packet.
pub fn receive(kind: Kind, interface: &str, seconds: f64, core: usize) -> Result<Value> {
    pin(core)?;
    match kind {
        Kind::Xdp => {
            let mut receiver = xdp::Receiver::new(interface)?;
            count(seconds, || receiver.receive())
        }
        Kind::Keep => {
            let mut receiver = xdp::Receiver::new(interface)?;
            let mut baseline = Baseline::live().context("cannot map memory")?;
            count(seconds, || receiver.receive_into(&mut baseline))
        }
        Kind::Packet => {
            let _takes_frames =
                bpf::pass(sys::index(interface)?).context("cannot attach an XDP program")?;
            let mut receiver = packet::Receiver::new(interface)?;
            count(seconds, || receiver.receive())
        }
    }
}

fn count(seconds: f64, mut receive: impl FnMut() -> usize) -> Result<Value> {
    eprintln!("ready");
    while receive() == 0 {}
    let warm = Instant::now() + WARM_UP;
    while Instant::now() < warm {
        receive();
    }
    let (started, end) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut packets = 0;
    loop {
        // The clock is read once for many looks at the ring.
        packets += (0..64).map(|_| receive()).sum::<usize>();
        let elapsed = started.elapsed();
        if elapsed >= end {
            return Ok(json!({"packets": packets, "seconds": elapsed.as_secs_f64()}));
        }
    }
}

fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("cannot run on processor {core}"))
}
