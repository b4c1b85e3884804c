//! TLS: the secrets of the exported session decrypt it, and no others leave.

use std::process::Stdio;

use monitor_tests::{Daemon, Network, Pair, Program, TlsServer, needs};
use serde_json::json;

use crate::Exported;
use crate::live::TAP;

#[test]
fn the_key_log_decrypts_the_exported_session_only() {
    needs!("tshark", "openssl", "ss");
    let Pair { a, b } = Network::default().pair();
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name);
    let _server = TlsServer::start(&a, 443, &["-www"]);
    let daemon = Daemon::start(&a, TAP);
    let mut rpc = daemon.rpc();
    // Both sessions write to one key log.
    for (count, request) in [(1, "GET /one"), (2, "GET /two")] {
        std::fs::write(path("request"), format!("{request} HTTP/1.0\r\n\r\n")).unwrap();
        let request = std::fs::File::open(path("request")).unwrap();
        let mut client = b.command("openssl");
        client.args([
            "s_client",
            "-quiet",
            "-connect",
            "10.9.0.1:443",
            "-keylogfile",
        ]);
        let client = Program::start_with_stdin(client.arg(path("keys")), Stdio::from(request));
        rpc.complete(443, count);
        drop(client);
    }
    let sockets = rpc.sockets(json!({"port": 443}));
    let second = sockets
        .iter()
        .max_by(|one, other| {
            one["opened"]
                .as_f64()
                .unwrap()
                .total_cmp(&other["opened"].as_f64().unwrap())
        })
        .unwrap();
    let sockid = second["sockid"].as_u64().unwrap().to_string();
    let keys = path("keys");
    let exported = Exported::new(&daemon, &[&sockid, "--keylog", keys.to_str().unwrap()]);
    let shown = exported.tshark(&[
        "-Y",
        "http.request",
        "-T",
        "fields",
        "-e",
        "http.request.uri",
    ]);
    assert_eq!(shown.trim(), "/two");

    let log = std::fs::read_to_string(&keys).unwrap();
    let sessions: Vec<&str> = log
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    let file = std::fs::read(exported.path()).unwrap();
    let holds = |session: &&&str| {
        file.windows(session.len())
            .any(|window| window == session.as_bytes())
    };
    let mut held: Vec<_> = sessions.iter().filter(holds).collect();
    held.dedup();
    let mut all = sessions.clone();
    all.dedup();
    assert_eq!((held.len(), all.len()), (1, 2), "{log}");

    daemon.stop();
}
