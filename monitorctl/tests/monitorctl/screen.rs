//! Tests of `top`, in a terminal and as JSON lines.

use std::path::Path;

use monitor_tests::{Terminal, have, skip, until};
use rustix::process::Signal;

use crate::rpc_common::Server;
use crate::rpc_common::world::world;
use crate::{json_lines, run};

/// Server and terminal of a test.
struct Stage {
    server: Server,
    terminal: Terminal,
    /// Terminal settings before the start.
    settings: String,
}

impl Stage {
    fn new(width: u16, height: u16) -> Self {
        let (engines, _) = world();
        let terminal = Terminal::start(width, height);
        let settings = settings(&terminal);
        Self {
            server: Server::start(&engines),
            terminal,
            settings,
        }
    }

    /// Starts `top`; the shell prints its exit status.
    fn top(&self, arguments: &str) {
        let program = Path::new(env!("CARGO_BIN_EXE_monitorctl")).display();
        let socket = self.server.socket.display();
        self.terminal.line(&format!(
            "{program} --socket {socket} top {arguments}; echo \"ended $?\""
        ));
        self.terminal.until("the list", |screen| {
            screen.contains("10.0.0.3:5000") && screen.contains("monitord")
        });
    }

    /// Asserts that the terminal is restored.
    fn assert_restored(&self, status: i32) {
        let ended = format!("ended {status}");
        // The previous content of the screen is visible again.
        self.terminal.until("the shell", |screen| {
            screen.contains(&ended) && screen.contains("settings")
        });
        assert_eq!(
            self.terminal.modes(),
            (false, true),
            "the shell's own screen, and a cursor"
        );
        assert_eq!(settings(&self.terminal), self.settings);
    }
}

/// Returns the terminal settings, printed on an empty screen.
fn settings(terminal: &Terminal) -> String {
    terminal.line("clear; echo set''tings $(stty -g | md5sum)");
    let screen = terminal.until("settings", |screen| screen.contains("settings "));
    screen
        .lines()
        .find(|line| line.starts_with("settings "))
        .unwrap()
        .to_owned()
}

#[test]
fn top_restores_the_terminal_at_every_exit() {
    if !have("tmux") {
        skip!("needs tmux");
    }
    let stage = Stage::new(120, 30);
    stage.top("");
    assert_eq!(
        stage.terminal.modes(),
        (true, false),
        "a screen of its own, without a cursor"
    );
    stage.terminal.press(&["q"]);
    stage.assert_restored(0);
    stage.top("");
    stage.terminal.press(&["C-c"]);
    stage.assert_restored(0);
    for (signal, status) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        stage.top("");
        stage.terminal.signal(signal);
        stage.assert_restored(status);
    }
}

#[test]
fn top_ends_when_its_terminal_is_gone() {
    if !have("tmux") {
        skip!("needs tmux");
    }
    let stage = Stage::new(120, 30);
    stage.top("");
    let process = format!("/proc/{}/stat", stage.terminal.job());
    drop(stage.terminal);
    // A process whose status is not collected counts as ended.
    until("top to end", || {
        let is_running = std::fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z "));
        (!is_running).then_some(())
    });
}

#[test]
fn top_handles_keys_and_window_sizes() {
    if !have("tmux") {
        skip!("needs tmux");
    }
    let stage = Stage::new(120, 24);
    let shows = |word: &'static str| stage.terminal.until(word, |screen| screen.contains(word));
    stage.top("--interval 200ms");
    shows("by rate, every 200ms");
    stage.terminal.press(&["b"]);
    let screen = shows("by bytes");
    let list: Vec<_> = screen
        .lines()
        .skip_while(|line| !line.contains("SOCKID"))
        .collect();
    assert!(
        list[1].contains("10.0.0.1:1234") && list[1].contains("293 KiB*"),
        "{screen}"
    );
    stage.terminal.press(&["i", "+", "Space"]);
    shows("by bytes, inverted, every 500ms  paused");
    for (width, height) in [(40, 6), (20, 3), (10, 2), (200, 50)] {
        stage.terminal.resize(width, height);
        stage.terminal.until("the list", |screen| {
            // The lowest ones have no line for a connection.
            screen.contains(if height < 4 {
                "CLIENT"
            } else {
                "10.0.0.3:5000"
            })
        });
    }
    stage.terminal.press(&["C-z"]);
    stage
        .terminal
        .until("the shell", |screen| screen.contains("Stopped"));
    stage.terminal.line("fg; echo \"ended $?\"");
    shows("by bytes");
    stage.terminal.press(&["Escape"]);
    stage.assert_restored(0);
}

#[test]
fn top_survives_a_stopped_daemon_and_reports_it() {
    if !have("tmux") {
        skip!("needs tmux");
    }
    let mut stage = Stage::new(120, 24);
    stage.top("-i 0.1");
    stage.server.stop();
    let screen = stage
        .terminal
        .until("a sentence", |screen| screen.contains("start it"));
    assert!(
        screen.contains("10.0.0.3:5000"),
        "the last sample stays: {screen}"
    );
    stage.terminal.press(&["q"]);
    stage.assert_restored(0);
}

#[test]
fn top_prints_a_line_of_json_per_sample() {
    let (engines, _) = world();
    let server = Server::start(&engines);
    let lines = json_lines(
        &server,
        &["top", "--json", "-n", "3", "-i", "100ms", "--sort", "bytes"],
    );
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[0]["seconds"], &lines[0]["active"]),
        (&serde_json::json!(0.0), &serde_json::json!(11))
    );
    assert!(lines[1]["seconds"].as_f64().unwrap() >= 0.1);
    assert_eq!(lines[2]["connections"].as_array().unwrap().len(), 12);
    assert_eq!(lines[2]["connections"][0]["client"], "10.0.0.1:1234");
    assert_eq!(lines[2]["workers"].as_array().unwrap().len(), 2);
    let piped = run(&server, &["top"]);
    let said = String::from_utf8(piped.stderr).unwrap();
    assert!(
        piped.status.code() == Some(1) && said.contains("top --json"),
        "{said}"
    );
}
