//! The observer's thread: hears of calls, tells them, and gives the answer that the filter has for each.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::PoisonError;
use std::thread::Builder;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::bpf::Filter;
use super::caller::Caller;
use super::mask_watch::Shared;
use super::seccomp::{Answer, answer};
use super::syscall_names;
use super::syscalls::{self, Told};
use crate::{Deed, Observation};

/// It decodes a path and an address, and calls the observer.
const STACK_BYTES: usize = 256 * 1024;

/// Observes until the compartment has ended. `plain` is the filter as it would be without an observer.
pub(super) fn start(listener: OwnedFd, until: OwnedFd, plain: Filter, observer: Shared) -> io::Result<()> {
    Builder::new()
        .name("observer".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || observe(&listener, &until, &plain, &observer))
        .map(drop)
}

fn observe(listener: &OwnedFd, until: &OwnedFd, plain: &Filter, observer: &Shared) {
    // The program itself is the first: that it is started is no news.
    let mut is_started = false;
    loop {
        let mut watched = [PollFd::new(listener, PollFlags::IN), PollFd::new(until, PollFlags::IN)];
        match poll(&mut watched, None) {
            Err(Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        let [told, ended] = watched.map(|descriptor| descriptor.revents());
        if !told.contains(PollFlags::IN) {
            // Nobody is left who could call, or the first process has ended and took all with it.
            if !told.is_empty() || !ended.is_empty() {
                return;
            }
            continue;
        }
        // One that was ended before it was heard has nothing to tell.
        let Ok(told) = syscalls::receive_told(listener) else {
            continue;
        };
        let answer = answer(plain, told.number, &told.arguments);
        if is_started || i64::from(told.number) != libc::SYS_execve {
            let observation = observation(&told, answer);
            if syscalls::is_told_waiting(listener, told.id) {
                observer.lock().unwrap_or_else(PoisonError::into_inner)(observation);
            }
        }
        is_started = true;
        let refuse = match answer {
            Answer::GoOn => None,
            Answer::Refuse(errno) => Some(errno),
        };
        // Its process may have been ended meanwhile: then nobody waits for the answer.
        let _ended = syscalls::answer_told(listener, told.id, refuse);
    }
}

/// What a call is about, in words.
fn observation(told: &Told, answer: Answer) -> Observation {
    let caller = Caller::open(told.pid);
    let [first, second, third, ..] = told.arguments;
    let execute = |path: u64, arguments: u64| {
        let path = caller.path(path);
        Deed::Execute {
            is_there: path.as_ref().is_some_and(|path| caller.has_file(path)),
            path,
            arguments: caller.strings(arguments),
        }
    };
    let deed = match i64::from(told.number) {
        libc::SYS_execve => execute(first, second),
        libc::SYS_execveat => execute(second, third),
        libc::SYS_connect => Deed::Connect {
            address: caller.address(second, third),
        },
        _ => Deed::Other {
            values: [first, second, third],
        },
    };
    Observation {
        call: syscall_names::name(told.number),
        process: caller.name(),
        refused: match answer {
            Answer::GoOn => None,
            Answer::Refuse(errno) => Some(errno),
        },
        deed,
    }
}
