//! `[suppress."RULE"]` and `[answers]`: what is known and accepted of a server's findings, and what becomes of its answers.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::manifest::Word;

/// Days of each month of a common year.
const MONTH_DAYS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// The first year a day may lie in, and the first it may not.
const YEARS: std::ops::Range<u32> = 1970..10_000;

/// Suppressions by rule id.
pub type Suppressions = BTreeMap<String, Suppression>;

/// Findings of one rule that somebody looked at, for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suppression {
    /// The tools it is for; all of the server's when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Why, for people; never empty.
    pub reason: String,
    /// The last day on which it holds.
    pub until: Day,
}

/// A day of the calendar (UTC), written `2027-03-31`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u32);

impl Day {
    /// From the number of days since 1970-01-01.
    #[must_use]
    pub fn since_1970(days: u32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// Reads `YYYY-MM-DD`; `None` where that is no day.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |range: std::ops::Range<usize>| -> Option<u32> {
            let part = text.get(range)?;
            part.bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| part.parse().ok())?
        };
        let is_formed = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
        let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
        if !is_formed || !YEARS.contains(&year) || day == 0 || day > days_of(year, month)? {
            return None;
        }
        let years: u32 = (YEARS.start..year).map(days_of_year).sum();
        let months: Option<u32> = (1..month).map(|month| days_of(year, month)).sum();
        Some(Self(years + months? + day - 1))
    }
}

fn days_of_year(year: u32) -> u32 {
    365 + u32::from(is_leap(year))
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u32, month: u32) -> Option<u32> {
    let index = usize::try_from(month.checked_sub(1)?).ok()?;
    Some(MONTH_DAYS.get(index)? + u32::from(month == 2 && is_leap(year)))
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut left, mut year, mut month) = (self.0, YEARS.start, 1);
        while left >= days_of_year(year) {
            left -= days_of_year(year);
            year += 1;
        }
        while let Some(days) = days_of(year, month).filter(|days| left >= *days) {
            left -= days;
            month += 1;
        }
        write!(f, "{year:04}-{month:02}-{:02}", left + 1)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `[answers]`: what becomes of what the server answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// Of a text that gives the model orders.
    pub instructions: OnInstructions,
}

impl Answers {
    /// Whether it says what an absent section says.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of an answer that holds instructions aimed at the model, least first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnInstructions {
    /// It passes as it came; the record has the finding, and policies see it.
    #[default]
    Mark,
    /// It passes with a notice around the text.
    Fence,
    /// It does not pass.
    Withhold,
}

impl Word for OnInstructions {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("mark", Self::Mark),
        ("fence", Self::Fence),
        ("withhold", Self::Withhold),
    ];
}

impl fmt::Display for OnInstructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::Day;

    #[test]
    fn days_are_read_and_written_alike() {
        for (text, number) in [
            ("1970-01-01", 0),
            ("2000-02-29", 11_016),
            ("2026-11-21", 20_778),
            ("9999-12-31", 2_932_896),
        ] {
            let day = Day::parse(text).unwrap();
            assert_eq!((day.number(), day.to_string().as_str()), (number, text));
        }
        for no_day in [
            "",
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-01-00",
            "2026-1-1",
            "+026-01-01",
            "1969-12-31",
            "2026-01-01 ",
        ] {
            assert_eq!(Day::parse(no_day), None, "{no_day}");
        }
    }
}
