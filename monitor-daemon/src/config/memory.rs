//! Check of the configured memory against the machine, the control group and the process's limits.
//!
//! A store that doesn't fit would abort the daemon, or have it killed while its pages are touched: without a message in
//! either case. The check is done before any memory is allocated.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::Config;

/// Address space beyond the store: program, stacks, arenas of the allocator.
const OVERHEAD: u64 = 256 << 20;

/// Memory that doesn't fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "[store] memory and [capture] buffers need {needed} MiB, but {limit} is {most} MiB; lower them, or raise that limit"
)]
pub struct TooMuchMemory {
    needed: u64,
    limit: String,
    most: u64,
}

/// Upper bound of the memory.
struct Limit {
    name: String,
    bytes: u64,
}

impl Config {
    /// Compares the configured memory with all limits.
    ///
    /// # Errors
    /// When a limit is smaller.
    pub fn check_memory(&self) -> Result<(), TooMuchMemory> {
        let needed = self.store.memory.saturating_add(self.capture.buffers);
        fits(needed, &limits())
    }
}

fn fits(needed: u64, limits: &[Limit]) -> Result<(), TooMuchMemory> {
    match limits.iter().min_by_key(|limit| limit.bytes) {
        Some(limit) if needed > limit.bytes => Err(TooMuchMemory {
            needed: needed >> 20,
            limit: limit.name.clone(),
            most: limit.bytes >> 20,
        }),
        _ => Ok(()),
    }
}

fn limits() -> Vec<Limit> {
    let mut limits = Vec::new();
    let mut add = |name: &str, bytes: Option<u64>| {
        limits.extend(bytes.map(|bytes| Limit {
            name: name.to_owned(),
            bytes,
        }));
    };
    add("the memory of this machine", machine());
    add("the limit of the control group", control_group());
    let left = |limit: Option<u64>| limit.map(|bytes| bytes.saturating_sub(OVERHEAD));
    add(
        "what the limit of the address space (ulimit -v, LimitAS=) leaves",
        left(getrlimit(Resource::As).current),
    );
    add(
        "what the limit of the data segment (ulimit -d, LimitDATA=) leaves",
        left(getrlimit(Resource::Data).current),
    );
    limits
}

fn machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Returns the smallest limit of the process's control group and its parents, of version 1 or 2.
fn control_group() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let groups = own.lines().filter_map(memory_group);
    let limits = groups.filter_map(|(root, path, file)| smallest(Path::new(root), path, file));
    limits.min()
}

/// Returns the mount point, the path and the file of the limit that a line of /proc/self/cgroup names.
fn memory_group(line: &str) -> Option<(&'static str, &str, &'static str)> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let path = path.trim_start_matches('/');
    if controllers.is_empty() {
        Some(("/sys/fs/cgroup", path, "memory.max"))
    } else if controllers.split(',').any(|name| name == "memory") {
        Some(("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"))
    } else {
        None
    }
}

fn smallest(root: &Path, path: &str, file: &str) -> Option<u64> {
    let own = root.join(path);
    let groups = own.ancestors().take_while(|group| group.starts_with(root));
    // "max" is no limit.
    let limits = groups.filter_map(|group| {
        fs::read_to_string(group.join(file))
            .ok()?
            .trim()
            .parse()
            .ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_is_named() {
        let limit = |name: &str, bytes| Limit {
            name: name.to_owned(),
            bytes,
        };
        let limits = [limit("A", 3 << 30), limit("B", 1 << 30)];
        assert_eq!(fits(1 << 30, &limits), Ok(()));
        let error = fits(2 << 30, &limits).unwrap_err().to_string();
        assert!(
            error.contains("need 2048 MiB, but B is 1024 MiB"),
            "{error}"
        );
        assert_eq!(fits(u64::MAX, &[]), Ok(()));
    }

    #[test]
    fn the_limit_of_a_parent_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("a/b");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(smallest(root.path(), "a/b", "memory.max"), None);
        fs::write(root.path().join("a/memory.max"), "209715200\n").unwrap();
        assert_eq!(smallest(root.path(), "a/b", "memory.max"), Some(200 << 20));
    }

    #[test]
    fn groups_of_both_versions_are_read() {
        assert_eq!(
            memory_group("0::/x/y"),
            Some(("/sys/fs/cgroup", "x/y", "memory.max"))
        );
        assert_eq!(
            memory_group("7:cpu,memory:/x"),
            Some(("/sys/fs/cgroup/memory", "x", "memory.limit_in_bytes"))
        );
        assert_eq!(memory_group("3:freezer:/"), None);
    }
}
