//! Framing: the frames are those of a naive splitter, whatever the chunks, and no byte is lost, added or held over the limit.
//!
//! Input: a limit (one byte, times 8), a chunk size (two bytes), then the stream. In the stream, NUL, a byte and a count
//! stand for that byte repeated count times 512, so that a short input reaches long lines.
#![no_main]

use cofferdam_protocol::{CHUNK_BYTES, Frame, LineBuffer};
use libfuzzer_sys::fuzz_target;

const STREAM_BYTES_MAX: usize = 3 * CHUNK_BYTES;
/// Streams up to this long are also read one byte at a time.
const BYTEWISE_MAX: usize = 2048;
/// Longer ones in no more pieces than this.
const PIECES_MAX: usize = 64;

/// A line as the naive splitter sees it.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Line(Vec<u8>),
    Oversize(Vec<u8>),
    Unterminated(Vec<u8>),
}

fn stream_of(input: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut bytes = input.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, stream.len() < STREAM_BYTES_MAX) {
            (_, false) => break,
            (0, true) => {
                // Not newlines: a hundred thousand empty lines say no more than ten.
                let repeated = bytes.next().filter(|byte| *byte != b'\n').unwrap_or(b'x');
                let count = usize::from(bytes.next().unwrap_or(1)) * 512;
                stream.extend(std::iter::repeat_n(repeated, count));
            }
            (literal, true) => stream.push(literal),
        }
    }
    stream
}

fn naive(stream: &[u8], limit: usize) -> Vec<Piece> {
    let lines = stream.split_inclusive(|byte| *byte == b'\n');
    lines
        .map(|line| {
            let content = line.strip_suffix(b"\n").unwrap_or(line);
            match (content.len() > limit, content.len() < line.len()) {
                (true, _) => Piece::Oversize(line.to_vec()),
                (false, true) => Piece::Line(line.to_vec()),
                (false, false) => Piece::Unterminated(line.to_vec()),
            }
        })
        .collect()
}

fn frames(stream: &[u8], limit: usize, chunk: usize) -> Vec<Frame> {
    let mut buffer = LineBuffer::new(limit);
    let mut frames = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let spare = buffer.spare();
        let count = spare.len().min(chunk).min(rest.len());
        assert!(count > 0, "a buffer whose frames were all taken must have room");
        spare[..count].copy_from_slice(&rest[..count]);
        assert!(spare.len() <= limit + 4 * CHUNK_BYTES, "the buffer outgrew the limit");
        buffer.filled(count);
        rest = &rest[count..];
        frames.extend(std::iter::from_fn(|| buffer.next_frame()));
    }
    frames.extend(std::iter::from_fn(|| buffer.finish()));
    frames
}

/// Puts the pieces of each long line together, checking their marks.
fn joined(frames: Vec<Frame>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut open: Option<Vec<u8>> = None;
    for frame in frames {
        assert!(
            open.is_none() || matches!(frame, Frame::Oversize { .. }),
            "a long line was interrupted"
        );
        match frame {
            Frame::Line(line) => pieces.push(Piece::Line(line)),
            Frame::Unterminated(rest) => pieces.push(Piece::Unterminated(rest)),
            Frame::Oversize { piece, first, last } => {
                assert_eq!(first, open.is_none(), "the first piece is marked, and no other");
                assert!(piece.len() <= CHUNK_BYTES, "a piece is larger than a chunk");
                let mut line = open.take().unwrap_or_default();
                line.extend(piece);
                if last {
                    pieces.push(Piece::Oversize(line))
                } else {
                    open = Some(line)
                }
            }
        }
    }
    assert_eq!(open, None, "the last piece of a long line never came");
    pieces
}

fuzz_target!(|input: &[u8]| {
    let [limit, low, high, stream @ ..] = input else { return };
    let (limit, chunk) = (
        usize::from(*limit) * 8,
        usize::from(u16::from_le_bytes([*low, *high])).max(1),
    );
    let stream = stream_of(stream);
    let whole = frames(&stream, limit, usize::MAX);
    // One byte at a time is the slowest cut there is; a long stream is cut into fewer pieces, to get through more inputs.
    let finest = if stream.len() <= BYTEWISE_MAX {
        1
    } else {
        stream.len() / PIECES_MAX
    };
    for chunk in [finest, chunk.max(finest)] {
        assert_eq!(
            frames(&stream, limit, chunk),
            whole,
            "frames depend on how the stream was cut"
        );
    }
    assert_eq!(joined(whole), naive(&stream, limit));
});
