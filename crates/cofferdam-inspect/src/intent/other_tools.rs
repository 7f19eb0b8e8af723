//! Text that lays down rules for other tools and other work: "jumping the line".

use super::Cue;
use crate::finding::Severity;
use crate::lexicon::Concept::{
    Address, Alter, Before, Coerce, Command, Content, Conversation, Copy, Destroy, Distrust, Emphasis, Environment,
    Everything, Execute, First, Forbid, InParameter, Justify, Leads, Model, MustDo, Not, Obey, Oblige, Opens,
    Operation, OtherName, OtherTool, OwnName, Parameter, Prefer, Quoting, Read, Say, SecretPath, SecretWord, Send,
    Supply, SystemFile, Tamper, Unasked, Universal, Url, Use, Weaken, When,
};
use crate::rule::Rule;

pub(super) static RULE: Rule = Rule {
    id: "poison/other-tools",
    summary: "a text lays down what must happen before, after or instead of other operations, rather than saying what this tool does",
    severity: Severity::High,
    help: "do not accept the tool: what other tools do is not for this one to order",
};

pub(super) static CUES: &[Cue] = &[
    // What a tool does is said first; a rule in that place is about something else. Measured: hardly any honest tool begins so.
    Cue::sentence(28, &[Opens, Oblige]),
    Cue::sentence(14, &[Opens]),
    Cue::sentence(20, &[First, Leads]).unless(&[Use, Opens]),
    Cue::sentence(8, &[First, Leads]).with(&[SecretWord, Send, Alter, Weaken, Tamper, Destroy, Command, Supply]),
    Cue::sentence(14, &[Opens]).unless(&[Use]),
    Cue::sentence(18, &[First, Oblige]),
    Cue::sentence(10, &[First, Oblige]).with(&[
        Before, When, Operation, OtherTool, OtherName, Model, Send, Read, Alter, Destroy, Execute, Weaken, MustDo,
        Tamper, SecretWord, SystemFile,
    ]),
    Cue::sentence(16, &[First, Forbid]),
    Cue::sentence(14, &[First, Model]),
    Cue::sentence(10, &[First, Justify]).with(&[Oblige, Before, When, Universal]),
    // A rule anywhere, unless it is about calling this tool.
    Cue::sentence(14, &[Leads, Oblige]).unless(&[Use, InParameter]),
    Cue::sentence(10, &[Leads, Oblige])
        .with(&[
            Alter, Send, Read, Destroy, Execute, Weaken, Tamper, MustDo, SystemFile, Command, SecretWord, Address, Url,
        ])
        .unless(&[Use, OwnName, InParameter]),
    Cue::sentence(16, &[Opens])
        .with(&[
            Send, Destroy, Alter, Tamper, Execute, Weaken, MustDo, SystemFile, SecretWord, Command, Url, Address,
        ])
        .unless(&[Use]),
    Cue::nearby(16, &[Before, Oblige, OtherTool, Universal]).with(&[SystemFile, Environment, Command, Destroy, Weaken]),
    // A place before everything else, whatever for.
    Cue::sentence(28, &[Before, Oblige, OtherTool, Universal]).with(&[Use, Execute]),
    // The model is spoken to, about more than this tool.
    Cue::sentence(16, &[Model, Oblige])
        .with(&[Read, Send, Alter, Prefer, Obey])
        .unless(&[Use, Quoting, Say]),
    Cue::sentence(16, &[Model, Oblige, Supply]).unless(&[Use, Quoting, OwnName, Parameter]),
    Cue::sentence(20, &[Prefer, OtherTool])
        .with(&[Distrust, Universal, Forbid])
        .unless(&[Quoting]),
    Cue::nearby(20, &[Prefer, OtherTool, Distrust]),
    // A rule for all work of a kind.
    Cue::sentence(12, &[Oblige, Universal, Operation]).with(&[Before, When]),
    Cue::sentence(12, &[Opens, Oblige]).with(&[Operation, OtherTool, OtherName, Universal]),
    Cue::sentence(10, &[Opens])
        .with(&[When, Before])
        .with(&[Alter, Read, Send, Execute, Destroy, Weaken])
        .with(&[Operation, OtherTool, OtherName]),
    Cue::sentence(10, &[Oblige, OtherTool])
        .with(&[Before, When])
        .with(&[Alter, Supply, Read, Send, Execute, Justify, Content]),
    Cue::sentence(10, &[Opens, Justify, Oblige]),
    Cue::sentence(14, &[Opens, Before, Universal])
        .with(&[Execute, Supply, Use])
        .with(&[Oblige, SecretWord, Operation, OtherTool]),
    Cue::sentence(14, &[Oblige])
        .with(&[Before, When])
        .with(&[OtherTool, OtherName])
        .with(&[Alter, Read, Send, Destroy, Weaken, Command, SystemFile, Tamper, MustDo]),
    Cue::sentence(14, &[MustDo])
        .with(&[Before, When, Opens])
        .with(&[Operation, OtherTool, OtherName, Universal]),
    Cue::sentence(8, &[MustDo]).with(&[Justify, Coerce, Opens, SystemFile, SecretWord]),
    Cue::sentence(16, &[MustDo, Model])
        .with(&[
            Send, Read, Supply, Copy, Alter, Destroy, Before, When, OtherName, SecretWord,
        ])
        .unless(&[Oblige, Quoting, OwnName]),
    Cue::sentence(14, &[MustDo, Model])
        .with(&[
            OtherName,
            Content,
            SecretWord,
            SecretPath,
            Conversation,
            Universal,
            Everything,
            Unasked,
        ])
        .unless(&[Oblige, Quoting, Not]),
    // Reasons and threats.
    Cue::sentence(12, &[Justify])
        .with(&[Oblige])
        .with(&[Before, When, Universal])
        .with(&[Operation, OtherTool, Read, Alter]),
    Cue::nearby(10, &[Coerce, Oblige])
        .with(&[Before, Justify, When])
        .with(&[Operation, OtherTool, OtherName])
        .with(&[Read, Alter, Send, Supply, Execute, Weaken]),
    Cue::nearby(8, &[Coerce, Justify]).with(&[Before, Oblige]),
    Cue::sentence(10, &[Use, Before])
        .with(&[Universal, OtherTool])
        .with(&[Operation, OtherTool])
        .with(&[Justify, Everything, Coerce, Supply, Content]),
    Cue::sentence(12, &[Execute, OtherName])
        .with(&[When, Copy])
        .with(&[Destroy, SecretWord, Send, Unasked]),
    Cue::sentence(8, &[Emphasis])
        .with(&[Before, When])
        .with(&[Oblige, Read, Execute])
        .with(&[Read, Alter, Send, Execute, Supply]),
];
