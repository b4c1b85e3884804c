//! The same race with readers in ten processes, some of which are killed.
//!
//! The test runs its own binary again; the descriptor of the store is the standard input there.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io};

use monitor_engine::Reader;

use super::{Watcher, Writer, check};

const PROCESSES: usize = 10;
/// The last ones are killed in the middle of the race.
const KILLED: usize = 3;
/// Name of this test, for the processes.
const NAME: &str = "processes::readers_in_ten_processes_get_no_torn_and_no_foreign_byte";
/// Number of a reader, and the file whose existence ends it.
const NUMBER: &str = "MONITOR_RACE_READER";
const DONE: &str = "MONITOR_RACE_DONE";

/// Returns the duration of the race: MONITOR_RACE_SECONDS, or a few.
fn lasts() -> Duration {
    let asked = env::var("MONITOR_RACE_SECONDS");
    Duration::from_secs(asked.ok().and_then(|text| text.parse().ok()).unwrap_or(4))
}

fn start(reader: &Reader, number: usize, done: &Path) -> Child {
    let store = reader.descriptor().unwrap().try_clone_to_owned().unwrap();
    Command::new(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(NUMBER, number.to_string())
        .env(DONE, done)
        .stdin(Stdio::from(store))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads until the file exists, then prints the counts.
fn attached(number: usize) {
    let reader = Reader::attach(io::stdin().as_fd()).unwrap();
    let done = PathBuf::from(env::var_os(DONE).unwrap());
    let mut watcher = Watcher::new(reader, number);
    while !done.exists() {
        watcher.look();
    }
    println!("attached: {} {} end", watcher.bytes, watcher.refused);
}

#[test]
fn readers_in_ten_processes_get_no_torn_and_no_foreign_byte() {
    if let Ok(number) = env::var(NUMBER) {
        return attached(number.parse().unwrap());
    }
    let done = env::temp_dir().join(format!("monitor-race-{}", std::process::id()));
    let mut writer = Writer::new(true);
    let reader = writer.engine.reader();
    let mut children: Vec<_> = (0..PROCESSES)
        .map(|number| start(&reader, number, &done))
        .collect();
    let started = Instant::now();
    while started.elapsed() < lasts() {
        for _ in 0..100 {
            writer.act();
        }
        if started.elapsed() > lasts() / 2 && children.len() == PROCESSES {
            for mut child in children.split_off(PROCESSES - KILLED) {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
    }
    fs::write(&done, "").unwrap();
    let (mut read, mut refused) = (0, 0);
    let ended: Vec<_> = children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .collect();
    fs::remove_file(&done).unwrap();
    for output in ended {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        let (_, counts) = text.split_once("attached: ").expect("its counts");
        let mut counts = counts.split(' ').map_while(|word| word.parse::<u64>().ok());
        read += counts.next().unwrap();
        refused += counts.next().unwrap();
    }
    check(&writer, read, refused);
    // The killed readers left the store as it was.
    assert!(reader.connections(None).next().is_some());
}
