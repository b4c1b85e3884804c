//! Settings of the process: those of an mOS configuration file that mtcp_getconf() shows.
//!
//! The file has blocks, `name { ... }`, with lines `key = value`. The daemon has settings of its own for capture, memory and
//! timeouts, so only the shown numbers and the command lines of applications are read.

use std::ffi::{CString, c_char, c_int};
use std::fs;
use std::io::ErrorKind;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event_types::{MOS_APP, mtcp_conf};
use crate::failure::Failure;
use crate::sys;

/// Most processors in a mask.
const MASK_BITS: c_int = 64;

static SETTINGS: Mutex<Option<Settings>> = Mutex::new(None);

#[derive(Clone, Copy, Debug)]
struct Settings(mtcp_conf);

// SAFETY: the pointers are the program's, or to strings that are never freed. This crate doesn't follow them.
unsafe impl Send for Settings {}

/// Reads a file; no file leaves the settings as they are. EINVAL: not such a file.
pub(crate) fn read(path: Option<&str>) -> Result<c_int, Failure> {
    let Some(path) = path else {
        return Ok(0);
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Failure(error.raw_os_error().unwrap_or(libc::EINVAL))),
    };
    let settings = parse(&text, initial()).ok_or(Failure(libc::EINVAL))?;
    *lock() = Some(Settings(settings));
    Ok(0)
}

/// Returns the settings.
pub(crate) fn get() -> mtcp_conf {
    lock().map_or_else(initial, |settings| settings.0)
}

/// Replaces the settings. EINVAL: fewer than one context.
pub(crate) fn set(settings: mtcp_conf) -> Result<c_int, Failure> {
    if settings.num_cores < 1 {
        return Err(Failure(libc::EINVAL));
    }
    *lock() = Some(Settings(settings));
    Ok(0)
}

/// Returns to the settings without a file.
pub(crate) fn reset() {
    *lock() = None;
}

/// Returns mOS's defaults.
fn initial() -> mtcp_conf {
    let processors = sys::processors();
    mtcp_conf {
        num_cores: processors,
        max_concurrency: 100_000,
        cpu_mask: u64::MAX >> (MASK_BITS - processors.clamp(1, MASK_BITS)),
        max_num_buffers: 100_000,
        rcvbuf_size: 8192,
        sndbuf_size: 8192,
        tcp_timewait: 0,
        tcp_timeout: 30,
        app_cpu_mask: [0; MOS_APP],
        app_argv: [[std::ptr::null_mut(); MOS_APP]; MOS_APP],
        app_argc: [0; MOS_APP],
        num_app: 0,
    }
}

/// Parses a file. `None`: blocks that don't end, a number that is none, or too many applications.
fn parse(text: &str, mut conf: mtcp_conf) -> Option<mtcp_conf> {
    let mut blocks: Vec<&str> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(name) = line.strip_suffix('{') {
            blocks.push(name.trim());
            if blocks == ["application"] {
                conf.num_app += 1;
            }
        } else if line.ends_with('}') {
            blocks.pop()?;
        } else if let Some((key, value)) = line.split_once('=') {
            let (key, value) = (key.trim(), value.trim());
            match *blocks {
                ["mos"] => set_number(&mut conf, key, value)?,
                ["application"] => set_application(&mut conf, key, value)?,
                _ => {}
            }
        }
    }
    blocks.is_empty().then_some(conf)
}

fn set_number(conf: &mut mtcp_conf, key: &str, value: &str) -> Option<()> {
    let field = match key {
        "max_concurrency" => {
            conf.max_num_buffers = value.parse().ok()?;
            &mut conf.max_concurrency
        }
        "rmem_size" => &mut conf.rcvbuf_size,
        "wmem_size" => &mut conf.sndbuf_size,
        "tcp_tw_interval" => &mut conf.tcp_timewait,
        "tcp_timeout" => &mut conf.tcp_timeout,
        _ => return Some(()),
    };
    *field = value.parse().ok()?;
    Some(())
}

fn set_application(conf: &mut mtcp_conf, key: &str, value: &str) -> Option<()> {
    let index = usize::try_from(conf.num_app).ok()?.checked_sub(1)?;
    match key {
        "cpu_mask" => {
            let digits = value.trim_start_matches("0x");
            *conf.app_cpu_mask.get_mut(index)? = u64::from_str_radix(digits, 16).ok()?;
        }
        "run" => {
            let words = conf.app_argv.get_mut(index)?;
            let mut count = 0;
            for word in value.split_ascii_whitespace() {
                // Never freed: the program may keep it.
                let word: *mut c_char = CString::new(word).ok()?.into_raw();
                *words.get_mut(count)? = word;
                count += 1;
            }
            *conf.app_argc.get_mut(index)? = count as c_int;
        }
        _ => {}
    }
    Some(())
}

fn lock() -> MutexGuard<'static, Option<Settings>> {
    // A panic leaves valid settings behind.
    SETTINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_mos_is_read() {
        let text = "# comment\napplication {\n\ttype = monitor\n\trun = ./table -c 4\n\tcpu_mask = 0x0f\n}\n\
                    mos {\n\tforward = 0\n\tnetdev {\n\t\tdpdk0 0x1\n\t}\n\tmax_concurrency = 5000 # flows\n\
                    \trmem_size = 4096\n\ttcp_tw_interval = 7\n\ttcp_timeout = -1\n}\n";
        let conf = parse(text, initial()).unwrap();
        assert_eq!((conf.max_concurrency, conf.max_num_buffers), (5000, 5000));
        assert_eq!((conf.rcvbuf_size, conf.sndbuf_size), (4096, 8192));
        assert_eq!((conf.tcp_timewait, conf.tcp_timeout), (7, -1));
        assert_eq!(
            (conf.num_app, conf.app_argc[0], conf.app_cpu_mask[0]),
            (1, 3, 15)
        );
        assert!(conf.app_argv[0][..3].iter().all(|word| !word.is_null()));
    }

    #[test]
    fn other_files_are_refused() {
        for text in ["mos {\n", "}\n", "mos {\n rmem_size = big\n}\n"] {
            assert!(parse(text, initial()).is_none(), "{text}");
        }
        assert!(parse("", initial()).is_some());
        assert_eq!(read(Some("/nonexistent/mos.conf")), Ok(0));
        assert_eq!(read(Some("/")), Err(Failure(libc::EISDIR)));
    }
}
