//! Events, objects and errors.

use std::collections::{BTreeMap, BTreeSet};

use monitor_rpc::types::{EventKind, TcpState};
use monitor_rpc::{Code, ErrorData, Method, Notification, OpenRpc, Reason, Role};
use schemars::{Schema, schema_for};
use serde_json::Value;

use crate::text::{Text, assert_same, keys, method_section};
use crate::{properties, reference};

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
