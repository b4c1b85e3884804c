//! Network of the demonstration: namespaces for a server and a client, and the hub between them.
//!
//! The hub is a bridge that sends each packet to all ports. Its third port is the mirror port. Where the kernel has no
//! bridge, a cable connects server and client.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::show::{shown, wait_for};
use crate::command::read;

/// Makes this namespace the server's. Returns the client's namespace, and whether there is a mirror port.
pub fn create() -> Result<(Namespace, bool)> {
    // The interfaces of this namespace, not of the one that it was made in; room for sockets and files.
    quiet("mount", &["-t", "sysfs", "sysfs", "/sys"])?;
    quiet("mount", &["-t", "tmpfs", "tmpfs", "/run"])?;
    let client = Namespace::new()?;
    let hub = Namespace::new()?;
    let bridge = "link add hub type bridge ageing_time 0";
    let has_hub = hub.ip(bridge).is_ok();
    if has_hub {
        shown(&format!("ip {bridge}"));
        hub.ip("link set hub up")?;
        for link in ["server", "port"] {
            ip(&format!(
                "link add {link} type veth peer name hub-{link} netns {}",
                hub.holder
            ))?;
        }
        client.ip(&format!(
            "link add client type veth peer name hub-client netns {}",
            hub.holder
        ))?;
        for link in ["server", "client", "port"] {
            hub.ip(&format!("link set hub-{link} master hub up"))?;
        }
        // A mirror port only listens: it must not answer for the server's address.
        ip("link set port arp off up")?;
    } else {
        ip(&format!(
            "link add server type veth peer name client netns {}",
            client.holder
        ))?;
    }
    ip("address add 10.77.0.1/24 dev server")?;
    client.ip("address add 10.77.0.2/24 dev client")?;
    for link in ["lo", "server"] {
        ip(&format!("link set {link} up"))?;
    }
    client.ip("link set client up")?;
    Ok((client, has_hub))
}

/// Runs `ip` in this namespace.
fn ip(words: &str) -> Result<()> {
    quiet("ip", &words.split(' ').collect::<Vec<_>>())
}

/// Network namespace, held by a process that sleeps in it.
pub struct Namespace {
    holder: u32,
}

impl Namespace {
    fn new() -> Result<Self> {
        let holder = Command::new("unshare")
            .args(["--net", "sleep", "infinity"])
            .spawn()
            .context("cannot start unshare")?;
        let namespace = Self {
            holder: holder.id(),
        };
        let own = fs::read_link("/proc/self/ns/net")?;
        wait_for("a network namespace", || {
            Ok(fs::read_link(namespace.path())
                .is_ok_and(|path| path != own)
                .then_some(()))
        })?;
        Ok(namespace)
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder)
    }

    fn ip(&self, words: &str) -> Result<()> {
        read(self.command("ip").args(words.split(' '))).map(drop)
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg(program);
        command
    }
}

fn quiet(program: &str, arguments: &[&str]) -> Result<()> {
    read(Command::new(program).args(arguments)).map(|_| ())
}
