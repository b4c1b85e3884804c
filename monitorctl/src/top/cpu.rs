//! CPU time of the daemon's workers, as the kernel counts it for their threads.

use std::fs;

/// Ticks of /proc in a second: USER_HZ, part of the kernel's interface on every machine that Rust runs on.
const TICKS: f64 = 100.0;

/// CPU seconds that a worker has used; `None` when its thread cannot be seen: another PID namespace, /proc with
/// `hidepid`, or no worker of that number.
pub fn of_worker(pid: u32, worker: u16) -> Option<f64> {
    let name = format!("worker-{worker}");
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let stats = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    stats.into_iter().find_map(|stat| seconds(&stat, &name))
}

/// From a line of /proc/PID/task/TID/stat (proc_pid_stat(5)), if the thread has this name.
fn seconds(stat: &str, name: &str) -> Option<f64> {
    // The name stands in parentheses, and may hold any of them itself.
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
    fn time_is_read_from_the_line_of_the_named_thread() {
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
