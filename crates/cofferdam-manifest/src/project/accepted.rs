//! The user's list of accepted project manifests.
//!
//! One line for each: the manifest's digest, its path as a JSON string, and a comment. Empty lines and lines that begin
//! with `#` are kept as they are.
//!
//! ```text
//! sha256:9f86… "/home/me/shop/.cofferdam/db.toml" read with Ann on Monday
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::diagnostic::{is_invisible, shown};
use crate::digest::Digest;

use super::is_canonical;

/// The largest list that is read, in bytes.
const LIST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most accepted manifests.
const PROJECTS_MAX: usize = 10_000;
/// Characters of a comment.
const COMMENT_CHARACTERS_MAX: usize = 200;

/// One accepted manifest: this meaning, at this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedProject {
    /// [`Manifest::digest`](crate::Manifest::digest) of the manifest as parsed.
    pub digest: Digest,
    /// The canonical path of the manifest's file: the same manifest elsewhere, under another name, was not accepted.
    pub path: PathBuf,
    /// Whatever the user wants to remember.
    pub comment: String,
}

/// The list, and the file it is kept in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedProjects {
    file: PathBuf,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Remark(String),
    Entry(AcceptedProject),
}

/// A list that cannot be read or written, with file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedProjectsError {
    /// The file the list is kept in.
    pub file: PathBuf,
    /// Line, from 1; 0 when it is no line's.
    pub line: usize,
    /// What is wrong.
    pub fault: AcceptedProjectsFault,
}

/// What is wrong with a list of accepted projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AcceptedProjectsFault {
    /// Larger than 4 MiB, or more than 10,000 entries.
    #[error("the list has more than {PROJECTS_MAX} entries or {LIST_BYTES_MAX} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("not text: invalid UTF-8")]
    NotUtf8,
    /// A character that cannot be seen.
    #[error("an invisible character")]
    Invisible,
    /// Does not begin with a digest.
    #[error("the line does not begin with a digest")]
    NotADigest,
    /// No path in quotation marks.
    #[error("no path in quotation marks after the digest")]
    NotAPath,
    /// Not absolute, with `..`, or not UTF-8.
    #[error("the path is not an absolute one without `..`")]
    NotCanonical,
    /// A path has one accepted manifest at most, so that an older one cannot come back.
    #[error("the path has an entry already")]
    SecondEntry,
    /// More than 200 characters, or several lines.
    #[error("the comment has several lines or more than {COMMENT_CHARACTERS_MAX} characters")]
    BadComment,
}

impl AcceptedProjectsError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self.fault {
            AcceptedProjectsFault::TooLong => "remove the entries of projects you no longer have",
            AcceptedProjectsFault::SecondEntry => "remove the entry that no longer holds",
            AcceptedProjectsFault::BadComment => "say it in fewer words",
            _ => {
                "a line is a digest, a path in quotation marks and a comment; remove the line and accept the project anew"
            }
        }
    }
}

impl std::error::Error for AcceptedProjectsError {}

impl fmt::Display for AcceptedProjectsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "`{}`: {}", shown(&self.file), self.fault),
            line => write!(f, "`{}`, line {line}: {}", shown(&self.file), self.fault),
        }
    }
}

impl AcceptedProjects {
    /// Reads the list. `file` is the canonical path of the file it is kept in, whether or not that exists yet: a list
    /// in a project's folder does not count for that project.
    ///
    /// # Errors
    /// At the first line that is none.
    pub fn parse(content: &[u8], file: &Path) -> Result<Self, AcceptedProjectsError> {
        let at = |line, fault| AcceptedProjectsError {
            file: file.to_owned(),
            line,
            fault,
        };
        if content.len() > LIST_BYTES_MAX {
            return Err(at(0, AcceptedProjectsFault::TooLong));
        }
        let text = std::str::from_utf8(content).map_err(|_cause| at(0, AcceptedProjectsFault::NotUtf8))?;
        let mut lines = Vec::new();
        let mut paths = BTreeSet::new();
        for (text, number) in text.lines().zip(1..) {
            let line = line(text).map_err(|fault| at(number, fault))?;
            if let Line::Entry(entry) = &line {
                if !paths.insert(entry.path.clone()) {
                    return Err(at(number, AcceptedProjectsFault::SecondEntry));
                }
                if paths.len() > PROJECTS_MAX {
                    return Err(at(number, AcceptedProjectsFault::TooLong));
                }
            }
            lines.push(line);
        }
        let file = file.to_owned();
        Ok(Self { file, lines })
    }

    /// An empty list that will be kept in `file`.
    #[must_use]
    pub fn empty(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            lines: Vec::new(),
        }
    }

    /// The file the list is kept in.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The accepted manifests, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &AcceptedProject> {
        self.lines.iter().filter_map(|line| match line {
            Line::Entry(entry) => Some(entry),
            Line::Remark(_) => None,
        })
    }

    /// What was accepted at this path.
    #[must_use]
    pub fn entry(&self, path: &Path) -> Option<&AcceptedProject> {
        self.iter().find(|entry| entry.path == path)
    }

    /// The list with this entry in place of the one its path had.
    ///
    /// # Errors
    /// When the entry cannot be written down, or the list is full.
    pub fn with(&self, entry: AcceptedProject) -> Result<Self, AcceptedProjectsError> {
        let at = |fault| AcceptedProjectsError {
            file: self.file.clone(),
            line: 0,
            fault,
        };
        let entry = sound(entry).map_err(at)?;
        let mut list = self.without(&entry.path);
        if list.iter().count() >= PROJECTS_MAX {
            return Err(at(AcceptedProjectsFault::TooLong));
        }
        list.lines.push(Line::Entry(entry));
        Ok(list)
    }

    /// The list without what was accepted at this path.
    #[must_use]
    pub fn without(&self, path: &Path) -> Self {
        let mut list = self.clone();
        list.lines
            .retain(|line| !matches!(line, Line::Entry(entry) if entry.path == path));
        list
    }

    /// The content of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Remark(remark) => text.push_str(remark),
                Line::Entry(entry) => {
                    let written = format!("{} {} {}", entry.digest, quoted(&entry.path), entry.comment);
                    text.push_str(written.trim_end());
                }
            }
            text.push('\n');
        }
        text
    }
}

fn line(text: &str) -> Result<Line, AcceptedProjectsFault> {
    if text.chars().any(|c| is_invisible(c) && c != '\t') {
        return Err(AcceptedProjectsFault::Invisible);
    }
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return Ok(Line::Remark(text.to_owned()));
    }
    let (digest, rest) = trimmed.split_once(' ').ok_or(AcceptedProjectsFault::NotAPath)?;
    let digest: Digest = digest.parse().map_err(|_cause| AcceptedProjectsFault::NotADigest)?;
    let mut strings = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    let path = strings
        .next()
        .and_then(Result::ok)
        .ok_or(AcceptedProjectsFault::NotAPath)?;
    let comment = rest.get(strings.byte_offset()..).unwrap_or_default();
    if !comment.is_empty() && !comment.starts_with(' ') {
        return Err(AcceptedProjectsFault::NotAPath);
    }
    sound(AcceptedProject {
        digest,
        path: path.into(),
        comment: comment.to_owned(),
    })
    .map(Line::Entry)
}

/// An entry that can be written and read back as it is.
fn sound(entry: AcceptedProject) -> Result<AcceptedProject, AcceptedProjectsFault> {
    let comment = entry.comment.trim();
    if comment.chars().count() > COMMENT_CHARACTERS_MAX || comment.chars().any(is_invisible) {
        return Err(AcceptedProjectsFault::BadComment);
    }
    if !is_canonical(&entry.path) || entry.path.to_str().is_none() {
        return Err(AcceptedProjectsFault::NotCanonical);
    }
    let comment = comment.to_owned();
    Ok(AcceptedProject { comment, ..entry })
}

/// A JSON string in which everything can be seen.
fn quoted(path: &Path) -> String {
    let mut text = String::from("\"");
    for character in path.to_string_lossy().chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            _ if is_invisible(character) => {
                let mut units = [0; 2];
                text.extend(
                    character
                        .encode_utf16(&mut units)
                        .iter()
                        .map(|unit| format!("\\u{unit:04x}")),
                );
            }
            _ => text.push(character),
        }
    }
    text.push('"');
    text
}
