//! Calls that name a file their server was not given: remembered until they are answered, and told to people where the answer says that
//! it is not there. The server hears nothing of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cofferdam_audit::Recorded;
use cofferdam_policy::Permitted;
use cofferdam_protocol::Id;
use memchr::memmem;

use super::Gate;
use crate::refusals::Refused;
use crate::unseen::{Given, says_not_there};

/// Calls in flight whose path is remembered.
const CALLS_MAX: usize = 64;
/// Bytes of a call that are searched for a path, and paths in them.
const SEARCHED_BYTES_MAX: usize = 16 * 1024;
const PATHS_MAX: usize = 8;
/// Longest path that is remembered.
const PATH_BYTES_MAX: usize = 1024;

/// The calls in flight that name such a file, by id.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    paths: Mutex<BTreeMap<Id, String>>,
    /// How many these are: most calls and answers look at nothing else.
    count: AtomicUsize,
}

impl Unseen {
    fn paths(&self) -> MutexGuard<'_, BTreeMap<Id, String>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the path of one call.
    fn note(&self, id: &Id, path: String) {
        let mut paths = self.paths();
        if paths.len() >= CALLS_MAX {
            // One that is never answered must not keep out those that are.
            paths.pop_first();
        }
        paths.insert(id.clone(), path);
        self.count.store(paths.len(), Ordering::Release);
    }

    /// The path of the call that is answered now.
    fn take(&self, id: &Id) -> Option<String> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut paths = self.paths();
        let taken = paths.remove(id);
        self.count.store(paths.len(), Ordering::Release);
        taken
    }

    /// The paths of all calls in flight.
    pub(super) fn all(&self) -> Vec<String> {
        self.paths().values().cloned().collect()
    }
}

impl Gate {
    /// Before calls go out: which of them name what their server was not given.
    pub(super) fn note_unseen(&self, permitted: &[Recorded<Permitted>]) {
        for one in permitted {
            let [(id, _)] = one.as_ref().requests() else { continue };
            if let Some(path) = first_unseen(one.as_ref().line(), &self.terms.given) {
                self.unseen.note(id, path);
            }
        }
    }

    /// With each answer: whether what its call named is not there for the server, and is there for whoever could grant it.
    pub(super) fn tell_unseen(&self, id: &Id, answer: &[u8]) {
        let Some(path) = self.unseen.take(id) else { return };
        if says_not_there(answer) && self.terms.given.lacks_file(&path) {
            self.terms.refusals.tell(Refused::Path(path), || self.short_session());
        }
    }
}

/// The first absolute path among the texts of a call that the server was not given. Texts with escapes are left out.
fn first_unseen(line: &[u8], given: &Given) -> Option<String> {
    let searched = line.get(..SEARCHED_BYTES_MAX).unwrap_or(line);
    let texts = memmem::find_iter(searched, b"\"/").take(PATHS_MAX).filter_map(|at| {
        let rest = searched.get(at.saturating_add(1)..)?;
        let rest = rest.get(..PATH_BYTES_MAX).unwrap_or(rest);
        let text = rest.get(..memchr::memchr2(b'"', b'\\', rest)?)?;
        let is_whole = rest.get(text.len()) == Some(&b'"');
        std::str::from_utf8(text).ok().filter(|_| is_whole)
    });
    let mut unseen = texts.filter(|path| path.len() > 1 && !given.has_file(Path::new(path)));
    unseen.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use cofferdam_protocol::Id;

    use super::{CALLS_MAX, Unseen, first_unseen};
    use crate::unseen::Given;

    #[test]
    fn the_first_path_in_a_call_is_found_and_nothing_else() {
        for (line, expected) in [
            (r#"{"a":"x","path":"/srv/plan","b":"/other"}"#, Some("/srv/plan")),
            (r#"{"path":"/"}"#, None),
            (r#"{"path":"/with\"quote"}"#, None),
            (r#"{"path":"/cut"#, None),
            (r#"{"path":"relative/x"}"#, None),
        ] {
            assert_eq!(
                first_unseen(line.as_bytes(), &Given::default()).as_deref(),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn a_flood_of_calls_is_remembered_up_to_a_bound() {
        let unseen = Unseen::default();
        let last = CALLS_MAX as i64 + 9;
        for number in 0..=last {
            unseen.note(&Id::Number(number), "/x".to_owned());
        }
        assert_eq!(unseen.all().len(), CALLS_MAX);
        assert_eq!(unseen.take(&Id::Number(0)), None);
        assert_eq!(unseen.take(&Id::Number(last)).as_deref(), Some("/x"));
        assert_eq!(unseen.take(&Id::Number(last)), None);
    }
}
