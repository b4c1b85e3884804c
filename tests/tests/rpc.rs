//! The RPC of the real daemon, as clients that share no code with it see it: the contract, method by method, error by error.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random, flags};
use monitor_tests::{Daemon, Program, Rpc, monitorctl, skip};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Capture served by the daemon in these tests.
struct World {
    daemon: Daemon,
    /// Data both ways, closed by FINs.
    whole: Flow,
    /// The server's bytes 1448.. to 2896 were never captured; still open.
    holed: Flow,
    _files: TempDir,
}

impl World {
    fn new() -> Self {
        let mut random = Random::new(1);
        let mut whole = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
        whole
            .open()
            .send(End::Client, b"question")
            .send(End::Server, &random.bytes(300_000))
            .close();
        let mut holed = Flow::new("[2001:db8::1]:40001", "[2001:db8::2]:443");
        holed.open().send(End::Server, &random.bytes(6000));
        let seq = holed.seq(End::Server, 1448);
        holed
            .segments
            .retain(|segment| segment.from == End::Client || segment.seq != seq);
        // Nothing but a SYN.
        let mut syn = Flow::new("10.0.0.3:1", "10.0.0.4:2");
        syn.segment(End::Client, flags::SYN, &[]);
        let captures = [&whole, &holed, &syn].map(|flow| Capture::of(&Layers::ethernet(), flow));
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("world.pcap");
        std::fs::write(&file, Capture::mix(captures).pcap()).unwrap();
        let daemon = Daemon::replay(&[&file], "[rpc]\nmode = '0600'\n", &[]);
        daemon.finished();
        Self {
            daemon,
            whole,
            holed,
            _files: files,
        }
    }

    fn lookup(rpc: &mut Rpc, flow: &Flow) -> u64 {
        let ends = json!({"client": flow.client.to_string(), "server": flow.server.to_string()});
        rpc.ok("lookup", ends)["sockid"].as_u64().unwrap()
    }
}

#[test]
fn every_method_of_the_first_step() {
    let world = World::new();
    let mut rpc = world.daemon.rpc();

    let hello = rpc.ok("hello", json!({"client": "rpc.rs"}));
    assert_eq!(
        (&hello["version"], &hello["pid"]),
        (&json!(1), &json!(world.daemon.pid()))
    );
    assert_eq!(hello["capture"]["mode"], "replay");
    assert_eq!(hello["max_len"], 16 << 20);
    for method in [
        "hello",
        "sockets",
        "lookup",
        "info",
        "fragments",
        "ppeek",
        "stats",
    ] {
        assert!(
            hello["methods"]
                .as_array()
                .unwrap()
                .contains(&json!(method)),
            "{method}: {hello}"
        );
    }

    assert_eq!(rpc.sockets(json!({})).len(), 3);
    assert_eq!(
        rpc.sockets(json!({"limit": 1})).len(),
        3,
        "through three pages"
    );
    assert_eq!(rpc.sockets(json!({"port": 443})).len(), 1);
    assert_eq!(rpc.sockets(json!({"address": "2001:db8::1"})).len(), 1);
    assert_eq!(rpc.sockets(json!({"address": "203.0.113.9"})).len(), 0);

    let sockid = World::lookup(&mut rpc, &world.whole);
    let info = rpc.ok("info", json!({ "sockid": sockid }));
    assert_eq!(
        (&info["client"], &info["server"]),
        (&json!("10.0.0.1:40000"), &json!("10.0.0.2:80"))
    );
    assert_eq!(
        (&info["closed"], &info["midstream"], &info["vlan"]),
        (&json!("fin"), &json!(false), &json!([]))
    );
    assert_eq!(info["sides"]["server"]["isn"], 1000);
    assert_eq!(info["sides"]["client"]["fin"], 300_000);
    assert_eq!(info["sides"]["client"]["retained"], 300_000);
    assert!(info["last"].as_f64() > info["opened"].as_f64());
    assert_eq!(info, rpc.sockets(json!({"port": 80}))[0]);

    let question = rpc.ok(
        "ppeek",
        json!({"sockid": sockid, "side": "server", "off": 0, "len": 100}),
    );
    assert_eq!(question["data"], "cXVlc3Rpb24=", "base64 of question");
    assert_eq!(
        (&question["len"], &question["eof"]),
        (&json!(8), &json!(true))
    );
    let numbered = rpc.ok(
        "ppeek",
        json!({"sockid": sockid, "side": 1, "off": 3, "len": 2}),
    );
    assert_eq!(
        (&numbered["data"], &numbered["eof"]),
        (&json!("c3Q="), &json!(false))
    );
    let nothing = rpc.ok(
        "ppeek",
        json!({"sockid": sockid, "side": "server", "off": 999, "len": 0}),
    );
    assert_eq!(nothing["len"], 0);

    let holed = World::lookup(&mut rpc, &world.holed);
    let fragments = rpc.ok("fragments", json!({"sockid": holed, "side": "client"}));
    assert_eq!(
        fragments["extents"],
        json!([[0, 1448], [2896, 6000 - 2896]])
    );
    let (_, bytes) = rpc.ppeek(holed, "client", 3000, 10_000).unwrap();
    assert_eq!(bytes, world.holed.received_by(End::Client)[3000..]);

    let stats = rpc.ok("stats", json!({}));
    assert_eq!(stats["flows"]["opened"], 3);
    for group in ["capture", "decode", "flows", "tcp", "store", "rpc"] {
        assert!(stats[group].is_object(), "{group}");
    }
    world.daemon.stop();
}

#[test]
fn every_error() {
    let world = World::new();
    let mut rpc = world.daemon.rpc();
    let (whole, holed) = (
        World::lookup(&mut rpc, &world.whole),
        World::lookup(&mut rpc, &world.holed),
    );
    let syn = rpc.sockets(json!({"port": 2}))[0]["sockid"].clone();
    let peek = |sockid: &Value, side: &str, off: u64| json!({"sockid": sockid, "side": side, "off": off, "len": 10});
    let (whole, holed) = (json!(whole), json!(holed));

    // Nothing will ever come at the FIN, nor behind it.
    for off in [8, 9] {
        let error = rpc.err("ppeek", peek(&whole, "server", off));
        assert_eq!(
            (error.code, &error.data["errno"]),
            (61, &json!("ENODATA")),
            "{error}"
        );
        assert_eq!(error.data["reason"], "eof", "{off}: {error}");
        assert_eq!(
            (&error.data["next"], &error.data["end"]),
            (&json!(8), &json!(8))
        );
    }
    let error = rpc.err("ppeek", peek(&holed, "client", 2000));
    assert_eq!(
        (&error.data["reason"], &error.data["next_extent"]),
        (&json!("gap"), &json!(2896))
    );
    let error = rpc.err("ppeek", peek(&holed, "client", 6000));
    assert_eq!(error.data["reason"], "future");

    let error = rpc.err("ppeek", peek(&syn, "server", 0));
    assert_eq!(
        (error.code, &error.data["errno"]),
        (107, &json!("ENOTCONN")),
        "{error}"
    );
    let error = rpc.err(
        "lookup",
        json!({"client": "10.0.0.9:1", "server": "10.0.0.2:80"}),
    );
    assert_eq!(
        (error.code, &error.data["errno"]),
        (107, &json!("ENOTCONN")),
        "{error}"
    );
    for unknown in [(1_u64 << 53) - 1, 1 << 40] {
        let error = rpc.err("info", json!({ "sockid": unknown }));
        assert_eq!(
            (error.code, &error.data["errno"]),
            (9, &json!("EBADF")),
            "{error}"
        );
    }

    for (method, params, names) in [
        (
            "ppeek",
            json!({"sockid": whole, "side": "server", "off": 0, "len": 1, "colour": 1}),
            "colour",
        ),
        (
            "ppeek",
            json!({"sockid": whole, "side": "left", "off": 0, "len": 1}),
            "side",
        ),
        (
            "ppeek",
            json!({"sockid": whole, "side": "server", "off": -1, "len": 1}),
            "off",
        ),
        (
            "ppeek",
            json!({"sockid": whole, "side": "server", "len": 1}),
            "off",
        ),
        (
            "ppeek",
            json!({"sockid": 1.5, "side": "server", "off": 0, "len": 1}),
            "sockid",
        ),
        ("info", json!({}), "sockid"),
        (
            "lookup",
            json!({"client": "nonsense", "server": "10.0.0.2:80"}),
            "client",
        ),
        ("sockets", json!({"port": 70_000}), "port"),
    ] {
        let error = rpc.err(method, params.clone());
        assert_eq!(error.code, -32602, "{method} {params}: {error}");
        assert!(error.message.contains(names), "{method} {params}: {error}");
    }
    assert_eq!(rpc.err("nosuchmethod", json!({})).code, -32601);
    world.daemon.stop();
}

#[test]
fn what_slid_out_of_the_window_is_evicted() {
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open()
        .send(End::Server, &Random::new(2).bytes(3 << 20))
        .close();
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("long.pcap");
    std::fs::write(&file, Capture::of(&Layers::ethernet(), &flow).pcap()).unwrap();
    let daemon = Daemon::replay(&[&file], "[store]\nwindow = '1MiB'\n", &[]);
    daemon.finished();
    let mut rpc = daemon.rpc();
    let sockid = World::lookup(&mut rpc, &flow);
    let side = rpc.side(sockid, "client");
    let base = side["base"].as_u64().unwrap();
    assert_eq!(side["next"], 3 << 20);
    assert!(
        base > 0 && side["retained"].as_u64().unwrap() >= (1 << 20) - (64 << 10),
        "{side}"
    );
    let error = rpc.err(
        "ppeek",
        json!({"sockid": sockid, "side": "client", "off": base - 1, "len": 1}),
    );
    assert_eq!(
        (error.code, &error.data["reason"], &error.data["base"]),
        (61, &json!("evicted"), &json!(base))
    );
    let (_, bytes) = rpc.ppeek(sockid, "client", base, 4 << 20).unwrap();
    assert!(bytes == flow.received_by(End::Client)[base as usize..]);
    daemon.stop();
}

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
fn hostile_clients_harm_nobody() {
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
fn monitorctl_reads_what_was_sent() {
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
