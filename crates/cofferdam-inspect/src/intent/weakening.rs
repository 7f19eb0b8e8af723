//! Text that has protections taken away or things destroyed on the way.

use super::Cue;
use crate::finding::Severity;
use crate::lexicon::Concept::{
    Alter, Before, Coerce, Command, Conceal, Copy, Deceit, Destroy, Execute, Justify, Leads, Not, Oblige, Opens,
    Operation, Orders, OtherTool, Pretend, Quoting, SystemFile, Unasked, Universal, Weaken, When,
};
use crate::rule::Rule;

pub(super) static RULE: Rule = Rule {
    id: "poison/weakening",
    summary: "a text has rights widened, protections switched off or things deleted as a side effect",
    severity: Severity::High,
    help: "do not accept the tool; what needs more rights asks for them in its manifest",
};

pub(super) static CUES: &[Cue] = &[
    Cue::sentence(16, &[Weaken])
        .with(&[Before, When, Opens])
        .with(&[Oblige, Execute, Alter, Justify]),
    Cue::sentence(16, &[Weaken])
        .with(&[Before, Leads, Unasked])
        .unless(&[Quoting]),
    Cue::sentence(28, &[Orders, Weaken])
        .with(&[Before, Unasked, Universal, Justify, Coerce, Copy, Oblige])
        .unless(&[Quoting, Not]),
    Cue::sentence(20, &[Weaken, Oblige])
        .with(&[Universal, Copy])
        .unless(&[Quoting, Not]),
    Cue::sentence(14, &[Weaken, Unasked]).unless(&[Quoting, Not]),
    Cue::sentence(14, &[Orders, Weaken]).unless(&[Quoting, Not]),
    Cue::nearby(14, &[Orders, Weaken]).with(&[Deceit, Conceal, Command]),
    Cue::nearby(10, &[Weaken])
        .with(&[Justify, Coerce, Unasked])
        .with(&[Oblige, Before, When]),
    Cue::sentence(16, &[Destroy, Oblige])
        .with(&[Before, When])
        .with(&[Universal, Operation, OtherTool])
        .with(&[Universal, Copy, Unasked, SystemFile, Opens, Coerce]),
    Cue::sentence(16, &[Destroy])
        .with(&[Copy, When, Before])
        .with(&[Unasked, SystemFile, Conceal, Pretend]),
    Cue::nearby(14, &[Destroy, Unasked]).with(&[When, Before, Oblige, SystemFile]),
    Cue::sentence(10, &[Destroy, Before])
        .with(&[Opens])
        .with(&[Universal, Operation]),
];
