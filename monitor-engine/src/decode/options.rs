//! TCP options that a receiver's acceptance depends on: window scale, timestamps, selective acknowledgments.

use crate::seq::is_before;

/// Kinds of options.
mod kind {
    pub const END: u8 = 0;
    pub const NO_OPERATION: u8 = 1;
    pub const WINDOW_SCALE: u8 = 3;
    pub const SACK_PERMITTED: u8 = 4;
    pub const SACK: u8 = 5;
    pub const TIMESTAMPS: u8 = 8;
}

/// Largest shift; a larger one counts as this (RFC 7323, 2.3).
const MAX_SHIFT: u8 = 14;

/// Options that only a SYN carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SynOptions {
    /// Window scale (RFC 7323, 2).
    pub scale: Option<u8>,
    /// Selective acknowledgments are permitted (RFC 2018, 2).
    pub sack: bool,
}

impl SynOptions {
    /// Reads the options of a SYN.
    pub fn read(options: &[u8]) -> Self {
        let mut found = Self::default();
        each(options, |option| match *option {
            [kind::WINDOW_SCALE, 3, shift, ..] if found.scale.is_none() => {
                found.scale = Some(shift.min(MAX_SHIFT));
            }
            [kind::SACK_PERMITTED, 2, ..] => found.sack = true,
            _ => {}
        });
        found
    }
}

/// Returns the value of the timestamps option.
#[inline(always)]
pub fn timestamp(options: &[u8]) -> Option<u32> {
    match *options {
        [] => None,
        // The layout of RFC 7323, appendix A, which nearly all systems use.
        [
            kind::NO_OPERATION,
            kind::NO_OPERATION,
            kind::TIMESTAMPS,
            10,
            a,
            b,
            c,
            d,
            ..,
        ] => Some(u32::from_be_bytes([a, b, c, d])),
        _ => any_timestamp(options),
    }
}

#[inline(never)]
fn any_timestamp(options: &[u8]) -> Option<u32> {
    let mut found = None;
    each(options, |option| {
        if let [kind::TIMESTAMPS, 10, a, b, c, d, ..] = *option
            && option.len() >= 10
        {
            found = found.or(Some(u32::from_be_bytes([a, b, c, d])));
        }
    });
    found
}

/// Returns the highest block of a selective acknowledgment: its left and right edge (RFC 2018, 3).
#[inline(always)]
pub fn sacked(options: &[u8]) -> Option<[u32; 2]> {
    /// Bytes of padded timestamps, and of a padded block.
    const ROOM: usize = 12;
    match *options {
        [_, _, kind::SACK, ..] if options.len() == ROOM => any_sacked(options),
        _ if options.len() > ROOM => any_sacked(options),
        _ => None,
    }
}

#[cold]
fn any_sacked(options: &[u8]) -> Option<[u32; 2]> {
    let mut highest: Option<[u32; 2]> = None;
    each(options, |option| {
        let [kind::SACK, _, blocks @ ..] = option else {
            return;
        };
        for &[a, b, c, d, e, f, g, h] in blocks.as_chunks().0 {
            let block = [[a, b, c, d], [e, f, g, h]].map(u32::from_be_bytes);
            if highest.is_none_or(|highest| is_before(highest[1], block[1])) {
                highest = Some(block);
            }
        }
    });
    highest
}

/// Calls `each` with the rest of the options from each option on. Stops at a length that is impossible.
fn each(mut options: &[u8], mut each: impl FnMut(&[u8])) {
    loop {
        match *options {
            [] | [kind::END, ..] => return,
            [kind::NO_OPERATION, ref rest @ ..] => options = rest,
            [_, len, ..] if len >= 2 && usize::from(len) <= options.len() => {
                each(&options[..usize::from(len)]);
                options = &options[usize::from(len)..];
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Options of a SYN that Linux sends: MSS, SACK permitted, timestamps, NOP, window scale.
    const SYN: [u8; 20] = [
        2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7,
    ];

    #[test]
    fn options_of_a_syn_are_found_in_any_order() {
        let found = SynOptions::read(&SYN);
        assert_eq!(
            found,
            SynOptions {
                scale: Some(7),
                sack: true
            }
        );
        assert_eq!(timestamp(&SYN), Some(0x0102_0304));
        assert_eq!(SynOptions::read(&[3, 3, 200]).scale, Some(MAX_SHIFT));
    }

    #[test]
    fn the_usual_layout_and_any_other_give_the_same_timestamp() {
        let usual = [1, 1, 8, 10, 9, 8, 7, 6, 0, 0, 0, 0];
        let other = [8, 10, 9, 8, 7, 6, 0, 0, 0, 0, 1, 1];
        assert_eq!(timestamp(&usual), Some(0x0908_0706));
        assert_eq!(timestamp(&other), timestamp(&usual));
    }

    #[test]
    fn the_highest_sack_block_is_found_beside_timestamps() {
        let block = [1, 1, 5, 10, 0, 0, 1, 0, 0, 0, 2, 0];
        let blocks = [
            5, 18, 255, 255, 255, 0, 255, 255, 255, 9, 0, 0, 0, 1, 0, 0, 0, 2,
        ];
        assert_eq!(sacked(&blocks), Some([1, 2]));
        assert_eq!(sacked(&block), Some([256, 512]));
        let stamps = [1, 1, 8, 10, 9, 8, 7, 6, 0, 0, 0, 0];
        assert_eq!(sacked(&stamps), None);
        assert_eq!(sacked(&[stamps, block].concat()), Some([256, 512]));
        assert_eq!(sacked(&[1, 1, 5, 10, 0, 0]), None);
    }

    #[test]
    fn impossible_lengths_end_the_options() {
        for options in [&[8, 10, 1][..], &[3, 0, 3], &[3, 1], &[2, 40, 0, 0]] {
            assert_eq!(timestamp(options), None);
            assert_eq!(SynOptions::read(options), SynOptions::default());
        }
        // Cut in the middle of the option.
        assert_eq!(timestamp(&[1, 1, 8, 10, 1, 2]), None);
    }
}
