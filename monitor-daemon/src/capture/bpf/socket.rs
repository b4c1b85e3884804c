//! Socket filter programs of a group of packet sockets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::HashMap;
use aya::programs::SocketFilter;
use monitor_common::LinkType;
use monitor_common::abi::{Config, PacketCount, interface, names, option};

use super::{BpfError, CaptureFilter, Counter, Object, SOCKET_OBJECT, Shunts, when};
use crate::capture::Settings;

/// Settings of the programs of one group.
#[derive(Clone, Copy, Debug)]
pub struct PacketFilterSettings<'a> {
    /// Key of the flow hash: random, and the same for all groups.
    pub seed: [u64; 2],
    /// Number of workers, and of sockets in the group.
    pub workers: u32,
    /// First header of the packets; `None`: the sockets are bound to all interfaces.
    pub start: Option<LinkType>,
    /// Filter of the flows to capture.
    pub filter: CaptureFilter<'a>,
}

impl<'a> PacketFilterSettings<'a> {
    /// Takes the settings of a capture, for sockets on all interfaces.
    #[must_use]
    pub fn new(settings: &'a Settings) -> Self {
        Self {
            seed: settings.seed,
            workers: settings.workers.into(),
            start: None,
            filter: settings.filter(),
        }
    }
}

/// Programs `accept` and `fanout` of one group. Attached ones stay while their sockets are open.
pub struct PacketFilter {
    object: Object,
}

impl PacketFilter {
    /// Loads the programs with their settings.
    ///
    /// # Errors
    /// [`BpfError::Permission`] without CAP_BPF; a filter out of range; a daemon built without the object; a refusal of
    /// the kernel.
    pub fn load(settings: &PacketFilterSettings<'_>) -> Result<Self, BpfError> {
        let options = when(settings.start == Some(LinkType::Ip), option::STARTS_AT_IP)
            | when(settings.start.is_none(), option::ALL_INTERFACES);
        let config = Config {
            seed: settings.seed,
            options,
            workers: settings.workers,
            ..Config::default()
        };
        let mut object = Object::new(SOCKET_OBJECT, config, &settings.filter, 1)?;
        for name in [names::ACCEPT, names::FANOUT] {
            let program: &mut SocketFilter = object.program_mut(name)?;
            program
                .load()
                .map_err(|error| BpfError::program(name, error))?;
        }
        Ok(Self { object })
    }

    /// Returns the filter program, for SO_ATTACH_BPF.
    pub(crate) fn accept(&self) -> io::Result<BorrowedFd<'_>> {
        self.descriptor(names::ACCEPT)
    }

    /// Returns the fanout program, for PACKET_FANOUT_DATA.
    pub(crate) fn fanout(&self) -> io::Result<BorrowedFd<'_>> {
        self.descriptor(names::FANOUT)
    }

    /// Captures an interface by sockets that are bound to all.
    ///
    /// # Errors
    /// More than [`MAX_INTERFACES`](monitor_common::abi::MAX_INTERFACES), or an error of the map.
    pub fn add_interface(
        &mut self,
        index: u32,
        start: LinkType,
        ignore_outgoing: bool,
    ) -> Result<(), BpfError> {
        let mut bits = 0;
        if start == LinkType::Ip {
            bits |= interface::STARTS_AT_IP;
        }
        if ignore_outgoing {
            bits |= interface::IGNORE_OUTGOING;
        }
        let mut map: HashMap<_, u32, u32> = self.object.map_mut(names::INTERFACES)?.try_into()?;
        Ok(map.insert(index, bits, 0)?)
    }

    /// Stops capturing an interface by sockets that are bound to all.
    ///
    /// # Errors
    /// An error of the map.
    pub fn remove_interface(&mut self, index: u32) -> Result<(), BpfError> {
        let mut map: HashMap<_, u32, u32> = self.object.map_mut(names::INTERFACES)?.try_into()?;
        Ok(map.remove(&index)?)
    }

    /// Returns the table of flows that it refuses.
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

    /// Returns the counters of the filter program.
    ///
    /// # Errors
    /// An error of the map.
    pub fn counters(&self) -> Result<Vec<Counter>, BpfError> {
        self.object.counters::<PacketCount>(names::PACKET_COUNTERS)
    }

    /// Returns the number of instructions that the verifier processed for each program (limit: a million).
    ///
    /// # Errors
    /// No information from the kernel.
    pub fn walked(&self) -> Result<Vec<(String, u32)>, BpfError> {
        self.object.walked()
    }

    fn descriptor(&self, name: &'static str) -> io::Result<BorrowedFd<'_>> {
        let program: &SocketFilter = self.object.program(name).map_err(io::Error::other)?;
        Ok(program.fd().map_err(io::Error::other)?.as_fd())
    }
}
