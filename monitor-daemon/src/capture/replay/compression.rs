//! Decompression of captures: gzip, bzip2, xz, zstd and lz4, recognized by their first bytes.
//!
//! The decoders return the bytes before a truncation or an error, and read several members or frames as one file, as the
//! command line tools do.

use std::io::{self, Cursor, Read};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use lz4_flex::frame::FrameDecoder;
use zstd::stream::read::Decoder;

const GZIP: &[u8] = &[0x1f, 0x8b];
const BZIP2: &[u8] = b"BZh";
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Skippable frame with which pzstd starts its files.
const ZSTD_SKIPPABLE: &[u8] = &[0x50, 0x2a, 0x4d, 0x18];
const LZ4: &[u8] = &[0x04, 0x22, 0x4d, 0x18];

/// Longest of the magic numbers.
const LONGEST: usize = XZ.len();

/// Most memory of an xz decoder, bytes: `xz -9` needs 65 MiB. zstd has the same limit for its window.
const XZ_MEMORY: u64 = 128 << 20;

/// Returns the content of a source, decompressed if it starts with the magic bytes of one of the formats.
pub(super) fn decompressed(
    mut source: impl Read + Send + 'static,
) -> io::Result<Box<dyn Read + Send>> {
    let mut start = Vec::with_capacity(LONGEST);
    while start.len() < LONGEST && could_be_compressed(&start) {
        let mut next = [0];
        match source.read(&mut next) {
            Ok(0) => break,
            Ok(_) => start.extend(next),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let is = |magic| start.starts_with(magic);
    let (gzip, bzip2, xz, zstd, lz4) = (
        is(GZIP),
        is(BZIP2),
        is(XZ),
        is(ZSTD) || is(ZSTD_SKIPPABLE),
        is(LZ4),
    );
    let source = Cursor::new(start).chain(source);
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(source))
    } else if bzip2 {
        Box::new(MultiBzDecoder::new(source))
    } else if xz {
        let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
        Box::new(XzDecoder::new_stream(source, stream))
    } else if zstd {
        Box::new(Decoder::new(source)?)
    } else if lz4 {
        Box::new(FrameDecoder::new(source))
    } else {
        Box::new(source)
    })
}

/// Returns whether a source that starts with these bytes may have one of the formats. A plain stream is not asked for
/// more bytes than needed: they may arrive late.
fn could_be_compressed(start: &[u8]) -> bool {
    [GZIP, BZIP2, XZ, ZSTD, ZSTD_SKIPPABLE, LZ4]
        .iter()
        .any(|magic| magic.starts_with(start))
}
