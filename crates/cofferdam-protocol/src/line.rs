//! Newline framing without input or output: bytes go in, whole lines come out, and a line over the limit is never held whole.

use std::mem;
use std::ops::Range;

use memchr::memchr;

/// Room offered to each read, and the size of the pieces of a line over the limit, in bytes.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// What the input is made of. The same for the same bytes, however they were cut into reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// One line, with its terminator exactly as received.
    Line(Vec<u8>),
    /// A piece of a line longer than the limit: every piece but the last has [`CHUNK_BYTES`] bytes, the last one the terminator
    /// (unless input ended first; then it may be empty).
    Oversize {
        /// The bytes, in order.
        piece: Vec<u8>,
        /// Whether the line starts here.
        first: bool,
        /// Whether the line ends here.
        last: bool,
    },
    /// Bytes at the end of input without a newline.
    Unterminated(Vec<u8>),
}

/// Cuts a byte stream into [`Frame`]s.
///
/// Read into [`spare`](Self::spare), say how much with [`filled`](Self::filled), then take frames until there is none. Work is
/// linear in the bytes, memory stays below the limit plus a few [`CHUNK_BYTES`].
#[derive(Debug)]
pub struct LineBuffer {
    /// Always initialised in full; the bytes received and not yet handed out are `start..end`.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// No newline lies in `start..scanned`.
    scanned: usize,
    /// Longest line content that is handed out whole, terminator not counted.
    max_line_bytes: usize,
    /// Inside a line over the limit, of which some pieces may have gone out.
    oversize: Option<Oversize>,
}

/// How far the pieces of a line over the limit have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Oversize {
    Unstarted,
    Started,
}

impl LineBuffer {
    /// `max_line_bytes` is the longest content of a line, its `\n` not counted.
    #[must_use]
    pub fn new(max_line_bytes: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            end: 0,
            scanned: 0,
            max_line_bytes,
            oversize: None,
        }
    }

    /// Room for the next read, at least [`CHUNK_BYTES`] once every frame was taken. Empty only if frames were left behind.
    pub fn spare(&mut self) -> &mut [u8] {
        if self.bytes.len().saturating_sub(self.end) < CHUNK_BYTES {
            self.compact();
            self.grow();
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// `count` bytes of [`spare`](Self::spare) were read.
    pub fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.bytes.len());
    }

    /// The next frame that is complete in the buffer.
    pub fn next_frame(&mut self) -> Option<Frame> {
        if self.oversize.is_some() {
            return self.next_piece();
        }
        let newline = self.find_newline();
        let content = newline.unwrap_or(self.end).saturating_sub(self.start);
        if content > self.max_line_bytes {
            self.oversize = Some(Oversize::Unstarted);
            self.scanned = self.start;
            return self.next_piece();
        }
        newline.map(|newline| Frame::Line(self.take_line(newline.saturating_add(1))))
    }

    /// At the end of input: every frame still in the buffer, then what is left without a newline. Call it until there is none.
    pub fn finish(&mut self) -> Option<Frame> {
        if let Some(frame) = self.next_frame() {
            return Some(frame);
        }
        let rest = self.take(self.end);
        match self.oversize.take() {
            Some(oversize) => Some(Frame::Oversize {
                piece: rest,
                first: oversize == Oversize::Unstarted,
                last: true,
            }),
            None => (!rest.is_empty()).then_some(Frame::Unterminated(rest)),
        }
    }

    /// A piece of the line over the limit; `None` until the piece is complete.
    fn next_piece(&mut self) -> Option<Frame> {
        let first = self.oversize? == Oversize::Unstarted;
        let full = self.start.saturating_add(CHUNK_BYTES);
        let newline = self.find_newline().filter(|newline| *newline < full);
        let last = newline.is_some();
        let piece_end = newline.map_or(full, |newline| newline.saturating_add(1));
        if piece_end > self.end {
            return None;
        }
        self.oversize = (!last).then_some(Oversize::Started);
        Some(Frame::Oversize {
            piece: self.take(piece_end),
            first,
            last,
        })
    }

    /// Where the next newline is. Bytes without one are looked at once.
    fn find_newline(&mut self) -> Option<usize> {
        let unseen = self.received(self.scanned..self.end);
        match memchr(b'\n', unseen) {
            Some(at) => {
                self.scanned = self.scanned.saturating_add(at);
                Some(self.scanned)
            }
            None => {
                self.scanned = self.end;
                None
            }
        }
    }

    /// The line up to `line_end`. A long one leaves with the buffer itself instead of being copied, if little follows it.
    fn take_line(&mut self, line_end: usize) -> Vec<u8> {
        let following = self.end.saturating_sub(line_end);
        if self.start > 0 || line_end < CHUNK_BYTES || following > line_end {
            return self.take(line_end);
        }
        let rest = self.received(line_end..self.end).to_vec();
        let mut line = mem::replace(&mut self.bytes, rest);
        line.truncate(line_end);
        (self.end, self.scanned) = (following, 0);
        line
    }

    /// A copy of the bytes up to `until`, which are then gone from the buffer.
    fn take(&mut self, until: usize) -> Vec<u8> {
        let taken = self.received(self.start..until).to_vec();
        self.start = until;
        self.scanned = self.scanned.max(until);
        taken
    }

    fn received(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Moves what is left to the front. A line is moved at most once: from then on it starts at the front until it is taken.
    fn compact(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
            self.scanned = self.scanned.saturating_sub(self.start);
            self.start = 0;
        }
    }

    /// Doubles the buffer, or makes room for one chunk, within the bound. An empty buffer that grew large is given back.
    fn grow(&mut self) {
        let wanted = self.end.saturating_add(CHUNK_BYTES);
        if self.end == 0 && self.bytes.len() > CHUNK_BYTES.saturating_mul(4) {
            self.bytes = Vec::new();
        }
        if self.bytes.len() < wanted {
            let bound = self
                .max_line_bytes
                .max(CHUNK_BYTES)
                .saturating_add(CHUNK_BYTES.saturating_mul(2));
            let doubled = self.bytes.len().saturating_mul(2).max(wanted);
            self.bytes.resize(doubled.min(bound).max(self.bytes.len()), 0);
        }
    }
}
