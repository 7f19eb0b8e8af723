//! A session from its first line to its recorded end. Clients close stdin, wait two seconds, then kill: everything here is over before that.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender as Events, channel, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use cofferdam_audit::{AuditError, Entry, Kind, Log, Pressure};
use cofferdam_protocol::{Era, Frame, Id, LineBuffer, Sender};
use cofferdam_sandbox::{Compartment, Ended as ProcessEnd};
use serde_json::json;

use super::answer::{Refusal, refuse};
use super::outlet::Outlet;
use super::stderr::{OperatorLines, drain};
use super::{Event, Fault, Gate, Terms, watch};

/// How long a server may take to end after its stdin closed.
const GRACE: Duration = Duration::from_millis(1_100);
/// How long it may take after SIGTERM.
const TERM_GRACE: Duration = Duration::from_millis(300);
/// How long it may take after SIGTERM when we were asked to stop ourselves.
const SIGNAL_GRACE: Duration = Duration::from_millis(400);
/// How long output that is on its way may take.
const DRAIN: Duration = Duration::from_millis(150);
/// Bytes judged and recorded in one write at most: a bound on memory and on what one write can take.
const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// Lines judged and recorded in one write at most.
const GROUP_LINES_MAX: usize = 256;
/// A pump decodes and validates; its stack is bounded by the depth limits there.
const PUMP_STACK_BYTES: usize = 1024 * 1024;
/// How long a server that comes near its record quota is made to wait for each read.
const SLOWED: Duration = Duration::from_millis(20);
/// Characters of a fault's words in the close record, which has little room.
const FAULT_CHARS_MAX: usize = 256;
/// Rule of answers given because the session ends.
pub(crate) const SESSION_ENDED_RULE: &str = "session/ended";

/// The client's side.
pub(crate) struct Pipes {
    pub(crate) from_client: Box<dyn Read + Send>,
    pub(crate) to_client: Box<dyn Write + Send>,
    /// Where the operator reads.
    pub(crate) operator: Box<dyn Write + Send>,
    /// Duplicates of the client's pipes, to notice a hang-up while a pump is stuck in a write.
    pub(crate) hang_up: Vec<OwnedFd>,
}

impl std::fmt::Debug for Pipes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pipes")
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    ClientClosed,
    ServerEnded,
    Signal(i32),
    Idle,
    RecordFailed,
    RecordQuota,
    ServerMisbehaved,
    Internal,
}

impl Cause {
    /// As recorded.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::ClientClosed => "client-closed",
            Self::ServerEnded => "server-ended",
            Self::Signal(_) => "signal",
            Self::Idle => "idle",
            Self::RecordFailed => "record-failed",
            Self::RecordQuota => "record-quota",
            Self::ServerMisbehaved => "server-misbehaved",
            Self::Internal => "internal",
        }
    }

    fn of(fault: &Fault) -> Self {
        match fault {
            Fault::Unrecorded(AuditError::QuotaExceeded { .. }) => Self::RecordQuota,
            Fault::Unrecorded(_) => Self::RecordFailed,
            Fault::ClientGone(super::OutletClosed::Gone(_)) => Self::ClientClosed,
            Fault::ServerGone(super::OutletClosed::Gone(_)) => Self::ServerEnded,
            Fault::ServerGone(super::OutletClosed::Overflow) => Self::ServerMisbehaved,
            Fault::ClientGone(super::OutletClosed::Overflow) => Self::ClientClosed,
            Fault::NoRandomness(_) | Fault::Panicked => Self::Internal,
        }
    }
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) cause: Cause,
    /// The server's own end.
    pub(crate) process: ProcessEnd,
    /// What failed, in words for people.
    pub(crate) fault: Option<String>,
    /// Why the record has no end, if it has none.
    pub(crate) unclosed: Option<String>,
}

/// Runs the gate over `compartment` until one side ends. Blocks; everything is recorded, flushed and ended when it returns.
///
/// # Errors
/// A thread could not be started, or the compartment has no pipes.
pub(crate) fn run(
    terms: Terms,
    log: Log,
    compartment: Compartment,
    pipes: Pipes,
    signals: Option<Receiver<i32>>,
) -> std::io::Result<Ended> {
    let mut compartment = compartment;
    let missing = || std::io::Error::other("the compartment has no pipes");
    let from_server = compartment.stdout.take().ok_or_else(missing)?;
    let stderr = compartment.stderr.take().ok_or_else(missing)?;
    let server_stdin = compartment.stdin.take().ok_or_else(missing)?;
    let compartment = Arc::new(compartment);

    let operator = OperatorLines::start(pipes.operator)?;
    let outlets = (
        Outlet::new("client", pipes.to_client)?,
        Outlet::new("server", Box::new(server_stdin))?,
    );
    let message_bytes = usize::try_from(terms.limits.message_bytes).unwrap_or(usize::MAX);
    let gate = Arc::new(Gate::new(terms, log, outlets, operator));

    let (events, happened) = channel();
    let (server_done, server_is_done) = sync_channel(1);
    start("client", &gate, &events, move |gate, events| {
        pump_client(gate, events, pipes.from_client, message_bytes)
    })?;
    start("server", &gate, &events, move |gate, events| {
        pump_server(gate, events, from_server, message_bytes);
        let _ = server_done.try_send(());
    })?;
    start("stderr", &gate, &events, move |gate, events| {
        pump_stderr(gate, events, stderr)
    })?;
    start("watch", &gate, &events, move |gate, events| {
        watch::watch(gate, events, || has_hung_up(&pipes.hang_up))
    })?;
    if let Some(signals) = signals {
        start("signals", &gate, &events, move |_, events| {
            forward_signals(&signals, events)
        })?;
    }
    // Every sender but those of the threads is gone, so the wait below cannot hang on a channel nobody writes to.
    drop(events);
    let first = happened.recv().unwrap_or(Event::ServerClosed);
    Ok(gate.end(first, &happened, &compartment, &server_is_done))
}

/// Starts one thread of the session. A panic in it ends the session: nothing may go on over a state that is half changed.
fn start(
    name: &str,
    gate: &Arc<Gate>,
    events: &Events<Event>,
    body: impl FnOnce(&Gate, &Events<Event>) + Send + 'static,
) -> std::io::Result<()> {
    let (gate, events) = (Arc::clone(gate), events.clone());
    Builder::new()
        .name(name.to_owned())
        .stack_size(PUMP_STACK_BYTES)
        .spawn(move || {
            let watched = EndOnPanic(&events);
            body(&gate, &events);
            drop(watched);
        })?;
    Ok(())
}

/// Tells of a panic while the thread unwinds.
struct EndOnPanic<'a>(&'a Events<Event>);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.send(Event::Fault(Fault::Panicked));
        }
    }
}

fn forward_signals(signals: &Receiver<i32>, events: &Events<Event>) {
    if let Ok(signal) = signals.recv() {
        let _ = events.send(Event::Signal(signal));
    }
}

fn pump_client(gate: &Gate, events: &Events<Event>, from_client: Box<dyn Read + Send>, message_bytes: usize) {
    let event = match pump(from_client, message_bytes, |frames| gate.client_lines(frames)) {
        Ok(()) => Event::ClientClosed,
        Err(fault) => Event::Fault(fault),
    };
    let _ = events.send(event);
}

fn pump_server(gate: &Gate, events: &Events<Event>, from_server: impl Read, message_bytes: usize) {
    let event = match pump(from_server, message_bytes, |frames| {
        slow_down(gate);
        gate.server_lines(frames)
    }) {
        Ok(()) => Event::ServerClosed,
        Err(fault) => Event::Fault(fault),
    };
    let _ = events.send(event);
}

/// A server that comes near its record quota is slowed before it is ended.
fn slow_down(gate: &Gate) {
    if gate
        .log
        .quota_pressure()
        .is_ok_and(|pressure| pressure != Pressure::Low)
    {
        std::thread::sleep(SLOWED);
    }
}

fn pump_stderr(gate: &Gate, events: &Events<Event>, stderr: impl Read) {
    let mut fault = None;
    drain(stderr, &gate.terms.name, &gate.operator, |bytes| {
        slow_down(gate);
        let recorded = gate.log.append_one((), |(), group| {
            group.add(Entry {
                kind: Kind::ServerStderr,
                facts: "",
                payload: bytes,
            })
        });
        recorded.map_err(|error| fault = Some(error)).is_ok()
    });
    if let Some(error) = fault {
        let _ = events.send(Event::Fault(Fault::Unrecorded(error)));
    }
}

/// Reads to the end; every group of whole lines goes to `straight_line`, which has recorded and forwarded it when it returns.
fn pump(
    mut from: impl Read,
    message_bytes: usize,
    mut straight_line: impl FnMut(Vec<Frame>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut lines = LineBuffer::new(message_bytes);
    loop {
        match from.read(lines.spare()) {
            Ok(read @ 1..) => lines.filled(read),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // A pipe that breaks ends like one that closes.
            Ok(_) | Err(_) => break,
        }
        loop {
            let group = next_group(&mut lines);
            if group.is_empty() {
                break;
            }
            straight_line(group)?;
        }
    }
    while let Some(rest) = lines.finish() {
        straight_line(vec![rest])?;
    }
    Ok(())
}

fn next_group(lines: &mut LineBuffer) -> Vec<Frame> {
    let mut group = Vec::new();
    let mut bytes = 0;
    while group.len() < GROUP_LINES_MAX && bytes < GROUP_BYTES_MAX {
        let Some(frame) = lines.next_frame() else { break };
        bytes += match &frame {
            Frame::Line(line) | Frame::Unterminated(line) => line.len(),
            Frame::Oversize { piece, .. } => piece.len(),
        };
        group.push(frame);
    }
    group
}

/// `POLLRDHUP` of poll(2), which the library does not name: the peer of a socket closed its writing half. Node's stdio pipes are sockets.
const POLLRDHUP: i16 = 0x2000;

/// Whether the other end of one of the client's pipes is closed.
fn has_hung_up(pipes: &[OwnedFd]) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd as _;
    let asked = PollFlags::from_bits_retain(POLLRDHUP);
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
    let mut polled: Vec<PollFd<'_>> = pipes.iter().map(|pipe| PollFd::new(pipe.as_fd(), asked)).collect();
    // Bits the library does not name read as `None`: among those asked for that is `POLLRDHUP` alone.
    poll(&mut polled, PollTimeout::ZERO).is_ok()
        && polled
            .iter()
            .any(|fd| fd.revents().is_none_or(|events| events.intersects(gone)))
}

impl Gate {
    /// Ends the server, answers whoever still waits, closes the record. Within two seconds, whatever the server does.
    fn end(
        &self,
        first: Event,
        happened: &Receiver<Event>,
        compartment: &Compartment,
        server_is_done: &Receiver<()>,
    ) -> Ended {
        let (mut cause, mut fault) = match first {
            Event::ClientClosed => (Cause::ClientClosed, None),
            Event::ServerClosed => (Cause::ServerEnded, None),
            Event::Signal(signal) => (Cause::Signal(signal), None),
            Event::Idle => (Cause::Idle, None),
            Event::Fault(fault) => (Cause::of(&fault), Some(fault.to_string())),
        };
        let process = self.end_process(cause, compartment);
        // What the server wrote before it ended is still on its way through the line.
        let waited = server_is_done.recv_timeout(DRAIN);
        self.ending.store(true, Ordering::Relaxed);
        // A record that refused while the session was ending is no orderly end.
        for event in happened.try_iter() {
            if let Event::Fault(late @ (Fault::Unrecorded(_) | Fault::Panicked)) = event
                && fault.is_none()
            {
                cause = Cause::of(&late);
                fault = Some(late.to_string());
            }
        }
        self.answer_all_waiting(cause, &process);
        self.to_client.drain(DRAIN);
        self.to_client.close();
        let facts = json!({
            "cause": cause.word(), "signal": if let Cause::Signal(signal) = cause { Some(signal) } else { None },
            "process": process_words(process), "out_of_memory": compartment.ran_out_of_memory(), "fault": fault.as_deref().map(shortened), "output_complete": waited != Err(RecvTimeoutError::Timeout),
        });
        let unclosed = self.log.close(&facts.to_string()).err().map(|error| error.to_string());
        Ended {
            cause,
            process,
            fault,
            unclosed,
        }
    }

    /// stdin closed, then SIGTERM, then the end of the whole compartment.
    fn end_process(&self, cause: Cause, compartment: &Compartment) -> ProcessEnd {
        self.to_server.close();
        let began = Instant::now();
        let graceful = match cause {
            Cause::ClientClosed | Cause::Idle | Cause::ServerEnded => compartment.wait_timeout(GRACE),
            Cause::Signal(_) => None,
            Cause::RecordFailed | Cause::RecordQuota | Cause::ServerMisbehaved | Cause::Internal => {
                compartment.kill();
                None
            }
        };
        let ended = graceful.or_else(|| {
            compartment.terminate();
            compartment.wait_timeout(if began.elapsed() < TERM_GRACE {
                SIGNAL_GRACE
            } else {
                TERM_GRACE
            })
        });
        // Even after a clean exit: nothing the server left behind outlives the session.
        compartment.kill();
        ended.unwrap_or_else(|| compartment.wait())
    }

    /// Whoever waits for an answer gets one: the server will not send it any more.
    fn answer_all_waiting(&self, cause: Cause, process: &ProcessEnd) {
        let waiting: Vec<(Id, String, Era)> = {
            let session = self.session();
            let pending = session
                .pending(Sender::Client)
                .filter(|(_, pending)| !pending.by_gate && !pending.cancelled);
            pending
                .map(|(id, pending)| (id.clone(), pending.method.to_string(), pending.era))
                .collect()
        };
        let why = match cause {
            Cause::RecordFailed => "the record cannot be written, so nothing passes any more".to_owned(),
            Cause::RecordQuota => "the server exceeded its record quota and was ended".to_owned(),
            _ => format!(
                "the session ended before the server answered ({})",
                process_words(*process)
            ),
        };
        let record = self.reference(self.log.head().map_or(0, |head| head.seq));
        for (id, method, era) in waiting {
            let refusal = Refusal {
                id: Some(&id),
                method: Some(&method),
                era,
                rule: SESSION_ENDED_RULE,
                why: &why,
                record: &record,
            };
            let authored = refuse(&refusal);
            let recorded = self.log.append_reserved(authored, |authored, group| {
                group.add(Entry {
                    kind: Kind::GateToClient,
                    facts: authored.facts(),
                    payload: authored.line(),
                });
            });
            // Not even the reserve takes it: then it is not sent. The client sees the end of the stream.
            let Ok(recorded) = recorded else { return };
            if self.to_client.author(&recorded).is_err() {
                return;
            }
        }
    }
}

/// As much of a fault as fits into a close record.
fn shortened(fault: &str) -> String {
    fault.chars().take(FAULT_CHARS_MAX).collect()
}

/// How a process ended, in words.
pub(crate) fn process_words(ended: ProcessEnd) -> String {
    match ended {
        ProcessEnd::Exited(code) => format!("exit code {code}"),
        ProcessEnd::Signaled(signal) => format!("signal {signal}"),
        ProcessEnd::Killed => "ended by the gate".to_owned(),
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unrecorded(error) => write!(f, "{error}"),
            Self::ClientGone(super::OutletClosed::Gone(cause)) => {
                write!(f, "the client does not read any more: {cause}")
            }
            Self::ServerGone(super::OutletClosed::Gone(cause)) => {
                write!(f, "the server does not read any more: {cause}")
            }
            Self::ClientGone(super::OutletClosed::Overflow) => {
                f.write_str("the client makes us write more than it reads")
            }
            Self::ServerGone(super::OutletClosed::Overflow) => {
                f.write_str("the server makes us write more than it reads")
            }
            Self::Panicked => f.write_str("a thread of the gate panicked"),
            Self::NoRandomness(error) => write!(f, "the kernel gives no random bytes: {error}"),
        }
    }
}
