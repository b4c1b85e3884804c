//! Tests of `stop`, `set`, and of the colours of `follow`.

use monitor_tests::{Terminal, have, skip};

use crate::rpc_common::Server;
use crate::rpc_common::engine_threads::EngineThreads;
use crate::rpc_common::world::{ENDS, world};
use crate::{json, run, text};

#[test]
fn connections_can_be_stopped_and_configured() {
    let (engines, _) = world();
    let (_attended, status) = EngineThreads::start(engines);
    let server = Server::start_with(status, |_| {});
    let listed = json(&server, &["--json", "lookup", "10.0.0.3:5000", ENDS.1]);
    let sockid = listed["sockid"].to_string();
    let side = json(&server, &["--json", "stop", &sockid, "client"]);
    assert_eq!(side["sides"]["client"]["enabled"], false);
    assert!(text(&server, &["stop", &sockid]).contains("closed (stopped)"));
    let rule = text(
        &server,
        &["set", "--filter", "port 80", "--window", "64KiB"],
    );
    let number = rule.strip_prefix("rule ").unwrap().trim();
    assert_eq!(text(&server, &["set", "--remove", number]), "");
    assert_eq!(
        run(&server, &["set", &sockid]).status.code(),
        Some(1),
        "no setting is given"
    );
}

#[test]
fn follow_colours_each_side_on_a_terminal() {
    if !have("tmux") {
        skip!("needs tmux");
    }
    let (engines, sockid) = world();
    let (_attended, status) = EngineThreads::start(engines);
    let server = Server::start_with(status, |_| {});
    let terminal = Terminal::start(100, 20);
    let program = env!("CARGO_BIN_EXE_monitorctl");
    let socket = server.socket.display();
    for (variable, coloured) in [("", true), ("NO_COLOR=1 ", false)] {
        let line = format!("{variable}{program} --socket {socket} follow {sockid} client");
        terminal.line(&format!("clear; {line}; echo end''ed {coloured}"));
        // The screen of the run before may still be there.
        let ended = format!("ended {coloured}");
        terminal.until("the answer", |screen| {
            screen.contains("200 OK") && screen.contains(&ended)
        });
        assert_eq!(
            terminal.coloured().contains("\u{1b}[33m"),
            coloured,
            "{variable}"
        );
    }
}
