//! Text that wants the conversation, the prompt or the other tools.

use super::Cue;
use crate::finding::Severity;
use crate::lexicon::Concept::{
    Affix, Before, Content, Conversation, Copy, Emphasis, Everything, External, InParameter, Justify, Not, Oblige,
    Orders, OtherTool, Quoting, Send, Supply, Universal, Use, When,
};
use crate::rule::Rule;

pub(super) static RULE: Rule = Rule {
    id: "poison/context-harvest",
    summary: "a text wants the conversation, the system prompt, the list of tools or other calls' arguments handed over",
    severity: Severity::High,
    help: "do not accept the tool: a tool gets the arguments it needs, not the conversation",
};

pub(super) static CUES: &[Cue] = &[
    Cue::sentence(18, &[Conversation])
        .with(&[Supply, Send, Copy])
        .with(&[Oblige, When, Before, Emphasis, Everything]),
    Cue::sentence(10, &[Conversation])
        .with(&[Content, Everything])
        .with(&[Oblige, Before, When, Copy, Universal]),
    Cue::sentence(16, &[Everything])
        .with(&[OtherTool, Use])
        .with(&[Oblige, Supply, Send]),
    Cue::sentence(14, &[Everything])
        .with(&[Send, Supply])
        .with(&[Oblige, Before])
        .with(&[Before, When, External, Justify]),
    Cue::sentence(16, &[InParameter, Conversation]).with(&[Everything, Content, Universal]),
    Cue::sentence(12, &[Everything, Content]).with(&[Supply, InParameter]),
    Cue::sentence(28, &[Conversation, Affix])
        .with(&[Universal, Oblige])
        .unless(&[Quoting, Not]),
    Cue::sentence(28, &[Orders, Conversation])
        .with(&[Supply, Send, Copy, Content, Everything])
        .unless(&[Quoting]),
    Cue::sentence(20, &[Conversation])
        .with(&[Supply, Copy, Content])
        .unless(&[InParameter, Quoting]),
];
