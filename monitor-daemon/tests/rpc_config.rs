//! `config.get`, `config.test`, `config.reload`: over a real socket, with a file of settings that changes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod rpc_common;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use monitor_daemon::config::{Config, ConfigSource, LiveConfig};
use monitor_tests::{as_user, open_to_all, skip};
use rpc_common::world::world;
use rpc_common::{Server, status};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A user that no system has.
const USER: u32 = 4_000_001;

/// A server with a file of settings.
struct Configured {
    server: Server,
    file: PathBuf,
    /// Settings that the workers received last.
    flows: Arc<Mutex<Config>>,
    told: Arc<AtomicUsize>,
    _directory: TempDir,
}

fn configured(text: &str) -> Configured {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    fs::write(&file, text).unwrap();
    let (flows, told) = (
        Arc::new(Mutex::new(Config::default())),
        Arc::new(AtomicUsize::new(0)),
    );
    let take = {
        let (flows, told) = (Arc::clone(&flows), Arc::clone(&told));
        Box::new(move |config: &Config| {
            *flows.lock().unwrap() = config.clone();
            told.fetch_add(1, Relaxed);
        })
    };
    let source = ConfigSource::new(Some(&file), None);
    let config = source.read().unwrap();
    let rpc = config.rpc.clone();
    let (engines, _) = world();
    let mut status = status(&engines);
    status.settings = Arc::new(LiveConfig::new(source, config).with_flows(take));
    let server = Server::start_with(status, |settings| {
        settings.mode = 0o666;
        settings.readers = rpc.readers;
        settings.admins = rpc.admins;
        settings.memory = rpc.memory;
    });
    open_to_all(&server.socket);
    Configured {
        server,
        file,
        flows,
        told,
        _directory: directory,
    }
}

fn brief(result: &Value) -> Vec<(String, Value, Value, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let change = |change: &Value| {
        (
            text(&change["key"]),
            change["from"].clone(),
            change["to"].clone(),
            text(&change["applies"]),
        )
    };
    result["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(change)
        .collect()
}

fn expected(key: &str, from: Value, to: Value, applies: &str) -> (String, Value, Value, String) {
    (key.to_owned(), from, to, applies.to_owned())
}

#[test]
fn a_reload_applies_some_changes_and_names_the_rest() {
    let it = configured("[filter]\nports = [80]\n");
    let mut wire = it.server.wire();
    let got = wire.result("config.get", json!({}));
    assert_eq!(got["file"], json!(it.file.to_str().unwrap()));
    assert_eq!(
        (
            &got["config"]["filter"]["ports"],
            &got["config"]["tcp"]["linger"]
        ),
        (&json!([80]), &json!("1m"))
    );
    assert_eq!(
        brief(&wire.result("config.reload", json!({}))),
        [],
        "nothing differs"
    );
    let text = "[filter]\nports = [80, 443]\n[store]\nwindow = '2MiB'\n[tcp]\nlinger = 'off'\n";
    let changes = [
        expected("filter.ports", json!([80]), json!([80, 443]), "now"),
        expected("tcp.linger", json!("1m"), json!("off"), "now"),
        expected("store.window", json!("1MiB"), json!("2MiB"), "restart"),
    ];
    let tested = wire.result("config.test", json!({ "text": text }));
    assert_eq!(
        (&tested["valid"], brief(&tested)),
        (&json!(true), changes.to_vec())
    );
    assert_eq!(
        wire.result("config.get", json!({})),
        got,
        "a test changes nothing"
    );
    fs::write(&it.file, text).unwrap();
    let same = wire.result("config.test", json!({ "file": it.file.to_str().unwrap() }));
    assert_eq!(
        (wire.result("config.test", json!({})), same),
        (tested.clone(), tested)
    );
    assert_eq!(it.told.load(Relaxed), 0);
    assert_eq!(brief(&wire.result("config.reload", json!({}))), changes);
    assert_eq!(
        (
            it.told.load(Relaxed),
            it.flows.lock().unwrap().filter.ports.clone()
        ),
        (1, vec![80, 443])
    );
    let now = wire.result("config.get", json!({}))["config"].clone();
    assert_eq!(
        (&now["tcp"]["linger"], &now["store"]["window"]),
        (&json!("off"), &json!("1MiB"))
    );
    assert_eq!(
        brief(&wire.result("config.reload", json!({}))),
        changes[2..],
        "said as long as it waits"
    );
    assert_eq!(
        it.told.load(Relaxed),
        1,
        "the workers are told what changed for them, and nothing else"
    );
}

#[test]
fn wrong_settings_change_nothing_and_name_the_key() {
    let it = configured("");
    let mut wire = it.server.wire();
    for (text, said) in [
        (
            "[store]\nmemry = '1GiB'\n",
            "unknown key \"memry\" in [store]; did you mean \"memory\"?",
        ),
        ("[tcp]\nidle_timeout = '1ms'\n", "[tcp] idle_timeout"),
        (
            "[rpc]\nadmins = ['@nobody-has-this-name']\n",
            "[rpc] admins: there is no group",
        ),
        ("[filter\n", "line 1"),
    ] {
        fs::write(&it.file, format!("{text}[log]\nlevel = 'debug'\n")).unwrap();
        let error = wire.error("config.reload", json!({}));
        assert_eq!(
            (&error["code"], &error["data"]["reason"]),
            (&json!(22), &json!("config")),
            "{error}"
        );
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
        assert_eq!(
            wire.error("config.test", json!({}))["message"],
            error["message"]
        );
        let path = it.file.to_str().unwrap();
        for (parameter, value) in [("text", text), ("file", path)] {
            let error = wire.error("config.test", json!({ parameter: value }));
            assert_eq!(
                (&error["code"], &error["data"]["parameter"]),
                (&json!(-32602), &json!(parameter)),
                "{error}"
            );
            assert!(error["message"].as_str().unwrap().contains(said), "{error}");
        }
    }
    for file in ["/dev/zero", "/nonexistent", "/"] {
        let error = wire.error("config.test", json!({ "file": file }));
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("cannot read the configuration"),
            "{error}"
        );
    }
    assert_eq!(
        wire.error("config.test", json!({ "file": "a", "text": "" }))["data"]["parameter"],
        "file"
    );
    fs::remove_file(&it.file).unwrap();
    assert_eq!(
        wire.error("config.reload", json!({}))["data"]["reason"],
        "config"
    );
    assert_eq!(
        brief(&wire.result("config.test", json!({ "text": "" }))),
        [],
        "the old settings apply"
    );
    assert_eq!(it.told.load(Relaxed), 0);
}

#[test]
fn roles_and_limits_change_for_clients_that_are_connected() {
    if !rustix::process::geteuid().is_root() {
        skip!("needs root, to be another user");
    }
    let it = configured("[rpc]\nreaders = ['root']\n");
    let mut admin = it.server.wire();
    let mut user = as_user(USER, &[], || it.server.wire());
    assert_eq!(user.error("stats", json!({}))["code"], 1);
    let reload = |text: &str, wire: &mut rpc_common::Wire| {
        fs::write(&it.file, text).unwrap();
        wire.result("config.reload", json!({}));
    };
    reload(&format!("[rpc]\nreaders = ['{USER}']\n"), &mut admin);
    user.result("stats", json!({}));
    let error = user.error("config.test", json!({ "text": "" }));
    assert_eq!(error["data"]["reason"], "permission");
    assert!(
        error["message"].as_str().unwrap().contains("[rpc] admins"),
        "{error}"
    );
    reload(&format!("[rpc]\nadmins = ['@{USER}']\n"), &mut admin);
    user.result("config.test", json!({ "text": "" }));
    // An admin is not root, and must not read files through the daemon.
    let error = user.error("config.test", json!({ "file": "/etc/shadow" }));
    assert_eq!(error["data"]["reason"], "permission");
    reload("[rpc]\nmemory = '1MiB'\n", &mut user);
    let mut second = it.server.wire();
    second.result("hello", json!({}));
    let mut third = it.server.wire();
    assert_eq!(third.reply()["error"]["data"]["reason"], "memory");
    assert_eq!(
        user.error("config.reload", json!({}))["code"],
        1,
        "it took its own right away"
    );
}

#[test]
fn limits_of_the_kernel_and_the_machine_are_known_to_a_test_of_settings() {
    let it = configured("[filter]\nports = [80]\n");
    let mut wire = it.server.wire();
    let networks: Vec<String> = (0..5000)
        .map(|number| format!("'10.{}.{}.0/24'", number / 256, number % 256))
        .collect();
    for (text, said) in [
        (
            format!("[filter]\nnetworks = [{}]\n", networks[..4097].join(",")),
            "at most 4096 are possible",
        ),
        (
            "[store]\nmemory = '100TiB'\n".to_owned(),
            "[store] memory and [capture] buffers need",
        ),
    ] {
        fs::write(&it.file, text).unwrap();
        for method in ["config.test", "config.reload"] {
            let error = wire.error(method, json!({}));
            assert!(error["message"].as_str().unwrap().contains(said), "{error}");
        }
    }
    assert_eq!(it.told.load(Relaxed), 0, "nothing was applied");
}
