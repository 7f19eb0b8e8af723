//! What was recorded and not shipped yet: read in order within each session, each record proven as it is read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use cofferdam_audit::{AuditError, Clock as _, Fault, Kind, Payloads, Position, Reader, Store, SystemClock};

use rustix::io::Errno;

use crate::cursor::{Cursor, Place};
use crate::event::{Event, Filter};

/// How much is given to a sink at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records.
    pub records: usize,
    /// Bytes of facts and payloads. One larger record is a batch of its own.
    pub bytes: usize,
}

/// Records to deliver, in order within each session, and where the cursor stands after them.
#[derive(Debug, Default)]
pub struct Batch {
    /// What is delivered.
    pub events: Vec<Event>,
    pub(crate) steps: HashMap<String, Place>,
    bytes: usize,
    /// A segment was gone since it was listed: it may be found under another name.
    pub(crate) look_again: bool,
}

impl Batch {
    /// One event that is no record.
    pub(crate) fn of(event: Event) -> Self {
        Self {
            events: vec![event],
            ..Self::default()
        }
    }

    /// Whether there is neither anything to deliver nor anything to remember.
    pub(crate) fn is_nothing(&self) -> bool {
        self.events.is_empty() && self.steps.is_empty() && !self.look_again
    }
}

/// The segments of one session by their index.
type Segments = BTreeMap<u32, PathBuf>;

/// Reads the record for one sink.
#[derive(Debug)]
pub(crate) struct Backlog {
    store: Store,
    filter: Filter,
    limits: Limits,
    /// Sessions whose record turned out to be broken: told once, not read on.
    broken: HashSet<String>,
    /// How many sessions were gone over: each batch begins with another one, so that none waits for a busy one for ever.
    turn: usize,
}

impl Backlog {
    pub(crate) fn new(store: Store, filter: Filter, limits: Limits) -> Self {
        Self {
            store,
            filter,
            limits,
            broken: HashSet::new(),
            turn: 0,
        }
    }

    /// The next records behind the cursor; an empty batch when there is nothing new.
    ///
    /// # Errors
    /// The record cannot be listed, or the kernel does not give what is new and there is nothing else.
    pub(crate) fn next(&mut self, cursor: &mut Cursor) -> Result<Batch, AuditError> {
        let sessions = sessions(self.store.segments()?);
        cursor.keep_only(|session| sessions.contains_key(session));
        let (mut batch, mut unreadable) = (Batch::default(), None);
        let first = self.turn.checked_rem(sessions.len()).unwrap_or(0);
        let in_turn = sessions.iter().skip(first).chain(sessions.iter().take(first));
        for (session, segments) in in_turn {
            if self.is_full(&batch) {
                break;
            }
            self.turn = self.turn.wrapping_add(1);
            if !self.broken.contains(session) {
                let read = self.read_session((session, segments), cursor, &mut batch);
                unreadable = unreadable.or(read.err());
            }
        }
        match unreadable {
            Some(error) if batch.is_nothing() => Err(error),
            _ => Ok(batch),
        }
    }

    fn is_full(&self, batch: &Batch) -> bool {
        batch.events.len() >= self.limits.records || batch.bytes >= self.limits.bytes
    }

    /// What the kernel does not give now may come later; that is no sign of a change.
    fn read_session(
        &mut self,
        (session, segments): (&str, &Segments),
        cursor: &Cursor,
        batch: &mut Batch,
    ) -> Result<(), AuditError> {
        let mut place = cursor.place(session).unwrap_or(Place {
            index: segments.keys().next().copied().unwrap_or(0),
            position: None,
        });
        loop {
            let Some(path) = segments.get(&place.index) else {
                // The next one may be about to be made; one in the middle was removed.
                if segments.range(place.index..).next().is_some() && self.is_missing(session, place.index) {
                    self.tell((session, place.index), "the segment is missing", batch);
                }
                break;
            };
            if let Err(error) = self.read_segment((session, path), &mut place, batch) {
                if is_gone(&error) {
                    batch.look_again = true;
                } else if is_of_the_kernel(&error) {
                    return Err(error);
                } else if !is_cut_in_header(&error) {
                    self.tell((session, place.index), &error.to_string(), batch);
                }
                break;
            }
            let after = place.position.and_then(|position| position.after);
            let goes_on = match after {
                Some(Kind::Close) => false,
                Some(Kind::Continued) => true,
                _ => !self.is_full(batch) && is_resumed_in(segments.get(&place.index.saturating_add(1))),
            };
            if !goes_on {
                break;
            }
            place = Place {
                index: place.index.saturating_add(1),
                position: None,
            };
            batch.steps.insert(session.to_owned(), place);
        }
        Ok(())
    }

    /// A folder that is listed while files come and go may leave one out: asked again, it does not.
    fn is_missing(&self, session: &str, index: u32) -> bool {
        let listed = self.store.segments().map(sessions);
        listed.is_ok_and(|listed| {
            listed
                .get(session)
                .is_some_and(|segments| !segments.contains_key(&index))
        })
    }

    /// Puts a session aside whose record is broken, and tells the sink once.
    fn tell(&mut self, place: (&str, u32), what: &str, batch: &mut Batch) {
        self.broken.insert(place.0.to_owned());
        batch.events.push(Event::broken(place, what, SystemClock.now().0));
    }

    /// Adds what is new in one segment; `place` moves along.
    fn read_segment(
        &self,
        (session, path): (&str, &Path),
        place: &mut Place,
        batch: &mut Batch,
    ) -> Result<(), AuditError> {
        if place
            .position
            .is_some_and(|position| has_nothing_behind(path, &position))
        {
            return Ok(());
        }
        if place.position.is_some_and(|position| is_shorter(path, &position)) {
            return Err(read_error(path, "it is shorter than what was shipped of it"));
        }
        let reader = match place.position {
            Some(position) => Reader::resume(path, position)?,
            None => Reader::open(path)?,
        };
        if reader.header().session != session || reader.header().index != place.index {
            return Err(read_error(path, "it is another segment than its name says"));
        }
        let mut reader = reader.keeping(Payloads::First(self.filter.payload_bytes));
        while !self.is_full(batch)
            && let Some(record) = reader.next_record()?
        {
            place.position = Some(reader.position());
            batch.bytes = batch.bytes.saturating_add(record.facts.len() + record.payload.len());
            batch.events.push(self.filter.apply(reader.header(), record));
            batch.steps.insert(session.to_owned(), *place);
        }
        Ok(())
    }
}

/// Puts segments together by the session in their names, `<time>-<id>.cfa` or `<time>-<id>.<index>.cfa`, packed or not.
fn sessions(paths: Vec<PathBuf>) -> BTreeMap<String, Segments> {
    let mut sessions: BTreeMap<String, Segments> = BTreeMap::new();
    for path in paths {
        if let Some((session, index)) = named(&path) {
            sessions.entry(session).or_default().entry(index).or_insert(path);
        }
    }
    sessions
}

fn named(path: &Path) -> Option<(String, u32)> {
    let (_, rest) = path.file_name()?.to_str()?.split_once('-')?;
    let (session, rest) = rest.split_once('.')?;
    let index = match rest.split_once('.') {
        Some((index, _)) if !index.starts_with("cfa") => index.parse().ok()?,
        _ => 0,
    };
    let is_id = session.len() == 32 && session.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then(|| (session.to_owned(), index))
}

/// Without opening it: the segment ended there, or is still as long.
fn has_nothing_behind(path: &Path, position: &Position) -> bool {
    let is_ended = matches!(position.after, Some(Kind::Close | Kind::Continued));
    is_ended
        || path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.len() == position.offset)
}

/// A record that was cut behind our back. Packed segments have ended, and are as long as they were.
fn is_shorter(path: &Path, position: &Position) -> bool {
    let is_plain = path.extension().is_some_and(|extension| extension == "cfa");
    is_plain
        && path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.len() < position.offset)
}

fn read_error(path: &Path, what: &'static str) -> AuditError {
    AuditError::Read {
        path: path.to_owned(),
        cause: std::io::Error::other(what),
    }
}

/// A segment whose disk failed ends anywhere; the next one says that it took over.
fn is_resumed_in(next: Option<&PathBuf>) -> bool {
    let first = next.map(|path| Reader::open(path).and_then(|mut reader| reader.next_record()));
    matches!(first, Some(Ok(Some(record))) if record.kind == Kind::Resumed)
}

/// A segment may be pruned, or packed, since it was listed.
fn is_gone(error: &AuditError) -> bool {
    matches!(error, AuditError::Read { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound)
}

/// The kernel says why it cannot be read: a disk that fails, too many open files. A link in the place of a segment somebody put there.
fn is_of_the_kernel(error: &AuditError) -> bool {
    let AuditError::Read { cause, .. } = error else {
        return false;
    };
    Errno::from_io_error(cause).is_some_and(|code| code != Errno::LOOP)
}

/// A segment is named before its header is written.
fn is_cut_in_header(error: &AuditError) -> bool {
    matches!(error, AuditError::Broken { broken, .. } if broken.what == Fault::HeaderCut)
}

#[cfg(test)]
mod tests {
    use super::named;
    use std::path::Path;

    #[test]
    fn only_segments_name_sessions() {
        let id = "0123456789abcdef0123456789abcdef";
        for (ending, index) in [("cfa", 0), ("cfa.zst", 0), ("1.cfa", 1), ("12.cfa.zst", 12)] {
            let path = format!("/x/20261121T030000Z-{id}.{ending}");
            assert_eq!(named(Path::new(&path)), Some((id.to_owned(), index)), "{path}");
        }
        for name in [
            format!("{id}.cfa"),
            "t-short.cfa".to_owned(),
            format!("t-{id}"),
            format!("t-{}.cfa", id.to_uppercase()),
            format!("t-{}\n.cfa", id.split_at(31).0),
            format!("t-{id}.-1.cfa"),
            format!("t-{id}.99999999999.cfa"),
        ] {
            assert_eq!(named(Path::new(&name)), None, "{name}");
        }
    }
}
