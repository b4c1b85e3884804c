//! Tests of the output: rotation, killed predecessors, other writers.

use std::fs;
use std::time::Duration;

use monitor_records::{Source, Tracker};

use super::*;

fn tracker(instance: u64) -> Tracker {
    let source = Source {
        host: "h".to_owned(),
        instance,
        mode: "tap".to_owned(),
    };
    Tracker::new(source, Duration::from_secs(300))
}

fn open(path: &Path) -> Result<Output, Failure> {
    Output::open(Some(path), Signals::register().unwrap())
}

/// Writes the final record of a connection, as far as the output and the tracker see it.
fn write(out: &mut Output, tracker: &mut Tracker, sockid: u64) {
    let instance = tracker.source().instance;
    let line = format!("{{\"v\":1,\"instance\":{instance},\"sockid\":{sockid},\"part\":0}}");
    out.line(line.as_bytes()).unwrap();
    tracker.written(sockid, 0);
}

fn known(tracker: &Tracker) -> Vec<u64> {
    let mut known: Vec<_> = tracker.state().map(|(sockid, _)| sockid).collect();
    known.sort_unstable();
    known
}

/// Returns the records that a program knows after a start.
fn known_after_a_start(path: &Path, instance: u64) -> Vec<u64> {
    let mut tracker = tracker(instance);
    open(path).unwrap().resume(&mut tracker).unwrap();
    known(&tracker)
}

fn rotate(out: &mut Output, tracker: &Tracker) {
    out.flush().unwrap();
    let Target::File(file) = &mut out.target else {
        unreachable!("it is a file")
    };
    let mut rotated = file.path.clone().into_os_string();
    rotated.push(".1");
    fs::rename(&file.path, rotated).unwrap();
    file.next_look = Instant::now();
    out.maintain(tracker).unwrap();
}

/// Sockids of one worker: one for each slot.
const A: u64 = 1 << 6;
const B: u64 = 2 << 6;
const C: u64 = 3 << 6;

#[test]
fn written_records_are_known_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut tracker = tracker(7);
    let mut out = open(&path).unwrap();
    out.resume(&mut tracker).unwrap();
    write(&mut out, &mut tracker, A);
    out.flush().unwrap();
    write(&mut out, &mut tracker, B);
    // Killed: B's line was in memory only. There is no other position than that of the start.
    drop(out);
    assert_eq!(known_after_a_start(&path, 7), [A]);
    assert!(
        known_after_a_start(&path, 8).is_empty(),
        "of another instance"
    );
    fs::remove_file(dir.path().join("log.state")).unwrap();
    assert_eq!(known_after_a_start(&path, 7), [A], "the file is the truth");
}

#[test]
fn a_saved_position_replaces_the_lines_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut tracker = tracker(7);
    let mut out = open(&path).unwrap();
    write(&mut out, &mut tracker, A);
    out.flush().unwrap();
    out.save(&tracker);
    write(&mut out, &mut tracker, B);
    out.flush().unwrap();
    drop(out);
    let text = fs::read_to_string(&path).unwrap();
    let hidden = text.replacen("\"sockid\":64", "\"sockid\":99", 1);
    fs::write(&path, hidden).unwrap();
    assert_eq!(known_after_a_start(&path, 7), [A, B]);
}

#[test]
fn a_rotation_is_followed_and_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut tracker = tracker(7);
    let mut out = open(&path).unwrap();
    write(&mut out, &mut tracker, A);
    rotate(&mut out, &tracker);
    write(&mut out, &mut tracker, B);
    out.flush().unwrap();
    drop(out);
    let lines = |name: &str| {
        fs::read_to_string(dir.path().join(name))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!((lines("log.1"), lines("log")), (1, 1));
    fs::remove_file(dir.path().join("log.1")).unwrap();
    assert_eq!(known_after_a_start(&path, 7), [A, B]);
}

#[test]
fn a_rotation_while_no_log_runs_is_found_by_the_inode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut tracker = tracker(7);
    let mut out = open(&path).unwrap();
    out.resume(&mut tracker).unwrap();
    for sockid in [A, B, C] {
        write(&mut out, &mut tracker, sockid);
    }
    out.flush().unwrap();
    drop(out);
    fs::rename(&path, dir.path().join("log-20260101")).unwrap();
    assert_eq!(known_after_a_start(&path, 7), [A, B, C]);
}

#[test]
fn a_truncated_file_is_continued() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut tracker = tracker(7);
    let mut out = open(&path).unwrap();
    out.resume(&mut tracker).unwrap();
    write(&mut out, &mut tracker, A);
    out.flush().unwrap();
    fs::write(&path, "").unwrap();
    if let Target::File(file) = &mut out.target {
        file.next_look = Instant::now();
    }
    out.maintain(&tracker).unwrap();
    write(&mut out, &mut tracker, B);
    out.flush().unwrap();
    drop(out);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    assert_eq!(known_after_a_start(&path, 7), [A, B]);
}

#[test]
fn an_incomplete_last_line_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    for torn in ["{", "{\"v\":1,\"instance\":7,\"soc", "\0\0\0"] {
        fs::write(&path, format!("{{\"v\":1}}\n{torn}")).unwrap();
        drop(open(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"v\":1}\n");
        fs::write(&path, torn).unwrap();
        drop(open(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
    for other in ["a letter", "a letter\n", "\n", "a letter\n{"] {
        fs::write(&path, other).unwrap();
        let refused = open(&path).err().unwrap().message();
        assert!(refused.contains("name another file"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), other);
    }
}

#[test]
fn a_file_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let first = open(&path).unwrap();
    let refused = open(&path).err().unwrap().message();
    assert!(refused.contains("another `monitorctl log`"), "{refused}");
    drop(first);
    assert!(open(&path).is_ok());
}
