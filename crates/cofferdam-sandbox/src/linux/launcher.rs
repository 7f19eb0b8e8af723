//! The launcher: this program, re-executed with an empty environment and a sealed order.
//!
//! It makes the namespaces, writes the identity maps, hands over what only the caller's rights can open, and
//! ends. What it has made goes on as the first process of the compartment, a child of the launching process.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{Gid, Uid};
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;
use serde::{Deserialize, Serialize};

use super::cgroup::Places;
use super::channel::{self, DESCRIPTORS_MAX, Report, WORD_BYTES_MAX};
use super::identity::{self, Identity};
use super::init::{self, Newborn};
use super::syscalls::{self, Cloned};
use super::wire::{self, SUBCOMMAND};
use super::{contained, errno, landlocked, masker, trees};
use crate::{SandboxError, Tier};

/// Exit code of a launcher that was started by hand: wrong usage.
const EXIT_USAGE: u8 = 2;
/// What the launching process sends with its first message, its [`Beginning`]: the three ends of the program's pipes, and the compartment's end of the lifeline.
pub(super) const HANDED_OVER: usize = 4;
/// The namespaces of a first process.
const NEW_NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

/// What is known before there is an order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Beginning {
    /// In which control groups the compartment is to be.
    pub(super) places: Places,
    /// Whether it is to have namespaces.
    pub(super) tier: Tier,
}

/// Its second message: the order is complete, and sealed. The launcher passes it on to the first process.
pub(super) const ORDERED: &[u8] = b"ordered";
/// The last message to a first process that is handed folders.
pub(super) const READY: &[u8] = b"ready";

/// Becomes the launcher if this process was started as one, and returns its exit code; to be called first
/// thing in `main`, before any thread exists.
///
/// A start by hand is recognised by what is missing (the sealed plan on descriptor 0, the channel on
/// descriptor 1, the empty environment), does nothing and says so on stderr.
#[must_use]
pub fn run_if_launcher() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let first = arguments.next()?;
    if first == masker::SUBCOMMAND {
        return Some(masker::run());
    }
    if first == contained::SUBCOMMAND {
        return Some(contained::run());
    }
    if first != SUBCOMMAND {
        return None;
    }
    let problem = if arguments.next().is_some() {
        Some("it takes no arguments")
    } else if env::vars_os().next().is_some() {
        Some("its environment is not empty")
    } else if !wire::is_memory_file(rustix::stdio::stdin()) {
        Some("no plan came with it")
    } else if socket_type(rustix::stdio::stdout()) != Ok(SocketType::SEQPACKET) {
        Some("no channel came with it")
    } else {
        None
    };
    Some(match problem {
        None => launch(),
        Some(problem) => {
            let refusal = SandboxError::NotALauncher {
                problem: problem.to_owned(),
            };
            // Nobody may be listening; the exit code says it as well.
            let _unheard = writeln!(io::stderr(), "{refusal}");
            ExitCode::from(EXIT_USAGE)
        }
    })
}

/// Carries the order out, and reports what failed.
fn launch() -> ExitCode {
    // What the compartment's processes inherit, done here because there is time: the order is still being written.
    syscalls::default_signal_actions();
    let control = match take_channel() {
        Ok(control) => control,
        Err(_unreachable) => return ExitCode::FAILURE,
    };
    match carry_out(&control) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If the launching process is gone there is nobody to tell.
            let _unheard = channel::report(&control, &Report::Failed(error), &[]);
            ExitCode::FAILURE
        }
    }
}

/// Closes everything but the order and the channel, and takes the channel from descriptor 1.
fn take_channel() -> io::Result<OwnedFd> {
    syscalls::close_from(3, false)?;
    Ok(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?)
}

fn failed(doing: &str) -> impl Fn(io::Error) -> SandboxError {
    move |error| SandboxError::Launcher {
        doing: doing.to_owned(),
        errno: errno(&error),
    }
}

fn carry_out(control: &OwnedFd) -> Result<(), SandboxError> {
    let receiving = || failed("receive the pipes of the program");
    let message = channel::receive(control, WORD_BYTES_MAX).map_err(receiving())?;
    let beginning: Beginning =
        serde_json::from_slice(&message.bytes).map_err(|error| receiving()(io::Error::other(error)))?;
    let handed: [OwnedFd; HANDED_OVER] = message
        .descriptors
        .try_into()
        .map_err(|_other_number| receiving()(io::ErrorKind::InvalidData.into()))?;
    bring_forth(control, handed, &beginning, || Ok(()))
}

/// Makes the first process of the compartment, and gives it what only this one can. `complete` is called when the
/// launching process has said that the order is sealed.
pub(super) fn bring_forth(
    control: &OwnedFd,
    handed: [OwnedFd; HANDED_OVER],
    beginning: &Beginning,
    complete: impl FnOnce() -> Result<(), SandboxError>,
) -> Result<(), SandboxError> {
    let (ours, theirs) = channel::pair().map_err(failed("make a channel"))?;
    let own = Identity {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    let maps = [
        identity::read_map("self", "uid_map")?,
        identity::read_map("self", "gid_map")?,
    ];
    let drops = identity::can_choose(own.uid, &maps[0]);
    let is_sealed = beginning.tier == Tier::Sealed;
    let group = enter_groups(&beginning.places)?;
    // The namespaces are made while the launching process still looks for what is to be in them.
    let cloned = if is_sealed {
        syscalls::clone_process(NEW_NAMESPACES | libc::CLONE_PARENT, group.as_ref())
    } else {
        syscalls::clone_without_namespaces(libc::CLONE_PARENT, group.as_ref())
    };
    match cloned.map_err(|error| not_cloned(&beginning.places, &error))? {
        Cloned::Child => {
            drop(ours);
            let control = control.try_clone().map_err(failed("keep the channel"))?;
            let run = if is_sealed { init::run } else { landlocked::run };
            run(Newborn {
                control,
                launcher: theirs,
                handed,
                drops,
            })
        }
        Cloned::Parent { pid, pidfd } => {
            drop(theirs);
            let sent = channel::report(control, &Report::Started { pid }, &[pidfd.as_fd()]);
            sent.map_err(failed("report the first process"))?;
            let who = identity::choose(own, pid, [&maps[0], &maps[1]]);
            if drops {
                give_pipes(&handed, who)?;
            }
            if is_sealed {
                identity::write_maps(pid, who, drops)?;
            }
            let word = channel::receive(control, WORD_BYTES_MAX).map_err(failed("hear of the order"))?;
            if word.bytes != ORDERED {
                // Called off. The first process hears it as well, when this one ends.
                return Ok(());
            }
            complete()?;
            raise(&ours, who, drops && is_sealed)
        }
    }
}

/// Whether the namespaces or the place in a control group of version 2 was refused.
fn not_cloned(places: &Places, error: &io::Error) -> SandboxError {
    let errno = errno(error);
    match &places.v2 {
        // What only entering a group gives: not ours to enter, threaded, or gone.
        Some(path) if matches!(errno, libc::EACCES | libc::EBUSY | libc::EOPNOTSUPP | libc::ENODEV) => {
            SandboxError::ControlGroup {
                path: path.clone(),
                errno,
            }
        }
        _ => SandboxError::Namespaces { errno },
    }
}

/// Gives the pipes to the program's user, who could not open `/dev/stdout` and `/dev/stderr` otherwise.
fn give_pipes(handed: &[OwnedFd; HANDED_OVER], who: Identity) -> Result<(), SandboxError> {
    let (uid, gid) = (Uid::from_raw(who.uid), Gid::from_raw(who.gid));
    let [pipes @ .., _lifeline] = handed;
    for pipe in pipes {
        rustix::fs::fchown(pipe, Some(uid), Some(gid)).map_err(|error| failed("give the pipes away")(error.into()))?;
    }
    Ok(())
}

/// Enters the control groups of version 1, and opens the one of version 2 for what will be made in it.
fn enter_groups(places: &Places) -> Result<Option<OwnedFd>, SandboxError> {
    let failed = |path: &Path, error: io::Error| SandboxError::ControlGroup {
        path: path.to_path_buf(),
        errno: errno(&error),
    };
    for tasks in &places.v1 {
        fs::write(tasks, "0").map_err(|error| failed(tasks, error))?;
    }
    let open = |folder: &PathBuf| fs::File::open(folder).map_err(|error| failed(folder, error));
    Ok(places.v2.as_ref().map(open).transpose()?.map(OwnedFd::from))
}

/// Tells the waiting first process that the order is complete, and gives it what only this one can when it will be
/// somebody else: the folders it could not open.
fn raise(newborn: &OwnedFd, who: Identity, drops: bool) -> Result<(), SandboxError> {
    // The first process reads the order and builds what is its own while this one opens what it names.
    channel::send(newborn, ORDERED, &[]).map_err(failed("pass on that the order is complete"))?;
    if !drops {
        return Ok(());
    }
    let order = wire::unseal(rustix::stdio::stdin()).map_err(|problem| SandboxError::NotALauncher { problem })?;
    let trees = trees::open_all(&order.grafts, Some(who))?;
    let borrowed: Vec<BorrowedFd<'_>> = trees.iter().map(OwnedFd::as_fd).collect();
    for some in borrowed.chunks(DESCRIPTORS_MAX) {
        channel::send(newborn, b"trees", some).map_err(failed("hand over the folders"))?;
    }
    channel::send(newborn, READY, &[]).map_err(failed("release the first process"))
}
