//! A plain text cut into sentences, each with the concepts that stand in it.

use super::Place;
use crate::lexicon::{Concept, Concepts, NAMED_DEEDS, terms};

/// A longer sentence is cut: what stands far apart does not belong together.
const SENTENCE_BYTES_MAX: usize = 320;

/// One sentence of a plain text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sentence {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) concepts: Concepts,
    /// Those with which it begins.
    at_start: Concepts,
    is_complete: bool,
}

/// The sentences of `text` (plain) with the terms in them, or `None` when the lexicon is unusable. What else a sentence holds is
/// looked for by [`complete`], in those that matter.
pub(super) fn sentences(text: &str) -> Option<Vec<Sentence>> {
    let mut all = cut(text);
    let mut found = terms(text)?.into_iter().peekable();
    for sentence in &mut all {
        while let Some(term) = found.next_if(|term| term.start < sentence.end) {
            sentence.concepts.add(term.concept);
            if term.start <= sentence.start + 2 {
                sentence.at_start.add(term.concept);
            }
        }
    }
    Some(all)
}

/// Adds what a sentence, the first of its text or not, holds by its form and its place.
pub(super) fn complete(sentence: &mut Sentence, text: &str, place: Place<'_>) {
    if sentence.is_complete {
        return;
    }
    sentence.is_complete = true;
    let words = text.get(sentence.start..sentence.end).unwrap_or_default();
    let beginning = words.trim_start();
    let begins_with = |beginnings: &[&str]| beginnings.iter().any(|word| beginning.starts_with(word));
    let is_first = sentence.start == 0 && place.is_description;
    let rules = sentence.at_start.has_any(LEADERS)
        || sentence.at_start.has_any(QUANTIFIERS)
            && sentence.concepts.has_any(RULING)
            && !begins_with(&PLAIN_BEGINNINGS);
    let opens = rules || begins_with(&ADDRESSING);
    let leads = opens || begins_with(&LEADING_WORDS);
    for (holds, concept) in [
        (leads, Concept::Leads),
        (is_first, Concept::First),
        (opens && is_first, Concept::Opens),
        (place.in_parameter, Concept::InParameter),
        (
            sentence.start > 0 && place.is_description && orders(words),
            Concept::Orders,
        ),
    ] {
        if holds {
            sentence.concepts.add(concept);
        }
    }
    if may_hold_literals(words, place) {
        for concept in literals(words, place) {
            sentence.concepts.add(concept);
        }
    }
}

/// What a sentence begins with that lays down a rule instead of saying what the tool does.
const LEADERS: Concepts = Concepts::of(&[Concept::Before, Concept::When, Concept::Override]);

/// The same, where the rest of the sentence is more than a name of what the tool gives ("All records of a zone").
const QUANTIFIERS: Concepts = Concepts::of(&[Concept::Universal]);
const RULING: Concepts = Concepts::of(&[
    Concept::Oblige,
    Concept::MustDo,
    Concept::Forbid,
    Concept::Before,
    Concept::When,
    Concept::Model,
    Concept::Tamper,
    Concept::Alter,
    Concept::Send,
    Concept::Supply,
    Concept::Weaken,
    Concept::Coerce,
    Concept::Destroy,
    Concept::OtherTool,
    Concept::OtherName,
]);

/// Universal words that also begin a plain description ("Full-text search").
const PLAIN_BEGINNINGS: [&str; 9] = [
    "full",
    "complete",
    "whole",
    "entire",
    "global",
    "universal",
    "both",
    "all-in",
    "any-to",
];

/// What speaks to the model instead of about the tool.
const ADDRESSING: [&str; 7] = [
    "you are now ",
    "you are no longer ",
    "you are to ",
    "you are required ",
    "you must ",
    "you will ",
    "do not ",
];

/// Words that mean nothing alone and open a rule.
const LEADING_WORDS: [&str; 12] = [
    "because ",
    "due to ",
    "for ",
    "no ",
    "in order to ",
    "to ",
    "as ",
    "since ",
    "according ",
    "during ",
    "in accordance",
    "in case ",
];

/// What a reader is told to do, where more is meant than a call of this tool.
const DEEDS: &str = "accept|add|answer|append|apply|approve|ask|attach|begin|change|choose|collect|continue|copy|create|delete|describe|\
    disable|do|don't|drop|embed|enable|encode|enumerate|execute|export|fetch|find|follow|forward|gather|get|give|grant|\
    hand|hide|ignore|include|insert|install|keep|leave|load|look|make|mark|merge|mirror|move|never|obtain|open|pass|post|\
    prefer|print|provide|publish|put|read|remove|replace|report|route|run|save|say|select|send|set|share|skip|start|store|\
    submit|supply|switch|take|tell|transfer|transmit|treat|trust|turn|upload|write";

/// Whether any clause begins with a deed, as an order does.
fn orders(words: &str) -> bool {
    let is_filler = |word: &&str| matches!(*word, "please" | "then" | "also" | "always" | "and" | "first" | "-");
    let mut clauses = words
        .split([',', ':', ';', '(', '\n', '>'])
        .flat_map(|part| part.split(" and "));
    clauses.any(|clause| {
        let first = clause.split_whitespace().find(|word| !is_filler(word));
        first.is_some_and(|word| DEEDS.split('|').any(|deed| deed == word))
    })
}

fn cut(text: &str) -> Vec<Sentence> {
    let mut all = Vec::new();
    let mut start = 0;
    for part in text.split_inclusive('\n') {
        let end = start + part.len();
        let mut from = start;
        while end - from > SENTENCE_BYTES_MAX {
            let window = text.get(from..end).unwrap_or_default();
            let to = from + length(window);
            all.push(sentence(from, to));
            from = to;
        }
        if from < end {
            all.push(sentence(from, end));
        }
        start = end;
    }
    all
}

/// How much of a window that is too long is one sentence: up to a space, if there is one in time.
fn length(window: &str) -> usize {
    let late = (2 * SENTENCE_BYTES_MAX).min(window.len());
    let near = window.as_bytes().get(SENTENCE_BYTES_MAX..late).unwrap_or_default();
    let space = memchr::memchr(b' ', near).map(|at| SENTENCE_BYTES_MAX + at);
    space.unwrap_or_else(|| window.ceil_char_boundary(late))
}

fn sentence(start: usize, end: usize) -> Sentence {
    Sentence {
        start,
        end,
        concepts: Concepts::NONE,
        at_start: Concepts::NONE,
        is_complete: false,
    }
}

/// Whether any word of a sentence can be more than a word: a look at each byte instead of a parse of each word.
fn may_hold_literals(words: &str, place: Place<'_>) -> bool {
    let bytes = words.as_bytes();
    let ends_word = |next: Option<&u8>| next.is_none_or(|next| next.is_ascii_whitespace());
    !place.own_names.is_empty()
        || bytes.iter().enumerate().any(|(index, byte)| match byte {
            b'_' | b'@' | b'$' | b'+' | b'0'..=b'9' => true,
            b'.' | b':' => !ends_word(bytes.get(index + 1)),
            _ => false,
        })
}

/// What is recognised by its form: addresses of people and machines, and names of other tools.
fn literals<'a>(words: &'a str, place: Place<'a>) -> impl Iterator<Item = Concept> + 'a {
    words
        .split([' ', '\n', ',', '(', ')', '"', '`', '\'', '='])
        .map(|word| word.trim_end_matches(['.', ';', ':', '!', '?']))
        .flat_map(move |word| {
            let found = literal(word, place);
            let deed = if found == Some(Concept::OtherName) {
                named_deeds(word)
            } else {
                None
            };
            [found, deed].into_iter().flatten()
        })
}

fn literal(word: &str, place: Place<'_>) -> Option<Concept> {
    if word.starts_with("http") && word.contains("://") || is_host(word) {
        return Some(Concept::Url);
    }
    if word.starts_with('$')
        && ["token", "secret", "key", "password"]
            .iter()
            .any(|part| word.contains(part))
    {
        return Some(Concept::SecretPath);
    }
    if let Some((name, host)) = word.split_once('@') {
        return (!name.is_empty() && host.contains('.')).then_some(Concept::Address);
    }
    if place.own_names.contains(&word) {
        return Some(Concept::OwnName);
    }
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if digits >= 2 && is_address(word, digits) {
        return Some(Concept::Address);
    }
    let is_name = word.contains('_')
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        && word.starts_with(|first: char| first.is_ascii_alphabetic());
    is_name.then_some(Concept::OtherName)
}

/// A host of three labels or more: `api.example.org`, `notes.example.org/in`.
fn is_host(word: &str) -> bool {
    let host = word.split(['/', ':']).next().unwrap_or(word);
    host.split('.').count() >= 3
        && host
            .split('.')
            .all(|label| label.len() >= 2 && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
}

/// An IPv4 address, a telephone number or an account, by its form.
fn is_address(word: &str, digits: usize) -> bool {
    let host = word.split(':').next().unwrap_or(word);
    let parts = || host.split('.');
    let is_ip = parts().count() == 4 && parts().all(|part| part.parse::<u8>().is_ok());
    let is_phone = word.starts_with('+') || digits >= 9 && digits == word.len();
    let is_wallet = (word.starts_with("0x") || word.starts_with("bc1")) && word.len() >= 24;
    is_ip || is_phone || is_wallet
}

/// What the name of another tool says it does.
fn named_deeds(word: &str) -> Option<Concept> {
    if !word.contains('_') {
        return None;
    }
    word.split('_').find_map(|part| {
        let named = NAMED_DEEDS.iter().find(|(_, deeds)| deeds.contains(&part));
        named.map(|(concept, _)| *concept)
    })
}
