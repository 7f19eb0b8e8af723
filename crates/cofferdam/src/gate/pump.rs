//! The threads of a session that read: the client's lines, the server's lines, its stderr, the signals.

use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender as Events, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use cofferdam_audit::{Entry, Kind, Pressure};
use cofferdam_protocol::{Frame, LineBuffer};
use serde_json::json;

use super::outlet::OutletClosed;
use super::stderr::drain;
use super::{Event, Fault, Gate};

/// Bytes judged and recorded in one write at most: a bound on memory and on what one write can take.
const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// Lines judged and recorded in one write at most.
const GROUP_LINES_MAX: usize = 256;
/// A pump decodes and validates; its stack is bounded by the depth limits there.
const PUMP_STACK_BYTES: usize = 1024 * 1024;
/// Rule of a server that fills the record.
pub(crate) const RECORD_QUOTA_RULE: &str = "record/quota";
/// How long a server that comes near its record quota is made to wait for each read.
const SLOWED: Duration = Duration::from_millis(20);

/// Starts one thread of the session. A panic in it ends the session: nothing may go on over a state that is half changed.
pub(super) fn start(
    name: &str,
    gate: &Arc<Gate>,
    events: &Events<Event>,
    body: impl FnOnce(&Gate, &Events<Event>) + Send + 'static,
) -> std::io::Result<()> {
    start_with_stack(name, PUMP_STACK_BYTES, (gate, events), body)
}

/// The same with a stack of another size.
pub(super) fn start_with_stack(
    name: &str,
    stack_bytes: usize,
    (gate, events): (&Arc<Gate>, &Events<Event>),
    body: impl FnOnce(&Gate, &Events<Event>) + Send + 'static,
) -> std::io::Result<()> {
    let (gate, events) = (Arc::clone(gate), events.clone());
    Builder::new()
        .name(name.to_owned())
        .stack_size(stack_bytes)
        .spawn(move || {
            let watched = EndOnPanic(&events);
            body(&gate, &events);
            drop(watched);
        })?;
    Ok(())
}

/// Starts the threads that read from the server's process `process`. What is received tells that all of its stdout went through the line.
pub(super) fn start_server(
    gate: &Arc<Gate>,
    events: &Events<Event>,
    process: u64,
    (stdout, stderr): (impl Read + Send + 'static, impl Read + Send + 'static),
) -> std::io::Result<Receiver<()>> {
    let (done, is_done) = sync_channel(1);
    start("server", gate, events, move |gate, events| {
        pump_server(gate, events, process, stdout);
        let _ = done.try_send(());
    })?;
    start("stderr", gate, events, move |gate, events| {
        pump_stderr(gate, events, stderr)
    })?;
    Ok(is_done)
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

pub(super) fn forward_signals(signals: &Receiver<i32>, events: &Events<Event>) {
    if let Ok(signal) = signals.recv() {
        let _ = events.send(Event::Signal(signal));
    }
}

pub(super) fn pump_client(gate: &Gate, events: &Events<Event>, from_client: impl Read) {
    let pumped = pump(from_client, gate.message_bytes(), |frames| {
        let process = gate.process();
        match gate.client_lines(frames) {
            // Another process may take its place; until then whoever asked is known as waiting.
            Err(Fault::ServerGone(OutletClosed::Gone(_))) if gate.is_stateless() => {
                let _ = events.send(Event::ServerDeaf(process));
                Ok(())
            }
            other => other,
        }
    });
    let _ = events.send(pumped.map_or_else(Event::Fault, |()| Event::ClientClosed));
}

fn pump_server(gate: &Gate, events: &Events<Event>, process: u64, from_server: impl Read) {
    let pumped = pump(from_server, gate.message_bytes(), |frames| {
        slow_down(gate)?;
        gate.server_lines(frames)
    });
    let _ = events.send(pumped.map_or_else(Event::Fault, |()| Event::ServerClosed(process)));
}

/// A server that comes near its record quota is slowed before it is ended, and that is on record.
fn slow_down(gate: &Gate) -> Result<(), Fault> {
    let pressure = gate.log.quota_pressure();
    if pressure.is_ok_and(|pressure| pressure != Pressure::Low) {
        gate.tell_slowed_once()?;
        std::thread::sleep(SLOWED);
    }
    Ok(())
}

impl Gate {
    fn tell_slowed_once(&self) -> Result<(), Fault> {
        if self.told_slowed.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let limit = self.terms.limits.record_bytes_per_hour;
        let facts = json!({"rule": RECORD_QUOTA_RULE, "slowed": true, "bytes_per_hour": limit}).to_string();
        let record = self.reference_of(self.note_if_possible(Kind::Notice, &facts)?);
        self.operator.say(format!(
            "cofferdam: server `{}` has filled three quarters of its record quota of {limit} bytes an hour: it is slowed, and ended when \
             all is used (record {record})",
            self.terms.name
        ));
        Ok(())
    }
}

fn pump_stderr(gate: &Gate, events: &Events<Event>, stderr: impl Read) {
    let mut fault = None;
    drain(
        stderr,
        &gate.terms.name,
        &gate.operator,
        gate.log.is_veiled().then_some(&gate.terms.release.secrets),
        |bytes| {
            if let Err(slow) = slow_down(gate) {
                fault = Some(slow);
                return false;
            }
            let recorded = gate.patiently(Duration::MAX, || {
                gate.log.note(Entry {
                    kind: Kind::ServerStderr,
                    facts: "",
                    payload: bytes,
                })
            });
            recorded.map_err(|error| fault = Some(Fault::Unrecorded(error))).is_ok()
        },
    );
    if let Some(fault) = fault {
        let _ = events.send(Event::Fault(fault));
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
pub(super) fn has_hung_up(pipes: &[OwnedFd]) -> bool {
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
