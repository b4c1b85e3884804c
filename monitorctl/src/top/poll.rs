//! Sampling on a thread of its own: the screen reacts to keys during a slow reply.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use monitor_client::types::{SocketsParams, Sort as WireSort};
use monitor_client::{Client, Error};

use super::cpu;
use super::model::Model;
use super::sample::Sample;
use super::sort::Sort;
use crate::failure::Failure;
use crate::show::units::now;

/// Maximum number of connections per sample, the daemon's own limit of a sorted list. Reading all of a million
/// connections each second would cost the daemon and the screen more than the rows are worth.
const LIMIT: u64 = 10_000;

/// Origin of models: a daemon, or a fleet.
pub trait Source: Send {
    /// Samples once, and returns the model with the rates since the sample before.
    fn model(&mut self, sort: Sort) -> Result<Model, Failure>;
}

/// Connection that samples are read from.
pub struct Sampler {
    socket: PathBuf,
    filter: Option<String>,
    client: Option<(Client, u32)>,
    before: Option<Sample>,
}

impl Sampler {
    pub fn connect(socket: &Path, filter: Option<String>) -> Result<Self, Failure> {
        let client = Some(connect(socket)?);
        Ok(Self {
            socket: socket.to_path_buf(),
            filter,
            client,
            before: None,
        })
    }

    /// Returns one sample. After a failure it reconnects: the daemon may have been restarted.
    fn sample(&mut self, sort: Sort) -> Result<Sample, Failure> {
        let (mut client, pid) = match self.client.take() {
            Some(client) => client,
            None => connect(&self.socket)?,
        };
        let sample = sample(&mut client, pid, self.filter.as_ref(), sort)?;
        self.client = Some((client, pid));
        Ok(sample)
    }
}

impl Source for Sampler {
    fn model(&mut self, sort: Sort) -> Result<Model, Failure> {
        let sample = self.sample(sort)?;
        let model = Model::new(self.before.as_ref(), &sample);
        self.before = Some(sample);
        Ok(model)
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
    let sockets = client.sockets(&params(filter, sort, LIMIT))?.sockets;
    Ok(Sample {
        at,
        time,
        stats,
        is_cut: sockets.len() as u64 == LIMIT,
        sockets,
        cpu,
    })
}

/// Returns the parameters for the first rows of an order.
pub fn params(filter: Option<&String>, sort: Sort, limit: u64) -> SocketsParams {
    SocketsParams {
        filter: filter.cloned(),
        sort: Some(wire_sort(sort)),
        limit: Some(limit),
        ..SocketsParams::default()
    }
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
    results: Receiver<Result<Model, Failure>>,
}

impl Poller {
    /// Starts the thread. It ends after this handle is dropped and its last sample is done; it is never joined.
    pub fn start(mut source: Box<dyn Source>) -> Self {
        let (requests, requested) = channel();
        let (sender, results) = channel();
        thread::spawn(move || {
            while let Ok(sort) = requested.recv()
                && sender.send(source.model(sort)).is_ok()
            {}
        });
        Self { requests, results }
    }

    pub fn request(&self, sort: Sort) {
        // The thread ends only after this handle is dropped.
        let _ = self.requests.send(sort);
    }

    pub fn result(&self) -> Option<Result<Model, Failure>> {
        self.results.try_recv().ok()
    }
}
