//! XDP programs of the benchmarks, which `monitor-ebpf/src/bench` defines: loaded, and attached to an interface's driver.

use std::os::fd::RawFd;

use anyhow::{Context, Result};
use aya::maps::XskMap;
use aya::programs::{TestRun, TestRunAttrs, TestRunOptions, Xdp, xdp::XdpMode};
use aya::{Ebpf, EbpfLoader};

/// Object that `cargo xtask bench` builds before it runs the benchmarks.
const OBJECT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/bpf/monitor-ebpf-bench"
);

/// Attached program. It is detached when this is dropped.
pub struct Attached(Ebpf);

/// Attaches the program that redirects queue 0 into a socket.
pub fn redirect(interface: u32) -> Result<Attached> {
    attach("redirect", interface)
}

/// Attaches a program that lets everything pass: then a veth takes frames that a program at its other end sends.
pub fn pass(interface: u32) -> Result<Attached> {
    attach("pass", interface)
}

impl Attached {
    /// Sends the packets of queue 0 to this socket.
    pub fn to(&mut self, socket: RawFd) -> Result<()> {
        let map = self.0.map_mut("SOCKETS").context("no XSKMAP")?;
        Ok(XskMap::try_from(map)?.set(0, socket, 0)?)
    }
}

/// Template for the frames of a [`Generator`].
#[derive(Clone, Debug)]
pub struct Template {
    /// Ethernet, IPv4 and TCP without options; ports, sequence number and checksum are filled in.
    pub frame: Vec<u8>,
    /// Sum of all words under the TCP checksum, except for the source port and the sequence number.
    pub sum: u32,
    /// Source port of the first flow; those of the others follow it.
    pub port: u16,
    /// Number of flows that take turns, a power of two.
    pub flows: u16,
    /// Bytes of payload in each frame.
    pub payload: u16,
}

/// Program that makes frames in the kernel and sends them: BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES, see the
/// kernel's Documentation/bpf/bpf_prog_run.rst.
pub struct Generator {
    object: Ebpf,
    frame: Vec<u8>,
    interface: u32,
}

impl Generator {
    /// Frames that the program is run for at once.
    const BATCH: u32 = 64;

    /// Loads the program for frames that go out of `interface`.
    pub fn new(interface: u32, template: Template) -> Result<Self> {
        let (port, payload) = (u32::from(template.port), u32::from(template.payload));
        let mut loader = EbpfLoader::new();
        loader
            .override_global("SUM", &template.sum, true)
            .override_global("PORT", &port, true)
            .override_global("PAYLOAD", &payload, true);
        let log2 = template.flows.trailing_zeros();
        let mut object = loader
            .override_global("CONNECTIONS_LOG2", &log2, true)
            .load_file(OBJECT)?;
        program(&mut object, "generate")?.load()?;
        Ok(Self {
            object,
            frame: template.frame,
            interface,
        })
    }

    /// Makes and sends a number of frames.
    pub fn send(&mut self, frames: u32) -> Result<()> {
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
        let context = [0, self.frame.len() as u32, 0, self.interface, 0, 0];
        let context = context.map(u32::to_ne_bytes);
        program(&mut self.object, "generate")?.test_run(TestRunOptions {
            data_in: Some(&self.frame),
            ctx_in: Some(context.as_flattened()),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(Self::BATCH),
            ..TestRunOptions::new()
        })?;
        Ok(())
    }
}

fn attach(name: &str, interface: u32) -> Result<Attached> {
    let mut object = EbpfLoader::new()
        .load_file(OBJECT)
        .with_context(|| format!("cannot load {OBJECT}; `cargo xtask build-ebpf` builds it"))?;
    let program = program(&mut object, name)?;
    program.load()?;
    program.attach_to_if_index(interface, XdpMode::Driver)?;
    Ok(Attached(object))
}

fn program<'o>(object: &'o mut Ebpf, name: &str) -> Result<&'o mut Xdp> {
    let program = object.program_mut(name).context("no such program")?;
    Ok(program.try_into()?)
}
