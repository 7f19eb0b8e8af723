//! Text that changes what the user asked of another tool.

use super::Cue;
use crate::finding::Severity;
use crate::lexicon::Concept::{
    Address, Affix, Alter, Before, Coerce, Conceal, Destroy, Justify, Not, Oblige, Opens, Operation, Orders, OtherName,
    OtherTool, Overrule, OwnName, Parameter, Quoting, Supply, Tamper, Unasked, Universal, Url, Weaken, When,
};
use crate::rule::Rule;

pub(super) static RULE: Rule = Rule {
    id: "poison/parameter-tampering",
    summary: "a text has values that the user gave changed, replaced or extended",
    severity: Severity::High,
    help: "do not accept the tool: what the user asked for goes into a call as it is",
};

pub(super) static CUES: &[Cue] = &[
    Cue::sentence(28, &[Orders, Overrule]).unless(&[Quoting, Not]),
    Cue::sentence(14, &[Orders, Alter, Parameter])
        .with(&[Address, Url])
        .unless(&[Quoting]),
    Cue::sentence(28, &[Orders, Tamper, Universal]).unless(&[Quoting, OwnName]),
    Cue::sentence(16, &[Overrule])
        .with(&[Oblige, Address, Url])
        .unless(&[Quoting, Not]),
    Cue::sentence(16, &[Tamper, Url]).unless(&[Quoting, OwnName]),
    Cue::sentence(14, &[Alter, Parameter, Oblige])
        .with(&[When, Before, Universal])
        .unless(&[OwnName]),
    Cue::sentence(6, &[Affix, Parameter, Oblige])
        .with(&[When, Before, Universal])
        .with(&[Operation, OtherTool, OtherName])
        .unless(&[OwnName]),
    Cue::sentence(12, &[Alter, Parameter])
        .with(&[When, Before, Universal])
        .with(&[OtherTool, OtherName, Operation])
        .with(&[Opens, Justify, Coerce]),
    Cue::sentence(10, &[Affix, Parameter, Opens])
        .with(&[When, Before, Universal])
        .with(&[OtherTool, OtherName, Operation])
        .with(&[Oblige]),
    Cue::sentence(8, &[Alter, Oblige, Operation])
        .with(&[When, Before, Universal])
        .unless(&[OwnName]),
    Cue::sentence(14, &[Alter])
        .with(&[Address, Url])
        .with(&[When, Oblige, Universal])
        .with(&[Parameter, Operation, OtherTool]),
    Cue::sentence(12, &[Affix])
        .with(&[Address, Url])
        .with(&[Oblige])
        .with(&[Universal, When])
        .with(&[Operation, OtherTool])
        .unless(&[Quoting]),
    Cue::nearby(10, &[Alter, Parameter])
        .with(&[Coerce, Justify, Conceal, Unasked])
        .with(&[Operation, OtherTool, OtherName])
        .unless(&[OwnName]),
    Cue::sentence(10, &[Alter, Opens])
        .with(&[Oblige])
        .with(&[Parameter, Operation]),
    Cue::sentence(10, &[Alter, OtherTool])
        .with(&[Parameter])
        .with(&[Oblige]),
    Cue::sentence(20, &[Overrule]),
    Cue::sentence(12, &[Tamper]),
    Cue::sentence(18, &[Tamper])
        .with(&[When, Before, Opens, Universal, OtherTool, OtherName])
        .unless(&[OwnName]),
    Cue::nearby(8, &[Tamper]).with(&[Coerce, Justify, OtherTool]),
    Cue::nearby(14, &[Overrule]).with(&[Alter, Parameter, Oblige, Supply, Affix]),
    Cue::sentence(16, &[Alter])
        .with(&[Destroy, Weaken])
        .with(&[When, Before, Opens]),
];
