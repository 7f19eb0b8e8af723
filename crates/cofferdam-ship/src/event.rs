//! One record on its way to a sink.

use cofferdam_audit::{Digest, Header, Kind, Record};

/// What of a payload is shipped. Records themselves are never left out: a sink gets every decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// At most so many bytes of each payload, from its beginning.
    pub payload_bytes: usize,
    /// Kinds of which no payload is shipped.
    pub without_payload: Vec<Kind>,
}

/// What is told to a sink.
#[derive(Clone, Debug)]
pub enum Event {
    /// A record, as it was proven.
    Record(Box<Shipped>),
    /// A segment that is not what was written: nothing behind that place is shipped.
    Broken(Breach),
    /// What the host's ledger held at a moment, signed: who keeps it can tell later whether it was rewritten.
    Checkpoint(Checkpoint),
}

/// A checkpoint of the host's ledger on its way to a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The C2SP signed note, as the ledger signed it.
    pub note: String,
    /// When it was seen: nanoseconds since 1970-01-01T00:00:00Z.
    pub wall_ns: u64,
}

impl Checkpoint {
    /// How many entries it covers: the second line of a C2SP tlog-checkpoint. `None` where the note is none.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.note.lines().nth(1)?.parse().ok()
    }
}

/// A record and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// What its segment says about itself.
    pub header: Header,
    /// The record; its payload as far as the filter lets it pass.
    pub record: Record,
}

/// Where a session's record cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The session's id, from the segment's name.
    pub session: String,
    /// Which segment of it.
    pub index: u32,
    /// What was found there, in words.
    pub what: String,
    /// When it was noticed: nanoseconds since 1970-01-01T00:00:00Z.
    pub wall_ns: u64,
}

impl Event {
    /// Names the event for ever: what arrives twice has it twice.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Record(shipped) => format!("{}:{}", shipped.header.session, shipped.record.seq),
            Self::Broken(breach) => format!("{}:broken:{}", breach.session, breach.index),
            Self::Checkpoint(checkpoint) => {
                let digest = Digest::of_payload(checkpoint.note.as_bytes()).to_string();
                format!("checkpoint:{digest}")
            }
        }
    }

    /// The server's name; empty where it is not known.
    #[must_use]
    pub fn server(&self) -> &str {
        match self {
            Self::Record(shipped) => &shipped.header.server,
            Self::Broken(_) | Self::Checkpoint(_) => "",
        }
    }

    /// The session's id; empty for what is of no session.
    #[must_use]
    pub fn session(&self) -> &str {
        match self {
            Self::Record(shipped) => &shipped.header.session,
            Self::Broken(breach) => &breach.session,
            Self::Checkpoint(_) => "",
        }
    }

    /// What it is about, one word.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Record(shipped) => shipped.record.kind.to_string(),
            Self::Broken(_) => "broken".to_owned(),
            Self::Checkpoint(_) => "checkpoint".to_owned(),
        }
    }

    /// When it happened: nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn wall_ns(&self) -> u64 {
        match self {
            Self::Record(shipped) => shipped.record.wall_ns,
            Self::Broken(breach) => breach.wall_ns,
            Self::Checkpoint(checkpoint) => checkpoint.wall_ns,
        }
    }

    pub(crate) fn broken((session, index): (&str, u32), what: &str, wall_ns: u64) -> Self {
        Self::Broken(Breach {
            session: session.to_owned(),
            index,
            what: what.to_owned(),
            wall_ns,
        })
    }
}

impl Filter {
    pub(crate) fn apply(&self, header: &Header, mut record: Record) -> Event {
        if self.without_payload.contains(&record.kind) {
            record.payload = Vec::new();
        }
        Event::Record(Box::new(Shipped {
            header: header.clone(),
            record,
        }))
    }
}
