//! Settings that change between two packets.

use monitor_engine::{CloseReason, EngineConfig, FlowFilter, Side};

use crate::common::{Flow, Lab, S as SECOND};

const C: Side = Side::Client;
const S: Side = Side::Server;

/// Changes the settings that the lab was made with.
fn change(lab: &mut Lab, change: impl FnOnce(&mut EngineConfig)) {
    let mut config = Lab::config();
    change(&mut config);
    lab.engine.reconfigure(&config);
}

#[test]
fn a_new_filter_is_for_connections_to_come() {
    let (mut lab, mut old, mut other) = (Lab::new(), Flow::numbered(1), Flow::numbered(2));
    old.open(&mut lab);
    change(&mut lab, |config| {
        config.filter = FlowFilter {
            ports: vec![1],
            networks: vec![],
        }
    });
    other.open(&mut lab);
    old.send(&mut lab, C, b"still heard");
    assert_eq!(lab.only().sides[S.index()].next, 11);
    assert!(lab.count("filtered") > 0);
    change(&mut lab, |_| {});
    other.send(&mut lab, C, b"now it is wanted");
    assert_eq!(lab.connections().len(), 2);
}

#[test]
fn new_times_are_for_all_connections() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"x");
    lab.wait(30_000);
    assert_eq!(lab.only().closed, None);
    change(&mut lab, |config| {
        config.tcp.idle_timeout = Some(20 * SECOND);
        config.tcp.linger = Some(5 * SECOND);
    });
    lab.wait(1_000);
    assert_eq!(lab.only().closed, Some(CloseReason::Timeout));
    lab.wait(7_000);
    assert_eq!(lab.connections(), []);
}

#[test]
fn creation_settings_of_an_engine_stay() {
    let mut lab = Lab::new();
    change(&mut lab, |config| {
        config.memory = 1 << 30;
        config.worker = 7;
        config.window = 5000;
    });
    let mut flow = Flow::new();
    flow.open(&mut lab);
    flow.send(&mut lab, C, &[7; 20_000]);
    assert_eq!((lab.only().id.worker(), lab.count("budget")), (0, 16 << 20));
    assert_eq!(lab.side(S).retained, 20_000);
}
