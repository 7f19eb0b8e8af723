//! Text that wants something kept from the person.

use super::Cue;
use crate::finding::Severity;
use crate::lexicon::Concept::{
    Address, Alter, Before, Command, Conceal, Conversation, Copy, Deceit, Destroy, Distrust, Everything, Execute,
    External, Leads, Model, Not, Oblige, OtherTool, Prefer, Pretend, Quoting, Read, Say, SecretPath, SecretWord, Send,
    Supply, SystemFile, Unasked, Universal, Url, User, Weaken, When,
};
use crate::rule::Rule;

pub(super) static RULE: Rule = Rule {
    id: "poison/secrecy",
    summary: "a text asks the model to keep something from the user, or to act without asking",
    severity: Severity::High,
    help: "do not accept the tool: nothing that it does may be hidden from the person it works for",
};

pub(super) static CUES: &[Cue] = &[
    Cue::sentence(26, &[Conceal]),
    Cue::nearby(18, &[Conceal]).with(&[
        Send, Read, Alter, Execute, SecretPath, SecretWord, Destroy, Copy, Supply, Oblige, Say, Prefer, Pretend,
        Universal,
    ]),
    Cue::sentence(6, &[Unasked]),
    Cue::nearby(14, &[Unasked])
        .with(&[
            Send,
            Destroy,
            SecretPath,
            Command,
            Copy,
            Everything,
            External,
            Conversation,
        ])
        .with(&[Oblige, When, Before, Copy, Execute, Supply, SystemFile, Read]),
    Cue::sentence(8, &[Not, User, Say]),
    Cue::sentence(22, &[Unasked, Model]).unless(&[Quoting]),
    Cue::sentence(22, &[Unasked, OtherTool]).unless(&[Quoting]),
    Cue::sentence(22, &[Unasked, Oblige, Universal]).unless(&[Quoting]),
    Cue::sentence(22, &[Unasked, Send])
        .with(&[SystemFile, SecretWord, SecretPath, Conversation, Everything])
        .unless(&[Quoting]),
    Cue::sentence(20, &[Deceit]).unless(&[Quoting]),
    Cue::nearby(10, &[Deceit]).with(&[
        Send, Destroy, Execute, Weaken, Alter, Say, User, Url, Address, SecretWord, Not, Distrust, Leads, Oblige,
    ]),
];
