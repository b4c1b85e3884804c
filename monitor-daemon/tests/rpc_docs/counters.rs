//! Counters of `stats`.

use monitor_common::abi::{Count as _, PacketCount, SteerCount, TapCount};
use monitor_daemon::rpc::Metrics;
use monitor_engine::Counters;
use serde_json::json;

use crate::rpc_common::Server;
use crate::rpc_common::world::world;
use crate::text::{Text, assert_same, keys};

#[test]
fn every_counter_is_described_as_in_the_code() {
    let text = Text::load().section("## Counters");
    let described = |group: &str| -> Vec<(String, String)> {
        let rows = text.section(&format!("### {group}")).table("counter");
        rows.iter()
            .map(|row| (row[0].trim_matches('`').to_owned(), row[1].clone()))
            .collect()
    };
    let counters = Counters::default();
    for group in ["decode", "flows", "tcp", "store"] {
        let own = counters.each().filter(|(of, ..)| *of == group);
        let mut real: Vec<_> = own
            .map(|(_, name, doc, _)| (name.to_owned(), doc.trim().to_owned()))
            .collect();
        if group == "flows" {
            let sum = "Connections evicted in any state: the sum of the three above.";
            real.push(("evicted".to_owned(), sum.to_owned()));
        }
        assert_eq!(
            described(group),
            real,
            "{group}: documented (left) and real (right)"
        );
    }
    let metrics = Metrics::default();
    let real: Vec<_> = metrics
        .each()
        .map(|(name, doc, _)| (name.to_owned(), doc.to_owned()))
        .collect();
    assert_eq!(described("rpc"), real);
    let capture = described("capture");
    let contract = [
        "rx_packets",
        "rx_bytes",
        "rx_dropped",
        "rx_ring_full",
        "fill_ring_empty",
        "passed",
    ];
    assert_eq!(
        capture
            .iter()
            .take(contract.len())
            .map(|row| row.0.as_str())
            .collect::<Vec<_>>(),
        contract
    );
    let steer = SteerCount::ALL
        .iter()
        .map(|count| (count.name().to_owned(), count.doc().to_owned()));
    let tap = TapCount::ALL
        .iter()
        .map(|count| (count.name().to_owned(), count.doc().to_owned()));
    let packet = PacketCount::ALL
        .iter()
        .map(|count| (count.name().to_owned(), count.doc().to_owned()));
    let verdicts: Vec<_> = steer.chain(tap).chain(packet).collect();
    let documented: Vec<_> = capture
        .into_iter()
        .filter(|(name, _)| {
            ["xdp_", "tap_", "packet_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        })
        .collect();
    assert_eq!(documented, verdicts);
}

#[test]
fn every_counter_that_is_served_is_described() {
    let text = Text::load().section("## Counters");
    let (engines, _) = world();
    let server = Server::start(&engines);
    let stats = server.wire().result("stats", json!({}));
    for group in ["decode", "flows", "tcp", "store", "rpc"] {
        assert_same(
            &text.section(&format!("### {group}")).names("counter"),
            &keys(&stats[group]),
            group,
        );
    }
    let capture = text.section("### capture").0;
    for name in keys(&stats["capture"])
        .iter()
        .chain(&keys(&stats["capture"]["interfaces"][0]))
    {
        assert!(
            capture.contains(&format!("`{name}`")),
            "capture.{name} is not described"
        );
    }
}
