//! What the ledger and its witness know about the sessions of the record.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use cofferdam_audit::{Record, SessionVerified};
use cofferdam_ledger::{Contents, Entry, Ledger, LedgerError, What, Witnessed};
use serde_json::{Value, json};

use crate::gate::escaped;
use crate::home::Home;
use crate::witness::TROUBLE;

/// Two entries that concurrent gates stated may stand in the wrong order by so much.
const DISORDER_NS: u64 = 60_000_000_000;
/// A session may be pruned when its last record is so old.
const FLOOR_NS: u64 = super::FLOOR_DAYS * 86_400_000_000_000;

/// Something that is not as it was written: exit 1.
#[derive(Debug)]
pub(super) struct Problem {
    /// Stable, for programs.
    pub(super) what: &'static str,
    pub(super) words: String,
}

impl Problem {
    fn new(what: &'static str, words: impl Into<String>) -> Self {
        Self {
            what,
            words: words.into(),
        }
    }
}

/// What was stated about one session.
#[derive(Debug, Default)]
struct Stated {
    server: String,
    /// Chain values by the number of their record.
    hashes: BTreeMap<u64, String>,
    /// The last record that is in the ledger's tree.
    in_tree: Option<u64>,
    /// The last record that a published checkpoint covers.
    witnessed: Option<u64>,
    closed: Option<u64>,
    /// When the last statement was made.
    wall_ns: u64,
    pruned: Option<Entry>,
}

/// How far a session is known elsewhere than in its own segments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    pub(super) in_tree: Option<u64>,
    pub(super) witnessed: Option<u64>,
}

/// The ledger, read and held against its witness.
#[derive(Debug, Default)]
pub(super) struct Known {
    sessions: HashMap<String, Stated>,
    pub(super) problems: Vec<Problem>,
    pub(super) remarks: Vec<String>,
    entries: usize,
    waiting: usize,
    key: Option<String>,
    /// How many entries a published checkpoint covers; `None` without a witness.
    pub(super) witnessed: Option<u64>,
}

impl Known {
    /// Reads the ledger, and the file that its checkpoints are published to.
    pub(super) fn load(home: &Home, publish: Option<&Path>) -> Self {
        let mut known = Self::default();
        let ledger = Ledger::at(&home.ledger());
        let contents = if ledger.exists() { Some(ledger.read()) } else { None };
        let contents = match contents {
            Some(Ok(contents)) => Some(contents),
            Some(Err(error)) => {
                known.problems.push(Problem::new(word_of(&error), error.to_string()));
                None
            }
            None => None,
        };
        // A ledger that cannot be read was named already.
        if let Some(path) = publish.filter(|_| known.problems.is_empty()) {
            known.hold_against(path, contents.as_ref());
        }
        if let Some(contents) = &contents {
            known.take(contents);
        }
        known.remarks.extend(acknowledged(&home.shipping()));
        if let Ok(trouble) = std::fs::read_to_string(home.ledger().join(TROUBLE)) {
            let trouble = escaped(trouble.trim().as_bytes());
            known
                .remarks
                .push(format!("the ledger did not grow at the last attempt: {trouble}"));
        }
        known
    }

    /// Each published checkpoint must be one of this ledger, and still be true of it.
    fn hold_against(&mut self, path: &Path, contents: Option<&Contents>) {
        let shown = escaped(path.display().to_string().as_bytes());
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                self.remarks.push(format!("nothing was published to `{shown}` yet"));
                return;
            }
            Err(cause) => {
                self.problems.push(Problem::new(
                    "witness",
                    format!("cannot read the witness `{shown}`: {cause}"),
                ));
                return;
            }
        };
        self.witnessed = Some(0);
        let mut has_checkpoint = false;
        for (number, line) in (1..).zip(text.lines()) {
            let place = format!("the checkpoint in line {number} of `{shown}`");
            let note = match published_note(line) {
                Ok(Some(note)) => Ok(note),
                Ok(None) => continue,
                Err(NoNote::Cut) => {
                    self.remarks.push(format!(
                        "{place} is cut: a full disk or a failing machine took the rest"
                    ));
                    continue;
                }
                Err(NoNote::Malformed) => Err("not in its form".to_owned()),
            };
            let problem = match note.and_then(|note| judged(&note, contents)) {
                Ok(Witnessed::Consistent(size)) => {
                    has_checkpoint = true;
                    self.witnessed = self.witnessed.max(Some(size));
                    continue;
                }
                Ok(Witnessed::RolledBack { published }) => Problem::new(
                    "ledger-rolled-back",
                    format!(
                        "{place} covers {published} entries, and the ledger has fewer: it was taken back or replaced"
                    ),
                ),
                Ok(Witnessed::Forked { published }) => Problem::new(
                    "ledger-forked",
                    format!(
                        "{place} covers {published} entries, and the ledger holds others: it was forked or rewritten"
                    ),
                ),
                Err(words) => Problem::new("witness", format!("{place}: {words}")),
            };
            self.problems.push(problem);
            // The first one says where it happened; those after it cannot say more.
            return;
        }
        if !has_checkpoint {
            self.remarks.push(format!("no checkpoint in `{shown}`"));
        }
    }

    fn take(&mut self, contents: &Contents) {
        self.entries = contents.entries.len();
        self.waiting = contents.waiting.len();
        self.key = contents.key.as_ref().map(|key| key.as_str().to_owned());
        for path in &contents.strange {
            let shown = escaped(path.display().to_string().as_bytes());
            self.problems.push(Problem::new(
                "ledger-waiting",
                format!("`{shown}` waits for the ledger and is no entry of it"),
            ));
        }
        let mut before = 0;
        for (index, entry) in (0..).zip(&contents.entries) {
            if entry.wall_ns.saturating_add(DISORDER_NS) < before {
                self.remarks
                    .push(format!("the wall clock went back before entry {index} of the ledger"));
            }
            before = entry.wall_ns;
            let witnessed = self.witnessed.is_some_and(|size| index < size);
            self.state(entry, true, witnessed);
        }
        for entry in &contents.waiting {
            self.state(entry, false, false);
        }
    }

    fn state(&mut self, entry: &Entry, in_tree: bool, witnessed: bool) {
        if matches!(entry.what, What::Hold | What::Release) {
            return;
        }
        let stated = self.sessions.entry(entry.session.clone()).or_default();
        stated.server.clone_from(&entry.server);
        if entry.what == What::Pruned {
            stated.pruned = Some(entry.clone());
            return;
        }
        stated.wall_ns = stated.wall_ns.max(entry.wall_ns);
        let first = stated.hashes.entry(entry.seq).or_insert_with(|| entry.hash.clone());
        if *first != entry.hash {
            let short = short(&entry.session);
            self.problems.push(Problem::new(
                "ledger-contradiction",
                format!("the ledger holds two heads for record {} of session {short}", entry.seq),
            ));
        }
        if entry.what == What::Close {
            stated.closed = Some(entry.seq);
        }
        if in_tree {
            stated.in_tree = stated.in_tree.max(Some(entry.seq));
        }
        if witnessed {
            stated.witnessed = stated.witnessed.max(Some(entry.seq));
        }
    }

    /// Whether a record is the one that was stated, where one was.
    pub(super) fn contradicts(&self, session: &str, record: &Record) -> bool {
        let stated = self
            .sessions
            .get(session)
            .and_then(|stated| stated.hashes.get(&record.seq));
        stated.is_some_and(|hash| *hash != record.hash.to_string())
    }

    /// What is wrong with a session whose segments are intact.
    pub(super) fn missing_from(&self, session: &str, verified: &SessionVerified) -> Option<Problem> {
        let stated = self.sessions.get(session)?;
        let last = verified.head.map(|head| head.seq);
        let newest = stated.hashes.last_key_value().map(|(seq, _)| *seq);
        if newest > last {
            let newest = newest.unwrap_or_default();
            let last = last.map_or_else(
                || "before its first record".to_owned(),
                |last| format!("after record {last}"),
            );
            return Some(Problem::new(
                "cut",
                format!("cut {last}: the ledger knows record {newest}"),
            ));
        }
        let lost = verified
            .lost
            .iter()
            .find_map(|lost| stated.hashes.range(lost.first..=lost.last).next());
        if let Some((seq, _)) = lost {
            return Some(Problem::new(
                "cut",
                format!("record {seq} is in the ledger and missing from the session"),
            ));
        }
        None
    }

    /// Whether the ledger says that this session was pruned, in order: what is there of it is what an interrupted `audit prune` left.
    pub(super) fn is_pruned(&self, session: &str) -> bool {
        let stated = self.sessions.get(session);
        stated.is_some_and(|stated| {
            let newest = stated.hashes.last_key_value().map_or(0, |(seq, _)| *seq);
            let is_in_order =
                |entry: &Entry| entry.wall_ns.saturating_sub(stated.wall_ns) >= FLOOR_NS && entry.seq >= newest;
            stated.pruned.as_ref().is_some_and(is_in_order)
        })
    }

    pub(super) fn reach(&self, session: &str) -> Reach {
        let stated = self.sessions.get(session);
        Reach {
            in_tree: stated.and_then(|stated| stated.in_tree),
            witnessed: stated.and_then(|stated| stated.witnessed),
        }
    }

    /// Sessions that the ledger knows and the record has not: pruned in order, or removed.
    pub(super) fn judge_missing(&mut self, present: &HashSet<String>) {
        let mut pruned = 0;
        let mut removed: Vec<Problem> = Vec::new();
        for (session, stated) in self.sessions.iter().filter(|(session, _)| !present.contains(*session)) {
            let newest = stated.hashes.last_key_value().map_or(0, |(seq, _)| *seq);
            let name = format!(
                "session {} of server `{}`",
                short(session),
                escaped(stated.server.as_bytes())
            );
            match &stated.pruned {
                None => removed.push(Problem::new(
                    "session-removed",
                    format!(
                        "{name} is in the ledger, up to record {newest}, and missing from the record: it was removed"
                    ),
                )),
                Some(entry) if entry.wall_ns.saturating_sub(stated.wall_ns) < FLOOR_NS => removed.push(Problem::new(
                    "pruned-early",
                    format!(
                        "{name} was pruned less than {} days after its last record",
                        super::FLOOR_DAYS
                    ),
                )),
                Some(entry) if entry.seq < newest => removed.push(Problem::new(
                    "pruned-short",
                    format!(
                        "{name} was pruned at record {}, and the ledger knows record {newest}",
                        entry.seq
                    ),
                )),
                Some(_) => pruned += 1,
            }
        }
        removed.sort_by(|one, other| one.words.cmp(&other.words));
        self.problems.extend(removed);
        if pruned > 0 {
            let noun = if pruned == 1 { "session was" } else { "sessions were" };
            self.remarks
                .push(format!("{pruned} {noun} pruned in order, by entries of the ledger"));
        }
    }

    /// The ledger in one sentence.
    pub(super) fn in_words(&self) -> String {
        match &self.key {
            None => format!("ledger: nothing is in it yet, {} heads wait", self.waiting),
            Some(key) => format!(
                "ledger: {} entries, {} heads wait, key {key}",
                self.entries, self.waiting
            ),
        }
    }

    pub(super) fn facts(&self) -> Value {
        json!({
            "intact": self.problems.is_empty(),
            "ledger": {"entries": self.entries, "waiting": self.waiting, "key": self.key, "witnessed": self.witnessed},
            "problems": self.problems.iter().map(|problem| json!({"what": problem.what, "words": problem.words})).collect::<Vec<_>>(),
            "remarks": self.remarks,
        })
    }
}

/// Which sinks acknowledged a checkpoint. Only what they hold proves anything: this file is as easily rewritten as the ledger.
fn acknowledged(shipping: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(shipping).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "checkpoint"));
    paths.sort();
    let words = |path: PathBuf| {
        let sink = escaped(path.file_stem()?.as_encoded_bytes());
        let note = cofferdam_ship::Checkpoint {
            note: std::fs::read_to_string(&path).ok()?,
            wall_ns: 0,
        };
        let size = note.size()?;
        Some(format!(
            "the sink `{sink}` took a checkpoint of {size} entries: `--witness FILE` holds the ledger against what it kept"
        ))
    };
    paths.into_iter().filter_map(words).collect()
}

/// Why a line has no note.
enum NoNote {
    /// It ends before it is whole.
    Cut,
    Malformed,
}

/// The signed note in a line: one that was published to a file, or an event as it was shipped. `None` where the event is about something else.
fn published_note(line: &str) -> Result<Option<String>, NoNote> {
    let read = |cause: serde_json::Error| {
        if cause.is_eof() { NoNote::Cut } else { NoNote::Malformed }
    };
    let value: Value = serde_json::from_str(line).map_err(read)?;
    let of_ours = value.pointer("/unmapped/cofferdam");
    let is_another_event = of_ours.is_some_and(|ours| ours.get("kind").is_some_and(|kind| kind != "checkpoint"));
    if is_another_event {
        return Ok(None);
    }
    let note = of_ours.unwrap_or(&value).get("checkpoint");
    let note = note.and_then(Value::as_str).ok_or(NoNote::Malformed)?;
    Ok(Some(note.to_owned()))
}

fn judged(note: &str, contents: Option<&Contents>) -> Result<Witnessed, String> {
    let contents = contents.ok_or("there is no ledger that it could be of")?;
    contents.witnessed(note.as_bytes()).map_err(|error| error.to_string())
}

const fn word_of(error: &LedgerError) -> &'static str {
    match error {
        LedgerError::Broken { .. } => "ledger-broken",
        LedgerError::Checkpoint { .. } => "ledger-checkpoint",
        _ => "ledger-unreadable",
    }
}

pub(super) fn short(session: &str) -> String {
    escaped(session.get(..8).unwrap_or(session).as_bytes())
}
