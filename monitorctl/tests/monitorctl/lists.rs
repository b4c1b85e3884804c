//! Tests of `sockets`, `info`, `lookup`, `fragments`, `stats` and `call`.

use serde_json::Value;

use crate::rpc_common::Server;
use crate::rpc_common::world::{ANSWER, ENDS, world};
use crate::{json, run, text};

#[test]
fn connections_are_listed_in_an_aligned_table() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let table = text(&server, &["sockets"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 13, "{table}");
    assert!(
        lines[0].trim_start().starts_with("SOCKID  CLIENT"),
        "{table}"
    );
    let column = lines[0].find("SERVER").unwrap();
    assert!(
        lines[1..]
            .iter()
            .all(|line| line[column..].starts_with(ENDS.1)),
        "{table}"
    );
    let own = lines.iter().find(|line| line.contains(ENDS.0)).unwrap();
    for part in [
        &sockid.to_string(),
        "closed (rst)",
        "300105*",
        &ANSWER.len().to_string(),
    ] {
        assert!(own.contains(part), "{part}: {own}");
    }
    assert_eq!(
        text(&server, &["sockets", "--port", "1234"])
            .lines()
            .count(),
        2
    );
    assert_eq!(
        text(
            &server,
            &["sockets", "--address", "10.0.0.3", "--state", "established"]
        )
        .lines()
        .count(),
        12
    );
    assert_eq!(
        text(&server, &["sockets", "--limit", "5"]).lines().count(),
        6
    );
    let listed = json(&server, &["--json", "sockets"]);
    assert_eq!(
        (listed["sockets"].as_array().unwrap().len(), &listed["next"]),
        (12, &Value::Null)
    );
    let page = json(&server, &["sockets", "--json", "--limit", "2"]);
    assert_eq!(page["next"], page["sockets"][1]["sockid"]);
}

#[test]
fn info_and_lookup_show_one_connection() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let shown = text(&server, &["info", &sockid.to_string()]);
    assert!(
        shown.contains("state      closed (rst)") && shown.contains("CLIENT RECEIVED"),
        "{shown}"
    );
    assert_eq!(
        json(&server, &["--json", "info", &sockid.to_string()])["sockid"],
        sockid
    );
    assert_eq!(
        json(&server, &["--json", "lookup", ENDS.0, ENDS.1])["sockid"],
        sockid
    );
}

#[test]
fn stats_shows_counters_in_groups() {
    let (engines, _) = world();
    let server = Server::start(&engines);
    let shown = text(&server, &["stats"]);
    for part in [
        "replay with 2 workers, finished",
        "\ncapture\n",
        "\nflows\n",
        "\nrpc\n",
        "  rx_packets",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let opened = |shown: &str| -> Vec<u64> {
        let line = shown
            .lines()
            .find(|line| line.trim_start().starts_with("opened"))
            .unwrap();
        line.split_whitespace()
            .skip(1)
            .map(|number| number.parse().unwrap())
            .collect()
    };
    assert_eq!(opened(&shown), [12]);
    assert_eq!(opened(&text(&server, &["stats", "--workers"])), [12, 7, 5]);
    assert_eq!(json(&server, &["stats", "--json"])["flows"]["opened"], 12);
}

#[test]
fn fragments_shows_ranges_and_holes() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let sockid = sockid.to_string();
    let shown = text(&server, &["fragments", &sockid, "server"]);
    let lines: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines,
        [
            ["OFFSET", "LENGTH", "BYTES"],
            ["0", "300000", "kept"],
            ["300000", "100", "lost"],
            ["300100", "5", "kept"]
        ]
    );
    let extents = &json(&server, &["--json", "fragments", &sockid, "server"])["extents"];
    assert_eq!(extents, &serde_json::json!([[0, 300_000], [300_100, 5]]));
}

#[test]
fn any_method_can_be_called() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let called = json(
        &server,
        &[
            "call",
            "ppeek",
            &format!("sockid={sockid}"),
            "side=client",
            "off=0",
            "len=4",
        ],
    );
    assert_eq!(called["data"], "SFRUUA==");
    assert_eq!(
        text(&server, &["--json", "call", "hello"]).lines().count(),
        1
    );
    let unknown = run(&server, &["call", "nothing"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("hello, sockets, lookup"));
}

#[test]
fn connections_can_be_filtered_and_sorted() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let listed = |args: &[&str]| {
        text(&server, &[&["sockets"], args].concat())
            .lines()
            .count()
            - 1
    };
    assert_eq!(
        listed(&["--filter", "src host 10.0.0.3 and not port 5000"]),
        10
    );
    assert_eq!((listed(&["--closed"]), listed(&["--open"])), (1, 11));
    assert_eq!(
        (
            listed(&["--min-bytes", "256KiB"]),
            listed(&["--min-age", "1h"])
        ),
        (1, 0)
    );
    assert_eq!(
        listed(&["--max-age", "1h", "--sort", "opened", "--limit", "3"]),
        3
    );
    let sorted = json(&server, &["--json", "sockets", "--sort", "bytes"]);
    assert_eq!(sorted["sockets"][0]["sockid"], sockid);
    let first = text(&server, &["sockets", "--sort", "bytes"]);
    assert!(first.lines().nth(1).unwrap().contains(ENDS.0), "{first}");
    let wrong = run(&server, &["sockets", "--filter", "prot 80"]);
    assert!(
        wrong.status.code() == Some(1) && String::from_utf8_lossy(&wrong.stderr).contains("prot")
    );
    assert_eq!(
        run(&server, &["sockets", "--sort", "size"]).status.code(),
        Some(1)
    );
}
