//! Text that has protections taken away or things destroyed on the way.

use super::Cue;
use crate::finding::Severity;
use crate::lexicon::Concept::{
    Alter, Before, Coerce, Conceal, Copy, Destroy, Execute, Justify, Oblige, Opens, Operation, OtherTool, Pretend,
    SystemFile, Unasked, Universal, Weaken, When,
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
