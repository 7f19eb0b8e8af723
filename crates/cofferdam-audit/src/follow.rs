//! Follows the folder of the record by looking again.

use crate::error::AuditError;
use crate::reader::{Payloads, Position, Reader};
use crate::store::{Found, Located, Store, is_gone_or_other, located};
use crate::tail;
use crate::verify::Ended;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Most records one call to [`Follow::poll`] gives; the next call goes on.
const POLL_RECORDS_MAX: usize = 10_000;

/// Where following stands in one segment.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Before its first record.
    Beginning,
    /// Behind a record.
    Behind(Position),
    /// Behind its last record: nothing follows.
    Ended,
    /// Somewhere it cannot go on; it was reported once.
    Lost,
}

/// Follows all sessions: those there are, and those that begin; see [`Store::follow`].
#[derive(Debug)]
pub struct Follow {
    store: Store,
    payload_bytes: usize,
    places: HashMap<PathBuf, Place>,
}

impl Follow {
    /// Begins behind everything that is there. A segment that cannot be read to its end is
    /// not followed, and reported here.
    pub(crate) fn from_now(store: Store, payload_bytes: usize) -> Result<(Self, Vec<AuditError>), AuditError> {
        let (mut places, mut problems) = (HashMap::new(), Vec::new());
        for path in store.segments()? {
            let place = match tail::end_of(&path) {
                Ok(position) => Place::Behind(position),
                Err(error) if is_gone_or_other(&error) => continue,
                Err(error) => {
                    problems.push(error);
                    Place::Lost
                }
            };
            places.insert(path, place);
        }
        Ok((
            Self {
                store,
                payload_bytes,
                places,
            },
            problems,
        ))
    }

    /// The whole records that were added since the last call: in order within each session,
    /// sorted by wall clock between them. At most 10,000; the next call gives the rest. A
    /// segment that turns out to be broken is reported once and not followed any more.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn poll(&mut self) -> Result<Found<Located>, AuditError> {
        let mut found = Found {
            items: Vec::new(),
            problems: Vec::new(),
        };
        for path in self.store.segments()? {
            // A segment that was packed meanwhile goes on where it was.
            let before = self.places.get(&path.with_extension("")).copied();
            let place = self
                .places
                .entry(path.clone())
                .or_insert(before.unwrap_or(Place::Beginning));
            match read_on(&path, place, self.payload_bytes, &mut found.items) {
                Ok(()) => {}
                Err(error) if is_gone_or_other(&error) => {}
                Err(error) => {
                    *place = Place::Lost;
                    found.problems.push(error);
                }
            }
        }
        found.items.sort_by_key(|located| located.record.wall_ns);
        Ok(found)
    }
}

/// Reads what was added to one segment since `place`, which moves along.
fn read_on(path: &Path, place: &mut Place, payload_bytes: usize, added: &mut Vec<Located>) -> Result<(), AuditError> {
    let reader = match *place {
        Place::Ended | Place::Lost => return Ok(()),
        Place::Beginning => Reader::open(path)?,
        Place::Behind(position) => {
            if path
                .symlink_metadata()
                .is_ok_and(|metadata| metadata.len() == position.offset)
            {
                return Ok(());
            }
            Reader::resume(path, position)?
        }
    };
    let mut reader = reader.keeping(Payloads::First(payload_bytes));
    while added.len() < POLL_RECORDS_MAX
        && let Some(record) = reader.next_record()?
    {
        *place = Place::Behind(reader.position());
        added.push(located(reader.header(), record));
    }
    if matches!(reader.ended(), Some(Ended::Closed | Ended::Continued)) {
        *place = Place::Ended;
    }
    Ok(())
}
