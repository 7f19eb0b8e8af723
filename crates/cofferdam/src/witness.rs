//! Takes a session's heads to the host's ledger, and the ledger's checkpoints to where they are published. Off the line: nothing waits for it.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use cofferdam_audit::{Clock as _, Head, Heads, Log, SystemClock};
use cofferdam_ledger::{Entry, Integrated, Ledger, SignedCheckpoint, What};
use nix::fcntl::OFlag;
use serde_json::json;

use crate::home::Home;

/// How often a session that goes on states its head: so much of it the ledger does not know yet.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long a head rests before it is stated, so that the disk has it first.
const SETTLE: Duration = Duration::from_millis(50);
/// How long the end of a session waits for the ledger. What it does not take in time waits there for the next session.
const END: Duration = Duration::from_millis(200);
const STACK_BYTES: usize = 512 * 1024;
/// In the ledger's folder: why the last attempt failed. Not there when it did not.
pub(crate) const TROUBLE: &str = "trouble";

/// The thread of one session that speaks to the ledger.
#[derive(Debug)]
pub(crate) struct Witness {
    end: Sender<()>,
    done: Receiver<()>,
}

impl Witness {
    /// Begins to state the heads of this log.
    ///
    /// # Errors
    /// The thread could not be started.
    pub(crate) fn start(home: &Home, log: &Log, server: &str, publish: Option<PathBuf>) -> std::io::Result<Self> {
        let (end, is_end) = channel();
        let (say_done, done) = channel();
        let statements = Statements {
            ledger: Ledger::at(&home.ledger()),
            folder: home.ledger(),
            publish,
            session: log.session_id().to_owned(),
            server: server.to_owned(),
            heads: log.heads(),
            stated: None,
        };
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                statements.run(&is_end);
                // Who waited for it may be gone.
                let _ = say_done.send(());
            })?;
        Ok(Self { end, done })
    }

    /// States the end, and waits for a moment.
    pub(crate) fn finish(self) {
        // A thread that is gone has stated what it could.
        let _ = self.end.send(());
        let _ = self.done.recv_timeout(END);
    }
}

struct Statements {
    ledger: Ledger,
    folder: PathBuf,
    publish: Option<PathBuf>,
    session: String,
    server: String,
    heads: Heads,
    stated: Option<Head>,
}

impl Statements {
    fn run(mut self, end: &Receiver<()>) {
        let mut pause = SETTLE;
        let mut what = What::Open;
        loop {
            let head = self.heads.latest();
            let ended = end.recv_timeout(pause) != Err(RecvTimeoutError::Timeout);
            if ended {
                let is_closed = self.heads.latest().is_some_and(|(_, closed)| closed);
                self.state(if is_closed { What::Close } else { What::Head }, self.heads.latest());
                return;
            }
            if pause == SETTLE {
                self.state(what, head);
                what = What::Head;
                pause = INTERVAL;
            } else {
                pause = SETTLE;
            }
        }
    }

    /// States a head that is new, and lets the ledger grow.
    fn state(&mut self, what: What, head: Option<(Head, bool)>) {
        let Some((head, _)) = head.filter(|(head, _)| self.stated != Some(*head)) else {
            return;
        };
        let entry = Entry {
            what,
            session: self.session.clone(),
            server: self.server.clone(),
            seq: head.seq,
            hash: head.hash.to_string(),
            wall_ns: SystemClock.now().0,
            about: None,
        };
        let outcome = self.ledger.submit(&entry).map_err(|error| error.to_string());
        if outcome.is_ok() {
            self.stated = Some(head);
        }
        note_trouble(
            &self.folder,
            outcome.and_then(|()| grow(&self.ledger, self.publish.as_deref())),
        );
    }
}

/// Puts what waits into the ledger, and publishes its checkpoint.
///
/// # Errors
/// Why that was not possible, in words.
fn grow(ledger: &Ledger, publish: Option<&Path>) -> Result<(), String> {
    match (ledger.integrate().map_err(|error| error.to_string())?, publish) {
        (Integrated::Grown(checkpoint), Some(path)) => publish_to(path, &checkpoint)
            .map_err(|cause| format!("cannot publish a checkpoint to `{}`: {cause}", path.display())),
        _ => Ok(()),
    }
}

/// Publishes a checkpoint of a ledger that has grown; what keeps it from that is noted.
pub(crate) fn publish_grown(folder: &Path, publish: Option<&Path>, checkpoint: &SignedCheckpoint) {
    if let Some(path) = publish {
        let outcome = publish_to(path, checkpoint);
        note_trouble(
            folder,
            outcome.map_err(|cause| format!("cannot publish a checkpoint to `{}`: {cause}", path.display())),
        );
    }
}

/// Keeps why the ledger did not grow where `audit verify` finds it.
fn note_trouble(folder: &Path, outcome: Result<(), String>) {
    let path = folder.join(TROUBLE);
    // If even that cannot be written, the heads that wait still show.
    let _ = match outcome {
        Ok(()) => std::fs::remove_file(path),
        Err(words) => std::fs::write(path, words),
    };
}

/// One line of JSON at the end of the file.
fn publish_to(path: &Path, checkpoint: &SignedCheckpoint) -> std::io::Result<()> {
    let line = json!({
        "wall_ns": SystemClock.now().0,
        "size": checkpoint.size,
        "checkpoint": String::from_utf8_lossy(&checkpoint.note),
    });
    let mut file = File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let begin = if is_cut(path) { "\n" } else { "" };
    file.write_all(format!("{begin}{line}\n").as_bytes())?;
    file.sync_data()
}

/// Whether a full disk, or a machine that failed, left part of a line at the end. A file that may only be appended to is not read.
fn is_cut(path: &Path) -> bool {
    let last = || {
        let file = File::options()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(path)?;
        let mut last = [b'\n'];
        if let Some(at) = file.metadata()?.len().checked_sub(1) {
            file.read_exact_at(&mut last, at)?;
        }
        Ok::<_, std::io::Error>(last)
    };
    last().is_ok_and(|last| last != *b"\n")
}
