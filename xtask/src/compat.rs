//! `cargo xtask compat`: real servers from the registries, each added sealed, then listed and called through the gate by
//! a real client. Bare and gated answers must be the same. The servers that pass are written down, and stay.

mod floor;
mod protect;
mod report;
mod server;
mod trial;

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};

use self::floor::Floor;
use self::report::{Report, Tried};
use self::server::Server;
use self::trial::{Stage, Way};
use crate::workspace::Workspace;
use crate::{command, servers};

/// What the command line asks for.
#[derive(Debug, Default)]
struct Options {
    /// Names of servers; all of them without any.
    only: Vec<String>,
    json: bool,
    /// Keep the folders of the trials, and say where they are.
    keep: bool,
    /// Only the popular ones, through `protect`.
    protected_only: bool,
}

impl Options {
    fn read(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--only" => options
                    .only
                    .push(words.next().context("`--only` needs the name of a server")?.clone()),
                "--format" => match words.next().map(String::as_str) {
                    Some("json") => options.json = true,
                    Some("text") => options.json = false,
                    _ => bail!("`--format` is `text` or `json`"),
                },
                "--keep" => options.keep = true,
                "--protected" => options.protected_only = true,
                other => bail!("`{other}` is not understood: `cargo xtask help` shows what is"),
            }
        }
        Ok(options)
    }
}

/// Tries the servers (all, or those named by `--only`) and prints one line for each and the pass rate.
///
/// # Errors
/// A server of the floor does not pass, an argument is not understood, or something cannot be installed or built.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let options = Options::read(arguments)?;
    let descriptions = workspace.root().join("tests/servers/compat");
    let all = Server::all(&descriptions)?;
    let floor = Floor::read(&descriptions.join("floor.txt"), &all)?;
    let chosen = choose(&all, &options.only)?;

    servers::install(workspace)?;
    servers::install_compat(workspace)?;
    command::run(command::cargo().args(["build", "--release", "--locked", "--package", "cofferdam"]))?;
    let stage = Stage::set_up(workspace, options.keep)?;
    let popular = protected(&stage, &chosen, options.json)?;
    if options.protected_only {
        let fallen: Vec<&str> = popular
            .iter()
            .filter(|tried| !tried.passed())
            .map(|tried| tried.server.name.as_str())
            .collect();
        if !fallen.is_empty() {
            bail!("worked before `protect` and not after it: {}", fallen.join(", "));
        }
        return Ok(());
    }
    let mut report = Report::default();
    for (number, server) in chosen.iter().enumerate() {
        say(&format!(
            "xtask: compat: {} of {}: {}",
            number + 1,
            chosen.len(),
            server.name
        ))?;
        let outcome = stage
            .tries(server, Way::Added)
            .with_context(|| format!("cannot try `{}`", server.name))?;
        let tried = Tried { server, outcome };
        if !options.json {
            writeln!(std::io::stdout(), "{}", tried.line())?;
        }
        report.tried.push(tried);
    }
    let closing = if options.json {
        serde_json::to_string_pretty(&report.json(&floor))?
    } else {
        report.summary(&floor)
    };
    writeln!(std::io::stdout(), "{closing}")?;
    let mut fallen = report.fallen(&floor);
    fallen.extend(
        popular
            .iter()
            .filter(|tried| !tried.passed())
            .map(|tried| tried.server.name.as_str()),
    );
    if !fallen.is_empty() {
        bail!(
            "servers of the floor (tests/servers/compat/floor.txt) do not pass: {}",
            fallen.join(", ")
        );
    }
    Ok(())
}

/// The popular ones among the chosen, protected with nothing edited.
fn protected<'a>(stage: &Stage, chosen: &[&'a Server], is_json: bool) -> Result<Vec<Tried<'a>>> {
    let popular = chosen
        .iter()
        .filter(|server| protect::POPULAR.contains(&server.name.as_str()));
    let mut all = Vec::new();
    for server in popular {
        let outcome = stage
            .tries(server, Way::Protected)
            .with_context(|| format!("cannot protect `{}`", server.name))?;
        let tried = Tried { server, outcome };
        if !is_json {
            writeln!(std::io::stdout(), "protect  {}", tried.line())?;
        }
        all.push(tried);
    }
    let passed = all.iter().filter(|tried| tried.passed()).count();
    if !is_json {
        writeln!(
            std::io::stdout(),
            "{passed} of {} popular servers work after `protect --yes` with nothing edited",
            all.len()
        )?;
    }
    Ok(all)
}

fn choose<'a>(all: &'a [Server], only: &[String]) -> Result<Vec<&'a Server>> {
    if let Some(unknown) = only.iter().find(|name| all.iter().all(|server| server.name != **name)) {
        let names: Vec<&str> = all.iter().map(|server| server.name.as_str()).collect();
        bail!("there is no server `{unknown}`: there are {}", names.join(", "));
    }
    Ok(all
        .iter()
        .filter(|server| only.is_empty() || only.contains(&server.name))
        .collect())
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn arguments_are_understood_or_refused() {
        let read = |words: &[&str]| Options::read(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        let options = read(&["--only", "git", "--format", "json", "--only", "time"]).unwrap();
        assert_eq!((options.only, options.json), (vec!["git".into(), "time".into()], true));
        for wrong in [&["--only"][..], &["--format", "xml"], &["everything"]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
