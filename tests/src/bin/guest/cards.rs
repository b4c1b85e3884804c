//! The guest's network cards: eth0 and eth1 communicate, eth2 receives a copy of their packets.

use std::path::Path;

use monitor_tests::{Namespace, until};

/// Namespaces with a card each.
pub struct Cards {
    /// Client: eth0, 10.9.0.1 and fd09::1.
    pub client: Namespace,
    /// Server: eth1, 10.9.0.2 and fd09::2.
    pub server: Namespace,
    /// eth2, without an address.
    pub mirror: Namespace,
}

impl Cards {
    /// Moves the cards into new namespaces and waits for a path between client and server.
    ///
    /// # Panics
    /// Panics if a card is missing or no packet arrives.
    pub fn new(mtu: u32) -> Self {
        let cards = Self {
            client: Namespace::new(),
            server: Namespace::new(),
            mirror: Namespace::new(),
        };
        let root = Root;
        for (n, namespace) in [&cards.client, &cards.server, &cards.mirror]
            .into_iter()
            .enumerate()
        {
            let card = format!("eth{n}");
            root.wait_for(&card);
            root.ip(&format!(
                "link set {card} netns {}",
                namespace.path().display()
            ));
            namespace.set(&format!("ipv6/conf/{card}/accept_dad"), "0");
            namespace.set(&format!("ipv6/conf/{card}/router_solicitations"), "0");
            namespace.ip(&format!("link set {card} mtu {mtu}"));
            if n < 2 {
                let host = n + 1;
                namespace.ip(&format!("address add 10.9.0.{host}/24 dev {card}"));
                namespace.ip(&format!("address add fd09::{host}/64 dev {card} nodad"));
            }
            // QEMU 7.2 makes IP fragments of the segments that these cards shall cut.
            let driver = namespace.run(&format!("ethtool -i {card}"));
            if driver.contains("driver: e1000e") || driver.contains("driver: vmxnet3") {
                namespace.run(&format!("ethtool -K {card} tso off"));
            }
            namespace.ip(&format!("link set {card} up"));
        }
        until("a path from client to server", || {
            let mut ping = cards.client.command("ping");
            ping.args(["-c", "1", "-W", "1", "10.9.0.2"]);
            let output = ping.output().expect("ping is installed");
            output.status.success().then_some(())
        });
        cards
    }

    /// Adds VLAN 100 to client (10.9.1.1) and server (10.9.1.2).
    pub fn add_vlan(&self) {
        for (n, namespace) in [&self.client, &self.server].into_iter().enumerate() {
            namespace.ip(&format!("link add link eth{n} name vlan type vlan id 100"));
            namespace.ip(&format!("address add 10.9.1.{}/24 dev vlan", n + 1));
            namespace.ip("link set vlan up");
        }
    }
}

/// The namespace in which the guest starts. Cards return to it when their namespace is removed.
struct Root;

impl Root {
    fn wait_for(&self, card: &str) {
        until(&format!("the card {card}"), || {
            Path::new("/sys/class/net")
                .join(card)
                .exists()
                .then_some(())
        });
    }

    fn ip(&self, words: &str) {
        let status = std::process::Command::new("ip")
            .args(words.split(' '))
            .status()
            .expect("ip is installed");
        assert!(status.success(), "ip {words}: {status}");
    }
}
