//! The README's commands, word for word, in a network and under a /run of their own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use monitor_tests::{Finished, Namespace, Program, needs};

/// The commands look whether everything is built, which takes a while even if it is.
const BUILDS: Duration = Duration::from_secs(240);

/// Fenced block: the words behind the fence, and the lines.
struct Block {
    kind: String,
    lines: Vec<String>,
}

fn blocks() -> Vec<Block> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut blocks = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let inside = lines.by_ref().take_while(|line| *line != "```");
            blocks.push(Block {
                kind: kind.to_owned(),
                lines: inside.map(str::to_owned).collect(),
            });
        }
    }
    blocks
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Gives every block its turn. A person waits until the server is up before the next line; `again` does the same.
const PRELUDE: &str = r#"
set -u -o pipefail
mount -t tmpfs tmpfs /run
again() {
  for attempt in $(seq 300); do
    eval "$1" && return
    sleep 0.1
  done
  echo "FAILED: $1"
  exit 1
}
# What Ctrl-C does: the interrupt goes to everything that the command started.
foreground=
finish() { if [ -n "$foreground" ]; then kill -INT -- "-$foreground"; wait "$foreground"; fi; }
trap finish EXIT
"#;

fn script(blocks: &[Block]) -> String {
    let mut script = PRELUDE.to_owned();
    for Block { kind, lines } in blocks {
        match kind.as_str() {
            "sh foreground" => {
                let line = quoted(&lines.join("\n"));
                script += &format!("setsid bash -c {line} & foreground=$!\n");
                // It says when it captures; before that there is nothing to look at.
                script += "again 'target/release/monitorctl stats >/dev/null 2>&1'\n";
            }
            "sh" => {
                for line in lines {
                    script += &format!("echo {}\n", quoted(&format!("$ {line}")));
                    match line.strip_suffix('&') {
                        Some(_) => script += &format!("{line}\n"),
                        None => script += &format!("again {}\n", quoted(line)),
                    }
                }
            }
            "python" => script += &format!("python3 -c {} || exit 1\n", quoted(&lines.join("\n"))),
            other => {
                panic!("the README has a block of {other:?}: say in this test what becomes of it")
            }
        }
    }
    // Servers that were started on the way.
    script + "kill $(jobs -p | grep -vx \"$foreground\") 2>/dev/null\ntrue\n"
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn run(blocks: &[Block]) -> Finished {
    let namespace = Namespace::new();
    let mut command = namespace.command("unshare");
    command
        .args(["--mount", "bash", "-c", &script(blocks)])
        .current_dir(root());
    Program::start(&mut command).finish_within(BUILDS)
}

#[test]
fn the_demo() {
    needs!("unshare");
    let demo: Vec<_> = blocks()
        .into_iter()
        .filter(|block| block.lines == ["cargo xtask demo"])
        .collect();
    assert_eq!(demo.len(), 1, "the README shows it");
    let finished = run(&demo);
    let said = finished.text();
    assert!(
        finished.status.success() && !said.contains("FAILED"),
        "{said}\n{}",
        finished.stderr
    );
    for expected in [
        "GET /counting.txt HTTP/1.1",
        "HTTP/1.0 200 OK",
        "his is line 605",
        // Without a bridge in the kernel there is no mirror port.
        if said.contains("8. A second") {
            "(path xdp, XDP native"
        } else {
            "That was it."
        },
    ] {
        assert!(
            said.contains(expected),
            "{expected} is read out of the connection: {said}"
        );
    }
}

#[test]
fn watching_this_host() {
    needs!("unshare", "python3", "curl", "socat");
    let watching: Vec<_> = blocks()
        .into_iter()
        .filter(|block| block.lines != ["cargo xtask demo"])
        .collect();
    assert!(
        watching.iter().any(|block| block.kind == "sh foreground"),
        "the daemon is started"
    );
    let finished = run(&watching);
    let said = finished.text();
    assert!(
        finished.status.success() && !said.contains("FAILED"),
        "{said}\n{}",
        finished.stderr
    );
    // ppeek as text, the hex dump of the response, socat's answer, the Python program, and the one in C.
    for expected in [
        "GET /rpc.md HTTP/1.1\nHost: ",
        "48 54 54 50",
        "\"jsonrpc\":\"2.0\"",
        "b'GET /rpc.md HTTP/1.1",
        "CLIENT IS",
    ] {
        assert!(said.contains(expected), "{expected:?} is shown: {said}");
    }
}
