//! Interpreters by name, and scripts of languages that have no module of their own here.

use std::path::{Path, PathBuf};

use super::arguments::{Line, absolute};
use super::resolve::Resolved;
use super::{Findings, Interpreter, LaunchError, Surroundings, place};

const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "busybox"];
const OTHERS: &[&str] = &[
    "perl", "php", "lua", "luajit", "deno", "tclsh", "Rscript", "julia", "elixir", "escript", "dotnet", "guile",
];
/// Options that carry code in the next word.
const CODE: &[&str] = &["-c", "-e", "-E", "-r", "--eval"];

/// The interpreter a program is, by its file's name without a version.
pub(super) fn interpreter_of(program: &Path) -> Option<Interpreter> {
    let name = program.file_name()?.to_str()?;
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let other = OTHERS
        .iter()
        .find(|other| **other == base)
        .map(|other| Interpreter::Other((*other).to_owned()));
    match base {
        "node" | "nodejs" | "bun" => Some(Interpreter::Node),
        "python" | "pypy" | "python3t" => Some(Interpreter::Python),
        "ruby" | "jruby" | "truffleruby" => Some(Interpreter::Ruby),
        "java" => Some(Interpreter::Java),
        _ if SHELLS.contains(&base) => Some(Interpreter::Shell),
        _ => other,
    }
}

pub(super) fn parts(
    resolved: &Resolved,
    interpreter: &Interpreter,
    line: &mut Line<'_>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Result<(), LaunchError> {
    found.argv.push(place::utf8(&resolved.program)?);
    found.parts.push(resolved.program.clone());
    interpreter_library(&resolved.program, interpreter, around, found);
    let mut inline = false;
    line.options(found, |word, line, found| {
        // Shells take clusters such as `-lc`.
        let cluster = *interpreter == Interpreter::Shell && !word.starts_with("--") && word.contains('c');
        if cluster || CODE.contains(&word) {
            inline = true;
            line.value(found);
        }
        Ok(!inline)
    })?;
    if inline {
        found.note(format!(
            "the launch line carries {interpreter} code itself: programs it starts are not looked at or granted"
        ));
        return Ok(());
    }
    let Some(word) = line.take() else {
        found.note(format!(
            "the launch line names no script: {interpreter} will read its program from the client"
        ));
        return Ok(());
    };
    let file = absolute(word, around).canonicalize().ok().filter(|file| file.is_file());
    let file = file.ok_or_else(|| LaunchError::ScriptNotFound(word.to_owned()))?;
    place::tell_link(&absolute(word, around), &file, found);
    found.argv.push(place::utf8(&file)?);
    let markers: &[&str] = match interpreter {
        Interpreter::Ruby => &["Gemfile"],
        Interpreter::Other(name) if name == "php" => &["composer.json"],
        _ => &[],
    };
    let project = place::project_of(&file, markers, around);
    if project.is_none() {
        found.note(format!(
            "`{}` is granted alone: files it loads from beside it need a grant",
            file.display()
        ));
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

/// An interpreter outside `/usr` needs its own library: `PREFIX/lib/NAME`.
fn interpreter_library(program: &Path, interpreter: &Interpreter, around: &Surroundings<'_>, found: &mut Findings) {
    let Some(prefix) = program
        .parent()
        .and_then(Path::parent)
        .filter(|prefix| !prefix.starts_with("/usr"))
    else {
        return;
    };
    if place::is_shared(prefix, around) {
        return;
    }
    let library = prefix.join("lib").join(interpreter.to_string());
    if library.is_dir() {
        found.parts.push(library);
    }
}

/// A plain program may need libraries that lie beside it; its format is not read here.
pub(super) fn note_neighbour_libraries(program: &Path, found: &mut Findings) {
    if program.starts_with("/usr") {
        return;
    }
    let folder = program.parent().unwrap_or(program);
    let lib = folder.parent().map(|prefix| prefix.join("lib"));
    let is_library = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.contains(".so"))
    };
    let with_libraries = [Some(folder.to_owned()), lib]
        .into_iter()
        .flatten()
        .find(|folder| place::entries(folder, 4096).iter().any(is_library));
    if let Some(folder) = with_libraries {
        found.note(format!(
            "`{}` holds libraries: if the program needs them, add the folder to `launch.program`",
            folder.display()
        ));
    }
}
