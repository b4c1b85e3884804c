//! Names, values and formats of the metrics.

use std::collections::{BTreeSet, HashMap};

use monitor_client::Counters;
use monitor_client::types::Stats;
use monitor_relay::metrics::{Families, Format, Scrape, encode};
use monitor_tests::{have, skip};

use crate::rpc_common::talk::Talk;
use crate::rpc_common::world::world;
use crate::rpc_common::{Server, engines};
use crate::{filter, known, scrape, series};

/// Replaces each counter by a number that no other has; returns the numbers of those that must be samples. The sums over
/// workers are not.
fn number(stats: &mut Stats) -> Vec<u64> {
    let mut numbers = 1_000_000..;
    let mut given = Vec::new();
    let mut replace = |counters: &mut Counters| {
        for (_, value) in &mut counters.0 {
            *value = numbers.next().unwrap();
            given.push(*value);
        }
    };
    replace(&mut stats.capture.counters);
    replace(&mut stats.rpc);
    for worker in &mut stats.workers {
        for group in [
            &mut worker.decode,
            &mut worker.flows,
            &mut worker.tcp,
            &mut worker.store,
        ] {
            replace(group);
        }
    }
    given
}

#[test]
fn each_counter_of_stats_is_one_sample() {
    let (engines, _) = world();
    let server = Server::start(&engines);
    let mut scrape: Scrape = (*scrape(&server)).clone();
    let numbers = number(&mut scrape.answer.as_mut().unwrap().1);
    for format in [Format::OpenMetrics, Format::Prometheus] {
        let text = encode(Families::of(&scrape), format).unwrap();
        let mut found: HashMap<&str, usize> = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            *found.entry(line.rsplit_once(' ').unwrap().1).or_default() += 1;
        }
        for number in &numbers {
            let count = found.get(number.to_string().as_str());
            assert_eq!(count, Some(&1), "{number} in {text}");
        }
        let series = series(&text);
        let unique: BTreeSet<_> = series.iter().collect();
        assert_eq!(unique.len(), series.len(), "no series twice");
    }
}

#[test]
fn meanings_come_from_the_reference_of_the_rpc() {
    let families = Families::known();
    let family = |name: &str| {
        let found = families.0.iter().find(|family| family.name == name);
        found.unwrap_or_else(|| panic!("no {name}")).help.clone()
    };
    assert_eq!(family("monitord_tcp_gaps"), "Holes declared lost.");
    let losses = family("monitord_lost_packets");
    assert!(losses.contains("raise [capture] buffers"), "{losses}");
    for family in &families.0 {
        assert!(!family.help.contains("in stats"), "{}", family.name);
    }
}

#[test]
fn prometheus_finds_no_fault_with_names_and_texts() {
    if !have("promtool") {
        skip!("needs promtool, of Debian's package prometheus");
    }
    let (ok, output) = filter("promtool", &["check", "metrics"], &known());
    assert!(ok && output.is_empty(), "{output}");
    let (engines, _) = world();
    let text = encode(
        Families::of(&scrape(&Server::start(&engines))),
        Format::Prometheus,
    );
    let (ok, output) = filter("promtool", &["check", "metrics"], &text.unwrap());
    assert!(ok && output.is_empty(), "{output}");
}

#[test]
fn ten_thousand_connections_add_no_series() {
    let mut engines = engines(2);
    let server = Server::start(&engines);
    let text = |server: &Server| encode(Families::of(&scrape(server)), Format::Prometheus).unwrap();
    let before = text(&server);
    for number in 0..10_000_u32 {
        let client = format!("10.1.{}.{}:1234", number / 250, number % 250);
        Talk::new(&client, "10.0.0.2:80").open(&mut engines[(number % 2) as usize]);
    }
    let after = text(&server);
    assert_eq!(series(&before), series(&after));
    let active = r#"monitord_connections{worker="1",state="active"} 5000"#;
    assert!(after.contains(active), "{after}");
}
