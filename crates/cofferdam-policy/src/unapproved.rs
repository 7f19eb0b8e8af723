//! A request that passes once somebody consents.

use cofferdam_inspect::{Finding, Redaction};
use cofferdam_protocol::{Admitted, Message, Sender};

use crate::basis::ConsentFact;
use crate::decision::{Decision, Denied, Grounds, Permitted, denied, permitted};
use crate::level::Level;
use crate::rule::CONSENT_UNREACHABLE;

/// A request of the client that passes once somebody consents. It owns the very bytes: what is approved is what is sent.
#[derive(Debug)]
#[must_use = "a message that waits for consent must be approved or refused"]
pub struct Unapproved {
    pub(crate) message: Message,
    pub(crate) admitted: Admitted,
    pub(crate) findings: Vec<Finding>,
    /// The least level that policies and manifest permit, where a grant may do.
    pub(crate) least: Level,
    /// The same without a grant: what is asked for.
    pub(crate) level: Level,
    /// `file:line` of the policies that permit at this level.
    pub(crate) by: String,
    /// What must be taken out of it before it goes.
    pub(crate) redaction: Redaction,
}

impl Unapproved {
    /// The request, as received.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// How the session took it in.
    #[must_use]
    pub fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// The request and how it was taken in, to be decided anew.
    #[must_use]
    pub fn into_parts(self) -> (Message, Admitted) {
        (self.message, self.admitted)
    }

    /// What inspection found in it.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The level that is asked for.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Whether a remembered grant is enough.
    #[must_use]
    pub fn takes_grants(&self) -> bool {
        self.least <= Level::Grant
    }

    /// `file:line` of the policies that permit it once somebody consents.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Somebody consented, at `level`; `who` is recorded.
    ///
    /// # Errors
    /// The level is lower than what is asked for.
    pub fn consented(self, level: Level, who: &str) -> Result<Permitted, Box<Denied>> {
        let is_enough = level >= self.level || (level == Level::Grant && self.takes_grants());
        if !is_enough {
            let why = format!("it needs {}, and got {}", self.level.words(), level.words());
            return Err(self.refused(CONSENT_UNREACHABLE.id, why));
        }
        let grounds = Grounds {
            sender: Sender::Client,
            admitted: &self.admitted,
            findings: &self.findings,
            by: Some(&self.by),
            consent: Some(ConsentFact {
                level: level.number(),
                who,
            }),
        };
        match permitted(self.message, &grounds, &self.redaction) {
            Decision::Allow(permitted) => Ok(permitted),
            Decision::Deny(denied) => Err(denied),
            Decision::Ask(again) => Err(again.unanswered()),
        }
    }

    /// Nobody consented: denied by `rule`.
    pub fn refused(self, rule: &'static str, why: String) -> Box<Denied> {
        denied(
            self.message,
            Sender::Client,
            self.admitted.era,
            (rule, why),
            &self.findings,
        )
    }

    /// Nobody can be asked: denied.
    pub fn unanswered(self) -> Box<Denied> {
        let why = format!("it needs {}, and nobody can be asked", self.level.words());
        self.refused(CONSENT_UNREACHABLE.id, why)
    }
}
