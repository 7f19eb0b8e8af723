//! The first process of the compartment: builds it, starts the sealed process, and then reaps and waits.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::channel::{self, Message, Report, WORD_BYTES_MAX};
use super::fence::Fence;
use super::identity::INSIDE;
use super::kernel_files::OwnSettings;
use super::landlocked::Supervised;
use super::launcher::{HANDED_OVER, ORDERED, READY};
use super::measure::Settings;
use super::seccomp::Variant;
use super::syscalls::{self, Cloned};
use super::wire::{self, Order};
use super::{errno, landlock, limits, measure, mounts, network, seal, seccomp};
use crate::{Ended, Feature, Landlock, SandboxError};

/// What the launching process sends when the program may run.
pub(super) const RUN: &[u8] = b"run";
/// Signals that are passed on to the program.
pub(super) const FORWARDED: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

/// What the first process is born with.
pub(super) struct Newborn {
    /// To the launching process.
    pub(super) control: OwnedFd,
    /// To the launcher.
    pub(super) launcher: OwnedFd,
    /// The program's stdin, stdout and stderr, and the lifeline.
    pub(super) handed: [OwnedFd; HANDED_OVER],
    /// Whether it becomes somebody else than the caller.
    pub(super) drops: bool,
}

fn failed(doing: &str) -> impl Fn(io::Error) -> SandboxError {
    move |error| SandboxError::Init {
        doing: doing.to_owned(),
        errno: errno(&error),
    }
}

/// Runs the first process to its end.
pub(super) fn run(newborn: Newborn) -> ! {
    let Newborn {
        control,
        launcher,
        handed,
        drops,
    } = newborn;
    let built = hear_order(&launcher).and_then(|order| {
        let settings = build(&order, &control, drops.then_some(&launcher))?;
        drop(launcher);
        Ok((order, settings))
    });
    let Err(error) = built.and_then(|(order, settings)| start(&order, &control, handed, settings));
    // Without a listener nobody needs the reason.
    let _unheard = channel::report(&control, &Report::Failed(error), &[]);
    syscalls::end(1)
}

/// Builds the compartment around this process. When it becomes somebody else, `launcher` opens the folders meanwhile.
fn build(order: &Order, control: &OwnedFd, launcher: Option<&OwnedFd>) -> Result<Settings, SandboxError> {
    // The one namespace that is not made with the process: it shows the group the process is in by now.
    match syscalls::unshare_cgroup_namespace() {
        // Who gave it up starts without; the measurement says so.
        Err(_not_here) if !order.plan.require.contains(&Feature::CgroupNamespace) => {}
        made => made.map_err(|error| SandboxError::Namespaces { errno: errno(&error) })?,
    }
    let own = OwnSettings::open()?;
    let mut settings = Settings::default();
    if !order.plan.executable_tmp {
        settings.memfd_noexec = own.forbid_executable_memory_files()?;
    }
    become_inside(launcher.is_some())?;
    rustix::process::setsid().map_err(|error| failed("start a session")(error.into()))?;
    match syscalls::join_new_session_keyring() {
        // A kernel without keys has none to leave behind.
        Err(error) if errno(&error) != libc::ENOSYS => {
            return Err(failed("leave the caller's keys behind")(error));
        }
        _ => {}
    }
    syscalls::reset_personality().map_err(failed("reset the execution domain"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    mounts::enter(order, launcher.map(|launcher| || handed_over(launcher)))?;
    // A container has it already, and its engine's filter may refuse setting it.
    let hostname = order.plan.hostname.as_bytes();
    if rustix::system::uname().nodename().to_bytes() != hostname {
        rustix::system::sethostname(hostname).map_err(|error| failed("set the host name")(error.into()))?;
    }
    if order.plan.loopback {
        syscalls::raise_loopback().map_err(failed("bring up the loopback interface"))?;
    }
    if !order.plan.ports.is_empty() {
        let opened = network::open(&order.plan.ports)?;
        let borrowed: Vec<_> = opened.iter().map(OwnedFd::as_fd).collect();
        channel::report(control, &Report::Doors, &borrowed).map_err(failed("hand the sockets out"))?;
    }
    settings.max_user_namespaces = own.forbid_namespaces(order.plan.browser)?;
    limits::set(&order.plan.limits, order.memory_is_capped)?;
    seal::give_up_privileges()?;
    Ok(settings)
}

/// Waits until the maps are written and the order is complete, and reads it.
pub(super) fn hear_order(launcher: &OwnedFd) -> Result<Order, SandboxError> {
    while hear(launcher)?.bytes != ORDERED {}
    wire::unseal(rustix::stdio::stdin()).map_err(|problem| SandboxError::NotALauncher { problem })
}

/// Waits for the folders that the launcher opened.
fn handed_over(launcher: &OwnedFd) -> Result<Vec<OwnedFd>, SandboxError> {
    let mut trees = Vec::new();
    loop {
        let message = hear(launcher)?;
        trees.extend(message.descriptors);
        if message.bytes == READY {
            return Ok(trees);
        }
    }
}

fn hear(launcher: &OwnedFd) -> Result<Message, SandboxError> {
    let message = channel::receive(launcher, WORD_BYTES_MAX).map_err(failed("hear from the launcher"))?;
    if message.bytes.is_empty() {
        // The launcher has failed and reports why, or was killed: there is nothing to add.
        syscalls::end(1);
    }
    Ok(message)
}

/// Takes the one identity there is inside.
fn become_inside(drops: bool) -> Result<(), SandboxError> {
    let as_error = |error: rustix::io::Errno| failed("take the identity inside")(error.into());
    if drops {
        set_thread_groups(&[]).map_err(as_error)?;
    }
    let (uid, gid) = (rustix::fs::Uid::from_raw(INSIDE), rustix::fs::Gid::from_raw(INSIDE));
    set_thread_res_gid(gid, gid, gid).map_err(as_error)?;
    set_thread_res_uid(uid, uid, uid).map_err(as_error)
}

/// Starts the process that will be sealed, and turns this one into the reaper.
fn start(
    order: &Order,
    control: &OwnedFd,
    handed: [OwnedFd; HANDED_OVER],
    settings: Settings,
) -> Result<Infallible, SandboxError> {
    let mut watched = FORWARDED.to_vec();
    watched.push(libc::SIGCHLD);
    syscalls::block_signals(&watched).map_err(failed("block signals"))?;
    let signals = syscalls::signal_descriptor(&watched).map_err(failed("watch signals"))?;
    let [stdin, stdout, stderr, lifeline] = handed;
    match syscalls::clone_process(0, None).map_err(failed("start the second process"))? {
        Cloned::Child => {
            drop((signals, lifeline));
            let sealed = redirect(&stdin, &stdout, &stderr).and_then(|()| {
                drop((stdin, stdout, stderr));
                sealed_process(order, control, settings, None)
            });
            let Err(error) = sealed;
            let _unheard = channel::report(control, &Report::Failed(error), &[]);
            syscalls::end(1)
        }
        Cloned::Parent { pid, pidfd: _ } => {
            seal::set_dumpable(false)?;
            keep_only(&lifeline, &signals)?;
            reap(pid)
        }
    }
}

pub(super) fn redirect(stdin: &OwnedFd, stdout: &OwnedFd, stderr: &OwnedFd) -> Result<(), SandboxError> {
    let as_error = |error: rustix::io::Errno| failed("connect the pipes")(error.into());
    rustix::stdio::dup2_stdin(stdin).map_err(as_error)?;
    rustix::stdio::dup2_stdout(stdout).map_err(as_error)?;
    rustix::stdio::dup2_stderr(stderr).map_err(as_error)
}

/// Seals this process, measures it, waits for the word, and becomes the program. `supervised` is what stands around it when
/// it has no namespaces.
pub(super) fn sealed_process(
    order: &Order,
    control: &OwnedFd,
    settings: Settings,
    supervised: Option<&Supervised>,
) -> Result<Infallible, SandboxError> {
    let plan = &order.plan;
    let moved = |value: &str| supervised.map_or_else(|| value.to_owned(), |it| it.folder.moved(value));
    let directory = moved(plan.directory.to_str().unwrap_or_default());
    rustix::process::chdir(&directory).map_err(|error| SandboxError::Directory {
        path: plan.directory.clone(),
        errno: error.raw_os_error(),
    })?;
    let arguments = strings(plan.command.iter().cloned())?;
    let variables = plan.environment.iter();
    let environment = strings(variables.map(|(name, value)| format!("{name}={}", moved(value))))?;
    let Some(program) = arguments.first() else {
        return Err(SandboxError::Plan {
            problem: "the command is empty".to_owned(),
        });
    };
    syscalls::block_signals(&[]).map_err(failed("unblock signals"))?;
    // So that it can be measured from outside too; PID 1 stays closed to everybody.
    seal::set_dumpable(true)?;
    syscalls::close_from(3, true).map_err(failed("mark the descriptors"))?;
    seal_and_measure(order, control, settings, supervised)?;
    let word = channel::receive(control, WORD_BYTES_MAX).map_err(failed("hear the word"))?;
    if word.bytes != RUN {
        syscalls::end(1);
    }
    let error = syscalls::execute(program, &arguments, &environment);
    Err(SandboxError::Execute {
        program: plan.command.first().cloned().unwrap_or_default(),
        errno: errno(&error),
    })
}

/// Puts the last two walls up, and reports what was found to hold.
fn seal_and_measure(
    order: &Order,
    control: &OwnedFd,
    settings: Settings,
    supervised: Option<&Supervised>,
) -> Result<(), SandboxError> {
    let plan = &order.plan;
    let landlock: Landlock = match supervised {
        Some(supervised) => landlock::restrict_beside(order, &supervised.folder)?,
        None => landlock::restrict(order)?,
    };
    let variant = Variant {
        refuses_memory_files: !plan.executable_tmp && settings.memfd_noexec.is_none(),
        has_unix_sockets: plan.has_unix_sockets(),
        is_browser: plan.browser,
        fence: supervised.map(|_no_namespace| Fence {
            signals_of: (!landlock::judges_signals()).then(std::process::id),
            refuses_truncate: !landlock::judges_truncation(),
        }),
    };
    let listening = supervised.map_or_else(measure::listening, |_everybodys| BTreeSet::new());
    let listener = seccomp::install(variant, order.is_observed)?;
    // From here on it can be measured from outside, which happens while it measures itself.
    let beside: Vec<BorrowedFd<'_>> = listener.iter().map(OwnedFd::as_fd).collect();
    channel::report(control, &Report::Sealed { variant }, &beside).map_err(failed("report the seal"))?;
    drop(listener);
    let enforced = match supervised {
        Some(supervised) => measure::beside(order, landlock, supervised)?,
        None => measure::inside(order, landlock, settings, listening)?,
    };
    let enforced = Box::new(enforced);
    channel::report(control, &Report::Measured { enforced }, &[]).map_err(failed("report the measurement"))
}

fn strings(strings: impl Iterator<Item = String>) -> Result<Vec<CString>, SandboxError> {
    let nul = |_error| SandboxError::Plan {
        problem: "an argument or variable has a NUL in it".to_owned(),
    };
    strings.map(|string| CString::new(string).map_err(nul)).collect()
}

/// Keeps the lifeline as descriptor 0 and the signals as descriptor 1, and closes everything else. No
/// descriptor object may be used or dropped after this; the process ends without dropping any.
pub(super) fn keep_only(lifeline: &OwnedFd, signals: &OwnedFd) -> Result<(), SandboxError> {
    let as_error = |error: rustix::io::Errno| failed("keep the lifeline")(error.into());
    rustix::stdio::dup2_stdin(lifeline).map_err(as_error)?;
    rustix::stdio::dup2_stdout(signals).map_err(as_error)?;
    syscalls::close_from(2, false).map_err(failed("close the descriptors"))
}

/// Reaps until the program has ended or the lifeline is cut. When this process ends, the kernel ends every
/// other one inside, however far it forked away.
fn reap(program: i32) -> ! {
    let (lifeline, signals) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    loop {
        let mut watched = [
            PollFd::new(&lifeline, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        if poll(&mut watched, None).is_err_and(|error| error != rustix::io::Errno::INTR) {
            syscalls::end(1);
        }
        let [life, signal] = watched.map(|descriptor| descriptor.revents());
        if !life.is_empty() {
            syscalls::end(0);
        }
        if signal.contains(PollFlags::IN) {
            forward_signals(program, None);
            if let Some(ended) = reap_all(program) {
                let record = serde_json::to_vec(&ended).unwrap_or_default();
                // If nobody is there to hear it, the lifeline is cut and this ends as well.
                let _unheard = channel::send(lifeline.as_fd(), &record, &[]);
                syscalls::end(0);
            }
        }
    }
}

/// Passes pending signals on to the program. Says whether one of them was `end`, which is for this process alone.
pub(super) fn forward_signals(program: i32, end: Option<Signal>) -> bool {
    let mut is_end = false;
    let mut record = [0_u8; syscalls::SIGNAL_RECORD_BYTES];
    while rustix::io::read(rustix::stdio::stdout(), &mut record).is_ok_and(|count| count == record.len()) {
        let number = record.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        is_end |= end.is_some_and(|end| end.as_raw().unsigned_abs() == number);
        let forwarded = FORWARDED.iter().find(|signal| signal.unsigned_abs() == number);
        if let (Some(signal), Some(program)) = (
            forwarded.and_then(|raw| Signal::from_named_raw(*raw)),
            Pid::from_raw(program),
        ) {
            // The program may have ended meanwhile.
            let _gone = kill_process(program, signal);
        }
    }
    is_end
}

/// Reaps whatever has ended, and says how the program did if it has.
pub(super) fn reap_all(program: i32) -> Option<Ended> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == program {
            ended = status
                .exit_status()
                .map(Ended::Exited)
                .or(status.terminating_signal().map(Ended::Signaled));
        }
    }
    ended
}
