//! A launch line as it is known here: what the client puts in is looked up where we can see the same, asked for where a person sits, and
//! never guessed.
//!
//! Values of variables stay the client's to put in: only what is started, and where, has to be known.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use cofferdam_inspect::show_safely;
use cofferdam_manifest::looks_secret;
use cofferdam_scan::{LaunchLine, Piece, Place, pieces};

use super::discover::Found;
use crate::failure::{Failure, file_failure};
use crate::home::Home;

/// Longest file of variables that is read, in bytes.
const VARIABLES_BYTES_MAX: u64 = 1 << 20;

/// A launch line without anything that only the client knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// With variables of a file among the others.
    pub(super) line: LaunchLine,
    /// The project whose configuration it stands in.
    pub(super) project: Option<PathBuf>,
    /// What a person should know, one sentence each.
    pub(super) notes: Vec<String>,
}

/// Where a client's own words are looked up.
pub(super) struct Surroundings<'a> {
    found: &'a Found,
    user_home: &'a Path,
    /// The project that the configuration belongs to.
    project: Option<PathBuf>,
    /// Asks a person; `None` where nobody answers.
    ask: &'a mut dyn FnMut(&str) -> Option<String>,
    /// What was asked or looked up already.
    answers: Vec<(String, String)>,
}

impl<'a> Surroundings<'a> {
    pub(super) fn new(home: &'a Home, found: &'a Found, ask: &'a mut dyn FnMut(&str) -> Option<String>) -> Self {
        Self {
            found,
            user_home: &home.user_home,
            project: project_of(found, &home.user_home),
            ask,
            answers: Vec::new(),
        }
    }

    /// What a client would start, with everything put in.
    ///
    /// # Errors
    /// Part of it is a secret, or only the client knows it and nobody is there to ask.
    pub(super) fn known(&mut self, line: &LaunchLine) -> Result<Known, Failure> {
        let mut known = line.clone();
        for word in &mut known.command {
            *word = self.put_in(word)?;
        }
        if let Some(directory) = &mut known.directory {
            *directory = self.put_in(directory)?;
        }
        let mut notes: Vec<String> = self
            .answers
            .iter()
            .map(|(mark, value)| {
                format!(
                    "`{}` in its launch line is `{}` from now on: the client no longer puts it in",
                    show_safely(mark),
                    show_safely(value)
                )
            })
            .collect();
        for (name, value) in &mut known.environment {
            // The client goes on putting it in. For the first look it is as good as we know it.
            if let Ok(seen) = self.looked_up(value, name) {
                *value = seen;
            }
        }
        if let Some(file) = known.environment_file.take() {
            let path = self.variables_file(&file)?;
            for (name, value) in variables(&path)? {
                if !known.environment.iter().any(|(known, _)| *known == name) {
                    known.environment.push((name, value));
                }
            }
            notes.push(format!(
                "the client goes on reading `{}`; a variable that is new in it is passed on after `manifest allow NAME variable …`",
                show_safely(&file)
            ));
        }
        Ok(Known {
            line: known,
            project: self.project.clone(),
            notes,
        })
    }

    /// A word with everything put in; what is not known is asked.
    fn put_in(&mut self, word: &str) -> Result<String, Failure> {
        let mut whole = String::with_capacity(word.len());
        for piece in pieces(word, self.found.client.marks) {
            if let Piece::Text(text) = piece {
                whole.push_str(text);
                continue;
            }
            let mark = shown(piece);
            let value = match self.value(piece) {
                Some(value) => value,
                None => self.asked(&mark, word)?,
            };
            if looks_secret(bare(&mark), &value).is_some() {
                return Err(Failure::misconfigured(format!(
                    "`{}` in its launch line stands for a secret, which every process of yours could read there",
                    show_safely(&mark)
                ))
                .help("give it to the server as a variable (`env`), then run `cofferdam protect` again"));
            }
            whole.push_str(&value);
            if !self.answers.iter().any(|(known, _)| *known == mark) {
                self.answers.push((mark, value));
            }
        }
        Ok(whole)
    }

    /// A value with everything put in that is known without asking; as it is under a secret's name.
    fn looked_up(&self, text: &str, name: &str) -> Result<String, ()> {
        let all = pieces(text, self.found.client.marks);
        let values = all.into_iter().map(|piece| match piece {
            Piece::Text(text) => Ok(text.to_owned()),
            _ if looks_secret(name, "").is_some() => Err(()),
            piece => self.value(piece).ok_or(()),
        });
        values.collect()
    }

    /// What is known of a piece without asking.
    fn value(&self, piece: Piece<'_>) -> Option<String> {
        let path = |path: &Path| path.to_str().map(str::to_owned);
        match piece {
            Piece::Text(text) => Some(text.to_owned()),
            Piece::Home => path(self.user_home),
            Piece::Separator => Some(std::path::MAIN_SEPARATOR_STR.to_owned()),
            Piece::Project => self.project.as_deref().and_then(path),
            Piece::Variable("HOME", _) => path(self.user_home),
            Piece::Variable(name, default) => {
                let set = std::env::var(name).ok().filter(|value| !value.is_empty());
                set.or_else(|| default.map(str::to_owned))
            }
            Piece::Open(mark) => self.answer(mark),
        }
    }

    fn answer(&self, mark: &str) -> Option<String> {
        let known = self.answers.iter().find(|(known, _)| known == mark);
        known.map(|(_, value)| value.clone())
    }

    fn asked(&mut self, mark: &str, word: &str) -> Result<String, Failure> {
        if let Some(known) = self.answer(mark) {
            return Ok(known);
        }
        let unknown = || {
            Failure::misconfigured(format!(
                "`{}` in its launch line is put in by the client, so what would be started is not known here",
                show_safely(word)
            ))
            .help("run `cofferdam protect` without `--yes` on a terminal, which asks, or write out what it stands for")
        };
        if looks_secret(bare(mark), "").is_some() {
            return Err(unknown());
        }
        let answer = (self.ask)(&format!(
            "what does the client put in for `{}` in `{}`? (empty: leave this server alone) ",
            show_safely(mark),
            show_safely(word)
        ));
        answer.filter(|answer| !answer.is_empty()).ok_or_else(unknown)
    }

    /// Where a file of variables lies: clients start from the project's folder. A project's own configuration names its own files only:
    /// whatever the file holds would be granted by name.
    fn variables_file(&mut self, file: &str) -> Result<PathBuf, Failure> {
        let path = PathBuf::from(self.put_in(file)?);
        let Some(project) = &self.project else {
            let unknown = || {
                Failure::misconfigured(format!(
                    "its variables come from the file `{}`, and which folder that is in only the client knows",
                    show_safely(file)
                ))
                .help("write its whole path, then run `cofferdam protect` again")
            };
            return if path.is_absolute() { Ok(path) } else { Err(unknown()) };
        };
        let path = project.join(path);
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if real(&path).starts_with(real(project)) {
            return Ok(path);
        }
        Err(Failure::misconfigured(format!(
            "its variables come from the file `{}`, which lies outside of the project whose configuration this is",
            show_safely(file)
        ))
        .help("move the entry into your own configuration of the client, then run `cofferdam protect` again"))
    }
}

/// As the client writes it.
fn shown(piece: Piece<'_>) -> String {
    match piece {
        Piece::Text(text) | Piece::Open(text) => text.to_owned(),
        Piece::Home => "${userHome}".to_owned(),
        Piece::Project => "${workspaceFolder}".to_owned(),
        Piece::Separator => "${/}".to_owned(),
        Piece::Variable(name, _) => format!("${{{name}}}"),
    }
}

/// The name within a mark.
fn bare(mark: &str) -> &str {
    let inner = mark.trim_matches(['$', '{', '}', ' ']);
    inner.rsplit([':', '.']).next().unwrap_or(inner)
}

/// The folder of the project that a configuration lies in; `None` for the user's own.
fn project_of(found: &Found, user_home: &Path) -> Option<PathBuf> {
    let is_own = |place: &Place| place.in_home().is_some_and(|own| user_home.join(own) == found.path);
    let mut places = found.client.files.iter().map(|file| &file.place);
    if places.clone().any(is_own) {
        return None;
    }
    places.find_map(|place| {
        let below = match place {
            Place::Home { .. } => return None,
            Place::Project(path) => PathBuf::from(path),
            Place::ProjectFolder { folder, .. } => Path::new(folder).join(found.path.file_name()?),
        };
        if !found.path.ends_with(&below) {
            return None;
        }
        found
            .path
            .ancestors()
            .nth(below.components().count())
            .map(Path::to_owned)
    })
}

/// The variables of a file, as clients read it: `NAME=VALUE` a line, with quotes, `export` and comments.
fn variables(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let unreadable = |cause: &std::io::Error| {
        file_failure("read the variables in", path, cause)
            .help("the client gives them to the server, so their names must be known: mend it, then run `cofferdam protect` again")
    };
    let found = std::fs::metadata(path).map_err(|cause| unreadable(&cause))?;
    if !found.is_file() || found.len() > VARIABLES_BYTES_MAX {
        return Err(Failure::misconfigured(format!(
            "`{}` is no regular file of at most {VARIABLES_BYTES_MAX} bytes",
            path.display()
        )));
    }
    let mut text = String::new();
    let opened = std::fs::File::open(path);
    opened
        .and_then(|file| file.take(VARIABLES_BYTES_MAX).read_to_string(&mut text))
        .map_err(|cause| unreadable(&cause))?;
    Ok(text.lines().filter_map(variable).collect())
}

fn variable(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
    let name = name.trim_end();
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
        && !name.starts_with(|first: char| first.is_ascii_digit());
    let value = value.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| {
        let (inside, _) = value.strip_prefix(quote)?.split_once(quote)?;
        Some(inside)
    });
    let plain = || value.split_once(" #").map_or(value, |(value, _)| value).trim_end();
    is_name.then(|| (name.to_owned(), quoted.unwrap_or_else(plain).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{bare, variable};

    #[test]
    fn lines_of_variables_are_read_as_clients_read_them() {
        let read = |line| variable(line).map(|(name, value)| format!("{name}|{value}"));
        for (line, expected) in [
            ("A=1", Some("A|1")),
            ("  export B_2 = two words # so", Some("B_2|two words")),
            ("C=\"a # b\" # c", Some("C|a # b")),
            ("D='x'", Some("D|x")),
            ("E=", Some("E|")),
            ("# F=1", None),
            ("2G=1", None),
            ("no value", None),
        ] {
            assert_eq!(read(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn the_name_in_a_mark() {
        assert_eq!(
            ["${input:key}", "${{ secrets.K }}", "{env:A}", "$B"].map(bare),
            ["key", "K", "A", "B"]
        );
    }
}
