//! Consents for more than one call: for this very call, or for this tool, until they end. They die with the session, whose manifest and
//! policies they were given under.

use crate::approvals::{For, Grant, Question, wall_time};

/// The longest grant: a working day.
pub(super) const GRANT_MINUTES_MAX: u32 = 8 * 60;
/// Grants of one session; the oldest gives way.
const GRANTS_MAX: usize = 256;

/// The grants in force.
#[derive(Debug, Default)]
pub(super) struct Grants(Vec<(Grant, u64)>);

impl Grants {
    /// Adds one for what `question` is about; gives its id.
    pub(super) fn add(&mut self, question: &Question, (scope, minutes): (For, u32), now_ms: u64) -> String {
        let minutes = minutes.min(GRANT_MINUTES_MAX);
        let until_ms = now_ms.saturating_add(u64::from(minutes).saturating_mul(60_000));
        let expires_s = crate::cli::unix_seconds().saturating_add(i64::from(minutes).saturating_mul(60));
        let grant = Grant {
            // A question's id is unguessable, and has one grant at most.
            id: question.id.clone(),
            server: question.server.clone(),
            tool: question.tool.clone(),
            scope,
            digest: (scope == For::Call).then(|| question.digest.clone()),
            expires: wall_time(expires_s),
            used: 0,
        };
        if self.0.len() >= GRANTS_MAX {
            self.0.remove(0);
        }
        self.0.push((grant, until_ms));
        question.id.clone()
    }

    /// Uses a grant that fits; gives its id.
    pub(super) fn use_for(&mut self, tool: &str, digest: &str, now_ms: u64) -> Option<String> {
        self.0.retain(|(_, until_ms)| now_ms < *until_ms);
        let fits = |grant: &Grant| grant.tool == tool && grant.digest.as_deref().is_none_or(|of| of == digest);
        let (grant, _) = self.0.iter_mut().find(|(grant, _)| fits(grant))?;
        grant.used = grant.used.saturating_add(1);
        Some(grant.id.clone())
    }

    pub(super) fn list(&mut self, now_ms: u64) -> Vec<Grant> {
        self.0.retain(|(_, until_ms)| now_ms < *until_ms);
        self.0.iter().map(|(grant, _)| grant.clone()).collect()
    }

    pub(super) fn revoke(&mut self, id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(grant, _)| grant.id != id);
        self.0.len() < before
    }
}
