//! Calls that name a file or a host that their server was not given: remembered until they are answered, and told to people where the
//! answer says that the file is not there, or the server asks for a name in vain meanwhile. The server hears nothing of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cofferdam_audit::Recorded;
use cofferdam_policy::Permitted;
use cofferdam_protocol::Id;
use memchr::memmem;

use super::Gate;
use crate::egress::Grants;
use crate::refusals::Refused;
use crate::unseen::{Given, says_not_there};

/// Calls in flight whose path is remembered.
const CALLS_MAX: usize = 64;
/// Bytes of a call that are searched for a path, and paths in them.
const SEARCHED_BYTES_MAX: usize = 16 * 1024;
const PATHS_MAX: usize = 8;
/// Longest path that is remembered.
const PATH_BYTES_MAX: usize = 1024;
/// Longest host with its port that is remembered: 253 bytes of a name, and the rest of a URL's authority.
const HOST_BYTES_MAX: usize = 280;

/// What one call names that its server was not given.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    path: Option<String>,
    /// `HOST:PORT` of a URL, where the server may connect nowhere.
    host: Option<String>,
}

/// The calls in flight that name such a thing, by id.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    calls: Mutex<BTreeMap<Id, Named>>,
    /// How many these are: most calls and answers look at nothing else.
    count: AtomicUsize,
}

impl Unseen {
    fn calls(&self) -> MutexGuard<'_, BTreeMap<Id, Named>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what one call names.
    fn note(&self, id: &Id, named: Named) {
        let mut calls = self.calls();
        if calls.len() >= CALLS_MAX {
            // One that is never answered must not keep out those that are.
            calls.pop_first();
        }
        calls.insert(id.clone(), named);
        self.count.store(calls.len(), Ordering::Release);
    }

    /// What the call names that is answered now.
    fn take(&self, id: &Id) -> Option<Named> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut calls = self.calls();
        let taken = calls.remove(id);
        self.count.store(calls.len(), Ordering::Release);
        taken
    }

    /// The paths of all calls in flight.
    pub(super) fn paths(&self) -> Vec<String> {
        self.calls().values().filter_map(|named| named.path.clone()).collect()
    }

    /// The hosts of all calls in flight.
    pub(super) fn hosts(&self) -> Vec<String> {
        self.calls().values().filter_map(|named| named.host.clone()).collect()
    }
}

impl Gate {
    /// Before calls go out: which of them name what their server was not given.
    pub(super) fn note_unseen(&self, permitted: &[Recorded<Permitted>]) {
        for one in permitted {
            let [(id, _)] = one.as_ref().requests() else { continue };
            let line = one.as_ref().line();
            let named = Named {
                path: first_unseen(line, &self.terms.given),
                host: self
                    .connects_nowhere()
                    .then(|| first_host(line))
                    .flatten()
                    .filter(|host| Grants::grantable(host).is_some()),
            };
            if named != Named::default() {
                self.unseen.note(id, named);
            }
        }
    }

    /// Whether no host is granted at all: then nobody hears which names the server asks for.
    pub(super) fn connects_nowhere(&self) -> bool {
        self.terms.network.ports().is_empty()
    }

    /// With each answer: whether what its call named is not there for the server, and is there for whoever could grant it.
    pub(super) fn tell_unseen(&self, id: &Id, answer: &[u8]) {
        let Some(path) = self.unseen.take(id).and_then(|named| named.path) else {
            return;
        };
        if says_not_there(answer) && self.terms.given.lacks_file(&path) {
            self.terms.refusals.tell(Refused::Path(path), || self.short_session());
        }
    }
}

/// `HOST:PORT` of the first URL among the texts of a call.
pub(crate) fn first_host(line: &[u8]) -> Option<String> {
    let searched = line.get(..SEARCHED_BYTES_MAX).unwrap_or(line);
    let at = memmem::find(searched, b"://")?;
    let before = searched.get(at.saturating_sub(b"https".len())..at)?;
    let port = [(b"https".as_slice(), 443), (b"http", 80)]
        .into_iter()
        .find_map(|(scheme, port)| before.to_ascii_lowercase().ends_with(scheme).then_some(port))?;
    let rest = searched.get(at.saturating_add(3)..)?;
    let rest = rest.get(..HOST_BYTES_MAX).unwrap_or(rest);
    let end = rest
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || b".-:".contains(byte)));
    // What stands before an `@` is no host, whatever it looks like.
    let end = end.filter(|end| rest.get(*end) != Some(&b'@'))?;
    let host = std::str::from_utf8(rest.get(..end)?)
        .ok()
        .filter(|host| !host.is_empty())?;
    Some(if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    })
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

    use super::{CALLS_MAX, Named, Unseen, first_host, first_unseen};
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
    fn the_host_of_a_call_is_that_of_its_first_url() {
        for (line, expected) in [
            (r#"{"url":"https://api.example.com/v1"}"#, Some("api.example.com:443")),
            (r#"{"url":"HTTP://api.example.com"}"#, Some("api.example.com:80")),
            (
                r#"{"url":"https://api.example.com:8443?x"}"#,
                Some("api.example.com:8443"),
            ),
            (
                r#"{"text":"see https://one.example, https://two.example"}"#,
                Some("one.example:443"),
            ),
            (r#"{"url":"https://api.example.com@evil.example/"}"#, None),
            (r#"{"url":"ftp://files.example/"}"#, None),
            (r#"{"url":"https:///etc"}"#, None),
            (r#"{"url":"https://cut"#, None),
            (r#"{"path":"/srv"}"#, None),
        ] {
            assert_eq!(first_host(line.as_bytes()).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_flood_of_calls_is_remembered_up_to_a_bound() {
        let unseen = Unseen::default();
        let last = CALLS_MAX as i64 + 9;
        for number in 0..=last {
            let path = Some("/x".to_owned());
            unseen.note(&Id::Number(number), Named { path, host: None });
        }
        assert_eq!(unseen.paths().len(), CALLS_MAX);
        assert_eq!(unseen.take(&Id::Number(0)), None);
        let taken = unseen.take(&Id::Number(last)).and_then(|named| named.path);
        assert_eq!(taken.as_deref(), Some("/x"));
        assert_eq!(unseen.take(&Id::Number(last)), None);
    }
}
