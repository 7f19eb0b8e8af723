//! `audit show` for people: a session, or one call of it, told line by line.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cofferdam_audit::{Kind, Record};
use serde_json::Value;

use crate::cli::output::{Output, Style};
use crate::failure::Failure;
use crate::gate::{AF_UNIX, escaped, first_host};
use crate::mend::{host_line, line_for, path_line, socket_line};
use crate::unseen::{Given, says_not_there};

/// Characters of a text that stand on one line.
const SHOWN_CHARS: usize = 100;

/// What was told so far, so that answers find their requests.
#[derive(Debug)]
pub(super) struct Timeline<'a> {
    server: &'a str,
    /// What the server may see; `None` where that is not known any more.
    given: Option<&'a Given>,
    began_ns: Option<u64>,
    /// When the request with this id came.
    asked: BTreeMap<String, u64>,
    /// The first path in a call that the server cannot see, by the call's id.
    unseen: BTreeMap<String, String>,
    /// The same of the calls that were answered last: what was seen during a call is recorded a little later than its answer.
    answered: VecDeque<(String, String)>,
    /// `HOST:PORT` of the first URL in the last calls that have one.
    hosts: VecDeque<(String, String)>,
    /// Lines that were told already.
    lines: BTreeSet<String>,
}

impl<'a> Timeline<'a> {
    pub(super) fn new(server: &'a str, given: Option<&'a Given>) -> Self {
        Self {
            server,
            given,
            began_ns: None,
            asked: BTreeMap::new(),
            unseen: BTreeMap::new(),
            answered: VecDeque::new(),
            hosts: VecDeque::new(),
            lines: BTreeSet::new(),
        }
    }

    /// Tells one record.
    pub(super) fn tell(&mut self, record: &Record, output: &mut Output) -> Result<(), Failure> {
        let began = *self.began_ns.get_or_insert(record.wall_ns);
        let facts: Value = serde_json::from_str(&record.facts).unwrap_or_default();
        let what = self.what(record, &facts);
        let verdict = verdict(&facts);
        let seconds = record.wall_ns.saturating_sub(began) / 1_000;
        let (whole, micros) = (seconds / 1_000_000, seconds % 1_000_000);
        let line = format!("{whole:>6}.{micros:06} {:>6}  {}", record.seq, escaped(what.as_bytes()));
        let told = match verdict {
            Some((style, words)) => format!("{line}  {}", output.styled(style, &escaped(words.as_bytes()))),
            None => line,
        };
        output.line(told.trim_end())?;
        let line = self
            .host_line(record, &facts)
            .or_else(|| line_for(self.server, record.kind, &facts))
            .or_else(|| self.path_line(record, &facts))
            .or_else(|| self.socket_line(record.kind, &facts));
        match line.filter(|line| self.lines.insert(line.clone())) {
            Some(line) => output.line(&format!("        if that is what it is for: `{line}`")),
            None => Ok(()),
        }
    }

    /// The line for the host that a call named during which the server asked for a name and nobody heard which.
    fn host_line(&mut self, record: &Record, facts: &Value) -> Option<String> {
        if record.kind == Kind::ClientLine {
            let host = first_host(&record.payload)?;
            if self.hosts.len() >= CALLS_MAX {
                self.hosts.pop_front();
            }
            self.hosts.push_back((word(facts, "id"), host));
            return None;
        }
        let asks = record.kind == Kind::Connection && word(facts, "address").ends_with(":53");
        let during = facts.get("during").filter(|_| asks)?.as_array()?;
        let ids: Vec<String> = during.iter().map(|call| word(call, "id")).collect();
        let named = self.hosts.iter().rev().find(|(id, _)| ids.contains(id));
        host_line(self.server, &named?.1)
    }

    /// The line for a path that a call named and that was not there for the server.
    fn path_line(&mut self, record: &Record, facts: &Value) -> Option<String> {
        let id = word(facts, "id");
        match record.kind {
            Kind::ClientLine => {
                let given = self.given?;
                let call: Value = serde_json::from_slice(&record.payload).ok()?;
                let path = unseen_path(call.get("params")?.get("arguments")?, given)?;
                if self.unseen.len() < CALLS_MAX {
                    self.unseen.insert(id, path);
                }
                None
            }
            Kind::ServerLine => {
                let path = self.unseen.remove(&id)?;
                let line = says_not_there(&record.payload).then(|| path_line(self.server, &path));
                if self.answered.len() >= CALLS_MAX {
                    self.answered.pop_front();
                }
                self.answered.push_back((id, path));
                line?
            }
            _ => None,
        }
    }

    /// The line for a socket that the server connected to, or that it most likely wanted.
    fn socket_line(&self, kind: Kind, facts: &Value) -> Option<String> {
        let given = self.given?;
        let path = match kind {
            Kind::Connection => {
                let path = facts.get("address")?.as_str()?.strip_prefix("unix:")?;
                Some(path.to_owned()).filter(|path| given.lacks_socket(path))
            }
            Kind::SystemCall if facts.get("values")?.get(0)?.as_u64() == Some(AF_UNIX) => {
                let is_socket = word(facts, "call") == "socket";
                let during = facts.get("during").and_then(Value::as_array).into_iter().flatten();
                let in_calls: Vec<String> = during.filter_map(|call| self.path_of(&word(call, "id"))).collect();
                given.socket_wanted(&in_calls).filter(|_| is_socket)
            }
            _ => None,
        };
        socket_line(self.server, &path?)
    }

    /// The path in the call with this id, answered or not.
    fn path_of(&self, id: &str) -> Option<String> {
        let mut answered = self.answered.iter().rev();
        let found = self.unseen.get(id);
        let found = found.or_else(|| answered.find(|(known, _)| known == id).map(|(_, path)| path));
        found.cloned()
    }

    fn what(&mut self, record: &Record, facts: &Value) -> String {
        let payload: Value = if record.sealed {
            Value::Null
        } else {
            serde_json::from_slice(&record.payload).unwrap_or_default()
        };
        match record.kind {
            Kind::Open => format!(
                "the session began: {}",
                word(facts.get("opening").unwrap_or(facts), "command")
            ),
            Kind::ClientLine => self.said("client →", record, facts, &payload),
            Kind::Decision => format!("decided  {} {}", word(facts, "method"), word(facts, "tool")),
            Kind::ServerLine => self.said("server ←", record, facts, &payload),
            Kind::GateToClient => format!("gate   → client  {}", content(record, &payload)),
            Kind::GateToServer => format!(
                "gate   → server  {} {}",
                word(facts, "authored"),
                content(record, &payload)
            ),
            Kind::ServerStderr => format!("server prints  {}", content(record, &payload)),
            Kind::Approval => format!(
                "approval of question {} by {}",
                word(facts, "question"),
                word(facts, "who")
            ),
            Kind::SystemCall | Kind::Connection => observed(record.kind, facts),
            Kind::Enforcement => "the compartment was measured".to_owned(),
            Kind::Close => format!(
                "the session ended: {} ({})",
                word(facts, "cause"),
                word(facts, "process")
            ),
            kind => format!("{kind}  {}", shortened(&record.facts)),
        }
    }

    /// A line of either side: a request, an answer and how long it took, or anything else.
    fn said(&mut self, who: &str, record: &Record, facts: &Value, payload: &Value) -> String {
        let (method, mut tool, id) = (word(facts, "method"), word(facts, "tool"), word(facts, "id"));
        if tool.is_empty() && method == "tools/call" {
            tool = payload
                .get("params")
                .map_or_else(String::new, |params| word(params, "name"));
        }
        let is_answer = payload.get("result").is_some() || payload.get("error").is_some();
        if record.kind == Kind::ClientLine && !id.is_empty() && !is_answer {
            self.asked.insert(id.clone(), record.wall_ns);
        }
        let is_from_server = record.kind == Kind::ServerLine;
        let asked = is_from_server.then(|| self.asked.remove(&id)).flatten();
        let took = asked.map(|asked| record.wall_ns.saturating_sub(asked) / 1_000);
        let took = took.map_or_else(String::new, |micros| {
            format!("after {}.{:03} ms ", micros / 1_000, micros % 1_000)
        });
        let id = if id.is_empty() { id } else { format!("[{id}] ") };
        let about = [method, tool].join(" ");
        let about = about.trim();
        let about = if about.is_empty() {
            String::new()
        } else {
            format!("{about} ")
        };
        format!("{who} {id}{about}{took}{}", content(record, payload))
    }
}

/// Calls whose paths are remembered until their answer.
const CALLS_MAX: usize = 1024;
/// Texts of a call that are looked at.
const TEXTS_MAX: usize = 64;

/// The first absolute path in a call's arguments that is there on this machine and that the server was not granted.
fn unseen_path(arguments: &Value, given: &Given) -> Option<String> {
    let (mut waiting, mut seen) = (vec![arguments], 0_usize);
    while let Some(value) = waiting.pop().filter(|_| seen < TEXTS_MAX) {
        match value {
            Value::Array(all) => waiting.extend(all.iter().take(TEXTS_MAX)),
            Value::Object(all) => waiting.extend(all.values().take(TEXTS_MAX)),
            Value::String(text) => {
                seen = seen.saturating_add(1);
                if given.lacks_file(text) {
                    return Some(text.clone());
                }
            }
            _ => {}
        }
    }
    None
}

/// The call that a person looks at, and what of the record is about it.
#[derive(Debug)]
pub(super) struct Call {
    seq: u64,
    /// As JSON writes it.
    id: String,
    was_asked: bool,
    is_answered: bool,
}

impl Call {
    /// The request that this record holds; `None` where it holds none of the client's.
    pub(super) fn of(record: &Record) -> Option<Self> {
        let facts: Value = serde_json::from_str(&record.facts).ok()?;
        let id = facts.get("id")?.as_str()?.to_owned();
        (record.kind == Kind::ClientLine).then_some(Self {
            seq: record.seq,
            id,
            was_asked: false,
            is_answered: false,
        })
    }

    /// Whether a record is about it; `None` from where its id is used again. Records are asked about in their order.
    pub(super) fn concerns(&mut self, record: &Record) -> Option<bool> {
        let facts: Value = serde_json::from_str(&record.facts).unwrap_or_default();
        let has_id = facts.get("id").and_then(Value::as_str) == Some(&self.id);
        if record.seq < self.seq {
            return Some(false);
        }
        let is_waiting = !self.is_answered;
        Some(match record.kind {
            Kind::ClientLine if record.seq == self.seq => {
                self.was_asked = word(&facts, "decision") == "ask";
                true
            }
            Kind::ClientLine if has_id => return None,
            Kind::Decision => {
                self.was_asked |= has_id && word(&facts, "decision") == "ask";
                has_id && is_waiting
            }
            Kind::ServerLine | Kind::GateToClient => {
                let is_answer = has_id && is_waiting;
                self.is_answered |=
                    is_answer && (record.kind == Kind::GateToClient || word(&facts, "decision") == "allow");
                is_answer
            }
            Kind::GateToServer => has_id && is_waiting,
            Kind::Approval => self.was_asked && is_waiting,
            Kind::SystemCall | Kind::Connection => {
                let during = facts.get("during").and_then(Value::as_array);
                let id: Option<Value> = serde_json::from_str(&self.id).ok();
                during.map_or(is_waiting && record.kind == Kind::Connection, |during| {
                    during.iter().any(|call| call.get("id") == id.as_ref())
                })
            }
            _ => false,
        })
    }
}

/// What was decided, and why.
fn verdict(facts: &Value) -> Option<(Style, String)> {
    let decision = facts.get("decision")?.as_str()?;
    let (rule, why) = (word(facts, "rule"), word(facts, "why"));
    Some(match decision {
        "allow" => {
            let policy = word(facts, "policy");
            let by = if policy.is_empty() {
                String::new()
            } else {
                format!(" by {policy}")
            };
            let consent = facts.get("consent").map_or_else(String::new, |consent| {
                format!(
                    ", consent of {} (level {})",
                    word(consent, "who"),
                    word(consent, "level")
                )
            });
            (Style::Green, format!("allowed{by}{consent}"))
        }
        "hold" => (Style::Dim, "held until the server's tools are known".to_owned()),
        "ask" => (
            Style::Dim,
            format!("waits for consent (level {})", word(facts, "level")),
        ),
        "own" => (Style::Dim, "for the gate itself".to_owned()),
        "expire" => (Style::Red, "expired".to_owned()),
        _ if rule.is_empty() => (Style::Red, decision.to_owned()),
        _ if why.is_empty() => (Style::Red, format!("refused ({rule})")),
        _ => (Style::Red, format!("refused: {why} ({rule})")),
    })
}

/// What the server was seen doing.
fn observed(kind: Kind, facts: &Value) -> String {
    let arguments = facts.get("arguments").and_then(Value::as_array);
    let arguments: Vec<&str> =
        arguments.map_or_else(Vec::new, |all| all.iter().skip(1).filter_map(Value::as_str).collect());
    let parts = [
        word(facts, "event"),
        word(facts, "call"),
        word(facts, "path"),
        arguments.join(" "),
        word(facts, "wanted"),
        word(facts, "address"),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let mut told = format!("  seen: {kind} {}", shortened(&parts.join(" ")));
    if let Some(times) = facts.get("times") {
        told.push_str(&format!(", {times} times"));
    }
    if facts.get("refused").is_some() || word(facts, "event") == "refused" {
        told.push_str(", refused");
    }
    if facts.get("there") == Some(&Value::Bool(false)) {
        told.push_str(", no such file");
    }
    told
}

/// What a line says beside its envelope, in short.
fn content(record: &Record, payload: &Value) -> String {
    if record.sealed {
        return format!("(sealed, {} bytes)", record.payload_bytes);
    }
    let result = payload.get("result");
    let texts = result
        .and_then(|result| result.get("content"))
        .and_then(Value::as_array);
    let text: Vec<&str> = texts.map_or_else(Vec::new, |all| {
        all.iter()
            .filter_map(|one| one.get("text"))
            .filter_map(Value::as_str)
            .collect()
    });
    if !text.is_empty() {
        return shortened(&text.join(" "));
    }
    let params = payload.get("params");
    let inner = payload.get("error").and_then(|error| error.get("message"));
    let inner = inner.or_else(|| params.and_then(|params| params.get("arguments")));
    match inner.or(result).or(params) {
        Some(Value::String(text)) => shortened(text),
        Some(value) => shortened(&value.to_string()),
        None if payload.is_object() => String::new(),
        None => shortened(&String::from_utf8_lossy(&record.payload)),
    }
}

/// A member as words.
fn word(facts: &Value, key: &str) -> String {
    match facts.get(key) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(value) => value.to_string(),
    }
}

fn shortened(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    let mut short: String = text.chars().take(SHOWN_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
