//! The thread that keeps masks on: it hears of changes in granted folders, and masks what is a secret by then.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{ReadFlags, Reader};
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

use super::landlocked;
use super::masker::Namespaces;
use super::secrets::Secrets;
use crate::{Deed, Observation, Observer, SandboxError};

/// It walks folders.
const STACK_BYTES: usize = 512 * 1024;
/// Room for changes that are read at once.
const CHANGES_BYTES: usize = 16 * 1024;

/// An observer that two threads tell.
pub(super) type Shared = Arc<Mutex<Observer>>;

/// Keeps masks on until the compartment has ended; `until` is its first process. What cannot be masked ends it: without a
/// mount table of its own, whatever is found.
pub(super) fn start(
    secrets: Secrets,
    inside: Option<Namespaces>,
    until: OwnedFd,
    observer: Option<Shared>,
) -> io::Result<()> {
    Builder::new()
        .name("masks".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let mut secrets = secrets;
            if let Err(error) = watch(&mut secrets, inside.as_ref(), &until, observer.as_ref()) {
                tell(observer.as_ref(), &error.to_string(), false);
                let end = inside.map_or(landlocked::END, |_namespaces| Signal::KILL);
                // A compartment that shows a secret does not go on. The only error is that it has ended.
                let _ended = pidfd_send_signal(&until, end);
            }
        })
        .map(drop)
}

fn watch(
    secrets: &mut Secrets,
    inside: Option<&Namespaces>,
    until: &OwnedFd,
    observer: Option<&Shared>,
) -> Result<(), SandboxError> {
    loop {
        let mut watched = [
            PollFd::new(&secrets.changes, PollFlags::IN),
            PollFd::new(until, PollFlags::IN),
        ];
        match poll(&mut watched, None) {
            Err(Errno::INTR) => continue,
            polled => drop(polled.map_err(|error| failed(&error.into()))?),
        }
        let [changes, ended] = watched.map(|descriptor| descriptor.revents());
        if !ended.is_empty() {
            return Ok(());
        }
        if changes.contains(PollFlags::IN) {
            look(secrets)?;
        }
        let masks = secrets.take_found();
        if let Some(first) = masks.first() {
            let Some(inside) = inside else {
                let path = first.target.clone();
                return Err(SandboxError::SecretInSight { path });
            };
            inside.mask(&masks).map_err(|error| failed(&error))?;
            masks
                .iter()
                .for_each(|mask| tell(observer, &mask.target.display().to_string(), true));
        }
    }
}

/// Looks at everything that has changed, or at all of it where changes were lost.
fn look(secrets: &mut Secrets) -> Result<(), SandboxError> {
    let (mut changed, mut gone) = (Vec::new(), Vec::new());
    let mut are_lost = false;
    {
        let mut room = [MaybeUninit::uninit(); CHANGES_BYTES];
        let mut reader = Reader::new(&secrets.changes, &mut room);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => are_lost = true,
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => gone.push(event.wd()),
                Ok(event) => changed.extend(event.file_name().map(|name| (event.wd(), name.to_owned()))),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed(&error.into())),
            }
        }
    }
    gone.iter().for_each(|watch| secrets.forget(*watch));
    if are_lost {
        return secrets.look_at_all();
    }
    changed
        .iter()
        .try_for_each(|(watch, name)| secrets.look_at_change(*watch, OsStr::from_bytes(name.to_bytes())))
}

fn failed(error: &io::Error) -> SandboxError {
    SandboxError::Unmasked {
        errno: super::errno(error),
    }
}

fn tell(observer: Option<&Shared>, path: &str, is_masked: bool) {
    let Some(observer) = observer else { return };
    let observation = Observation {
        call: "mask".to_owned(),
        process: String::new(),
        refused: None,
        deed: Deed::Mask {
            path: path.to_owned(),
            is_masked,
        },
    };
    observer.lock().unwrap_or_else(PoisonError::into_inner)(observation);
}
