//! Short numbers with units.

use std::time::{SystemTime, UNIX_EPOCH};

/// Formats bytes in powers of two: `17 B`, `1.5 KiB`, `20 MiB`.
pub fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (value, unit) = scaled(
        bytes as f64,
        1024.0,
        &["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"],
    );
    format!("{} {unit}", digits(value))
}

/// Formats bytes per second as bits per second: `0`, `12 bit/s`, `1.5 kbit/s`, `20 Mbit/s`.
pub fn bits(bytes_per_second: f64) -> String {
    per_second(bytes_per_second * 8.0, "bit/s")
}

/// Formats a rate of packets or events: `0`, `12/s`, `1.5 k/s`.
pub fn frequency(per_second_value: f64) -> String {
    per_second(per_second_value, "/s")
}

fn per_second(value: f64, unit: &str) -> String {
    if value < 0.5 {
        return "0".to_owned();
    }
    if value < 1000.0 {
        let space = if unit.starts_with('/') { "" } else { " " };
        return format!("{value:.0}{space}{unit}");
    }
    let (value, prefix) = scaled(value, 1000.0, &["k", "M", "G", "T"]);
    format!("{} {prefix}{unit}", digits(value))
}

/// Divides until the value is below `step` or there is no larger unit.
fn scaled<'a>(value: f64, step: f64, units: &[&'a str]) -> (f64, &'a str) {
    let mut value = value / step;
    let mut units = units.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    // A value just below the next unit would round to 1024 of this one.
    for larger in units {
        if value < step - 0.5 {
            break;
        }
        value /= step;
        unit = larger;
    }
    (value, unit)
}

/// Formats with at least two significant digits.
fn digits(value: f64) -> String {
    if value < 9.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// Formats the time since `time` (seconds since the epoch), in the largest unit that leaves two digits.
pub fn ago(time: f64) -> String {
    age(now() - time)
}

/// Returns seconds since the epoch.
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |now| now.as_secs_f64())
}

/// Formats a duration in the largest unit that leaves two digits.
pub fn age(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    match seconds {
        0.0..10.0 => format!("{seconds:.1}s"),
        10.0..120.0 => format!("{seconds:.0}s"),
        120.0..7_200.0 => format!("{:.0}m", seconds / 60.0),
        7_200.0..172_800.0 => format!("{:.0}h", seconds / 3_600.0),
        _ => format!("{:.0}d", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (20 << 20, "20 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), shown, "{bytes}");
        }
    }

    #[test]
    fn rates_have_decimal_units() {
        for (value, shown) in [
            (0.0, "0"),
            (1.5, "12 bit/s"),
            (125.0, "1.0 kbit/s"),
            (1.25e9, "10 Gbit/s"),
        ] {
            assert_eq!(bits(value), shown, "{value}");
        }
        assert_eq!(
            (frequency(12.0), frequency(1500.0)),
            ("12/s".to_owned(), "1.5 k/s".to_owned())
        );
    }

    #[test]
    fn ages_use_the_largest_unit() {
        assert_eq!(
            (age(-1.0), age(61.0), age(7_200.0)),
            ("0.0s".into(), "61s".into(), "2h".into())
        );
    }
}
