//! Finds terms by their first four bytes: one bit says of nearly every place in a text that no term begins there.
//!
//! An automaton over thousands of terms reads every byte through a table that no cache holds. Here each place is looked at by
//! itself, and only where the bit is set are the few terms with this beginning compared.

use super::{Concept, Term, joins};

/// Bits of a beginning's hash.
const HASH_BITS: u32 = 17;
const HASHES: usize = 1 << HASH_BITS;

/// What a pattern stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    /// A term, and whether any ending may follow.
    Term(Concept, bool),
    /// Obligations that deeds follow: the number of their list.
    Order(usize),
    /// A deed that may be part of another tool's name: `send` in `send_mail`.
    Named,
}

/// Deeds that follow an obligation, and what both mean together.
pub(super) type Deeds = (Concept, Vec<&'static str>);

#[derive(Debug)]
pub(super) struct Scanner {
    /// By hash: whether a pattern begins so.
    bits: Box<[u64; HASHES / 64]>,
    /// By hash: the group of patterns that begin so.
    heads: Vec<u16>,
    groups: Vec<Vec<Beginning>>,
    patterns: Vec<(String, Meaning)>,
    deeds: Vec<Deeds>,
}

/// How one pattern of a group begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Beginning {
    /// Its first eight bytes, and which bits of them it has.
    first: u64,
    has: u64,
    number: usize,
}

/// Eight bytes as one number, padded with zeros.
fn first_bytes(bytes: &[u8]) -> u64 {
    if let Some(eight) = bytes.first_chunk() {
        return u64::from_le_bytes(*eight);
    }
    let mut padded = [0; 8];
    padded.iter_mut().zip(bytes).for_each(|(padded, byte)| *padded = *byte);
    u64::from_le_bytes(padded)
}

impl Scanner {
    /// Patterns of ASCII characters, plain (see [`crate::text::plain`]), of two bytes or more.
    pub(super) fn new(patterns: Vec<(String, Meaning)>, deeds: Vec<Deeds>) -> Self {
        let mut scanner = Self {
            bits: Box::new([0; HASHES / 64]),
            heads: vec![0; HASHES],
            // The first group belongs to no beginning.
            groups: vec![Vec::new()],
            patterns: Vec::new(),
            deeds,
        };
        for (number, (text, meaning)) in patterns.iter().enumerate() {
            let begins = Beginning {
                first: first_bytes(text.as_bytes()),
                has: first_bytes(&vec![u8::MAX; text.len()]),
                number,
            };
            for beginning in beginnings(text, *meaning) {
                scanner.add(hash(beginning), begins);
            }
        }
        scanner.patterns = patterns;
        scanner
    }

    fn add(&mut self, hash: usize, begins: Beginning) {
        if let Some(bits) = self.bits.get_mut(hash / 64) {
            *bits |= 1 << (hash % 64);
        }
        let Some(head) = self.heads.get_mut(hash) else { return };
        if *head == 0 {
            // As many groups as hashes at most.
            *head = u16::try_from(self.groups.len()).unwrap_or(u16::MAX);
            self.groups.push(Vec::new());
        }
        if let Some(group) = self.groups.get_mut(usize::from(*head))
            && group.last() != Some(&begins)
        {
            group.push(begins);
        }
    }

    /// Every pattern in `text` (plain), in order of where it begins.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Term> {
        let mut classes = Vec::with_capacity(text.len() + 4);
        classes.push(0);
        classes.extend(text.iter().map(|byte| class(*byte)));
        classes.extend([0; 3]);
        let mut found = Vec::new();
        for (at, beginning) in classes.get(1..).unwrap_or_default().array_windows().enumerate() {
            let hash = hash(*beginning);
            let bits = self.bits.get(hash / 64).copied().unwrap_or_default();
            if bits >> (hash % 64) & 1 == 1 {
                let before = classes.get(at).copied().unwrap_or_default();
                if !is_inside_word(before, *beginning) {
                    self.compare(text, at, hash, &mut found);
                }
            }
        }
        found
    }

    #[inline(never)]
    fn compare(&self, text: &[u8], at: usize, hash: usize, found: &mut Vec<Term>) {
        let (Some((before, here)), Some(head)) = (text.split_at_checked(at), self.heads.get(hash)) else {
            return;
        };
        let before = before.last().copied();
        let joined = here
            .first()
            .is_none_or(|first| before.is_some_and(|before| joins(*first, before)));
        let first = first_bytes(here);
        let group = self.groups.get(usize::from(*head)).into_iter().flatten();
        let alike = group.filter(|begins| (begins.first ^ first) & begins.has == 0);
        for (pattern, meaning) in alike.filter_map(|begins| self.patterns.get(begins.number)) {
            let Some(after) = here.strip_prefix(pattern.as_bytes()) else {
                continue;
            };
            let end = at + pattern.len();
            match meaning {
                Meaning::Named if is_part_of_name(before, after.first().copied()) => {
                    found.push(term(at, end, Concept::Named));
                }
                Meaning::Term(concept, any_ending) if !joined && (*any_ending || ends(pattern, after)) => {
                    found.push(term(at, end, *concept));
                }
                Meaning::Order(list) if !joined => self.ordered(*list, (at, end), after, found),
                _ => {}
            }
        }
    }

    /// The deeds behind an obligation.
    fn ordered(&self, list: usize, (at, end): (usize, usize), after: &[u8], found: &mut Vec<Term>) {
        let (Some((concept, deeds)), Some(after)) = (self.deeds.get(list), after.strip_prefix(b" ")) else {
            return;
        };
        for deed in deeds {
            if after
                .strip_prefix(deed.as_bytes())
                .is_some_and(|after| ends(deed, after))
            {
                found.push(term(at, end + 1 + deed.len(), *concept));
            }
        }
    }
}

fn term(start: usize, end: usize, concept: Concept) -> Term {
    Term { start, end, concept }
}

/// Whether a word ends where `pattern` does and `after` begins.
fn ends(pattern: &str, after: &[u8]) -> bool {
    match (pattern.as_bytes().last(), after.first()) {
        (Some(last), Some(after)) => !joins(*last, *after),
        _ => true,
    }
}

/// A deed between underscores, or between one and the edge of a word.
fn is_part_of_name(before: Option<u8>, after: Option<u8>) -> bool {
    let is_inside = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    !is_inside(before) && !is_inside(after) && (before == Some(b'_') || after == Some(b'_'))
}

/// Whether no pattern can begin here: not even a deed, which an underscore may precede.
fn is_inside_word(before: u8, [first, ..]: [u8; 4]) -> bool {
    before > 1 && before != b'_' && first > 1
}

/// Bytes of words as they are; everything else ends a word, and looks the same within ASCII and beyond it.
fn class(byte: u8) -> u8 {
    if byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' {
        byte
    } else {
        u8::from(byte >= 0x80)
    }
}

fn hash(beginning: [u8; 4]) -> usize {
    let mixed = u32::from_le_bytes(beginning).wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS);
    usize::try_from(mixed).unwrap_or_default()
}

/// Every beginning that a text may have where `pattern` stands: short ones leave bytes open.
fn beginnings(pattern: &str, meaning: Meaning) -> Vec<[u8; 4]> {
    let is_whole = matches!(meaning, Meaning::Term(_, false) | Meaning::Order(_));
    let ends_in_word = pattern.bytes().last().is_some_and(|last| class(last) != 0);
    let mut all = vec![Vec::new()];
    for at in 0..4 {
        let open: Vec<u8> = match pattern.as_bytes().get(at) {
            Some(byte) => vec![class(*byte)],
            // What follows a whole word is no part of one.
            None if is_whole && ends_in_word && at == pattern.len() => vec![0, 1],
            None => (0..128).filter(|byte| class(*byte) == *byte || *byte == 1).collect(),
        };
        all = all
            .iter()
            .flat_map(|begun| open.iter().map(move |byte| [begun.as_slice(), &[*byte]].concat()))
            .collect();
    }
    all.iter()
        .filter_map(|beginning| beginning.as_slice().try_into().ok())
        .collect()
}
