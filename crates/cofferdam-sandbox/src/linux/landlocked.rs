//! The first process of a compartment without namespaces: it supervises the sealed process, and ends all that descends from
//! it when that ends, when the launching process does, or when it is told to.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, getppid, kill_process, set_child_subreaper, set_parent_process_death_signal,
    test_kill_process, wait,
};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::channel::{self, Report};
use super::identity::{self, Identity};
use super::init::{self, FORWARDED, Newborn};
use super::measure::Settings;
use super::private_folder::PrivateFolder;
use super::syscalls::{self, Cloned};
use super::wire::Order;
use super::{errno, landlock, limits, seal};
use crate::{Ended, Limits, SandboxError};

/// Told to the supervisor by whoever holds the compartment: end everything now. It is not passed on.
pub(super) const END: Signal = Signal::USR1;
/// How often the children of a supervisor that Landlock helps with nothing are looked for. Each time all that are found are
/// ended, so only processes that keep making others and ending themselves need more than as many as they are deep.
const ROUNDS_MAX: usize = 100_000;
/// How long the end waits for the private folder to be removed.
const CLEANING_UP: Duration = Duration::from_millis(300);

fn failed(doing: &str) -> impl Fn(io::Error) -> SandboxError {
    move |error| SandboxError::Init {
        doing: doing.to_owned(),
        errno: errno(&error),
    }
}

/// What stands around the sealed process.
pub(super) struct Supervised {
    pub(super) folder: PrivateFolder,
    /// Everything a signal of the supervisor reaches is of the compartment.
    is_fenced: bool,
    /// What could not be given up or had here, in words.
    pub(super) lacks: Vec<String>,
}

/// Runs the supervisor to its end.
pub(super) fn run(newborn: Newborn) -> ! {
    let Newborn {
        control,
        launcher,
        handed,
        drops,
    } = newborn;
    let begun = block().and_then(|signals| {
        let order = init::hear_order(&launcher)?;
        drop(launcher);
        let supervised = build(&order, drops)?;
        Ok((signals, order, supervised))
    });
    match begun {
        Ok((signals, order, supervised)) => {
            let Err(error) = start(&order, &control, handed, (signals, &supervised));
            let _unheard = channel::report(&control, &Report::Failed(error), &[]);
            clean_up(&supervised);
        }
        // Without a listener nobody needs the reason.
        Err(error) => drop(channel::report(&control, &Report::Failed(error), &[])),
    }
    syscalls::end(1)
}

/// Takes signals one by one from here on: nothing is left behind by one that comes early.
fn block() -> Result<OwnedFd, SandboxError> {
    let mut watched = FORWARDED.to_vec();
    watched.extend([libc::SIGCHLD, END.as_raw()]);
    syscalls::block_signals(&watched).map_err(failed("block signals"))?;
    syscalls::signal_descriptor(&watched).map_err(failed("watch signals"))
}

/// Gives up what this process has, and makes the folder.
fn build(order: &Order, drops: bool) -> Result<Supervised, SandboxError> {
    let mut lacks = Vec::new();
    rustix::process::setsid().map_err(|error| failed("start a session")(error.into()))?;
    match syscalls::join_new_session_keyring() {
        // A stock container's filter refuses every call about keys, and then to the program as well.
        Err(error) if errno(&error) == libc::EPERM => lacks.push("keys: the caller's keyring is kept".to_owned()),
        Err(error) if errno(&error) != libc::ENOSYS => {
            return Err(failed("leave the caller's keys behind")(error));
        }
        _ => {}
    }
    syscalls::reset_personality().map_err(failed("reset the execution domain"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    if drops {
        seal::empty_bounding_set()?;
    } else {
        lacks.push(
            "capabilities: the bounding set is kept, since only root can empty it; without new privileges nothing is gained by it"
                .to_owned(),
        );
    }
    become_unprivileged(drops)?;
    let others = if drops { 0 } else { tasks_of_user() };
    let limits = Limits {
        processes: order.plan.limits.processes.saturating_add(others),
        ..order.plan.limits
    };
    if others > 0 {
        lacks.push(format!(
            "processes: counted with the {others} that the user has elsewhere"
        ));
    }
    limits::set(&limits, order.memory_is_capped)?;
    seal::give_up_all_but_bounding_set()?;
    seal::set_dumpable(false)?;
    set_child_subreaper(Some(rustix::process::getpid())).map_err(|error| failed("take in orphans")(error.into()))?;
    let judges_signals = landlock::judges_signals();
    if judges_signals {
        landlock::keep_signals_inside()?;
    }
    Ok(Supervised {
        folder: PrivateFolder::make().map_err(failed("make the private folder in `/tmp`"))?,
        // INVARIANT: a signal to everybody is only ever sent from a domain or by a user of its own, and after one was refused.
        is_fenced: (judges_signals || drops) && is_refused_above(),
        lacks,
    })
}

/// Becomes somebody of whom there is no other process, when this is root.
fn become_unprivileged(drops: bool) -> Result<(), SandboxError> {
    let own = Identity {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    if !drops {
        return if own.uid == 0 {
            Err(failed(
                "become an unprivileged user: this root has no other, and without namespaces no server runs as root",
            )(Errno::PERM.into()))
        } else {
            Ok(())
        };
    }
    let as_error = |error: Errno| failed("become an unprivileged user")(error.into());
    let maps = [
        identity::read_map("self", "uid_map")?,
        identity::read_map("self", "gid_map")?,
    ];
    let number = rustix::process::getpid().as_raw_nonzero().get();
    let who = identity::choose(own, number, [&maps[0], &maps[1]]);
    let (uid, gid) = (rustix::fs::Uid::from_raw(who.uid), rustix::fs::Gid::from_raw(who.gid));
    set_thread_groups(&[]).map_err(as_error)?;
    set_thread_res_gid(gid, gid, gid).map_err(as_error)?;
    set_thread_res_uid(uid, uid, uid).map_err(as_error)
}

/// Processes and threads that this user has by now: the kernel counts all of them against the limit.
fn tasks_of_user() -> u64 {
    let own = rustix::process::getuid().as_raw().to_string();
    let threads = |entry: fs::DirEntry| {
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next().map(str::to_owned)
        };
        let is_own = field("Uid:")? == own;
        field("Threads:")?.parse::<u64>().ok().filter(|_| is_own)
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(threads).sum()
}

/// Whether a signal to the process above this one is refused.
fn is_refused_above() -> bool {
    let above = getppid().or(Pid::from_raw(1));
    above.is_some_and(|above| test_kill_process(above) == Err(Errno::PERM))
}

/// Starts the process that will be sealed, and supervises it.
fn start(
    order: &Order,
    control: &OwnedFd,
    handed: [OwnedFd; super::launcher::HANDED_OVER],
    (signals, supervised): (OwnedFd, &Supervised),
) -> Result<Infallible, SandboxError> {
    let above = rustix::process::getpid();
    let [stdin, stdout, stderr, lifeline] = handed;
    match syscalls::clone_without_namespaces(0, None).map_err(failed("start the second process"))? {
        Cloned::Child => {
            drop((signals, lifeline));
            let sealed = follow_into_death(above).and_then(|()| {
                init::redirect(&stdin, &stdout, &stderr)?;
                drop((stdin, stdout, stderr));
                init::sealed_process(order, control, Settings::default(), Some(supervised))
            });
            let Err(error) = sealed;
            let _unheard = channel::report(control, &Report::Failed(error), &[]);
            syscalls::end(1)
        }
        Cloned::Parent { pid, pidfd: _ } => {
            let kept = init::keep_only(&lifeline, &signals).map(|()| landlock::hold_kernel_files(pid));
            let ended = supervise(pid);
            end_all(supervised);
            drop(kept);
            clean_up(supervised);
            let Some(ended) = ended else {
                // It was ended, as the first process of a process table is: the program's own end has another look.
                let _impossible = kill_process(rustix::process::getpid(), Signal::KILL);
                syscalls::end(1)
            };
            let record = serde_json::to_vec(&ended).unwrap_or_default();
            // If nobody is there to hear it, nobody needs it.
            let _unheard = channel::send(rustix::stdio::stdin(), &record, &[]);
            syscalls::end(0)
        }
    }
}

/// Has the kernel end this process with the supervisor, should that be ended by somebody else, and gives it a session of its
/// own: a signal to its process group is for its own processes.
fn follow_into_death(above: Pid) -> Result<(), SandboxError> {
    let as_error = |error: Errno| failed("follow the supervisor")(error.into());
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(as_error)?;
    if getppid() != Some(above) {
        syscalls::end(1);
    }
    rustix::process::setsid().map_err(as_error)?;
    Ok(())
}

/// Waits until the program has ended, the lifeline is cut, or the end is told; says how the program ended if it did.
fn supervise(program: i32) -> Option<Ended> {
    let (lifeline, signals) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    loop {
        let mut watched = [
            PollFd::new(&lifeline, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        if poll(&mut watched, None).is_err_and(|error| error != Errno::INTR) {
            return None;
        }
        let [life, signal] = watched.map(|descriptor| descriptor.revents());
        if !life.is_empty() {
            return None;
        }
        if signal.contains(PollFlags::IN) {
            if init::forward_signals(program, Some(END)) {
                return None;
            }
            if let Some(ended) = init::reap_all(program) {
                return Some(ended);
            }
        }
    }
}

/// Ends every process of the compartment.
fn end_all(supervised: &Supervised) {
    if supervised.is_fenced {
        // In one step of the kernel, in which nobody can fork away: what descends from here stays in the domain.
        syscalls::end_all_within_reach();
    }
    for _ in 0..ROUNDS_MAX {
        children().into_iter().for_each(|child| {
            // It may have ended meanwhile, and stays ours until it is reaped.
            let _ended = kill_process(child, Signal::KILL);
        });
        match wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_nobody_is_left) => return,
        }
    }
}

/// The processes whose parent this one is by now.
fn children() -> Vec<Pid> {
    let own = rustix::process::getpid().as_raw_nonzero().to_string();
    let child = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may hold anything, blanks too; state and parent follow it.
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?;
        Pid::from_raw(number).filter(|_| parent == own)
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(child).collect()
}

/// Removes the private folder. Where that takes long, as a hostile program can make it, a process of ours that nobody waits for
/// goes on with it.
fn clean_up(supervised: &Supervised) {
    // Nobody is left who could be told of an error; the next look at `/tmp` shows it.
    if let Ok(false) = supervised.folder.remove(Instant::now().checked_add(CLEANING_UP))
        && let Ok(Cloned::Child) = syscalls::clone_without_namespaces(0, None)
    {
        let _left = supervised.folder.remove(None);
        syscalls::end(0);
    }
}

#[cfg(test)]
mod tests {
    use super::tasks_of_user;

    #[test]
    fn the_users_own_tasks_are_counted() {
        let before = tasks_of_user();
        assert!(before >= 1, "this very process");
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv());
        assert!(tasks_of_user() >= 2);
        drop(release);
        let _ended = thread.join();
    }
}
