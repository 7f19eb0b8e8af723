//! The command line: one file a verb, one printer, one place that turns a failure into an exit code.

pub(crate) mod add;
mod add_screen;
mod approvals;
mod approvals_watch;
pub(crate) mod args;
mod audit;
mod call;
mod doctor;
pub(crate) mod draft;
mod enter;
mod inspect;
mod install;
mod manifest;
mod manifest_accept;
mod manifest_allow;
mod manifest_diff;
mod manifest_sign;
mod manifest_update;
pub(crate) mod observe;
pub(crate) mod output;
pub(crate) mod person;
mod policy;
pub(crate) mod policy_args;
mod policy_explain;
mod policy_replay;
mod review;
mod run;
mod tools;

pub(crate) use add_screen::findings;
pub(crate) use approvals::waiting;
pub(crate) use run::{UNPINNED, understood};

use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::failure::{Exit, Failure};
use crate::home::Home;
use args::{Cli, ManifestVerb, Verb};
use audit::args::AuditVerb;
use output::Output;
use policy_args::PolicyVerb;

/// Parses the command line, runs the verb, prints what went wrong.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let mut output = Output::new(cli.format);
    let exit = match dispatch(cli, &mut output) {
        Ok(exit) => exit,
        Err(failure) => {
            let exit = failure.exit;
            last_words(output, failure);
            exit
        }
    };
    ExitCode::from(exit as u8)
}

/// How long a reader of stderr may take to take in why we end.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// What a pipe that can be written to at all takes without blocking (`PIPE_BUF` on Linux).
const TAKEN_AT_ONCE_BYTES: usize = 4096;

/// Says what went wrong, without letting a stderr that nobody reads keep the process alive.
fn last_words(mut output: Output, failure: Failure) {
    let stderr = std::io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let bytes = failure.what.len() + failure.help.as_ref().map_or(0, String::len);
    // On a machine with much else to do a thread may not run in time, and then nobody hears why.
    if bytes < TAKEN_AT_ONCE_BYTES / 2 && poll(&mut ready, PollTimeout::ZERO) == Ok(1) {
        output.failure(&failure);
        return;
    }
    let (said, is_said) = sync_channel(1);
    std::thread::spawn(move || {
        output.failure(&failure);
        let _ = said.try_send(());
    });
    let _ = is_said.recv_timeout(LAST_WORDS);
}

/// Help and version are data on stdout; anything else clap says is for people.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing can be done about a terminal that does not take its help.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() {
        Exit::Usage as u8
    } else {
        Exit::Fine as u8
    })
}

/// Some formats are of one verb alone.
fn check_format(verb: &Verb, output: &Output) -> Result<(), Failure> {
    if output.is_sarif() && !matches!(verb, Verb::Inspect(_)) {
        return Err(Failure::usage("this verb has no SARIF output").help("`--format sarif` goes with `inspect`"));
    }
    if output.is_parquet() && !matches!(verb, Verb::Audit(AuditVerb::Export(_))) {
        return Err(
            Failure::usage("this verb has no Parquet output").help("`--format parquet` goes with `audit export`")
        );
    }
    if output.is_csv() && !matches!(verb, Verb::Audit(AuditVerb::Query(_))) {
        return Err(Failure::usage("this verb has no CSV output").help("`--format csv` goes with `audit query`"));
    }
    Ok(())
}

fn dispatch(cli: Cli, output: &mut Output) -> Result<Exit, Failure> {
    check_format(&cli.verb, output)?;
    match cli.verb {
        Verb::Completions { shell } => {
            output.raw(&completions(shell))?;
            return Ok(Exit::Fine);
        }
        Verb::VulnerableServer { root, service_port } => return crate::demo::vulnerable_server(&root, service_port),
        Verb::Demo(args) => return crate::demo::run(crate::demo::Options { keep: args.keep }, output),
        Verb::Rules => return crate::rules::list(output),
        Verb::Doctor(args) => return doctor::run(&args, output),
        Verb::Inspect(verb) => return inspect::run(&verb, output),
        _ => {}
    }
    let home = Home::find(cli.home)?;
    match cli.verb {
        Verb::Run(target) => run::run(&home, target),
        Verb::Add(args) => add::run(&home, *args, output),
        Verb::Protect(args) => crate::protect::protect(&home, &args, output),
        Verb::Unprotect(args) => crate::protect::unprotect(&home, &args, output),
        Verb::Status(args) => crate::protect::status(&home, &args, output),
        Verb::Tools(args) => tools::run(&home, &args, output),
        Verb::Call(args) => call::run(&home, args, output),
        Verb::Enter(target) => enter::run(&home, target, output),
        Verb::Manifest(ManifestVerb::Check(args)) => manifest::check(&home, &args, output),
        Verb::Manifest(ManifestVerb::Diff(args)) => manifest_diff::run(&home, &args, output),
        Verb::Manifest(ManifestVerb::Accept(args)) => manifest_accept::run(&home, &args, output),
        Verb::Manifest(ManifestVerb::Update(args)) => manifest_update::update(&home, &args, output),
        Verb::Manifest(ManifestVerb::Rollback(args)) => manifest_update::rollback(&home, &args, output),
        Verb::Install(verb) => install::run(&home, &verb, output),
        Verb::Manifest(ManifestVerb::Allow(args)) => manifest_allow::run(&home, &args, output),
        Verb::Manifest(ManifestVerb::Sign(args)) => manifest_sign::run(&home, &args, output),
        Verb::Manifest(ManifestVerb::Key(verb)) => manifest_sign::key(&verb, output),
        Verb::Approvals { verb } => approvals::run(&home, verb, output),
        Verb::Policy(PolicyVerb::Check) => policy::check(&home, output),
        Verb::Policy(PolicyVerb::Explain(args)) => policy_explain::explain(&home, &args, output),
        Verb::Policy(PolicyVerb::Replay(args)) => policy_replay::replay(&home, &args, output),
        Verb::Policy(PolicyVerb::Test) => policy::test(&home, output),
        Verb::Policy(PolicyVerb::Accept(args)) => policy::accept(&home, &args, output),
        Verb::Policy(PolicyVerb::Sign(args)) => policy::sign(&home, &args, output),
        Verb::Policy(PolicyVerb::Defaults) => policy::defaults(output),
        Verb::Audit(verb) => audit::run(&home, verb, output),
        Verb::Completions { .. }
        | Verb::VulnerableServer { .. }
        | Verb::Demo(_)
        | Verb::Doctor(_)
        | Verb::Inspect(_)
        | Verb::Rules => Ok(Exit::Nothing),
    }
}

/// The wall clock, read here and nowhere below.
#[expect(clippy::disallowed_methods, reason = "the command line is where the clock is read")]
pub(crate) fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// Seconds since 1970; 0 for a clock set before.
pub(crate) fn unix_seconds() -> i64 {
    let since = now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cofferdam", &mut script);
    script
}
