//! Grants in a gate: which of them cover a call, and what a grant about a call would be made of.
//!
//! Grants for a session are in the gate's memory and end with it; the others are in the user's store, and every gate of the server takes them.
//! They are looked at where a call would otherwise be asked about, and nowhere else.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use cofferdam_audit::Kind;
use cofferdam_inspect::Labels;
use cofferdam_manifest::Digest;
use cofferdam_policy::{Grant, GrantCall, Seen, Touched, Unapproved, common_folders};
use cofferdam_protocol::Message;
use serde_json::json;

use super::carried_along;
use crate::approvals::{Grant as Shown, GrantStore, Offer, Proof, StoredGrant};
use crate::failure::Failure;
use crate::gate::facts::touched;
use crate::gate::{Fault, Gate};

/// Grants of one session that are in memory; the oldest gives way.
const GRANTS_MAX: usize = 256;

/// Bytes of the paths and hosts of a call for which a grant about them is offered.
const TOUCHED_BYTES_MAX: usize = 16 * 1024;

/// The grants in force.
#[derive(Debug, Default)]
pub(in crate::gate) struct Remembered {
    /// Those of this session alone.
    session: Vec<Arc<Grant>>,
    /// What was in the store when it was last read, and the state it had.
    stored: Arc<Vec<StoredGrant>>,
    stamp: Option<crate::approvals::Stamp>,
    /// How many calls of this session passed by each.
    used: HashMap<String, u64>,
}

impl Remembered {
    /// What was consented to is consented to no more.
    pub(in crate::gate) fn forget(&mut self) {
        self.session.clear();
    }

    fn add(&mut self, grant: Grant) {
        if self.session.len() >= GRANTS_MAX {
            self.session.remove(0);
        }
        self.session.push(Arc::new(grant));
    }
}

impl Gate {
    /// The id of a grant that covers this call, which from now on counts as used; one of the store is on record before the first call passes by it.
    pub(super) fn covering_grant(&self, unapproved: &Unapproved, digest: &str) -> Option<String> {
        let message = unapproved.message();
        let stored = self.stored_grants();
        let session = self.grants().session.clone();
        if session.is_empty() && stored.is_empty() {
            return None;
        }
        let call = self.grant_call(unapproved, digest);
        if let Some(grant) = session.iter().find(|grant| grant.covers(&call)) {
            return Some(self.use_grant(&grant.terms().id));
        }
        let found = stored.iter().find(|stored| stored.grant.covers(&call))?;
        let terms = found.grant.terms();
        let is_first = !self.grants().used.contains_key(&terms.id);
        if is_first {
            let id = message.id().map(ToString::to_string);
            let facts = json!({"decision": "allow", "grant": terms, "stored": true, "keys": found.keys, "for": id});
            // A grant that cannot be recorded is none; what is wrong with the record is told by whoever uses it next.
            self.note(Kind::Approval, &facts.to_string()).ok()?;
        }
        Some(self.use_grant(&terms.id))
    }

    /// Counts a use.
    fn use_grant(&self, id: &str) -> String {
        let mut grants = self.grants();
        let used = grants.used.entry(id.to_owned()).or_default();
        *used = used.saturating_add(1);
        id.to_owned()
    }

    /// The store's grants about this server. Files are read without any lock, and only where the folder changed.
    fn stored_grants(&self) -> Arc<Vec<StoredGrant>> {
        let Some(store) = &self.terms.grants else {
            return Arc::default();
        };
        let now_s = crate::cli::unix_seconds();
        let now_ns = i128::from(now_s).saturating_mul(1_000_000_000);
        let stamp = store.stamp(now_ns);
        {
            let grants = self.grants();
            if stamp.is_some() && stamp == grants.stamp {
                return Arc::clone(&grants.stored);
            }
        }
        let stored = match store.read(&self.terms.approvers, now_s) {
            Ok((stored, _unusable)) => stored,
            Err(failure) => {
                self.operator.say(format!(
                    "cofferdam: the store of grants cannot be used: {}",
                    failure.what
                ));
                Vec::new()
            }
        };
        let stored = Arc::new(self.living(store, stored));
        let mut grants = self.grants();
        grants.stored = Arc::clone(&stored);
        grants.stamp = stamp;
        stored
    }

    /// Those about this server as it is accepted now: with another manifest a grant is over.
    fn living(&self, store: &GrantStore, mut stored: Vec<StoredGrant>) -> Vec<StoredGrant> {
        let manifest = self.manifest_digest();
        stored.retain(|one| one.grant.terms().server == self.terms.name);
        stored.retain(|one| {
            let is_living = one.grant.terms().manifest == manifest;
            if !is_living {
                // If it cannot go it is worth nothing all the same.
                let _still_there = store.remove(&one.grant.terms().id);
            }
            is_living
        });
        stored
    }

    fn manifest_digest(&self) -> String {
        Digest::of(self.in_force().accepted.as_bytes()).to_string()
    }

    /// Keeps a grant that was given: in the store where it may outlive the session, and else in memory. Says what became of it.
    pub(super) fn keep_grant(&self, grant: Grant, statement: String, proofs: Vec<Proof>) -> Result<(), Failure> {
        let is_of_session = matches!(grant.terms().pattern, cofferdam_policy::GrantPattern::Tool { .. });
        match &self.terms.grants {
            Some(store) if !is_of_session => {
                let kept = store.keep(&grant, statement, proofs);
                if kept.is_err() {
                    self.grants().add(grant);
                }
                kept
            }
            _ => {
                self.grants().add(grant);
                Ok(())
            }
        }
    }

    /// The grants that this gate takes, for people.
    pub(super) fn shown_grants(&self) -> Vec<Shown> {
        let stored = self.stored_grants();
        let grants = self.grants();
        let now_s = crate::cli::unix_seconds();
        let all = grants.session.iter().map(|grant| grant.terms());
        let all = all.chain(stored.iter().map(|one| one.grant.terms()));
        all.filter(|terms| now_s < terms.until)
            .map(|terms| Shown::of(terms, grants.used.get(&terms.id).copied().unwrap_or_default()))
            .collect()
    }

    /// Takes a grant back; whether there was one.
    pub(super) fn revoke_grant(&self, id: &str) -> Result<bool, Failure> {
        let mut was_there = false;
        self.grants().session.retain(|grant| {
            was_there |= grant.terms().id == id;
            grant.terms().id != id
        });
        let is_ours = self.stored_grants().iter().any(|one| one.grant.terms().id == id);
        match &self.terms.grants {
            Some(store) if is_ours => {
                // Forgotten whether or not the file can be taken out: this gate at least takes it no more.
                let removed = store.remove(id);
                self.grants().stamp = None;
                Ok(was_there | removed?)
            }
            _ => Ok(was_there),
        }
    }

    /// A call as grants look at it.
    fn grant_call(&self, unapproved: &Unapproved, digest: &str) -> GrantCall {
        let message = unapproved.message();
        GrantCall {
            user: self.terms.user.clone(),
            server: self.terms.name.clone(),
            method: message.method().unwrap_or_default().to_owned(),
            tool: tool_name(message),
            digest: digest.to_owned(),
            session: self.log.session_id().to_owned(),
            manifest: self.manifest_digest(),
            policies: self.in_force().digest.clone(),
            now_s: crate::cli::unix_seconds(),
            seen: self.seen(unapproved),
        }
    }

    /// What a grant about this call would be made of.
    pub(super) fn offer(&self, unapproved: &Unapproved, digest: &str) -> Offer {
        let call = self.grant_call(unapproved, digest);
        let mut seen = call.seen;
        let (of_tool, _) = self.labels_of(unapproved.message());
        if of_tool.sends {
            // What the tool itself brings into the session is known of it, and taints no later call of it.
            let own = Labels {
                sends: false,
                ..of_tool
            };
            seen.labels.extend(own.names().into_iter().map(str::to_owned));
        }
        let bytes = |values: &BTreeSet<String>| values.iter().map(String::len).sum::<usize>();
        let is_small =
            |touched: &Touched| bytes(&touched.paths).saturating_add(bytes(&touched.hosts)) <= TOUCHED_BYTES_MAX;
        seen.touched = seen.touched.filter(is_small);
        let narrow = seen.touched.as_ref().filter(|touched| !touched.runs);
        let folders = narrow.map_or_else(Vec::new, |touched| folders(touched, &self.terms.roots));
        let hosts = narrow.map_or_else(BTreeSet::new, |touched| touched.hosts.clone());
        Offer {
            user: call.user,
            session: call.session,
            method: call.method,
            tool: call.tool,
            manifest: call.manifest,
            policies: call.policies,
            from: call.now_s,
            folders,
            hosts,
            seen,
        }
    }

    fn seen(&self, unapproved: &Unapproved) -> Seen {
        let message = unapproved.message();
        let findings = unapproved.findings();
        let (of_tool, so_far) = self.labels_of(message);
        Seen {
            findings: findings.iter().map(|finding| finding.rule.id.to_owned()).collect(),
            severity: findings
                .iter()
                .map(|finding| finding.severity as i64 + 1)
                .max()
                .unwrap_or(0),
            labels: if of_tool.sends { so_far } else { BTreeSet::new() },
            carried: carried_along(message).into_iter().map(|(key, _)| key).collect(),
            touched: self.touched(message),
        }
    }

    /// The labels of the tool that is called, and those of the session so far.
    fn labels_of(&self, message: &Message) -> (Labels, BTreeSet<String>) {
        let of_tool = match &*tool_name(message) {
            "" => Labels::default(),
            tool => self.tools().labels(tool).within(self.terms.reach),
        };
        let so_far = self.labels_so_far().into_iter().map(str::to_owned).collect();
        (of_tool, so_far)
    }

    fn touched(&self, message: &Message) -> Option<Touched> {
        let tool = tool_name(message);
        if tool.is_empty() {
            return None;
        }
        touched(
            &mut self.tools(),
            (&tool, message.param("arguments")),
            &self.terms.roots,
        )
    }

    /// A grant is taken back: on record, if anything can be.
    pub(super) fn note_revoked(&self, id: &str, who: &str) -> Result<(), Fault> {
        let facts = json!({"revoked": id, "who": who}).to_string();
        self.note_if_possible(Kind::Approval, &facts).map(drop)
    }
}

/// The whole name of the tool that is called; empty for other requests.
fn tool_name(message: &Message) -> String {
    match message.method() {
        Some("tools/call") => message.param_str("name").unwrap_or_default().into_owned(),
        _ => String::new(),
    }
}

/// Folders that a grant about these paths may be for, the nearest first: inside the granted folders, and the paths themselves only where they
/// are folders.
fn folders(touched: &Touched, roots: &[String]) -> Vec<String> {
    if touched.outside_roots {
        return Vec::new();
    }
    let is_inside = |folder: &&String| roots.iter().any(|root| Path::new(folder).starts_with(root));
    let is_file = |folder: &&String| touched.paths.contains(*folder) && !Path::new(folder).is_dir();
    let common = common_folders(&touched.paths);
    let common = common.iter().filter(is_inside).filter(|folder| !is_file(folder));
    let mut folders: Vec<String> = common.cloned().collect();
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.len()));
    folders
}
