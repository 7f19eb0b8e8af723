//! A running compartment, as its owner holds it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::cgroup::ControlGroup;
use super::channel::{self, WORD_BYTES_MAX};
use super::engine::Container;
use super::landlocked;
use crate::{Doors, Ended, Enforced, Tier};

/// The first process of a compartment.
#[derive(Debug)]
pub(super) struct Init {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    pub(super) tier: Tier,
}

impl Init {
    /// The signal that ends the first process with all that is inside: the kernel ends a process table with its first process,
    /// and a supervisor ends what it supervises.
    pub(super) const fn end(&self) -> Signal {
        match self.tier {
            Tier::Sealed => Signal::KILL,
            Tier::Landlocked => landlocked::END,
        }
    }
}

/// One process and its descendants, confined. Dropping it kills and reaps them all; so does the death of the
/// process that holds it, however it dies.
#[derive(Debug)]
pub struct Compartment {
    /// Writes to the program's stdin.
    pub stdin: Option<File>,
    /// Reads the program's stdout.
    pub stdout: Option<File>,
    /// Reads the program's stderr.
    pub stderr: Option<File>,
    /// Where its connections arrive; none without a port in its plan.
    pub doors: Option<Doors>,
    enforced: Enforced,
    init: Init,
    /// While this is open the compartment lives.
    lifeline: OwnedFd,
    was_killed: AtomicBool,
    end: Mutex<End>,
    /// What it lies in, cleaned up after it.
    container: Option<Container>,
}

/// What is known of the end, and what is still to be cleaned up after it.
#[derive(Debug)]
struct End {
    ended: Option<Ended>,
    ran_out_of_memory: bool,
    group: Option<ControlGroup>,
}

impl Compartment {
    pub(super) fn new(init: Init, lifeline: OwnedFd, pipes: [File; 3], group: ControlGroup) -> Self {
        let [stdin, stdout, stderr] = pipes;
        Self {
            stdin: Some(stdin),
            stdout: Some(stdout),
            stderr: Some(stderr),
            doors: None,
            enforced: Enforced::default(),
            init,
            lifeline,
            was_killed: AtomicBool::new(false),
            end: Mutex::new(End {
                ended: None,
                ran_out_of_memory: false,
                group: Some(group),
            }),
            container: None,
        }
    }

    pub(super) fn with(self, enforced: Enforced, doors: Option<Doors>) -> Self {
        // A struct that is dropped by hand cannot be taken apart, so the report is put in place.
        let mut compartment = self;
        compartment.enforced = enforced;
        compartment.doors = doors;
        compartment
    }

    /// Lies in a container, which ends with it.
    pub(super) fn within(self, container: Container) -> Self {
        let mut compartment = self;
        compartment.container = Some(container);
        compartment
    }

    /// What was measured on the process that runs the program.
    #[must_use]
    pub fn enforced(&self) -> &Enforced {
        &self.enforced
    }

    /// The number, on this side, of the first process inside.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.init.pid
    }

    /// Asks the program to end: its first process passes SIGTERM on to it.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends every process inside, at once.
    pub fn kill(&self) {
        self.was_killed.store(true, Ordering::SeqCst);
        self.signal(self.init.end());
    }

    fn signal(&self, signal: Signal) {
        // The descriptor means this one process for ever: the only error is that it has ended.
        let _ended = pidfd_send_signal(&self.init.pidfd, signal);
    }

    /// Waits until nothing inside lives any more.
    pub fn wait(&self) -> Ended {
        loop {
            if let Some(ended) = self.wait_until(None) {
                return ended;
            }
        }
    }

    /// Waits at most this long; none when something still lives.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Ended> {
        // A time that cannot be reckoned with is as good as no limit.
        self.wait_until(Instant::now().checked_add(timeout))
    }

    /// Whether the kernel ended something inside because the cap on memory was reached; known once it has
    /// ended, and only where memory is capped.
    #[must_use]
    pub fn ran_out_of_memory(&self) -> bool {
        self.end
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ran_out_of_memory
    }

    fn wait_until(&self, until: Option<Instant>) -> Option<Ended> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let mut watched = [PollFd::new(&self.init.pidfd, PollFlags::IN)];
            match poll(&mut watched, timeout.as_ref()) {
                Ok(0) => return None,
                Err(Errno::INTR) => {}
                // A descriptor that cannot be polled would be a fault of ours: the kernel still knows the end.
                Ok(_) | Err(_) => return Some(self.ended()),
            }
        }
    }

    /// How it ended; called when the first process has.
    fn ended(&self) -> Ended {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = end.ended.unwrap_or_else(|| self.reap());
        end.ended = Some(ended);
        if let Some(group) = end.group.take() {
            end.ran_out_of_memory = group.ran_out_of_memory();
            // Empty now, so dropping it removes it.
        }
        ended
    }

    /// Reaps the first process, and reads what it reported of the program.
    fn reap(&self) -> Ended {
        let pidfd = WaitId::PidFd(std::os::fd::AsFd::as_fd(&self.init.pidfd));
        let status = rustix::io::retry_on_intr(|| waitid(pidfd.clone(), WaitIdOptions::EXITED));
        let record = channel::receive(&self.lifeline, WORD_BYTES_MAX)
            .map(|message| message.bytes)
            .unwrap_or_default();
        if let Ok(ended) = serde_json::from_slice(&record) {
            return ended;
        }
        if self.was_killed.load(Ordering::SeqCst) {
            return Ended::Killed;
        }
        match status {
            Ok(Some(status)) => {
                let signal = status.terminating_signal().map(Ended::Signaled);
                signal.unwrap_or_else(|| Ended::Exited(status.exit_status().unwrap_or(-1)))
            }
            // Somebody else reaped it; what it did not report is not known.
            Ok(None) | Err(_) => Ended::Signaled(libc::SIGKILL),
        }
    }
}

impl Drop for Compartment {
    fn drop(&mut self) {
        self.kill();
        self.wait();
        drop(self.container.take());
    }
}
