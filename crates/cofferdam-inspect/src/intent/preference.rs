//! Text that wants a tool chosen over others, whatever the user said.

use super::Cue;
use crate::finding::Severity;
use crate::lexicon::Concept::{
    Content, Distrust, Everything, Justify, Not, Oblige, OtherName, OtherTool, Prefer, Supply, Unasked, Universal, User,
};
use crate::rule::Rule;

pub(super) static RULE: Rule = Rule {
    id: "poison/preference",
    summary: "a text wants this tool used instead of others, disparages them or overrules the user's choice",
    severity: Severity::High,
    help: "compare the tools yourself; a tool that is better does not have to say so to the model",
};

pub(super) static CUES: &[Cue] = &[
    Cue::sentence(10, &[Prefer]),
    Cue::sentence(14, &[Prefer])
        .with(&[OtherTool, OtherName])
        .with(&[Universal, Oblige, Not, Distrust, Justify]),
    Cue::sentence(14, &[Prefer])
        .with(&[Oblige, Not])
        .with(&[Universal, Unasked, User, Justify]),
    Cue::sentence(16, &[Distrust])
        .with(&[OtherTool])
        .with(&[Prefer, Not, Oblige, Universal, Justify]),
    Cue::nearby(14, &[Distrust, Prefer]),
    Cue::nearby(12, &[Prefer])
        .with(&[Unasked, Justify, Everything])
        .with(&[OtherTool, Content, Supply, User, Universal]),
];
