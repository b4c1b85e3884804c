//! XDP program that redirects the packets of one interface into AF_XDP sockets.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use aya::TestRunOptions;
use aya::maps::XskMap;
use aya::programs::xdp::XdpLinkId;
use aya::programs::{TestRun, Xdp};
use monitor_common::LinkType;
use monitor_common::abi::{Config, MAX_WORKERS, SteerCount, names, option, socket_index};

use super::{BpfError, CaptureFilter, Counter, OBJECT, Object, Shunts, when};

/// Settings of the program of one interface.
#[derive(Clone, Copy, Debug)]
pub struct SteerSettings<'a> {
    /// Key of the flow hash: random, and the same for all interfaces, so that a flow that passes two of them has one
    /// worker.
    pub seed: [u64; 2],
    /// Number of workers: 1 to [`MAX_WORKERS`].
    pub workers: u32,
    /// Number of receive queues of the interface.
    pub queues: u32,
    /// First header of its packets: `Ip` for a TUN device, else `Ethernet`.
    pub start: LinkType,
    /// Drops packets that no socket receives instead of passing them to the network stack. Must be set on a monitor
    /// device: its packets are clones, and the stack would answer them a second time.
    pub drop_rest: bool,
    /// Filter of the flows to capture.
    pub filter: CaptureFilter<'a>,
}

/// Attachment mode of the XDP program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the network stack, with every driver, after the kernel has built its packet: slow.
    Generic,
}

impl XdpMode {
    /// Returns the name in `stats`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// The `steer` program of one interface. Dropping it detaches the program.
pub struct Steer {
    object: Object,
    workers: u32,
    queues: u32,
    link: Option<XdpLinkId>,
}

impl Steer {
    /// Loads the program with its settings, unattached.
    ///
    /// # Errors
    /// Settings out of range; a daemon built without the object; no privilege; a program that the kernel refuses.
    pub fn load(settings: &SteerSettings<'_>) -> Result<Self, BpfError> {
        let &SteerSettings {
            seed,
            workers,
            queues,
            start,
            drop_rest,
            filter,
        } = settings;
        if workers == 0 || workers > MAX_WORKERS {
            return Err(BpfError::Workers { given: workers });
        }
        let sockets = queues
            .max(1)
            .checked_mul(MAX_WORKERS)
            .ok_or(BpfError::NoPlace {
                queue: queues,
                worker: 0,
            })?;
        let options =
            when(start == LinkType::Ip, option::STARTS_AT_IP) | when(drop_rest, option::DROP_REST);
        let mut object = Object::new(
            OBJECT,
            Config {
                seed,
                options,
                workers,
                ..Config::default()
            },
            &filter,
            sockets,
        )?;
        let program: &mut Xdp = object.program_mut(names::STEER)?;
        program
            .load()
            .map_err(|error| BpfError::program(names::STEER, error))?;
        Ok(Self {
            object,
            workers,
            queues,
            link: None,
        })
    }

    /// Attaches the program to `interface` in exactly this mode; one that is attached is detached first.
    ///
    /// # Errors
    /// [`BpfError::is_unsupported`] when the driver cannot: another mode may work. [`BpfError::Busy`] when another
    /// program is attached, which stays.
    pub fn attach(&mut self, interface: &str, mode: XdpMode) -> Result<(), BpfError> {
        self.detach();
        self.object.set_log_interface(interface);
        let program: &mut Xdp = self.object.program_mut(names::STEER)?;
        let aya_mode = match mode {
            XdpMode::Native => aya::programs::XdpMode::Driver,
            XdpMode::Generic => aya::programs::XdpMode::Skb,
        };
        let link = program
            .attach(interface, aya_mode)
            .map_err(|error| BpfError::attach_xdp(interface, mode.name(), error))?;
        self.link = Some(link);
        Ok(())
    }

    /// Detaches the program, if it is attached and the interface exists.
    pub fn detach(&mut self) {
        let Some(link) = self.link.take() else { return };
        if let Ok(program) = self.object.program_mut::<Xdp>(names::STEER)
            && let Err(error) = program.detach(link)
        {
            tracing::debug!("detaching the XDP program: {error}");
        }
    }

    /// Redirects the packets of `queue` that belong to `worker` into `socket`. It must be an AF_XDP socket bound to that
    /// queue, or the kernel drops them. Closing the socket removes its entry.
    ///
    /// # Errors
    /// [`BpfError::NoPlace`] outside of the settings' queues and workers.
    pub fn set_socket(
        &mut self,
        queue: u32,
        worker: u32,
        socket: BorrowedFd<'_>,
    ) -> Result<(), BpfError> {
        let index = self.place(queue, worker)?;
        let mut map: XskMap<_> = self.object.map_mut(names::SOCKETS)?.try_into()?;
        Ok(map.set(index, socket.as_raw_fd(), 0)?)
    }

    /// Removes the entry of a socket: its packets count as `xdp_no_socket`.
    ///
    /// # Errors
    /// No such entry.
    pub fn unset_socket(&mut self, queue: u32, worker: u32) -> Result<(), BpfError> {
        let index = self.place(queue, worker)?;
        let mut map: XskMap<_> = self.object.map_mut(names::SOCKETS)?.try_into()?;
        Ok(map.unset(index)?)
    }

    /// Returns the table of flows that it skips.
    pub fn shunts(&mut self) -> Shunts<'_> {
        Shunts(&mut self.object)
    }

    /// Replaces the filter. One that was disabled at load stays disabled.
    ///
    /// # Errors
    /// A filter out of range, or an error of the map.
    pub fn set_filter(&mut self, filter: &CaptureFilter<'_>) -> Result<(), BpfError> {
        self.object.set_filter(filter)
    }

    /// Returns the counters of the program.
    ///
    /// # Errors
    /// An error of the map.
    pub fn counters(&self) -> Result<Vec<Counter>, BpfError> {
        self.object.counters::<SteerCount>(names::STEER_COUNTERS)
    }

    /// Forwards the program's messages to the daemon's log. Must be called regularly, for example once a second.
    pub fn drain_log(&mut self) {
        self.object.drain_log();
    }

    /// Runs the program on a packet without an interface (BPF_PROG_TEST_RUN). Returns its verdict, an `XDP_*` action,
    /// and the mean time of `repeat` runs. The packet is counted but not redirected.
    ///
    /// # Errors
    /// The kernel refuses packets shorter than 14 bytes.
    pub fn dry_run(&self, packet: &[u8], repeat: u32) -> Result<(u32, Duration), BpfError> {
        let program: &Xdp = self.object.program(names::STEER)?;
        let options = TestRunOptions {
            data_in: Some(packet),
            repeat,
            ..TestRunOptions::default()
        };
        let result = program
            .test_run(options)
            .map_err(|error| BpfError::program(names::STEER, error))?;
        Ok((result.return_value, result.duration))
    }

    /// Returns the number of instructions that the verifier processed (limit: a million), by name.
    ///
    /// # Errors
    /// No information from the kernel.
    pub fn walked(&self) -> Result<Vec<(String, u32)>, BpfError> {
        self.object.walked()
    }

    fn place(&self, queue: u32, worker: u32) -> Result<u32, BpfError> {
        if queue < self.queues && worker < self.workers {
            Ok(socket_index(queue, worker))
        } else {
            Err(BpfError::NoPlace { queue, worker })
        }
    }
}
