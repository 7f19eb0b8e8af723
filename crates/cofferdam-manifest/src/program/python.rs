//! Python: a module or script, and what it is loaded from.

use std::path::PathBuf;

use super::arguments::{Line, absolute};
use super::environment::Environment;
use super::resolve::Resolved;
use super::{Findings, LaunchError, Surroundings, launcher, place};

const PROJECT: &[&str] = &["pyproject.toml", "setup.py", "setup.cfg"];
const ENTRIES_MAX: usize = 4096;

/// What a Python launch line runs.
enum Runs {
    Module(String),
    Code,
    Script,
}

pub(super) fn parts(
    resolved: &Resolved,
    line: &mut Line<'_>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Result<(), LaunchError> {
    let environment = Environment::of(resolved);
    found.argv.push(place::utf8(
        environment.root.as_ref().map_or(&resolved.program, |_| &resolved.name),
    )?);
    environment.parts(around, found);
    let mut runs = Runs::Script;
    line.options(found, |word, line, found| {
        runs = option(word, line, found);
        Ok(matches!(runs, Runs::Script))
    })?;
    match runs {
        Runs::Module(name) => {
            launcher::refuse_installs(&name, line.rest())?;
            module(&name, &environment, around, found)
        }
        Runs::Code => {
            found.note("the launch line carries its code itself; no script is granted");
            Ok(())
        }
        Runs::Script => script(line, &environment, around, found),
    }
}

/// One option, which may be a cluster such as `-Im`; the value of `-m`, `-c`, `-W` or `-X` follows at once or next.
fn option(word: &str, line: &mut Line<'_>, found: &mut Findings) -> Runs {
    if word.starts_with("--") {
        if word == "--check-hash-based-pycs" {
            line.value(found);
        }
        return Runs::Script;
    }
    let Some((at, letter)) = word.char_indices().skip(1).find(|(_, letter)| "mcWX".contains(*letter)) else {
        return Runs::Script;
    };
    let attached = word.get(at + 1..).filter(|rest| !rest.is_empty());
    let value = attached
        .map(str::to_owned)
        .or_else(|| line.value(found).map(str::to_owned));
    match letter {
        'm' => Runs::Module(value.unwrap_or_default()),
        'c' => Runs::Code,
        _ => Runs::Script,
    }
}

/// `-m NAME`: from the environment, or from the working directory, which Python searches first.
fn module(
    name: &str,
    environment: &Environment,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Result<(), LaunchError> {
    let top = name.split('.').next().unwrap_or(name);
    let plain = !top.is_empty() && top.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !plain {
        return Err(LaunchError::ScriptNotFound(format!("-m {name}")));
    }
    let here = around
        .directory
        .canonicalize()
        .unwrap_or_else(|_| around.directory.to_owned());
    let local = [here.join(top), here.join(format!("{top}.py"))]
        .into_iter()
        .find(|path| path.exists());
    if let Some(local) = local {
        let project = place::project_of(&local, PROJECT, around);
        found.note(format!(
            "the module `{top}` is taken from the working directory `{}`",
            here.display()
        ));
        found.unpinned.extend(
            project
                .iter()
                .map(|project| project.join(".git"))
                .filter(|folder| folder.is_dir()),
        );
        found.parts.push(project.unwrap_or(place::real(&local)?));
        found.directory = Some(here);
        return Ok(());
    }
    if !environment.knows(top) {
        found.note(format!("the module `{top}` was not found where this Python looks"));
    }
    Ok(())
}

fn script(
    line: &mut Line<'_>,
    environment: &Environment,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Result<(), LaunchError> {
    let Some(word) = line.take() else {
        found.note("the launch line names no script: Python will read its program from the client");
        return Ok(());
    };
    let file = absolute(word, around)
        .canonicalize()
        .map_err(|_cause| LaunchError::ScriptNotFound(word.to_owned()))?;
    place::tell_link(&absolute(word, around), &file, found);
    found.argv.push(place::utf8(&file)?);
    if file.starts_with(around.home.join(".local/bin")) && environment.root.is_none() {
        found.note(
            "packages installed with `pip install --user` are not seen in the compartment: use a virtual environment",
        );
    }
    if found.parts.iter().any(|part| file.starts_with(part)) {
        return Ok(());
    }
    let project = place::project_of(&file, PROJECT, around);
    if project.is_none() && file.is_file() {
        let siblings = place::entries(file.parent().unwrap_or(&file), ENTRIES_MAX);
        let loads = |path: &PathBuf| {
            *path != file
                && (path.extension().is_some_and(|ending| ending == "py") || path.join("__init__.py").is_file())
        };
        if siblings.iter().any(loads) {
            found.note(format!(
                "`{}` is granted alone: modules beside it need a grant",
                file.display()
            ));
        }
    }
    found.unpinned.extend(
        project
            .iter()
            .map(|project| project.join(".git"))
            .filter(|folder| folder.is_dir()),
    );
    found.parts.push(project.unwrap_or(file));
    Ok(())
}
