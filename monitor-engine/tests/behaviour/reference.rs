//! Engine and reference model under random segments: overlapping, lost, repeated, out of order, across the wrap, with
//! FINs and RSTs at any place.
//!
//! A failure prints a [`Script`] that can be pasted into a test here.

use monitor_engine::{OverlapPolicy, Side};
use proptest::prelude::*;

use crate::common::script::{Script, Step};

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![1 => Just(Side::Client), 3 => Just(Side::Server)]
}

fn step() -> impl Strategy<Value = Step> {
    let near = prop_oneof![6 => -40..80i32, 2 => -400..2000i32, 1 => -70_000..70_000i32];
    let len = prop_oneof![4 => 0..40u16, 1 => 0..3000u16];
    let fin = prop::bool::weighted(0.02);
    let data = (
        side(),
        near,
        len,
        prop_oneof![3 => Just(0u8), 1 => 1..4u8],
        fin,
    )
        .prop_map(|(from, at, len, fill, fin)| Step::Data {
            from,
            at,
            len,
            fill,
            fin,
        });
    let ahead = prop_oneof![3 => -100..300i32, 1 => -70_000..70_000i32];
    let ack = (side(), ahead, any::<u16>()).prop_map(|(from, ahead, window)| Step::Ack {
        from,
        ahead,
        window,
    });
    let rst = (side(), -50..50i32).prop_map(|(from, at)| Step::Rst { from, at });
    prop_oneof![
        30 => data,
        6 => ack,
        1 => rst,
        2 => (side(), 0..4u8, 1..2100u16)
            .prop_map(|(from, blocks, len)| Step::BlockEnd { from, blocks, len }),
        1 => side().prop_map(|from| Step::Syn { from }),
        4 => (0..300u16).prop_map(|ms| Step::Wait { ms }),
        2 => (side(), prop_oneof![1..300u16, 1..20_000u16])
            .prop_map(|(side, window)| Step::Window { side, window }),
        1 => prop::option::weighted(0.6, side())
            .prop_map(|side| side.map_or(Step::Stop, |side| Step::Disable { side })),
    ]
}

fn policy() -> impl Strategy<Value = OverlapPolicy> {
    prop_oneof![
        Just(OverlapPolicy::First),
        Just(OverlapPolicy::Last),
        Just(OverlapPolicy::Bsd),
        Just(OverlapPolicy::Linux)
    ]
}

prop_compose! {
    fn script()(
        opened in any::<bool>(),
        isn in prop_oneof![Just([0, 0xffff_ffff]), Just([0xffff_ff80, 0x7fff_fff0]), any::<[u32; 2]>()],
        window in prop_oneof![1..64u16, 64..4096u16, 4096..20_000u16],
        ranges in prop_oneof![1..5u8, 5..40u8],
        policy in policy(),
        steps in prop::collection::vec(step(), 1..80),
    ) -> Script {
        Script { opened, isn, window, ranges, policy, steps }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { ..ProptestConfig::default() })]

    #[test]
    fn engine_and_reference_model_agree(script in script()) {
        let result = script.check_in_time();
        prop_assert!(result.is_ok(), "{}\n{:?}", result.unwrap_err(), script);
    }
}

#[test]
fn bytes_far_beyond_the_edge_are_stored_like_others() {
    let data = |from, at, len| Step::Data {
        from,
        at,
        len,
        fill: 0,
        fin: false,
    };
    let script = Script {
        opened: false,
        isn: [0x00ff_fff0, 0xffff_fff0],
        window: 181,
        ranges: 9,
        policy: OverlapPolicy::First,
        steps: vec![
            data(Side::Server, -65_536, 2107),
            data(Side::Server, 410, 2535),
            data(Side::Client, -5889, 63),
            data(Side::Server, 11_796_480, 2647),
            data(Side::Server, 727_908_352, 2847),
            data(Side::Server, 1_073_000_000, 100),
        ],
    };
    assert_eq!(script.check(), Ok(()));
}
