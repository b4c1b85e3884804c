//! Commands for many hosts, with relays of this process and a real NATS server.

use std::process::{Command, Output};
use std::sync::Arc;

use futures_util::StreamExt as _;
use monitor_daemon::control::Engine;
use monitor_relay::config::Fleet;
use monitor_relay::fleet::run;
use monitor_tests::{NatsServer, Program, have, skip, until};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::rpc_common::engine_threads::EngineThreads;
use crate::rpc_common::hellos::client_hello;
use crate::rpc_common::talk::{From, Talk};
use crate::rpc_common::{Server, engines, pattern};

const SERVER: &str = "10.0.0.2:80";
const LEN: usize = 300_000;
/// Offset of the byte that one host captured differently.
const ALTERED: usize = 270_123;

/// Hosts h1 and h2, which have captured the same three connections. Of the second one, a byte differs.
struct World {
    nats: NatsServer,
    _stop: watch::Sender<bool>,
    runtime: Runtime,
    hosts: Vec<(Server, EngineThreads, TempDir)>,
}

impl World {
    fn start() -> Self {
        let nats = NatsServer::start();
        let (stop, stopping) = watch::channel(false);
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        let hosts = ["h1", "h2"].map(|host| {
            let mut engines = engines(1);
            let mut bytes = pattern(0, LEN);
            converse(&mut engines[0], "10.0.0.1:1000", &bytes);
            bytes[ALTERED] ^= u8::from(host == "h2");
            converse(&mut engines[0], "10.0.0.1:2000", &bytes);
            converse(&mut engines[0], "10.0.0.1:3000", &client_hello());
            let (server, threads) = Server::with_threads(engines);
            let directory = tempfile::tempdir().unwrap();
            let config = Fleet {
                url: Some(nats.url().into()),
                host: Some(host.to_owned()),
                spool: directory.path().to_path_buf(),
                ..Fleet::default()
            };
            runtime.spawn(run(
                config,
                server.socket.clone(),
                Arc::default(),
                stopping.clone(),
            ));
            (server, threads, directory)
        });
        let world = Self {
            nats,
            _stop: stop,
            runtime,
            hosts: hosts.into(),
        };
        until("both hosts", || {
            let output = world.run(&["--json", "hosts"]);
            (lines(&output).len() == 2).then_some(())
        });
        world
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_monitorctl"));
        let fleet = ["--fleet", &self.nats.url()];
        command.args(fleet).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {text}");
        output
    }
}

fn converse(engine: &mut Engine, client: &str, request: &[u8]) {
    let mut talk = Talk::new(client, SERVER);
    talk.open(engine);
    talk.say(engine, From::Client, request);
    talk.say(engine, From::Server, b"answer");
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn many_hosts_are_read_and_compared_as_one_monitor() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    let world = World::start();
    let listed = lines(&world.ok(&["--json", "sockets", "--port", "1000"]));
    let names: Vec<_> = listed
        .iter()
        .map(|socket| socket["name"].as_str().unwrap())
        .collect();
    let hosts: Vec<_> = listed
        .iter()
        .map(|socket| socket["host"].as_str().unwrap())
        .collect();
    assert_eq!(hosts, ["h1", "h2"], "both views of one connection");
    assert_eq!(listed[0]["community_id"], listed[1]["community_id"]);
    let table = text(&world.ok(&["sockets"]));
    assert_eq!(table.lines().count(), 7, "{table}");
    let hello = lines(&world.ok(&["--json", "sockets", "--port", "3000"]));
    assert_eq!(hello[1]["tls"]["sni"], "a.test", "{hello:#?}");
    assert!(table.contains(names[1]), "{table}");
    // Both ends have the same bytes; more than a message holds is read in parts.
    for name in &names {
        assert!(world.ok(&["ppeek", name, "server", "0"]).stdout == pattern(0, LEN));
        let part = world.ok(&["ppeek", name, "server", "7", "9", "--raw"]);
        assert!(part.stdout == pattern(7, 9));
    }
    let info = text(&world.ok(&["info", names[0]]));
    assert!(
        info.contains("host       h1") && info.contains(SERVER),
        "{info}"
    );
    let fragments = text(&world.ok(&["fragments", names[1], "client"]));
    assert!(fragments.contains("kept"), "{fragments}");
    // Streams that are equal, and streams that are not.
    let equal = listed[0]["community_id"].as_str().unwrap();
    let output = text(&world.ok(&["compare", equal]));
    assert!(
        output.contains(&format!("server side: {LEN} bytes are equal")),
        "{output}"
    );
    assert!(
        output.contains("client side: 6 bytes are equal"),
        "{output}"
    );
    let listed = lines(&world.ok(&["--json", "sockets", "--port", "2000"]));
    let different = listed[0]["community_id"].as_str().unwrap();
    let output = world.run(&["compare", different]);
    assert_eq!(output.status.code(), Some(8));
    let differs = format!("server side: the bytes differ at offset {ALTERED}");
    assert!(text(&output).contains(&differs), "{}", text(&output));
}

#[test]
fn failures_of_the_fleet_have_their_exit_codes() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    let world = World::start();
    let listed = lines(&world.ok(&["--json", "sockets"]));
    let name = listed[0]["name"].as_str().unwrap();
    let sockid = name.rsplit('/').next().unwrap();
    for (arguments, code, message) in [
        (&["info", &format!("h1/1/{sockid}")][..], 3, "earlier run"),
        (&["info", "h3/1/9"], 2, "\"h3\" does not answer"),
        (
            &["call", "h1", "stop", &format!("sockid={sockid}")],
            5,
            "does not allow stop",
        ),
        (&["ppeek", name, "server", "300000", "1"], 4, "300000"),
        (&["info", "h1"], 1, "HOST/INSTANCE/SOCKID"),
        (&["compare", "1:none"], 1, "no host has this connection"),
    ] {
        let output = world.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(message), "{arguments:?}: {text}");
    }
}

#[test]
fn top_shows_the_connections_of_all_hosts() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    let world = World::start();
    let samples = lines(&world.ok(&["--json", "top", "--interval", "100ms", "-n", "2"]));
    assert_eq!(samples.len(), 2);
    assert_eq!(samples[0]["seconds"], 0.0);
    assert!(
        samples[1]["seconds"].as_f64().unwrap() > 0.0,
        "{samples:#?}"
    );
    for sample in &samples {
        assert_eq!(
            (&sample["mode"], &sample["active"]),
            (&json!("fleet"), &json!(6))
        );
        assert_eq!(sample["hosts"], json!(["h1", "h2"]));
        assert_eq!(sample["workers"][1]["host"], "h2");
        let rows = sample["connections"].as_array().unwrap();
        let mut names: Vec<_> = rows
            .iter()
            .map(|row| row["name"].as_str().unwrap())
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 6, "{names:?}");
        world.ok(&["info", names[5]]);
    }
    let filtered = lines(&world.ok(&["--json", "top", "--filter", "port 3000", "-n", "1"]));
    assert_eq!(filtered[0]["connections"].as_array().unwrap().len(), 2);
    let wrong = world.run(&["--json", "top", "--filter", "port and", "-n", "1"]);
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn bytes_to_come_are_printed_until_the_connection_ends() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    let world = World::start();
    let engine = || world.hosts[1].1.engine(0);
    let mut talk = Talk::new("10.0.0.1:4000", SERVER);
    talk.open(&mut engine());
    // More than a request returns.
    let mut bytes = pattern(0, 2 * LEN);
    talk.say(&mut engine(), From::Client, &bytes);
    let listed = lines(&world.ok(&["--json", "sockets", "--port", "4000"]));
    let name = listed[0]["name"].as_str().unwrap();
    let follow = Program::start(&mut world.command(&["follow", name, "server", "--raw"]));
    let skipped = ["follow", name, "server", "--off", "7", "--raw"];
    let skipped = Program::start(&mut world.command(&skipped));
    until("the bytes", || (follow.stdout() == bytes).then_some(()));
    // The command waits for the next ones.
    talk.say(&mut engine(), From::Client, b"more");
    bytes.extend_from_slice(b"more");
    until("more bytes", || (follow.stdout() == bytes).then_some(()));
    talk.fin(&mut engine(), From::Client);
    talk.fin(&mut engine(), From::Server);
    for (program, off) in [(follow, 0), (skipped, 7)] {
        let finished = program.finish();
        assert!(finished.status.success(), "{}", finished.stderr);
        assert!(finished.stdout == bytes[off..]);
    }
}

#[test]
fn events_of_all_hosts_or_of_one_are_printed() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    let world = World::start();
    let start = |arguments: &[&str]| Program::start(&mut world.command(arguments));
    let mut all = start(&["events", "opened", "-n", "40"]);
    let mut one = start(&["events", "closed", "opened", "--host", "h2", "-n", "20"]);
    let mut ports = 10_000..;
    until("the events", || {
        let port = ports.next().unwrap();
        for (_, threads, _) in &world.hosts {
            let mut talk = Talk::new(&format!("10.0.0.1:{port}"), SERVER);
            talk.open(&mut threads.engine(0));
            talk.reset(&mut threads.engine(0), From::Server);
        }
        (all.ended().is_some() && one.ended().is_some()).then_some(())
    });
    let events = |program: Program| {
        let finished = program.finish();
        assert!(finished.status.success(), "{}", finished.stderr);
        let lines = finished.text();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<Value>>()
    };
    let of = |events: &[Value], key: &str, value: &str| {
        events.iter().filter(|event| event[key] == value).count()
    };
    let (all, one) = (events(all), events(one));
    assert_eq!((all.len(), of(&all, "event", "opened")), (40, 40));
    let hosts = ["h1", "h2"].map(|host| of(&all, "host", host));
    assert!(
        hosts[0] > 0 && hosts[1] > 0 && hosts[0] + hosts[1] == 40,
        "{hosts:?}"
    );
    assert_eq!((one.len(), of(&one, "host", "h2")), (20, 20));
    // The first ones may be from just before the subscription of the relay: of the kinds that were subscribed to then.
    let kinds = ["opened", "closed"].map(|kind| of(&one, "event", kind));
    assert!(
        kinds[0] > 0 && kinds[1] > 0 && kinds[0] + kinds[1] == 20,
        "{one:#?}"
    );
}

/// Answers the requests of the fleet as a relay named h9 of another version.
async fn answer_strangely(nats: async_nats::Client, mut requests: async_nats::Subscriber) {
    while let Some(request) = requests.next().await {
        let mut headers = async_nats::HeaderMap::new();
        for (name, value) in [
            ("Monitor-Host", "h9"),
            ("Monitor-Instance", "1"),
            ("Monitor-Raw", "0"),
        ] {
            headers.insert(name, value);
        }
        let reply = request.reply.unwrap();
        let strange = "{\"strange\":1}".into();
        let sent = nats.publish_with_headers(reply, headers, strange).await;
        sent.unwrap();
    }
}

#[test]
fn a_host_of_another_version_is_named_and_the_others_are_shown() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    let world = World::start();
    world.runtime.block_on(async {
        let nats = async_nats::connect(world.nats.url()).await.unwrap();
        for subject in ["mon.v1.h9.rpc.*", "mon.v1.all.rpc.*"] {
            let requests = nats.subscribe(subject).await.unwrap();
            tokio::spawn(answer_strangely(nats.clone(), requests));
        }
        let heartbeat = "{\"host\":9}".into();
        nats.publish("$KV.mon_hosts.h9", heartbeat).await.unwrap();
        nats.flush().await.unwrap();
    });
    let hosts = until("the heartbeat", || {
        let hosts = lines(&world.ok(&["--json", "hosts"]));
        (hosts.len() == 3).then_some(hosts)
    });
    assert_eq!(hosts[2]["host"], "h9");
    let named = |output: &Output| String::from_utf8_lossy(&output.stderr).contains("\"h9\"");
    let listed = world.ok(&["--json", "sockets", "--port", "1000"]);
    assert!(named(&listed) && lines(&listed).len() == 2);
    let equal = lines(&listed)[0]["community_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let compared = world.ok(&["compare", &equal]);
    assert!(
        named(&compared),
        "{}",
        String::from_utf8_lossy(&compared.stderr)
    );
    assert!(text(&compared).contains("bytes are equal"));
    let samples = lines(&world.ok(&["--json", "top", "--interval", "100ms", "-n", "2"]));
    for sample in &samples {
        assert_eq!(sample["hosts"], json!(["h1", "h2"]));
        assert_eq!(sample["invalid"], json!(["h9"]));
        assert_eq!(sample["connections"].as_array().unwrap().len(), 6);
    }
    assert_eq!(samples.len(), 2);
}
