//! Tests: the segments of a conversation, and a reassembler that must find its bytes in them.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Segment that owns its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    from: Side,
    seq: u32,
    ack: u32,
    flags: u8,
    payload: Vec<u8>,
}

/// Runs `steps` on a conversation, and returns its segments.
fn segments(
    mut conversation: Conversation,
    steps: impl FnOnce(&mut Conversation, &mut Out<'_>) -> io::Result<()>,
) -> Vec<Sent> {
    let mut sent = Vec::new();
    steps(&mut conversation, &mut |segment| {
        sent.push(Sent {
            from: segment.from,
            seq: segment.seq,
            ack: segment.ack,
            flags: segment.flags,
            payload: segment.payload.to_vec(),
        });
        Ok(())
    })
    .unwrap();
    sent
}

/// Returns sender, sequence number, acknowledgment, flags and payload length of each segment.
fn brief(sent: &[Sent]) -> Vec<(Side, u32, u32, u8, usize)> {
    sent.iter()
        .map(|it| (it.from, it.seq, it.ack, it.flags, it.payload.len()))
        .collect()
}

use Side::{Client, Server};

#[test]
fn a_request_and_its_response_with_fins() {
    let conversation = Conversation::new([100, 500], [0, 0], 4);
    let sent = segments(conversation, |it, out| {
        it.open(Handshake::Complete, out)?;
        it.send(Client, 0, b"GET", out)?;
        it.send(Server, 0, b"answer", out)?;
        it.fin(Server, 6, out)?;
        it.fin(Client, 3, out)?;
        it.settle(out)
    });
    assert_eq!(
        brief(&sent),
        [
            (Client, 100, 0, SYN, 0),
            (Server, 500, 101, SYN | ACK, 0),
            (Client, 101, 501, ACK, 0),
            (Client, 101, 501, ACK | PSH, 3),
            (Server, 501, 104, ACK, 4),
            (Server, 505, 104, ACK | PSH, 2),
            (Server, 507, 104, FIN | ACK, 0),
            (Client, 104, 508, FIN | ACK, 0),
            (Server, 508, 105, ACK, 0),
        ]
    );
}

#[test]
fn only_a_lost_hole_is_acknowledged() {
    let holes = |lost: bool| {
        let sent = segments(Conversation::new([0, 0], [0, 0], 100), |it, out| {
            it.open(Handshake::Complete, out)?;
            it.send(Client, 0, b"ab", out)?;
            if lost {
                it.lose(Client, 7);
            }
            it.send(Client, 7, b"cd", out)?;
            it.fin(Client, 9, out)?;
            it.settle(out)
        });
        assert_eq!((sent[4].seq, sent[5].seq), (8, 10), "the sequence jumps");
        sent.last().map(|last| last.ack)
    };
    assert_eq!(holes(true), Some(11), "up to the FIN");
    assert_eq!(holes(false), Some(3), "up to the hole");
}

#[test]
fn a_refused_connection_is_a_syn_and_an_rst() {
    let sent = segments(Conversation::new([100, 0], [0, 0], 1460), |it, out| {
        it.open(Handshake::Syn, out)?;
        it.reset(Server, out)
    });
    let expected = [(Client, 100, 0, SYN, 0), (Server, 0, 101, RST | ACK, 0)];
    assert_eq!(brief(&sent), expected);
}

#[test]
fn the_sender_of_an_rst_acknowledges_nothing_after_it() {
    let sent = segments(Conversation::new([100, 500], [0, 0], 4), |it, out| {
        it.open(Handshake::Complete, out)?;
        it.send(Client, 0, b"GET", out)?;
        it.reset(Server, out)?;
        it.send(Client, 3, b"on", out)?;
        it.fin(Client, 5, out)?;
        it.settle(out)
    });
    assert_eq!(
        brief(&sent)[4..],
        [
            (Server, 501, 104, ACK, 0),
            (Server, 501, 104, RST | ACK, 0),
            (Client, 104, 501, ACK | PSH, 2),
            (Client, 106, 501, FIN | ACK, 0),
        ]
    );
}

#[test]
fn a_start_that_is_left_out_moves_the_syn() {
    let far = 10 << 30;
    let sent = segments(Conversation::new([5, 0], [far, 0], 1460), |it, out| {
        it.open(Handshake::Complete, out)?;
        it.send(Client, far, b"x", out)
    });
    let real = 6_u32.wrapping_add(far as u32);
    assert_eq!((sent[0].seq, sent[3].seq), (real.wrapping_sub(1), real));
}

#[test]
fn a_long_response_is_acknowledged_on_its_way() {
    let sent = segments(Conversation::new([0, 0], [0, 0], 1460), |it, out| {
        it.open(Handshake::Complete, out)?;
        it.send(Server, 0, &vec![0; 1 << 20], out)
    });
    let pure = |it: &&Sent| it.from == Client && it.flags == ACK && it.ack > 1;
    assert_eq!(sent.iter().filter(pure).count(), (1 << 20) / (23 * 1460));
}

/// Piece of a conversation.
#[derive(Clone, Debug)]
enum Step {
    Bytes(Side, u16),
    Lost(Side, u16),
    Pending(Side, u16),
}

fn step() -> impl Strategy<Value = Step> {
    let side = prop_oneof![Just(Client), Just(Server)];
    (side, 1..5000_u16, 0..10).prop_map(|(side, len, kind)| match kind {
        0 => Step::Lost(side, len),
        1 => Step::Pending(side, len),
        _ => Step::Bytes(side, len),
    })
}

fn byte(side: Side, off: u64) -> u8 {
    (off * 31 + side.index() as u64 * 7) as u8
}

proptest! {
    #[test]
    fn segments_reassemble_to_the_bytes(
        steps in vec(step(), 0..40),
        isn in any::<[u32; 2]>(),
        mss in 1..3000_usize,
    ) {
        let mut expected = [Vec::new(), Vec::new()];
        // Offset up to which each stream may be acknowledged.
        let mut limits = [None, None];
        let conversation = Conversation::new(isn, [0, 0], mss);
        let sent = segments(conversation, |it, out| {
            it.open(Handshake::Complete, out)?;
            for step in &steps {
                let (Step::Bytes(side, len) | Step::Lost(side, len) | Step::Pending(side, len)) = *step;
                let stream: &mut Vec<Option<u8>> = &mut expected[side.index()];
                let off = stream.len() as u64;
                let end = off + u64::from(len);
                match step {
                    Step::Bytes(..) => {
                        let bytes: Vec<u8> = (off..end).map(|off| byte(side, off)).collect();
                        stream.extend(bytes.iter().copied().map(Some));
                        it.send(side, off, &bytes, out)?;
                    }
                    Step::Lost(..) => {
                        stream.extend((off..end).map(|_| None));
                        if limits[side.index()].is_none() {
                            it.lose(side, end);
                        }
                    }
                    Step::Pending(..) => {
                        stream.extend((off..end).map(|_| None));
                        limits[side.index()].get_or_insert(off);
                    }
                }
            }
            it.settle(out)?;
            for side in Side::BOTH {
                it.fin(side, expected[side.index()].len() as u64, out)?;
            }
            it.settle(out)
        });

        let mut found = expected.clone().map(|stream| vec![None; stream.len()]);
        let mut highest = [0_u64; 2];
        for segment in &sent[3..] {
            let (own, peer) = (segment.from.index(), segment.from.peer().index());
            let off = segment.seq.wrapping_sub(isn[own]).wrapping_sub(1) as usize;
            for (at, value) in segment.payload.iter().enumerate() {
                prop_assert_eq!(found[own][off + at].replace(*value), None, "sent twice");
            }
            prop_assert!(segment.payload.len() <= mss);
            highest[own] = (off + segment.payload.len()) as u64 + u64::from(segment.flags & FIN);
            let acknowledged = u64::from(segment.ack.wrapping_sub(isn[peer]).wrapping_sub(1));
            prop_assert!(acknowledged <= highest[peer], "acknowledges bytes that were not sent");
            if let Some(limit) = limits[peer] {
                prop_assert!(acknowledged <= limit, "acknowledges a hole");
            }
        }
        prop_assert_eq!(found, expected);
    }
}
