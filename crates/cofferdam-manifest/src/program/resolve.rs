//! Finds the file a launch line starts: search path, links, `#!` lines, version managers' shims.

use std::env::split_paths;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{LaunchError, Surroundings, arguments, launcher, place};

/// `#!` lines that may lead to one another.
const SHEBANGS_MAX: usize = 4;
/// Bytes of a file read to know its format; Linux itself reads 256 of a `#!` line.
const HEAD_BYTES: usize = 4096;

/// How an executable of the machine's own format (ELF) begins.
const NATIVE: &[u8] = b"\x7fELF";

/// A launch line with its program found and `#!` lines spelled out.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The program's real file: an executable of the machine's own format.
    pub(super) program: PathBuf,
    /// The name it was found under, absolute, links kept: a virtual environment is known by it.
    pub(super) name: PathBuf,
    /// The words, the first being the program.
    pub(super) argv: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Follows a command to an executable of the machine's own format.
pub(super) fn resolve(command: &[String], around: &Surroundings<'_>) -> Result<Resolved, LaunchError> {
    let mut argv = command.to_vec();
    let mut notes = Vec::new();
    let mut script = None;
    for _ in 0..=SHEBANGS_MAX {
        let Some((first, rest)) = argv.split_first() else {
            return Err(LaunchError::Empty);
        };
        let name = find(first, around)?;
        let (name, program) = behind_shim(name, &mut notes)?;
        refuse_launcher_script(&program, rest)?;
        let head = head(&program)?;
        if head.starts_with(NATIVE) {
            let mut argv = argv.clone();
            if let Some(first) = argv.first_mut() {
                *first = place::utf8(&program)?;
            }
            return Ok(Resolved {
                program,
                name,
                argv,
                notes,
            });
        }
        let Some(interpreter) = shebang(&head, &program)? else {
            return Err(LaunchError::NotAProgram {
                path: program,
                reason: "it has no `#!` line",
            });
        };
        let mut spelled_out = interpreter;
        spelled_out.push(place::utf8(&program)?);
        spelled_out.extend_from_slice(rest);
        script.get_or_insert(program);
        argv = launcher::refuse_launchers(&spelled_out)?.to_vec();
    }
    Err(LaunchError::ShebangTooDeep(script.unwrap_or_default()))
}

/// A link such as `/usr/local/bin/x` may lead to a package launcher by another name.
fn refuse_launcher_script(program: &Path, rest: &[String]) -> Result<(), LaunchError> {
    let name = program.file_name().and_then(|name| name.to_str()).unwrap_or("");
    launcher::refuse_installs(name, rest)
}

/// The file a first word names, absolute, links kept.
fn find(word: &str, around: &Surroundings<'_>) -> Result<PathBuf, LaunchError> {
    if word.contains('/') || word.starts_with('~') {
        let path = arguments::absolute(word, around);
        let metadata = path.metadata().map_err(|cause| LaunchError::Unreadable {
            path: path.clone(),
            cause,
        })?;
        if !metadata.is_file() {
            return Err(LaunchError::NotAProgram {
                path,
                reason: "it is not a file",
            });
        }
        if metadata.mode() & 0o111 == 0 {
            return Err(LaunchError::NotAProgram {
                path,
                reason: "it is not executable",
            });
        }
        return Ok(clean(&path));
    }
    let folders = split_paths(around.search_path).filter(|folder| folder.is_absolute());
    let mut candidates = folders.map(|folder| folder.join(word));
    let is_program = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
    };
    candidates
        .find(is_program)
        .map(|path| clean(&path))
        .ok_or_else(|| LaunchError::NotFound(word.to_owned()))
}

/// The path with its folder's links followed, the last name kept.
fn clean(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// The program behind a version manager's shim: (the name it goes by, the real file).
fn behind_shim(name: PathBuf, notes: &mut Vec<String>) -> Result<(PathBuf, PathBuf), LaunchError> {
    let program = place::real(&name)?;
    let manager = shims_folder(&name).or_else(|| shims_folder(&program));
    let Some(manager) = manager else {
        return Ok((name, program));
    };
    match pyenv_program(&manager, &name) {
        Some(real_name) => {
            notes.push(format!(
                "`{}` is a pyenv shim; pyenv's global version is used: `{}`",
                name.display(),
                real_name.display()
            ));
            let program = place::real(&real_name)?;
            Ok((real_name, program))
        }
        None => Err(LaunchError::Shim { path: name, real: None }),
    }
}

/// The version manager's folder, when the file lies in its `shims`.
fn shims_folder(file: &Path) -> Option<PathBuf> {
    let folder = file.parent()?;
    (folder.file_name()? == "shims")
        .then(|| folder.parent().map(Path::to_owned))
        .flatten()
}

/// What pyenv's global version means by a name. A project's own `.python-version` does not count: a working tree may
/// not choose the program.
fn pyenv_program(root: &Path, shim: &Path) -> Option<PathBuf> {
    let versions = root.join("versions");
    if !versions.is_dir() || !root.join("libexec").is_dir() {
        return None;
    }
    let chosen = std::fs::read_to_string(root.join("version")).ok()?;
    let name = shim.file_name()?;
    let plain = |version: &&str| !version.contains('/') && !version.starts_with('.');
    let mut chosen = chosen.split_whitespace().filter(plain).take(16);
    chosen.find_map(|version| {
        let program = versions.join(version).join("bin").join(name);
        program.is_file().then(|| clean(&program))
    })
}

/// True for an executable of the machine's own format.
pub(super) fn is_native(path: &Path) -> bool {
    head(path).is_ok_and(|head| head.starts_with(NATIVE))
}

fn head(path: &Path) -> Result<Vec<u8>, LaunchError> {
    let unreadable = |cause| LaunchError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let file = File::open(path).map_err(unreadable)?;
    file.take(u64::try_from(HEAD_BYTES).unwrap_or(0))
        .read_to_end(&mut head)
        .map_err(unreadable)?;
    Ok(head)
}

/// The words of a `#!` line, `/usr/bin/env` spelled out; `None` without such a line.
fn shebang(head: &[u8], path: &Path) -> Result<Option<Vec<String>>, LaunchError> {
    let Some(line) = head.strip_prefix(b"#!") else {
        return Ok(None);
    };
    let Some(line) = line
        .split(|byte| *byte == b'\n')
        .next()
        .filter(|line| line.len() + 2 < head.len())
    else {
        return Err(LaunchError::NotAProgram {
            path: path.to_owned(),
            reason: "its `#!` line does not end",
        });
    };
    if line == b"/bin/sh"
        && let Some(python) = long_python_line(head)
    {
        return Ok(Some(vec![python]));
    }
    let line = std::str::from_utf8(line).map_err(|_cause| LaunchError::NotUtf8(path.to_owned()))?;
    let line = line.trim_matches([' ', '\t', '\r']);
    // The kernel passes everything after the first word as one argument.
    let (interpreter, argument) = match line.split_once([' ', '\t']) {
        Some((interpreter, argument)) => (interpreter, argument.trim_start_matches([' ', '\t'])),
        None => (line, ""),
    };
    if !interpreter.starts_with('/') {
        return Err(LaunchError::NotAProgram {
            path: path.to_owned(),
            reason: "its `#!` line names no absolute path",
        });
    }
    if Path::new(interpreter).file_name().is_some_and(|name| name == "env") {
        let words = argument
            .strip_prefix("-S")
            .or_else(|| argument.strip_prefix("--split-string="))
            .unwrap_or(argument);
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        if words
            .first()
            .is_none_or(|word| word.starts_with('-') || word.contains('='))
        {
            return Err(LaunchError::SetsVariables);
        }
        return Ok(Some(words));
    }
    let words = [interpreter, argument].into_iter().filter(|word| !word.is_empty());
    Ok(Some(words.map(str::to_owned).collect()))
}

/// Python installers write `#!/bin/sh` and `'''exec' "/path/to/python" "$0" "$@"` where the interpreter's path is too long
/// for a `#!` line or has a space in it.
fn long_python_line(head: &[u8]) -> Option<String> {
    let second = head.split(|byte| *byte == b'\n').nth(1)?;
    let rest = std::str::from_utf8(second).ok()?.strip_prefix("'''exec' ")?;
    let path = rest.strip_suffix(" \"$0\" \"$@\"")?;
    let path = path.trim_matches(['"', '\'']);
    path.starts_with('/').then(|| path.to_owned())
}
