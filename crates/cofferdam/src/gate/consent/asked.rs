//! Questions that are open, answers that are kept, and what was refused: bounded, and without any clock or pipe of their own.

use std::collections::{HashMap, HashSet, VecDeque};

use cofferdam_policy::{Level, Unapproved};
use cofferdam_protocol::Id;
use serde_json::value::RawValue;

use super::WAIT_MS_MAX;
use crate::approvals::{For, Proof, Question, wall_time};

/// How often a client that gave a progress token hears that its call waits, in milliseconds.
const PROGRESS_EVERY_MS: u64 = 5_000;
/// Questions open at once.
const QUESTIONS_MAX: usize = 64;
/// Identical calls that wait behind one question.
const IDENTICAL_MAX: usize = 16;
/// Bytes of calls that wait.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Answers kept for clients that were told to come again, and refusals remembered.
const REMEMBERED_MAX: usize = 4_096;
/// Tools whose questions are counted, and whose last approved call is remembered.
const TOOLS_MAX: usize = 4_096;
/// Arguments of an approved call that are remembered, to show what changed.
const LAST_APPROVED_BYTES_MAX: usize = 16 * 1024;
/// Signatures under one question.
const SIGNATURES_MAX: usize = 64;
/// How long after a notification questions come without another, in milliseconds, and how many a session has.
const NOTIFICATION_EVERY_MS: u64 = 10_000;
const NOTIFICATIONS_MAX: u32 = 32;
/// Refusals of one tool within [`DENIALS_WITHIN_MS`] that lock it.
const DENIALS_MAX: usize = 3;
const DENIALS_WITHIN_MS: u64 = 60_000;
/// Questions about one tool that nobody said yes to, within [`UNANSWERED_WITHIN_MS`], that lock it.
const UNANSWERED_MAX: usize = 10;
const UNANSWERED_WITHIN_MS: u64 = 600_000;

/// Everything about consent in one session.
#[derive(Debug)]
pub(in crate::gate) struct Consents {
    /// How long a question stays open, and an answer is kept, in milliseconds.
    question_ms: u64,
    open: Vec<Open>,
    kept: HashMap<String, Kept>,
    denied: HashSet<String>,
    tools: HashMap<String, History>,
    last_approved: HashMap<String, Box<RawValue>>,
    /// The elicitation that the client has before it, and the id and digest of its question.
    elicitation: Option<(Id, String, String)>,
    /// How many notifications there were, and when the last one was.
    notified: (u32, Option<u64>),
}

/// One question, and the calls that wait for its answer, each with the time it came.
#[derive(Debug)]
struct Open {
    question: Question,
    expires_ms: u64,
    calls: VecDeque<(Unapproved, u64)>,
    /// When the clients of these calls were last told that they wait.
    told_ms: u64,
    /// The client was asked in band.
    is_elicited: bool,
    /// What was signed, and by whom.
    signed: Vec<(String, Proof)>,
}

/// An answer for a client that was told to come again.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) level: Level,
    pub(super) who: String,
    until_ms: u64,
}

impl Kept {
    pub(super) fn new(level: Level, who: &str, until_ms: u64) -> Self {
        Self {
            level,
            who: who.to_owned(),
            until_ms,
        }
    }
}

/// How a tool's questions were answered lately.
#[derive(Debug, Default)]
struct History {
    denials: VecDeque<u64>,
    unanswered: VecDeque<u64>,
    is_locked: bool,
}

/// What became of a call that asks.
pub(super) enum Asked {
    New,
    WithAnother,
    TooMany(Box<Unapproved>),
}

/// A question that is over without a yes.
pub(super) struct Over {
    pub(super) id: String,
    pub(super) digest: String,
    pub(super) calls: Vec<Unapproved>,
    /// The tool, where this was once too often.
    pub(super) locked: Option<String>,
}

/// What time did.
pub(super) struct Timely {
    pub(super) expired: Vec<Over>,
    /// Calls whose clients would give up, by the question they waited for.
    pub(super) patient: Vec<(String, Vec<Unapproved>)>,
    /// Calls to report progress on: the question, the raw progress token, milliseconds waited.
    pub(super) progress: Vec<(String, String, u64)>,
}

impl Consents {
    /// Nothing asked yet; questions stay open for `question_ms` milliseconds.
    pub(in crate::gate) fn new(question_ms: u64) -> Self {
        Self {
            question_ms,
            open: Vec::new(),
            kept: HashMap::new(),
            denied: HashSet::new(),
            tools: HashMap::new(),
            last_approved: HashMap::new(),
            elicitation: None,
            notified: (0, None),
        }
    }

    /// Whether a question that is new now may be a notification too.
    pub(super) fn may_notify(&mut self, now_ms: u64) -> bool {
        let (count, last) = self.notified;
        let is_early = last.is_some_and(|last| now_ms.saturating_sub(last) < NOTIFICATION_EVERY_MS);
        if is_early || count >= NOTIFICATIONS_MAX {
            return false;
        }
        self.notified = (count + 1, Some(now_ms));
        true
    }

    /// When what is asked, or kept, now is over.
    pub(super) const fn until(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add(self.question_ms)
    }

    pub(super) fn is_locked(&self, tool: &str) -> bool {
        self.tools.get(tool).is_some_and(|history| history.is_locked)
    }

    pub(super) fn is_denied(&self, digest: &str) -> bool {
        self.denied.contains(digest)
    }

    /// Takes an answer that was kept for this very call: it is used once.
    pub(super) fn take_kept(&mut self, digest: &str, now_ms: u64) -> Option<Kept> {
        self.kept.remove(digest).filter(|kept| now_ms < kept.until_ms)
    }

    pub(super) fn keep(&mut self, digest: &str, kept: Kept) {
        if self.kept.len() < REMEMBERED_MAX {
            self.kept.insert(digest.to_owned(), kept);
        }
    }

    /// Opens a question, or lets the call wait with an identical one.
    pub(super) fn ask(
        &mut self,
        question: Question,
        call: Unapproved,
        now_ms: u64,
        is_waiting: impl Fn(&Unapproved) -> bool,
    ) -> Asked {
        self.forget_calls(is_waiting);
        let waiting = self.open.iter().flat_map(|open| &open.calls);
        let bytes: usize = waiting.map(|(call, _)| call.message().line().len()).sum();
        if bytes.saturating_add(call.message().line().len()) > WAITING_BYTES_MAX {
            return Asked::TooMany(Box::new(call));
        }
        let (count, expires_ms) = (self.open.len(), self.until(now_ms));
        match self
            .open
            .iter_mut()
            .find(|open| open.question.digest == question.digest)
        {
            Some(open) if open.calls.len() < IDENTICAL_MAX => {
                open.calls.push_back((call, now_ms));
                Asked::WithAnother
            }
            None if count < QUESTIONS_MAX => {
                self.open.push(Open {
                    question,
                    expires_ms,
                    calls: VecDeque::from([(call, now_ms)]),
                    told_ms: now_ms,
                    is_elicited: false,
                    signed: Vec::new(),
                });
                Asked::New
            }
            _ => Asked::TooMany(Box::new(call)),
        }
    }

    /// Opens a question that no call waits for, since its client comes again; the one that is open already, where the call is the same.
    pub(super) fn open(&mut self, question: Question, now_ms: u64) -> Option<Question> {
        let same = |open: &&Open| open.question.digest == question.digest && now_ms < open.expires_ms;
        if let Some(open) = self.open.iter().find(same) {
            return Some(open.question.clone());
        }
        if self.open.len() >= QUESTIONS_MAX {
            return None;
        }
        self.open.push(Open {
            question: question.clone(),
            expires_ms: self.until(now_ms),
            calls: VecDeque::new(),
            told_ms: now_ms,
            is_elicited: true,
            signed: Vec::new(),
        });
        Some(question)
    }

    /// The oldest question that the client can answer and was not asked, if it has none before it; from now on it has this one.
    pub(super) fn begin_elicitation(&mut self, id: &Id, now_ms: u64) -> Option<Question> {
        if self.elicitation.is_some() {
            return None;
        }
        let is_next = |open: &&mut Open| {
            !open.is_elicited && now_ms < open.expires_ms && open.question.level == Level::Attested.number()
        };
        let open = self.open.iter_mut().find(is_next)?;
        open.is_elicited = true;
        let question = open.question.clone();
        self.elicitation = Some((id.clone(), question.id.clone(), question.digest.clone()));
        Some(question)
    }

    /// Id and digest of the question that this elicitation was about.
    pub(super) fn take_elicitation(&mut self, id: &Id) -> Option<(String, String)> {
        let (_, question, digest) = self.elicitation.take_if(|(asked, ..)| asked == id)?;
        Some((question, digest))
    }

    /// The elicitation the client has before it, where its question is no longer open.
    pub(super) fn take_elicitation_that_is_over(&mut self, now_ms: u64) -> Option<Id> {
        let (_, question, _) = self.elicitation.as_ref()?;
        if self.question(question, now_ms).is_some() {
            return None;
        }
        self.elicitation.take().map(|(id, ..)| id)
    }

    /// Forgets calls that were cancelled or answered meanwhile; their question stays open.
    pub(super) fn forget_calls(&mut self, is_waiting: impl Fn(&Unapproved) -> bool) {
        for open in &mut self.open {
            open.calls.retain(|(call, _)| is_waiting(call));
        }
    }

    /// The questions, the oldest first.
    pub(super) fn questions(&self, now_ms: u64) -> Vec<Question> {
        let open = self.open.iter().filter(|open| now_ms < open.expires_ms);
        open.map(|open| Question {
            identical: open.calls.len().max(1),
            ..open.question.clone()
        })
        .collect()
    }

    pub(super) fn question(&self, id: &str, now_ms: u64) -> Option<&Question> {
        let open = self
            .open
            .iter()
            .find(|open| open.question.id == id && now_ms < open.expires_ms);
        open.map(|open| &open.question)
    }

    /// Notes who signed; gives the proofs of all who signed the same statement. A key counts once.
    pub(super) fn sign(&mut self, id: &str, statement: &str, proven: Vec<Proof>) -> Vec<Proof> {
        let Some(open) = self.open.iter_mut().find(|open| open.question.id == id) else {
            return Vec::new();
        };
        for proof in proven {
            let is_noted = |(of, one): &(String, Proof)| of == statement && one.key == proof.key;
            if open.signed.len() < SIGNATURES_MAX && !open.signed.iter().any(is_noted) {
                if !open.question.signed.contains(&proof.key) {
                    open.question.signed.push(proof.key.clone());
                }
                open.signed.push((statement.to_owned(), proof));
            }
        }
        let same = open.signed.iter().filter(|(of, _)| of == statement);
        same.map(|(_, proof)| proof.clone()).collect()
    }

    /// Takes the answer yes: for one call, or with a grant for all that wait. What still waits is a new question.
    pub(super) fn approve(&mut self, id: &str, scope: For, now_ms: u64) -> Vec<Unapproved> {
        let Some(at) = self.open.iter().position(|open| open.question.id == id) else {
            return Vec::new();
        };
        let mut open = self.open.remove(at);
        self.remember_approved(&open.question);
        match (scope, open.calls.pop_front()) {
            (For::Once, None) => Vec::new(),
            (For::Once, Some((first, _))) => {
                if !open.calls.is_empty() {
                    // The same question again under another name: an answer is used once.
                    open.question.id = format!("{id}+");
                    open.question.signed.clear();
                    open.signed.clear();
                    open.is_elicited = false;
                    open.expires_ms = self.until(now_ms);
                    open.question.expires = expires(self.question_ms);
                    self.open.push(open);
                }
                vec![first]
            }
            (_, first) => first.into_iter().chain(open.calls).map(|(call, _)| call).collect(),
        }
    }

    fn remember_approved(&mut self, question: &Question) {
        let is_known = self.last_approved.contains_key(&question.tool);
        if question.arguments.get().len() <= LAST_APPROVED_BYTES_MAX
            && (is_known || self.last_approved.len() < TOOLS_MAX)
        {
            self.last_approved
                .insert(question.tool.clone(), question.arguments.clone());
        }
    }

    pub(super) fn last_approved(&self, tool: &str) -> Option<Box<RawValue>> {
        self.last_approved.get(tool).cloned()
    }

    /// Takes the answer no: it holds for the session.
    pub(super) fn deny(&mut self, id: &str, now_ms: u64) -> Option<Over> {
        let at = self.open.iter().position(|open| open.question.id == id)?;
        let open = self.open.remove(at);
        if self.denied.len() < REMEMBERED_MAX {
            self.denied.insert(open.question.digest.clone());
        }
        let history = self.history(&open.question.tool);
        let is_locked = is_too_often(&mut history.denials, now_ms, (DENIALS_MAX, DENIALS_WITHIN_MS));
        Some(self.over(open, is_locked))
    }

    pub(super) fn look(&mut self, now_ms: u64) -> Timely {
        let mut timely = Timely {
            expired: Vec::new(),
            patient: Vec::new(),
            progress: Vec::new(),
        };
        self.kept.retain(|_, kept| now_ms < kept.until_ms);
        let (open, over): (Vec<Open>, Vec<Open>) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|open| now_ms < open.expires_ms);
        self.open = open;
        for open in over {
            let history = self.history(&open.question.tool);
            let is_locked = is_too_often(&mut history.unanswered, now_ms, (UNANSWERED_MAX, UNANSWERED_WITHIN_MS));
            timely.expired.push(self.over(open, is_locked));
        }
        for open in &mut self.open {
            let mut tired = Vec::new();
            while open
                .calls
                .front()
                .is_some_and(|(_, since)| now_ms.saturating_sub(*since) > WAIT_MS_MAX)
            {
                tired.extend(open.calls.pop_front().map(|(call, _)| call));
            }
            if !tired.is_empty() {
                timely.patient.push((open.question.id.clone(), tired));
            }
            if now_ms.saturating_sub(open.told_ms) >= PROGRESS_EVERY_MS {
                open.told_ms = now_ms;
                let waiting = open.calls.iter().filter_map(|(call, since)| {
                    let token = call.message().meta("progressToken")?.to_owned();
                    Some((open.question.id.clone(), token, now_ms.saturating_sub(*since)))
                });
                timely.progress.extend(waiting);
            }
        }
        timely
    }

    /// Counts a question that got no yes; beyond what is kept count of, one tool stands for all the others.
    fn history(&mut self, tool: &str) -> &mut History {
        let is_room = self.tools.len() < TOOLS_MAX || self.tools.contains_key(tool);
        self.tools
            .entry(if is_room { tool.to_owned() } else { String::new() })
            .or_default()
    }

    fn over(&mut self, open: Open, is_locked: bool) -> Over {
        let tool = open.question.tool;
        let history = self.history(&tool);
        let is_new = is_locked && !history.is_locked;
        history.is_locked |= is_locked;
        Over {
            id: open.question.id,
            digest: open.question.digest,
            calls: open.calls.into_iter().map(|(call, _)| call).collect(),
            locked: is_new.then_some(tool),
        }
    }

    /// Forgets what was consented to and not used yet: the policies are others now. Questions and refusals stay.
    pub(in crate::gate) fn forget_consents(&mut self) {
        self.kept.clear();
    }
}

/// When a question that is asked now is refused if nobody answers, for people.
pub(super) fn expires(question_ms: u64) -> String {
    wall_time(crate::cli::unix_seconds().saturating_add(i64::try_from(question_ms / 1_000).unwrap_or(0)))
}

/// Notes one more at `now_ms`; whether there are `most` within the time.
fn is_too_often(times: &mut VecDeque<u64>, now_ms: u64, (most, within_ms): (usize, u64)) -> bool {
    times.retain(|at| now_ms.saturating_sub(*at) < within_ms);
    times.push_back(now_ms);
    times.len() >= most
}
