//! CPU time of the daemon's worker threads, from /proc.

use std::fs;

/// Ticks of /proc per second: USER_HZ, 100 on all architectures that Rust supports.
const TICKS: f64 = 100.0;

/// Returns the CPU seconds of a worker, or `None` if its thread isn't visible: another PID namespace, /proc with
/// `hidepid`, or no such worker.
pub fn of_worker(pid: u32, worker: u16) -> Option<f64> {
    let name = format!("worker-{worker}");
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let stats = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    stats.into_iter().find_map(|stat| seconds(&stat, &name))
}

/// Parses a line of /proc/PID/task/TID/stat (proc_pid_stat(5)), if the thread has this name.
fn seconds(stat: &str, name: &str) -> Option<f64> {
    // The name is in parentheses, and may contain parentheses itself.
    let (before, after) = stat.rsplit_once(") ")?;
    if before.split_once(" (")?.1 != name {
        return None;
    }
    // utime and stime are fields 14 and 15; `after` starts with field 3.
    let mut fields = after.split_ascii_whitespace().skip(11);
    let ticks: u64 = fields
        .next()?
        .parse::<u64>()
        .ok()?
        .checked_add(fields.next()?.parse().ok()?)?;
    Some(ticks as f64 / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_thread_is_counted() {
        let stat = "77 (worker-1) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1";
        assert_eq!(seconds(stat, "worker-1"), Some(3.0));
        assert_eq!(seconds(stat, "worker-0"), None);
        assert_eq!(seconds("77 (worker-1) S 1", "worker-1"), None);
        assert_eq!(seconds("", "worker-1"), None);
    }

    #[test]
    fn a_thread_of_this_process_is_found() {
        let found = std::thread::Builder::new()
            .name("worker-7".into())
            .spawn(|| of_worker(std::process::id(), 7))
            .unwrap()
            .join()
            .unwrap();
        assert!(found.is_some());
        assert_eq!(of_worker(std::process::id(), 8), None);
    }
}
