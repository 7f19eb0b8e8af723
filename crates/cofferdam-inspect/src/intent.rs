//! What a text wants of the model that reads it: many small cues, scored together.
//!
//! A cue is a combination of [`Concept`]s in one sentence or in neighbouring ones. No cue is an attack by itself; what decides is how
//! many independent ones meet in one place. So a new wording of a known intent is found, and a long honest manual is not.

use std::sync::LazyLock;

use crate::finding::{Confidence, Finding, Severity, show_safely};
use crate::lexicon::{Concept, Concepts};
use crate::rule::Rule;
use crate::text::hidden::{Hidden, smuggled, worst};
use crate::text::{TEXT_BYTES_MAX, encoded, plain};

mod command;
mod context_harvest;
mod credential_access;
mod data_sending;
mod encoded_text;
mod fake_marker;
mod false_report;
mod hidden_characters;
mod not_inspected;
mod other_tools;
mod override_instructions;
mod parameter_tampering;
mod preference;
mod secrecy;
mod sentence;
mod terminal_escape;
mod weakening;

pub use not_inspected::unreadable_line;
use sentence::{Sentence, complete, sentences};

/// Neighbouring sentences that are read together, and the bytes they may have.
const WINDOW_SENTENCES: usize = 3;
const WINDOW_BYTES_MAX: usize = 480;
/// Score, in tenths, from which a text is critical, high, medium and low.
const CRITICAL_FROM: u32 = 60;
const HIGH_FROM: u32 = 28;
const MEDIUM_FROM: u32 = 20;
const LOW_FROM: u32 = 14;
/// What one rule contributes at least, in tenths, to be named.
const NAMED_FROM: u32 = 8;
/// What encoded or smuggled text adds to its own score: honest texts need no hiding place.
const ENCODED_EXTRA: u32 = 30;

/// The rules about intent, in the order they are documented.
pub(crate) static RULES: &[&Rule] = &[
    &override_instructions::RULE,
    &secrecy::RULE,
    &credential_access::RULE,
    &data_sending::RULE,
    &context_harvest::RULE,
    &other_tools::RULE,
    &parameter_tampering::RULE,
    &command::RULE,
    &weakening::RULE,
    &preference::RULE,
    &false_report::RULE,
    &fake_marker::RULE,
    &encoded_text::RULE,
    &hidden_characters::RULE,
    &terminal_escape::RULE,
    &not_inspected::RULE,
];

/// The cues of all rules.
static CUES: &[(&Rule, &[Cue])] = &[
    (&override_instructions::RULE, override_instructions::CUES),
    (&secrecy::RULE, secrecy::CUES),
    (&credential_access::RULE, credential_access::CUES),
    (&data_sending::RULE, data_sending::CUES),
    (&context_harvest::RULE, context_harvest::CUES),
    (&other_tools::RULE, other_tools::CUES),
    (&parameter_tampering::RULE, parameter_tampering::CUES),
    (&command::RULE, command::CUES),
    (&weakening::RULE, weakening::CUES),
    (&preference::RULE, preference::CUES),
    (&false_report::RULE, false_report::CUES),
    (&fake_marker::RULE, fake_marker::CUES),
];

/// Concepts that are evidence together, and how much, in tenths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cue {
    tenths: u32,
    all: Concepts,
    any: [Concepts; 4],
    unless: Concepts,
    /// Whether the concepts may be spread over neighbouring sentences.
    is_spread: bool,
}

impl Cue {
    /// All of `concepts` in one sentence.
    const fn sentence(tenths: u32, concepts: &[Concept]) -> Self {
        Self {
            tenths,
            all: Concepts::of(concepts),
            any: [Concepts::NONE; 4],
            unless: Concepts::NONE,
            is_spread: false,
        }
    }

    /// All of `concepts` in neighbouring sentences.
    const fn nearby(tenths: u32, concepts: &[Concept]) -> Self {
        Self {
            is_spread: true,
            ..Self::sentence(tenths, concepts)
        }
    }

    /// And one of these.
    const fn with(self, concepts: &[Concept]) -> Self {
        let [first, second, third, last] = self.any;
        assert!(last.is_empty(), "a cue has four alternatives at most");
        Self {
            any: [Concepts::of(concepts), first, second, third],
            ..self
        }
    }

    /// And none of these.
    const fn unless(self, concepts: &[Concept]) -> Self {
        Self {
            unless: Concepts::of(concepts),
            ..self
        }
    }

    fn holds(&self, concepts: Concepts) -> bool {
        concepts.has_all(self.all)
            && self.any.iter().all(|any| any.is_empty() || concepts.has_any(*any))
            && !concepts.has_any(self.unless)
    }

    fn holds_in(&self, window: &[Sentence], together: Concepts) -> bool {
        if self.is_spread {
            self.holds(together)
        } else {
            // What no sentence can hold alone is not looked for in each.
            together.has_all(self.all) && window.iter().any(|sentence| self.holds(sentence.concepts))
        }
    }
}

/// Where a text stands, as far as that changes its meaning.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place<'a> {
    /// JSON pointer.
    pub(crate) at: &'a str,
    /// The text is what a tool says it does.
    pub(crate) is_description: bool,
    /// The text describes an argument: what it asks for is asked of the model.
    pub(crate) in_parameter: bool,
    /// Names that belong to the tool itself.
    pub(crate) own_names: &'a [&'a str],
    /// Only what blocks by default is asked for.
    pub(crate) only_blocking: bool,
}

impl Place<'_> {
    /// Whether sentences of common concepts alone need not be read: see [`COMMON`].
    fn passes_over_common(self) -> bool {
        self.only_blocking && !self.is_description && !self.in_parameter && self.own_names.is_empty()
    }
}

/// Concepts that honest texts are full of. Whatever they are combined with each other, they add up to less than [`HIGH_FROM`]
/// (`tests::common_concepts_never_block`), so a window that holds no other is not scored where only blocking findings count.
const COMMON: Concepts = Concepts::of(&[
    Concept::Address,
    Concept::Affix,
    Concept::Before,
    Concept::Coerce,
    Concept::Content,
    Concept::Distrust,
    Concept::Execute,
    Concept::External,
    Concept::Forbid,
    Concept::Justify,
    Concept::Leads,
    Concept::Model,
    Concept::Not,
    Concept::Operation,
    Concept::OtherName,
    Concept::Paging,
    Concept::Parameter,
    Concept::Quoting,
    Concept::Read,
    Concept::Reveal,
    Concept::Supply,
    Concept::Universal,
    Concept::Url,
    Concept::User,
    Concept::When,
]);

/// What `text` at `place` wants, as findings; empty for an honest text.
pub(crate) fn judge(text: &str, place: Place<'_>) -> Vec<Finding> {
    judge_with(text, &encoded::decoded(text), place)
}

/// The same, with what stands encoded in the text (see [`encoded::decoded`]).
pub(crate) fn judge_with(text: &str, decoded: &[String], place: Place<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if text.len() > TEXT_BYTES_MAX {
        findings.push(not_inspected::finding(place.at, text.len()));
        return findings;
    }
    let hidden = worst(text);
    if let Some(seen) = hidden {
        findings.push(match seen.kind {
            Hidden::Terminal => terminal_escape::finding(place.at, seen),
            _ => hidden_characters::finding(place.at, seen, text),
        });
    }
    match score(&plain(text), place) {
        Some(scored) => scored.report(place.at, &mut findings),
        None => findings.push(not_inspected::finding(place.at, text.len())),
    }
    let spelled = hidden.map(|_| smuggled(text)).filter(|spelled| !spelled.is_empty());
    let place = Place {
        // Whatever an encoded text adds up to counts for more.
        only_blocking: false,
        ..place
    };
    for inner in decoded.iter().chain(&spelled) {
        findings.extend(score(&plain(inner), place).and_then(|scored| scored.encoded(place.at, inner)));
    }
    findings
}

/// What one window of a text adds up to.
#[derive(Debug, Default)]
struct Scored {
    tenths: u32,
    /// By rule: what it contributed, and the words.
    parts: Vec<(&'static Rule, u32)>,
    words: String,
}

impl Scored {
    fn severity(&self) -> Option<Severity> {
        match self.tenths {
            CRITICAL_FROM.. => Some(Severity::Critical),
            HIGH_FROM.. => Some(Severity::High),
            MEDIUM_FROM.. => Some(Severity::Medium),
            LOW_FROM.. => Some(Severity::Low),
            _ => None,
        }
    }

    fn report(self, at: &str, findings: &mut Vec<Finding>) {
        let Some(severity) = self.severity() else { return };
        for (rule, _) in self.parts.iter().filter(|(_, tenths)| *tenths >= NAMED_FROM) {
            let mut finding = Finding::new(
                rule,
                confidence(severity),
                at,
                format!("`{}`", show_safely(&self.words)),
            );
            finding.severity = severity;
            findings.push(finding);
        }
    }

    /// The same for what stood encoded in a text.
    fn encoded(mut self, at: &str, decoded: &str) -> Option<Finding> {
        if self.tenths == 0 {
            return None;
        }
        self.tenths += ENCODED_EXTRA;
        let severity = self.severity()?;
        let mut finding = Finding::new(
            &encoded_text::RULE,
            confidence(severity),
            at,
            format!("decodes to `{}`", show_safely(decoded)),
        );
        finding.severity = severity;
        Some(finding)
    }
}

fn confidence(severity: Severity) -> Confidence {
    if severity >= Severity::High {
        Confidence::Medium
    } else {
        Confidence::Low
    }
}

/// The strongest window of a plain text.
fn score(text: &str, place: Place<'_>) -> Option<Scored> {
    let mut sentences = sentences(text)?;
    let passes_over = place.passes_over_common();
    let mut best = Scored::default();
    for first in 0..sentences.len() {
        let Some(window) = window(&mut sentences, first) else {
            break;
        };
        if passes_over && !union(window).has_any(COMMON.others()) {
            continue;
        }
        window.iter_mut().for_each(|sentence| complete(sentence, text, place));
        let parts = score_window(window);
        let tenths = parts.iter().sum();
        if tenths > best.tenths {
            let parts = CUES.iter().zip(parts).filter(|(_, tenths)| *tenths > 0);
            best = Scored {
                tenths,
                parts: parts.map(|((rule, _), tenths)| (*rule, tenths)).collect(),
                words: words(text, window),
            };
        }
    }
    Some(best)
}

/// The sentences that are read together from `first` on.
fn window(sentences: &mut [Sentence], first: usize) -> Option<&mut [Sentence]> {
    let rest = sentences.get_mut(first..)?;
    let start = rest.first()?.start;
    let near = rest
        .iter()
        .take(WINDOW_SENTENCES)
        .take_while(|sentence| sentence.end - start <= WINDOW_BYTES_MAX)
        .count();
    rest.get_mut(..near.max(1))
}

/// Every concept in a window.
fn union(window: &[Sentence]) -> Concepts {
    window
        .iter()
        .fold(Concepts::NONE, |all, sentence| all.union(sentence.concepts))
}

/// What each rule's cues add up to in one window.
fn score_window(window: &[Sentence]) -> [u32; CUES.len()] {
    let together = union(window);
    let mut tenths = [0; CUES.len()];
    let candidates = together.numbers().chain(std::iter::once(BY_CONCEPT.len() - 1));
    for (number, cue) in candidates.filter_map(|number| BY_CONCEPT.get(number)).flatten() {
        if let (true, Some(tenths)) = (cue.holds_in(window, together), tenths.get_mut(*number)) {
            *tenths += cue.tenths;
        }
    }
    tenths
}

/// The cues by the first concept that each needs, with the number of their rule; behind those, the cues that need none in particular.
static BY_CONCEPT: LazyLock<[Vec<(usize, &'static Cue)>; 65]> = LazyLock::new(|| {
    let mut by_concept = [const { Vec::new() }; 65];
    for (number, (_, cues)) in CUES.iter().enumerate() {
        for cue in *cues {
            let first = cue.all.numbers().next().unwrap_or(by_concept.len() - 1);
            if let Some(list) = by_concept.get_mut(first) {
                list.push((number, cue));
            }
        }
    }
    by_concept
});

fn words(text: &str, window: &[Sentence]) -> String {
    let start = window.first().map_or(0, |sentence| sentence.start);
    let end = window.last().map_or(0, |sentence| sentence.end);
    text.get(start..end).unwrap_or_default().trim().replace('\n', " ")
}

#[cfg(test)]
mod tests;
