//! The gate: one server's pipes, decided and recorded line by line. `line.rs` is the product; this file is what it stands on.
//!
//! Invariants:
//! - Nothing leaves through an [`Outlet`] that is not `Recorded<Permitted>` or `Recorded<Authored>`, but for refusals while the record takes
//!   not even those: see `outage.rs`.
//! - Two pumps, blocking pipes, no async runtime. Neither pump ever blocks on the other side's reader: what crosses over goes by courier.
//! - Any [`Fault`] ends the session, and an outage of the record refuses: an error never lets anything through.

mod answer;
mod consent;
mod end;
mod facts;
mod fault;
mod hold;
mod in_force;
mod life;
mod line;
mod live_tools;
mod observed;
mod outage;
mod outlet;
mod pump;
mod rate;
mod refusal;
mod restart;
mod shared_labels;
mod stderr;
mod unseen;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use cofferdam_audit::{AuditError, Entry, Group, Kind, Log, Recorded};
use cofferdam_inspect::{Brought, Finding, Flow, Labels, Reach, Release, suppress};
use cofferdam_manifest::{ClientRequest, Day, Limits, Suppressions};
use cofferdam_policy::{CallFacts, Context, Measured, Moment, Permitted, Policies, Rates, Standing, shortened};
use cofferdam_protocol::{
    Admitted, Batch, Id, Inadmissible, Message, MessageKind, Reason, Sender, Session, SessionLimits, members,
};

use crate::approvals::{Approvers, GrantStore, QuestionPoster};
use answer::Authored;
use cofferdam_ship::Webhook;
use consent::{Consents, InBand, Remembered};
use fault::{Event, Fault};
use hold::Held;
use line::Judged;
use live_tools::LiveTools;
use outage::{Outage, enter_authored};
use rate::CallRate;
use refusal::Stopped;
use restart::Crashes;
use shared_labels::SharedLabels;
use stderr::OperatorLines;
use unseen::Unseen;

use crate::egress::Grants;
use crate::refusals::Refusals;
use crate::unseen::Given;

pub(crate) use consent::call_digest;
pub(crate) use end::{Cause, Ended, SESSION_ENDED_RULE, process_words};
pub(crate) use facts::{Supposed, measured_on};
pub(crate) use in_force::{InForce, Reload};
pub(crate) use life::{Pipes, Server, run};
pub(crate) use live_tools::PinnedTool;
pub(crate) use observed::{AF_UNIX, Executed, Launched, observations};
pub(crate) use outage::RECORD_UNAVAILABLE_RULE;
pub use outlet::{Outlet, Passable};
pub(crate) use pump::RECORD_QUOTA_RULE;
pub(crate) use restart::SERVER_RESTARTED_RULE;
pub(crate) use stderr::escaped;
pub(crate) use unseen::first_host;
pub(crate) use watch::SECONDS_PER_CALL_RULE;

/// What the manifest says about one session.
#[derive(Debug)]
pub(crate) struct Terms {
    /// The server's name, as the operator knows it.
    pub(crate) name: String,
    pub(crate) limits: Limits,
    /// What the server may ask of the client.
    pub(crate) client_requests: Vec<ClientRequest>,
    /// Where the server may connect.
    pub(crate) network: Grants,
    /// The accepted tools; `None` without a manifest.
    pub(crate) pins: Option<BTreeMap<String, PinnedTool>>,
    /// What is done about answers: secrets taken out, instructions marked.
    pub(crate) release: Release,
    /// What the server can reach.
    pub(crate) reach: Reach,
    /// The folders that are granted to it.
    pub(crate) roots: Vec<String>,
    /// Findings that are known and accepted.
    pub(crate) suppress: Suppressions,
    /// The policies at the start.
    pub(crate) in_force: Arc<InForce>,
    /// Looks for changed ones; `None` where none are taken.
    pub(crate) reload: Option<Reload>,
    /// Where the approvals socket lies; `None` where nobody can be asked.
    pub(crate) approvals: Option<PathBuf>,
    /// Where sessions of the user tell each other what they were brought.
    pub(crate) labels: Option<PathBuf>,
    /// Who can prove to be a person.
    pub(crate) approvers: Approvers,
    /// Whose session it is.
    pub(crate) user: String,
    /// Where grants are that outlive it; `None` where they die with it.
    pub(crate) grants: Option<GrantStore>,
    /// How long a question for consent stays open, in milliseconds.
    pub(crate) question_ms: u64,
    /// Where questions are posted to.
    pub(crate) webhook: Option<Webhook>,
    /// What of this machine the server was given by path.
    pub(crate) given: Given,
    /// Where people look up what was refused.
    pub(crate) refusals: Refusals,
}

/// One running session.
#[derive(Debug)]
pub(crate) struct Gate {
    terms: Terms,
    in_force: RwLock<Arc<InForce>>,
    /// What was found on the compartment of the process that runs now.
    measured: RwLock<Arc<Measured>>,
    log: Arc<Log>,
    session: Mutex<Session>,
    tools: Mutex<LiveTools>,
    held: Mutex<Held>,
    consents: Mutex<Consents>,
    grants: Mutex<Remembered>,
    in_band: InBand,
    /// Whether the approvals socket is there, so that somebody can be asked.
    can_ask: bool,
    /// Posts questions to a webhook.
    poster: Option<QuestionPoster>,
    rate: Mutex<CallRate>,
    /// Bytes of the client's lines that went out to the server.
    bytes_sent: AtomicU64,
    flow: Mutex<Flow>,
    unseen: Unseen,
    /// What this session tells the user's others of its labels, and hears of theirs.
    shared: SharedLabels,
    crashes: Mutex<Crashes>,
    /// Why nothing can be recorded, while nothing can.
    outage: Mutex<Option<Outage>>,
    /// Counts the processes of the server, from 0. Changes under the lock of `session`.
    process: AtomicU64,
    to_client: Arc<Outlet>,
    to_server: Arc<Outlet>,
    operator: OperatorLines,
    /// What the client calls itself.
    client: OnceLock<String>,
    began: Instant,
    /// Monotonic milliseconds of the last line in either direction.
    last_line_ms: AtomicU64,
    told_noise: AtomicBool,
    told_slowed: AtomicBool,
    ending: AtomicBool,
}

impl Gate {
    fn new(
        mut terms: Terms,
        log: Arc<Log>,
        outlets: (Arc<Outlet>, Arc<Outlet>),
        (operator, can_ask, poster): (OperatorLines, bool, Option<QuestionPoster>),
    ) -> Self {
        let tools = terms.pins.take().map_or_else(LiveTools::unpinned, LiveTools::pinned);
        let in_flight = usize::try_from(terms.limits.calls_in_flight).unwrap_or(usize::MAX);
        let (to_client, to_server) = outlets;
        let shared = SharedLabels::new(terms.labels.take(), log.session_id());
        let consents = Mutex::new(Consents::new(terms.question_ms));
        Self {
            in_force: RwLock::new(Arc::clone(&terms.in_force)),
            measured: RwLock::default(),
            terms,
            log,
            session: Mutex::new(Session::new(SessionLimits { in_flight })),
            tools: Mutex::new(tools),
            held: Mutex::default(),
            consents,
            grants: Mutex::default(),
            in_band: InBand::default(),
            can_ask,
            poster,
            rate: Mutex::new(CallRate::new()),
            bytes_sent: AtomicU64::new(0),
            flow: Mutex::default(),
            unseen: Unseen::default(),
            shared,
            crashes: Mutex::default(),
            outage: Mutex::default(),
            process: AtomicU64::new(0),
            to_client,
            to_server,
            operator,
            client: OnceLock::new(),
            began: Instant::now(),
            last_line_ms: AtomicU64::new(0),
            told_noise: AtomicBool::new(false),
            told_slowed: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        }
    }

    // Each lock is held for a few lines and never while another of them is wanted, except `held` before `session` or `tools`.

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tools(&self) -> MutexGuard<'_, LiveTools> {
        self.tools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn consents(&self) -> MutexGuard<'_, Consents> {
        self.consents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grants(&self) -> MutexGuard<'_, Remembered> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rate(&self) -> MutexGuard<'_, CallRate> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn crashes(&self) -> MutexGuard<'_, Crashes> {
        self.crashes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outage(&self) -> MutexGuard<'_, Option<Outage>> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Longest line, in bytes.
    fn message_bytes(&self) -> usize {
        usize::try_from(self.terms.limits.message_bytes).unwrap_or(usize::MAX)
    }

    /// Milliseconds since the session began, monotonic.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn admit(&self, sender: Sender, message: &Message) -> Result<Admitted, Inadmissible> {
        let now_ms = self.now_ms();
        self.last_line_ms.store(now_ms, Ordering::Relaxed);
        self.session().admit_unsent(sender, message, now_ms)
    }

    /// What is on disk goes out now: from here on its requests can be answered. `false` where they were decided for a process of the server
    /// that another has replaced: then nothing of it may go out.
    fn mark_sent(&self, sender: Sender, process: u64, permitted: &[Recorded<Permitted>]) -> bool {
        if sender == Sender::Client {
            self.note_unseen(permitted);
        }
        let mut session = self.session();
        if sender == Sender::Client && process != self.process() {
            return false;
        }
        for (id, number) in permitted.iter().flat_map(|one| one.as_ref().requests()) {
            session.sent(sender, id, *number);
        }
        drop(session);
        if sender == Sender::Client {
            let bytes: usize = permitted.iter().map(|one| one.as_ref().line().len()).sum();
            self.bytes_sent
                .fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        true
    }

    /// The batch back, where the session has batches; otherwise what to say to its sender.
    fn batch_if_allowed(&self, sender: Sender, batch: Batch) -> Result<Batch, Box<Stopped>> {
        let Err(reason) = self.session().batch_allowed(sender) else {
            return Ok(batch);
        };
        let (line, messages) = batch.into_parts();
        let requests = messages.iter().filter(|message| message.kind() == MessageKind::Request);
        let ids: Vec<Id> = requests.filter_map(|message| message.id().cloned()).collect();
        Err(Stopped::batch_not_allowed(line, sender, reason, ids))
    }

    /// How the tool of a call stands: `None` where the live list must be read first, `Some(None)` for anything that is no named call.
    #[expect(clippy::option_option, reason = "not known yet and not applicable are two answers")]
    fn standing(&self, message: &Message) -> Option<Option<Standing>> {
        let is_call = message.kind() == MessageKind::Request && message.method() == Some("tools/call");
        match message.param_str("name") {
            Some(tool) if is_call => self.tools().standing(&tool).map(Some),
            _ => Some(None),
        }
    }

    fn context<'a>(
        &'a self,
        sender: Sender,
        (admitted, standing): (&'a Admitted, Option<Standing>),
        (bytes, findings, policies): (usize, &'a [Finding], &'a Policies),
        (facts, measured, rates): (Option<&'a CallFacts>, &'a Measured, Rates),
    ) -> Context<'a> {
        Context {
            sender,
            admitted,
            standing,
            client_requests: &self.terms.client_requests,
            calls_per_minute_max: self.terms.limits.calls_per_minute,
            policies,
            moment: Moment {
                now_s: crate::cli::unix_seconds(),
                client: self.client.get().map_or("", String::as_str),
                rates,
                bytes,
                findings,
                facts,
                measured: Some(measured),
            },
        }
    }

    /// How much there was of late: a call that is new is counted, and what is no call or was counted is not.
    fn rates(&self, message: &Message, standing: Option<Standing>, is_new: bool) -> Rates {
        let tool = standing.and_then(|_| message.param_str("name"));
        let now_ms = self.now_ms();
        let rates = match &tool {
            Some(tool) if is_new => self.rate().count(tool, now_ms),
            tool => self.rate().look(tool.as_deref(), now_ms),
        };
        Rates {
            bytes_sent: self.bytes_sent.load(Ordering::Relaxed),
            ..rates
        }
    }

    fn measured(&self) -> Arc<Measured> {
        Arc::clone(&self.measured.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the answer to a call brings into the session; `None` for anything else.
    fn brought(&self, message: &Message, admitted: &Admitted) -> Option<(Brought, Labels)> {
        let tool = admitted.answers.as_ref().and_then(|pending| pending.tool.as_deref())?;
        let labels = self.tools().labels(tool).within(self.terms.reach);
        if !(labels.untrusted || labels.private) {
            return None;
        }
        let id = message.id().map(ToString::to_string).unwrap_or_default();
        let session = self.log.session_id();
        let brought = Brought {
            server: show_briefly(&self.terms.name),
            session: session.get(..8).unwrap_or(session).to_owned(),
            tool: show_briefly(tool),
            id: show_briefly(&id),
        };
        Some((brought, labels))
    }

    /// Marks what the manifest has as known and accepted for `tool`.
    fn suppressed(&self, mut findings: Vec<Finding>, tool: &str) -> Vec<Finding> {
        if !findings.is_empty() {
            suppress(&mut findings, tool, &self.terms.suppress, today());
        }
        findings
    }

    /// Remembers what the client calls itself, the first time it does.
    fn notice_client(&self, message: &Message) {
        self.in_band.notice(message);
        if self.client.get().is_some() {
            return;
        }
        let info = match message.method() {
            Some("initialize") => message.param("clientInfo"),
            _ => message.meta("io.modelcontextprotocol/clientInfo"),
        };
        let name = info
            .and_then(|info| members(info).ok())
            .and_then(|members| members.into_iter().find(|(key, _)| key == "name"))
            .and_then(|(_, name)| serde_json::from_str::<String>(name).ok());
        if let Some(name) = name {
            // Somebody else was first: both are this client's.
            let _ = self.client.set(shortened(&name));
        }
    }

    /// Records a line of our own and hands it to the courier of `to`.
    fn author(&self, to: Sender, authored: Authored) -> Result<(), Fault> {
        let recorded = self
            .log
            .append_one(authored, |authored, group| enter_authored(to, authored, group));
        match recorded {
            Ok(recorded) => self.hand_over(to, &recorded),
            Err(unrecorded) if unrecorded.error().is_outage() && unrecorded.as_ref().is_refusal() => {
                self.author_in_outage(to, unrecorded)
            }
            Err(unrecorded) => Err(Fault::Unrecorded(unrecorded.into_error())),
        }
    }

    fn hand_over(&self, to: Sender, recorded: &Recorded<Authored>) -> Result<(), Fault> {
        let handed_over = self.outlet(to).author(recorded, self.process_of(to));
        handed_over.map_err(|closed| Fault::gone(to, closed))
    }

    fn outlet(&self, to: Sender) -> &Outlet {
        match to {
            Sender::Client => &self.to_client,
            Sender::Server => &self.to_server,
        }
    }

    fn process_of(&self, to: Sender) -> u64 {
        match to {
            Sender::Client => 0,
            Sender::Server => self.process(),
        }
    }

    /// Records facts of our own without bytes.
    fn note(&self, kind: Kind, facts: &str) -> Result<u64, AuditError> {
        self.log.note(Entry {
            kind,
            facts,
            payload: &[],
        })
    }

    /// `SESSION:SEQ`, short enough to type and found by `audit show`.
    fn reference(&self, seq: u64) -> String {
        format!("{}:{seq}", self.short_session())
    }

    /// The beginning of the session's id, which `audit show` takes for it.
    fn short_session(&self) -> String {
        let session = self.log.session_id();
        session.get(..8).unwrap_or(session).to_owned()
    }

    /// The same; empty where there is no record.
    fn reference_of(&self, seq: Option<u64>) -> String {
        seq.map_or_else(String::new, |seq| self.reference(seq))
    }

    /// What a server prints on stdout that is no message is never forwarded; the operator hears of it once.
    fn tell_noise_once(&self, reason: Reason, seq: u64) {
        if !self.told_noise.swap(true, Ordering::Relaxed) {
            let record = self.reference(seq);
            self.operator.say(format!(
                "cofferdam: server `{}` printed something on stdout that is not a message ({}); it is recorded and not forwarded (record {record})",
                self.terms.name,
                reason.text()
            ));
        }
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        let Some(minutes) = self.terms.limits.idle_minutes else {
            return false;
        };
        let silent_ms = self.now_ms().saturating_sub(self.last_line_ms.load(Ordering::Relaxed));
        silent_ms > u64::from(minutes).saturating_mul(60_000) && self.session().in_flight(Sender::Client) == 0
    }
}

/// A name of a peer's choosing, short and safe to print.
fn show_briefly(name: &str) -> String {
    cofferdam_inspect::show_safely(name)
        .chars()
        .take(NAME_CHARS_MAX)
        .collect()
}

/// Characters of a name in a chain.
const NAME_CHARS_MAX: usize = 64;

/// The day it is, UTC.
pub(crate) fn today() -> Day {
    Day::since_1970(u32::try_from(crate::cli::unix_seconds() / 86_400).unwrap_or_default())
}

/// How a judged line stands in the record: as received, and behind it as sent where something was taken out.
fn enter(kind: Kind, judged: &Judged, group: &mut Group<'_>) {
    match judged {
        Ok(permitted) => {
            group.add(Entry {
                kind,
                facts: permitted.facts(),
                payload: permitted.received(),
            });
            if let Some(sent) = permitted.redacted() {
                let kind = if kind == Kind::ServerLine {
                    Kind::GateToClient
                } else {
                    Kind::GateToServer
                };
                group.add(Entry {
                    kind,
                    facts: r#"{"redacted":true}"#,
                    payload: sent,
                });
            }
        }
        Err(stopped) => group.add(Entry {
            kind: if stopped.is_fragment() { Kind::Fragment } else { kind },
            facts: stopped.facts(),
            payload: stopped.payload(),
        }),
    }
}
