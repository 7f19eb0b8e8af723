//! Text that has credentials or private files read.

use super::Cue;
use crate::finding::Severity;
use crate::lexicon::Concept::{
    Address, Affix, Alter, Before, Coerce, Conceal, Content, Conversation, Copy, Emphasis, Environment, Everything,
    External, InParameter, Justify, Leads, Model, MustDo, Not, Oblige, Orders, OtherName, OtherTool, Overrule, Paging,
    Parameter, Persist, Quoting, Read, SecretPath, SecretWord, Send, Supply, SystemFile, Unasked, Universal, Url, Use,
    When,
};
use crate::rule::Rule;

pub(super) static RULE: Rule = Rule {
    id: "poison/credential-access",
    summary: "a text has the model read credentials, keys or private files, or hand them over as an argument",
    severity: Severity::High,
    help: "do not accept the tool; what it needs to log in belongs into the manifest's secrets, not into an argument",
};

pub(super) static CUES: &[Cue] = &[
    Cue::sentence(8, &[SecretPath]),
    Cue::sentence(20, &[SecretPath])
        .with(&[Read, Content, Copy])
        .with(&[Oblige, Before, Leads, Supply, Send, Justify, Unasked, Alter, Coerce]),
    Cue::sentence(16, &[SecretPath]).with(&[Supply, Send, Alter]),
    Cue::nearby(12, &[SecretPath])
        .with(&[Oblige, Before, Coerce, Conceal])
        .with(&[Supply, Send, Read, Content]),
    Cue::sentence(16, &[SecretPath, InParameter, Content]),
    Cue::sentence(12, &[SecretPath, InParameter])
        .with(&[Content, Read, Supply])
        .unless(&[Quoting, Not]),
    Cue::sentence(20, &[SecretPath, MustDo]).unless(&[Quoting, Not]),
    Cue::sentence(16, &[SecretPath, Universal])
        .with(&[Parameter, Supply])
        .unless(&[Quoting, Not]),
    Cue::sentence(10, &[SecretPath, Model])
        .with(&[Oblige, Supply, Read])
        .unless(&[Quoting]),
    Cue::sentence(10, &[Model, Oblige, Content])
        .with(&[Supply, Everything])
        .with(&[Read])
        .unless(&[Use, Quoting]),
    Cue::sentence(12, &[Emphasis])
        .with(&[SecretPath, Environment, SecretWord])
        .with(&[Copy, Supply, Read]),
    Cue::sentence(14, &[SystemFile])
        .with(&[Read, Content])
        .with(&[Before, Supply, Send, Justify, Coerce, Use]),
    Cue::sentence(12, &[SystemFile])
        .with(&[Oblige, Before, Coerce])
        .with(&[Alter, Send, Supply, Persist, Read]),
    Cue::sentence(16, &[SecretWord])
        .with(&[Read, Content, Everything])
        .with(&[Supply, Send])
        .with(&[Oblige, Before, When, Copy]),
    Cue::sentence(14, &[SecretWord])
        .with(&[Supply])
        .with(&[Before, When, Justify, Coerce])
        .with(&[Oblige, Model, Conceal]),
    Cue::nearby(12, &[SecretWord]).with(&[Conceal, Unasked, External]),
    Cue::sentence(12, &[SecretWord, External]).unless(&[Quoting]),
    Cue::sentence(10, &[SecretWord, Before, Leads]).with(&[Universal, OtherTool, External, Supply]),
    Cue::sentence(12, &[Environment, Oblige, Supply]).with(&[Use, When, Before, Content]),
    Cue::sentence(20, &[Environment])
        .with(&[Read, Everything, Universal])
        .with(&[Supply, Send, Copy])
        .with(&[Oblige, Copy, Before, When, Use, Coerce]),
    Cue::sentence(20, &[Model, Oblige])
        .with(&[Read, Send, Supply])
        .with(&[Content, Universal, SystemFile, SecretWord])
        .unless(&[Use]),
    Cue::sentence(14, &[SystemFile, Overrule]),
    // Orders behind what the tool does, about what is nobody's business.
    Cue::sentence(28, &[Orders, SecretPath]).unless(&[Quoting, Not]),
    Cue::sentence(18, &[Orders, SecretWord])
        .with(&[Supply, Send, Read, Copy])
        .unless(&[Quoting, Paging, Not]),
    Cue::sentence(12, &[Orders, SecretWord])
        .with(&[
            Content,
            Conversation,
            When,
            Before,
            Everything,
            Universal,
            Url,
            Address,
            External,
            Justify,
            Model,
        ])
        .unless(&[Quoting, Paging, Not]),
    Cue::nearby(14, &[Orders, SystemFile])
        .with(&[Read, Supply, Send])
        .with(&[OtherTool, Oblige, Supply, OtherName])
        .unless(&[Quoting]),
    Cue::sentence(14, &[Orders, SystemFile])
        .with(&[Send, Alter, Supply, Persist])
        .unless(&[Quoting]),
    Cue::sentence(28, &[Environment, Supply])
        .with(&[Before, Oblige, Orders, When, Model])
        .unless(&[Quoting, Not]),
    Cue::nearby(20, &[Orders, SecretWord, Read, Supply]).unless(&[Quoting, Paging, Not]),
    Cue::sentence(14, &[SecretWord, Read, Supply]).unless(&[Quoting, Paging, Not]),
    Cue::sentence(28, &[Model, SecretWord, Supply]).unless(&[Quoting, Paging, Not]),
    Cue::sentence(28, &[Oblige, Send, Content])
        .with(&[Supply, Parameter])
        .unless(&[Quoting, Not]),
    Cue::sentence(20, &[Oblige, Affix, SecretWord])
        .with(&[Universal, When])
        .unless(&[Quoting, Paging]),
];
