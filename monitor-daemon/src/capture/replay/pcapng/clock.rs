//! Clock of an interface: `if_tsresol` and `if_tsoffset`.

const NANOSECONDS: u32 = 1_000_000_000;

/// Conversion from the units of an interface to nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    scale: Scale,
    /// Offset in nanoseconds.
    offset: i128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Multiply(u64),
    Divide(u64),
    /// Units of 2^-n seconds.
    Binary(u8),
}

impl Clock {
    /// Creates a clock from the byte of `if_tsresol` (a power of ten, or of two if the upper bit is set; default:
    /// microseconds) and an offset in seconds.
    pub(super) fn new(resolution: Option<u8>, offset: i64) -> Self {
        let scale = match resolution.unwrap_or(6) {
            power @ 0..=9 => Scale::Multiply(10_u64.pow(9 - u32::from(power))),
            power @ 10..=28 => Scale::Divide(10_u64.pow(u32::from(power) - 9)),
            // The largest 64-bit number of such units is below a nanosecond.
            29..=0x7f => Scale::Multiply(0),
            power => Scale::Binary(power & 0x7f),
        };
        Self {
            scale,
            offset: i128::from(offset) * i128::from(NANOSECONDS),
        }
    }

    /// Returns nanoseconds since the epoch. Times before it, or after the year 2554, saturate.
    #[inline]
    pub(super) fn nanoseconds(self, units: u64) -> u64 {
        let time = match self.scale {
            Scale::Multiply(factor) => units.saturating_mul(factor),
            Scale::Divide(divisor) => units / divisor,
            Scale::Binary(shift) => {
                let scaled = (u128::from(units) * u128::from(NANOSECONDS)) >> shift;
                u64::try_from(scaled).unwrap_or(u64::MAX)
            }
        };
        if self.offset == 0 {
            return time;
        }
        let moved = (i128::from(time) + self.offset).clamp(0, i128::from(u64::MAX));
        u64::try_from(moved).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_converted_by_resolution() {
        let at = |resolution, units| Clock::new(resolution, 0).nanoseconds(units);
        assert_eq!(at(None, 1_500_000), 1_500_000_000);
        assert_eq!(at(Some(0), 3), 3_000_000_000);
        assert_eq!(at(Some(9), 17), 17);
        assert_eq!(at(Some(12), 17_999), 17);
        assert_eq!(at(Some(0x7f), u64::MAX), 0);
        assert_eq!(at(Some(0x80 | 10), 1536), 1_500_000_000);
        assert_eq!(at(Some(0x80 | 32), 1 << 31), 500_000_000);
        assert_eq!(at(Some(0xff), u64::MAX), 0);
        assert_eq!(at(Some(0), u64::MAX), u64::MAX);
        assert_eq!(at(Some(0x80), u64::MAX), u64::MAX);
    }

    #[test]
    fn offsets_are_added_and_saturate() {
        assert_eq!(Clock::new(Some(9), 2).nanoseconds(5), 2_000_000_005);
        assert_eq!(Clock::new(Some(9), -2).nanoseconds(5), 0);
        assert_eq!(Clock::new(Some(6), i64::MAX).nanoseconds(1), u64::MAX);
        assert_eq!(Clock::new(Some(6), i64::MIN).nanoseconds(u64::MAX), 0);
    }
}
