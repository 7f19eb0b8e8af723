//! The load generator: one client session with a subject over blocking pipes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::echo::{ANSWER_MIDDLE, ANSWER_TAIL, CALL_HEAD, CALL_MIDDLE, CALL_TAIL};

const BUFFER_BYTES: usize = 1 << 20;
/// How long a subject may take to end once its stdin is closed.
const END_MAX: Duration = Duration::from_secs(5);
const END_STEP: Duration = Duration::from_millis(2);
const INITIALIZE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
    r#""capabilities":{},"clientInfo":{"name":"load","version":"1"}}}"#,
    "\n"
);
const INITIALIZED: &str = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";

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
}

impl Session {
    /// Starts the subject and initializes the session.
    ///
    /// # Errors
    /// The subject does not start, ends, or answers with an error.
    pub(crate) fn open(command: &[String]) -> Result<Self> {
        let [program, arguments @ ..] = command else {
            bail!("no command")
        };
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
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
        let message = message(bytes);
        let mut took = Vec::with_capacity(count);
        for turn in 0..warm_up + count {
            let id = self.take_id();
            let (call, expected) = (call(id, &message), answer(id, &message));
            let started = Instant::now();
            self.send(&call)?;
            self.receive()?;
            let elapsed = started.elapsed();
            ensure!(
                self.line == expected,
                "call {id} got another answer: {}",
                self.shown_line()
            );
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
        let message = message(bytes);
        let first = self.next_id;
        let calls: Vec<Vec<u8>> = (0..count).map(|_| call(self.take_id(), &message)).collect();
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
        for id in (first..).take(count) {
            self.receive()?;
            ensure!(
                self.line == answer(id, &message),
                "call {id} got another answer: {}",
                self.shown_line()
            );
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
        while self.child.try_wait()?.is_none() {
            if closed.elapsed() > END_MAX {
                self.child.kill()?;
                self.child.wait()?;
                bail!("a subject was still running {END_MAX:?} after its stdin was closed");
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

    fn shown_line(&self) -> String {
        String::from_utf8_lossy(&self.line).chars().take(300).collect()
    }
}

/// A message that makes a call about `bytes` bytes long.
fn message(bytes: usize) -> String {
    let frame = CALL_HEAD.len() + CALL_MIDDLE.len() + CALL_TAIL.len();
    "x".repeat(bytes.saturating_sub(frame))
}

fn call(id: u64, message: &str) -> Vec<u8> {
    [CALL_HEAD, &id.to_string(), CALL_MIDDLE, message, CALL_TAIL]
        .concat()
        .into_bytes()
}

fn answer(id: u64, message: &str) -> Vec<u8> {
    [CALL_HEAD, &id.to_string(), ANSWER_MIDDLE, message, ANSWER_TAIL]
        .concat()
        .into_bytes()
}
