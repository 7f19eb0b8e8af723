//! Compares a program's files with what was accepted.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::walk::{Entry, Tree, Walk, is_bytecode};
use super::{PinsError, ProgramPins, Root};
use crate::diagnostic::shown;

/// Paths named in a message; the rest is counted.
const NAMED_MAX: usize = 10;

/// The files are the accepted ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// How many files had to be hashed.
    pub rehashed: usize,
    /// The same content with a fresh index: worth storing in place of the old one, so that the next check hashes
    /// less. `None` when the old one is as good. Its digest is the same.
    pub fresh: Option<ProgramPins>,
    /// Compiled Python files (`__pycache__/*.pyc`) that were added or changed since.
    ///
    /// Python writes them whenever a program of the user imports a module, so they are no reason to refuse, but what
    /// they hold was not accepted either. **The caller must keep the server from reading them**: mask each of these
    /// paths, or start Python with `PYTHONPYCACHEPREFIX` set to a folder of the compartment.
    pub bytecode: Vec<PathBuf>,
}

/// The files are not the accepted ones, or could not be read.
#[derive(Debug, Default, thiserror::Error)]
pub struct ProgramChanged {
    /// Not there when the program was accepted.
    pub added: Vec<PathBuf>,
    /// Gone.
    pub removed: Vec<PathBuf>,
    /// Other content, kind, link target or execute bit.
    pub changed: Vec<PathBuf>,
    /// What stopped the comparison.
    #[source]
    pub unread: Option<PinsError>,
}

impl ProgramChanged {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        let upgrade = "if you changed or upgraded the program yourself, `cofferdam manifest accept` accepts it";
        format!("{upgrade}; otherwise find out who did")
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl fmt::Display for ProgramChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the program is not the one that was accepted")?;
        for (what, paths) in [
            ("added", &self.added),
            ("removed", &self.removed),
            ("changed", &self.changed),
        ] {
            for path in paths.iter().take(NAMED_MAX) {
                write!(f, "\n  {what} {}", shown(path))?;
            }
            if let Some(more @ 1..) = paths.len().checked_sub(NAMED_MAX) {
                write!(f, "\n  and {more} more {what}")?;
            }
        }
        match &self.unread {
            Some(cause) => write!(f, "\n  {cause}"),
            None => Ok(()),
        }
    }
}

pub(super) fn check(pins: &ProgramPins, now: SystemTime) -> Result<Checked, ProgramChanged> {
    let mut walk = Walk::new(&pins.except, now);
    let mut difference = ProgramChanged::default();
    let mut bytecode = Vec::new();
    let mut roots = Vec::with_capacity(pins.roots.len());
    for root in &pins.roots {
        match walk.tree(&root.path, &root.tree) {
            Ok(tree) => {
                compare(root, &tree, &mut difference, &mut bytecode);
                roots.push(Root {
                    path: root.path.clone(),
                    tree,
                });
            }
            Err(PinsError::Read { cause, .. }) if is_gone(&root.path, &cause) => {
                difference.removed.push(root.path.clone());
            }
            Err(cause) => difference.unread = Some(cause),
        }
    }
    if !difference.is_empty() || difference.unread.is_some() {
        return Err(difference);
    }
    let mut fresh = ProgramPins {
        roots,
        except: pins.except.clone(),
    };
    fresh.keep_accepted_bytecode(pins);
    let fresh = (fresh != *pins).then_some(fresh);
    Ok(Checked {
        rehashed: walk.hashed,
        fresh,
        bytecode,
    })
}

fn is_gone(root: &Path, cause: &std::io::Error) -> bool {
    cause.kind() == std::io::ErrorKind::NotFound && !root.exists()
}

fn compare(root: &Root, now: &Tree, difference: &mut ProgramChanged, bytecode: &mut Vec<PathBuf>) {
    for (name, entry) in now {
        let same = root.tree.get(name).map(|before| is_same(before, entry));
        let cache = is_bytecode(name, entry);
        match same {
            Some(true) => {}
            // A cache folder is not read by itself: what is in it is named one by one.
            _ if cache && *entry == Entry::Folder => {}
            _ if cache => bytecode.push(place(&root.path, name)),
            Some(false) => difference.changed.push(place(&root.path, name)),
            None => difference.added.push(place(&root.path, name)),
        }
    }
    let gone = root
        .tree
        .iter()
        .filter(|(name, entry)| !now.contains_key(*name) && !is_bytecode(name, entry));
    difference.removed.extend(gone.map(|(name, _)| place(&root.path, name)));
}

fn is_same(before: &Entry, now: &Entry) -> bool {
    match (before, now) {
        (Entry::File(before), Entry::File(now)) => before.sha256 == now.sha256 && before.executable == now.executable,
        _ => before == now,
    }
}

/// The path of an entry; of a root that is a link, what it leads to is written `root/-> `… and shown as the root.
fn place(root: &Path, name: &str) -> PathBuf {
    let name = name
        .strip_prefix("->")
        .map_or(name, |rest| rest.trim_start_matches('/'));
    if name.is_empty() {
        root.to_owned()
    } else {
        root.join(name)
    }
}

impl ProgramPins {
    /// A fresh index vouches for no compiled file that was not there when the program was accepted.
    pub(super) fn keep_accepted_bytecode(&mut self, accepted: &Self) {
        for (root, before) in self.roots.iter_mut().zip(&accepted.roots) {
            root.tree.retain(|name, entry| {
                !is_bytecode(name, entry) || before.tree.get(name).is_some_and(|before| is_same(before, entry))
            });
        }
    }
}
