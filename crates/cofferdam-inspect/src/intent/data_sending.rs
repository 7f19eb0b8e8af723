//! Text that sends data where the user did not send it.

use super::Cue;
use crate::finding::Severity;
use crate::lexicon::Concept::{
    Address, Alter, Before, Content, Conversation, Copy, Environment, Everything, Execute, External, InParameter,
    Justify, Model, Oblige, Operation, Orders, OtherName, Overrule, OwnName, Quoting, SecretPath, SecretWord, Send,
    Supply, Unasked, Universal, Url, User, When,
};
use crate::rule::Rule;

pub(super) static RULE: Rule = Rule {
    id: "poison/data-sending",
    summary: "a text has data sent or copied to an address that the user did not name",
    severity: Severity::High,
    help: "do not accept the tool, or check the address with the server's author and grant only the hosts it needs",
};

pub(super) static CUES: &[Cue] = &[
    Cue::sentence(30, &[Send, External])
        .with(&[Copy, Content, SecretPath, SecretWord, Conversation, Unasked, Everything])
        .unless(&[Quoting]),
    Cue::sentence(14, &[Send, External]).with(&[Copy, When, Before, Oblige]),
    Cue::sentence(18, &[Send])
        .with(&[Url, Address])
        .with(&[
            Copy,
            Content,
            SecretWord,
            SecretPath,
            Conversation,
            Everything,
            Universal,
            Environment,
        ])
        .unless(&[Quoting]),
    Cue::sentence(16, &[Send])
        .with(&[Url, Address, External])
        .with(&[Oblige, Before])
        .with(&[Operation, Universal, When, Conversation, SecretWord, Everything]),
    Cue::sentence(14, &[Address])
        .with(&[Alter, Copy, Supply])
        .with(&[When, Universal, Oblige, Before, User])
        .unless(&[Quoting]),
    Cue::sentence(30, &[Send])
        .with(&[SecretPath])
        .unless(&[Quoting, Execute]),
    Cue::sentence(20, &[Send])
        .with(&[External, Url, Address])
        .with(&[Universal, Content, Everything, Conversation])
        .with(&[Copy, Content, Justify, Operation])
        .unless(&[Quoting, OwnName]),
    Cue::sentence(12, &[Send, SecretWord]).with(&[Url, External, Address]),
    Cue::nearby(10, &[Send, Everything]).with(&[Before, When, Oblige]),
    Cue::sentence(12, &[Send, OtherName])
        .with(&[SecretWord, Content, Conversation])
        .with(&[Before, When]),
    Cue::sentence(24, &[Send, Address]).unless(&[Quoting, OwnName, InParameter]),
    Cue::sentence(28, &[Orders, Send, Url])
        .with(&[Before, When, Universal])
        .unless(&[Quoting, OwnName]),
    Cue::sentence(20, &[Address])
        .with(&[Send, Overrule])
        .with(&[Universal, When, Oblige, Operation, Copy])
        .unless(&[Quoting, InParameter]),
    Cue::sentence(10, &[Send, Address, Model]).unless(&[Quoting]),
    Cue::sentence(12, &[Send, Url])
        .with(&[User, Model, SecretWord, Copy])
        .unless(&[Quoting, OwnName, InParameter]),
];
