//! Text that takes the place of what the user or the operator told the model.

use super::Cue;
use crate::finding::Severity;
use crate::lexicon::Concept::{
    Conceal, Conversation, Destroy, Not, Obey, Oblige, Override, Quoting, Reveal, SecretPath, SecretWord, Send,
    Universal, User, When,
};
use crate::rule::Rule;

pub(super) static RULE: Rule = Rule {
    id: "poison/override",
    summary: "a text tells the model to set aside its instructions, to take another role or to obey what a result says",
    severity: Severity::High,
    help: "do not accept the tool; if the text only describes such attacks, suppress the rule for it with a reason",
};

pub(super) static CUES: &[Cue] = &[
    // The classic, wherever it stands; a text that describes or detects it says so in the same sentence.
    Cue::sentence(45, &[Override]).unless(&[Quoting]),
    Cue::sentence(10, &[Override, Quoting]),
    Cue::sentence(35, &[Override, Quoting])
        .with(&[Reveal, Destroy, SecretPath, Conceal])
        .with(&[Conversation, SecretPath, SecretWord, Send, Destroy, User]),
    Cue::sentence(42, &[Conversation, Reveal]).unless(&[Quoting]),
    Cue::sentence(24, &[Obey]).unless(&[Not]),
    Cue::sentence(10, &[Obey, Not]),
    Cue::nearby(12, &[Obey])
        .with(&[Universal, Oblige, When, User])
        .unless(&[Not]),
];
