//! Sampling of the daemon on a thread of its own: the screen reacts to keys during a slow reply.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use monitor_client::types::{Socket, SocketsParams, Sort as WireSort, Stats};
use monitor_client::{Client, Error};

use super::cpu;
use super::sort::Sort;
use crate::failure::Failure;
use crate::show::units::now;

/// Maximum number of connections per sample, the daemon's own limit of a sorted list. Reading all of a million
/// connections each second would cost the daemon and the screen more than the rows are worth.
pub const LIMIT: u64 = 10_000;

/// State of the daemon at one time.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// `None` for the state before the first sample.
    pub at: Option<Instant>,
    /// The same in seconds since the epoch.
    pub time: f64,
    pub stats: Stats,
    pub sockets: Vec<Socket>,
    /// CPU seconds of each worker, if the daemon's threads are visible.
    pub cpu: Vec<Option<f64>>,
}

/// Connection that samples are read from.
pub struct Sampler {
    socket: PathBuf,
    filter: Option<String>,
    client: Option<(Client, u32)>,
}

impl Sampler {
    pub fn connect(socket: &Path, filter: Option<String>) -> Result<Self, Failure> {
        let client = Some(connect(socket)?);
        Ok(Self {
            socket: socket.to_path_buf(),
            filter,
            client,
        })
    }

    /// Returns one sample. After a failure it reconnects: the daemon may have been restarted.
    pub fn sample(&mut self, sort: Sort) -> Result<Sample, Failure> {
        let (mut client, pid) = match self.client.take() {
            Some(client) => client,
            None => connect(&self.socket)?,
        };
        let sample = sample(&mut client, pid, self.filter.as_ref(), sort)?;
        self.client = Some((client, pid));
        Ok(sample)
    }
}

fn connect(socket: &Path) -> Result<(Client, u32), Error> {
    let mut client = Client::connect(socket)?;
    let hello = client.hello(concat!("monitorctl ", env!("CARGO_PKG_VERSION"), " top"))?;
    Ok((client, hello.pid))
}

fn sample(
    client: &mut Client,
    pid: u32,
    filter: Option<&String>,
    sort: Sort,
) -> Result<Sample, Failure> {
    let stats = client.stats()?;
    let cpu = (0..stats.capture.workers)
        .map(|worker| cpu::of_worker(pid, worker))
        .collect();
    let (at, time) = (Some(Instant::now()), now());
    let params = SocketsParams {
        filter: filter.cloned(),
        sort: Some(wire_sort(sort)),
        limit: Some(LIMIT),
        ..SocketsParams::default()
    };
    Ok(Sample {
        at,
        time,
        stats,
        sockets: client.sockets(&params)?.sockets,
        cpu,
    })
}

/// Returns the daemon's order that contains the first rows of ours. A connection with a current rate had a packet
/// lately; the daemon's own `rate` is the average since the connection opened.
fn wire_sort(sort: Sort) -> WireSort {
    match sort {
        Sort::Rate | Sort::Holes | Sort::Last => WireSort::Last,
        Sort::Bytes | Sort::Memory => WireSort::Bytes,
        Sort::Opened => WireSort::Opened,
    }
}

/// Handle of the sampling thread.
pub struct Poller {
    requests: Sender<Sort>,
    results: Receiver<Result<Sample, Failure>>,
}

impl Poller {
    /// Starts the thread. It ends after this handle is dropped and its last sample is done; it is never joined.
    pub fn start(mut sampler: Sampler) -> Self {
        let (requests, requested) = channel();
        let (sender, results) = channel();
        thread::spawn(move || {
            while let Ok(sort) = requested.recv()
                && sender.send(sampler.sample(sort)).is_ok()
            {}
        });
        Self { requests, results }
    }

    pub fn request(&self, sort: Sort) {
        // The thread ends only after this handle is dropped.
        let _ = self.requests.send(sort);
    }

    pub fn result(&self) -> Option<Result<Sample, Failure>> {
        self.results.try_recv().ok()
    }
}
