//! Versions of a stream's bytes: the contents that credible segments carried for each offset.
//!
//! Two segments that wait beyond a hole may carry different bytes for one offset. Linux then decides by the place of its
//! buffers: it merges adjacent ones where their memory allows it, and rewrites or drops them when memory is short. No packet
//! shows that. In such a place, monitor and kernel may deliver different versions, if the monitor reports a conflict.

/// Credible segments of one connection's scripted end.
#[derive(Clone, Debug, Default)]
pub struct Versions(Vec<Segment>);

#[derive(Clone, Debug)]
struct Segment {
    /// Offset of the first byte; negative: before the stream.
    off: i64,
    payload: Vec<u8>,
    fin: bool,
}

impl Versions {
    /// Adds a segment.
    pub fn add(&mut self, off: i32, payload: &[u8], fin: bool) {
        self.0.push(Segment {
            off: off.into(),
            payload: payload.to_vec(),
            fin,
        });
    }

    /// Returns whether two streams differ only where two credible versions exist. If one of them is shorter, a FIN must have
    /// been in the place where it ends. `conflicts`: bytes that the monitor has reported as different.
    #[must_use]
    pub fn explain(&self, served: &[u8], read: &[u8], conflicts: u64) -> bool {
        let common = served.len().min(read.len());
        let first = (0..common).find(|&off| served[off] != read[off]);
        let first = first.unwrap_or(common) as i64;
        let is_fin_before =
            |segment: &Segment| segment.fin && segment.off + (segment.payload.len() as i64) < first;
        // Linux merges a FIN with the data before it, and data that comes in its place loses a byte.
        if self.0.iter().any(is_fin_before) {
            return true;
        }
        let differing = (0..common).filter(|&off| served[off] != read[off]);
        let mut bytes = 0;
        for off in differing {
            bytes += 1;
            if !(self.has(off, Some(&served[off])) && self.has(off, Some(&read[off]))) {
                return false;
            }
        }
        let same_end = served.len() == read.len();
        bytes <= conflicts && (same_end || self.has(common, None))
    }

    /// Returns whether a segment carried this byte, or with `None` a FIN, at an offset.
    fn has(&self, off: usize, content: Option<&u8>) -> bool {
        self.0.iter().any(|segment| {
            let Ok(at) = usize::try_from(off as i64 - segment.off) else {
                return false;
            };
            match content {
                Some(_) => segment.payload.get(at) == content,
                None => segment.fin && at == segment.payload.len(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_may_differ_where_two_versions_were_sent() {
        let mut versions = Versions::default();
        versions.add(0, b"abcdef", false);
        versions.add(2, b"CD", true);
        assert!(versions.explain(b"abCDef", b"abcdef", 2));
        assert!(!versions.explain(b"abCDef", b"abcdef", 1), "not reported");
        assert!(!versions.explain(b"abXDef", b"abcdef", 2), "never sent");
        assert!(versions.explain(b"abcd", b"abcdef", 0), "FIN at offset 4");
        assert!(
            !versions.explain(b"abc", b"abcdef", 0),
            "no FIN at offset 3"
        );
    }
}
