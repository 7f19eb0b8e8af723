//! The Java virtual machine: archives and class paths.

use std::path::{Path, PathBuf};

use super::arguments::{Line, absolute};
use super::resolve::Resolved;
use super::{Findings, LaunchError, Surroundings, place};

const CLASS_PATHS: &[&str] = &[
    "-cp",
    "-classpath",
    "--class-path",
    "-p",
    "--module-path",
    "--upgrade-module-path",
];
const WITH_VALUE: &[&str] = &[
    "--add-modules",
    "--add-opens",
    "--add-exports",
    "--add-reads",
    "--patch-module",
    "-m",
    "--module",
];

pub(super) fn parts(
    resolved: &Resolved,
    line: &mut Line<'_>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Result<(), LaunchError> {
    found.argv.push(place::utf8(&resolved.program)?);
    found.parts.push(java_home(&resolved.program));
    let mut named = false;
    line.options(found, |word, line, found| {
        let (name, value) = word
            .split_once('=')
            .map_or((word, None), |(name, value)| (name, Some(value)));
        if word == "-jar" {
            named = true;
            let jar = line
                .take()
                .ok_or_else(|| LaunchError::ScriptNotFound(String::from("-jar")))?;
            let file = archive(jar, around)?;
            found.argv.push(place::utf8(&file)?);
            found.parts.push(file);
            found.note("archives that the jar itself names (its `Class-Path`) are not granted");
            return Ok(false);
        }
        if CLASS_PATHS.contains(&name) {
            let given = value.is_some();
            let list = value.or_else(|| line.take()).unwrap_or("");
            let list = class_path(list, around, found)?;
            let written = if given { format!("{name}={list}") } else { list };
            if given {
                found.argv.pop();
            }
            found.argv.push(written);
            return Ok(true);
        }
        if let Some(agent) = word.strip_prefix("-javaagent:") {
            found
                .parts
                .push(archive(agent.split('=').next().unwrap_or(agent), around)?);
        } else if WITH_VALUE.contains(&name) && value.is_none() {
            named |= matches!(name, "-m" | "--module");
            line.value(found);
            return Ok(!matches!(name, "-m" | "--module"));
        }
        Ok(true)
    })?;
    let word = line.peek().unwrap_or("");
    if word.starts_with('@') {
        found.note("arguments are read from a file, which is not looked into");
    }
    if !named && Path::new(word).extension().is_some_and(|ending| ending == "java") {
        let file = archive(word, around)?;
        line.take();
        found.argv.push(place::utf8(&file)?);
        found.parts.push(file);
    }
    Ok(())
}

/// The folder of the virtual machine itself: `…/bin/java` needs its `lib`.
fn java_home(program: &Path) -> PathBuf {
    let home = program
        .parent()
        .and_then(Path::parent)
        .filter(|home| home.join("lib").is_dir() && home.join("release").is_file());
    home.unwrap_or(program).to_owned()
}

fn archive(word: &str, around: &Surroundings<'_>) -> Result<PathBuf, LaunchError> {
    let path = absolute(word, around);
    path.canonicalize()
        .ok()
        .filter(|path| path.is_file())
        .ok_or_else(|| LaunchError::ScriptNotFound(word.to_owned()))
}

/// Grants each existing entry of a class path and writes it absolute; `folder/*` stands for the folder's archives.
fn class_path(list: &str, around: &Surroundings<'_>, found: &mut Findings) -> Result<String, LaunchError> {
    let mut written = Vec::new();
    for entry in list.split(':').filter(|entry| !entry.is_empty()) {
        let (plain, star) = entry.strip_suffix("/*").map_or((entry, ""), |folder| (folder, "/*"));
        match absolute(plain, around).canonicalize() {
            Ok(path) if place::is_shared(&path, around) => {
                found.note(format!(
                    "`{}` in the class path is a shared folder and is not granted",
                    path.display()
                ));
                written.push(format!("{}{star}", place::utf8(&path)?));
            }
            Ok(path) => {
                written.push(format!("{}{star}", place::utf8(&path)?));
                found.parts.push(path);
            }
            Err(_) => {
                found.note(format!("`{entry}` in the class path was not found"));
                written.push(entry.to_owned());
            }
        }
    }
    Ok(written.join(":"))
}
