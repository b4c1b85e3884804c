//! Tests that cannot run on this machine say so by name; `cargo xtask test` lists and counts them.

use std::fs::OpenOptions;
use std::io::Write;

/// Names the file that skipped tests are written to, one line each: `name: reason`.
pub const LOG_VARIABLE: &str = "MONITOR_SKIP_LOG";

/// Ends the test that stands around it, as skipped: `skip!("needs root")`, `skip!("needs {program}")`.
///
/// The harness counts the test as passed; the line that this leaves makes it a skipped one.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        fn here() {}
        $crate::skip::record(std::any::type_name_of_val(&here), &format!($($reason)+));
        return ::core::default::Default::default();
    }};
}

/// Ends the test that stands around it, as skipped, unless it runs as root and these programs are installed:
/// `needs!("nginx", "curl")`.
#[macro_export]
macro_rules! needs {
    ($($program:literal),*) => {
        if let Some(missing) = $crate::skip::missing(&[$($program),*]) {
            $crate::skip!("needs {missing}");
        }
    };
}

/// Returns the missing requirement of a test in network namespaces with these programs.
#[must_use]
pub fn missing(programs: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("root".to_owned());
    }
    ["ip", "nsenter"]
        .iter()
        .chain(programs)
        .find(|program| !crate::have(program))
        .map(ToString::to_string)
}

/// Writes the line. `place` is the path of a function inside the test, as the compiler names it.
///
/// # Panics
/// When the log cannot be written: an unrecorded skip would be a pass.
pub fn record(place: &str, reason: &str) {
    let name = name(place);
    eprintln!("SKIPPED {name}: {reason}");
    let Some(path) = std::env::var_os(LOG_VARIABLE) else {
        return;
    };
    let file = OpenOptions::new().append(true).create(true).open(path);
    let written =
        file.and_then(|mut file| file.write_all(format!("{name}: {reason}\n").as_bytes()));
    assert!(
        written.is_ok(),
        "cannot tell that {name} is skipped ({reason}): {LOG_VARIABLE}: {written:?}"
    );
}

/// "binary::module::test::here", with or without a closure between, is the test "module::test" of that binary.
fn name(place: &str) -> String {
    let parts = place
        .split("::")
        .filter(|part| !part.starts_with('{') && *part != "here");
    parts.collect::<Vec<_>>().join("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_named_by_binary_and_path() {
        assert_eq!(name("lo::download::here"), "lo::download");
        assert_eq!(
            name("lo::ipv6::download::{{closure}}::here"),
            "lo::ipv6::download"
        );
    }
}
