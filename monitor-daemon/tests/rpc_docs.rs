//! docs/rpc.md says what the server does: every method, parameter, result field, error and counter, and no more.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping it")]

mod rpc_common;

use std::collections::BTreeSet;
use std::path::Path;

use monitor_client::types::State;
use monitor_client::{Code, ErrorData, Method, Reason};
use monitor_common::abi::{Count, SteerCount, TapCount};
use monitor_daemon::rpc::Metrics;
use monitor_engine::Counters;
use rpc_common::world::{ENDS, world};
use rpc_common::{Server, Wire};
use serde_json::{Value, json};

/// The reference, or a part of it below a heading.
struct Text(String);

impl Text {
    fn load() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rpc.md");
        Self(std::fs::read_to_string(path).unwrap())
    }

    /// Everything below `heading`, up to the next one of its level or a higher one.
    fn section(&self, heading: &str) -> Text {
        let level = heading.find(' ').unwrap();
        let mut lines = self.0.lines().skip_while(|line| *line != heading);
        assert!(lines.next().is_some(), "no heading {heading:?}");
        let ends = |line: &str| {
            let own = line.bytes().take_while(|&byte| byte == b'#').count();
            (1..=level).contains(&own) && line.as_bytes().get(own) == Some(&b' ')
        };
        Text(lines.take_while(|line| !ends(line)).collect::<Vec<_>>().join("\n"))
    }

    /// The cells of the table whose first heading is `first`; empty if there is none.
    fn table(&self, first: &str) -> Vec<Vec<String>> {
        let start = format!("| {first} |");
        let rows = self.0.lines().skip_while(|line| !line.starts_with(&start)).skip(2);
        rows.take_while(|line| line.starts_with('|')).map(cells).collect()
    }

    /// The first column of that table, without backticks.
    fn names(&self, first: &str) -> Vec<String> {
        self.table(first).iter().map(|row| row[0].trim_matches('`').to_owned()).collect()
    }
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
}

fn method_section(text: &Text, method: Method) -> Text {
    text.section("## Methods").section(&format!("### `{}`", method.name()))
}

fn keys(object: &Value) -> Vec<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

#[track_caller]
fn assert_same(documented: &[String], real: &[String], what: &str) {
    let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(set(documented), set(real), "{what}: documented (left) and real (right)");
    assert_eq!(documented.len(), set(documented).len(), "{what}: documented twice");
}

#[test]
fn every_method_is_described_in_order() {
    let text = Text::load().section("## Methods");
    let headings = text.0.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let methods: Vec<_> = Method::ALL.iter().map(|method| method.name()).collect();
    assert_eq!(headings.collect::<Vec<_>>(), methods);
}

#[test]
fn every_parameter_is_described() {
    let text = Text::load();
    let (engines, _) = world();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    for &method in Method::ALL {
        // The server itself names what it takes.
        let error = wire.error(method.name(), json!({ "no such parameter": 1 }));
        let message = error["message"].as_str().unwrap();
        let (_, taken) = message.split_once(", ").unwrap();
        let taken: Vec<String> = taken.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let documented = method_section(&text, method).names("parameter");
        assert_same(&documented, &taken, method.name());
    }
}

fn results(wire: &mut Wire, sockid: u64) -> Vec<(Method, Value)> {
    let side = json!({ "sockid": sockid, "side": "server" });
    let mut peek = json!({ "sockid": sockid, "side": "server", "off": 0, "len": 1 });
    let base64 = wire.result("ppeek", peek.clone());
    peek["encoding"] = json!("raw");
    let mut ppeek = wire.result("ppeek", peek);
    wire.raw(1);
    ppeek["data"] = base64["data"].clone();
    vec![
        (Method::Hello, wire.result("hello", json!({}))),
        (Method::Sockets, wire.result("sockets", json!({}))),
        (Method::Fragments, wire.result("fragments", side)),
        (Method::Ppeek, ppeek),
        (Method::Stats, wire.result("stats", json!({}))),
    ]
}

#[test]
fn every_result_field_is_described() {
    let text = Text::load();
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    for (method, result) in results(&mut wire, sockid) {
        let documented = method_section(&text, method).names("result");
        assert_same(&documented, &keys(&result), method.name());
    }
    let objects = text.section("## Objects");
    let socket = wire.result("info", json!({ "sockid": sockid }));
    assert_eq!(wire.result("lookup", json!({ "client": ENDS.0, "server": ENDS.1 })), socket);
    assert_same(&objects.section("### SOCKET").names("field"), &keys(&socket), "SOCKET");
    assert_same(&objects.section("### SIDE").names("field"), &keys(&socket["sides"]["client"]), "SIDE");
    for socket_method in [Method::Info, Method::Lookup] {
        let section = method_section(&text, socket_method).0;
        assert!(section.contains("The result is a [SOCKET](#socket)"), "{socket_method:?}");
    }
    for state in State::ALL {
        assert!(objects.section("### State").0.contains(&format!("`{state}`")), "{state}");
    }
}

#[test]
fn every_error_is_described() {
    let text = Text::load().section("## Errors");
    let documented = text.table("code");
    let real = Code::ALL.iter().map(|code| [code.number().to_string(), code.name().to_owned()]);
    assert_eq!(
        documented.iter().map(|row| row[..2].to_vec()).collect::<Vec<_>>(),
        real.map(Vec::from).collect::<Vec<_>>()
    );
    let reasons =
        text.table("reason").into_iter().map(|row| (row[0].trim_matches('`').to_owned(), row[1].clone()));
    let real = Reason::ALL.iter().map(|reason| (reason.name().to_owned(), reason.code().name().to_owned()));
    assert_eq!(reasons.collect::<Vec<_>>(), real.collect::<Vec<_>>());
    let everything = ErrorData {
        errno: Some("".into()),
        reason: Some("".into()),
        parameter: Some(String::new()),
        base: Some(0),
        next: Some(0),
        end: Some(0),
        next_extent: Some(None),
    };
    assert_same(&text.names("data"), &keys(&serde_json::to_value(everything).unwrap()), "data");
}

#[test]
fn every_counter_is_described_as_in_the_code() {
    let text = Text::load().section("## Counters");
    let described = |group: &str| -> Vec<(String, String)> {
        let rows = text.section(&format!("### {group}")).table("counter");
        rows.iter().map(|row| (row[0].trim_matches('`').to_owned(), row[1].clone())).collect()
    };
    let counters = Counters::default();
    for group in ["decode", "flows", "tcp", "store"] {
        let own = counters.each().filter(|(of, ..)| *of == group);
        let mut real: Vec<_> =
            own.map(|(_, name, doc, _)| (name.to_owned(), doc.trim().to_owned())).collect();
        if group == "flows" {
            let sum = "Connections evicted in any state: the sum of the three above.";
            real.push(("evicted".to_owned(), sum.to_owned()));
        }
        assert_eq!(described(group), real, "{group}: documented (left) and real (right)");
    }
    let metrics = Metrics::default();
    let real: Vec<_> = metrics.each().map(|(name, doc, _)| (name.to_owned(), doc.to_owned())).collect();
    assert_eq!(described("rpc"), real);
    let capture = described("capture");
    let contract = ["rx_packets", "rx_bytes", "rx_dropped", "rx_ring_full", "fill_ring_empty", "passed"];
    assert_eq!(capture.iter().take(contract.len()).map(|row| row.0.as_str()).collect::<Vec<_>>(), contract);
    let steer = SteerCount::ALL.iter().map(|count| (count.name().to_owned(), count.doc().to_owned()));
    let tap = TapCount::ALL.iter().map(|count| (count.name().to_owned(), count.doc().to_owned()));
    let verdicts: Vec<_> = steer.chain(tap).collect();
    let documented: Vec<_> = capture
        .into_iter()
        .filter(|(name, _)| name.starts_with("xdp_") || name.starts_with("tap_"))
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
        assert_same(&text.section(&format!("### {group}")).names("counter"), &keys(&stats[group]), group);
    }
    let capture = text.section("### capture").0;
    for name in keys(&stats["capture"]).iter().chain(&keys(&stats["capture"]["interfaces"][0])) {
        assert!(capture.contains(&format!("`{name}`")), "capture.{name} is not described");
    }
}
