//! Understands a launch line without executing anything: which program it starts and which files that program is.

mod arguments;
mod environment;
mod jvm;
mod launcher;
mod node;
mod place;
mod python;
mod resolve;
mod script;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::diagnostic::{printable, shown};
use crate::grant::{Access, forbidden_grant};
use arguments::Line;
use resolve::Resolved;

/// Words a launch line may have.
const WORDS_MAX: usize = 1024;

/// What a launch line means on this machine. All paths are absolute. They lead through no symbolic link, except where a
/// program is looked for by a link's name: a virtual environment's Python, the interpreter it leads to, and libraries.
/// Those have to be mounted under that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The argument vector to start: the first is an absolute path, a script's `#!` line is spelled out, paths that
    /// exist are absolute.
    pub argv: Vec<String>,
    /// What runs the program.
    pub kind: ProgramKind,
    /// The folder it has to be started in, when the launch line depends on it.
    pub directory: Option<PathBuf>,
    /// Files and folders outside `/usr` that it needs to read.
    pub grants: Vec<PathBuf>,
    /// Files and folders whose content is to be pinned: the grants, the interpreter and what of the program lies in
    /// `/usr`.
    pub pinned: Vec<PathBuf>,
    /// Folders inside the pinned ones that the program does not load code from, such as a project's `.git`.
    pub unpinned: Vec<PathBuf>,
    /// Existing folders and files named as plain arguments: offered as roots, granted only by a person.
    pub offered_roots: Vec<PathBuf>,
    /// What a person should know, one sentence each.
    pub notes: Vec<String>,
}

/// What runs a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramKind {
    /// An interpreter runs a script, a module or an archive.
    Interpreter(Interpreter),
    /// The program runs by itself.
    Plain,
}

/// A language's interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interpreter {
    /// Node.js, or Bun, which loads the same packages.
    Node,
    /// `CPython` or `PyPy`.
    Python,
    /// Ruby.
    Ruby,
    /// The Java virtual machine.
    Java,
    /// A POSIX shell or a relative.
    Shell,
    /// Another one, by its name.
    Other(String),
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Python => "python",
            Self::Ruby => "ruby",
            Self::Java => "java",
            Self::Shell => "shell",
            Self::Other(name) => name,
        })
    }
}

/// Why a launch line is not accepted; [`LaunchError::help`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No word at all.
    #[error("the launch line is empty")]
    Empty,
    /// More words than are read.
    #[error("the launch line has more than {WORDS_MAX} words")]
    TooLong,
    /// Downloads and executes whatever its registry answers, at every start.
    #[error("`{}` finds, and may install, what it runs at every start", printable(.0))]
    PackageLauncher(String),
    /// Changes users, rights or namespaces.
    #[error("`{0}` changes the rights the program runs with")]
    ChangesRights(String),
    /// Sets variables in front of the program.
    #[error("`env` sets or clears variables for the program")]
    SetsVariables,
    /// No such program.
    #[error("`{}` was not found on the search path", printable(.0))]
    NotFound(String),
    /// Named by a path, and not there or not readable.
    #[error("cannot read `{}`: {cause}", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        cause: std::io::Error,
    },
    /// Not an executable file, or of no known format.
    #[error("`{}` is not a program: {reason}", shown(path))]
    NotAProgram {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// A version manager's stand-in that would have to be executed to know what it starts.
    #[error("`{}` is a version manager's shim, not the program", shown(path))]
    Shim {
        /// The shim.
        path: PathBuf,
        /// The real program, if one was found.
        real: Option<PathBuf>,
    },
    /// `#!` lines that lead to `#!` lines.
    #[error("the `#!` lines from `{}` lead through too many interpreters", shown(.0))]
    ShebangTooDeep(PathBuf),
    /// A word or path that is not UTF-8 cannot be written into a manifest.
    #[error("`{}` is not UTF-8", shown(.0))]
    NotUtf8(PathBuf),
    /// The script or archive the line names is not there.
    #[error("`{}`, which the launch line names as the program, was not found", printable(.0))]
    ScriptNotFound(String),
    /// The program lies where nothing can be granted.
    #[error("`{}` can never be granted: {reason}", shown(path))]
    Forbidden {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl LaunchError {
    /// What to do about it, for people.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Self::PackageLauncher(name) => launcher::advice(name),
            Self::ChangesRights(_) => String::from("name the program itself: the compartment sets its rights"),
            Self::SetsVariables => String::from("name the program itself and put variables under [environment]"),
            Self::NotFound(_) => String::from("write the program's whole path, or install it first"),
            Self::Shim { real: Some(real), .. } => format!("name the real program: `{}`", shown(real)),
            Self::Shim { real: None, .. } => {
                String::from("name the real program (`pyenv which`, `mise which`, `asdf which` print it)")
            }
            Self::ShebangTooDeep(_) => String::from("name the interpreter and the script in the launch line"),
            Self::ScriptNotFound(_) => String::from("write its whole path"),
            Self::Forbidden { .. } => {
                String::from("install the program somewhere else, such as a folder of its own in your home")
            }
            Self::NotUtf8(_) => String::from("rename it"),
            Self::Empty | Self::TooLong | Self::Unreadable { .. } | Self::NotAProgram { .. } => return None,
        };
        Some(help)
    }
}

/// Where a launch line is read: the search path, the working directory and the home folder it is meant for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'s> {
    pub(crate) search_path: &'s OsStr,
    pub(crate) directory: &'s Path,
    pub(crate) home: &'s Path,
}

/// What has been found out about a program so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) argv: Vec<String>,
    pub(crate) directory: Option<PathBuf>,
    /// Read and pinned, wherever they lie.
    pub(crate) parts: Vec<PathBuf>,
    pub(crate) unpinned: Vec<PathBuf>,
    pub(crate) offered: Vec<PathBuf>,
    pub(crate) notes: Vec<String>,
}

impl Findings {
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = printable(&note.into());
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// Says what a launch line means: resolves the program along `search_path` (relative entries are skipped) or from
/// `directory`, follows links and `#!` lines, and finds the files the program consists of. Nothing is executed; only
/// files are read. `home` is the user's home folder, which is never granted whole. All three are absolute.
///
/// # Errors
/// [`LaunchError`] says why a line cannot be understood safely and what to write instead.
pub fn understand(
    command: &[String],
    search_path: &OsStr,
    directory: &Path,
    home: &Path,
) -> Result<Program, LaunchError> {
    let around = Surroundings {
        search_path,
        directory,
        home,
    };
    if command.len() > WORDS_MAX {
        return Err(LaunchError::TooLong);
    }
    let command = launcher::refuse_launchers(command)?;
    let resolved = resolve::resolve(command, &around)?;
    let mut findings = Findings::default();
    let kind = parts_of(&resolved, &around, &mut findings)?;
    finish(kind, findings, &around)
}

/// Finds the parts by what runs the program.
fn parts_of(resolved: &Resolved, around: &Surroundings<'_>, found: &mut Findings) -> Result<ProgramKind, LaunchError> {
    found.notes.clone_from(&resolved.notes);
    let mut line = Line::new(&resolved.argv);
    let Some(interpreter) = script::interpreter_of(&resolved.program) else {
        found.parts.push(resolved.program.clone());
        found.argv.push(place::utf8(&resolved.program)?);
        script::note_neighbour_libraries(&resolved.program, found);
        line.offer_rest(around, found)?;
        return Ok(ProgramKind::Plain);
    };
    match interpreter {
        Interpreter::Node => node::parts(resolved, &mut line, around, found)?,
        Interpreter::Python => python::parts(resolved, &mut line, around, found)?,
        Interpreter::Java => jvm::parts(resolved, &mut line, around, found)?,
        _ => script::parts(resolved, &interpreter, &mut line, around, found)?,
    }
    line.offer_rest(around, found)?;
    Ok(ProgramKind::Interpreter(interpreter))
}

fn finish(kind: ProgramKind, found: Findings, around: &Surroundings<'_>) -> Result<Program, LaunchError> {
    let pinned = place::without_inner(found.parts);
    let grants: Vec<PathBuf> = pinned
        .iter()
        .filter(|path| !path.starts_with("/usr"))
        .cloned()
        .collect();
    for path in &grants {
        let shared = || String::from("it holds more than one program");
        let shared = place::is_shared(path, around).then(shared);
        if let Some(reason) = shared.or_else(|| forbidden_grant(path, Access::Read, &[])) {
            return Err(LaunchError::Forbidden {
                path: path.clone(),
                reason,
            });
        }
        place::utf8(path)?;
    }
    Ok(Program {
        argv: found.argv,
        kind,
        directory: found.directory,
        grants,
        unpinned: place::without_inner(found.unpinned),
        offered_roots: place::without_inner(found.offered),
        pinned,
        notes: found.notes,
    })
}
