//! The user's store of grants: a file each, with the Cedar template and its link, and what its people signed.
//!
//! Invariants:
//! - A file counts only while its policies are exactly what its terms give, it has not ended, and, where there are approvers, enough of them
//!   signed these very terms: a process of the user that writes here gives itself nothing that it could not press a button for.
//! - No grant is longer than a working day, whatever a file says.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cofferdam_policy::{Grant, GrantPattern, Level};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::approver::{Approvers, Proof, stated};
use crate::contract::folder::replace_file;
use crate::failure::{Failure, file_failure};
use crate::home::Home;
use crate::own_files::{check_folder, read_own_file};

/// The longest grant: a working day.
pub(crate) const GRANT_MINUTES_MAX: u32 = 8 * 60;
/// Grants in the store; the one that ends first gives way.
const GRANTS_MAX: usize = 256;
/// Bytes of one file.
const GRANT_BYTES_MAX: usize = 64 * 1024;
/// Characters of an id: a question's, perhaps asked again a few times.
const ID_CHARS_MAX: usize = 64;
/// How a file's name ends.
const ENDING: &str = "json";
/// How long a folder must have held still for its state to be told by its time of change, in nanoseconds: clocks of file systems are coarse.
const SETTLED_NS: i128 = 1_000_000_000;

/// What a file holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantFile {
    /// What was asked and answered, with the terms; the text that is signed.
    statement: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    proofs: Vec<Proof>,
    /// The template and its link, in Cedar's own form.
    policies: Value,
}

/// A grant of the store that counts.
#[derive(Debug, Clone)]
pub(crate) struct StoredGrant {
    pub(crate) grant: Grant,
    /// The keys of the people who signed it.
    pub(crate) keys: Vec<String>,
}

/// The folder of grants.
#[derive(Debug, Clone)]
pub(crate) struct GrantStore(PathBuf);

/// What tells one state of the folder from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(i64, i64, u64);

impl GrantStore {
    /// The user's.
    pub(crate) fn of(home: &Home) -> Self {
        Self(home.grants())
    }

    /// The state of the folder, where it has held still long enough to be known again by it.
    pub(crate) fn stamp(&self, now_ns: i128) -> Option<Stamp> {
        let metadata = std::fs::symlink_metadata(&self.0).ok()?;
        let changed_ns = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
        let is_settled = now_ns.saturating_sub(changed_ns) > SETTLED_NS;
        is_settled.then(|| Stamp(metadata.ctime(), metadata.ctime_nsec(), metadata.ino()))
    }

    /// Every grant that counts at `now_s`, the one that ends first in front; what ended goes. What cannot be used is told in words.
    ///
    /// # Errors
    /// The folder is not the user's alone.
    pub(crate) fn read(&self, approvers: &Approvers, now_s: i64) -> Result<(Vec<StoredGrant>, Vec<String>), Failure> {
        let (mut grants, mut unusable) = (Vec::new(), Vec::new());
        for path in self.files()? {
            match stored(&path, approvers, now_s) {
                Ok(Some(grant)) => grants.push(grant),
                // It ended; whoever sees that first clears it away.
                Ok(None) => drop(std::fs::remove_file(&path)),
                Err(failure) => unusable.push(failure.what),
            }
        }
        grants.sort_by_key(|stored| stored.grant.terms().until);
        Ok((grants, unusable))
    }

    /// Keeps a grant, for the user alone.
    ///
    /// # Errors
    /// It cannot be written, or there are too many files that are no grants.
    pub(crate) fn keep(&self, grant: &Grant, statement: String, proofs: Vec<Proof>) -> Result<(), Failure> {
        Home::make(&self.0)?;
        let mut files = self.files()?;
        files.sort_by_key(|path| std::fs::metadata(path).map_or(0, |metadata| metadata.mtime()));
        if files.len() >= GRANTS_MAX
            && let Some(oldest) = files.first()
        {
            std::fs::remove_file(oldest).map_err(|cause| file_failure("remove", oldest, &cause))?;
        }
        let file = GrantFile {
            statement,
            proofs,
            policies: grant
                .to_json()
                .map_err(|error| Failure::not_enforced(error.to_string()))?,
        };
        let text = serde_json::to_string(&file).map_err(|error| Failure::not_enforced(error.to_string()))?;
        if text.len() > GRANT_BYTES_MAX {
            return Err(Failure::not_enforced(format!(
                "it has more than {GRANT_BYTES_MAX} bytes"
            )));
        }
        replace_file(&self.0.join(format!("{}.{ENDING}", grant.terms().id)), &text)
    }

    /// Takes a grant out; whether it was there.
    pub(crate) fn remove(&self, id: &str) -> Result<bool, Failure> {
        if !is_id(id) {
            return Ok(false);
        }
        let path = self.0.join(format!("{id}.{ENDING}"));
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(file_failure("remove", &path, &cause)),
        }
    }

    fn files(&self) -> Result<Vec<PathBuf>, Failure> {
        check_folder(&self.0)?;
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(file_failure("list", &self.0, &cause)),
        };
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        let is_grant = |path: &PathBuf| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            path.extension().is_some_and(|ending| ending == ENDING) && is_id(&stem)
        };
        // More than ever are kept were put there by somebody else.
        Ok(paths.filter(is_grant).take(2 * GRANTS_MAX).collect())
    }
}

fn is_id(id: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || byte == b'+';
    (1..=ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(is_part)
}

/// A grant out of its file; `None` where it ended.
fn stored(path: &Path, approvers: &Approvers, now_s: i64) -> Result<Option<StoredGrant>, Failure> {
    let unusable = |why: &str| Failure::misconfigured(format!("`{}` is no grant: {why}", path.display()));
    let text = read_own_file(path, GRANT_BYTES_MAX)?;
    let file: GrantFile = serde_json::from_str(&text).map_err(|error| unusable(&error.to_string()))?;
    let (level, terms) = stated(&file.statement).ok_or_else(|| unusable("its statement has no terms"))?;
    if path.file_stem().is_none_or(|stem| *stem != *terms.id) {
        return Err(unusable("it has the name of another"));
    }
    if matches!(terms.pattern, GrantPattern::Tool { .. }) {
        return Err(unusable("a grant for a session is not kept"));
    }
    if terms.until.saturating_sub(now_s) > i64::from(GRANT_MINUTES_MAX) * 60 {
        return Err(unusable("it is longer than a working day"));
    }
    if terms.until <= now_s {
        return Ok(None);
    }
    let proven = approvers.proven(&file.statement, &file.proofs);
    let mut keys: Vec<String> = proven.into_iter().map(|proof| proof.key).collect();
    keys.sort();
    keys.dedup();
    let reachable = level_of(approvers.count());
    if level_of(keys.len()).number() < needed(level, true, reachable) {
        return Err(unusable("there are approvers, and not enough of them signed it"));
    }
    let grant = Grant::link(terms).map_err(|error| unusable(&error.to_string()))?;
    if grant.to_json().ok().as_ref() != Some(&file.policies) {
        return Err(unusable("its policies are not what its terms say"));
    }
    Ok(Some(StoredGrant { grant, keys }))
}

/// The level that so many proven people reach; without one, what any process of the user reaches.
pub(crate) fn level_of(people: usize) -> Level {
    match people {
        0 => Level::Attested,
        1 => Level::Person,
        _ => Level::Two,
    }
}

/// The level that an answer of yes needs. A grant answers questions that nobody has seen yet: as much as a manifest, it is a person's to give where
/// one can be proven.
pub(crate) fn needed(asked: u8, is_grant: bool, reachable: Level) -> u8 {
    if is_grant {
        asked.max(reachable.min(Level::Person).number())
    } else {
        asked
    }
}
