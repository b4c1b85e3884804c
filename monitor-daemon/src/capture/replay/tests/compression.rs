//! Compressed captures: each format, several members, truncated and corrupt ones.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use monitor_engine::LinkType;
use monitor_tests::wiregen::{Capture, LinkLayer};

use super::{capture, drain, expected, gzip};
use crate::capture::replay::{Broken, CaptureFile, ReplayError};
use crate::util::chain::Chain;

type Compress = fn(&[u8]) -> Vec<u8>;

const FORMATS: [(&str, Compress); 5] = [
    ("gzip", gzip),
    ("bzip2", bzip2),
    ("xz", xz),
    ("zstd", zstd),
    ("lz4", lz4),
];

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .content_checksum(true);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read(path: &Path, bytes: &[u8]) -> super::Contents {
    std::fs::write(path, bytes).unwrap();
    drain(&mut CaptureFile::open(path).unwrap())
}

#[test]
fn every_compression_is_recognized_by_content() {
    let capture = capture(LinkLayer::Ethernet, 1_000_000);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture");
    let whole = capture.pcap();
    // Two members, as of `cat a.gz b.gz`, without the suffix in the name.
    let (front, back) = whole.split_at(whole.len() / 3);
    for (name, compress) in FORMATS {
        let (packets, end) = read(&path, &[compress(front), compress(back)].concat());
        end.unwrap_or_else(|error| panic!("{name}: {}", Chain(&error)));
        assert!(
            packets == expected(&capture, LinkType::Ethernet),
            "{name}: {} packets",
            packets.len()
        );
    }
}

#[test]
fn the_part_before_a_truncation_is_used() {
    // Several blocks of bzip2, which are decoded as a whole: 100 kB each at the fastest level.
    let capture = capture(LinkLayer::Ethernet, 1_000_000);
    let all = expected(&capture, LinkType::Ethernet);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture");
    for (name, compress) in FORMATS {
        let compressed = compress(&capture.pcap());
        let (packets, end) = read(&path, &compressed[..compressed.len() / 2]);
        assert!(matches!(end, Err(Broken::Read { .. })), "{name}: {end:?}");
        assert!(all.starts_with(&packets), "{name}");
        // Half of the file, less a window of the reader and a block.
        assert!(
            packets.len() > all.len() / 8,
            "{name}: {} of {}",
            packets.len(),
            all.len()
        );
        let text = Chain(&end.unwrap_err()).to_string();
        assert!(
            text.contains("reading stopped after byte"),
            "{name}: {text}"
        );
    }
}

#[test]
fn corrupt_bytes_end_the_capture_with_an_error() {
    let capture = Capture {
        link_type: 1,
        ..capture(LinkLayer::Ethernet, 500_000)
    };
    let all = expected(&capture, LinkType::Ethernet);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture");
    for (name, compress) in FORMATS {
        let mut compressed = compress(&capture.pcap());
        let middle = compressed.len() / 2;
        compressed[middle..middle + 40].fill(0xa5);
        let (packets, end) = read(&path, &compressed);
        assert!(end.is_err(), "{name}");
        // Checksums follow the bytes: some of the damaged ones may have come before the error.
        let good = packets.iter().zip(&all).take_while(|(a, b)| a == b).count();
        assert!(good > all.len() / 16, "{name}: {good} of {}", all.len());
    }
}

#[test]
fn a_compressed_text_is_no_capture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("text.zst");
    for (name, compress) in FORMATS {
        std::fs::write(&path, compress(b"this is not a capture")).unwrap();
        let error = CaptureFile::open(&path).err().unwrap();
        assert!(
            error.to_string().contains("it starts with 74 68 69 73"),
            "{name}: {error}"
        );
    }
}

#[test]
fn an_xz_file_that_needs_too_much_memory_is_refused() {
    let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    options.dict_size(1 << 30);
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let decoded = capture(LinkLayer::Ethernet, 1000).pcap();
    // The header of the block names the dictionary, not the encoder's memory.
    let stream =
        liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32);
    let Ok(stream) = stream else {
        println!("SKIPPED an_xz_file_that_needs_too_much_memory_is_refused: no memory to write it");
        return;
    };
    let mut compressed = Vec::new();
    liblzma::read::XzEncoder::new_stream(&decoded[..], stream)
        .read_to_end(&mut compressed)
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.xz");
    std::fs::write(&path, compressed).unwrap();
    let error = CaptureFile::open(&path).err().unwrap();
    assert!(
        matches!(&error, ReplayError::Read { source, .. } if source.kind() != io::ErrorKind::UnexpectedEof),
        "{error:?}"
    );
}
