//! What servers were refused lately: one small file a server, written beside the line by a thread of its own, and one notification for
//! each new cause to whoever sits at the desktop. The record has all of it; this is for `status`, and never on the way of a message.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::contract::folder::replace_file;
use crate::failure::{Failure, file_failure};
use crate::home::Home;
use crate::mend;
use crate::notification;
use crate::own_files::{check_folder, read_own_file};

/// Different causes that are remembered of a server; the newest stay.
const CAUSES_MAX: usize = 32;
/// Different causes of one kind that one session tells; what comes after is on record only.
const CAUSES_A_KIND_MAX: usize = 16;
/// Refusals that may wait to be written.
const WAITING_MAX: usize = 64;
/// Notifications of one kind in one session.
const NOTIFICATIONS_MAX: u32 = 4;
/// How long the end of a session waits for what is not written yet.
const WRITTEN_WITHIN: Duration = Duration::from_millis(100);
/// Characters of a text.
const TEXT_CHARS_MAX: usize = 200;
/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: usize = 256 * 1024;
const STACK_BYTES: usize = 128 * 1024;

/// What a server was refused, as the gate knows it.
#[derive(Debug)]
pub(crate) enum Refused {
    /// A host that is only not listed.
    Host(String),
    /// A program that is not there inside.
    Program(String),
    /// It asked for a name and has no network at all.
    Names,
    /// A file or folder that a call named, that is there on this machine and not for it.
    Path(String),
    /// A UNIX socket of this machine.
    Socket(String),
    /// A port of this machine.
    Port(u16),
    /// A call of the client's.
    Call { rule: &'static str, why: String },
}

/// One cause, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cause {
    /// In words, safe for a terminal.
    pub(crate) what: String,
    /// The line that would grant it, where there is one.
    pub(crate) line: Option<String>,
    /// The last record of it.
    pub(crate) record: String,
    /// When that was, in seconds since 1970.
    pub(crate) at: u64,
    pub(crate) times: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Causes {
    /// Oldest first.
    causes: Vec<Cause>,
}

/// Takes refusals, each with its record.
type Teller = SyncSender<(Refused, String)>;

/// Kinds of refusals: a flood of one leaves room for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Host,
    Program,
    Names,
    Path,
    Socket,
    Port,
    Call,
}

impl Refused {
    /// Its kind, and what tells it from others of that kind.
    fn key(&self) -> (Sort, String) {
        match self {
            Self::Host(wanted) => (Sort::Host, wanted.clone()),
            Self::Program(path) => (Sort::Program, path.clone()),
            Self::Names => (Sort::Names, String::new()),
            Self::Path(path) => (Sort::Path, path.clone()),
            Self::Socket(path) => (Sort::Socket, path.clone()),
            Self::Port(port) => (Sort::Port, port.to_string()),
            Self::Call { rule, .. } => (Sort::Call, (*rule).to_owned()),
        }
    }
}

/// One session's way of telling.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    to: Listener,
    told: Mutex<Told>,
}

/// Who is told.
#[derive(Debug, Default)]
enum Listener {
    /// Nobody looks this session up.
    #[default]
    Nobody,
    /// Whoever looks at `status`: the folder of the files, and the server.
    People(PathBuf, String),
    /// Whoever watches a server for the first time.
    Watcher(Gathered),
}

/// What a server that is watched was refused, in order, each with its record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gathered(Arc<Mutex<Vec<(Refused, String)>>>);

impl Gathered {
    /// All of it; nothing is left behind.
    pub(crate) fn take(&self) -> Vec<(Refused, String)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, refused: Refused, record: String) {
        // Its questions for names are heard one by one.
        if !matches!(refused, Refused::Names) {
            let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            gathered.push((refused, record));
        }
    }
}

#[derive(Debug, Default)]
struct Told {
    known: BTreeMap<Sort, BTreeSet<String>>,
    sender: Option<Teller>,
    written: Option<Receiver<()>>,
}

impl Refusals {
    /// For the sessions of a server under a contract.
    pub(crate) fn of(home: &Home, server: &str) -> Self {
        Self {
            to: Listener::People(folder(home), server.to_owned()),
            told: Mutex::default(),
        }
    }

    /// For a server that is watched for the first time.
    pub(crate) fn gathered(by: Gathered) -> Self {
        Self {
            to: Listener::Watcher(by),
            told: Mutex::default(),
        }
    }

    /// Tells one refusal, `record` says where it stands. Never waits: what does not fit is on record only.
    pub(crate) fn tell(&self, refused: Refused, record: impl FnOnce() -> String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (sort, key) = refused.key();
        let known = told.known.entry(sort).or_default();
        if known.len() >= CAUSES_A_KIND_MAX || !known.insert(key) {
            return;
        }
        let (folder, server) = match &self.to {
            Listener::People(folder, server) => (folder, server),
            Listener::Watcher(gathered) => return gathered.note(refused, record()),
            Listener::Nobody => return,
        };
        if told.sender.is_none() {
            (told.sender, told.written) = start(folder.clone(), server.clone()).unzip();
        }
        if let Some(sender) = &told.sender {
            // It is on record.
            let _unwritten = sender.try_send((refused, record()));
        }
    }

    /// At the end of a session: waits a moment for what is not written yet.
    pub(crate) fn finish(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        drop(told.sender.take());
        if let Some(written) = told.written.take() {
            // It ends by hanging up, or is not waited for.
            let _ended: Result<(), RecvTimeoutError> = written.recv_timeout(WRITTEN_WITHIN);
        }
    }
}

/// The thread that writes, and what hangs up once everything is written; `None` where no thread can be had.
fn start(folder: PathBuf, server: String) -> Option<(Teller, Receiver<()>)> {
    let (sender, waiting) = sync_channel::<(Refused, String)>(WAITING_MAX);
    let (alive, written) = sync_channel::<()>(1);
    let write = move || {
        let mut notifications: BTreeMap<Sort, u32> = BTreeMap::new();
        while let Ok((refused, record)) = waiting.recv() {
            if matches!(refused, Refused::Names) && names_a_host(&folder, &server) {
                continue;
            }
            let Some(cause) = cause(&server, &refused, record) else {
                continue;
            };
            // A folder that cannot be written costs the operator this list, and the session nothing.
            let is_new = note(&folder, &server, cause.clone()).unwrap_or(false);
            let shown = notifications.entry(refused.key().0).or_default();
            if is_new && *shown < NOTIFICATIONS_MAX {
                *shown += 1;
                tell_desktop(&server, &cause);
            }
        }
        drop(alive);
    };
    let thread = std::thread::Builder::new()
        .name("refusals".to_owned())
        .stack_size(STACK_BYTES);
    thread.spawn(write).ok()?;
    Some((sender, written))
}

/// Whether the line for a host stands there already: one with a blank for the name says less.
fn names_a_host(folder: &Path, server: &str) -> bool {
    let known = read(&file(folder, server)).unwrap_or_default().causes;
    let mut lines = known.iter().filter_map(|cause| cause.line.as_deref());
    lines.any(|line| line.contains(" host ") && !line.ends_with(mend::HOST_TO_NAME))
}

/// Remembers what a server was refused while it was watched, once it was accepted so. Nobody is notified: it was just shown.
pub(crate) fn remember(home: &Home, server: &str, refused: &[(Refused, String)]) {
    let hosts = refused
        .iter()
        .filter(|(refused, _)| matches!(refused, Refused::Host(_)));
    for cause in hosts.filter_map(|(refused, record)| cause(server, refused, record.clone())) {
        // It stands on the screen and on record; `status` goes without it.
        let _unwritten = note(&folder(home), server, cause);
    }
}

fn cause(server: &str, refused: &Refused, record: String) -> Option<Cause> {
    let (what, line) = in_words(server, refused)?;
    Some(Cause {
        what,
        line,
        record,
        at: crate::cli::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs(),
        times: 1,
    })
}

/// In words that are safe for a terminal, and the line that would grant it; `None` for what is nothing to tell, such as a program that this
/// machine does not have.
pub(crate) fn in_words(server: &str, refused: &Refused) -> Option<(String, Option<String>)> {
    let (what, line) = match refused {
        Refused::Host(wanted) => {
            let line = mend::host_line(server, wanted)?;
            (format!("the host `{wanted}`"), Some(line))
        }
        Refused::Program(path) => {
            let line = mend::program_line(server, path)?;
            (
                format!("the program `{}`", line.rsplit(' ').next().unwrap_or_default()),
                Some(line),
            )
        }
        Refused::Names => (
            "the name of a host: it may connect nowhere".to_owned(),
            Some(mend::names_line(server)),
        ),
        Refused::Path(path) => (format!("the path `{path}`"), Some(mend::path_line(server, path)?)),
        Refused::Socket(path) => (format!("the socket `{path}`"), Some(mend::socket_line(server, path)?)),
        Refused::Port(port) => (
            format!("port {port} of this machine"),
            Some(mend::port_line(server, *port)?),
        ),
        Refused::Call { rule, why } => (format!("a call ({rule}): {why}"), None),
    };
    let what = cofferdam_inspect::show_safely(&what);
    Some((what.chars().take(TEXT_CHARS_MAX).collect(), line))
}

/// Forgets the causes that a right was granted for: `status` proposes what is still to be decided.
pub(crate) fn forget(home: &Home, server: &str, value: &str) {
    let is_granted = |cause: &Cause| {
        let line = cause.line.as_deref().unwrap_or_default();
        line.rsplit(' ').next() == Some(value)
    };
    // What cannot be written stays on the list, and the right is granted all the same.
    let _unwritten = update(&folder(home), server, |all| {
        all.causes.retain(|cause| !is_granted(cause))
    });
}

fn folder(home: &Home) -> PathBuf {
    home.state().join("refusals")
}

fn file(folder: &Path, server: &str) -> PathBuf {
    folder.join(format!("{server}.json"))
}

/// What a server was refused, newest last. A file that cannot be read is an empty one: the record has it all.
pub(crate) fn causes(home: &Home, server: &str) -> Vec<Cause> {
    read(&file(&folder(home), server)).unwrap_or_default().causes
}

fn read(path: &Path) -> Result<Causes, Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(Causes::default());
    }
    let text = read_own_file(path, FILE_BYTES_MAX)?;
    serde_json::from_str(&text).map_err(|error| Failure::misconfigured(format!("`{}`: {error}", path.display())))
}

/// Writes a cause; tells whether it was not known.
fn note(folder: &Path, server: &str, cause: Cause) -> Result<bool, Failure> {
    update(folder, server, |all| {
        let known = all
            .causes
            .iter()
            .position(|known| (&known.what, &known.line) == (&cause.what, &cause.line));
        let known = known.map(|at| all.causes.remove(at));
        let times = known.as_ref().map_or(0, |known| known.times).saturating_add(1);
        all.causes.push(Cause { times, ..cause });
        let surplus = all.causes.len().saturating_sub(CAUSES_MAX);
        all.causes.drain(..surplus);
        known.is_none()
    })
}

/// Changes a server's file under its lock.
fn update<T>(folder: &Path, server: &str, change: impl FnOnce(&mut Causes) -> T) -> Result<T, Failure> {
    Home::make(folder)?;
    check_folder(folder)?;
    let path = file(folder, server);
    let lock = path.with_extension("lock");
    let alone = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock)
        .map_err(|error| file_failure("open", &lock, &error))?;
    alone.lock().map_err(|error| file_failure("lock", &lock, &error))?;
    let mut all = read(&path).unwrap_or_default();
    let changed = change(&mut all);
    let text = serde_json::to_string(&all).map_err(|error| Failure::misconfigured(error.to_string()))?;
    replace_file(&path, &text)?;
    Ok(changed)
}

/// What the person at the desktop reads.
fn tell_desktop(server: &str, cause: &Cause) {
    let body = match &cause.line {
        Some(line) => format!("If that is what it is for: {line}"),
        None => "`cofferdam status` says more".to_owned(),
    };
    notification::show(&format!("{server} was refused {}", cause.what), &body);
}

#[cfg(test)]
mod tests {
    use super::{CAUSES_MAX, Cause, Refused, cause, note, read};

    fn some(number: usize) -> Cause {
        Cause {
            what: format!("the host `h{number}`"),
            line: None,
            record: format!("ab:{number}"),
            at: 1,
            times: 1,
        }
    }

    #[test]
    fn a_cause_is_new_once_and_the_newest_stay() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let folder = place.path().join("refusals");
        assert!(note(&folder, "s", some(0)).unwrap());
        assert!(!note(&folder, "s", some(0)).unwrap());
        for number in 1..=CAUSES_MAX {
            assert!(note(&folder, "s", some(number)).unwrap());
        }
        let all = read(&folder.join("s.json")).unwrap().causes;
        assert_eq!((all.len(), all.last()), (CAUSES_MAX, Some(&some(CAUSES_MAX))));
        std::fs::write(folder.join("s.json"), "{\"causes\": [{\"wh").unwrap();
        assert!(note(&folder, "s", some(0)).unwrap(), "half a file is none");
    }

    #[test]
    fn threads_that_write_at_once_lose_nothing() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let folder = place.path().join("refusals");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let folder = &folder;
                scope.spawn(move || note(folder, "s", some(number)).unwrap());
            }
        });
        assert_eq!(read(&folder.join("s.json")).unwrap().causes.len(), 8);
    }

    #[test]
    fn what_a_server_says_is_shown_safely() {
        let call = Refused::Call {
            rule: "argument/shell",
            why: "\u{1b}[2J<b>x</b>".to_owned(),
        };
        let cause = cause("s", &call, "ab:1".to_owned()).unwrap();
        assert!(!cause.what.contains('\u{1b}'), "{}", cause.what);
        assert!(!crate::notification::without_markup(&cause.what).contains('<'));
    }
}
