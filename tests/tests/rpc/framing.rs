//! Pipelined requests, batches and raw bytes.

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use monitor_tests::wiregen::End;
use monitor_tests::{Program, monitorctl, skip};
use serde_json::{Value, json};

use crate::World;

#[test]
fn pipelining_batches_and_raw_bytes() {
    let world = World::new();
    let mut rpc = world.daemon.rpc();
    let sockid = World::lookup(&mut rpc, &world.whole);
    let sent = world.whole.received_by(End::Client);

    // A hundred raw reads in one go; each reply is followed by exactly its bytes.
    let mut lines = String::new();
    for id in 0..100 {
        lines += &format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ppeek\",\"params\":{{\"sockid\":{sockid},\"side\":\"client\",\
             \"off\":{},\"len\":{},\"encoding\":\"raw\"}}}}\n",
            id * 100,
            id * 37
        );
    }
    rpc.send(lines.as_bytes()).unwrap();
    for id in 0..100 {
        let reply = rpc.line().unwrap();
        assert_eq!(
            (&reply["id"], &reply["result"]["raw"]),
            (&json!(id), &json!(id * 37))
        );
        assert!(rpc.bytes(id * 37) == sent[id * 100..][..id * 37]);
    }

    let batch = json!([
        {"jsonrpc": "2.0", "id": "a", "method": "info", "params": {"sockid": sockid}},
        {"jsonrpc": "2.0", "method": "stats", "params": {}},
        {"jsonrpc": "2.0", "id": "b", "method": "nosuchmethod"},
        {"jsonrpc": "2.0", "id": "c", "method": "ppeek",
         "params": {"sockid": sockid, "side": "client", "off": 0, "len": 1, "encoding": "raw"}},
    ]);
    rpc.send(format!("{batch}\n").as_bytes()).unwrap();
    let replies = rpc.line().unwrap();
    let replies = replies.as_array().unwrap();
    assert_eq!(replies.len(), 3, "a notification is not answered");
    let by_id = |id: &str| replies.iter().find(|reply| reply["id"] == id).unwrap();
    assert_eq!(by_id("a")["result"]["sockid"], sockid);
    assert_eq!(by_id("b")["error"]["code"], -32601);
    assert!(
        by_id("c")["error"].is_object(),
        "raw bytes cannot stand in an array"
    );
    rpc.ok("hello", json!({}));
    world.daemon.stop();
}

#[test]
fn hostile_clients_harm_no_other() {
    let world = World::new();
    let mut good = world.daemon.rpc();
    let sockid = World::lookup(&mut good, &world.whole);

    // A line of a gigabyte: refused at 64 KiB, before the rest comes.
    let mut long = UnixStream::connect(world.daemon.socket()).unwrap();
    let chunk = vec![b'x'; 1 << 20];
    let written = (0..1024)
        .take_while(|_| long.write_all(&chunk).is_ok())
        .count();
    assert!(written < 1024, "the connection was closed");

    let mut rpc = world.daemon.rpc();
    rpc.send(&[b'y'; 65 << 10]).unwrap();
    assert_eq!(rpc.line().unwrap()["error"]["code"], -32600);
    assert_eq!(rpc.line(), None, "closed after that");

    for (garbage, code) in [
        (&b"\xff\xfe\x00\x01\n"[..], -32700),
        (b"{\"jsonrpc\":\"2.0\",\n", -32700),
        (b"[]\n", -32600),
        (b"42\n", -32600),
        (
            b"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"hello\"}\n",
            -32600,
        ),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}\n", -32600),
        (&[b'['; 60_000], 0),
    ] {
        let mut rpc = world.daemon.rpc();
        rpc.send(garbage).unwrap();
        if code == 0 {
            // Deep nesting, and then the line ends.
            rpc.send(b"\n").unwrap();
            assert_eq!(rpc.line().unwrap()["error"]["code"], -32700);
        } else {
            assert_eq!(
                rpc.line().unwrap()["error"]["code"],
                code,
                "{:?}",
                String::from_utf8_lossy(garbage)
            );
        }
        rpc.ok("hello", json!({}));
    }

    // Half a line, and gone; a request, and gone; connected, and nothing.
    for bytes in [
        &b"{\"jsonrpc\":"[..],
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"stats\"}\n",
        b"",
    ] {
        let mut stream = UnixStream::connect(world.daemon.socket()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    }
    let silent: Vec<_> = (0..100).map(|_| world.daemon.rpc()).collect();

    assert!(good.stream(sockid, "client") == world.whole.received_by(End::Client));
    assert!(!world.daemon.log().contains("panicked"));
    drop(silent);
    world.daemon.stop();
}

#[test]
fn the_socket_has_the_mode_of_the_configuration() {
    let world = World::new();
    let mode = std::fs::metadata(world.daemon.socket())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    world.daemon.stop();
}

/// Written from the contract alone, with the standard library alone.
const PYTHON: &str = r#"
import base64, hashlib, json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(30)
s.connect(sys.argv[1])
f = s.makefile("rwb")
n = 0
def call(method, **params):
    global n
    n += 1
    f.write(json.dumps({"jsonrpc": "2.0", "id": n, "method": method, "params": params}).encode() + b"\n")
    f.flush()
    reply = json.loads(f.readline())
    assert reply["id"] == n, reply
    return reply
found = call("lookup", client="10.0.0.1:40000", server="10.0.0.2:80")["result"]
for encoding in ["base64", "raw"]:
    stream = b""
    while True:
        reply = call("ppeek", sockid=found["sockid"], side="client", off=len(stream), len=65536, encoding=encoding)
        if "error" in reply:
            assert reply["error"]["code"] == 61 and reply["error"]["data"]["reason"] == "eof", reply
            break
        result = reply["result"]
        stream += f.read(result["raw"]) if encoding == "raw" else base64.b64decode(result["data"])
    print(len(stream), hashlib.sha256(stream).hexdigest())
"#;

#[test]
fn a_client_in_plain_python() {
    if !monitor_tests::have("python3") {
        skip!("needs python3");
    }
    let world = World::new();
    let mut command = std::process::Command::new("python3");
    let printed = Program::run(
        command
            .args(["-I", "-c", PYTHON])
            .arg(world.daemon.socket()),
    )
    .text();
    let file = tempfile::NamedTempFile::new().unwrap();
    let sent = world.whole.received_by(End::Client);
    std::fs::write(file.path(), sent).unwrap();
    let sum = Program::run(std::process::Command::new("sha256sum").arg(file.path())).text();
    let line = format!("{} {}", sent.len(), sum.split(' ').next().unwrap());
    assert_eq!(printed.lines().collect::<Vec<_>>(), [&line, &line]);
    world.daemon.stop();
}

#[test]
fn monitorctl_reads_the_bytes_that_were_sent() {
    let world = World::new();
    let mut rpc = world.daemon.rpc();
    let sockid = World::lookup(&mut rpc, &world.whole).to_string();
    let ctl = |args: &[&str]| {
        let mut command = std::process::Command::new(monitorctl());
        Program::start(
            command
                .arg("--socket")
                .arg(world.daemon.socket())
                .args(args),
        )
        .finish()
    };
    let sockets = ctl(&["sockets"]);
    assert!(
        sockets.text().contains("10.0.0.1:40000"),
        "{}",
        sockets.text()
    );
    let all = ctl(&["ppeek", &sockid, "client", "0", "300000"]);
    assert!(all.status.success() && all.stdout == world.whole.received_by(End::Client));
    let listed: Value = serde_json::from_slice(&ctl(&["--json", "info", &sockid]).stdout).unwrap();
    assert_eq!(listed["server"], "10.0.0.2:80");
    let gone = ctl(&["info", "123456789"]);
    assert!(!gone.status.success() && !gone.stderr.is_empty());
    world.daemon.stop();
}

#[test]
fn a_hundred_clients_at_once() {
    let world = World::new();
    let sent = world.whole.received_by(End::Client);
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let mut rpc = world.daemon.rpc();
                let sockid = World::lookup(&mut rpc, &world.whole);
                for round in 0..20 {
                    let (_, bytes) = rpc.ppeek(sockid, "client", round * 1000, 50_000).unwrap();
                    assert!(bytes == sent[round as usize * 1000..][..50_000]);
                }
            });
        }
    });
    world.daemon.stop();
}
