//! Text that looks like the system, the developer or a chat template.

use super::Cue;
use crate::finding::Severity;
use crate::lexicon::Concept::{
    Alter, Before, ChatMarker, Emphasis, Execute, Model, Obey, Oblige, Override, Read, Send, Supply,
};
use crate::rule::Rule;

pub(super) static RULE: Rule = Rule {
    id: "poison/fake-marker",
    summary: "a text imitates markers that separate the system's, the user's and the model's words",
    severity: Severity::High,
    help: "do not accept the tool: such markers have no place in a description",
};

pub(super) static CUES: &[Cue] = &[
    Cue::sentence(28, &[ChatMarker]),
    Cue::nearby(16, &[ChatMarker]).with(&[Oblige, Override, Read, Send, Execute, Obey, Supply, Alter, Model]),
    Cue::sentence(6, &[Emphasis])
        .with(&[Model, Before])
        .with(&[Read, Execute, Send, Supply]),
];
