//! Any bytes as a frame, in any number of pieces, on every link type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monitor_common::LinkType;
use monitor_common::steer::{Ends, Everything, Filter, decide};
use monitor_common::wire::{Address, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ethernet};
use monitor_engine::{Engine, EngineConfig, Packet, TunnelKinds, VerifyChecksums};

const LINKS: [LinkType; 5] = [
    LinkType::Ethernet,
    LinkType::Ip,
    LinkType::LinuxSll,
    LinkType::LinuxSll2,
    LinkType::Null,
];
const SEED: [u64; 2] = [11, 12];
const WORKERS: u16 = 4;

/// Filter that accepts all flows, and tunnels of some kinds.
struct Tunnels(TunnelKinds);

impl Filter for Tunnels {
    fn port(&self, port: u16) -> bool {
        Everything.port(port)
    }

    fn network(&self, address: &Address) -> bool {
        Everything.network(address)
    }

    fn tunnels(&self) -> TunnelKinds {
        self.0
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&[kind, cut], frame)) = input.split_first_chunk::<2>() else {
        return;
    };
    let link = LINKS[usize::from(kind & 7) % LINKS.len()];
    let (data, rest) = frame.split_at(frame.len().min(if kind & 8 == 0 {
        frame.len()
    } else {
        usize::from(cut)
    }));
    let more: Vec<&[u8]> = rest.chunks(1 + usize::from(cut) / 2).collect();
    let tunnels = if kind & 64 == 0 {
        TunnelKinds::default()
    } else {
        TunnelKinds::ALL
    };
    let mut config = EngineConfig {
        // The table of tunnels takes more than a megabyte.
        memory: 4 << 20,
        tunnels,
        seed: SEED,
        workers: WORKERS,
        ..EngineConfig::default()
    };
    config.tcp.verify_checksums = if kind & 16 != 0 {
        VerifyChecksums::Always
    } else {
        VerifyChecksums::Never
    };
    let mut engine = Engine::new(config, Vec::new()).expect("4 MiB are enough");
    engine.process(&[Packet {
        time: 1,
        interface: 0,
        link,
        data,
        more: &more,
        cut: if kind & 32 == 0 {
            0
        } else {
            u32::from(cut) << 10
        },
        checksum: monitor_engine::Checksum::Unknown,
    }]);
    let reader = engine.reader();
    let connections: Vec<_> = reader.connections(None).collect();
    assert!(connections.len() <= 1);
    if let Some(start) = [Some(LinkType::Ethernet), Some(LinkType::Ip)]
        .get(usize::from(kind & 7))
        .copied()
        .flatten()
    {
        let decided = decide(data, start, &Tunnels(tunnels), SEED, u32::from(WORKERS));
        // Steering must accept every segment that the engine follows, except behind headers that only files have parsed.
        let has_carrier = start == LinkType::Ethernet
            && ethernet(data)
                .is_ok_and(|header| !matches!(header.ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6));
        if !connections.is_empty() && !has_carrier {
            assert!(
                matches!(decided, Ok((Ends::Flow { .. } | Ends::Tunnel { .. }, worker)) if worker < u32::from(WORKERS)),
                "{decided:?}"
            );
        }
    }
});
