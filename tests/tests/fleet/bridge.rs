//! Two hosts on a bridge, and a hub with the documented users and permissions: both views of a connection, compared
//! without and with a proxy that alters a byte.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;

use monitor_tests::wiregen::Random;
use monitor_tests::{
    Bridge, Certificates, Finished, Namespace, NatsServer, Network, Nginx, Program, needs, until,
};
use nix::sys::socket::{setsockopt, sockopt::IpTransparent};
use rustix::net::{AddressFamily, SocketType, bind, connect, listen, socket};
use serde_json::{Value, json};

use crate::{Host, has_hosts, objects, relay_in, view, viewer_in};

const CONFIG: &str = include_str!("../../../examples/nats.conf");
const HUB: &str = "10.9.0.3";
const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 9, 0, 2), 8000);
/// Offset in the bytes to the client of the one that the proxy changes.
const ALTERED: usize = 12_345;

/// Socket for addresses of other hosts.
fn transparent(address: SocketAddr) -> OwnedFd {
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    setsockopt(&stream, IpTransparent, &true).unwrap();
    bind(&stream, &address).unwrap();
    stream
}

/// Leads the packets between the hosts through the sockets of the hub: to each host, the hub has the other's address.
fn divert(bridge: &Bridge) -> TcpListener {
    let Bridge { hub, a, b } = bridge;
    let mac = "02:00:00:00:00:03";
    hub.ip(&format!("link set br0 address {mac}"));
    for interface in ["all", "br0"] {
        hub.set(&format!("ipv4/conf/{interface}/rp_filter"), "0");
    }
    for (host, other) in [(a, "10.9.0.2"), (b, "10.9.0.1")] {
        hub.ip(&format!("route add local {other} dev lo table 100"));
        hub.ip(&format!("rule add iif br0 to {other} lookup 100"));
        host.ip(&format!(
            "neigh replace {other} lladdr {mac} dev veth nud permanent"
        ));
        host.ip(&format!(
            "neigh replace {HUB} lladdr {mac} dev veth nud permanent"
        ));
    }
    hub.enter(|| {
        let socket = transparent(SERVER.into());
        listen(&socket, 1).unwrap();
        TcpListener::from(socket)
    })
}

/// Passes one connection on, with the client's address, and alters a byte of the response.
fn proxy(listener: &TcpListener, hub: &Namespace) {
    let (mut client, from) = listener.accept().unwrap();
    let mut server = hub.enter(|| {
        let socket = transparent(from);
        connect(&socket, &SERVER).unwrap();
        TcpStream::from(socket)
    });
    let (mut requests, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::scope(|scope| {
        scope.spawn(move || {
            io::copy(&mut requests, &mut to_server).unwrap();
            to_server.shutdown(Shutdown::Write).unwrap();
        });
        let mut response = Vec::new();
        server.read_to_end(&mut response).unwrap();
        response[ALTERED] ^= 1;
        client.write_all(&response).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
    });
}

/// Requests a file; the output is the response with its head.
fn curl(client: &Namespace, port: &str) -> Program {
    let mut command = client.command("curl");
    command.args(["-sS", "-i", "--local-port", port]);
    Program::start(command.arg(format!("http://{SERVER}/file")))
}

/// Both views of one connection.
struct Views<'a> {
    nats: &'a NatsServer,
    viewer: &'a Namespace,
    listed: [Value; 2],
}

impl<'a> Views<'a> {
    /// Waits until both hosts list the connection of a client's port as ended.
    fn of(port: &str, nats: &'a NatsServer, viewer: &'a Namespace) -> Self {
        let arguments = ["--json", "sockets", "--closed", "--port", port];
        let listed = until("both views of the connection", || {
            let listed = objects(&view(viewer_in(viewer), nats, &arguments));
            <[Value; 2]>::try_from(listed).ok()
        });
        assert_eq!(
            (&listed[0]["host"], &listed[1]["host"]),
            (&"h1".into(), &"h2".into())
        );
        assert_eq!(listed[0]["community_id"], listed[1]["community_id"]);
        Self {
            nats,
            viewer,
            listed,
        }
    }

    /// Returns the bytes of a side as both hosts captured them.
    fn bytes(&self, side: &str) -> [Vec<u8>; 2] {
        [0, 1].map(|index: usize| {
            let name = self.listed[index]["name"].as_str().unwrap();
            let read = self.view(&["ppeek", name, side, "0", "--raw"]);
            assert!(read.status.success(), "{}", read.stderr);
            read.stdout
        })
    }

    /// Compares both views; returns the exit code, and the number of equal bytes and the offset of a difference for each
    /// side.
    fn compare(&self) -> (Option<i32>, Value) {
        let id = self.listed[0]["community_id"].as_str().unwrap();
        let compared = self.view(&["--json", "compare", id]);
        let mut sides = json!({});
        for result in objects(&compared) {
            assert_eq!(result["skipped"], 0, "{result}");
            sides[result["side"].as_str().unwrap()] = json!([result["equal"], result["differs"]]);
        }
        (compared.status.code(), sides)
    }

    fn view(&self, arguments: &[&str]) -> Finished {
        view(viewer_in(self.viewer), self.nats, arguments)
    }
}

#[test]
fn two_hosts_on_a_bridge_are_one_monitor_and_find_the_byte_that_a_proxy_alters() {
    needs!("nats-server", "nginx", "curl", "openssl");
    let bridge = Network::default().bridge();
    let Bridge { hub, a, b } = &bridge;
    let certificates = Certificates::new(HUB, &["h1", "h2", "viewer"]);
    let nats = NatsServer::start_in_with(hub, &format!("{HUB}:4222"), CONFIG, certificates);
    let nginx = Nginx::start(b, SERVER.port());
    let content = Random::new(3).bytes(40_000);
    nginx.serve("file", &content);
    let hosts = [("h1", a), ("h2", b)].map(|(name, namespace)| {
        let mut host = Host::start(name, namespace, &nats);
        host.start_relay(relay_in(namespace));
        host
    });
    until("the hosts", || {
        has_hosts(viewer_in(hub), &nats, &["h1", "h2"])
    });

    let received = curl(a, "40001").finish();
    assert!(received.status.success(), "{}", received.stderr);
    assert!(received.stdout.ends_with(&content));
    let views = Views::of("40001", &nats, hub);
    let [one, other] = views.bytes("client");
    assert!(one == received.stdout && other == received.stdout);
    let [request, other] = views.bytes("server");
    assert!(request.starts_with(b"GET /file HTTP/1.1\r\n") && request == other);
    let (requested, responded) = (request.len(), one.len());
    let equal = json!({"server": [requested, null], "client": [responded, null]});
    assert_eq!(views.compare(), (Some(0), equal));

    let listener = divert(&bridge);
    let client = curl(a, "40002");
    proxy(&listener, hub);
    let altered = client.finish();
    assert!(altered.status.success(), "{}", altered.stderr);
    let views = Views::of("40002", &nats, hub);
    let [one, mut other] = views.bytes("client");
    assert!(one == altered.stdout && other != one);
    other[ALTERED] ^= 1;
    assert!(other == one, "one byte differs");
    let differ = json!({"server": [requested, null], "client": [ALTERED, ALTERED]});
    assert_eq!(views.compare(), (Some(8), differ));

    // The documented permissions refuse nothing that a relay does, and what a viewer must not do.
    let sockid = format!("sockid={}", views.listed[0]["sockid"]);
    let stop = views.view(&["call", "h1", "stop", &sockid]);
    assert_eq!(stop.status.code(), Some(5), "{}", stop.stderr);
    assert!(
        stop.stderr.contains("Permissions Violation"),
        "{}",
        stop.stderr
    );
    for host in &hosts {
        let log = host.relay.as_ref().unwrap().stderr();
        assert!(
            log.contains("in the fleet as") && !log.contains("WARN"),
            "{log}"
        );
    }
}
