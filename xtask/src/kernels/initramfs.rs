//! The initramfs of a guest: busybox, the modules of 9p and overlayfs, and a script that mounts the host's root.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::release::Kernel;
use crate::command::{find, read, run};

const INIT: &str = include_str!("init.sh");

/// Modules that mount the root, in the order of loading. Modules that are built into the kernel are skipped.
const MODULES: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// Builds the initramfs of `kernel` at `output`.
///
/// # Errors
/// Returns an error if a tool fails or the disk is full.
pub fn build(kernel: &Kernel, output: &Path) -> Result<()> {
    let base = kernel
        .modules
        .ancestors()
        .find(|path| path.ends_with("root"))
        .context("modules are below root/")?;
    // depmod and modprobe expect BASE/lib/modules.
    if !base.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", base.join("lib"))?;
    }
    if !kernel
        .modules
        .join(&kernel.version)
        .join("modules.dep.bin")
        .exists()
    {
        run(Command::new(tool("depmod")?)
            .arg("-b")
            .arg(base)
            .arg(&kernel.version))?;
    }
    let tree = output.with_extension("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    for directory in ["bin", "modules", "proc", "sys", "dev", "ro", "rw", "root"] {
        fs::create_dir_all(tree.join(directory))?;
    }
    fs::copy(tool("busybox")?, tree.join("bin/busybox"))?;
    fs::write(tree.join("init"), INIT)?;
    run(Command::new("chmod").arg("755").arg(tree.join("init")))?;
    let mut order = String::new();
    for file in modules(base, kernel)? {
        let name = unpack(Path::new(&file), &tree.join("modules"))?;
        order.push_str(&name);
        order.push('\n');
    }
    fs::write(tree.join("modules/order"), order)?;
    archive(&tree, output)
}

/// Files of the modules and of their dependencies, each once, in the order of loading.
fn modules(base: &Path, kernel: &Kernel) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for module in MODULES {
        let output = Command::new(tool("modprobe")?)
            .arg("-d")
            .arg(base)
            .args(["-S", &kernel.version, "--show-depends", module])
            .output()
            .context("cannot start modprobe")?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if let Some(file) = line.strip_prefix("insmod ") {
                let file = file.trim().to_owned();
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
    }
    Ok(files)
}

/// Copies a module, uncompressed; returns its file name.
fn unpack(file: &Path, directory: &Path) -> Result<String> {
    let name = file
        .file_name()
        .context("a module is a file")?
        .to_string_lossy()
        .into_owned();
    let (plain, program) = if let Some(plain) = name.strip_suffix(".xz") {
        (plain.to_owned(), Some("xz"))
    } else if let Some(plain) = name.strip_suffix(".zst") {
        (plain.to_owned(), Some("zstd"))
    } else {
        (name, None)
    };
    let target = directory.join(&plain);
    match program {
        None => {
            fs::copy(file, &target)?;
        }
        Some(program) => {
            let status = Command::new(program)
                .args(["-dc"])
                .arg(file)
                .stdout(fs::File::create(&target)?)
                .status()
                .with_context(|| format!("cannot start {program}"))?;
            if !status.success() {
                bail!("{program} cannot unpack {}", file.display());
            }
        }
    }
    Ok(plain)
}

fn archive(tree: &Path, output: &Path) -> Result<()> {
    let list = read(Command::new("find").current_dir(tree).arg("."))?;
    let mut cpio = Command::new(tool("busybox")?)
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(tree)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(output)?)
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start busybox")?;
    let mut input = cpio.stdin.take().context("cpio reads a pipe")?;
    std::io::Write::write_all(&mut input, list.as_bytes())?;
    drop(input);
    if !cpio.wait()?.success() {
        bail!("busybox cpio cannot write {}", output.display());
    }
    Ok(())
}

fn tool(name: &str) -> Result<std::path::PathBuf> {
    find(name).with_context(|| format!("`{name}` isn't installed"))
}
