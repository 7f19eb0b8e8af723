//! Bringing what is written to the disk: within 10 ms behind the writers, or before they go on.

use crate::clock::Clock;
use crate::error::AuditError;
use crate::file::SegmentFile;
use crate::quota::Window;
use crate::segment::Segment;
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
    /// Bytes of the segment that are on the disk.
    synced: u64,
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
    progress: Progress,
}

impl State {
    pub(crate) fn new(segment: Segment, window: Window) -> Self {
        Self {
            segment,
            window,
            buffer: Vec::new(),
            progress: Progress::default(),
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
    file: Arc<dyn SegmentFile>,
    pub(crate) clock: Arc<dyn Clock>,
    timing: Timing,
}

type Guard<'a> = MutexGuard<'a, State>;

impl Shared {
    pub(crate) fn new(state: State, file: Arc<dyn SegmentFile>, clock: Arc<dyn Clock>, timing: Timing) -> Self {
        let (synced, dirty) = (Condvar::new(), Condvar::new());
        Self {
            state: Mutex::new(state),
            synced,
            dirty,
            file,
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
        let length = state.segment.length();
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

    /// Returns once the first `length` bytes are on the disk. Whoever finds nobody syncing
    /// syncs for all that have written by then; the others wait for it.
    pub(crate) fn sync_up_to<'a>(&'a self, mut state: Guard<'a>, length: u64) -> Result<Guard<'a>, AuditError> {
        loop {
            if state.progress.synced >= length {
                return Ok(state);
            }
            state.segment.sound()?;
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
        let (reach, named) = (state.segment.length(), state.progress.named);
        state.progress.begin();
        drop(state);
        let name = if named { Ok(()) } else { self.file.sync_name() };
        let outcome = name.and_then(|()| self.file.sync());
        let mut state = self.lock()?;
        state.progress.end();
        self.synced.notify_all();
        match outcome {
            Ok(()) => {
                state.progress.synced = reach;
                state.progress.named = true;
                Ok(state)
            }
            Err(cause) => {
                // Also for an interrupted call: what it dropped is not known.
                state.segment.poison(format!("cannot bring it to the disk: {cause}"));
                Err(AuditError::Sync {
                    path: state.segment.path().to_owned(),
                    cause,
                })
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
            state.segment.sound()?;
            match state.progress.unsynced_since {
                None if state.progress.stopping => return Ok(()),
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
                    state = self.sync_once(state)?;
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

fn doubtful(state: &State) -> AuditError {
    let cause = "a thread panicked while it was writing".to_owned();
    AuditError::Poisoned {
        path: state.segment.path().to_owned(),
        cause,
    }
}

/// Starts the thread that syncs behind the writers. It ends after [`Shared::stop`], or when the
/// disk fails: the segment is poisoned then, which is how the writers hear of it.
pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
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
