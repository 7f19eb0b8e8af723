//! `approvals watch`: one question at a time, and the answer of whoever sits there, in words.
//!
//! On a terminal each question has the screen to itself and stays still until it is settled; `--lines` writes line after line instead, for
//! screen readers and logs. Nothing moves by itself, there are no keys and no default: a key pressed for something else must not consent.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{FlushArg, tcflush};

use super::approvals::{Asked, consent, questions, show, tell};
use super::output::{Output, Style};
use crate::approvals::{Choice, For, Question, Request};
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;

/// How often it looks whether something asks, and whether what is shown still does, in milliseconds.
const LOOK_EVERY_MS: u16 = 500;
/// Minutes of a grant that is given here.
const GRANT_MINUTES: u32 = 60;
/// Bytes of one typed answer: a word and a folder.
const ANSWER_BYTES_MAX: usize = 4_352;
/// Folders above the nearest that are shown.
const FOLDERS_SHOWN: usize = 4;
/// Clears the screen and goes to its first corner (ECMA-48 ED, CUP).
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// What somebody did before a question.
enum Typed {
    Words(String),
    /// The question was settled elsewhere, or expired.
    Gone,
    /// Nobody types any more.
    End,
}

enum Answer {
    Yes(Choice),
    No,
    Later,
}

/// Shows what asks until its input ends.
pub(super) fn watch(home: &Home, is_by_line: bool, output: &mut Output) -> Result<Exit, Failure> {
    let is_screen = !is_by_line && has_screen();
    let mut put_off: Vec<String> = Vec::new();
    let mut is_idle_shown = false;
    loop {
        let open = questions(home, None)?;
        put_off.retain(|key| open.iter().any(|asked| asked.key() == *key));
        let waiting = open.len();
        let Some(asked) = open.into_iter().find(|asked| !put_off.contains(&asked.key())) else {
            if !std::mem::replace(&mut is_idle_shown, true) {
                head(is_screen, waiting, output)?;
                output.say("waiting for questions; Ctrl-C ends this and leaves them open");
            }
            std::thread::sleep(Duration::from_millis(LOOK_EVERY_MS.into()));
            continue;
        };
        is_idle_shown = false;
        head(is_screen, waiting, output)?;
        show(&asked, output)?;
        let done = match typed(home, &asked, output)? {
            Typed::End => return Ok(Exit::Fine),
            Typed::Gone => {
                output.say("it was settled elsewhere, or expired");
                Ok(Exit::Nothing)
            }
            Typed::Words(words) => settle(home, &asked, answer_in(&words), output),
        };
        if let Err(failure) = &done {
            output.failure(failure);
        }
        // What was put off, or still waits for somebody else, is not shown again.
        put_off.push(asked.key());
    }
}

fn has_screen() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !is_dumb && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// What stands above everything on a screen of its own.
fn head(is_screen: bool, waiting: usize, output: &mut Output) -> Result<(), Failure> {
    if !is_screen {
        return Ok(());
    }
    output.raw(CLEAR.as_bytes())?;
    let title = output.styled(Style::Bold, "Cofferdam approvals");
    let count = match waiting {
        0 => "nothing waits".to_owned(),
        1 => "1 question waits".to_owned(),
        count => format!("{count} questions wait"),
    };
    output.line(&format!("{title}   {count}"))?;
    output.line("")
}

fn settle(home: &Home, asked: &Asked, answer: Answer, output: &mut Output) -> Result<Exit, Failure> {
    let id = asked.question.id.clone();
    let request = match answer {
        Answer::Yes(choice) => consent(&home.approver(), asked, choice, output)?,
        Answer::No => Request::Deny { id: id.clone() },
        Answer::Later => return Ok(Exit::Nothing),
    };
    tell(asked.put(&request)?, &id, output)
}

/// What is typed from now on: what was typed before the question was shown is thrown away.
fn typed(home: &Home, asked: &Asked, output: &mut Output) -> Result<Typed, Failure> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        // A terminal that cannot be asked to forget will be read as it is.
        let _ = tcflush(stdin.as_fd(), FlushArg::TCIFLUSH);
    }
    prompt(&asked.question).iter().for_each(|line| output.say(line));
    let mut line = Vec::new();
    loop {
        let mut waiting = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, PollTimeout::from(LOOK_EVERY_MS)) {
            Ok(0) if line.is_empty() => {
                let is_open = questions(home, None)?.iter().any(|open| open.key() == asked.key());
                if !is_open {
                    return Ok(Typed::Gone);
                }
            }
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => {
                // Byte by byte: what belongs to the next question stays where it is.
                let mut byte = [0];
                match nix::unistd::read(stdin.as_fd(), &mut byte) {
                    Ok(1) if byte == *b"\n" => return Ok(Typed::Words(String::from_utf8_lossy(&line).into_owned())),
                    Ok(1) if line.len() < ANSWER_BYTES_MAX => line.extend(byte),
                    Ok(1) | Err(nix::errno::Errno::EINTR) => {}
                    _ => return Ok(Typed::End),
                }
            }
            Err(_unreadable) => return Ok(Typed::End),
        }
    }
}

/// What can be typed, a line for each grant that can be given.
fn prompt(question: &Question) -> Vec<String> {
    let quoted = |text: &str| escaped(text.as_bytes());
    let mut lines = Vec::new();
    let offer = question.offer.as_ref().filter(|_| question.takes_grants);
    if let Some(offer) = offer {
        lines.push("type `allow` for this once, or, for an hour:".to_owned());
        lines.push("  `call`  for this very call, again".to_owned());
        if let Some((nearest, wider)) = offer.folders.split_first() {
            lines.push(format!(
                "  `path`  for every call of this tool within {}",
                quoted(nearest)
            ));
            let wider = wider.iter().take(FOLDERS_SHOWN);
            lines.extend(wider.map(|folder| format!("  `path {0}`  the same within {0}", quoted(folder))));
        }
        if !offer.hosts.is_empty() {
            let hosts: Vec<String> = offer.hosts.iter().map(|host| quoted(host)).collect();
            lines.push(format!(
                "  `host`  for every call of this tool to {} alone",
                hosts.join(", ")
            ));
        }
        lines.push("  `tool`  for every call of this tool in this session".to_owned());
        lines.push("or `deny`; anything else puts it off".to_owned());
    } else {
        lines.push("type `allow` for this once, or `deny`; anything else puts it off".to_owned());
    }
    lines
}

fn answer_in(words: &str) -> Answer {
    let granted = |scope, folder| {
        Answer::Yes(Choice {
            scope,
            folder,
            minutes: GRANT_MINUTES,
        })
    };
    match words.trim() {
        "allow" => Answer::Yes(Choice::ONCE),
        "call" => granted(For::Call, None),
        "path" => granted(For::Path, None),
        "host" => granted(For::Host, None),
        "tool" => granted(For::Tool, None),
        "deny" => Answer::No,
        // A folder that is not offered is refused by name.
        words => match words.strip_prefix("path /") {
            Some(folder) => granted(For::Path, Some(format!("/{folder}"))),
            None => Answer::Later,
        },
    }
}
