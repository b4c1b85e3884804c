//! Arguments that several verbs share: output formats, sizes and times.

use clap::Args;

/// Output format of bytes.
#[derive(Clone, Copy, Debug, Args)]
#[group(multiple = false)]
pub struct FormatArgs {
    /// Print a hex dump
    #[arg(long)]
    pub hex: bool,
    /// Print the bytes unchanged
    #[arg(long)]
    pub raw: bool,
    /// Print text, with control characters escaped
    #[arg(long)]
    pub text: bool,
}

/// Parses a size: a plain number of bytes, or with a unit.
pub fn size(text: &str) -> Result<u64, String> {
    let size: bytesize::ByteSize = text
        .parse()
        .map_err(|_| "a number of bytes, like 4096, 64KiB or 1MiB".to_owned())?;
    Ok(size.as_u64())
}

/// Parses a time: plain seconds, or with a unit.
pub fn seconds(text: &str) -> Result<f64, String> {
    let plain = text
        .parse()
        .ok()
        .filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
    let parsed = plain.or_else(|| {
        humantime::parse_duration(text)
            .ok()
            .map(|time| time.as_secs_f64())
    });
    parsed.ok_or_else(|| "a time, like 2, 500ms or 10m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_accept_units() {
        assert_eq!(
            (size("4096"), size("64KiB"), size("1 MB")),
            (Ok(4096), Ok(65_536), Ok(1_000_000))
        );
        assert_eq!((seconds("0.5"), seconds("2m")), (Ok(0.5), Ok(120.0)));
        assert!(size("much").is_err() && seconds("-1").is_err() && seconds("NaN").is_err());
    }
}
