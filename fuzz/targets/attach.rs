//! An attached store that holds anything, also while it changes: every read ends, and none panics.
#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use libfuzzer_sys::fuzz_target;
use monitor_reader::store::header::{HEADER, Identity, Sizes, words};
use monitor_reader::{PeekError, Reader, Side, SockId};
use rustix::fs::{MemfdFlags, SealFlags};

const SIDES: [Side; 2] = Side::BOTH;

fn look(reader: &Reader, id: SockId, offsets: &[u64]) {
    let _ = reader.info(id);
    let mut buffer = [0; 5000];
    for side in SIDES {
        for &off in offsets {
            if let Ok(peek) = reader.peek(id, side, off, &mut buffer) {
                assert!(peek.len <= buffer.len());
            }
            let _ = reader.next_from(id, side, off, &mut buffer);
        }
        if let Err(error) = reader.extents(id, side) {
            assert!(!matches!(error, PeekError::NoData { .. }));
        }
    }
    if let Ok(turns) = reader.turns(id, [offsets[0], 0], 50) {
        assert!(turns.turns.len() <= 50);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&[records, blocks, mode], content)) = input.split_first_chunk::<3>() else {
        return;
    };
    let sizes = Sizes {
        records: u32::from(records % 4) + 1,
        blocks: u32::from(blocks % 16) + 1,
        tunnels: u32::from(mode >> 6),
    };
    let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
    let file = File::from(rustix::fs::memfd_create("fuzz", flags).expect("a memfd"));
    // A header that fits, or one that is as arbitrary as the rest.
    let mut store: Vec<u8> = content
        .iter()
        .copied()
        .cycle()
        .take(sizes.bytes())
        .collect();
    store.resize(sizes.bytes(), 0);
    if mode & 31 != 31 {
        for (at, word) in words(sizes, Identity::default()).into_iter().enumerate() {
            store[at * 8..][..8].copy_from_slice(&word.to_ne_bytes());
        }
    }
    // A locked record can't be read: the first one is unlocked in half of the inputs.
    if mode & 1 == 0 && store.len() > HEADER {
        store[HEADER] &= !1;
    }
    file.write_all_at(&store, 0).expect("written");
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK).expect("sealed");
    let Ok(reader) = Reader::attach(&file) else {
        return;
    };
    let number = |at: usize| {
        content.get(at..at + 8).map_or(0, |bytes| {
            u64::from_le_bytes(bytes.try_into().unwrap_or_default())
        })
    };
    let offsets = [0, number(0), number(8) >> 40, u64::MAX];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        if mode & 32 != 0 && !content.is_empty() {
            scope.spawn(|| {
                let mut at = HEADER as u64;
                while !done.load(Relaxed) {
                    for bytes in content.chunks(13) {
                        at = HEADER as u64 + (at * 31 + 7) % (store.len() - HEADER) as u64;
                        let len = bytes.len().min(store.len() - at as usize);
                        let _ = file.write_all_at(&bytes[..len], at);
                    }
                }
            });
        }
        let connections: Vec<_> = reader.connections(None).collect();
        for connection in &connections {
            look(&reader, connection.id, &offsets);
        }
        for slot in 0..sizes.records {
            let at =
                HEADER + slot as usize * ((sizes.tunnels_at() - HEADER) / sizes.records as usize);
            let generation = u32::from_ne_bytes(store[at + 4..at + 8].try_into().expect("four"));
            let id = SockId::new(0, slot, (generation >> 1) & SockId::MAX_GENERATION);
            look(&reader, id, &offsets);
        }
        done.store(true, Relaxed);
    });
});
