//! The ladder of consent (DESIGN section 7).

use cofferdam_manifest::Consent;

/// Who has agreed to a call, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nobody was asked.
    Nobody = 0,
    /// A grant that somebody gave before.
    Grant = 1,
    /// Attested by the client or by any process of the user.
    Attested = 2,
    /// A person, proven.
    Person = 3,
    /// Two people.
    Two = 4,
}

impl Level {
    /// Every level, from the bottom of the ladder.
    pub const ALL: [Self; 5] = [Self::Nobody, Self::Grant, Self::Attested, Self::Person, Self::Two];

    /// The number that policies see as `context.consent`.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The least level a manifest's `consent` asks for; `None` where it denies.
    #[must_use]
    pub const fn least(consent: Consent) -> Option<Self> {
        match consent {
            Consent::Allow => Some(Self::Nobody),
            Consent::Ask => Some(Self::Attested),
            Consent::Person => Some(Self::Person),
            Consent::Two => Some(Self::Two),
            Consent::Deny => None,
        }
    }

    /// What becomes of a call that policies permit from this level on, in a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nobody => "allow",
            Self::Grant => "grant",
            Self::Attested => "ask",
            Self::Person => "person",
            Self::Two => "two",
        }
    }

    /// In words, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Nobody => "nobody's consent",
            Self::Grant => "a remembered grant",
            Self::Attested => "the user's consent",
            Self::Person => "the consent of a proven person",
            Self::Two => "the consent of two people",
        }
    }
}
