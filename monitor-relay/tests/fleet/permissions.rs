//! Mutual TLS with a user for each certificate, with the documented configuration of the server.

use monitor_relay::fleet::access::Access;
use monitor_relay::fleet::client::{AskError, Fleet};
use monitor_tests::{Certificates, DEADLINE, NatsServer, have, skip};
use serde_json::json;
use tokio::time::timeout;

use crate::rpc_common::Server;
use crate::rpc_common::world::world;
use crate::{Relay, runtime};

const CONFIG: &str = include_str!("../../../examples/nats.conf");
/// Subjects that a user may not publish to.
const PUBLISH: [(&str, &[&str]); 2] = [
    (
        "viewer",
        &[
            "mon.v1.h1.rpc.stop",
            "mon.v1.h1.rpc.configure",
            "mon.v1.h1.rpc.config_test",
            "mon.v1.h1.event.closed",
            "mon.v1.h1.flow",
            "$KV.mon_hosts.h1",
            "$JS.API.STREAM.DELETE.MON_FLOWS",
            "_INBOX.other",
        ],
    ),
    (
        "h1",
        &[
            "mon.v1.h2.rpc.ppeek",
            "mon.v1.all.rpc.sockets",
            "mon.v1.h2.event.closed",
            "mon.v1.h2.flow",
            "$KV.mon_hosts.h2",
            "$JS.API.STREAM.DELETE.MON_FLOWS",
            "_INBOX.other",
        ],
    ),
];
/// Subjects that a user may not subscribe to.
const SUBSCRIBE: [(&str, &[&str]); 2] = [
    ("viewer", &["mon.v1.h1.rpc.*", "mon.v1.*.flow", ">"]),
    ("h1", &["mon.v1.h2.rpc.*", "mon.v1.*.event.*", ">"]),
];

/// Connects with the certificate of a user, or without one.
async fn connect(nats: &NatsServer, user: Option<&str>) -> Result<Fleet, AskError> {
    let files = nats.settings(user.unwrap_or_default());
    let [ca, cert, key] = [0, 1, 2].map(|index: usize| files[index].1.clone());
    let access = Access {
        url: nats.url().into(),
        ca: Some(ca),
        cert: user.is_some().then_some(cert),
        key: user.is_some().then_some(key),
        credentials: None,
    };
    Fleet::connect(&access).await
}

/// Returns the server's refusal of a request, which has no reply.
async fn refusal<T>(fleet: &Fleet, request: impl Future<Output = T>) -> String {
    let mut messages = fleet.subscribe(fleet.nats().new_inbox()).await.unwrap();
    let (refused, _) = tokio::join!(timeout(DEADLINE, messages.next()), request);
    match refused {
        Ok(Err(AskError::Denied(text))) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_viewer_asks_every_host_and_changes_nothing() {
    if !have("nats-server") || !have("openssl") {
        skip!("needs nats-server and openssl");
    }
    let certificates = Certificates::new("127.0.0.1", &["h1", "h2", "viewer"]);
    let nats = NatsServer::start_with(CONFIG, Some(certificates));
    let (engines, sockid) = world();
    let (server, _workers) = Server::with_threads(engines);
    let _relays = ["h1", "h2"].map(|host| {
        let files = nats.settings(host).into_iter();
        let settings: String = files
            .map(|(setting, file)| format!("{setting} = {file:?}\n"))
            .collect();
        let settings = format!("{settings}allow = ['stop']\n");
        Relay::start(&server.socket, &nats, host, &settings)
    });
    runtime().block_on(async {
        let viewer = connect(&nats, Some("viewer")).await.unwrap();
        let gathered = viewer.gather("hello", &json!({})).await.unwrap();
        assert_eq!((gathered.answers.len(), gathered.silent.len()), (2, 0));
        // The relay allows it, the server doesn't.
        let stop = json!({"sockid": sockid});
        let refused = viewer.call("h1", None, "stop", &stop).await;
        assert!(matches!(&refused, Err(AskError::Denied(_))), "{refused:?}");
        for (user, subjects) in PUBLISH {
            let fleet = connect(&nats, Some(user)).await.unwrap();
            for &subject in subjects {
                let text = refusal(&fleet, fleet.nats().publish(subject, "{}".into())).await;
                let expected = format!("Permissions Violation for Publish to \"{subject}\"");
                assert!(text.contains(&expected), "{user}, {subject}: {text}");
            }
        }
        for (user, subjects) in SUBSCRIBE {
            let fleet = connect(&nats, Some(user)).await.unwrap();
            for &subject in subjects {
                let text = refusal(&fleet, fleet.nats().subscribe(subject)).await;
                let expected = format!("Permissions Violation for Subscription to \"{subject}\"");
                assert!(text.contains(&expected), "{user}, {subject}: {text}");
            }
        }
        assert!(
            connect(&nats, None).await.is_err(),
            "no certificate, no access"
        );
        let gathered = viewer.gather("hello", &json!({})).await.unwrap();
        assert_eq!((gathered.answers.len(), gathered.silent.len()), (2, 0));
    });
}

#[test]
fn a_file_with_a_seed_is_the_credentials_of_an_nkey() {
    if !have("nats-server") {
        skip!("needs nats-server");
    }
    // The example of the documentation of NATS.
    let user = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
    let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    let config = format!(
        "listen: \"0.0.0.0:4222\"\njetstream {{ store_dir: \"/var/lib/nats\" }}\n\
         authorization {{ users = [{{ nkey: {user} }}] }}\n"
    );
    let nats = NatsServer::start_with(&config, None);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("relay.nk");
    std::fs::write(&file, format!("# relay\n{seed}\n")).unwrap();
    let (engines, _) = world();
    let (server, _workers) = Server::with_threads(engines);
    let settings = format!("credentials = {file:?}\n");
    let _relay = Relay::start(&server.socket, &nats, "h1", &settings);
    let access = Access {
        url: nats.url().into(),
        ..Access::default()
    };
    runtime().block_on(async {
        assert!(Fleet::connect(&access).await.is_err(), "without the key");
        let credentials = Some(file);
        let fleet = Fleet::connect(&Access {
            credentials,
            ..access
        })
        .await;
        let hosts = fleet.unwrap().hosts().await.unwrap();
        assert_eq!((hosts.len(), hosts[0].host.as_str()), (1, "h1"));
    });
}
