//! Filters of mOS, translated to the daemon's language.
//!
//! Both are tcpdump's, with these differences: mOS also writes `&` and `|`, and `net ADDRESS mask MASK`.

use std::ffi::c_char;
use std::net::Ipv4Addr;

use crate::failure::Failure;

/// Filters of `mos_api.h`, where it's a union: the first pointer is also the only one of a raw socket.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct monitor_filter {
    /// Filter of connections, or of packets.
    pub first: *const c_char,
    /// Filter of packets of no connection.
    pub orphan: *const c_char,
}

/// Filters.
#[allow(non_camel_case_types, reason = "the name is C's")]
pub type monitor_filter_t = *mut monitor_filter;

/// Translates a filter. EINVAL: a mask that is none.
pub(crate) fn translate(text: &str) -> Result<String, Failure> {
    let spaced = text
        .replace("&&", " and ")
        .replace("||", " or ")
        .replace('&', " and ")
        .replace('|', " or ");
    let mut words: Vec<String> = Vec::new();
    let mut rest = spaced.split_ascii_whitespace();
    while let Some(word) = rest.next() {
        let is_mask = word == "mask";
        match (words.last_mut(), is_mask) {
            (Some(network), true) => {
                let length = length(rest.next().unwrap_or_default())?;
                network.push_str(&format!("/{length}"));
            }
            _ => words.push(word.to_owned()),
        }
    }
    Ok(words.join(" "))
}

/// Returns the length of a mask, which is its number of leading ones.
fn length(mask: &str) -> Result<u32, Failure> {
    let mask: Ipv4Addr = mask.parse().map_err(|_| Failure(libc::EINVAL))?;
    let bits = mask.to_bits();
    let length = bits.leading_ones();
    let is_mask = bits.count_ones() == length;
    is_mask.then_some(length).ok_or(Failure(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_and_masks_are_translated() {
        for (mos, own) in [
            ("tcp and port 80", "tcp and port 80"),
            ("port 80 & host 10.0.0.1", "port 80 and host 10.0.0.1"),
            ("port 80|port 443", "port 80 or port 443"),
            ("port 80 && not src port 1", "port 80 and not src port 1"),
            (
                "dst net 10.0.0.0 mask 255.128.0.0 and dst port 80",
                "dst net 10.0.0.0/9 and dst port 80",
            ),
            ("", ""),
        ] {
            assert_eq!(translate(mos).as_deref(), Ok(own));
        }
        for bad in ["net 10.0.0.0 mask 255.0.255.0", "net 10.0.0.0 mask"] {
            assert_eq!(translate(bad), Err(Failure(libc::EINVAL)), "{bad}");
        }
    }
}
