//! Bringing what is written to the disk: within 10 ms behind the writers, or before they go on.

use crate::clock::Clock;
use crate::error::AuditError;
use crate::file::SegmentFile;
use crate::quota::Window;
use crate::segment::Segment;
use crate::succession::Succession;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// How these waits are set; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// How old the oldest unsynced byte gets before a sync is issued. Half of the promised
    /// 10 ms: the rest is for the scheduler.
    pub(crate) sync_delay: Duration,
    /// How old it may get before nothing more is written.
    pub(crate) lag_max: Duration,
    /// How long a writer then waits for the disk before it is refused.
    pub(crate) lag_wait: Duration,
}

impl Timing {
    pub(crate) const STANDARD: Self = Self {
        sync_delay: Duration::from_millis(5),
        lag_max: Duration::from_secs(2),
        lag_wait: Duration::from_secs(2),
    };
}

/// How much of the segment is on the disk.
#[derive(Debug, Default)]
struct Progress {
    /// Bytes of the session, over all its segments, that are on the disk.
    synced: u64,
    /// How often a failure took bytes that were never synced. Who waits for such bytes must not
    /// take the sync of a later segment for theirs.
    losses: u64,
    /// Whether the segment's name is on the disk.
    named: bool,
    /// Whether somebody is syncing; there is never more than one.
    syncing: bool,
    /// The boot clock at the oldest byte that no sync covers yet.
    unsynced_since: Option<u64>,
    /// The boot clock at the oldest byte of the sync under way.
    syncing_since: Option<u64>,
    /// Whether the background thread sleeps until it is woken.
    asleep: bool,
    /// Whether the log is gone, and the thread with it after a last sync.
    stopping: bool,
}

/// What appenders and the background thread share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) segment: Segment,
    pub(crate) window: Window,
    /// Holds a group while it is drafted and written; kept so that no append allocates.
    pub(crate) buffer: Vec<u8>,
    pub(crate) succession: Succession,
    /// Bytes in the segments before this one.
    before: u64,
    /// Segments that were followed by another and are not on the disk yet.
    retired: Vec<Unsynced>,
    progress: Progress,
}

/// A file with bytes that no sync covers yet.
#[derive(Debug)]
struct Unsynced {
    file: Arc<dyn SegmentFile>,
    /// Whether its name is on the disk.
    named: bool,
}

impl Unsynced {
    /// Brings it to the disk, and makes sure that it can be found there.
    fn sync(&self) -> io::Result<()> {
        if !self.named {
            self.file.sync_name()?;
        }
        self.file.sync()?;
        if self.file.is_named()? {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::NotFound, "the file was removed"))
        }
    }
}

impl State {
    pub(crate) fn new(segment: Segment, window: Window, succession: Succession) -> Self {
        Self {
            segment,
            window,
            buffer: Vec::new(),
            succession,
            before: 0,
            retired: Vec::new(),
            progress: Progress::default(),
        }
    }

    /// Bytes written in all segments of the session.
    const fn written(&self) -> u64 {
        self.before.saturating_add(self.segment.length())
    }

    /// Goes on in the next segment when this one has had its time, and says whether it did. A
    /// healthy segment that cannot be followed goes on itself.
    pub(crate) fn rotate_if_due(&mut self, bytes: u64, now: (u64, u64)) -> bool {
        if !self.succession.is_due(&self.segment, bytes, now.1) {
            return false;
        }
        let next = self.succession.rotate(&mut self.segment, now);
        next.map(|next| self.succeed(next, now.1)).is_ok()
    }

    /// Goes on in a new segment when a failure ended this one.
    pub(crate) fn renew(&mut self, now: (u64, u64)) -> Result<(), AuditError> {
        let next = self.succession.renew(&self.segment, now)?;
        self.progress.losses += 1;
        self.progress.unsynced_since = None;
        // What the failed segment holds is never synced again.
        self.retired.clear();
        self.succeed(next, now.1);
        Ok(())
    }

    fn succeed(&mut self, next: Segment, boot_ns: u64) {
        self.before = self.written();
        self.progress.unsynced_since.get_or_insert(boot_ns);
        let old = std::mem::replace(&mut self.segment, next);
        let named = std::mem::take(&mut self.progress.named);
        if !old.is_poisoned() {
            let file = old.file();
            self.retired.push(Unsynced { file, named });
        }
    }
}

/// A segment between its appenders and the disk.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// A sync ended.
    synced: Condvar,
    /// There is something to sync after a pause, or the log is gone.
    dirty: Condvar,
    pub(crate) clock: Arc<dyn Clock>,
    timing: Timing,
}

type Guard<'a> = MutexGuard<'a, State>;

impl Shared {
    pub(crate) fn new(state: State, clock: Arc<dyn Clock>, timing: Timing) -> Self {
        let (synced, dirty) = (Condvar::new(), Condvar::new());
        Self {
            state: Mutex::new(state),
            synced,
            dirty,
            clock,
            timing,
        }
    }

    /// The state, to one at a time. A thread that panicked while it held it left it in doubt:
    /// then there is no record any more.
    pub(crate) fn lock(&self) -> Result<Guard<'_>, AuditError> {
        self.state.lock().map_err(|poisoned| doubtful(&poisoned.into_inner()))
    }

    /// Tells the background thread of a byte written at `boot_ns`. It sleeps only when nothing
    /// is unsynced, so under load this wakes nobody.
    pub(crate) fn note_written(&self, state: &mut State, boot_ns: u64) {
        state.progress.unsynced_since.get_or_insert(boot_ns);
        if state.progress.asleep {
            state.progress.asleep = false;
            self.dirty.notify_one();
        }
    }

    /// Whether the disk is further behind than writers may go on. At `synced` it never is:
    /// there every writer waits for its own sync.
    pub(crate) fn is_lagging(&self, state: &State, boot_ns: u64) -> bool {
        state.progress.lag(boot_ns) > self.timing.lag_max
    }

    /// Waits while the disk is too far behind, and refuses when it stays so.
    pub(crate) fn wait_for_disk<'a>(&'a self, state: Guard<'a>) -> Result<Guard<'a>, AuditError> {
        let behind = |state: &State| self.is_lagging(state, self.clock.now().1);
        let (state, waited) = self
            .synced
            .wait_timeout_while(state, self.timing.lag_wait, |state| {
                behind(state) && state.segment.usable().is_ok()
            })
            .map_err(|poisoned| doubtful(&poisoned.into_inner().0))?;
        state.segment.usable()?;
        if waited.timed_out() {
            return Err(self.lagging(&state));
        }
        Ok(state)
    }

    /// Returns once everything written is on the disk, brought there by the background thread
    /// at once and for the last time. A disk that hangs does not hold the caller.
    pub(crate) fn finish_behind(&self) -> Result<(), AuditError> {
        self.stop();
        let state = self.lock()?;
        let length = state.written();
        let pending = |state: &State| state.progress.synced < length;
        let (state, waited) = self
            .synced
            .wait_timeout_while(state, self.timing.lag_wait, |state| {
                pending(state) && state.segment.sound().is_ok()
            })
            .map_err(|poisoned| doubtful(&poisoned.into_inner().0))?;
        if waited.timed_out() {
            return Err(self.lagging(&state));
        }
        if pending(&state) { state.segment.sound() } else { Ok(()) }
    }

    fn lagging(&self, state: &State) -> AuditError {
        let lag = state.progress.lag(self.clock.now().1).as_millis();
        AuditError::Lagging {
            path: state.segment.path().to_owned(),
            milliseconds: u64::try_from(lag).unwrap_or(u64::MAX),
        }
    }

    /// Returns once everything written so far is on the disk. Whoever finds nobody syncing
    /// syncs for all that have written by then; the others wait for it.
    pub(crate) fn sync_written<'a>(&'a self, mut state: Guard<'a>) -> Result<Guard<'a>, AuditError> {
        let (length, losses) = (state.written(), state.progress.losses);
        loop {
            state.segment.sound()?;
            if state.progress.losses != losses {
                return Err(AuditError::Poisoned {
                    path: state.segment.path().to_owned(),
                    cause: "the segment before it failed before this was on the disk".to_owned(),
                });
            }
            if state.progress.synced >= length {
                return Ok(state);
            }
            state = if state.progress.syncing {
                self.synced
                    .wait(state)
                    .map_err(|poisoned| doubtful(&poisoned.into_inner()))?
            } else {
                self.sync_once(state)?
            };
        }
    }

    fn sync_once<'a>(&'a self, mut state: Guard<'a>) -> Result<Guard<'a>, AuditError> {
        let (reach, losses) = (state.written(), state.progress.losses);
        let mut files = std::mem::take(&mut state.retired);
        files.push(Unsynced {
            file: state.segment.file(),
            named: state.progress.named,
        });
        let segments = state.before;
        state.progress.begin();
        drop(state);
        let outcome = files.iter().try_for_each(Unsynced::sync);
        let mut state = self.lock()?;
        state.progress.end();
        self.synced.notify_all();
        if state.progress.losses != losses {
            // The segment failed and was followed meanwhile; this says nothing about the new one.
            return Ok(state);
        }
        match outcome {
            Ok(()) => {
                state.progress.synced = reach;
                // Still the segment that was synced, and not one that followed meanwhile.
                let same = state.before == segments;
                state.progress.named |= same;
                Ok(state)
            }
            Err(cause) => {
                // Also for an interrupted call: what it dropped is not known.
                state.segment.poison(format!("cannot bring it to the disk: {cause}"));
                Err(failed(state.segment.path(), cause))
            }
        }
    }

    /// Lets the background thread sync once more and end.
    pub(crate) fn stop(&self) {
        if let Ok(mut state) = self.state.lock() {
            state.progress.stopping = true;
        }
        self.dirty.notify_all();
    }

    /// Syncs behind the writers until the log is gone or the disk fails.
    fn follow_writers(&self) -> Result<(), AuditError> {
        let mut state = self.lock()?;
        loop {
            let since = state.progress.unsynced_since.filter(|_| !state.segment.is_poisoned());
            match since {
                None if state.progress.stopping => return Ok(()),
                // A segment that failed wakes us again when another follows it.
                None => {
                    state.progress.asleep = true;
                    state = self
                        .dirty
                        .wait(state)
                        .map_err(|poisoned| doubtful(&poisoned.into_inner()))?;
                    state.progress.asleep = false;
                }
                Some(since) => {
                    let age = self.clock.now().1.saturating_sub(since);
                    let pause = self.timing.sync_delay.saturating_sub(Duration::from_nanos(age));
                    state = self
                        .dirty
                        .wait_timeout_while(state, pause, |state| !state.progress.stopping)
                        .map_err(|poisoned| doubtful(&poisoned.into_inner().0))?
                        .0;
                    // Nobody else syncs at this durability, and one that covers nothing new would
                    // still clear what woke us.
                    state = match self.sync_once(state) {
                        Ok(state) => state,
                        // The segment says so to its writers.
                        Err(_) => self.lock()?,
                    };
                }
            }
        }
    }
}

impl Progress {
    const fn begin(&mut self) {
        self.syncing = true;
        self.syncing_since = self.unsynced_since.take();
    }

    const fn end(&mut self) {
        self.syncing = false;
        self.syncing_since = None;
    }

    /// The boot clock at the oldest byte that is not on the disk.
    const fn oldest(&self) -> Option<u64> {
        match self.syncing_since {
            Some(since) => Some(since),
            None => self.unsynced_since,
        }
    }

    fn lag(&self, boot_ns: u64) -> Duration {
        Duration::from_nanos(self.oldest().map_or(0, |since| boot_ns.saturating_sub(since)))
    }
}

fn failed(path: &Path, cause: io::Error) -> AuditError {
    let path = path.to_owned();
    if cause.kind() == io::ErrorKind::NotFound {
        AuditError::Removed { path }
    } else {
        AuditError::Sync { path, cause }
    }
}

fn doubtful(state: &State) -> AuditError {
    let cause = "a thread panicked while it was writing".to_owned();
    AuditError::Poisoned {
        path: state.segment.path().to_owned(),
        cause,
    }
}

/// Starts the thread that syncs behind the writers. It ends after [`Shared::stop`], or when the
/// disk fails: the segment is poisoned then, which is how the writers hear of it.
pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    let shared = Arc::clone(shared);
    let name = "cofferdam-sync".to_owned();
    thread::Builder::new()
        .name(name)
        .stack_size(64 * 1024)
        .spawn(move || match shared.follow_writers() {
            Ok(()) | Err(_) => {}
        })
        .map(drop)
}
