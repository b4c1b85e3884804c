//! Tests of `save`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::rpc_common::world::{ANSWER, STREAM, world};
use crate::rpc_common::{Server, pattern};
use crate::{json_lines, run, stdout, text};

fn read(dir: &Path, name: &str) -> Vec<u8> {
    fs::read(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_connection_is_saved_with_a_list_of_its_holes() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("new");
    let (path, name) = (target.to_str().unwrap(), sockid.to_string());
    let line = text(&server, &["save", &name, "--dir", path]);
    assert!(
        line.contains("server 293 KiB (100 B missing)  client 23 B"),
        "{line}"
    );
    let expected = [pattern(0, STREAM), pattern(STREAM as u64 + 100, 5)].concat();
    assert!(
        read(&target, &format!("{sockid}-server.bin")) == expected,
        "missing bytes take no space"
    );
    assert_eq!(read(&target, &format!("{sockid}-client.bin")), ANSWER);
    let account: Value = serde_json::from_slice(&read(&target, &format!("{sockid}.json"))).unwrap();
    assert_eq!(
        (&account["sockid"], &account["closed"]),
        (&json!(sockid), &json!("rst"))
    );
    assert_eq!(
        account["sides"]["server"],
        json!({
            "file": format!("{sockid}-server.bin"),
            "bytes": STREAM + 5,
            "end": STREAM + 105,
            "extents": [{"off": 0, "len": STREAM, "at": 0}, {"off": STREAM + 100, "len": 5, "at": STREAM}],
            "gaps": [{"off": STREAM, "len": 100, "reason": "lost"}],
        })
    );
    // A file of the same sockid, perhaps of another daemon's connection, is never overwritten.
    let again = run(&server, &["save", &name, "--dir", path]);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(
        again.status.code() == Some(1) && said.contains("name another file or directory"),
        "{said}"
    );
}

#[test]
fn all_connections_or_single_sides_can_be_saved() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let dir = tempfile::tempdir().unwrap();
    let (all, one) = (dir.path().join("all"), dir.path().join("one"));
    let lines = json_lines(
        &server,
        &["save", "--all", "--json", "--dir", all.to_str().unwrap()],
    );
    assert_eq!(lines.len(), 12);
    assert_eq!(fs::read_dir(&all).unwrap().count(), 36);
    stdout(
        &server,
        &[
            "save",
            &sockid.to_string(),
            "--side",
            "client",
            "--dir",
            one.to_str().unwrap(),
        ],
    );
    assert_eq!(fs::read_dir(&one).unwrap().count(), 2);
    let gone = run(
        &server,
        &["save", "4503599627370496", "--dir", one.to_str().unwrap()],
    );
    assert_eq!(gone.status.code(), Some(3));
    assert_eq!(
        run(&server, &["save", "--dir", one.to_str().unwrap()])
            .status
            .code(),
        Some(1),
        "no connection is named"
    );
}

#[test]
fn saved_streams_are_readable_by_their_owner_only() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("outer/inner");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let name = sockid.to_string();
    stdout(&server, &["save", &name, "--dir", target.to_str().unwrap()]);
    assert_eq!(mode(&target), 0o700);
    assert_eq!(mode(&dir.path().join("outer")), 0o700);
    let files: Vec<_> = fs::read_dir(&target)
        .unwrap()
        .map(|file| file.unwrap())
        .collect();
    assert_eq!(files.len(), 3);
    for file in files {
        assert_eq!(mode(&file.path()), 0o600, "{file:?}");
    }
}
