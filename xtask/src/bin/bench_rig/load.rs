//! The load generator: one client session with a subject over blocking pipes.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::echo::{ANSWER_MIDDLE, ANSWER_TAIL, CALL_HEAD, CALL_TAIL, call_middle};

const BUFFER_BYTES: usize = 1 << 20;
/// How long a subject may take to end once its stdin is closed.
const END_MAX: Duration = Duration::from_secs(5);
/// The same for a peer: one writes its audit for many seconds after the last call.
const PEER_END_MAX: Duration = Duration::from_secs(60);
const END_STEP: Duration = Duration::from_millis(2);
const INITIALIZE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
    r#""capabilities":{},"clientInfo":{"name":"load","version":"1"}}}"#,
    "\n"
);
const INITIALIZED: &str = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";

/// What a subject makes of the messages that pass through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passes {
    /// The server's bytes, in the server's order.
    Bytes,
    /// The same answers, spelled its own way, in any order.
    Meaning,
}

/// How a subject is started and spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) command: Vec<String>,
    /// What the echo server's tool is called behind it.
    pub(crate) tool: String,
    pub(crate) passes: Passes,
}

/// A running subject with a session on it.
#[derive(Debug)]
pub(crate) struct Session {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    /// From before the subject was started to its first answer.
    pub(crate) start: Duration,
    next_id: u64,
    line: Vec<u8>,
    /// What follows the id of a call.
    middle: String,
    passes: Passes,
}

impl Session {
    /// Starts the subject and initializes the session.
    ///
    /// # Errors
    /// The subject does not start, ends, or answers with an error.
    pub(crate) fn open(target: &Target) -> Result<Self> {
        let [program, arguments @ ..] = target.command.as_slice() else {
            bail!("no command")
        };
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Some peers say a line for each call.
            .stderr(match target.passes {
                Passes::Bytes => Stdio::inherit(),
                Passes::Meaning => Stdio::null(),
            })
            .spawn()
            .with_context(|| format!("cannot start `{program}`"))?;
        let (to, from) = (
            child.stdin.take(),
            child.stdout.take().context("the subject has no stdout")?,
        );
        let from = BufReader::with_capacity(BUFFER_BYTES, from);
        let mut session = Self {
            child,
            to,
            from,
            start: Duration::ZERO,
            next_id: 1,
            line: Vec::new(),
            middle: call_middle(&target.tool),
            passes: target.passes,
        };
        session.send(INITIALIZE.as_bytes())?;
        session.receive()?;
        session.start = started.elapsed();
        let answer = String::from_utf8_lossy(&session.line);
        ensure!(
            answer.contains("\"protocolVersion\""),
            "`initialize` was answered with: {answer}"
        );
        session.send(INITIALIZED.as_bytes())?;
        Ok(session)
    }

    /// The subject's process id.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// `count` calls of about `bytes` bytes, one at a time after `warm_up` untimed ones: how long each took, sorted.
    ///
    /// # Errors
    /// The subject ends, or an answer is not what the echo server writes.
    pub(crate) fn sequential(&mut self, bytes: usize, warm_up: usize, count: usize) -> Result<Vec<Duration>> {
        let message = self.message(bytes);
        let mut took = Vec::with_capacity(count);
        for turn in 0..warm_up + count {
            let id = self.take_id();
            let call = self.call(id, &message);
            let started = Instant::now();
            self.send(&call)?;
            self.receive()?;
            let elapsed = started.elapsed();
            self.check(&mut VecDeque::from([id]), &message)?;
            if turn >= warm_up {
                took.push(elapsed);
            }
        }
        took.sort_unstable();
        Ok(took)
    }

    /// `count` calls with up to `window` in flight: answers a second.
    ///
    /// # Errors
    /// The subject ends, or an answer is not what the echo server writes.
    pub(crate) fn pipelined(&mut self, bytes: usize, window: usize, count: usize) -> Result<f64> {
        let message = self.message(bytes);
        let first = self.next_id;
        let calls: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                let id = self.take_id();
                self.call(id, &message)
            })
            .collect();
        let mut expected: VecDeque<u64> = (first..self.next_id).collect();
        let mut to = self.to.take().context("the session is closed")?;
        // A place in the window is taken before a call is written, and given back by its answer.
        let (take, give_back) = sync_channel::<()>(window);
        let started = Instant::now();
        let writer = thread::spawn(move || -> Result<ChildStdin> {
            for call in calls {
                take.send(()).context("the reader is gone")?;
                to.write_all(&call)?;
            }
            Ok(to)
        });
        while !expected.is_empty() {
            self.receive()?;
            self.check(&mut expected, &message)?;
            give_back.recv().context("the writer is gone")?;
        }
        let seconds = started.elapsed().as_secs_f64();
        self.to = Some(
            writer
                .join()
                .map_err(|_panic| anyhow::anyhow!("the writer panicked"))??,
        );
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        Ok(count as f64 / seconds)
    }

    /// Closes the session and waits for the subject to end.
    ///
    /// # Errors
    /// It does not end in time (then it is killed).
    pub(crate) fn close(mut self) -> Result<()> {
        drop(self.to.take());
        let closed = Instant::now();
        let end_max = match self.passes {
            Passes::Bytes => END_MAX,
            Passes::Meaning => PEER_END_MAX,
        };
        while self.child.try_wait()?.is_none() {
            if closed.elapsed() > end_max {
                self.child.kill()?;
                self.child.wait()?;
                bail!("a subject was still running {end_max:?} after its stdin was closed");
            }
            thread::sleep(END_STEP);
        }
        Ok(())
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn send(&mut self, line: &[u8]) -> Result<()> {
        let to = self.to.as_mut().context("the session is closed")?;
        to.write_all(line).context("the subject no longer reads")
    }

    fn receive(&mut self) -> Result<()> {
        self.line.clear();
        ensure!(self.from.read_until(b'\n', &mut self.line)? > 0, "the subject ended");
        Ok(())
    }

    /// Takes the id that the line just received answers off `expected`.
    fn check(&self, expected: &mut VecDeque<u64>, message: &str) -> Result<()> {
        ensure!(
            is_answer(&self.line, self.passes, (expected, message)),
            "a call got another answer: {}",
            self.shown_line()
        );
        Ok(())
    }

    /// A message that makes a call about `bytes` bytes long.
    fn message(&self, bytes: usize) -> String {
        let frame = CALL_HEAD.len() + self.middle.len() + CALL_TAIL.len();
        "x".repeat(bytes.saturating_sub(frame))
    }

    fn call(&self, id: u64, message: &str) -> Vec<u8> {
        [CALL_HEAD, &id.to_string(), &self.middle, message, CALL_TAIL]
            .concat()
            .into_bytes()
    }

    fn shown_line(&self) -> String {
        String::from_utf8_lossy(&self.line).chars().take(300).collect()
    }
}

/// Whether `line` answers one of the expected calls, which it is then taken off; by bytes, only the first of them.
fn is_answer(line: &[u8], passes: Passes, (expected, message): (&mut VecDeque<u64>, &str)) -> bool {
    if passes == Passes::Bytes {
        return expected.pop_front().is_some_and(|id| line == answer(id, message));
    }
    let Ok(whole) = serde_json::from_slice::<Value>(line) else {
        return false;
    };
    let text = whole.pointer("/result/content/0/text").and_then(Value::as_str);
    let id = whole.get("id").and_then(Value::as_u64);
    // Near the front: no more are in flight than the window holds.
    let place = expected.iter().position(|expected| Some(*expected) == id);
    let was_asked = place.and_then(|place| expected.remove(place)).is_some();
    was_asked && text.and_then(|text| text.strip_prefix("Echo: ")) == Some(message)
}

fn answer(id: u64, message: &str) -> Vec<u8> {
    [CALL_HEAD, &id.to_string(), ANSWER_MIDDLE, message, ANSWER_TAIL]
        .concat()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::{Passes, is_answer};

    #[test]
    fn an_answer_is_checked_by_bytes_and_order_or_by_meaning() {
        let exact =
            b"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"Echo: x\"}]}}\n";
        let spelled = b"{\"result\": {\"isError\": false, \"content\": [{\"text\": \"Echo: x\"}]}, \"id\": 7}\n";
        let is = |line: &[u8], passes, ids: [u64; 2]| {
            let mut expected = VecDeque::from(ids);
            is_answer(line, passes, (&mut expected, "x")).then_some(expected.len())
        };
        assert_eq!(is(exact, Passes::Bytes, [7, 8]), Some(1));
        assert_eq!(is(exact, Passes::Bytes, [6, 7]), None);
        assert_eq!(is(spelled, Passes::Bytes, [7, 8]), None);
        assert_eq!(is(spelled, Passes::Meaning, [6, 7]), Some(1));
        assert_eq!(is(spelled, Passes::Meaning, [5, 6]), None);
        assert_eq!(is(b"{\"id\":7,\"error\":{}}", Passes::Meaning, [7, 8]), None);
    }
}
