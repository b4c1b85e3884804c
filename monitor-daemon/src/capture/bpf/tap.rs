//! TC programs that clone the packets of one interface of the host.

use std::time::Duration;

use aya::TestRunOptions;
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, TestRun};
use monitor_common::LinkType;
use monitor_common::abi::{Config, TapCount, names, option};

use super::{BpfError, CaptureFilter, Counter, OBJECT, Object, Shunts, when};

/// Settings of the program of one interface.
#[derive(Clone, Copy, Debug)]
pub struct TapSettings<'a> {
    /// Interface index of the monitor device: a TAP device for `Ethernet`, or a TUN device for either (the kernel
    /// removes the Ethernet header of the clone).
    pub monitor: u32,
    /// First header of the interface's packets: `Ip` when its ARPHRD type is NONE, `Ethernet` when it is ETHER or
    /// LOOPBACK.
    pub start: LinkType,
    /// Interface index of the relay, if [`Tap::attach_relay`] will be called. The relay is a second TAP device, on which
    /// VLAN tags that the kernel keeps beside the packet are inserted into the clones.
    pub relay: Option<u32>,
    /// Filter of the flows to clone.
    pub filter: CaptureFilter<'a>,
}

/// Direction of the packets that a program sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Received.
    Ingress,
    /// Sent.
    Egress,
}

impl From<Hook> for TcAttachType {
    fn from(hook: Hook) -> Self {
        match hook {
            Hook::Ingress => Self::Ingress,
            Hook::Egress => Self::Egress,
        }
    }
}

/// The `tap` program of one interface. Dropping it detaches the program.
pub struct Tap {
    object: Object,
}

impl Tap {
    /// Loads the program with its settings, unattached.
    ///
    /// # Errors
    /// Settings out of range; a daemon built without the object; no privilege; a program that the kernel refuses.
    pub fn load(settings: &TapSettings<'_>) -> Result<Self, BpfError> {
        let &TapSettings {
            monitor,
            start,
            relay,
            filter,
        } = settings;
        let options = when(start == LinkType::Ip, option::STARTS_AT_IP)
            | when(relay.is_some(), option::RESTORE_VLAN);
        let config = Config {
            options,
            monitor,
            relay: relay.unwrap_or(0),
            ..Config::default()
        };
        let mut object = Object::new(OBJECT, config, &filter, 1)?;
        let programs: &[_] = if relay.is_some() {
            &[names::TAP, names::RETAG]
        } else {
            &[names::TAP]
        };
        for &name in programs {
            let program: &mut SchedClassifier = object.program_mut(name)?;
            program
                .load()
                .map_err(|error| BpfError::program(name, error))?;
        }
        Ok(Self { object })
    }

    /// Replaces the filter. One that was disabled at load stays disabled.
    ///
    /// # Errors
    /// A filter out of range, or an error of the map.
    pub fn set_filter(&mut self, filter: &CaptureFilter<'_>) -> Result<(), BpfError> {
        self.object.set_filter(filter)
    }

    /// Attaches the program that restores VLAN tags to the relay. If the settings name a relay, must be called before
    /// [`attach`](Self::attach): tagged clones pass it.
    ///
    /// # Errors
    /// No such interface, or a refusal of the kernel.
    pub fn attach_relay(&mut self, relay: &str) -> Result<(), BpfError> {
        self.attach_program(names::RETAG, relay, Hook::Ingress)
    }

    /// Attaches the program to one direction of `interface`. On `lo`, [`Hook::Ingress`] suffices: every packet is sent
    /// and received there.
    ///
    /// It runs before all other TC programs, so that it sees packets before these drop or change them. From Linux 6.6
    /// on it is a TCX link, which ends with this process; older kernels refuse it.
    ///
    /// # Errors
    /// No such interface, or a refusal of the kernel.
    pub fn attach(&mut self, interface: &str, hook: Hook) -> Result<(), BpfError> {
        self.object.set_log_interface(interface);
        self.attach_program(names::TAP, interface, hook)
    }

    /// Returns the table of flows that it skips.
    pub fn shunts(&mut self) -> Shunts<'_> {
        Shunts(&mut self.object)
    }

    /// Returns the counters of the program.
    ///
    /// # Errors
    /// An error of the map.
    pub fn counters(&self) -> Result<Vec<Counter>, BpfError> {
        self.object.counters::<TapCount>(names::TAP_COUNTERS)
    }

    /// Forwards the program's messages to the daemon's log. Must be called regularly, for example once a second.
    pub fn drain_log(&mut self) {
        self.object.drain_log();
    }

    /// Runs the program on a packet without an interface (BPF_PROG_TEST_RUN). Returns its verdict, a `TC_ACT_*` action,
    /// and the mean time of `repeat` runs. The packet is counted and cloned.
    ///
    /// # Errors
    /// The kernel refuses packets shorter than 14 bytes.
    pub fn dry_run(&self, packet: &[u8], repeat: u32) -> Result<(i32, Duration), BpfError> {
        let program: &SchedClassifier = self.object.program(names::TAP)?;
        let options = TestRunOptions {
            data_in: Some(packet),
            repeat,
            ..TestRunOptions::default()
        };
        let result = program
            .test_run(options)
            .map_err(|error| BpfError::program(names::TAP, error))?;
        Ok((result.return_value.cast_signed(), result.duration))
    }

    /// Returns the number of instructions that the verifier processed for each program (limit: a million).
    ///
    /// # Errors
    /// No information from the kernel.
    pub fn walked(&self) -> Result<Vec<(String, u32)>, BpfError> {
        self.object.walked()
    }

    fn attach_program(
        &mut self,
        name: &'static str,
        interface: &str,
        hook: Hook,
    ) -> Result<(), BpfError> {
        let program: &mut SchedClassifier = self.object.program_mut(name)?;
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        let attached = program
            .attach_with_options(interface, hook.into(), order)
            .map(|_| ());
        attached.map_err(|error| BpfError::attach(interface, name, error))
    }
}
