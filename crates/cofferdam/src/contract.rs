//! One server's contract on disk: manifest, accepted definitions, program pins; loaded and checked as a whole, or refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cofferdam_manifest::{Definitions, Manifest, ManifestError, ProgramPins, parse};

use crate::cli::UNPINNED;
use crate::failure::{Exit, Failure, file_failure};
use crate::gate::{PinnedTool, escaped};
use crate::home::{Home, check_folder, read_own_file};

const MANIFEST_FILE: &str = "manifest.toml";
const DEFINITIONS_FILE: &str = "definitions.json";
const PROGRAM_FILE: &str = "program.json";
/// Longest server name: it names a folder and prefixes lines.
const NAME_BYTES_MAX: usize = 64;
/// Paths named in a message; the rest is counted.
const NAMED_MAX: usize = 10;

/// What was accepted for one server.
#[derive(Debug)]
pub(crate) struct Contract {
    pub(crate) name: String,
    /// With `~` expanded.
    pub(crate) manifest: Manifest,
    pub(crate) definitions: Definitions,
    pub(crate) program: ProgramPins,
    /// Compiled Python files that nobody accepted lie beside the program; the interpreter must not load them.
    pub(crate) has_foreign_bytecode: bool,
}

/// Where a contract's files lie.
#[derive(Debug)]
pub(crate) struct ContractFolder(PathBuf);

impl ContractFolder {
    /// The folder of server `name`.
    ///
    /// # Errors
    /// `name` cannot name a server.
    pub(crate) fn of(home: &Home, name: &str) -> Result<Self, Failure> {
        check_name(name)?;
        Ok(Self(home.servers().join(name)))
    }

    pub(crate) fn exists(&self) -> bool {
        self.manifest().exists()
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.0.join(MANIFEST_FILE)
    }

    fn read(&self, file: &str) -> Result<String, Failure> {
        read_own_file(&self.0.join(file))
    }

    /// Writes all three files, each whole or not at all, for the user alone; the manifest last, since it makes the others count.
    pub(crate) fn write(&self, contract: &Contract) -> Result<(), Failure> {
        Home::make(&self.0)?;
        check_folder(&self.0)?;
        self.replace(PROGRAM_FILE, &program_json(&contract.program)?)?;
        self.replace(DEFINITIONS_FILE, &contract.definitions.to_json())?;
        self.replace(MANIFEST_FILE, &contract.manifest.to_toml())
    }

    fn replace(&self, file: &str, text: &str) -> Result<(), Failure> {
        let path = self.0.join(file);
        let draft = self.0.join(format!(".{file}.{}", std::process::id()));
        let written = write_private(&draft, text).and_then(|()| std::fs::rename(&draft, &path));
        written.map_err(|cause| {
            // The draft is ours and useless; the error that matters is the first.
            let _ = std::fs::remove_file(&draft);
            file_failure("write", &path, &cause)
        })
    }
}

fn program_json(program: &ProgramPins) -> Result<String, Failure> {
    serde_json::to_string(program)
        .map_err(|error| Failure::misconfigured(format!("the program pins cannot be written: {error}")))
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file: File = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A server's name is a folder's name and a prefix on lines.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    if name.starts_with(UNPINNED) {
        return Err(Failure::usage(format!(
            "`{}` cannot name a server: such names stand for commands without a manifest",
            escaped(name.as_bytes())
        ))
        .help("choose a name that does not begin with `unpinned`"));
    }
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if starts_well && is_plain && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(
        Failure::usage(format!("`{}` cannot name a server", escaped(name.as_bytes())))
            .help("use up to 64 letters, digits, `.`, `_` and `-`, beginning with a letter or digit"),
    )
}

impl Contract {
    /// Loads and checks everything about server `name` before anything of it is started.
    ///
    /// # Errors
    /// There is no such server; its files are not ours alone; the manifest does not check; definitions or program differ from what was
    /// accepted; or the manifest asks for something this version cannot enforce.
    pub(crate) fn load(home: &Home, name: &str) -> Result<Self, Failure> {
        let folder = ContractFolder::of(home, name)?;
        if !folder.exists() {
            return Err(Failure::misconfigured(format!("there is no server `{name}`"))
                .help(format!("`cofferdam add {name} -- COMMAND…` makes one")));
        }
        let mut contract = Self::read(home, name, &folder)?;
        contract.check_enforceable()?;
        contract.has_foreign_bytecode = contract.check_program(&folder)?;
        Ok(contract)
    }

    /// Reads the three files and checks that they belong together; the program itself is not looked at.
    pub(crate) fn read(home: &Home, name: &str, folder: &ContractFolder) -> Result<Self, Failure> {
        check_folder(&folder.0)?;
        let manifest = checked_manifest(home, &folder.read(MANIFEST_FILE)?, &folder.manifest())?;
        let again = || format!("`cofferdam add --replace {name} -- COMMAND…` observes and accepts the server anew");
        let definitions = Definitions::load(&folder.read(DEFINITIONS_FILE)?, &manifest).map_err(|error| {
            Failure::misconfigured(format!(
                "the accepted tool definitions of `{name}` do not match its manifest: {error}"
            ))
            .help(again())
        })?;
        let program = serde_json::from_str::<ProgramPins>(&folder.read(PROGRAM_FILE)?).map_err(|error| {
            Failure::misconfigured(format!("the program pins of `{name}` cannot be read: {error}")).help(again())
        })?;
        if manifest.launch.digest.is_some_and(|digest| digest != program.digest()) {
            return Err(Failure::misconfigured(format!(
                "the program pins of `{name}` are not those its manifest names"
            ))
            .help(again()));
        }
        if let Some(path) = manifest.launch.program.iter().find(|path| !program.covers(path)) {
            return Err(Failure::misconfigured(format!(
                "`{}` is granted to `{name}` as its program and is not pinned",
                path.display()
            ))
            .help(again()));
        }
        Ok(Self {
            name: name.to_owned(),
            manifest,
            definitions,
            program,
            has_foreign_bytecode: false,
        })
    }

    fn check_enforceable(&self) -> Result<(), Failure> {
        // A tool that asks for consent is not ignored: each of its calls is refused as long as nobody can be asked.
        let mut not_yet = self.manifest.not_yet();
        not_yet.retain(|part| !part.section.ends_with(".consent"));
        if not_yet.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = not_yet
            .iter()
            .map(|part| format!("`{}`: {}", part.section, part.why))
            .collect();
        Err(Failure::not_enforced(format!(
            "the manifest of `{}` asks for what this version cannot enforce: {}",
            self.name,
            list.join("; ")
        ))
        .help("remove these entries from the manifest, or wait for the version that has them"))
    }

    /// The program's files are what was accepted; a stale index is renewed, so that the next start is fast again. Tells whether there is
    /// compiled Python that nobody accepted; a Python that would load it all the same is refused.
    fn check_program(&self, folder: &ContractFolder) -> Result<bool, Failure> {
        match self.program.check(crate::cli::now()) {
            Ok(checked) => {
                if let Some(fresh) = checked.fresh {
                    folder.replace(PROGRAM_FILE, &program_json(&fresh)?)?;
                }
                self.check_bytecode(&checked.bytecode)?;
                Ok(!checked.bytecode.is_empty())
            }
            Err(changed) => Err(Failure::new(
                Exit::Misconfigured,
                format!(
                    "the program of `{}` is not the one that was accepted: {changed}",
                    self.name
                ),
            )
            .help(format!(
                "if you updated it, `cofferdam add --replace {} -- COMMAND…` observes and accepts it anew",
                self.name
            ))),
        }
    }

    /// `foreign` are compiled Python files that nobody accepted. `PYTHONPYCACHEPREFIX` keeps Python from loading them, unless an option
    /// makes it ignore its environment.
    fn check_bytecode(&self, foreign: &[PathBuf]) -> Result<(), Failure> {
        let Some(option) = environment_ignored_by(&self.manifest.launch.command).filter(|_| !foreign.is_empty()) else {
            return Ok(());
        };
        let mut list: String = foreign
            .iter()
            .take(NAMED_MAX)
            .map(|path| format!("\n  {}", escaped(path.display().to_string().as_bytes())))
            .collect();
        if let Some(more @ 1..) = foreign.len().checked_sub(NAMED_MAX) {
            list.push_str(&format!("\n  and {more} more"));
        }
        Err(Failure::misconfigured(format!(
            "compiled Python that was not accepted lies beside the program of `{}`, and `{}` makes Python load it:{list}",
            self.name,
            escaped(option.as_bytes())
        ))
        .help(format!(
            "remove these files (Python compiles its sources anew), or accept them with `cofferdam add --replace {} -- COMMAND…`",
            self.name
        )))
    }

    /// The accepted tools, ready for the gate.
    pub(crate) fn pins(&self) -> BTreeMap<String, PinnedTool> {
        let tools = self.manifest.tools.iter().filter_map(|(name, tool)| {
            let definition = self.definitions.definition(name)?.to_owned();
            Some((
                name.clone(),
                PinnedTool {
                    pin: tool.pin,
                    consent: tool.consent,
                    definition,
                },
            ))
        });
        tools.collect()
    }
}

/// The option word by which a Python in `command` ignores `PYTHONPYCACHEPREFIX`: `-E` or `-I`, also within a cluster such as `-sE`, or
/// `-X pycache_prefix`. `None` for other programs.
fn environment_ignored_by(command: &[String]) -> Option<&str> {
    let (program, rest) = command.split_first()?;
    let is_python = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.contains("python") || name.contains("pypy")
    };
    let program = Path::new(program);
    if !is_python(program) && !program.canonicalize().is_ok_and(|real| is_python(&real)) {
        return None;
    }
    let mut words = rest.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty())?;
        if word == "--" {
            return None;
        }
        if letters.starts_with('-') {
            if word == "--check-hash-based-pycs" {
                words.next();
            }
            continue;
        }
        // The rest of a cluster behind one of these is its value, and without a rest the next word is.
        let (letters, valued) = match letters.find(['c', 'm', 'W', 'X']) {
            Some(at) => letters.split_at(at),
            None => (letters, ""),
        };
        if letters.contains(['E', 'I']) {
            return Some(word);
        }
        let mut value = valued.chars();
        let letter = value.next();
        let value = match (letter, value.as_str()) {
            (Some('c' | 'm'), _) => return None,
            (Some(_), "") => words.next().unwrap_or_default(),
            (_, attached) => attached,
        };
        if letter == Some('X') && value.starts_with("pycache_prefix") {
            return Some(value);
        }
    }
    None
}

/// A manifest's diagnostics begin with `error: ` like ours do; once is enough.
fn unprefixed(error: &ManifestError) -> Failure {
    let text = error.to_string();
    Failure::misconfigured(text.strip_prefix("error: ").unwrap_or(&text).trim_end())
}

/// Parses a manifest, expands `~`, and refuses grants that can never be given.
pub(crate) fn checked_manifest(home: &Home, text: &str, path: &Path) -> Result<Manifest, Failure> {
    let manifest = parse(text, &path.display().to_string()).map_err(|error| unprefixed(&error))?;
    manifest
        .resolve(&home.user_home, &home.own_folders())
        .map_err(|error| unprefixed(&error))
}

#[cfg(test)]
mod tests {
    use super::environment_ignored_by;

    fn ignored(line: &str) -> Option<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        environment_ignored_by(&words).map(str::to_owned)
    }

    #[test]
    fn options_by_which_python_ignores_its_environment_are_found() {
        for (line, option) in [
            ("/usr/bin/python3 -E s.py", "-E"),
            ("/usr/bin/python3.11 -I s.py", "-I"),
            ("/v/bin/python -sE s.py", "-sE"),
            ("/v/bin/python -IE", "-IE"),
            ("/v/bin/pypy3 -Im server", "-Im"),
            ("/v/bin/python -W ignore -E s.py", "-E"),
            ("/v/bin/python -Wignore -X dev -bE s.py", "-bE"),
            ("/v/bin/python --check-hash-based-pycs never -I s.py", "-I"),
            ("/v/bin/python -X pycache_prefix= s.py", "pycache_prefix="),
            ("/v/bin/python -Xpycache_prefix s.py", "pycache_prefix"),
        ] {
            assert_eq!(ignored(line).as_deref(), Some(option), "{line}");
        }
    }

    #[test]
    fn words_that_are_no_such_option_are_not() {
        for line in [
            "/usr/bin/python3 s.py -E",
            "/usr/bin/python3 -m server -I",
            "/usr/bin/python3 -mE",
            "/usr/bin/python3 -c E -I",
            "/usr/bin/python3 -WError::ImportWarning s.py",
            "/usr/bin/python3 -W -I s.py",
            "/usr/bin/python3 -sB -u - -E",
            "/usr/bin/python3 -- -E",
            "/usr/bin/perl -I lib s.pl",
            "/usr/bin/python3",
        ] {
            assert_eq!(ignored(line), None, "{line}");
        }
    }
}
