//! `approvals`: what running gates ask, and the answers of whoever sits at a terminal.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use cofferdam_manifest::Digest;
use nix::unistd::User;
use serde_json::json;

use super::approvals_watch::watch;
use super::output::{Output, Style};
use super::person::{enroll, unlocked};
use super::policy_args::{ApprovalsAllow, ApprovalsGrants, ApprovalsId, ApprovalsVerb};
use crate::approvals::{
    Approvers, Choice, For, ForeignSocket, Grant, GrantStore, Proof, Question, Reply, Request, ask_foreign_gate,
    ask_gate, foreign_sockets, gate_sockets, grant_words, question_lines, statement,
};
use crate::contract::Contract;
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;
use crate::session::accepted;

/// Runs one of the verbs; without one, `watch` on a terminal and `list` elsewhere.
pub(crate) fn run(home: &Home, verb: Option<ApprovalsVerb>, output: &mut Output) -> Result<Exit, Failure> {
    match verb {
        Some(ApprovalsVerb::List) => list(home, output),
        Some(ApprovalsVerb::Watch(args)) => watch(home, args.lines, output),
        Some(ApprovalsVerb::Allow(args)) => allow(home, &args, output),
        Some(ApprovalsVerb::Deny(ApprovalsId { id })) => deny(home, &id, output),
        Some(ApprovalsVerb::Enroll) => enroll(home, output),
        Some(ApprovalsVerb::Grants(args)) => grants(home, args, output),
        None if std::io::stdin().is_terminal() && !output.is_json() => watch(home, false, output),
        None => list(home, output),
    }
}

/// A question and the gate that asks it.
pub(super) struct Asked {
    gate: Way,
    pub(super) question: Question,
}

/// How a gate is reached.
#[derive(Clone)]
enum Way {
    Own(PathBuf),
    /// Another user's, through a folder of ours: what it says may be anything.
    Foreign(ForeignSocket),
}

impl Asked {
    /// Puts a request to the gate that asks.
    pub(super) fn put(&self, request: &Request) -> Result<Option<Reply>, Failure> {
        match &self.gate {
            Way::Own(socket) => ask_gate(socket, request),
            Way::Foreign(socket) => ask_foreign_gate(socket, request),
        }
    }

    /// The question among all that are open: another user's gate may use any id.
    pub(super) fn key(&self) -> String {
        let (Way::Own(path) | Way::Foreign(ForeignSocket { path, .. })) = &self.gate;
        format!("{} {}", self.question.id, path.display())
    }

    /// Whether a yes needs a signature.
    fn needs_person(&self, scope: For) -> Result<bool, Failure> {
        let is_foreign = matches!(self.gate, Way::Foreign(_));
        Ok(is_foreign || self.question.level >= PERSON || scope != For::Once && !Approvers::read()?.is_empty())
    }

    /// Who asks, where it is somebody else.
    fn user(&self) -> Option<String> {
        let Way::Foreign(ForeignSocket { user, .. }) = &self.gate else {
            return None;
        };
        let name = User::from_uid(*user).ok().flatten().map(|user| user.name);
        Some(name.map_or_else(
            || format!("{user}"),
            |name| format!("{} ({user})", escaped(name.as_bytes())),
        ))
    }
}

/// Every question of every running gate of this user, and of those of others that ask this user. Others' gates that do not answer are told in words and
/// hold up nothing: after one, no further of the same user are asked.
pub(super) fn questions(home: &Home, output: Option<&mut Output>) -> Result<Vec<Asked>, Failure> {
    let mut all = Vec::new();
    for socket in sockets(home)? {
        if let Some(Reply::Questions(questions)) = ask_gate(&socket, &Request::List {})? {
            all.extend(questions.into_iter().map(|question| Asked {
                gate: Way::Own(socket.clone()),
                question,
            }));
        }
    }
    let (mut silent, mut unheard) = (Vec::new(), Vec::new());
    for socket in foreign_sockets()? {
        if silent.contains(&socket.user) {
            continue;
        }
        match ask_foreign_gate(&socket, &Request::List {}) {
            Ok(Some(Reply::Questions(questions))) => {
                let questions = questions.into_iter().take(QUESTIONS_OF_GATE_MAX);
                all.extend(questions.map(|question| Asked {
                    gate: Way::Foreign(socket.clone()),
                    question,
                }));
            }
            Ok(_) => {}
            Err(failure) => {
                silent.push(socket.user);
                unheard.push(failure.what);
            }
        }
    }
    if let Some(output) = output {
        unheard.iter().for_each(|what| output.say(what));
    }
    all.sort_by(|one, other| one.question.expires.cmp(&other.question.expires));
    Ok(all)
}

/// The servers whose questions wait, once for each question.
pub(crate) fn waiting(home: &Home) -> Result<Vec<String>, Failure> {
    let all = questions(home, None)?;
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
    let questions = questions(home, Some(output))?;
    if output.is_json() {
        let all = questions.iter().map(|asked| {
            let mut object = json!(asked.question);
            if let (Some(user), Some(members)) = (asked.user(), object.as_object_mut()) {
                members.insert("user".to_owned(), json!(user));
            }
            object
        });
        let all: Vec<serde_json::Value> = all.collect();
        output.line(&json!(all).to_string())?;
        return Ok(Exit::Fine);
    }
    if questions.is_empty() {
        output.say("nothing waits for consent");
        return Ok(Exit::Nothing);
    }
    for asked in &questions {
        show(asked, output)?;
    }
    Ok(Exit::Fine)
}

pub(super) fn show(asked: &Asked, output: &mut Output) -> Result<(), Failure> {
    let id = output.styled(Style::Bold, &escaped(asked.question.id.as_bytes()));
    output.line(&format!("{id}  asks for consent"))?;
    for line in lines(asked) {
        output.line(&format!("  {line}"))?;
    }
    output.line("")
}

fn lines(asked: &Asked) -> Vec<String> {
    let user = asked.user().map(|user| format!("user     {user}, who is not you"));
    user.into_iter().chain(question_lines(&asked.question)).collect()
}

/// The one question of this id. Two of one id may be there to have the wrong one signed.
fn asked(home: &Home, id: &str, output: &mut Output) -> Result<Asked, Failure> {
    let mut found = questions(home, Some(output))?;
    found.retain(|asked| asked.question.id == id);
    match found.pop() {
        None => Err(unknown(id)),
        Some(asked) if found.is_empty() => Ok(asked),
        Some(_) => Err(Failure::new(
            Exit::Findings,
            format!(
                "several questions have the id `{}`, so none was answered",
                escaped(id.as_bytes())
            ),
        )
        .help("`cofferdam approvals watch` shows each by itself")),
    }
}

fn allow(home: &Home, args: &ApprovalsAllow, output: &mut Output) -> Result<Exit, Failure> {
    if args.within.is_some() && args.scope != For::Path {
        return Err(Failure::usage("`--within` names the folder of `--for path`").help("add `--for path`"));
    }
    let asked = asked(home, &args.id, output)?;
    let key = args.key.clone().unwrap_or_else(|| home.approver());
    if asked.needs_person(args.scope)? {
        // What is signed is what stands here, and not what was listed before.
        lines(&asked).iter().for_each(|line| output.say(line));
    }
    let choice = Choice {
        scope: args.scope,
        folder: args.within.clone(),
        minutes: args.minutes,
    };
    let request = consent(&key, &asked, choice, output)?;
    tell(asked.put(&request)?, &args.id, output)
}

fn deny(home: &Home, id: &str, output: &mut Output) -> Result<Exit, Failure> {
    let asked = asked(home, id, output)?;
    tell(asked.put(&Request::Deny { id: id.to_owned() })?, id, output)
}

/// The answer yes, signed where the question needs a proven person.
pub(super) fn consent(key: &Path, asked: &Asked, choice: Choice, output: &mut Output) -> Result<Request, Failure> {
    let question = &asked.question;
    let refused = |why: String| Failure::new(Exit::Findings, format!("not done: {}", escaped(why.as_bytes())));
    let terms = choice.terms(question).map_err(refused)?;
    if let Some(terms) = &terms {
        output.say(&format!("this grant is for {}", grant_words(terms)));
    }
    let proofs = if asked.needs_person(choice.scope)? {
        let statement = statement(question, &choice, terms.as_ref());
        vec![Proof::of(&statement, &unlocked(key, output)?)]
    } else {
        Vec::new()
    };
    Ok(Request::Allow {
        id: question.id.clone(),
        digest: question.digest.clone(),
        scope: choice.scope,
        minutes: choice.minutes,
        folder: choice.folder,
        proofs,
    })
}

/// Questions of one gate of another user that are shown; a gate of ours has no more open.
const QUESTIONS_OF_GATE_MAX: usize = 64;
/// The level from which on a signature is needed.
const PERSON: u8 = 3;

fn unknown(id: &str) -> Failure {
    Failure::new(
        Exit::Nothing,
        format!("nothing waits under `{}`", escaped(id.as_bytes())),
    )
    .help("it was answered, or expired, or its client gave up; `cofferdam approvals list` shows what waits")
}

/// Takes back a grant at the gate that gave it, which has that on record, and else in the store.
fn revoke(home: &Home, id: &str, output: &mut Output) -> Result<Exit, Failure> {
    let mut told = None;
    for socket in sockets(home)? {
        match ask_gate(&socket, &Request::Revoke { id: id.to_owned() })? {
            None | Some(Reply::Unknown) => {}
            reply => told = reply,
        }
    }
    if GrantStore::of(home).remove(id)? {
        told = Some(Reply::Done(format!("grant {id} is revoked")));
    }
    match told {
        None => Err(
            Failure::new(Exit::Nothing, format!("there is no grant `{}`", escaped(id.as_bytes())))
                .help("it ended, or was taken back; `cofferdam approvals grants` lists those in force"),
        ),
        told => tell(told, id, output),
    }
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
        return revoke(home, &id, output);
    }
    let all = grants_in_force(home, output)?;
    if output.is_json() {
        output.line(&json!(all).to_string())?;
        return Ok(Exit::Fine);
    }
    for grant in &all {
        output.line(&format!(
            "{}  server {}: {}; used {} times",
            escaped(grant.id.as_bytes()),
            escaped(grant.server.as_bytes()),
            grant_words(&grant.terms),
            grant.used,
        ))?;
    }
    if all.is_empty() {
        output.say("there are no grants");
    }
    Ok(if all.is_empty() { Exit::Nothing } else { Exit::Fine })
}

/// The grants that running gates take, and those of the store whose gates do not run.
pub(super) fn grants_in_force(home: &Home, output: &mut Output) -> Result<Vec<Grant>, Failure> {
    let mut all: Vec<Grant> = Vec::new();
    for socket in sockets(home)? {
        if let Some(Reply::Grants(grants)) = ask_gate(&socket, &Request::Grants {})? {
            for grant in grants {
                // Several gates of one server take the same.
                match all.iter_mut().find(|one| one.id == grant.id) {
                    Some(known) => known.used = known.used.saturating_add(grant.used),
                    None => all.push(grant),
                }
            }
        }
    }
    let (stored, unusable) = GrantStore::of(home).read(&Approvers::read()?, super::unix_seconds())?;
    unusable.iter().for_each(|what| output.say(what));
    for one in stored {
        let terms = one.grant.terms();
        let is_accepted = |contract: &Contract| manifest_digest(contract) == terms.manifest;
        let is_living = Contract::read(home, &terms.server).is_ok_and(|contract| is_accepted(&contract));
        if is_living && !all.iter().any(|known| known.id == terms.id) {
            all.push(Grant::of(terms, 0));
        }
    }
    Ok(all)
}

/// What a grant is bound to of what was accepted.
pub(super) fn manifest_digest(contract: &Contract) -> String {
    Digest::of(accepted(contract).as_bytes()).to_string()
}
