//! `cargo xtask test`: every step that must hold before a change lands, in order, named and timed.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;
use crate::{command, dependencies, detect, docs, evidence, fuzz, servers, tools};

/// How long each fuzz target runs as a step. Longer runs: `cargo xtask fuzz --seconds N`.
const FUZZ_SMOKE: Duration = Duration::from_secs(5);

struct Step {
    name: &'static str,
    run: fn(&Workspace) -> Result<()>,
}

/// In order: what fails most often and is cheapest to find out comes first.
const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        run: |_| command::run(command::cargo().args(["fmt", "--all", "--check"])),
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "dependencies",
        run: |_| dependencies::check(),
    },
    Step {
        name: "deny",
        run: deny,
    },
    Step {
        name: "rustdoc",
        run: rustdoc,
    },
    Step {
        name: "docs",
        run: |workspace| docs::check(workspace).and_then(|()| evidence::check(workspace)),
    },
    Step {
        name: "detect",
        run: |workspace| detect::run(workspace, &[]),
    },
    Step {
        name: "servers",
        run: servers::install,
    },
    Step {
        name: "nextest",
        run: nextest,
    },
    Step {
        name: "doctest",
        run: doctest,
    },
    Step {
        name: "fuzz",
        run: |workspace| fuzz::smoke(workspace, FUZZ_SMOKE),
    },
];

/// Runs the steps that `arguments` choose (all without any) and stops at the first that fails.
///
/// # Errors
/// The step that failed, or an argument that is not understood.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let Some(chosen) = choose(arguments)? else {
        let names: String = STEPS.iter().map(|step| format!("{}\n", step.name)).collect();
        return Ok(std::io::stdout().write_all(names.as_bytes())?);
    };
    let mut timings = String::from("xtask: every step held\n");
    for (number, step) in chosen.iter().enumerate() {
        say(&format!(
            "xtask: step {} of {}: {}",
            number + 1,
            chosen.len(),
            step.name
        ))?;
        let started = Instant::now();
        (step.run)(workspace).with_context(|| {
            format!(
                "step `{}` failed (only this one again: `cargo xtask test --only {0}`)",
                step.name
            )
        })?;
        let seconds = started.elapsed().as_secs_f64();
        say(&format!("xtask: {} held, {seconds:.1} s", step.name))?;
        timings.push_str(&format!("{seconds:>8.1} s  {}\n", step.name));
    }
    say(timings.trim_end())?;
    // Continuous integration reads this closing line.
    Ok(writeln!(std::io::stdout(), "steps: {} passed, 0 failed", chosen.len())?)
}

/// The steps named by `--only` (in their own order) or all but those named by `--skip`; nothing for `--list`.
fn choose(arguments: &[String]) -> Result<Option<Vec<&'static Step>>> {
    let (mut only, mut skip) = (Vec::new(), Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--list" => return Ok(None),
            "--only" | "--skip" => {
                let name = words
                    .next()
                    .with_context(|| format!("`{word}` needs the name of a step"))?;
                if !STEPS.iter().any(|step| step.name == name) {
                    bail!("there is no step `{name}`: `cargo xtask test --list` names them");
                }
                if word == "--only" {
                    only.push(name)
                } else {
                    skip.push(name)
                }
            }
            other => bail!("`{other}` is not understood: `cargo xtask help` shows what is"),
        }
    }
    let wanted = |step: &&Step| {
        let named = |names: &[&String]| names.iter().any(|name| *name == step.name);
        (only.is_empty() || named(&only)) && !named(&skip)
    };
    Ok(Some(STEPS.iter().filter(wanted).collect()))
}

fn clippy(_: &Workspace) -> Result<()> {
    let mut clippy = command::cargo();
    command::run(clippy.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

fn deny(workspace: &Workspace) -> Result<()> {
    tools::DENY.ensure()?;
    let mut deny = command::cargo();
    deny.args([
        "deny",
        "--locked",
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]);
    command::run(deny.current_dir(workspace.root()))
}

fn rustdoc(_: &Workspace) -> Result<()> {
    let mut doc = command::cargo();
    doc.args([
        "doc",
        "--no-deps",
        "--workspace",
        "--document-private-items",
        "--locked",
    ]);
    command::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

fn nextest(workspace: &Workspace) -> Result<()> {
    tools::NEXTEST.ensure()?;
    let mut nextest = command::cargo();
    nextest.args(["nextest", "run", "--workspace", "--locked"]);
    // Tests that drive the real servers find them here.
    command::run(nextest.env("COFFERDAM_TEST_SERVERS", workspace.servers()))
}

fn doctest(_: &Workspace) -> Result<()> {
    command::run(command::cargo().args(["test", "--doc", "--workspace", "--locked", "--quiet"]))
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}

#[cfg(test)]
mod tests {
    use super::{STEPS, choose};

    fn names(arguments: &[&str]) -> Vec<&'static str> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        choose(&arguments)
            .unwrap()
            .unwrap()
            .iter()
            .map(|step| step.name)
            .collect()
    }

    #[test]
    fn all_steps_run_unless_told() {
        assert_eq!(names(&[]).len(), STEPS.len());
    }

    #[test]
    fn only_and_skip_choose_and_keep_the_order() {
        assert_eq!(names(&["--only", "clippy", "--only", "fmt"]), ["fmt", "clippy"]);
        assert_eq!(names(&["--only", "fmt", "--skip", "fmt"]), [""; 0]);
        assert!(!names(&["--skip", "fuzz"]).contains(&"fuzz"));
    }

    #[test]
    fn a_step_that_does_not_exist_is_an_error() {
        let arguments = ["--only".to_owned(), "nope".to_owned()];
        assert!(choose(&arguments).is_err());
    }
}
