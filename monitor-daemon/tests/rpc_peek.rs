//! `peek` of the clients: a cursor over `ppeek`, and its report of bytes that it skipped.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "parameters are written where they are used"
)]

mod rpc_common;

use monitor_client::{Client, Error, Hole, Peeked, Reason, Side};
use monitor_daemon::control::Engine;
use monitor_daemon::events::Publisher;
use monitor_engine::{EngineConfig, SockId};
use proptest::prelude::*;
use rpc_common::talk::{From, Talk};
use rpc_common::{Server, engines, pattern};

const ENDS: (&str, &str) = ("10.0.0.1:1234", "10.0.0.2:80");
const SECOND: u64 = 1_000_000_000;

fn peek(client: &mut Client, sockid: u64, len: u64) -> Peeked {
    client.peek(sockid, Side::Server, len).unwrap()
}

fn reason(client: &mut Client, sockid: u64, len: u64) -> Reason {
    match client.peek(sockid, Side::Server, len) {
        Err(Error::Rpc(error)) => error.reason().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn open() -> (Vec<Engine>, Talk, u64) {
    let mut engines = engines(1);
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    let id = talk.id(&engines[0]).as_u64();
    (engines, talk, id)
}

/// One end sends bytes of the pattern from an offset on.
fn at(engine: &mut Engine, talk: &mut Talk, off: u64, len: usize) {
    talk.at(engine, From::Client, off, &pattern(off, len));
}

/// The receiver acknowledges everything up to an offset, and long enough ago.
fn acknowledge(engine: &mut Engine, talk: &mut Talk, upto: u64) {
    talk.sent[From::Client as usize] = upto;
    talk.at(engine, From::Server, 0, b"");
    talk.time += SECOND;
    engine.advance(talk.time);
}

#[test]
fn each_peek_continues_where_the_previous_one_ended() {
    let (mut engines, mut talk, sockid) = open();
    talk.say(&mut engines[0], From::Client, b"GET / HTTP/1.1\r\n");
    talk.say(&mut engines[0], From::Server, b"hello");
    let server = Server::start(&engines);
    let mut client = server.client();
    let first = peek(&mut client, sockid, 5);
    let head = monitor_client::Peek {
        len: 5,
        next: 16,
        end: 16,
        ..monitor_client::Peek::default()
    };
    assert_eq!((first.head, &first.bytes[..]), (head, &b"GET /"[..]));
    let read = client.ppeek(sockid, Side::Server, 0, 3).unwrap();
    assert_eq!(read.bytes, b"GET");
    let second = peek(&mut client, sockid, 100);
    assert_eq!(
        (second.head.off, &second.bytes[..]),
        (5, &b" HTTP/1.1\r\n"[..])
    );
    assert_eq!(reason(&mut client, sockid, 100), Reason::Future);
    talk.say(&mut engines[0], From::Client, b"\r\n");
    let third = peek(&mut client, sockid, 100);
    assert_eq!((third.head.off, &third.bytes[..]), (16, &b"\r\n"[..]));
    talk.fin(&mut engines[0], From::Client);
    assert_eq!(reason(&mut client, sockid, 1), Reason::Eof);
    // The other side and another client have cursors of their own.
    let other = client.peek(sockid, Side::Client, 9).unwrap();
    assert_eq!((other.head.off, &other.bytes[..]), (0, &b"hello"[..]));
    let again = peek(&mut server.client(), sockid, 100).head;
    assert_eq!((again.off, again.len, again.eof), (0, 18, true));
}

#[test]
fn nothing_is_read_past_a_hole_that_may_be_filled() {
    let (mut engines, mut talk, sockid) = open();
    let server = Server::start(&engines);
    let mut client = server.client();
    at(&mut engines[0], &mut talk, 0, 10);
    at(&mut engines[0], &mut talk, 30, 10);
    assert_eq!(peek(&mut client, sockid, 100).bytes, pattern(0, 10));
    assert_eq!(reason(&mut client, sockid, 100), Reason::Gap);
    let zero = peek(&mut client, sockid, 0).head;
    assert_eq!((zero.off, zero.len, zero.gap), (10, 0, None));
    at(&mut engines[0], &mut talk, 10, 5);
    assert_eq!(peek(&mut client, sockid, 100).bytes, pattern(10, 5));
    acknowledge(&mut engines[0], &mut talk, 40);
    let read = peek(&mut client, sockid, 4);
    let gap = Some(Hole { off: 15, len: 15 });
    assert_eq!((read.head.off, read.head.lost, read.head.gap), (30, 0, gap));
    assert_eq!(read.bytes, pattern(30, 4));
    // Late bytes stay behind the cursor.
    at(&mut engines[0], &mut talk, 15, 15);
    let read = peek(&mut client, sockid, 100);
    assert_eq!((read.head.off, read.head.gap), (34, None));
    assert_eq!(read.bytes, pattern(34, 6));
}

#[test]
fn evicted_bytes_are_counted_as_lost() {
    let config = EngineConfig {
        memory: 8 << 20,
        window: 64 << 10,
        ..EngineConfig::default()
    };
    let mut engines = [Publisher::engine(config).unwrap()];
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    let sockid = talk.id(&engines[0]).as_u64();
    let server = Server::start(&engines);
    let mut client = server.client();
    talk.say(&mut engines[0], From::Client, &pattern(0, 1000));
    assert_eq!(peek(&mut client, sockid, 100).head.lost, 0);
    talk.say(&mut engines[0], From::Client, &pattern(1000, 1 << 20));
    let read = peek(&mut client, sockid, 16 << 20);
    let base = read.head.base;
    assert_eq!(
        (read.head.off, read.head.lost, read.head.gap),
        (base, base - 100, None)
    );
    assert!(base > 100 && read.bytes == pattern(base, (1 << 20) + 1000 - base as usize));
}

#[test]
fn errors_leave_the_cursor() {
    let (mut engines, mut talk, sockid) = open();
    let mut half = Talk::new("10.0.0.9:9", ENDS.1);
    half.syn(&mut engines[0]);
    let half = half.id(&engines[0]).as_u64();
    talk.say(&mut engines[0], From::Client, b"abcdef");
    let server = Server::start(&engines);
    let mut client = server.client();
    assert_eq!(peek(&mut client, sockid, 2).bytes, b"ab");
    assert_eq!(reason(&mut client, half, 1), Reason::NotEstablished);
    let gone = SockId::new(0, 999, 1).as_u64();
    assert_eq!(reason(&mut client, gone, 1), Reason::NoConnection);
    let read = peek(&mut client, sockid, 9);
    assert_eq!((read.head.off, &read.bytes[..]), (2, &b"cdef"[..]));
}

/// Event on one side.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Bytes from an offset on, counted from `next`, which some of them may lie below.
    Send {
        ahead: i64,
        len: usize,
    },
    /// The receiver acknowledges all that was ever sent: holes are declared lost.
    Acknowledge,
    Peek {
        len: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..3000_usize).prop_map(|len| Step::Send { ahead: 0, len }),
        3 => (-3000..6000_i64, 1..2000_usize).prop_map(|(ahead, len)| Step::Send { ahead, len }),
        1 => Just(Step::Acknowledge),
        5 => (1..5000_u64).prop_map(|len| Step::Peek { len }),
    ]
}

/// Returns the expected result, from a walk byte by byte.
fn expected(
    extents: &[(u64, u64)],
    base: u64,
    next: u64,
    cursor: u64,
    len: u64,
) -> Option<(u64, u64, u64, Option<Hole>)> {
    let received = |off: u64| {
        extents
            .iter()
            .any(|&(start, len)| (start..start + len).contains(&off))
    };
    let start = cursor.max(base);
    let mut off = start;
    while off < next && !received(off) {
        off += 1;
    }
    let gap = (off > start).then(|| Hole {
        off: start,
        len: off - start,
    });
    let mut end = off;
    while end < next && end - off < len && received(end) {
        end += 1;
    }
    (end > cursor).then_some((off, end - off, start - cursor, gap))
}

/// Runs the steps; returns the number of reads with lost bytes, and of those past a hole.
fn compare(steps: &[Step]) -> (usize, usize) {
    let config = EngineConfig {
        memory: 1 << 20,
        window: 8 << 10,
        ..EngineConfig::default()
    };
    let mut engines = [Publisher::engine(config).unwrap()];
    let mut talk = Talk::new(ENDS.0, ENDS.1);
    talk.open(&mut engines[0]);
    let sockid = talk.id(&engines[0]).as_u64();
    let server = Server::start(&engines);
    let mut client = server.client();
    let (mut cursor, mut most, mut losses, mut holes) = (0, 0, 0, 0);
    for step in steps {
        let now = client.fragments(sockid, Side::Server).unwrap();
        match *step {
            Step::Send { ahead, len } => {
                let off = now.next.saturating_add_signed(ahead);
                at(&mut engines[0], &mut talk, off, len);
                most = most.max(off + len as u64);
            }
            Step::Acknowledge => acknowledge(&mut engines[0], &mut talk, most),
            Step::Peek { len } => {
                let Some(expected) = expected(&now.extents, now.base, now.next, cursor, len) else {
                    let edge = now.next == now.end;
                    let expected = if edge { Reason::Future } else { Reason::Gap };
                    assert_eq!(reason(&mut client, sockid, len), expected, "{now:?}");
                    continue;
                };
                let Peeked { head, bytes } = peek(&mut client, sockid, len);
                let found = (head.off, head.len, head.lost, head.gap);
                assert_eq!(found, expected, "{now:?}");
                assert_eq!(bytes, pattern(head.off, head.len as usize));
                losses += usize::from(head.lost > 0);
                holes += usize::from(head.gap.is_some());
                cursor = head.off + head.len;
            }
        }
    }
    (losses, holes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn peek_agrees_with_a_walk_byte_by_byte(steps in prop::collection::vec(step(), 1..80)) {
        compare(&steps);
    }
}

#[test]
fn the_walk_meets_losses_and_holes() {
    let steps = [
        Step::Send { ahead: 0, len: 500 },
        Step::Peek { len: 100 },
        Step::Send {
            ahead: 200,
            len: 300,
        },
        Step::Peek { len: 1000 },
        Step::Peek { len: 1000 },
        Step::Acknowledge,
        Step::Peek { len: 50 },
        Step::Send {
            ahead: 0,
            len: 9000,
        },
        Step::Peek { len: 50 },
        Step::Send {
            ahead: 3000,
            len: 1000,
        },
        Step::Send {
            ahead: 4000,
            len: 7000,
        },
        Step::Acknowledge,
        Step::Peek { len: 5000 },
        Step::Peek { len: 5000 },
    ];
    let (losses, holes) = compare(&steps);
    assert!(losses >= 1 && holes >= 1, "{losses} losses, {holes} holes");
}
