//! Limits in docs/rpc.md beside the constants of the code.

use monitor_common::abi::MAX_SHUNTS;
use monitor_rpc::{MAX_LEN, MAX_LINE};

use super::access::limits::{self, user_share};
use super::access::memory::OWN;
use crate::config::{Config, LEAST_WINDOW};
use crate::control::PATIENCE;
use crate::events::EventLog;
use crate::filter::{MAX_DEPTH, MAX_LEN as FILTER_BYTES};
use crate::scan;

/// Returns a number of bytes in the unit of the documents.
fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ => format!("{} KiB", bytes >> 10),
    }
}

/// Returns each limit with its value, as docs/rpc.md must list it.
fn limits() -> Vec<(&'static str, String)> {
    let number = |value: usize| value.to_string();
    let window = format!("from {LEAST_WINDOW} bytes to a worker's share of `[store] memory`");
    let clients = format!(
        "{}; fewer if the daemon's limit of descriptors (`ulimit -n`) is low",
        limits::CLIENTS
    );
    let memory = size(Config::default().rpc.memory);
    vec![
        ("size of a request line", size(MAX_LINE as u64)),
        (
            "requests in a batch, the only ones of a client that are in flight together",
            number(limits::BATCH),
        ),
        ("bytes per `ppeek`", size(MAX_LEN)),
        ("turns per `turns`", number(limits::TURNS)),
        (
            "connections in one sorted `sockets`",
            limits::SORTED.to_string(),
        ),
        ("timeout of `wait`", format!("{} s", limits::WAIT)),
        ("size of a filter", size(FILTER_BYTES as u64)),
        (
            "nesting of parentheses and negations in a filter",
            number(MAX_DEPTH),
        ),
        ("rules of `configure`", number(limits::RULES)),
        ("`window` of `configure`", window),
        (
            "flows whose packets the kernel passes by after `stop`",
            MAX_SHUNTS.to_string(),
        ),
        (
            "time until a worker answers",
            format!("{} s", PATIENCE.as_secs()),
        ),
        ("clients", clients),
        ("clients per user", "half of them".to_owned()),
        (
            "connections that wait until the daemon accepts them",
            limits::BACKLOG.to_string(),
        ),
        (
            "listeners per client, without `wait`",
            number(limits::CLIENT_LISTENERS),
        ),
        (
            "listeners of all clients, `wait` included",
            number(limits::LISTENERS),
        ),
        (
            "listeners per user",
            user_share(limits::LISTENERS as u64).to_string(),
        ),
        (
            "records in the queue of one listener, per worker",
            number(limits::QUEUE),
        ),
        (
            "events that the daemon keeps, per worker",
            number(EventLog::CAPACITY),
        ),
        (
            "bytes that a `data` event of `subscribe` carries",
            size(OWN as u64),
        ),
        ("patterns per `watch`", number(limits::PATTERNS)),
        (
            "memory of the patterns of one `watch`",
            size(limits::PATTERN_BYTES as u64),
        ),
        (
            "automaton of one regular expression",
            size(scan::GROUP as u64),
        ),
        (
            "bytes of context on each side of a match",
            limits::CONTEXT.to_string(),
        ),
        (
            "bytes before the end of a match in which its start is searched",
            scan::REACH.to_string(),
        ),
        ("sides that one `watch` searches", number(limits::SIDES)),
        (
            "memory of everything that clients make the daemon hold",
            format!("`[rpc] memory`, {memory}"),
        ),
        ("the same per user", "half of it".to_owned()),
    ]
}

#[test]
fn the_reference_has_each_limit_with_its_value_and_its_error() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rpc.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once("| limit | value | error |\n").unwrap();
    let rows = table
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let mut documented = Vec::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [limit, value, error] = cells[..] else {
            panic!("three cells are expected: {row}");
        };
        assert!(!error.is_empty(), "{row}");
        documented.push((limit, value.to_owned()));
    }
    assert_eq!(
        documented,
        limits(),
        "docs/rpc.md (left) and the code (right)"
    );
}
