//! The server's stderr: always drained, recorded, and passed on escaped, prefixed and rate-limited.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use cofferdam_inspect::SecretValues;

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Lines passed on per second; what is above is recorded, counted, and not shown.
const LINES_PER_SECOND_MAX: u32 = 100;
/// A longer line is shown in pieces.
const SHOWN_LINE_BYTES_MAX: usize = 4 * 1024;
/// Lines that may wait for a slow terminal before further ones are dropped from view.
const WAITING_LINES_MAX: usize = 256;

/// The operator's side of stderr: a thread of its own, so that a terminal that does not read never stops the drain.
#[derive(Debug, Clone)]
pub(crate) struct OperatorLines(SyncSender<String>);

impl OperatorLines {
    /// Lines written to `operator` by a thread of their own.
    pub(crate) fn start(operator: Box<dyn Write + Send>) -> std::io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING_LINES_MAX);
        std::thread::Builder::new()
            .name("operator".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || write_all(operator, &waiting))?;
        Ok(Self(lines))
    }

    /// Says one line; `false` when it had to be dropped.
    pub(crate) fn say(&self, line: impl Into<String>) -> bool {
        !matches!(
            self.0.try_send(line.into()),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_))
        )
    }
}

fn write_all(mut operator: Box<dyn Write + Send>, waiting: &Receiver<String>) {
    while let Ok(mut line) = waiting.recv() {
        line.push('\n');
        if operator.write_all(line.as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads `stderr` to its end. Every chunk goes to `record` first; a chunk that cannot be recorded is not shown and ends the drain. With
/// `secrets` a line of up to [`CHUNK_BYTES`] is never cut, so that no secret value in one is: its beginning waits for the rest, and what is
/// shown has marks in the place of values.
pub(crate) fn drain(
    mut stderr: impl Read,
    name: &str,
    operator: &OperatorLines,
    secrets: Option<&SecretValues>,
    mut record: impl FnMut(&[u8]) -> bool,
) {
    let mut shown = Shown::new(name, operator.clone());
    let mut take = |bytes: &[u8]| {
        let is_recorded = bytes.is_empty() || record(bytes);
        if is_recorded {
            shown.take(&without_secrets(bytes, secrets), Instant::now());
        }
        is_recorded
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut waiting: Vec<u8> = Vec::new();
    loop {
        let read = match stderr.read(&mut chunk) {
            Ok(read @ 1..) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Ok(_) | Err(_) => {
                take(&waiting);
                break;
            }
        };
        waiting.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let line_ends = waiting.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let is_cut = secrets.is_none() || waiting.len() - line_ends >= CHUNK_BYTES;
        let ready = if is_cut { waiting.len() } else { line_ends };
        if !take(waiting.get(..ready).unwrap_or_default()) {
            break;
        }
        waiting.drain(..ready);
    }
    shown.end();
}

/// What is shown of these bytes: each value of a secret, however it is encoded, replaced by its name.
fn without_secrets<'b>(bytes: &'b [u8], secrets: Option<&SecretValues>) -> Cow<'b, [u8]> {
    let found = secrets.map(|secrets| secrets.all_in(bytes)).unwrap_or_default();
    if found.is_empty() {
        return Cow::Borrowed(bytes);
    }
    let (mut out, mut copied) = (Vec::with_capacity(bytes.len()), 0);
    for (range, name) in found {
        out.extend_from_slice(bytes.get(copied..range.start).unwrap_or_default());
        out.extend_from_slice(format!("[redacted {name}]").as_bytes());
        copied = range.end;
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// Splits into lines, escapes, prefixes, limits.
struct Shown {
    prefix: String,
    operator: OperatorLines,
    partial: Vec<u8>,
    second: Option<Instant>,
    lines_this_second: u32,
    dropped: u64,
}

impl Shown {
    fn new(name: &str, operator: OperatorLines) -> Self {
        Self {
            prefix: format!("[{name}] "),
            operator,
            partial: Vec::new(),
            second: None,
            lines_this_second: 0,
            dropped: 0,
        }
    }

    fn take(&mut self, bytes: &[u8], now: Instant) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= SHOWN_LINE_BYTES_MAX {
                self.line(now);
            }
        }
    }

    fn line(&mut self, now: Instant) {
        let line = std::mem::take(&mut self.partial);
        if self
            .second
            .is_none_or(|start| now.duration_since(start) >= Duration::from_secs(1))
        {
            self.second = Some(now);
            self.lines_this_second = 0;
            self.tell_dropped();
        }
        self.lines_this_second = self.lines_this_second.saturating_add(1);
        let in_rate = self.lines_this_second <= LINES_PER_SECOND_MAX;
        if !in_rate || !self.operator.say(format!("{}{}", self.prefix, escaped(&line))) {
            self.dropped += 1;
        }
    }

    fn tell_dropped(&mut self) {
        if self.dropped > 0
            && self.operator.say(format!(
                "{}… {} lines not shown; all are in the record",
                self.prefix, self.dropped
            ))
        {
            self.dropped = 0;
        }
    }

    fn end(&mut self) {
        if !self.partial.is_empty() {
            self.line(Instant::now());
        }
        self.tell_dropped();
    }
}

/// A line of untrusted bytes that cannot move a cursor, change a title or hide: control and invisible characters are written out.
pub(crate) fn escaped(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
    let mut out = String::with_capacity(text.len());
    for character in text.trim_end_matches('\r').chars() {
        if character == '\t' || !(character.is_control() || cofferdam_inspect::is_invisible(character)) {
            out.push(character);
        } else {
            out.extend(character.escape_unicode());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use cofferdam_inspect::SecretValues;

    use super::{LINES_PER_SECOND_MAX, OperatorLines, drain, escaped};

    struct Terminal(Sender<Vec<u8>>);
    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn escape_sequences_are_written_out() {
        assert_eq!(
            escaped(b"\x1b]0;owned\x07\ttab \xff\r\n"),
            "\\u{1b}]0;owned\\u{7}\ttab \u{fffd}"
        );
        assert_eq!(escaped("a\u{202e}b".as_bytes()), "a\\u{202e}b");
    }

    #[test]
    fn lines_are_prefixed_and_a_flood_is_counted_but_recorded_whole() {
        let (sender, receiver) = channel();
        let operator = OperatorLines::start(Box::new(Terminal(sender))).unwrap();
        let flood = "x\n".repeat(5_000);
        let mut recorded = 0;
        drain(flood.as_bytes(), "files", &operator, None, |bytes| {
            recorded += bytes.len();
            true
        });
        drop(operator);
        let mut shown = Vec::new();
        while let Ok(bytes) = receiver.recv_timeout(Duration::from_secs(5)) {
            shown.extend(bytes);
        }
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(recorded, flood.len());
        assert!(shown.starts_with("[files] x\n"), "{shown}");
        assert!(
            shown.lines().count() <= 2 * LINES_PER_SECOND_MAX as usize + 2,
            "{}",
            shown.lines().count()
        );
        assert!(shown.contains("lines not shown"), "{shown}");
    }

    /// Reads as small as they come.
    struct Pieces(Vec<&'static str>);
    impl std::io::Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            into[..piece.len()].copy_from_slice(piece.as_bytes());
            Ok(piece.len())
        }
    }

    #[test]
    fn whole_lines_are_never_cut_and_nothing_is_lost_at_the_end() {
        let (sender, _receiver) = channel();
        let operator = OperatorLines::start(Box::new(Terminal(sender))).unwrap();
        let mut recorded = Vec::new();
        let pieces = Pieces(vec!["one", " line\ntw", "o", "\nthree\nla", "st"]);
        drain(pieces, "files", &operator, Some(SecretValues::NONE), |bytes| {
            recorded.push(String::from_utf8(bytes.to_vec()).unwrap());
            true
        });
        assert_eq!(recorded, ["one line\n", "two\nthree\n", "last"]);
        let long: &'static str = "x".repeat(10_000).leak();
        recorded.clear();
        drain(
            Pieces(vec![long; 5]),
            "files",
            &operator,
            Some(SecretValues::NONE),
            |bytes| {
                recorded.push(bytes.len().to_string());
                true
            },
        );
        assert_eq!(recorded, ["20000", "20000", "10000"], "a line without an end is cut");
    }

    #[test]
    fn secrets_are_not_shown_whole_encoded_or_cut_by_a_read() {
        let (sender, receiver) = channel();
        let operator = OperatorLines::start(Box::new(Terminal(sender))).unwrap();
        let secrets = SecretValues::new([("KEY", b"n0t-for-you/42".as_slice())]);
        let pieces = Pieces(vec!["it is n0t-fo", "r-you/42 here\n", "bjB0LWZvci15b3UvNDI=\nplain\n"]);
        drain(pieces, "files", &operator, Some(&secrets), |_| true);
        drop(operator);
        let mut shown = Vec::new();
        while let Ok(bytes) = receiver.recv_timeout(Duration::from_secs(5)) {
            shown.extend(bytes);
        }
        let shown = String::from_utf8(shown).unwrap();
        assert!(
            shown.starts_with("[files] it is [redacted KEY] here\n[files] [redacted KEY]"),
            "{shown}"
        );
        assert!(
            shown.ends_with("[files] plain\n") && !shown.contains("n0t-for"),
            "{shown}"
        );
    }

    #[test]
    fn what_cannot_be_recorded_is_not_shown() {
        let (sender, receiver) = channel();
        let operator = OperatorLines::start(Box::new(Terminal(sender))).unwrap();
        drain(&b"secret\n"[..], "files", &operator, None, |_| false);
        drop(operator);
        assert!(receiver.recv_timeout(Duration::from_secs(5)).is_err());
    }
}
