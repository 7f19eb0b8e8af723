//! What is not readable inside granted folders: secrets, by the names they go by.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Most patterns of a plan, and the longest.
const PATTERNS_MAX: usize = 512;
const PATTERN_BYTES_MAX: usize = 256;

/// Names of files and folders that show nothing inside a granted folder: a file reads as empty, a folder lists
/// nothing. What is granted by its own path is not masked: somebody named it.
///
/// A pattern is the last parts of a path, `*` standing for any part of a name: `.env*`, `.config/gh`. Upper and
/// lower case are told apart, as file systems do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Masks {
    /// Masked whatever they hold.
    pub names: Vec<String>,
    /// Masked when they hold a private key: files under these names are often certificates.
    pub private_keys: Vec<String>,
    /// Never masked.
    pub except: Vec<String>,
    /// Whether configurations of git repositories are masked when they hold credentials.
    pub git_credentials: bool,
}

impl Masks {
    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.private_keys.is_empty() && !self.git_credentials
    }

    /// Why the patterns cannot be used, if so.
    pub(crate) fn problem(&self) -> Option<String> {
        let all = || self.names.iter().chain(&self.private_keys).chain(&self.except);
        if all().count() > PATTERNS_MAX {
            return Some(format!("more than {PATTERNS_MAX} masks"));
        }
        let is_wrong = |pattern: &&String| {
            let parts = || pattern.split('/');
            pattern.len() > PATTERN_BYTES_MAX || parts().any(|part| matches!(part, "" | "." | ".." | "*" | "**"))
        };
        all()
            .find(is_wrong)
            .map(|pattern| format!("`{pattern}` is not a mask: it is the last parts of a path, such as `.env*`"))
    }
}

/// Masks ready to be asked about many paths.
#[derive(Debug)]
pub(crate) struct Judge {
    names: Patterns,
    private_keys: Patterns,
    except: Patterns,
    pub(crate) git_credentials: bool,
}

impl Judge {
    pub(crate) fn new(masks: &Masks) -> Self {
        Self {
            names: Patterns::new(&masks.names),
            private_keys: Patterns::new(&masks.private_keys),
            except: Patterns::new(&masks.except),
            git_credentials: masks.git_credentials,
        }
    }

    /// Whether a path is masked by its name alone.
    pub(crate) fn names_it(&self, path: &Path) -> bool {
        self.names.has(path) && !self.except.has(path)
    }

    /// Whether a path is masked if it holds a private key.
    pub(crate) fn may_be_a_key(&self, path: &Path) -> bool {
        self.private_keys.has(path) && !self.except.has(path)
    }
}

/// Patterns by the last part of each, so that most names cost one look.
#[derive(Debug, Default)]
struct Patterns {
    plain: BTreeMap<Vec<u8>, Vec<String>>,
    wild: Vec<String>,
}

impl Patterns {
    fn new(patterns: &[String]) -> Self {
        let mut sorted = Self::default();
        for pattern in patterns {
            let last = pattern.rsplit('/').next().unwrap_or(pattern);
            if last.contains('*') {
                sorted.wild.push(pattern.clone());
            } else {
                let plain = sorted.plain.entry(last.as_bytes().to_vec()).or_default();
                plain.push(pattern.clone());
            }
        }
        sorted
    }

    fn has(&self, path: &Path) -> bool {
        let Some(name) = path.file_name() else { return false };
        let plain = self.plain.get(name.as_encoded_bytes()).into_iter().flatten();
        plain.chain(&self.wild).any(|pattern| ends_with(path, pattern))
    }
}

/// Whether the last parts of a path are those of a pattern.
fn ends_with(path: &Path, pattern: &str) -> bool {
    let mut parts = path.iter().rev();
    pattern.rsplit('/').all(|wanted| {
        parts
            .next()
            .is_some_and(|part| matches(wanted.as_bytes(), part.as_encoded_bytes()))
    })
}

/// Whether a name is what a pattern says, `*` standing for any bytes.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut taken) = (0, 0);
    // Where the last star stood, and how much of the name it took: the only place to come back to.
    let mut star = None;
    while taken < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, taken));
                at += 1;
            }
            Some(wanted) if name.get(taken) == Some(wanted) => {
                at += 1;
                taken += 1;
            }
            _ => match star {
                Some((place, took)) => {
                    star = Some((place, took + 1));
                    (at, taken) = (place + 1, took + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Judge, Masks, ends_with};

    #[test]
    fn patterns_are_the_last_parts_of_a_path() {
        for (pattern, path, wanted) in [
            (".env*", "/p/.env", true),
            (".env*", "/p/.env.local", true),
            (".env*", "/p/x.env", false),
            ("*.pem", "/p/a/key.pem", true),
            ("*.pem", "/p/a/key.pem.bak", false),
            ("*a*b*", "/p/xaxxbx", true),
            ("*a*b*", "/p/xbxxax", false),
            (".config/gh", "/home/u/.config/gh", true),
            (".config/gh", "/home/u/gh", false),
            ("Code*/User/mcp.json", "/h/.config/Code - Insiders/User/mcp.json", true),
            ("a/b", "b", false),
        ] {
            assert_eq!(ends_with(Path::new(path), pattern), wanted, "{pattern} {path}");
        }
    }

    #[test]
    fn exceptions_win_and_a_hostile_name_ends() {
        let masks = Masks {
            names: vec![".env*".into(), "*a*a*a*a*b".into()],
            except: vec![".env.example".into()],
            ..Masks::default()
        };
        let masks = Judge::new(&masks);
        assert!(masks.names_it(Path::new("/p/.env")) && !masks.names_it(Path::new("/p/.env.example")));
        assert!(!masks.names_it(&Path::new("/p").join("a".repeat(255))));
        for wrong in ["", "/etc", "a//b", "../x", "*", "a/*", "a/"] {
            let masks = Masks {
                names: vec![wrong.into()],
                ..Masks::default()
            };
            assert!(masks.problem().is_some(), "{wrong}");
        }
    }
}
