//! Boots a kernel under QEMU and collects the results of its checks from the serial console.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::card::Card;
use super::release::Kernel;
use crate::command::{find, output, run_within};

/// Time limit of a guest. Under emulation the checks take about a minute.
const LIMIT: Duration = Duration::from_secs(300);

/// Programs and checks of a guest.
#[derive(Debug)]
pub struct Guest<'a> {
    /// The kernel to boot.
    pub kernel: &'a Kernel,
    /// Its initramfs.
    pub initramfs: &'a Path,
    /// The script that runs as process 1 after the root is mounted.
    pub script: &'a Path,
    /// The program that runs the checks.
    pub checks: &'a Path,
    /// The daemon under test.
    pub monitord: &'a Path,
    /// Names of the checks; all if empty.
    pub names: &'a [String],
}

/// Result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Name of the check.
    pub name: String,
    /// `ok`, `FAILED` or `skipped`.
    pub result: String,
    /// Capture path, or the reason.
    pub detail: String,
}

impl Guest<'_> {
    /// Boots the guest with three cards and returns the outcome of each check. The console goes to `log`.
    ///
    /// # Errors
    /// Returns an error if QEMU can't be started or the guest doesn't end within its time limit.
    pub fn run(&self, card: &Card, log: &Path) -> Result<Vec<Outcome>> {
        let _ = fs::remove_file(log);
        let accelerator = if has_kvm() { "kvm" } else { "tcg" };
        let processor = if has_kvm() { "host" } else { "max" };
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-accel", accelerator, "-cpu", processor, "-M", "q35"])
            .args(["-smp", "2", "-m", "2048", "-nodefaults", "-no-user-config"])
            .args(["-display", "none", "-no-reboot", "-serial"])
            .arg(format!("file:{}", log.display()))
            .arg("-kernel")
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(self.initramfs)
            .arg("-append")
            .arg(self.command_line(card))
            .args([
                "-fsdev",
                "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
                "-device",
                "virtio-9p-pci,fsdev=host,mount_tag=host",
                "-device",
                "virtio-rng-pci",
            ])
            .args(card.arguments());
        run_within(&mut command, LIMIT)?;
        let console = fs::read(log).context("QEMU wrote no console log")?;
        Ok(outcomes(&String::from_utf8_lossy(&console)))
    }

    fn command_line(&self, card: &Card) -> String {
        let mut line = format!(
            "console=ttyS0 quiet loglevel=4 panic=-1 net.ifnames=0 vm.modules={} vm.run={} vm.guest={} \
             vm.monitord={} vm.driver={}",
            self.kernel.modules.display(),
            self.script.display(),
            self.checks.display(),
            self.monitord.display(),
            card.driver,
        );
        if !self.names.is_empty() {
            line.push_str(" vm.checks=");
            line.push_str(&self.names.join(","));
        }
        line
    }
}

/// Returns whether KVM works here. A /dev/kvm without svm or vmx in the processor's flags is para-virtual and boots no
/// kernel of a distribution.
fn has_kvm() -> bool {
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has_extension = flags
        .split_whitespace()
        .any(|flag| flag == "svm" || flag == "vmx");
    has_extension && fs::OpenOptions::new().write(true).open("/dev/kvm").is_ok()
}

/// Returns whether QEMU is installed and offers the card.
pub fn offers(card: &Card) -> bool {
    if find("qemu-system-x86_64").is_none() {
        return false;
    }
    let mut help = Command::new("qemu-system-x86_64");
    help.args(["-device", "help"]).stderr(Stdio::null());
    output(&mut help).is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).contains(&format!("name \"{}\"", card.model()))
    })
}

/// Results on the console: lines `RESULT NAME RESULT DETAIL`.
fn outcomes(console: &str) -> Vec<Outcome> {
    let mut found = Vec::new();
    for line in console.lines() {
        let Some((_, line)) = line.split_once("RESULT ") else {
            continue;
        };
        let mut words = line.trim().splitn(3, ' ');
        if let (Some(name), Some(result)) = (words.next(), words.next()) {
            found.push(Outcome {
                name: name.to_owned(),
                result: result.to_owned(),
                detail: words.next().unwrap_or_default().to_owned(),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_from_a_noisy_console() {
        let console = "BOOTED 6.1\r\n[  1.2] x: RESULT tap ok xdp\r\nRESULT mirror FAILED 3 bytes differ\r\nEND\r\n";
        let found = outcomes(console);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].detail, "xdp");
        assert_eq!(
            (found[1].result.as_str(), found[1].detail.as_str()),
            ("FAILED", "3 bytes differ")
        );
    }
}
