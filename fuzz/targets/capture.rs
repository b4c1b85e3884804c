//! Shared part of the targets of both file formats.

use std::io::Cursor;
use std::path::Path;

use monitor_daemon::capture::replay::{CaptureFile, More};
use monitor_engine::{Engine, EngineConfig};

/// Reads a file to its end, or to where it breaks off, through an engine.
pub fn walk(file: Vec<u8>) {
    let len = file.len();
    let Ok(mut file) = CaptureFile::read(Path::new("input"), Box::new(Cursor::new(file))) else {
        return;
    };
    let config = EngineConfig {
        memory: 1 << 20,
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(config, ()).expect("a megabyte is enough");
    let mut bytes = 0;
    for round in 0.. {
        // Each round reads something, if only a block without a packet.
        assert!(round <= len + 8, "the file has no end");
        let more = file.batch(u64::MAX, |packets| {
            bytes += packets
                .iter()
                .map(|packet| packet.data.len())
                .sum::<usize>();
            engine.process(packets);
        });
        if !matches!(more, Ok(More::Yes)) {
            break;
        }
    }
    assert!(bytes <= len, "more bytes came out than went in");
    engine.finish();
}
