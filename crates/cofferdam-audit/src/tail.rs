//! Reads segments from their ends, so that the last records of a long one are near.

use crate::chain::Digest;
use crate::error::AuditError;
use crate::kind::Kind;
use crate::reader::{Payloads, Position, Reader};
use crate::record::{PREFIX_BYTES, Prefix, SUFFIX_BYTES, stated_length};
use crate::source::Source;
use crate::store::{Located, located};
use std::collections::VecDeque;
use std::io;
use std::path::Path;

/// Where the record that ends at `end` begins, and its prefix; `None` when none ends there.
pub(crate) fn last_prefix(source: &mut Source, start: u64, end: u64) -> io::Result<Option<(u64, Prefix)>> {
    let Some(behind) = end.checked_sub(4).filter(|behind| *behind >= start) else {
        return Ok(None);
    };
    let mut length = [0; 4];
    source.read_exact_at(&mut length, behind)?;
    let mut pair = [0; 8];
    let (front, complement) = pair.split_at_mut(4);
    front.copy_from_slice(&length);
    complement.copy_from_slice(&(!u32::from_le_bytes(length)).to_le_bytes());
    let Some(begins) = stated_length(&pair)
        .and_then(|length| end.checked_sub(length))
        .filter(|begins| *begins >= start)
    else {
        return Ok(None);
    };
    let mut bytes = [0; PREFIX_BYTES];
    source.read_exact_at(&mut bytes, begins)?;
    let prefix = Prefix::read(&bytes).filter(|prefix| prefix.length == u32::from_le_bytes(length));
    Ok(prefix.map(|prefix| (begins, prefix)))
}

/// The chain value in the record that ends at `end`.
fn stored_hash(source: &mut Source, end: u64) -> io::Result<Digest> {
    let mut hash = [0; 32];
    source.read_exact_at(&mut hash, end.saturating_sub(SUFFIX_BYTES as u64))?;
    Ok(Digest::from_bytes(hash))
}

/// The position from which the last `count` records follow. A segment whose end cannot be read
/// backwards (torn, or being written) is read from its beginning.
fn back(path: &Path, count: usize) -> Result<Option<Position>, AuditError> {
    let read = |cause| AuditError::Read {
        path: path.to_owned(),
        cause,
    };
    let reader = Reader::open(path)?;
    let mut source = Source::open(path)?;
    let end = source.length();
    let beginning = reader.position();
    let (mut offset, mut next_seq) = (end, None);
    for _ in 0..count {
        match last_prefix(&mut source, beginning.offset, offset).map_err(read)? {
            Some((begins, prefix)) => (offset, next_seq) = (begins, Some(prefix.seq)),
            None => break,
        }
    }
    let Some(seq) = next_seq else { return Ok(None) };
    if offset == beginning.offset {
        return Ok(Some(beginning));
    }
    let Some((_, before)) = last_prefix(&mut source, beginning.offset, offset).map_err(read)? else {
        return Ok(None);
    };
    Ok(Some(Position {
        offset,
        seq,
        hash: stored_hash(&mut source, offset).map_err(read)?,
        boot_ns: before.boot_ns,
        after: Some(Kind::from_code(before.kind)),
    }))
}

/// The last `count` records of a segment, in order.
pub(crate) fn last_records(path: &Path, count: usize, payload_bytes: usize) -> Result<Vec<Located>, AuditError> {
    let reader = match back(path, count)? {
        Some(position) => Reader::resume(path, position)?,
        None => Reader::open(path)?,
    };
    let mut reader = reader.keeping(Payloads::First(payload_bytes));
    let mut records = VecDeque::new();
    while let Some(record) = reader.next_record()? {
        if records.len() == count {
            records.pop_front();
        }
        records.push_back(record);
    }
    let header = reader.header();
    Ok(records.into_iter().map(|record| located(header, record)).collect())
}

/// The position behind the last whole record.
pub(crate) fn end_of(path: &Path) -> Result<Position, AuditError> {
    let mut reader = match back(path, 1)? {
        Some(position) => Reader::resume(path, position)?,
        None => Reader::open(path)?,
    }
    .keeping(Payloads::First(0));
    while reader.next_record()?.is_some() {}
    Ok(reader.position())
}
