//! Records as events of the Open Cybersecurity Schema Framework, version 1.9.0.
//!
//! What passes, and what was decided about it, is an API Activity; connections are Network Activities; what the server executed is
//! Process Activity; approvals are Authorize Session; a session's beginning and end, and the rest, Application Lifecycle; a record
//! that was changed is a Detection Finding. What the schema has no place for stands whole under `unmapped.cofferdam`.

use cofferdam_audit::{Digest, Kind, Record};
use serde_json::{Map, Value, json};

use crate::event::{Breach, Checkpoint, Event, Shipped};

/// The version of the schema.
pub const VERSION: &str = "1.9.0";

/// Identifier of SHA-256 among fingerprint algorithms.
const SHA_256: u32 = 3;
/// An activity that its class has no number for.
const OTHER: u32 = 99;
/// The longest text taken over from facts when an event must be made small, in characters.
const SHORT_CHARS: usize = 256;

/// Where events come from: the same for all of one shipper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// This machine's name.
    pub host: String,
    /// The version of the program that ships.
    pub version: String,
}

/// How grave an event is (`severity_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something happened.
    Informational,
    /// Something was refused.
    Medium,
    /// The record itself was changed.
    Critical,
}

impl Severity {
    /// How grave this event is.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        match event {
            Event::Broken(_) => Self::Critical,
            Event::Record(shipped) if is_refused(&facts_of(&shipped.record)) => Self::Medium,
            Event::Record(_) | Event::Checkpoint(_) => Self::Informational,
        }
    }

    const fn number(self) -> u32 {
        match self {
            Self::Informational => 1,
            Self::Medium => 3,
            Self::Critical => 5,
        }
    }
}

/// The event, with all of the payload that the filter let pass.
#[must_use]
pub fn event(event: &Event, origin: &Origin) -> Value {
    match event {
        Event::Record(shipped) => record(shipped, origin, facts_of(&shipped.record), usize::MAX),
        Event::Broken(breach) => finding(breach, origin),
        Event::Checkpoint(checkpoint) => witnessed((event, checkpoint), origin),
    }
}

/// The event as JSON text of at most `bytes_max` bytes: less of the payload where it must be, then only those facts that say what was
/// decided. It is never left out; what is cut says so.
#[must_use]
pub fn event_within(event: &Event, origin: &Origin, bytes_max: usize) -> String {
    let whole = self::event(event, origin).to_string();
    let Event::Record(shipped) = event else {
        return whole;
    };
    if whole.len() <= bytes_max {
        return whole;
    }
    let facts = facts_of(&shipped.record);
    let bare = record(shipped, origin, facts.clone(), 0).to_string();
    if bare.len() > bytes_max {
        return record(shipped, origin, in_short(&facts), 0).to_string();
    }
    // A byte of the payload is at most six of JSON: a sixth of the room always fits, and mostly more does.
    let mut share = bytes_max - bare.len();
    while share > 0 {
        let cut = record(shipped, origin, facts.clone(), share).to_string();
        if cut.len() <= bytes_max {
            return cut;
        }
        share /= 2;
    }
    bare
}

fn record(shipped: &Shipped, origin: &Origin, facts: Value, payload_bytes: usize) -> Value {
    let (header, record) = (&shipped.header, &shipped.record);
    let class = Class::of(record.kind, &facts);
    let id = format!("{}:{}", header.session, record.seq);
    let severity = if is_refused(&facts) {
        Severity::Medium
    } else {
        Severity::Informational
    };
    let mut event = base(&class, severity, (&id, record.wall_ns), origin);
    let mut add = |name: &str, value: Value| drop(event.insert(name.to_owned(), value));
    add("actor", json!({"user": {"name": header.principal}}));
    add("device", json!({"hostname": origin.host, "type_id": 0}));
    class.members(shipped, &facts, &mut add);
    decision(&facts, &mut add);
    let shown = payload(record, payload_bytes, &mut add);
    add(
        "unmapped",
        json!({"cofferdam": {
            "session": header.session, "seq": record.seq, "server": header.server, "kind": record.kind.to_string(), "facts": facts,
            "hash": record.hash.to_string(), "payload_bytes": record.payload_bytes, "payload_is_whole": shown == record.payload_bytes,
            "sealed": record.sealed,
        }}),
    );
    let metadata = event.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata {
        metadata.insert("sequence".to_owned(), json!(record.seq));
        metadata.insert("correlation_uid".to_owned(), json!(header.session));
    }
    Value::Object(event)
}

/// What every event has.
fn base(class: &Class, severity: Severity, (id, wall_ns): (&str, u64), origin: &Origin) -> Map<String, Value> {
    let product = json!({"name": "Cofferdam", "vendor_name": "Cofferdam", "version": origin.version});
    let event = json!({
        "category_uid": class.uid / 1_000, "class_uid": class.uid, "activity_id": class.activity,
        "activity_name": class.name, "type_uid": class.uid * 100 + class.activity,
        "severity_id": severity.number(), "time": wall_ns / 1_000_000,
        "metadata": {"version": VERSION, "uid": id, "product": product, "log_name": "cofferdam", "profiles": ["security_control", "host"]},
    });
    match event {
        Value::Object(event) => event,
        _ => Map::new(),
    }
}

/// Which class an event is of, and which activity of it.
#[derive(Debug)]
struct Class {
    uid: u32,
    activity: u32,
    name: String,
}

const API_ACTIVITY: u32 = 6003;
const APPLICATION_LIFECYCLE: u32 = 6002;
const NETWORK_ACTIVITY: u32 = 4001;
const AUTHORIZE_SESSION: u32 = 3003;
const PROCESS_ACTIVITY: u32 = 1007;
const DETECTION_FINDING: u32 = 2004;

impl Class {
    fn new(uid: u32, activity: u32, name: &str) -> Self {
        Self {
            uid,
            activity,
            name: name.to_owned(),
        }
    }

    fn of(kind: Kind, facts: &Value) -> Self {
        let word = kind.to_string();
        match kind {
            Kind::ClientLine | Kind::ServerLine | Kind::GateToClient | Kind::GateToServer => {
                match text(facts, "method") {
                    Some(method) if method.ends_with("/list") || method.ends_with("/read") => {
                        Self::new(API_ACTIVITY, 2, "Read")
                    }
                    method => Self::new(API_ACTIVITY, OTHER, &short(method.unwrap_or(&word))),
                }
            }
            Kind::Decision | Kind::Fragment | Kind::ServerStderr => Self::new(API_ACTIVITY, OTHER, &word),
            Kind::Connection => match text(facts, "event") {
                Some("open") => Self::new(NETWORK_ACTIVITY, 1, "Open"),
                Some("end") => Self::new(NETWORK_ACTIVITY, 2, "Close"),
                Some("refused") => Self::new(NETWORK_ACTIVITY, 5, "Refuse"),
                _ => Self::new(NETWORK_ACTIVITY, OTHER, &word),
            },
            Kind::SystemCall => match text(facts, "call") {
                Some("execve" | "execveat") if facts.get("refused").is_none() => {
                    Self::new(PROCESS_ACTIVITY, 1, "Launch")
                }
                call => Self::new(PROCESS_ACTIVITY, OTHER, &short(call.unwrap_or(&word))),
            },
            Kind::Approval => Self::new(AUTHORIZE_SESSION, 1, "Assign Privileges"),
            Kind::Open => Self::new(APPLICATION_LIFECYCLE, 3, "Start"),
            Kind::Close => Self::new(APPLICATION_LIFECYCLE, 4, "Stop"),
            _ => Self::new(APPLICATION_LIFECYCLE, OTHER, &word),
        }
    }

    /// What an event of this class must have beside.
    fn members(&self, shipped: &Shipped, facts: &Value, add: &mut impl FnMut(&str, Value)) {
        let (server, principal) = (&shipped.header.server, &shipped.header.principal);
        match self.uid {
            API_ACTIVITY => {
                let operation = text(facts, "method").unwrap_or(&self.name);
                let mut api = json!({"operation": short(operation), "service": {"name": server}});
                if let (Some(tool), Some(api)) = (text(facts, "tool"), api.as_object_mut()) {
                    api.insert(
                        "request".to_owned(),
                        json!({"uid": short(text(facts, "id").unwrap_or_default())}),
                    );
                    add("resources", json!([{"name": short(tool), "type": "tool"}]));
                }
                add("api", api);
                let (client, server) = (json!({"svc_name": "mcp-client"}), json!({"svc_name": server}));
                let is_from_server = matches!(
                    shipped.record.kind,
                    Kind::ServerLine | Kind::GateToClient | Kind::ServerStderr
                );
                let (from, to) = if is_from_server {
                    (server, client)
                } else {
                    (client, server)
                };
                add("src_endpoint", from);
                add("dst_endpoint", to);
            }
            NETWORK_ACTIVITY => {
                add("src_endpoint", json!({"svc_name": server}));
                let wanted = text(facts, "wanted").or_else(|| text(facts, "address"));
                add("dst_endpoint", json!({"name": short(wanted.unwrap_or("unknown"))}));
            }
            PROCESS_ACTIVITY => {
                let path = text(facts, "path").or_else(|| text(facts, "process"));
                let uid = format!("{}:{}", shipped.header.session, shipped.record.seq);
                add("process", json!({"name": short(path.unwrap_or("unknown")), "uid": uid}));
            }
            AUTHORIZE_SESSION => {
                let who = text(facts, "who").unwrap_or(principal);
                add("user", json!({"name": short(who)}));
                add("privileges", json!([short(text(facts, "scope").unwrap_or("call"))]));
            }
            _ => add("app", json!({"name": server, "vendor_name": "unknown"})),
        }
    }
}

/// The attributes of the profile `security_control`.
fn decision(facts: &Value, add: &mut impl FnMut(&str, Value)) {
    let Some(decision) = text(facts, "decision") else {
        return;
    };
    let (action, disposition, name) = match decision {
        "allow" | "own" => (1, 1, "Allowed"),
        "deny" | "refuse" | "expire" => (2, 2, "Blocked"),
        other => (0, OTHER, other),
    };
    add("action_id", json!(action));
    add("disposition_id", json!(disposition));
    add("disposition", json!(short(name)));
    add("is_alert", json!(is_refused(facts)));
    if let Some(rule) = text(facts, "rule") {
        add("policy", json!({"uid": short(rule), "name": short(rule)}));
    }
}

/// The bytes that passed, as text; gives how many of them.
fn payload(record: &Record, bytes_max: usize, add: &mut impl FnMut(&str, Value)) -> u64 {
    if record.payload_bytes == 0 {
        return 0;
    }
    let digest = record.payload_digest.to_string();
    add(
        "raw_data_hash",
        json!({"algorithm_id": SHA_256, "algorithm": "SHA-256", "value": digest}),
    );
    add("raw_data_size", json!(record.payload_bytes));
    // Sealed bytes say nothing to anybody.
    let shown = if record.sealed {
        0
    } else {
        record.payload.len().min(bytes_max)
    };
    let (shown, _) = record.payload.split_at(shown);
    if !shown.is_empty() {
        add("raw_data", json!(String::from_utf8_lossy(shown)));
    }
    shown.len() as u64
}

fn finding(breach: &Breach, origin: &Origin) -> Value {
    let class = Class::new(DETECTION_FINDING, 1, "Create");
    let id = format!("{}:broken:{}", breach.session, breach.index);
    let mut event = base(&class, Severity::Critical, (&id, breach.wall_ns), origin);
    let mut add = |name: &str, value: Value| drop(event.insert(name.to_owned(), value));
    add("message", json!(breach.what));
    add("is_alert", json!(true));
    add("device", json!({"hostname": origin.host, "type_id": 0}));
    add(
        "finding_info",
        json!({"uid": id, "title": "the record of a session is not what was written", "desc": breach.what}),
    );
    add(
        "unmapped",
        json!({"cofferdam": {"session": breach.session, "kind": "broken", "segment": breach.index}}),
    );
    Value::Object(event)
}

/// The signed note stands whole where `audit verify --witness` looks for it.
fn witnessed((event, checkpoint): (&Event, &Checkpoint), origin: &Origin) -> Value {
    let class = Class::new(APPLICATION_LIFECYCLE, OTHER, "checkpoint");
    let mut event = base(
        &class,
        Severity::Informational,
        (&event.id(), checkpoint.wall_ns),
        origin,
    );
    let mut add = |name: &str, value: Value| drop(event.insert(name.to_owned(), value));
    add("message", json!("the ledger of the record has grown"));
    add("app", json!({"name": "Cofferdam", "vendor_name": "Cofferdam"}));
    add("device", json!({"hostname": origin.host, "type_id": 0}));
    add(
        "unmapped",
        json!({"cofferdam": {"kind": "checkpoint", "size": checkpoint.size(), "checkpoint": checkpoint.note}}),
    );
    Value::Object(event)
}

fn facts_of(record: &Record) -> Value {
    serde_json::from_str(&record.facts).unwrap_or(Value::Null)
}

/// What says what was decided, and no more; the digest finds the rest in the record.
fn in_short(facts: &Value) -> Value {
    let names = [
        "decision", "rule", "method", "tool", "id", "event", "wanted", "call", "cause",
    ];
    let mut kept: Map<String, Value> = names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), json!(short(text(facts, name)?)))))
        .collect();
    kept.insert("cut".to_owned(), json!(true));
    let digest = Digest::of_payload(facts.to_string().as_bytes());
    kept.insert("facts_sha256".to_owned(), json!(digest.to_string()));
    Value::Object(kept)
}

fn is_refused(facts: &Value) -> bool {
    matches!(text(facts, "decision"), Some("deny" | "refuse" | "expire")) || text(facts, "event") == Some("refused")
}

fn text<'a>(facts: &'a Value, name: &str) -> Option<&'a str> {
    facts.get(name).and_then(Value::as_str)
}

fn short(text: &str) -> String {
    text.chars().take(SHORT_CHARS).collect()
}
