//! `unload`: removes what a killed daemon left attached.
//!
//! From Linux 6.6 on nothing is left: the kernel detaches programs and removes devices with the process. Before that,
//! filters of `clsact` (and before 5.9, XDP programs) stay. A program is taken for ours when it bears one of our
//! names and uses our map of counters, so that another's program called `tap` stays where it is.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{find, read, run};
use crate::privilege::is_root;

/// Our programs and the map that each of them counts in (monitor-common's `abi::names`; the kernel keeps 15
/// characters of a name).
const OURS: &[(&str, &str)] =
    &[("steer", "STEER_COUNTERS"), ("tap", "TAP_COUNTERS"), ("retag", "TAP_COUNTERS")];

/// Something attached to an interface.
#[derive(Debug, PartialEq, Eq)]
enum Attached {
    Filter { interface: String, hook: &'static str, preference: u64, program: u64 },
    Xdp { interface: String, mode: &'static str, program: u64 },
}

/// `cargo xtask unload`.
pub fn verb() -> Result<()> {
    if !is_root() {
        bail!("detaching programs needs root; run: sudo cargo xtask unload");
    }
    if let Some(pid) = running_daemon()? {
        bail!("monitord is running (process {pid}); end it first, it removes its own");
    }
    let attached = find_attached()?;
    if attached.is_empty() {
        println!("Nothing of monitord is attached to any interface.");
        return Ok(());
    }
    if find("bpftool").is_none() {
        bail!("bpftool is needed to tell our programs from others'; run: sudo apt-get install -y bpftool");
    }
    let mut removed = 0;
    for one in &attached {
        if is_ours(one)? {
            remove(one)?;
            removed += 1;
        }
    }
    println!("Removed {removed} of {} programs with names like ours.", attached.len());
    Ok(())
}

/// A daemon in this network namespace.
fn running_daemon() -> Result<Option<u32>> {
    let own = fs::read_link("/proc/self/ns/net").context("cannot read /proc")?;
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let path = entry.context("cannot read /proc")?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        // A process may end while it is looked at.
        let is_daemon = fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "monitord");
        if is_daemon && fs::read_link(path.join("ns/net")).is_ok_and(|namespace| namespace == own) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

fn find_attached() -> Result<Vec<Attached>> {
    let links = json(Command::new("ip").args(["-json", "-details", "link", "show"]))?;
    let mut found = Vec::new();
    for link in links.as_array().context("`ip link` listed nothing")? {
        let Some(interface) = link["ifname"].as_str() else { continue };
        found.extend(xdp(interface, link));
        for hook in ["ingress", "egress"] {
            let filters = json(Command::new("tc").args(["-json", "filter", "show", "dev", interface, hook]))?;
            found.extend(filters_of(interface, hook, &filters));
        }
    }
    Ok(found)
}

fn filters_of(interface: &str, hook: &'static str, filters: &Value) -> Vec<Attached> {
    let listed = filters.as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = listed.iter().filter(|filter| filter["kind"] == "bpf").filter_map(|filter| {
        let name = filter["options"]["bpf_name"].as_str()?;
        // Loaded by tc itself, a name carries the file that it came from: `object:[section]`.
        OURS.iter().find(|(ours, _)| *ours == name)?;
        let program = filter["options"]["prog"]["id"].as_u64()?;
        Some(Attached::Filter {
            interface: interface.to_string(),
            hook,
            preference: filter["pref"].as_u64()?,
            program,
        })
    });
    ours.collect()
}

fn xdp(interface: &str, link: &Value) -> Option<Attached> {
    let xdp = &link["xdp"];
    let program = xdp["prog"]["id"].as_u64()?;
    let name = xdp["prog"]["name"].as_str()?;
    OURS.iter().find(|(ours, _)| *ours == name)?;
    // 2 is XDP_ATTACHED_SKB, which `ip` calls generic; 3 is offloaded, which we never ask for.
    let mode = if xdp["mode"].as_u64() == Some(2) { "xdpgeneric" } else { "xdp" };
    Some(Attached::Xdp { interface: interface.to_string(), mode, program })
}

fn is_ours(attached: &Attached) -> Result<bool> {
    let (Attached::Filter { program, .. } | Attached::Xdp { program, .. }) = attached;
    let program = json(Command::new("bpftool").args(["--json", "prog", "show", "id", &program.to_string()]))?;
    let maps = program["map_ids"].as_array().map(Vec::as_slice).unwrap_or_default();
    for map in maps {
        let map = json(Command::new("bpftool").args(["--json", "map", "show", "id", &map.to_string()]))?;
        if OURS.iter().any(|(name, counters)| program["name"] == *name && map["name"] == *counters) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove(attached: &Attached) -> Result<()> {
    match attached {
        Attached::Filter { interface, hook, preference, .. } => run(Command::new("tc").args([
            "filter",
            "del",
            "dev",
            interface,
            hook,
            "pref",
            &preference.to_string(),
        ])),
        Attached::Xdp { interface, mode, .. } => {
            run(Command::new("ip").args(["link", "set", "dev", interface, mode, "off"]))
        }
    }
}

/// What a program prints as JSON; nothing at all is an empty list.
fn json(command: &mut Command) -> Result<Value> {
    let text = read(command)?;
    let text = if text.trim().is_empty() { "[]" } else { &text };
    serde_json::from_str(text).with_context(|| format!("`{:?}` printed no JSON", command.get_program()))
}
