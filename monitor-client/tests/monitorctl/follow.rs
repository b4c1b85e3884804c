//! `follow`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::rpc_common::talk::{From, Talk};
use crate::rpc_common::world::{ANSWER, ENDS, STREAM, world};
use crate::rpc_common::{Server, engines, pattern};
use crate::{command, json_lines, run, text};

#[test]
fn follow_tells_what_is_missing_and_ends_with_the_connection() {
    let (engines, sockid) = world();
    let server = Server::start(&engines);
    let output = run(&server, &["follow", &sockid.to_string(), "server"]);
    assert!(output.status.success());
    assert!(output.stdout == [pattern(0, STREAM), pattern(300_100, 5)].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("server: 100 bytes missing at offset 300000"), "{said}");
    let both = text(&server, &["follow", &sockid.to_string(), "--text"]);
    assert!(
        both.contains("--- client -> server, offset 300100")
            && both.contains("--- server -> client, offset 0")
    );
    let parts = json_lines(&server, &["--json", "follow", &sockid.to_string()]);
    assert!(parts.iter().any(|part| part["missing"] == 100 && part["off"] == 300_000), "{parts:?}");
    let received = |side: &str| -> u64 {
        parts.iter().filter(|part| part["side"] == side).filter_map(|part| part["len"].as_u64()).sum()
    };
    assert_eq!((received("server"), received("client")), (STREAM as u64 + 5, ANSWER.len() as u64));
}

#[test]
fn follow_waits_for_what_comes() {
    let mut engines = engines(1);
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    let sockid = talk.id(&engines[0]).as_u64().to_string();
    let server = Server::start(&engines);
    let mut child = command(&server.socket, &["follow", &sockid]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for (from, said) in [(From::Client, "ping\n"), (From::Server, "pong\n"), (From::Client, "again\n")] {
        talk.say(&mut engines[0], from, said.as_bytes());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, said);
    }
    talk.fin(&mut engines[0], From::Client);
    talk.say(&mut engines[0], From::Server, b"last\n");
    talk.fin(&mut engines[0], From::Server);
    let mut rest = String::new();
    out.read_line(&mut rest).unwrap();
    assert_eq!(rest, "last\n");
    assert!(child.wait().unwrap().success());
}
