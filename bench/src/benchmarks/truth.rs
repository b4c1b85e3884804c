//! Comparison of monitord's streams with the known content: every captured byte, and no other.

use anyhow::{Result, ensure};
use monitor_tests::{Daemon, Rpc};
use serde_json::{Value, json};

use crate::context::Context;
use crate::workload::{Flow, Workload};

/// Everything is kept, so that all of it can be compared.
const SETTINGS: &str = "[tcp]\nlinger = \"off\"\nidle_timeout = \"off\"\nverify_checksums = \"never\"\n\
                        [store]\nmemory = \"1GiB\"\nwindow = \"64MiB\"\n[log]\nlevel = \"warn\"\n";
/// Bytes compared at a time.
const PIECE: u64 = 4 << 20;

/// Replays a capture and reads all of it back.
///
/// # Errors
/// At the first byte or hole that is not as it should be.
pub fn check(context: &Context, workload: Workload) -> Result<Value> {
    let file = workload.file(&context.directory);
    let daemon = Daemon::replay(&[&file], SETTINGS, &[]);
    daemon.finished();
    let mut rpc = daemon.rpc();
    let (mut bytes, mut lost, mut holes) = (0, 0, 0);
    for flow in workload.flows() {
        let [client, server] = flow.ends();
        let socket = rpc.ok("lookup", json!({"client": client, "server": server}));
        let sockid = socket["sockid"].as_u64().unwrap_or_default();
        for (sender, side) in ["server", "client"].into_iter().enumerate() {
            let extents = flow.captured(sender);
            let seen = rpc.ok("fragments", json!({"sockid": sockid, "side": side}));
            ensure!(
                seen["extents"] == json!(extents),
                "{client}, {side}: {seen} instead of {extents:?}"
            );
            ensure!(seen["next"] == flow.len[sender], "{client}, {side}: {seen}");
            let gaps = extents.len() as u64 - 1;
            ensure!(
                socket["sides"][side]["gaps"] == gaps,
                "{client}, {side}: {socket}, not {gaps} holes"
            );
            for [off, len] in extents {
                compare(&mut rpc, sockid, side, &flow, sender, off, len)?;
                bytes += len;
            }
            holes += gaps;
            lost += flow.lost[sender]
                .iter()
                .map(|(_, len)| u64::from(*len))
                .sum::<u64>();
        }
    }
    daemon.stop();
    Ok(json!({"bytes": bytes, "lost": lost, "holes": holes}))
}

fn compare(
    rpc: &mut Rpc,
    sockid: u64,
    side: &str,
    flow: &Flow,
    sender: usize,
    from: u64,
    len: u64,
) -> Result<()> {
    let mut expected = Vec::new();
    let mut off = from;
    while off < from + len {
        let (_, bytes) = rpc
            .ppeek(sockid, side, off, PIECE.min(from + len - off))
            .map_err(anyhow::Error::msg)?;
        ensure!(
            !bytes.is_empty(),
            "{side} of {:?} has nothing at {off}",
            flow.ends()
        );
        expected.resize(bytes.len(), 0);
        flow.content[sender].fill(off, &mut expected);
        ensure!(
            bytes == expected,
            "{side} of {:?} differs in what was read at {off}",
            flow.ends()
        );
        off += bytes.len() as u64;
    }
    Ok(())
}
