//! IP fragments: any order, either version, bounded, overlaps dropped (RFC 5722).

use monitor_engine::{Engine, EngineConfig, LinkType, Packet, Side};

use crate::common::frame::{PSH, Part, ethernet, fragment, fragments, parts};
use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

fn flows() -> [Flow; 2] {
    [
        Flow::new(),
        Flow::between("[2001:db8::1]:5000", "[2001:db8::2]:80"),
    ]
}

fn text() -> Vec<u8> {
    (0..1500u32).map(|i| (i / 7) as u8).collect()
}

#[test]
fn any_order() {
    for flow in flows() {
        let pieces = fragments(&flow.segment(C, 0, PSH, &text()).ip(), 9, 400);
        assert_eq!(pieces.len(), 4);
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            let mut lab = Lab::new();
            for index in order {
                assert_eq!(lab.connections(), [], "not before the last one");
                lab.ip(&pieces[index]);
            }
            assert_eq!(lab.held(S), [(0, text())], "{order:?}");
            assert_eq!((lab.count("fragments"), lab.count("reassembled")), (4, 1));
        }
    }
}

#[test]
fn in_ethernet_with_tags_and_padding() {
    for flow in flows() {
        let mut lab = Lab::new();
        for piece in fragments(&flow.segment(C, 0, PSH, b"short but cut").ip(), 9, 24) {
            lab.frame(LinkType::Ethernet, &ethernet(&piece, &[5, 6], 12));
        }
        assert_eq!(lab.text(S), "short but cut");
        assert_eq!(lab.only().vlan, [5, 6]);
    }
}

#[test]
fn copies_of_fragments_are_ignored() {
    for flow in flows() {
        let mut lab = Lab::new();
        let pieces = fragments(&flow.segment(C, 0, PSH, &text()).ip(), 9, 400);
        for piece in &pieces[..3] {
            lab.ip(piece);
            lab.ip(piece);
        }
        lab.ip(&pieces[3]);
        assert_eq!(lab.held(S), [(0, text())]);
    }
}

#[test]
fn overlapping_fragments_drop_the_datagram() {
    for flow in flows() {
        let whole = flow.segment(C, 0, PSH, &text()).ip();
        let mut lab = Lab::new();
        lab.ip(&fragment(
            &whole,
            9,
            Part {
                start: 0,
                end: 400,
                more: true,
            },
        ));
        lab.ip(&fragment(
            &whole,
            9,
            Part {
                start: 392,
                end: 800,
                more: true,
            },
        ));
        for piece in fragments(&whole, 9, 400) {
            lab.ip(&piece);
        }
        assert_eq!(lab.connections(), [], "nothing of it is believed");
        assert!(lab.count("fragments_dropped") > 0);
        // The next datagram is another matter.
        for piece in fragments(&whole, 10, 400) {
            lab.ip(&piece);
        }
        assert_eq!(lab.held(S), [(0, text())]);
    }
}

#[test]
fn a_fragment_beyond_the_end_drops_the_datagram() {
    for flow in flows() {
        let whole = flow.segment(C, 0, PSH, &text()).ip();
        let all = parts(
            whole.len() - if flow.client.is_ipv4() { 20 } else { 40 },
            400,
        );
        let mut lab = Lab::new();
        lab.ip(&fragment(
            &whole,
            9,
            Part {
                more: false,
                ..all[1]
            },
        ));
        for index in [2, 3, 0, 1] {
            lab.ip(&fragment(&whole, 9, all[index]));
        }
        assert_eq!(lab.connections(), []);
    }
}

#[test]
fn datagrams_are_distinguished_by_their_id() {
    for flow in flows() {
        let mut lab = Lab::new();
        let first = fragments(&flow.segment(C, 0, PSH, &[b'a'; 200]).ip(), 1, 104);
        let second = fragments(&flow.segment(C, 200, PSH, &[b'b'; 200]).ip(), 2, 104);
        for (a, b) in first.iter().zip(&second) {
            lab.ip(a);
            lab.ip(b);
        }
        assert_eq!(lab.text(S), "a".repeat(200) + &"b".repeat(200));
    }
}

#[test]
fn an_incomplete_datagram_times_out() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    let pieces = fragments(&flow.segment(C, 0, PSH, &text()).ip(), 9, 400);
    lab.ip(&pieces[0]);
    lab.wait(31_000);
    assert_eq!(lab.count("fragments_dropped"), 1);
    for piece in &pieces[1..] {
        lab.ip(piece);
    }
    assert_eq!(lab.connections(), []);
}

#[test]
fn odd_and_empty_fragments_are_dropped() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    let whole = flow.segment(C, 0, PSH, &text()).ip();
    for part in [
        Part {
            start: 0,
            end: 9,
            more: true,
        },
        Part {
            start: 8,
            end: 8,
            more: true,
        },
        Part {
            start: 8,
            end: 8,
            more: false,
        },
    ] {
        lab.ip(&fragment(&whole, 9, part));
    }
    assert_eq!(lab.count("fragments_dropped"), 3);
}

#[test]
fn a_datagram_past_65535_is_dropped() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    let whole = flow.segment(C, 0, PSH, &[0; 65400]).ip();
    let mut piece = fragment(
        &whole,
        9,
        Part {
            start: 0,
            end: 800,
            more: false,
        },
    );
    // Offset 65528: 800 bytes from there end past the largest datagram.
    piece[6..8].copy_from_slice(&0x1fffu16.to_be_bytes());
    lab.ip(&piece);
    assert_eq!(lab.count("fragments_dropped"), 1);
}

#[test]
fn too_many_fragments_are_refused() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    let whole = flow.segment(C, 0, PSH, &[7; 8000]).ip();
    for piece in fragments(&whole, 9, 8) {
        lab.ip(&piece);
    }
    assert_eq!(lab.count("reassembled"), 0);
    assert!(lab.count("fragments_dropped") > 800);
}

#[test]
fn fragments_of_other_protocols_cost_nothing() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    let mut udp = flow.segment(C, 0, PSH, &text()).ip();
    udp[9] = 17;
    for piece in fragments(&udp, 9, 400) {
        lab.ip(&piece);
    }
    assert_eq!((lab.count("not_tcp"), lab.count("used")), (4, 0));
}

#[test]
fn a_whole_datagram_goes_to_the_worker_that_owns_its_flow() {
    let config = |worker| EngineConfig {
        worker,
        workers: 4,
        memory: 16 << 20,
        seed: [1, 2],
        ..EngineConfig::default()
    };
    let mut engines: Vec<_> = (0..4)
        .map(|worker| Engine::new(config(worker), ()).unwrap())
        .collect();
    let mut handed = 0;
    for n in 0..40 {
        let flow = Flow::numbered(n);
        let whole = flow
            .segment(C, 0, PSH, format!("flow {n}, cut in pieces").as_bytes())
            .ip();
        for data in fragments(&whole, n, 16) {
            // All fragments between two addresses come to one worker, here to worker 1.
            engines[1].process(&[Packet {
                time: 5,
                interface: 0,
                link: LinkType::Ip,
                data: &data,
                more: &[],
                cut: 0,
                checksum: monitor_engine::Checksum::Unknown,
            }]);
        }
        let handoffs: Vec<_> = engines[1].handoffs().collect();
        handed += handoffs.len();
        for handoff in handoffs {
            assert_ne!(handoff.worker, 1);
            let packet = Packet {
                time: handoff.time,
                interface: 0,
                link: handoff.link,
                data: &handoff.data,
                more: &[],
                cut: 0,
                checksum: monitor_engine::Checksum::Unknown,
            };
            engines[usize::from(handoff.worker)].process(&[packet]);
        }
    }
    assert!(
        (20..40).contains(&handed),
        "{handed} of 40 belong to the other three"
    );
    let mut texts: Vec<String> = Vec::new();
    for engine in &engines {
        let reader = engine.reader();
        for connection in reader.connections(None) {
            let mut bytes = [0; 99];
            let len = reader.peek(connection.id, S, 0, &mut bytes).unwrap().len;
            texts.push(String::from_utf8(bytes[..len].to_vec()).unwrap());
        }
    }
    texts.sort();
    let mut expected: Vec<String> = (0..40)
        .map(|n| format!("flow {n}, cut in pieces"))
        .collect();
    expected.sort();
    assert_eq!(texts, expected);
}
