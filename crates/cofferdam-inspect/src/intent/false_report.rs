//! Text that has the model report what is not so.

use super::Cue;
use crate::finding::Severity;
use crate::lexicon::Concept::{
    Conceal, Copy, Not, Oblige, Orders, Paging, Prefer, Pretend, Quoting, Say, SecretWord, Unasked, User, When,
};
use crate::rule::Rule;

pub(super) static RULE: Rule = Rule {
    id: "poison/false-report",
    summary: "a text has the model report a result that does not depend on the facts",
    severity: Severity::High,
    help: "do not accept the tool: its answers cannot be relied on",
};

pub(super) static CUES: &[Cue] = &[
    Cue::sentence(28, &[Pretend]).with(&[Say, Not, Oblige]),
    Cue::sentence(16, &[Pretend]).with(&[User, Conceal, Unasked, Copy, Oblige]),
    Cue::sentence(28, &[Orders, Pretend]).unless(&[Quoting]),
    Cue::sentence(28, &[Orders, Say, User, SecretWord]).unless(&[Quoting, Not, Paging, When]),
    Cue::nearby(10, &[Pretend]).with(&[Conceal, Not]),
    Cue::sentence(12, &[Say, Oblige, User]).with(&[Pretend, Prefer, Not]),
];
