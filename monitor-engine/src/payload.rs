//! Payload of a segment, possibly in several pieces.

/// Payload bytes as captured: usually one slice, more for GSO packets that AF_XDP delivers in chunks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Payload<'a> {
    first: &'a [u8],
    more: &'a [&'a [u8]],
    len: usize,
}

impl<'a> Payload<'a> {
    /// Creates a payload of the first `len` bytes of `first` and `more`, or fewer if they have fewer.
    #[inline]
    pub fn new(first: &'a [u8], more: &'a [&'a [u8]], len: usize) -> Self {
        if len <= first.len() {
            return Self {
                first: &first[..len],
                more: &[],
                len,
            };
        }
        let captured = first.len() + more.iter().map(|piece| piece.len()).sum::<usize>();
        Self {
            first,
            more,
            len: len.min(captured),
        }
    }

    /// Returns the number of bytes.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Calls `each` for the bytes `from..to` in slices, each with its distance from the payload's start, until it returns
    /// false.
    #[inline]
    pub fn each(&self, from: usize, to: usize, mut each: impl FnMut(usize, &'a [u8]) -> bool) {
        let to = to.min(self.len);
        if self.more.is_empty() {
            if from < to {
                each(from, &self.first[from..to]);
            }
            return;
        }
        let mut at = 0;
        for piece in std::iter::once(self.first).chain(self.more.iter().copied()) {
            if at >= to {
                return;
            }
            let (low, high) = (from.max(at), to.min(at + piece.len()));
            if low < high && !each(low, &piece[low - at..high - at]) {
                return;
            }
            at += piece.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_pieces_are_one_payload() {
        let more: [&[u8]; 2] = [b"defg", b"hij-padding"];
        let payload = Payload::new(b"abc", &more, 10);
        for from in 0..=10 {
            for to in from..=10 {
                let mut got = Vec::new();
                payload.each(from, to, |at, slice| {
                    assert_eq!(at, from + got.len());
                    got.extend_from_slice(slice);
                    true
                });
                assert_eq!(got, b"abcdefghij"[from..to]);
            }
        }
        assert_eq!(
            Payload::new(b"abc", &more, 100).len(),
            18,
            "at most the captured bytes"
        );
    }
}
