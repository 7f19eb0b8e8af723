//! One bare entry after another: understood, observed sealed, shown, accepted, and only then rewritten.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cofferdam_inspect::show_safely;
use cofferdam_manifest::{Endpoint, can_name_server, looks_secret};
use cofferdam_scan::{Entry, LaunchLine, Piece, Server, entries, pieces, rewrite};

use super::config_file::ConfigText;
use super::discover::Found;
use super::journal::{OpenJournal, Rewritten};
use super::known::{Known, Surroundings};
use super::outcome::{Outcome, State};
use super::places::{Places, Scope};
use super::unreadable;
use super::wishes::Wish;
use crate::cli::add::{Candidate, own_program};
use crate::cli::args::{Add, AsBefore, InstallBut, Protect};
use crate::cli::output::Output;
use crate::cli::understood;
use crate::contract::{Contract, own_names};
use crate::failure::Failure;
use crate::home::Home;
use crate::mend::{host_line, names_line};

/// Servers that are observed at once.
const AT_ONCE: usize = 4;
/// Hosts for which the line is shown that would grant them.
const HOSTS_SHOWN_MAX: usize = 4;
/// What stands in for a secret while a server is observed: it shows what it lists, and can do nothing.
pub(crate) const STAND_IN: &str = "observed-without-secrets";

/// An entry that a client starts by itself.
#[derive(Debug)]
pub(super) struct Wanted {
    found: Found,
    entry: Entry,
    /// As it is written.
    line: LaunchLine,
    /// As it is known here, or why it is not.
    known: Result<Known, Unknown>,
}

/// Why a launch line is not known, kept for the end.
#[derive(Debug, Clone)]
struct Unknown {
    what: String,
    help: Option<String>,
}

impl From<Failure> for Unknown {
    fn from(Failure { what, help, .. }: Failure) -> Self {
        Self { what, help }
    }
}

/// How a wanted entry can be sealed.
enum Way {
    /// As a server that was accepted before, for another client or another entry.
    Known,
    /// As a new one, which was observed as `add` would.
    New(Box<(Candidate, Add)>),
}

impl Wanted {
    /// `ask` asks a person what a client would put in; it gives `None` where nobody answers.
    pub(super) fn new(
        home: &Home,
        found: &Found,
        (entry, line): (Entry, LaunchLine),
        ask: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Self {
        let known = Surroundings::new(home, found, ask).known(&line);
        Self {
            found: found.clone(),
            known: known.map_err(Unknown::from),
            entry,
            line,
        }
    }

    pub(super) fn intended(&self) -> Outcome {
        let outcome = Outcome::of_entry(&self.found, &self.entry, State::Intended);
        match self.known() {
            Ok(_) => outcome,
            Err(failure) => outcome.failed(&failure),
        }
    }

    fn known(&self) -> Result<&Known, Failure> {
        self.known.as_ref().map_err(|unknown| Failure {
            help: unknown.help.clone(),
            ..Failure::misconfigured(&unknown.what)
        })
    }

    /// The line as it is known; as it is written where it is not.
    fn line(&self) -> &LaunchLine {
        self.known.as_ref().map_or(&self.line, |known| &known.line)
    }

    /// What `add` would be told.
    fn add(&self, home: &Home, name: &str, timeout: u64) -> Add {
        let (secret, env) = self.variables();
        let places = self.places(home);
        Add {
            name: name.to_owned(),
            yes: false,
            project: false,
            replace: false,
            read: places.read,
            write: places.write,
            program: Vec::new(),
            execute: places.execute,
            network: Vec::new(),
            browser: false,
            waive: Vec::new(),
            but: InstallBut::default(),
            env,
            secret,
            directory: self.line().directory.as_ref().map(Into::into),
            client: Vec::new(),
            timeout,
            image: None,
            engine: None,
            runtime: None,
            as_before: Some(Box::new(AsBefore {
                project: self.project().map(Path::to_owned),
            })),
            command: self.line().command.clone(),
        }
    }

    /// What its variables name, as it is offered.
    fn places(&self, home: &Home) -> Places {
        let line = self.line();
        let directory = line.directory.as_deref().map(Path::new);
        let program = understood(home, &line.command, directory).map_or_else(|_| Vec::new(), |program| program.grants);
        Scope::of(home, self.project(), &program).places(&line.environment)
    }

    fn project(&self) -> Option<&Path> {
        self.known.as_ref().ok().and_then(|known| known.project.as_deref())
    }

    /// What a person should know about the entry.
    fn notes(&self, home: &Home) -> Result<Vec<String>, Failure> {
        let known = self.known()?.notes.iter().cloned();
        Ok(known.chain(self.places(home).notes).collect())
    }

    /// The names of its variables: those that look like secrets, and the others.
    fn variables(&self) -> (Vec<String>, Vec<String>) {
        let set = self
            .line()
            .environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let passed = self.line().passed.iter().map(|name| (name.as_str(), "unknown"));
        let (secret, plain): (Vec<_>, Vec<_>) = set
            .chain(passed)
            .partition(|(name, value)| looks_secret(name, value).is_some());
        let names = |list: Vec<(&str, &str)>| list.into_iter().map(|(name, _)| name.to_owned()).collect();
        (names(secret), names(plain))
    }

    /// Variables for the first look: plain values as they are, something harmless for everything else.
    fn stand_ins(&self) -> Vec<(String, String)> {
        let (secret, _) = self.variables();
        let value = |name: &String, value: &str| {
            if secret.contains(name) || !pieces(value, self.found.client.marks).iter().all(is_text) {
                STAND_IN.to_owned()
            } else {
                value.to_owned()
            }
        };
        let set = self
            .line()
            .environment
            .iter()
            .map(|(name, text)| (name.clone(), value(name, text)));
        let passed = self
            .line()
            .passed
            .iter()
            .map(|name| (name.clone(), STAND_IN.to_owned()));
        set.chain(passed).collect()
    }
}

fn is_text(piece: &Piece<'_>) -> bool {
    matches!(piece, Piece::Text(_))
}

/// Seals every wanted entry that a person accepts.
pub(super) fn all(
    home: &Home,
    wanted: Vec<Wanted>,
    args: &Protect,
    output: &mut Output,
) -> Result<Vec<Outcome>, Failure> {
    let named = named(home, wanted)?;
    let news: Vec<(usize, Add)> = named
        .iter()
        .enumerate()
        .filter(|(_, (wanted, name, is_new))| *is_new && wanted.known.is_ok() && !name.is_empty())
        .map(|(index, (wanted, name, _))| (index, wanted.add(home, name, args.timeout)))
        .collect();
    if !news.is_empty() {
        output.say(&format!(
            "starting {} sealed and without network, to see what {} …",
            counted(news.len(), "server", "servers"),
            if news.len() == 1 { "it lists" } else { "they list" }
        ));
    }
    let mut candidates = observe_all(home, &news, &named, output);
    let mut adds: BTreeMap<usize, Add> = news.into_iter().collect();
    let mut outcomes = Vec::new();
    for (index, (wanted, name, is_new)) in named.into_iter().enumerate() {
        let outcome = Outcome::of_entry(&wanted.found, &wanted.entry, State::Protected);
        let way = match (wanted.known(), is_new) {
            (Err(failure), _) => Err(failure),
            (Ok(_), false) => Ok(Way::Known),
            (Ok(_), true) => candidates
                .remove(&index)
                .zip(adds.remove(&index))
                .ok_or_else(|| Failure::misconfigured("it was not observed"))
                .and_then(|(candidate, add)| Ok(Way::New(Box::new((candidate?, add))))),
        };
        let done = way.and_then(|way| seal(home, &wanted, &name, (way, args.yes), output));
        outcomes.push(match done {
            Ok(Some(unreached)) => outcome.served_by(&name).unreached(unreached),
            Ok(None) => Outcome::of_entry(&wanted.found, &wanted.entry, State::Declined),
            Err(failure) => outcome.failed(&failure),
        });
    }
    Ok(outcomes)
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Shows one server, has it accepted, and rewrites its entry; gives which lines would let it connect further, where it can connect nowhere.
/// `None` where the person said no.
fn seal(
    home: &Home,
    wanted: &Wanted,
    name: &str,
    (way, is_yes): (Way, bool),
    output: &mut Output,
) -> Result<Option<Vec<String>>, Failure> {
    let unreached = match way {
        // It was shown and accepted: what is new is one more entry that starts it.
        Way::Known => unreached(&Contract::load(home, name)?, Vec::new()),
        Way::New(new) => {
            let (candidate, add) = *new;
            let Some(candidate) = agreed(home, wanted, (candidate, add), is_yes, output)? else {
                return Ok(None);
            };
            candidate.accept(home, false, output)?;
            unreached(&candidate.contract, candidate.hosts())
        }
    };
    rewrite_entry(home, wanted, name)?;
    Ok(Some(unreached))
}

/// The lines that would let a server connect to the hosts that it asked for, or anywhere at all.
fn unreached(contract: &Contract, asked: Vec<Endpoint>) -> Vec<String> {
    let hosts = asked.iter().take(HOSTS_SHOWN_MAX).map(ToString::to_string);
    let lines: Vec<String> = hosts.filter_map(|host| host_line(&contract.name, &host)).collect();
    if lines.is_empty() && contract.manifest.network.allow.is_empty() {
        return vec![names_line(&contract.name)];
    }
    lines
}

/// Shows a server until a person takes it as it is shown; what they want changed is observed anew. `None` where they say no.
fn agreed(
    home: &Home,
    wanted: &Wanted,
    (mut candidate, mut add): (Candidate, Add),
    is_yes: bool,
    output: &mut Output,
) -> Result<Option<Candidate>, Failure> {
    let mut notes = wanted.notes(home)?;
    let mut is_new = true;
    loop {
        if is_new {
            shown(wanted, &candidate, &notes, output)?;
            if !is_yes && !candidate.hosts().is_empty() {
                output.say("  offered   `hosts` lets it connect to the hosts that it asked for");
            }
        }
        if is_yes {
            return Ok(Some(candidate));
        }
        let question = format!("protect `{}` as shown? [y/N/?] ", show_safely(&wanted.entry.name));
        let Some(answer) = output.asked(&question) else {
            return Ok(None);
        };
        is_new = false;
        match Wish::read(&answer) {
            Wish::Yes => return Ok(Some(candidate)),
            Wish::No => return Ok(None),
            Wish::Unclear(help) => output.say(&help),
            Wish::Change(change) => {
                let mut wished = add.clone();
                let seen = change
                    .apply(&mut wished, candidate.hosts())
                    .and_then(|()| Candidate::observed(home, &wished, &wanted.stand_ins()));
                match seen {
                    // What was said about the offer is no longer what is granted.
                    Ok(seen) => (candidate, add, notes, is_new) = (seen, wished, Vec::new(), true),
                    Err(failure) => output.failure(&failure),
                }
            }
        }
    }
}

/// One screen.
fn shown(wanted: &Wanted, candidate: &Candidate, notes: &[String], output: &mut Output) -> Result<(), Failure> {
    output.say("");
    candidate.show(output)?;
    for note in notes {
        output.say(&format!("  note      {note}"));
    }
    output.say(&format!(
        "  until now `{}` ran with all of your rights: every file, every secret in the client's environment, any network",
        show_safely(&wanted.entry.name)
    ));
    Ok(())
}

/// The one change in a client's file. The journal has it before the file does.
fn rewrite_entry(home: &Home, wanted: &Wanted, server: &str) -> Result<(), Failure> {
    let mut journal = OpenJournal::open(home)?;
    let (path, shape) = (&wanted.found.path, &wanted.found.shape);
    let config = ConfigText::read(path)?;
    let now = entries(&config.text, shape).map_err(|fault| unreadable(path, &fault))?;
    let is_same = now
        .iter()
        .any(|entry| entry.path == wanted.entry.path && entry.server == Server::Stdio(wanted.line.clone()));
    if !is_same {
        return Err(Failure::misconfigured(format!(
            "the entry in `{}` was changed while its server was looked at, and was left as it is",
            path.display()
        ))
        .help("run `cofferdam protect` again"));
    }
    let (text, undo) = rewrite(&config.text, shape, &wanted.entry.path, &our_command(home, server)?)
        .map_err(|fault| Failure::misconfigured(format!("`{}` cannot be rewritten: {fault}", path.display())))?;
    journal.note(Rewritten {
        client: wanted.found.client.id.to_owned(),
        file: path.clone(),
        path: wanted.entry.path.clone(),
        name: wanted.entry.name.clone(),
        server: server.to_owned(),
        undo,
    })?;
    config.replace(&text)
}

/// What the client starts instead.
fn our_command(home: &Home, server: &str) -> Result<Vec<String>, Failure> {
    let text = |path: &Path| {
        path.to_str().map(str::to_owned).ok_or_else(|| {
            Failure::misconfigured(format!("`{}` is not UTF-8, so no client can start it", path.display()))
        })
    };
    let mut command = vec![text(&own_program())?];
    if let Some(explicit) = &home.explicit {
        command.extend(["--home".to_owned(), text(explicit)?]);
    }
    command.extend(["run".to_owned(), server.to_owned()]);
    Ok(command)
}

/// Gives each wanted entry the name of its server, and whether that is a new one: the same launch line in three clients is one server.
fn named(home: &Home, wanted: Vec<Wanted>) -> Result<Vec<(Wanted, String, bool)>, Failure> {
    let mut taken = own_names(home)?;
    // One that cannot be read is nobody's twin.
    let accepted: Vec<Contract> = taken
        .iter()
        .filter_map(|name| Contract::read(home, name).ok())
        .collect();
    let mut named: Vec<(Wanted, String, bool)> = Vec::new();
    for one in wanted {
        let twin = named
            .iter()
            .find(|(other, _, _)| one.known.is_ok() && other.line() == one.line());
        let known = twin
            .map(|(_, name, _)| name.clone())
            .or_else(|| accepted_as(&accepted, home, &one));
        let (name, is_new) = match known {
            Some(name) => (name, false),
            None => {
                let name = free_name(&one.entry.name, &taken);
                taken.push(name.clone());
                (name, true)
            }
        };
        named.push((one, name, is_new));
    }
    Ok(named)
}

/// The server that was accepted for this very launch line and these variables, if there is one.
fn accepted_as(accepted: &[Contract], home: &Home, wanted: &Wanted) -> Option<String> {
    let line = &wanted.known().ok()?.line;
    let directory = line.directory.as_deref().map(Path::new);
    let program = understood(home, &line.command, directory).ok()?;
    let (secret, plain) = wanted.variables();
    let is_same = |contract: &&Contract| {
        let manifest = &contract.manifest;
        manifest.launch.command == program.argv
            && manifest.launch.directory == program.directory
            && manifest.environment.pass == plain
            && manifest.secrets.len() == secret.len()
            && secret.iter().all(|name| manifest.secrets.contains_key(name))
    };
    accepted.iter().find(is_same).map(|contract| contract.name.clone())
}

/// A server name as near as may be to the client's, that nobody has.
fn free_name(wish: &str, taken: &[String]) -> String {
    const WISH_BYTES: usize = 56;
    let plain: String = wish
        .chars()
        .map(|one| {
            if one.is_ascii_alphanumeric() || matches!(one, '.' | '_' | '-') {
                one
            } else {
                '-'
            }
        })
        .take(WISH_BYTES)
        .collect();
    let plain = plain.trim_matches(['-', '.', '_']);
    let base = if can_name_server(plain) {
        plain.to_owned()
    } else {
        format!("server-{plain}")
    };
    let numbered = (2_u32..).map(|number| format!("{base}-{number}"));
    let mut names = std::iter::once(base.clone()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or(base)
}

type Observations = BTreeMap<usize, Result<Candidate, Failure>>;

/// Observes several servers at once; says when each is done.
fn observe_all(
    home: &Home,
    news: &[(usize, Add)],
    named: &[(Wanted, String, bool)],
    output: &mut Output,
) -> Observations {
    let next = AtomicUsize::new(0);
    let said = Mutex::new(output);
    let worker = || {
        let mut done = Observations::new();
        while let Some((index, add)) = news.get(next.fetch_add(1, Ordering::Relaxed)) {
            let stand_ins = named
                .get(*index)
                .map(|(wanted, _, _)| wanted.stand_ins())
                .unwrap_or_default();
            let candidate = Candidate::observed(home, add, &stand_ins);
            let word = if candidate.is_ok() {
                "seen"
            } else {
                "cannot be started sealed"
            };
            if let Ok(mut output) = said.lock() {
                output.say(&format!("  {}: {word}", add.name));
            }
            done.insert(*index, candidate);
        }
        done
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..news.len().min(AT_ONCE)).map(|_| scope.spawn(worker)).collect();
        // A worker that panicked leaves its servers unobserved, and they fail one by one.
        workers
            .into_iter()
            .filter_map(|worker| worker.join().ok())
            .flatten()
            .collect()
    })
}
