//! docs/rpc.md, the document of `rpc.discover` and the server agree: every method, parameter, result field, error
//! and counter, and no more.
//!
//! A new method has its line in monitor-rpc/src/method.rs, which names its role, types and errors, and its section in
//! docs/rpc.md.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod rpc_common;
#[path = "rpc_common/schemas.rs"]
mod schemas;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use monitor_common::abi::{Count, PacketCount, SteerCount, TapCount};
use monitor_daemon::rpc::Metrics;
use monitor_engine::Counters;
use monitor_rpc::types::{EventKind, TcpState};
use monitor_rpc::{Code, ErrorData, Method, Notification, OpenRpc, Reason, Role};
use rpc_common::Server;
use rpc_common::world::{ENDS, world};
use schemars::{Schema, schema_for};
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
        Text(
            lines
                .take_while(|line| !ends(line))
                .collect::<Vec<_>>()
                .join("\n"),
        )
    }

    /// Returns the cells of the table with the first heading `first`; empty if there is none.
    fn table(&self, first: &str) -> Vec<Vec<String>> {
        let start = format!("| {first} |");
        let rows = self
            .0
            .lines()
            .skip_while(|line| !line.starts_with(&start))
            .skip(2);
        rows.take_while(|line| line.starts_with('|'))
            .map(cells)
            .collect()
    }

    /// The first column of that table, without backticks.
    fn names(&self, first: &str) -> Vec<String> {
        self.table(first)
            .iter()
            .map(|row| row[0].trim_matches('`').to_owned())
            .collect()
    }
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|')
        .split(" | ")
        .map(|cell| cell.trim().to_owned())
        .collect()
}

fn method_section(text: &Text, method: Method) -> Text {
    text.section("## Methods")
        .section(&format!("### `{}`", method.name()))
}

fn keys(object: &Value) -> Vec<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

#[track_caller]
fn assert_same(documented: &[String], real: &[String], what: &str) {
    let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        set(documented),
        set(real),
        "{what}: documented (left) and real (right)"
    );
    assert_eq!(
        documented.len(),
        set(documented).len(),
        "{what}: documented twice"
    );
}

#[test]
fn every_method_is_described_in_order() {
    let text = Text::load().section("## Methods");
    let headings = text
        .0
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let methods: Vec<_> = Method::ALL.iter().map(|method| method.name()).collect();
    assert_eq!(headings.collect::<Vec<_>>(), methods);
}

#[test]
fn every_role_is_described() {
    for &method in Method::ALL {
        let section = method_section(&Text::load(), method).0;
        for (role, words) in [
            (Role::Anybody, "For every client."),
            (Role::Admin, "For admins."),
        ] {
            let (said, real) = (section.contains(words), method.role() == role);
            assert_eq!(said, real, "{method:?}: does docs/rpc.md say {words:?}?");
        }
    }
}

#[test]
fn every_parameter_is_described() {
    let text = Text::load();
    let document = OpenRpc::document();
    let (engines, _) = world();
    let server = Server::start(&engines);
    let mut wire = server.wire();
    for &method in Method::ALL {
        let rows = method_section(&text, method).table("parameter");
        let row = |row: &Vec<String>| {
            (
                row[0].trim_matches('`').to_owned(),
                !row[1].contains("optional"),
            )
        };
        let documented: BTreeSet<_> = rows.iter().map(row).collect();
        assert_eq!(
            documented.len(),
            rows.len(),
            "{method:?}: a parameter is documented twice"
        );
        let params = &document.method(method.name()).unwrap().params;
        let described = params
            .iter()
            .map(|param| (param.name.clone(), param.required));
        let what =
            "name and whether it is required, in docs/rpc.md (left) and in rpc.discover (right)";
        assert_eq!(documented, described.collect(), "{method:?}: {what}");
        for param in params {
            assert!(
                param.description.is_some(),
                "{method:?}: `{}` has no doc comment",
                param.name
            );
        }
        // The server's error names the parameters.
        let error = wire.error(method.name(), json!({ "no such parameter": 1 }));
        let message = error["message"].as_str().unwrap();
        let (_, taken) = message.split_once(", ").unwrap();
        let taken: Vec<String> = taken
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        let documented: Vec<_> = documented.into_iter().map(|(name, _)| name).collect();
        assert_same(&documented, &taken, method.name());
    }
}

/// Returns the server's reply to a good request. A method whose required parameters have the usual names needs no
/// example of its own.
fn example(method: Method, server: &Server, sockid: u64) -> Value {
    let mut wire = server.wire();
    let document = OpenRpc::document();
    let required = document.method(method.name()).unwrap().params.iter();
    let value = |name: &str| match name {
        "sockid" => json!(sockid),
        "side" => json!("server"),
        "off" => json!(0),
        "len" => json!(1),
        "client" => json!(ENDS.0),
        "server" => json!(ENDS.1),
        _ => panic!("{method:?} needs an example here: `{name}` is required"),
    };
    let mut params: Value = required
        .filter(|param| param.required)
        .map(|param| (param.name.clone(), value(&param.name)))
        .collect();
    match method {
        Method::Ppeek => {
            let base64 = wire.result("ppeek", params.clone());
            params["encoding"] = json!("raw");
            // One answer with the fields of both.
            let mut both = wire.result("ppeek", params);
            wire.raw(1);
            both["data"] = base64["data"].clone();
            both
        }
        Method::Watch => wire.result("watch", json!({ "pattern": "x" })),
        Method::Unsubscribe => {
            let listener = wire.result("subscribe", json!({}))["sockid"].clone();
            wire.result("unsubscribe", json!({ "sockid": listener }))
        }
        Method::Configure => {
            // One answer with the fields of both.
            let mut both = wire.result("configure", json!({ "sockid": sockid, "overlap": "bsd" }));
            let rule = wire.result(
                "configure",
                json!({ "filter": "port 80", "enabled": false }),
            )["rule"]
                .take();
            assert_eq!(
                wire.result("configure", json!({ "rule": rule, "remove": true })),
                json!({})
            );
            both["rule"] = rule;
            both
        }
        Method::ConfigTest => {
            wire.result("config.test", json!({ "text": "[tcp]\nlinger = '7s'\n" }))
        }
        _ => wire.result(method.name(), params),
    }
}

#[test]
fn every_result_field_is_described() {
    let text = Text::load();
    let document = OpenRpc::document();
    let (engines, sockid) = world();
    let (server, _workers) = Server::at_work(engines);
    for &method in Method::ALL {
        let section = method_section(&text, method);
        let schema = &document.method(method.name()).unwrap().result.schema;
        let described = properties(document.resolve(schema));
        let mut documented = section.names("result");
        if let Some((_, object)) = section.0.split_once("The result is a [") {
            let object = object.split(']').next().unwrap();
            assert_eq!(
                schema.get("$ref").unwrap(),
                &json!(reference(object)),
                "{method:?}"
            );
            documented = text
                .section("## Objects")
                .section(&format!("### {object}"))
                .names("field");
        }
        if section.0.contains("the result is the [SOCKET](#socket)") {
            documented.extend(
                text.section("## Objects")
                    .section("### SOCKET")
                    .names("field"),
            );
        }
        assert_same(
            &documented,
            &described,
            &format!("{method:?} in rpc.discover"),
        );
        let result = example(method, &server, sockid);
        assert_same(
            &keys(&result),
            &described,
            &format!("{method:?} as it is answered and in rpc.discover"),
        );
        if let Err(fault) = schemas::conforms(&document, schema, &result) {
            panic!("{method:?}: the answer is not what rpc.discover promises: {fault}");
        }
    }
}

#[test]
fn every_event_and_its_fields_are_described() {
    let text = Text::load().section("## Events");
    // Fields of all events, from the schema of the type that the server writes.
    let schema = schema_for!(Notification);
    let mut fields = BTreeSet::from(["event".to_owned()]);
    let mut objects = vec![schema.as_value()];
    while let Some(object) = objects.pop() {
        let members = object.get("properties").and_then(Value::as_object);
        fields.extend(members.into_iter().flatten().map(|(name, _)| name.clone()));
        for key in ["oneOf", "anyOf", "allOf"] {
            objects.extend(
                object
                    .get(key)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten(),
            );
        }
        let target = object.get("$ref").and_then(Value::as_str);
        objects.extend(target.and_then(|path| schema.as_value().pointer(&path[1..])));
    }
    assert_same(
        &text.names("field"),
        &fields.into_iter().collect::<Vec<_>>(),
        "fields of events",
    );
    let rows = text.table("event");
    let told: Vec<_> = rows
        .iter()
        .filter(|row| row[1] == "`subscribe`")
        .map(|row| row[0].clone())
        .collect();
    let kinds = EventKind::ALL
        .iter()
        .map(|kind| kind.name())
        .chain(["lost"]);
    assert_same(
        &told,
        &kinds.map(|name| format!("`{name}`")).collect::<Vec<_>>(),
        "events",
    );
    let section = method_section(&Text::load(), Method::Subscribe).0;
    for kind in EventKind::ALL {
        assert!(
            section.contains(&format!("`\"{}\"`", kind.name())),
            "{kind:?}"
        );
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
}

#[test]
fn every_object_is_described() {
    let text = Text::load().section("## Objects");
    let document = OpenRpc::document();
    let objects = text.0.lines().filter_map(|line| line.strip_prefix("### "));
    for object in objects.filter(|object| object.chars().all(|letter| letter.is_ascii_uppercase()))
    {
        let schema = Schema::new_ref(reference(object));
        let described = properties(document.resolve(&schema));
        assert_same(
            &text.section(&format!("### {object}")).names("field"),
            &described,
            object,
        );
    }
    for state in TcpState::ALL {
        assert!(
            text.section("### State").0.contains(&format!("`{state}`")),
            "{state}"
        );
    }
}

/// Returns the schema's name of an object in docs/rpc.md: SIDE is `SideInfo`, SOCKET is `Socket`.
fn reference(object: &str) -> String {
    let name = match object {
        "SIDE" => "SideInfo".to_owned(),
        _ => format!("{}{}", &object[..1], object[1..].to_lowercase()),
    };
    format!("#/components/schemas/{name}")
}

/// The members of an object that have a name of their own.
fn properties(schema: &Schema) -> Vec<String> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
        .collect()
}

/// Errnos, each with the reasons in parentheses after it, as a section's "Errors:" lists them.
fn documented_errors(section: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut errors: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let lines = section
        .lines()
        .filter_map(|line| line.split_once("Errors: "));
    let mut errno = String::new();
    for word in lines.flat_map(|(_, list)| list.split('`').skip(1).step_by(2)) {
        if word.starts_with('E') {
            word.clone_into(&mut errno);
        }
        let reasons = errors.entry(errno.clone()).or_default();
        if word != errno {
            reasons.insert(word.to_owned());
        }
    }
    errors
}

#[test]
fn every_methods_errors_are_described() {
    let text = Text::load();
    let document = OpenRpc::document();
    for &method in Method::ALL {
        let documented = documented_errors(&method_section(&text, method).0);
        let errors = &document.method(method.name()).unwrap().errors;
        let own = errors.iter().filter(|error| error.code > 1);
        let real: BTreeMap<_, BTreeSet<_>> = own
            .map(|error| {
                (
                    error.message.clone(),
                    error.data.reasons.iter().cloned().collect(),
                )
            })
            .collect();
        let names = |errors: &BTreeMap<String, BTreeSet<String>>| {
            errors.keys().cloned().collect::<Vec<_>>()
        };
        let what = format!("{method:?}: errors in docs/rpc.md and in its line of method.rs");
        assert_same(&names(&documented), &names(&real), &what);
        for (errno, reasons) in documented.iter().filter(|(_, reasons)| !reasons.is_empty()) {
            assert_eq!(reasons, &real[errno], "{what}: the reasons of {errno}");
        }
        let denied = errors
            .iter()
            .any(|error| error.data.reasons == ["permission"]);
        assert_eq!(denied, method.role() > Role::Anybody, "{method:?}");
    }
}

#[test]
fn every_error_is_described() {
    let text = Text::load().section("## Errors");
    let documented = text.table("code");
    let real = Code::ALL
        .iter()
        .map(|code| [code.number().to_string(), code.name().to_owned()]);
    assert_eq!(
        documented
            .iter()
            .map(|row| row[..2].to_vec())
            .collect::<Vec<_>>(),
        real.map(Vec::from).collect::<Vec<_>>()
    );
    let reasons = text
        .table("reason")
        .into_iter()
        .map(|row| (row[0].trim_matches('`').to_owned(), row[1].clone()));
    let real = Reason::ALL
        .iter()
        .map(|reason| (reason.name().to_owned(), reason.code().name().to_owned()));
    assert_eq!(reasons.collect::<Vec<_>>(), real.collect::<Vec<_>>());
    let everything = ErrorData {
        errno: Some("".into()),
        reason: Some("".into()),
        parameter: Some(String::new()),
        place: Some(0),
        base: Some(0),
        next: Some(0),
        end: Some(0),
        next_extent: Some(None),
    };
    assert_same(
        &text.names("data"),
        &keys(&serde_json::to_value(everything).unwrap()),
        "data",
    );
}

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
