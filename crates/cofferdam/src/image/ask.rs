//! Asking a container engine something, in bounded time and space: it may hang on its storage, and so must not we.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::gate::escaped;

/// Most bytes of an engine's answer about one image.
const INSPECTED_BYTES_MAX: u64 = 4 << 20;
/// Most of what it says about a failure.
const SAID_BYTES_MAX: u64 = 64 << 10;
/// How long it may take. An engine that was never used before sets up its storage first.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// How often one that closed its pipes is looked at until it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// What the engine printed, or why it printed nothing that can be used.
pub(super) fn answer(command: &mut Command) -> Result<Vec<u8>, String> {
    answer_within(command, ANSWERED_WITHIN)
}

fn answer_within(command: &mut Command, limit: Duration) -> Result<Vec<u8>, String> {
    let until = Instant::now() + limit;
    let too_late = || format!("it did not answer within {} seconds", limit.as_secs_f32());
    let mut engine = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What it starts is ended with it.
        .process_group(0)
        .spawn()
        .map_err(|cause| cause.to_string())?;
    let heard = pipes(&mut engine).map_err(|cause| {
        end(&mut engine);
        cause.to_string()
    })?;
    let heard = heard.recv_timeout(limit);
    if !matches!(heard, Ok(Heard { is_whole: true, .. })) {
        end(&mut engine);
    }
    let Some(status) = ended(&mut engine, until) else {
        end(&mut engine);
        let _reaped = ended(&mut engine, until);
        return Err(too_late());
    };
    let heard = heard.map_err(|_late| too_late())?;
    if !heard.is_whole {
        return Err(format!(
            "its answer is over {INSPECTED_BYTES_MAX} bytes, or cannot be read"
        ));
    }
    if status.success() && heard.is_calm {
        return Ok(heard.answer);
    }
    let said = String::from_utf8_lossy(&heard.said).into_owned();
    Err(escaped(said.lines().next_back().unwrap_or_default().as_bytes()))
}

/// What came over both pipes.
struct Heard {
    answer: Vec<u8>,
    /// All of it was read, and it is not too much.
    is_whole: bool,
    said: Vec<u8>,
    /// Nothing went wrong while it was listened to what it complains about.
    is_calm: bool,
}

/// Reads both pipes of a process in a thread of their own, which ends with whoever holds them.
fn pipes(engine: &mut Child) -> io::Result<Receiver<Heard>> {
    let (sender, heard) = channel();
    let (out, err) = (engine.stdout.take(), engine.stderr.take());
    let listen = move || {
        let (mut answer, mut said) = (Vec::new(), Vec::new());
        let read = bounded(out, INSPECTED_BYTES_MAX + 1, &mut answer);
        let is_whole = read.is_ok_and(|bytes| u64::try_from(bytes).is_ok_and(|bytes| bytes <= INSPECTED_BYTES_MAX));
        // Of one that has more to print, the rest is not waited for.
        let is_calm = is_whole && bounded(err, SAID_BYTES_MAX, &mut said).is_ok();
        // Nobody waits for it any more when it was too late.
        let _unheard = sender.send(Heard {
            answer,
            is_whole,
            said,
            is_calm,
        });
    };
    thread::Builder::new().name("engine".to_owned()).spawn(listen)?;
    Ok(heard)
}

fn bounded(pipe: Option<impl Read>, most: u64, into: &mut Vec<u8>) -> io::Result<usize> {
    let pipe = pipe.ok_or(io::ErrorKind::BrokenPipe)?;
    pipe.take(most).read_to_end(into)
}

/// Ends it and what it started.
fn end(engine: &mut Child) {
    if let Ok(group) = i32::try_from(engine.id()) {
        // It may have ended meanwhile, in which case it is not reaped yet and the number is still its own.
        let _ended = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

/// How it ended, if it does in time; what was killed has a moment more.
fn ended(engine: &mut Child, until: Instant) -> Option<ExitStatus> {
    let until = until.max(Instant::now() + Duration::from_secs(1));
    loop {
        match engine.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => thread::sleep(LOOK),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::answer_within;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_hangs_is_ended_and_said_to() {
        // It hangs; what it started hangs, and holds its pipes; it closes them, and hangs.
        for script in ["sleep 1000", "sleep 1000 & echo answer", "exec >&- 2>&-; sleep 1000"] {
            let began = Instant::now();
            let said = answer_within(&mut shell(script), Duration::from_millis(300)).unwrap_err();
            assert!(said.contains("did not answer within 0.3 seconds"), "{script}: {said}");
            assert!(began.elapsed() < Duration::from_secs(30), "{script}");
        }
    }

    #[test]
    fn what_it_prints_is_the_answer_and_its_last_complaint_the_reason() {
        let limit = Duration::from_secs(30);
        assert_eq!(answer_within(&mut shell("echo answer"), limit).unwrap(), b"answer\n");
        let said = answer_within(&mut shell("echo one >&2; echo two >&2; exit 1"), limit).unwrap_err();
        assert_eq!(said, "two");
        let said = answer_within(&mut shell("cat /dev/zero"), limit).unwrap_err();
        assert!(said.contains("is over 4194304 bytes"), "{said}");
    }
}
