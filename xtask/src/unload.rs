//! `unload`: removes the programs that a killed daemon left attached.
//!
//! Since Linux 6.6 nothing is left: the kernel detaches programs and removes devices with the
//! process. Before that, filters of `clsact` (and before 5.9, XDP programs) stay. A program counts
//! as ours when it has one of our names and uses our map of counters, so another's program called
//! `tap` stays attached.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{find, read, run};
use crate::privilege::is_root;

/// Our programs and the map that each of them counts in (monitor-common's `abi::names`; the kernel keeps 15
/// characters of a name).
const OURS: &[(&str, &str)] = &[
    ("steer", "STEER_COUNTERS"),
    ("tap", "TAP_COUNTERS"),
    ("retag", "TAP_COUNTERS"),
];

/// Something attached to an interface.
#[derive(Debug, PartialEq, Eq)]
enum Attached {
    Filter {
        interface: String,
        hook: &'static str,
        preference: u64,
        handle: String,
        program: u64,
    },
    Xdp {
        interface: String,
        mode: &'static str,
        program: u64,
    },
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
        bail!(
            "bpftool is needed to tell our programs from others'; run: sudo apt-get install -y bpftool"
        );
    }
    let mut removed = 0;
    for one in &attached {
        if is_ours(one)? {
            remove(one)?;
            removed += 1;
        }
    }
    println!(
        "Removed {removed} of {} programs with names like ours.",
        attached.len()
    );
    Ok(())
}

/// A daemon in this network namespace.
fn running_daemon() -> Result<Option<u32>> {
    let own = fs::read_link("/proc/self/ns/net").context("cannot read /proc")?;
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let path = entry.context("cannot read /proc")?.path();
        let Some(pid) = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok())
        else {
            continue;
        };
        // A process may end while it is looked at.
        let is_daemon =
            fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "monitord");
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
        let Some(interface) = link["ifname"].as_str() else {
            continue;
        };
        found.extend(xdp(interface, link));
        for hook in ["ingress", "egress"] {
            let filters =
                json(Command::new("tc").args(["-json", "filter", "show", "dev", interface, hook]))?;
            found.extend(filters_of(interface, hook, &filters));
        }
    }
    Ok(found)
}

fn filters_of(interface: &str, hook: &'static str, filters: &Value) -> Vec<Attached> {
    let listed = filters.as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = listed
        .iter()
        .filter(|filter| filter["kind"] == "bpf")
        .filter_map(|filter| {
            let options = &filter["options"];
            bears_our_name(&options["prog"]).then_some(())?;
            Some(Attached::Filter {
                interface: interface.to_string(),
                hook,
                preference: filter["pref"].as_u64()?,
                handle: options["handle"].as_str()?.to_string(),
                program: options["prog"]["id"].as_u64()?,
            })
        });
    ours.collect()
}

fn bears_our_name(program: &Value) -> bool {
    OURS.iter().any(|(name, _)| program["name"] == *name)
}

fn xdp(interface: &str, link: &Value) -> Option<Attached> {
    let xdp = &link["xdp"];
    bears_our_name(&xdp["prog"]).then_some(())?;
    let program = xdp["prog"]["id"].as_u64()?;
    // 2 is XDP_ATTACHED_SKB, which `ip` calls generic; 3 is offloaded, which we never ask for.
    let mode = if xdp["mode"].as_u64() == Some(2) {
        "xdpgeneric"
    } else {
        "xdp"
    };
    Some(Attached::Xdp {
        interface: interface.to_string(),
        mode,
        program,
    })
}

fn is_ours(attached: &Attached) -> Result<bool> {
    let (Attached::Filter { program, .. } | Attached::Xdp { program, .. }) = attached;
    let program =
        json(Command::new("bpftool").args(["--json", "prog", "show", "id", &program.to_string()]))?;
    let maps = program["map_ids"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for map in maps {
        let map =
            json(Command::new("bpftool").args(["--json", "map", "show", "id", &map.to_string()]))?;
        if OURS
            .iter()
            .any(|(name, counters)| program["name"] == *name && map["name"] == *counters)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove(attached: &Attached) -> Result<()> {
    match attached {
        Attached::Filter {
            interface,
            hook,
            preference,
            handle,
            ..
        } => {
            let preference = preference.to_string();
            let filter = [
                "filter",
                "del",
                "dev",
                interface,
                hook,
                "pref",
                &preference,
                "handle",
                handle,
                "bpf",
            ];
            run(Command::new("tc").args(filter))?;
            remove_unused_qdisc(interface)
        }
        Attached::Xdp {
            interface, mode, ..
        } => run(Command::new("ip").args(["link", "set", "dev", interface, mode, "off"])),
    }
}

/// Removes a `clsact` qdisc without filters. The daemon creates it if there is none.
fn remove_unused_qdisc(interface: &str) -> Result<()> {
    for hook in ["ingress", "egress"] {
        let filters =
            json(Command::new("tc").args(["-json", "filter", "show", "dev", interface, hook]))?;
        if filters
            .as_array()
            .is_some_and(|listed| listed.iter().any(|filter| !filter["options"].is_null()))
        {
            return Ok(());
        }
    }
    run(Command::new("tc").args(["qdisc", "del", "dev", interface, "clsact"]))
}

/// Parses a program's output as JSON; empty output is an empty list.
fn json(command: &mut Command) -> Result<Value> {
    let text = read(command)?;
    let text = if text.trim().is_empty() { "[]" } else { &text };
    serde_json::from_str(text)
        .with_context(|| format!("`{:?}` printed no JSON", command.get_program()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output of iproute2 6.1.
    const FILTERS: &str = r#"[
        {"protocol":"all","pref":1,"kind":"bpf","chain":0},
        {"protocol":"all","pref":1,"kind":"bpf","chain":0,"options":{"handle":"0x1","bpf_name":"tap",
         "direct-action":true,"not_in_hw":true,"prog":{"id":426,"name":"tap","tag":"90ecd3a685b42713","jited":1}}},
        {"protocol":"all","pref":2,"kind":"bpf","chain":0,"options":{"handle":"0x1","bpf_name":"other",
         "prog":{"id":427,"name":"other"}}}]"#;

    #[test]
    fn a_filter_is_found_by_its_program() {
        let filters = serde_json::from_str(FILTERS).unwrap();
        let expected = Attached::Filter {
            interface: "lo".to_string(),
            hook: "ingress",
            preference: 1,
            handle: "0x1".to_string(),
            program: 426,
        };
        assert_eq!(filters_of("lo", "ingress", &filters), [expected]);
    }

    #[test]
    fn a_generic_program_is_found_with_its_mode() {
        let link = r#"{"ifname":"eth0","xdp":{"mode":2,"prog":{"id":428,"name":"steer"}}}"#;
        let found = xdp("eth0", &serde_json::from_str(link).unwrap());
        let expected = Attached::Xdp {
            interface: "eth0".to_string(),
            mode: "xdpgeneric",
            program: 428,
        };
        assert_eq!(found, Some(expected));
        assert_eq!(
            xdp(
                "eth0",
                &serde_json::from_str(r#"{"ifname":"eth0"}"#).unwrap()
            ),
            None
        );
    }
}
