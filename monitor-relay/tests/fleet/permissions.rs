//! Mutual TLS with a user for each certificate, with the documented configuration of the server.

use monitor_relay::fleet::access::Access;
use monitor_relay::fleet::client::{AskError, Fleet};
use monitor_tests::{Certificates, NatsServer, have, skip};
use serde_json::json;

use crate::rpc_common::Server;
use crate::rpc_common::world::world;
use crate::{Relay, runtime};

const CONFIG: &str = include_str!("../../../examples/nats.conf");

fn access(nats: &NatsServer, certificates: &Certificates, name: &str) -> Access {
    Access {
        url: nats.url().into(),
        ca: Some(certificates.path("ca.pem")),
        cert: Some(certificates.path(&format!("{name}.pem"))),
        key: Some(certificates.path(&format!("{name}.key"))),
        credentials: None,
    }
}

#[test]
fn a_viewer_asks_every_host_and_changes_nothing() {
    if !have("nats-server") || !have("openssl") {
        skip!("needs nats-server and openssl");
    }
    let certificates = Certificates::new(&["h1", "h2", "viewer"]);
    let nats = NatsServer::start_with(CONFIG, Some(&certificates));
    let (engines, sockid) = world();
    let (server, _workers) = Server::with_threads(engines);
    let relays = ["h1", "h2"].map(|host| {
        let Access { ca, cert, key, .. } = access(&nats, &certificates, host);
        let (ca, cert, key) = (ca.unwrap(), cert.unwrap(), key.unwrap());
        let settings = format!("ca = {ca:?}\ncert = {cert:?}\nkey = {key:?}\nallow = ['stop']\n");
        Relay::start(&server.socket, &nats, host, &settings)
    });
    runtime().block_on(async {
        let viewer = Fleet::connect(&access(&nats, &certificates, "viewer")).await.unwrap();
        let gathered = viewer.gather("hello", &json!({})).await.unwrap();
        assert_eq!((gathered.answers.len(), gathered.silent.len()), (2, 0));
        let params = json!({"sockid": sockid, "side": "client", "off": 0, "len": 15});
        let read = viewer.call("h2", None, "ppeek", &params).await.unwrap();
        assert_eq!(read.bytes, b"HTTP/1.1 200 OK");
        let refused = viewer.call("h1", None, "stop", &json!({"sockid": sockid})).await;
        assert!(
            matches!(&refused, Err(AskError::Denied(text)) if text.contains("Permissions Violation")),
            "{refused:?}"
        );
        let stranger = Access {
            cert: None,
            key: None,
            ..access(&nats, &certificates, "viewer")
        };
        assert!(Fleet::connect(&stranger).await.is_err(), "no certificate, no access");
    });
    // Nothing that a relay does is refused.
    for relay in relays {
        let log = relay.program.stderr();
        assert!(!log.contains("Violation"), "{log}");
    }
}
