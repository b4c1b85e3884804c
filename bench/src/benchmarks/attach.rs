//! Reading from an attached store, beside the socket, the engine's own process, and a bare copy.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use memmap2::{Advice, MmapMut, MmapOptions};
use monitor_client::{Attached, Client};
use monitor_engine::{Engine, EngineConfig, LinkType, Packet, Side, SockId};
use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use monitor_tests::{Daemon, until};
use serde_json::json;

use crate::context::{Benchmark, Context};
use crate::report::{Line, Report, Threshold, Unit};

pub const BENCHMARKS: &[Benchmark] = &[Benchmark {
    name: "attach.ppeek",
    measure: ppeek,
}];

/// Bytes that are retained, and read at random places.
const KEPT: usize = 32 << 20;
/// Requested length, number of reads, and name.
const SIZES: [(usize, usize, &str); 3] = [
    (64, 200_000, "64 B"),
    (4 << 10, 100_000, "4 KiB"),
    (64 << 10, 10_000, "64 KiB"),
];
/// Number of reads through the socket.
const ASKED: usize = 4000;
/// Duration of the count of reads.
const TIME: Duration = Duration::from_millis(500);

/// The stores that are read, and memory of the same size.
struct Stores {
    attached: Attached,
    asked: Client,
    sockid: u64,
    own: Engine,
    id: SockId,
    bare: MmapMut,
}

fn ppeek(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    let flow = flow();
    let capture = Capture::of(&Layers::ethernet(), &flow);
    let file = context.directory.join("attach.pcap");
    fs::create_dir_all(&context.directory)?;
    fs::write(&file, capture.pcap()).context("cannot write a capture")?;
    let settings =
        "[store]\nmemory = '64MiB'\nwindow = '48MiB'\nshare = true\n[log]\nlevel = 'warn'\n";
    let daemon = Daemon::replay(&[&file], settings, &[]);
    daemon.finished();
    let mut stores = Stores::new(&daemon, &flow, &capture)?;
    for size in SIZES {
        stores.latency(context.repeat, size, name, report)?;
    }
    let rates = (0..context.repeat).map(|_| stores.rate());
    let rates = rates.collect::<Result<Vec<_>>>()?;
    let line = Line::alone(&format!("{name}, 64 B"), "reads", Unit::PerSecond, &rates);
    report.add(line.threshold(Threshold::AtLeast(3e6)));
    drop(stores);
    daemon.stop();
    Ok(())
}

impl Stores {
    fn new(daemon: &Daemon, flow: &Flow, capture: &Capture) -> Result<Self> {
        let (client, server) = (flow.client.to_string(), flow.server.to_string());
        let wanted = json!({"client": client, "server": server});
        let mut rpc = daemon.rpc();
        let sockid = until("the connection", || {
            rpc.call("lookup", wanted.clone()).ok()?["sockid"].as_u64()
        });
        let own = engine(capture)?;
        let id = own.reader().connections(None).next();
        let mut bare = MmapOptions::new().len(KEPT).map_anon()?;
        // The store has huge pages, too.
        let _ = bare.advise(Advice::HugePage);
        bare.fill(0x55);
        Ok(Self {
            attached: Attached::open(daemon.socket())?,
            asked: Client::connect(daemon.socket())?,
            sockid,
            own,
            id: id.context("the engine has no connection")?.id,
            bare,
        })
    }

    /// Reads `count` times by each of them, several times in turns.
    fn latency(
        &mut self,
        repeat: usize,
        (len, count, called): (usize, usize, &str),
        name: &str,
        report: &mut Report,
    ) -> Result<()> {
        let mut buffer = vec![0; len];
        let reader = self.own.reader();
        let mut medians = [const { Vec::new() }; 4];
        for _ in 0..=repeat {
            let round = [
                median(count, len, |off| {
                    let read = self
                        .attached
                        .ppeek(self.sockid, Side::Server, off, &mut buffer);
                    Ok(read?.len as usize)
                })?,
                median(count, len, |off| {
                    Ok(reader.peek(self.id, Side::Server, off, &mut buffer)?.len)
                })?,
                median(count, len, |off| {
                    buffer.copy_from_slice(&self.bare[off as usize..][..len]);
                    std::hint::black_box(&mut buffer);
                    Ok(len)
                })?,
                median(ASKED, len, |off| {
                    let mut read = std::mem::take(&mut buffer);
                    let head = self.asked.ppeek_into(
                        self.sockid,
                        Side::Server,
                        off,
                        len as u64,
                        &mut read,
                    );
                    buffer = read;
                    Ok(head?.len as usize)
                })?,
            ];
            for (medians, median) in medians.iter_mut().zip(round) {
                medians.push(median);
            }
        }
        // The first round isn't counted.
        let [attached, own, bare, asked] = medians.map(|medians| medians[1..].to_vec());
        let name = format!("{name}, {called}");
        let line = |peer, theirs: &[f64]| {
            Line::pair(&name, "p50", Unit::Nanoseconds, &attached, peer, theirs)
        };
        if len == 64 {
            let alone = Line::alone(&name, "p50", Unit::Nanoseconds, &attached);
            report.add(alone.threshold(Threshold::AtMost(300.0)));
        }
        let small = Some(Threshold::RatioAtMost(1.5)).filter(|_| len == 64);
        let large = Some(Threshold::RatioAtMost(1.15)).filter(|_| len == 64 << 10);
        report.add(line("in-process", &own).threshold_if(small));
        report.add(line("bare copy", &bare).threshold_if(large));
        report.add(line("socket", &asked));
        Ok(())
    }

    /// Returns the number of small reads a second.
    fn rate(&mut self) -> Result<f64> {
        let (mut random, mut buffer) = (Random::new(1), [0; 64]);
        let (mut count, started) = (0_u64, Instant::now());
        while started.elapsed() < TIME {
            for _ in 0..1000 {
                let off = random.below(KEPT - 64) as u64;
                self.attached
                    .ppeek(self.sockid, Side::Server, off, &mut buffer)?;
            }
            count += 1000;
        }
        Ok(count as f64 / started.elapsed().as_secs_f64())
    }
}

/// Returns the median time of a read, nanoseconds.
fn median(count: usize, len: usize, mut read: impl FnMut(u64) -> Result<usize>) -> Result<f64> {
    // The same places for all.
    let mut random = Random::new(1);
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let off = random.below(KEPT - len) as u64;
        let started = Instant::now();
        let read = read(off)?;
        times.push(started.elapsed().as_nanos() as u64);
        ensure!(read == len, "{read} bytes instead of {len} at {off}");
    }
    times.sort_unstable();
    Ok(times[count / 2] as f64)
}

fn flow() -> Flow {
    let mut flow = Flow::new("192.0.2.1:40000", "198.51.100.1:80");
    flow.open().send(End::Client, &vec![0x55; KEPT]);
    flow
}

/// Returns an engine of this process that has read the capture.
fn engine(capture: &Capture) -> Result<Engine> {
    let config = EngineConfig {
        memory: 64 << 20,
        window: 48 << 20,
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(config, ())?;
    for frame in &capture.frames {
        engine.process(&[Packet {
            time: frame.time,
            interface: 0,
            link: LinkType::Ethernet,
            data: &frame.data,
            more: &[],
            cut: 0,
            checksum: monitor_engine::Checksum::Unknown,
        }]);
    }
    Ok(engine)
}
