//! Logs to test with, and what they hold.

use cofferdam_audit::{
    AuditError, Durability, Entry, Kind, Log, Opening, Options, Quota, Reader, Record, Rotation, SystemClock,
};
use std::path::Path;
use std::sync::Arc;

pub(crate) const SESSION: &str = "000102030405060708090a0b0c0d0e0f";

pub(crate) fn options(durability: Durability) -> Options {
    Options {
        durability,
        quota: Quota::UNLIMITED,
        clock: Arc::new(SystemClock),
        rotation: Rotation::STANDARD,
        sealing: None,
    }
}

pub(crate) fn opening<'a>(session: &'a str, server: &'a str) -> Opening<'a> {
    Opening {
        session,
        server,
        principal: "uid 1000",
        facts: r#"{"profile":"test"}"#,
    }
}

pub(crate) fn create(folder: &Path, session: &str, server: &str) -> Result<Log, AuditError> {
    Log::create(folder, opening(session, server), options(Durability::Written))
}

/// Appends one record with this payload and gives its number.
pub(crate) fn append(log: &Log, kind: Kind, payload: &[u8]) -> Result<u64, AuditError> {
    log.note(Entry {
        kind,
        facts: r#"{"id":7}"#,
        payload,
    })
}

pub(crate) fn records(path: &Path) -> Result<Vec<Record>, AuditError> {
    let mut reader = Reader::open(path)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok(records)
}
