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

mod counters;
mod objects;
#[path = "../rpc_common/mod.rs"]
mod rpc_common;
#[path = "../rpc_common/schemas.rs"]
mod schemas;
mod text;

use std::collections::BTreeSet;

use monitor_rpc::{Method, OpenRpc, Role};
use rpc_common::Server;
use rpc_common::world::{ENDS, world};
use schemars::Schema;
use serde_json::{Value, json};
use text::{Text, assert_same, keys, method_section};

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
    let (server, _workers) = Server::live(engines);
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

/// Returns the schema's name of an object in docs/rpc.md: SIDE is `SideInfo`, SOCKET is `Socket`.
fn reference(object: &str) -> String {
    let name = match object {
        "SIDE" => "SideInfo".to_owned(),
        _ => format!("{}{}", &object[..1], object[1..].to_lowercase()),
    };
    format!("#/components/schemas/{name}")
}

fn properties(schema: &Schema) -> Vec<String> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
        .collect()
}
