//! Floods of SYNs and single packets.

use monitor_engine::Side;

use crate::common::Flow;
use crate::common::frame::PSH;
use crate::{Attacked, Random, Template, alone};

const C: Side = Side::Client;
const S: Side = Side::Server;

/// Payload of a real flow.
fn content(flow: u32, off: u64) -> u8 {
    (off.wrapping_mul(0x9e37_79b9)
        .wrapping_add(u64::from(flow) * 77)
        >> 7) as u8
}

struct Real {
    flow: Flow,
    number: u32,
    sent: u64,
}

impl Real {
    fn open(number: u32, attacked: &mut Attacked) -> Self {
        let flow = Flow {
            isn: [number * 40_000_000, 5],
            ..Flow::between(&format!("198.51.100.{number}:50000"), "192.0.2.1:80")
        };
        attacked.send(&[
            flow.syn().ip(),
            flow.syn_ack().ip(),
            flow.segment(C, 0, PSH, b"").ip(),
        ]);
        Self {
            flow,
            number,
            sent: 0,
        }
    }

    fn part(&mut self) -> Vec<u8> {
        let bytes: Vec<u8> = (self.sent..self.sent + 1000)
            .map(|off| content(self.number, off))
            .collect();
        let packet = self.flow.segment(C, self.sent as i64, PSH, &bytes).ip();
        self.sent += 1000;
        packet
    }

    fn whole(&self, attacked: &Attacked) {
        let reader = attacked.engine.reader();
        let mine = |c: &monitor_engine::Connection| c.client == self.flow.client;
        let connection = reader.connections(None).find(mine).unwrap();
        let mut bytes = vec![0; self.sent as usize];
        let peek = reader.peek(connection.id, S, 0, &mut bytes).unwrap();
        assert_eq!(
            (peek.len as u64, connection.closed),
            (self.sent, None),
            "flow {}",
            self.number
        );
        assert!(
            bytes
                .iter()
                .zip(0..)
                .all(|(byte, off)| *byte == content(self.number, off))
        );
    }
}

#[test]
fn five_million_syns_take_nothing_from_a_hundred_real_flows() {
    let _alone = alone();
    let mut attacked = Attacked::with(64 << 20);
    let mut real: Vec<Real> = (0..100)
        .map(|number| Real::open(number, &mut attacked))
        .collect();
    let mut syn = Template(Flow::new().syn().ip());
    let mut random = Random(1);
    for round in 0..5_000_000 / 100 {
        let mut batch: Vec<Vec<u8>> = (0..100).map(|_| syn.from(random.next()).to_vec()).collect();
        if round % 5 == 0 {
            batch.insert(50, real[round / 5 % 100].part());
        }
        attacked.send(&batch);
    }
    attacked.held(3000);
    assert_eq!(attacked.count("evicted_active"), 0);
    assert!(attacked.count("evicted_half_open") > 4_000_000);
    for real in &real {
        assert_eq!(real.sent, 100_000);
        real.whole(&attacked);
    }
}

#[test]
fn syns_and_lone_data_packets_together_take_nothing_either() {
    let _alone = alone();
    let mut attacked = Attacked::with(32 << 20);
    let mut real: Vec<Real> = (0..100)
        .map(|number| Real::open(number, &mut attacked))
        .collect();
    let mut syn = Template(Flow::new().syn().ip());
    let mut data = Template(Flow::new().segment(C, 0, PSH, &[7; 500]).ip());
    let mut random = Random(2);
    for round in 0..10_000 {
        let mut batch: Vec<Vec<u8>> = (0..25).map(|_| syn.from(random.next()).to_vec()).collect();
        batch.extend((0..25).map(|_| data.from(random.next()).to_vec()));
        batch.insert(25, real[round % 100].part());
        attacked.send(&batch);
    }
    attacked.held(5000);
    assert_eq!(attacked.count("evicted_active"), 0);
    real.iter().for_each(|real| real.whole(&attacked));
}
