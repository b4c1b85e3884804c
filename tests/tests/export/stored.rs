//! Stored connections: replayed captures, exported and read by other programs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use monitor_tests::wiregen::{End, Flow, Layers, Random};
use monitor_tests::{Namespace, Program, needs};
use serde_json::{Value, json};

use crate::{Exported, ctl, replayed};

/// Creates a connection with bytes in both directions.
fn conversation(client: &str, server: &str, seed: u64) -> Flow {
    let mut random = Random::new(seed);
    let mut flow = Flow::new(client, server);
    flow.isn(random.number() as u32, random.number() as u32)
        .open();
    for _ in 0..3 {
        let (request, response) = (1 + random.below(3000), 1 + random.below(200_000));
        flow.send(End::Client, &random.bytes(request))
            .wait(50_000_000)
            .send(End::Server, &random.bytes(response));
    }
    flow.close();
    flow
}

/// Asserts that the exported stream `number` has the bytes of a flow.
#[track_caller]
fn assert_stream(exported: &Exported, number: usize, flow: &Flow) {
    let [client, server] = exported.streams(number);
    assert!(
        client == flow.received_by(End::Server),
        "the client's bytes"
    );
    assert!(
        server == flow.received_by(End::Client),
        "the server's bytes"
    );
}

#[test]
fn tshark_follows_the_bytes_of_ipv4_and_ipv6() {
    needs!("tshark");
    let flows = [
        conversation("10.0.0.1:40000", "10.0.0.2:80", 1),
        conversation("[2001:db8::1]:40000", "[2001:db8::2]:80", 2),
    ];
    let daemon = replayed(&[&flows[0], &flows[1]], &Layers::ethernet(), "");
    for args in [&["--all"][..], &["--all", "--ethernet", "--mss", "536"]] {
        let exported = Exported::new(&daemon, args);
        exported.is_clean();
        for flow in &flows {
            let number = exported.tshark(&[
                "-Y",
                &format!(
                    "tcp.flags.syn == 1 and {}.src == {}",
                    version(flow),
                    flow.client.ip()
                ),
                "-T",
                "fields",
                "-e",
                "tcp.stream",
            ]);
            assert_stream(
                &exported,
                number.lines().next().unwrap().parse().unwrap(),
                flow,
            );
        }
        let syn = exported.tshark(&[
            "-Y",
            "tcp.flags.syn == 1",
            "-T",
            "fields",
            "-e",
            "tcp.seq_raw",
        ]);
        let expected = flows.iter().flat_map(|flow| {
            [End::Client, End::Server].map(|end| flow.seq(end, 0).wrapping_sub(1).to_string())
        });
        let mut expected: Vec<_> = expected.collect();
        let mut found: Vec<_> = syn.lines().map(str::to_owned).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "the real initial sequence numbers");
    }
    daemon.stop();
}

fn version(flow: &Flow) -> &'static str {
    if flow.client.is_ipv4() { "ip" } else { "ipv6" }
}

#[test]
fn vlan_tags_are_kept() {
    needs!("tshark");
    let flow = conversation("10.0.0.1:40000", "10.0.0.2:80", 3);
    let layers = Layers {
        tags: vec![(0x88a8, 100), (0x8100, 7)],
        ..Layers::ethernet()
    };
    let daemon = replayed(&[&flow], &layers, "");
    let exported = Exported::new(&daemon, &["--filter", "vlan 100"]);
    exported.is_clean();
    assert_stream(&exported, 0, &flow);
    let tags = exported.tshark(&["-T", "fields", "-e", "ieee8021ad.id", "-e", "vlan.id"]);
    assert!(
        tags.lines()
            .all(|line| line.starts_with("100") && line.ends_with('7')),
        "{tags}"
    );
    daemon.stop();
}

#[test]
fn unknown_numbers_are_noted_and_a_reset_is_shown() {
    needs!("tshark", "capinfos");
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.midstream()
        .send(End::Client, b"in the middle")
        .send(End::Server, b"answer")
        .reset(End::Server);
    let mut refused = Flow::new("10.0.0.1:40001", "10.0.0.2:81");
    refused.open().reset(End::Server);
    refused.segments.drain(1..3);
    let daemon = replayed(&[&flow, &refused], &Layers::ethernet(), "");
    let exported = Exported::new(&daemon, &["--filter", "port 80"]);
    exported.is_clean();
    assert_stream(&exported, 0, &flow);
    let described = Program::run(Command::new("capinfos").arg("-k").arg(exported.path())).text();
    assert!(
        described.contains(
            "Its start was not captured. The initial sequence number of the client is unknown"
        ),
        "{described}"
    );
    let fields = ["-T", "fields", "-e", "tcp.flags.str", "-e", "tcp.seq_raw"];
    let flags = exported.tshark(&fields);
    assert!(flags.lines().last().unwrap().contains('R'), "{flags}");
    assert!(flags.starts_with("··········S·\t0\n"), "{flags}");

    let exported = Exported::new(&daemon, &["--filter", "port 81"]);
    let flags = exported.tshark(&fields);
    assert_eq!(flags.lines().count(), 2, "SYN and RST: {flags}");
    daemon.stop();
}

#[test]
fn other_programs_accept_the_file() {
    needs!("tshark", "capinfos", "editcap", "tcpreplay", "tcpflow");
    let flow = conversation("10.0.0.1:40000", "10.0.0.2:80", 5);
    let daemon = replayed(&[&flow], &Layers::ethernet(), "");
    let exported = Exported::new(&daemon, &["--all"]);
    let path = exported.path();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let described = Program::run(Command::new("capinfos").arg(&path)).text();
    assert!(described.contains("Raw IP"), "{described}");
    assert!(
        described.contains("Number of stat entries = 1"),
        "{described}"
    );
    let copy = exported.dir.path().join("copy.pcap");
    let mut editcap = Command::new("editcap");
    Program::run(editcap.args(["-F", "pcap"]).arg(&path).arg(&copy));
    assert_eq!(crate::tshark(&copy, &["-q"]), "");

    // tcpflow names its files by both ends.
    let streams = exported.dir.path().join("tcpflow");
    let mut tcpflow = Command::new("tcpflow");
    Program::run(tcpflow.arg("-o").arg(&streams).arg("-r").arg(&path));
    for (name, end) in [
        ("010.000.000.001.40000-010.000.000.002.00080", End::Server),
        ("010.000.000.002.00080-010.000.000.001.40000", End::Client),
    ] {
        let found = fs::read(streams.join(name)).unwrap();
        assert!(found == flow.received_by(end), "{name}");
    }

    // tcpreplay sends Ethernet frames only.
    let ethernet = Exported::new(&daemon, &["--all", "--ethernet"]);
    let namespace = Namespace::new();
    namespace.ip("link add veth type veth peer name peer");
    namespace.ip("link set veth up");
    namespace.ip("link set peer up");
    let sent = namespace.run(&format!(
        "tcpreplay --topspeed -i veth {}",
        ethernet.path().display()
    ));
    let count = ethernet.tshark(&["-T", "fields", "-e", "frame.number"]);
    let expected = format!("Successful packets:        {}", count.lines().count());
    assert!(sent.contains(&expected), "{sent}");
    daemon.stop();
}

#[test]
fn packets_of_many_connections_are_in_the_order_of_time() {
    needs!("tshark");
    let flows: Vec<Flow> = (0..30)
        .map(|number| conversation(&format!("10.0.0.{number}:40000"), "10.0.1.1:80", number))
        .collect();
    let daemon = replayed(&flows.iter().collect::<Vec<_>>(), &Layers::ethernet(), "");
    let exported = Exported::new(&daemon, &["--all"]);
    let times = exported.tshark(&["-T", "fields", "-e", "frame.time_epoch"]);
    let times: Vec<f64> = times.lines().map(|line| line.parse().unwrap()).collect();
    assert!(times.is_sorted());
    exported.is_clean();
    daemon.stop();
}

#[test]
fn requests_and_responses_alternate_at_their_times() {
    needs!("tshark");
    let mut flow = Flow::new("10.0.0.1:40000", "10.0.0.2:80");
    flow.open();
    for number in 0..100_u32 {
        flow.wait(3_000_000)
            .send(End::Client, format!("GET /{number}").as_bytes())
            .wait(2_000_000)
            .send(End::Server, format!("response {number}").as_bytes());
    }
    flow.close();
    let daemon = replayed(&[&flow], &Layers::ethernet(), "");
    let exported = Exported::new(&daemon, &["--all"]);
    let fields = ["frame.time_epoch", "tcp.srcport", "tcp.payload"];
    let fields = fields.iter().flat_map(|field| ["-e", field]);
    let args: Vec<_> = ["-Y", "tcp.len > 0", "-T", "fields"]
        .into_iter()
        .chain(fields)
        .collect();
    let shown = exported.tshark(&args);
    let sent: Vec<_> = flow
        .segments
        .iter()
        .filter(|segment| !segment.payload.is_empty())
        .collect();
    assert_eq!((shown.lines().count(), sent.len()), (200, 200));
    for (line, segment) in shown.lines().zip(sent) {
        let fields: Vec<_> = line.split('\t').collect();
        let time: f64 = fields[0].parse().unwrap();
        assert!((time - segment.time as f64 / 1e9).abs() < 0.001, "{line}");
        let port = if segment.from == End::Client {
            "40000"
        } else {
            "80"
        };
        assert_eq!(fields[1], port);
        assert!(crate::unhex(fields[2]) == segment.payload, "{line}");
    }
    daemon.stop();
}

#[test]
fn a_file_is_never_overwritten_and_a_summary_is_printed() {
    needs!();
    let flow = conversation("10.0.0.1:40000", "10.0.0.2:80", 6);
    let daemon = replayed(&[&flow], &Layers::ethernet(), "");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.pcapng");
    let mut export = ctl(&daemon, &["--json", "export", "--all", "-o"]);
    let printed = Program::run(export.arg(&path)).text();
    let summary: Value = serde_json::from_str(&printed).unwrap();
    let bytes = flow.received_by(End::Client).len() + flow.received_by(End::Server).len();
    assert_eq!(
        (
            &summary["connections"],
            &summary["bytes"],
            &summary["missing"]
        ),
        (&json!(1), &json!(bytes), &json!(0))
    );
    let written = fs::read(&path).unwrap();
    let again = Program::start(ctl(&daemon, &["export", "--all", "-o"]).arg(&path)).finish();
    assert!(
        again.stderr.contains("name another file"),
        "{}",
        again.stderr
    );
    assert!(fs::read(&path).unwrap() == written);
    // An export that fails at its start leaves no file behind.
    let other = dir.path().join("other.pcapng");
    let mut export = ctl(&daemon, &["export", "--filter", "prot 80", "-o"]);
    let failed = Program::start(export.arg(&other)).finish();
    assert!(!failed.status.success() && !other.exists());
    let piped = Program::run(&mut ctl(&daemon, &["export", "--all"]));
    assert!(
        piped.stdout == written,
        "standard output has the same bytes"
    );
    daemon.stop();
}
