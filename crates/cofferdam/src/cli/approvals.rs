//! `approvals`: what running gates ask, and the answers of whoever sits at a terminal.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::approvals_watch::watch;
use super::output::{Output, Style};
use super::person::{enroll, unlocked};
use super::policy_args::{ApprovalsAllow, ApprovalsGrants, ApprovalsId, ApprovalsVerb};
use crate::approvals::{
    Approvers, For, Grant, Proof, Question, Reply, Request, ask_gate, gate_sockets, question_lines, statement,
};
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;

/// Runs one of the verbs; without one, `watch` on a terminal and `list` elsewhere.
pub(crate) fn run(home: &Home, verb: Option<ApprovalsVerb>, output: &mut Output) -> Result<Exit, Failure> {
    match verb {
        Some(ApprovalsVerb::List) => list(home, output),
        Some(ApprovalsVerb::Watch(args)) => watch(home, args.lines, output),
        Some(ApprovalsVerb::Allow(args)) => allow(home, &args, output),
        Some(ApprovalsVerb::Deny(ApprovalsId { id })) => answer(home, &Request::Deny { id }, output),
        Some(ApprovalsVerb::Enroll) => enroll(home, output),
        Some(ApprovalsVerb::Grants(args)) => grants(home, args, output),
        None if std::io::stdin().is_terminal() && !output.is_json() => watch(home, false, output),
        None => list(home, output),
    }
}

/// A question and the gate that asks it.
pub(super) struct Asked {
    pub(super) socket: PathBuf,
    pub(super) question: Question,
}

/// Every question of every running gate of this user.
pub(super) fn questions(home: &Home) -> Result<Vec<Asked>, Failure> {
    let mut all = Vec::new();
    for socket in sockets(home)? {
        if let Some(Reply::Questions(questions)) = ask_gate(&socket, &Request::List {})? {
            all.extend(questions.into_iter().map(|question| Asked {
                socket: socket.clone(),
                question,
            }));
        }
    }
    all.sort_by(|one, other| one.question.expires.cmp(&other.question.expires));
    Ok(all)
}

/// The servers whose questions wait, once for each question.
pub(crate) fn waiting(home: &Home) -> Result<Vec<String>, Failure> {
    let all = questions(home)?;
    Ok(all.into_iter().map(|asked| asked.question.server).collect())
}

fn sockets(home: &Home) -> Result<Vec<PathBuf>, Failure> {
    let [first, second] = home.runtimes();
    let folders = if first == second {
        vec![first]
    } else {
        vec![first, second]
    };
    gate_sockets(&folders)
}

fn list(home: &Home, output: &mut Output) -> Result<Exit, Failure> {
    let questions = questions(home)?;
    if output.is_json() {
        let all: Vec<&Question> = questions.iter().map(|asked| &asked.question).collect();
        output.line(&json!(all).to_string())?;
        return Ok(Exit::Fine);
    }
    if questions.is_empty() {
        output.say("nothing waits for consent");
        return Ok(Exit::Nothing);
    }
    for asked in &questions {
        show(&asked.question, output)?;
    }
    Ok(Exit::Fine)
}

pub(super) fn show(question: &Question, output: &mut Output) -> Result<(), Failure> {
    let id = output.styled(Style::Bold, &escaped(question.id.as_bytes()));
    output.line(&format!("{id}  asks for consent"))?;
    for line in question_lines(question) {
        output.line(&format!("  {line}"))?;
    }
    output.line("")
}

fn allow(home: &Home, args: &ApprovalsAllow, output: &mut Output) -> Result<Exit, Failure> {
    let found = questions(home)?.into_iter().find(|asked| asked.question.id == args.id);
    let asked = found.ok_or_else(|| unknown(&args.id))?;
    let key = args.key.clone().unwrap_or_else(|| home.approver());
    let request = consent(&key, &asked.question, (args.scope, args.minutes), output)?;
    let reply = ask_gate(&asked.socket, &request)?;
    tell(reply, &args.id, output)
}

/// The answer yes, signed where the question needs a proven person.
pub(super) fn consent(
    key: &Path,
    question: &Question,
    (scope, minutes): (For, u32),
    output: &mut Output,
) -> Result<Request, Failure> {
    let proofs = match question.level {
        0..PERSON if scope == For::Once || Approvers::read()?.is_empty() => Vec::new(),
        _ => vec![Proof::of(&statement(question, scope, minutes), &unlocked(key, output)?)],
    };
    Ok(Request::Allow {
        id: question.id.clone(),
        digest: question.digest.clone(),
        scope,
        minutes,
        proofs,
    })
}

/// The level from which on a signature is needed.
const PERSON: u8 = 3;

fn unknown(id: &str) -> Failure {
    Failure::new(
        Exit::Nothing,
        format!("nothing waits under `{}`", escaped(id.as_bytes())),
    )
    .help("it was answered, or expired, or its client gave up; `cofferdam approvals list` shows what waits")
}

/// Puts a request about one id to the gate that knows it.
fn answer(home: &Home, request: &Request, output: &mut Output) -> Result<Exit, Failure> {
    let (Request::Deny { id } | Request::Revoke { id }) = request else {
        return Err(Failure::usage("this is no answer"));
    };
    for socket in sockets(home)? {
        match ask_gate(&socket, request)? {
            None | Some(Reply::Unknown) => {}
            reply => return tell(reply, id, output),
        }
    }
    Err(unknown(id))
}

pub(super) fn tell(reply: Option<Reply>, id: &str, output: &mut Output) -> Result<Exit, Failure> {
    match reply {
        Some(Reply::Done(words)) => {
            if output.is_json() {
                output.line(&json!({"id": id, "done": words}).to_string())?;
            } else {
                output.line(&escaped(words.as_bytes()))?;
            }
            Ok(Exit::Fine)
        }
        Some(Reply::Refused(why)) => Err(Failure::new(
            Exit::Findings,
            format!("not done: {}", escaped(why.as_bytes())),
        )),
        _ => Err(unknown(id)),
    }
}

fn grants(home: &Home, args: ApprovalsGrants, output: &mut Output) -> Result<Exit, Failure> {
    if let Some(id) = args.revoke {
        return answer(home, &Request::Revoke { id }, output);
    }
    let mut all: Vec<Grant> = Vec::new();
    for socket in sockets(home)? {
        if let Some(Reply::Grants(grants)) = ask_gate(&socket, &Request::Grants {})? {
            all.extend(grants);
        }
    }
    if output.is_json() {
        output.line(&json!(all).to_string())?;
        return Ok(Exit::Fine);
    }
    for grant in &all {
        let quoted = |text: &str| escaped(text.as_bytes());
        let what = match grant.scope {
            For::Tool => "every call of",
            For::Call | For::Once => "one call, with the very same arguments, of",
        };
        output.line(&format!(
            "{}  {what} `{}` of server `{}`, used {} times, ends {} or with the session",
            quoted(&grant.id),
            quoted(&grant.tool),
            quoted(&grant.server),
            grant.used,
            quoted(&grant.expires)
        ))?;
    }
    if all.is_empty() {
        output.say("there are no grants");
    }
    Ok(if all.is_empty() { Exit::Nothing } else { Exit::Fine })
}
