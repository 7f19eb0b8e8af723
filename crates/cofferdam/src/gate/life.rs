//! A session from its first line to its recorded end. Clients close stdin, wait two seconds, then kill: everything here is over before that.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender as Events, channel};

use cofferdam_audit::{AuditError, Log};
use cofferdam_sandbox::Compartment;

use crate::approvals::{Listener, QuestionPoster, Reply, SocketName, Speaker, of_others};
use crate::egress::{Egress, Ledger, Refused};
use crate::failure::Failure;
use crate::mend;

use super::end::Ended;
use super::in_force::follow;
use super::observed::{Launched, start_recording};
use super::outlet::Outlet;
use super::pump::{forward_signals, has_hung_up, pump_client, start, start_server, start_with_stack};
use super::stderr::OperatorLines;
use super::{Event, Fault, Gate, Terms, watch};

/// Refusals of one session after which no more hints are given: a server that asks for much wants no list of it read.
const HINTS_MAX: u32 = 8;
/// Stack of the thread that loads changed policies: parsers of policies are recursive.
const RELOAD_STACK_BYTES: usize = 8 * 1024 * 1024;

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

/// Starts the server's process again, exactly as it was accepted, and records what is enforced on it.
pub(crate) type Relaunch<'a> = &'a dyn Fn(&Log) -> Result<Launched, Failure>;

/// The server's side.
pub(crate) struct Server<'a> {
    pub(crate) launched: Launched,
    pub(crate) relaunch: Relaunch<'a>,
}

impl std::fmt::Debug for Server<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

/// The server's process that runs now.
pub(super) struct Running {
    pub(super) compartment: Compartment,
    /// Where its connections arrive.
    pub(super) egress: Option<Egress>,
    /// Received once all of its stdout went through the line.
    pub(super) is_done: Receiver<()>,
    /// Received once everything it was seen doing is on record.
    pub(super) is_observed: Receiver<()>,
}

/// Runs the gate over `server` until one side ends. Blocks; everything is recorded, flushed and ended when it returns.
///
/// # Errors
/// A thread could not be started, or the compartment has no pipes.
pub(crate) fn run(
    mut terms: Terms,
    log: Log,
    server: Server<'_>,
    pipes: Pipes,
    signals: Option<Receiver<i32>>,
) -> std::io::Result<Ended> {
    let Server { mut launched, relaunch } = server;
    let operator = OperatorLines::start(pipes.operator)?;
    let server_stdin = launched.compartment.stdin.take().ok_or_else(no_pipes)?;
    let outlets = (
        Outlet::new("client", pipes.to_client)?,
        Outlet::new("server", Box::new(server_stdin))?,
    );
    let reload = terms.reload.take();
    let (listener, _name_until_the_end) = listen(&terms, &log, &operator).unzip();
    let (further, _names_until_the_end): (Vec<_>, Vec<_>) =
        listen_for_others(&terms, &log, &operator).into_iter().unzip();
    let poster = poster(&mut terms, &operator)?;
    let gate = Arc::new(Gate::new(
        terms,
        Arc::new(log),
        outlets,
        (operator, listener.is_some(), poster),
    ));

    gate.take_measurement(launched.compartment.enforced());
    let (events, happened) = channel();
    start("client", &gate, &events, move |gate, events| {
        pump_client(gate, events, pipes.from_client)
    })?;
    let mut running = attach(&gate, &events, launched)?;
    start("watch", &gate, &events, move |gate, events| {
        watch::watch(gate, events, || has_hung_up(&pipes.hang_up))
    })?;
    if let Some(reload) = reload {
        start_with_stack("policies", RELOAD_STACK_BYTES, (&gate, &events), move |gate, events| {
            follow(gate, events, reload)
        })?;
    }
    for listener in listener.into_iter().chain(further) {
        start("approvals", &gate, &events, move |gate, events| {
            hear_approvers(gate, events, &listener)
        })?;
    }
    if let Some(signals) = signals {
        start("signals", &gate, &events, move |_, events| {
            forward_signals(&signals, events)
        })?;
    }
    loop {
        let event = happened.recv().unwrap_or(Event::ServerClosed(gate.process()));
        if gate.is_of_the_past(&event) {
            continue;
        }
        match gate.restart(&event, &running, relaunch) {
            Some(launched) => running = attach(&gate, &events, launched)?,
            None => {
                let ended = gate.end(event, &happened, &mut running);
                gate.terms.refusals.finish();
                return Ok(ended);
            }
        }
    }
}

/// What posts questions to the webhook, where there is one.
fn poster(terms: &mut Terms, operator: &OperatorLines) -> std::io::Result<Option<QuestionPoster>> {
    let operator = operator.clone();
    let say = move |line| {
        operator.say(line);
    };
    let webhook = terms.webhook.take();
    webhook.map(|webhook| QuestionPoster::start(webhook, say)).transpose()
}

/// The approvals socket. Without one nobody can be asked, and what asks is refused; the operator is told why.
fn listen(terms: &Terms, log: &Log, operator: &OperatorLines) -> Option<(Listener, SocketName)> {
    let session = log.session_id();
    let listener = Listener::bind(terms.approvals.as_deref()?, session.get(..16).unwrap_or(session));
    let told = listener.inspect_err(|cause| {
        operator.say(format!(
            "cofferdam: nobody can be asked for consent: the approvals socket cannot be made: {cause}"
        ));
    });
    told.ok()
}

/// The sockets in the folders of approvers who are other users. One that cannot be made is one way less to a yes; the operator is told why.
fn listen_for_others(terms: &Terms, log: &Log, operator: &OperatorLines) -> Vec<(Listener, SocketName)> {
    if terms.approvals.is_none() || terms.approvers.is_empty() {
        return Vec::new();
    }
    let say = |why: &dyn std::fmt::Display| {
        operator.say(format!(
            "cofferdam: an approver who is another user cannot be asked: {why}"
        ));
    };
    let session = log.session_id();
    let folders = of_others()
        .inspect_err(|failure| say(&failure.what))
        .unwrap_or_default();
    let listeners = folders.iter().filter_map(|folder| {
        let listener = Listener::bind_for(folder, session.get(..16).unwrap_or(session));
        listener.inspect_err(|cause| say(cause)).ok()
    });
    listeners.collect()
}

/// Answers whoever speaks on the socket, until the session ends.
fn hear_approvers(gate: &Gate, events: &Events<Event>, listener: &Listener) {
    let answer = |request, speaker: &Speaker| match gate.answer_approver(request, speaker) {
        Ok(reply) => reply,
        Err(fault) => {
            let _ = events.send(Event::Fault(fault));
            Reply::Refused("the gate ends: it cannot record".to_owned())
        }
    };
    listener.serve(|| gate.is_ending(), answer);
}

/// Starts to read from the process that runs now.
fn attach(gate: &Arc<Gate>, events: &Events<Event>, launched: Launched) -> std::io::Result<Running> {
    let Launched {
        mut compartment,
        observations,
    } = launched;
    let is_observed = start_recording(gate, events, observations)?;
    let stdout = compartment.stdout.take().ok_or_else(no_pipes)?;
    let stderr = compartment.stderr.take().ok_or_else(no_pipes)?;
    gate.take_measurement(compartment.enforced());
    let egress = match compartment.doors.take() {
        Some(doors) => Some(Egress::start(doors, gate.terms.network.clone(), ledger(gate, events))?),
        None => None,
    };
    let is_done = start_server(gate, events, gate.process(), (stdout, stderr))?;
    Ok(Running {
        compartment,
        egress,
        is_done,
        is_observed,
    })
}

/// The record as egress writes it; what can never be recorded ends the session.
fn ledger(gate: &Arc<Gate>, events: &Events<Event>) -> Ledger {
    let (operator, name, events) = (gate.operator.clone(), gate.terms.name.clone(), events.clone());
    let (hints, told) = (AtomicU32::new(0), Arc::downgrade(gate));
    let tell = move |refused: Refused<'_>| {
        // The record has it, whether a terminal reads or not.
        let _shown = operator.say(format!("cofferdam: server `{name}` {}", refused.line));
        let hint = mend::host_line(&name, refused.wanted).filter(|_| refused.is_only_unlisted);
        let Some(line) = hint else { return };
        if hints.fetch_add(1, Ordering::Relaxed) < HINTS_MAX {
            let _shown = operator.say(format!("help: if that is what it is for, `{line}`"));
        }
        if let Some(gate) = told.upgrade() {
            let what = crate::refusals::Refused::Host(refused.wanted.to_owned());
            gate.terms.refusals.tell(what, || refused.record);
        }
    };
    let observer = Arc::downgrade(gate);
    let fault = move |error: AuditError| {
        let gate = observer.upgrade().filter(|_| error.is_outage());
        if let Some(gate) = gate {
            // The connection is refused, as everything is now.
            gate.note_outage(&error);
            return;
        }
        // Nobody hears it once the session ends.
        let _unheard = events.send(Event::Fault(Fault::Unrecorded(error)));
    };
    let ruling = Arc::downgrade(gate);
    let permit = move |host: &str, port| match ruling.upgrade() {
        Some(gate) => gate.permit_egress(host, port),
        None => Err("the session has ended".to_owned()),
    };
    Ledger::new(Arc::clone(&gate.log), Box::new(tell), Box::new(fault)).ruled_by(Box::new(permit))
}

fn no_pipes() -> std::io::Error {
    std::io::Error::other("the compartment has no pipes")
}
