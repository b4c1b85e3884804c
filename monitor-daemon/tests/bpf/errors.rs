//! Error messages of the BPF module.

use std::os::fd::AsFd;

use monitor_common::LinkType;
use monitor_daemon::capture::bpf::{
    BpfError, CaptureFilter, Hook, Steer, SteerSettings, Tap, TapSettings, XdpMode,
};

use crate::netns::{veth, within, xdp_socket};

fn settings() -> SteerSettings<'static> {
    SteerSettings {
        seed: [1, 2],
        workers: 2,
        queues: 2,
        start: LinkType::Ethernet,
        drop_rest: false,
        filter: CaptureFilter::default(),
    }
}

#[test]
fn an_unsupported_mode_is_distinguished_from_other_errors() {
    within(
        "an_unsupported_mode_is_distinguished_from_other_errors",
        || {
            let mut steer = Steer::load(&settings()).unwrap();
            let error = steer.attach("lo", XdpMode::Native).unwrap_err();
            assert!(error.is_unsupported(), "{error}");
            let message = error.to_string();
            assert!(
                message.starts_with(
                    "interface `lo`: the driver does not run this XDP program in native mode: "
                ),
                "{message}"
            );
            steer.attach("lo", XdpMode::Generic).unwrap();
            // A second attachment replaces the first.
            steer.attach("lo", XdpMode::Generic).unwrap();
        },
    );
}

#[test]
fn a_foreign_xdp_program_stays_attached() {
    within("a_foreign_xdp_program_stays_attached", || {
        veth("one", "other");
        let mut theirs = Steer::load(&settings()).unwrap();
        theirs.attach("one", XdpMode::Native).unwrap();
        let mut ours = Steer::load(&settings()).unwrap();
        for mode in [XdpMode::Native, XdpMode::Generic] {
            let error = ours.attach("one", mode).unwrap_err();
            assert!(matches!(error, BpfError::Busy { .. }), "{error}");
        }
        drop(theirs);
        ours.attach("one", XdpMode::Native).unwrap();
    });
}

#[test]
fn a_missing_interface_is_named() {
    within("a_missing_interface_is_named", || {
        let mut steer = Steer::load(&settings()).unwrap();
        let expected = "interface `nowhere`: there is no such interface";
        assert_eq!(
            steer
                .attach("nowhere", XdpMode::Native)
                .unwrap_err()
                .to_string(),
            expected
        );
        let filter = CaptureFilter::default();
        let mut tap = Tap::load(&TapSettings {
            monitor: 1,
            start: LinkType::Ip,
            relay: None,
            filter,
        })
        .unwrap();
        assert_eq!(
            tap.attach("nowhere", Hook::Egress).unwrap_err().to_string(),
            expected
        );
    });
}

#[test]
fn settings_out_of_range_are_refused() {
    within("settings_out_of_range_are_refused", || {
        for workers in [0, 65] {
            let error = Steer::load(&SteerSettings {
                workers,
                ..settings()
            })
            .err()
            .unwrap();
            assert_eq!(
                error.to_string(),
                format!("{workers} workers: must be 1 to 64")
            );
        }
        let mut steer = Steer::load(&settings()).unwrap();
        let socket = xdp_socket();
        for (queue, worker) in [(2, 0), (0, 2)] {
            let error = steer.set_socket(queue, worker, socket.as_fd()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("no entry for a socket of queue {queue} and worker {worker}")
            );
        }
        steer.set_socket(1, 1, socket.as_fd()).unwrap();
        steer.unset_socket(1, 1).unwrap();
    });
}
