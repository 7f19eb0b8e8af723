//! The words of a launch line, taken one by one; what is left at the end are the program's own arguments.

use std::path::{Path, PathBuf};

use super::{Findings, LaunchError, Surroundings, place};
use crate::grant::{Access, forbidden_grant};

/// The words after the program.
#[derive(Debug)]
pub(super) struct Line<'w> {
    rest: &'w [String],
}

impl<'w> Line<'w> {
    /// `argv` without its first word.
    pub(super) fn new(argv: &'w [String]) -> Self {
        Self {
            rest: argv.get(1..).unwrap_or_default(),
        }
    }

    pub(super) fn peek(&self) -> Option<&'w str> {
        self.rest.first().map(String::as_str)
    }

    pub(super) const fn rest(&self) -> &'w [String] {
        self.rest
    }

    pub(super) fn take(&mut self) -> Option<&'w str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Takes options, handing each to `option` (which may take its value), until the first plain word.
    pub(super) fn options(
        &mut self,
        found: &mut Findings,
        mut option: impl FnMut(&str, &mut Self, &mut Findings) -> Result<bool, LaunchError>,
    ) -> Result<(), LaunchError> {
        while let Some(word) = self.peek().filter(|word| word.starts_with('-') && *word != "-") {
            self.take();
            found.argv.push(word.to_owned());
            let goes_on = option(word, self, found)?;
            if word == "--" || !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Takes the value of an option as it is.
    pub(super) fn value(&mut self, found: &mut Findings) -> Option<&'w str> {
        let value = self.take()?;
        found.argv.push(value.to_owned());
        Some(value)
    }

    /// Hands the program its own arguments: paths that exist are written absolute and offered as roots.
    pub(super) fn offer_rest(&mut self, around: &Surroundings<'_>, found: &mut Findings) -> Result<(), LaunchError> {
        while let Some(word) = self.take() {
            let word = argument(word, around, found)?;
            found.argv.push(word);
        }
        Ok(())
    }
}

fn argument(word: &str, around: &Surroundings<'_>, found: &mut Findings) -> Result<String, LaunchError> {
    let (option, value) = match word.split_once('=') {
        Some((option, value)) if option.starts_with('-') => (Some(option), value),
        _ => (None, word),
    };
    let Some(path) = existing_path(value, around) else {
        return Ok(word.to_owned());
    };
    let own = found.parts.iter().any(|part| path.starts_with(part)) || path.starts_with("/usr");
    if let Some(reason) = forbidden_grant(&path, Access::Read, &[]) {
        found.note(format!("the argument `{word}` cannot be granted: {reason}"));
    } else if !own {
        found.offered.push(path.clone());
    }
    let written = place::utf8(&path)?;
    Ok(option.map_or_else(|| written.clone(), |option| format!("{option}={written}")))
}

/// What a word leads to, if it is spelled as a path and exists. A bare word may happen to be a folder's name, and is
/// not taken for a path.
fn existing_path(word: &str, around: &Surroundings<'_>) -> Option<PathBuf> {
    let spelled = word.contains('/') || matches!(word, "." | ".." | "~");
    if !spelled || word.contains("://") {
        return None;
    }
    absolute(word, around).canonicalize().ok()
}

/// The path a word means, from the working directory or the home folder.
pub(super) fn absolute(word: &str, around: &Surroundings<'_>) -> PathBuf {
    match word.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => around.home.join(rest.trim_start_matches('/')),
        _ => around.directory.join(Path::new(word)),
    }
}
