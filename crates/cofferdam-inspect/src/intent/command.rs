//! Text that has commands run.

use super::Cue;
use crate::finding::Severity;
use crate::lexicon::Concept::{
    Address, Affix, Alter, Before, Coerce, Command, Content, Conversation, Copy, Destroy, Execute, External, Justify,
    Not, Oblige, Orders, OtherName, OtherTool, Persist, Quoting, SecretPath, SecretWord, Send, Supply, SystemFile,
    Tamper, Unasked, Universal, Url, Weaken, When,
};
use crate::rule::Rule;

pub(super) static RULE: Rule = Rule {
    id: "poison/command",
    summary: "a text has the model run a command that fetches, destroys, weakens or hides",
    severity: Severity::High,
    help: "do not accept the tool; what must be set up is set up by a person",
};

pub(super) static CUES: &[Cue] = &[
    Cue::sentence(6, &[Command]),
    Cue::sentence(24, &[Command])
        .with(&[Before, When, Copy])
        .with(&[Oblige, Execute, Supply, Alter, Coerce, Justify])
        .unless(&[Quoting]),
    Cue::sentence(12, &[Command])
        .with(&[Url, SecretPath, SystemFile, Destroy, External])
        .unless(&[Quoting]),
    Cue::sentence(8, &[Command]).with(&[Oblige]).unless(&[Not, Quoting]),
    Cue::sentence(12, &[Command, Oblige])
        .with(&[Alter, Tamper, Affix])
        .unless(&[Quoting]),
    Cue::sentence(18, &[Persist])
        .with(&[Oblige, Before, When])
        .with(&[Alter, Supply, Command, Address, Justify, Execute, SecretPath]),
    Cue::sentence(16, &[Execute])
        .with(&[Before, When])
        .with(&[SystemFile, Destroy])
        .with(&[Oblige, Universal, Justify]),
    Cue::sentence(14, &[Execute, Before, SystemFile]),
    Cue::sentence(14, &[Execute, Copy])
        .with(&[OtherName])
        .with(&[When, Before, Universal]),
    Cue::sentence(22, &[Orders, Command])
        .with(&[
            Universal, Unasked, Justify, SystemFile, Url, External, Weaken, When, Copy,
        ])
        .unless(&[Quoting, Not]),
    Cue::sentence(22, &[Command, Url])
        .with(&[Before, Oblige, Universal])
        .unless(&[Quoting, Not]),
    Cue::sentence(28, &[Orders, Persist]).unless(&[Quoting, Not]),
    Cue::sentence(12, &[Execute, OtherName])
        .with(&[Destroy, Send])
        .with(&[When, Before, Copy]),
    Cue::sentence(22, &[OtherTool])
        .with(&[SecretWord, Conversation])
        .with(&[Before, When])
        .with(&[Address, Supply, Send]),
    Cue::sentence(14, &[OtherName])
        .with(&[SecretWord, Conversation])
        .with(&[Before, When])
        .with(&[Address, Supply, Send])
        .with(&[Oblige, Content]),
];
