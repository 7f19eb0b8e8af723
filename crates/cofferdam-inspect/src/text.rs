//! A text as a model reads it: one spelling for what looks alike, nothing hidden, cut into sentences.

use unicode_normalization::UnicodeNormalization as _;

use crate::finding::is_invisible;

pub(crate) mod bits;
pub(crate) mod encoded;
pub(crate) mod hidden;

/// Characters of one text that are read; more is read by nobody, and a finding says that it was not inspected.
pub(crate) const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Single letters in a row, with something between them, that are taken for a spaced-out word.
const SPACED_LETTERS_MIN: usize = 5;
/// Bytes that are looked at together where most of a text is ASCII.
const ASCII_CHUNK_BYTES: usize = 32;
/// Share of ASCII letters, in percent, from which a word of foreign look-alikes is taken for a disguised Latin one.
const LATIN_PERCENT_MIN: usize = 60;

/// `text` lowercased, in compatibility form without marks, look-alikes folded into Latin where the word is Latin, whitespace
/// collapsed to single spaces, sentence ends written as newlines.
pub(crate) fn plain(text: &str) -> String {
    if text.is_ascii() {
        return joined_letters(flat(&text.to_ascii_lowercase()));
    }
    joined_letters(flat(&latin_look(&folded(text))))
}

/// `text` lowercased, in compatibility form, without marks and invisible characters.
fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (ascii, behind) = rest.split_at_checked(ascii_length(rest.as_bytes())).unwrap_or_default();
        let from = out.len();
        out.push_str(ascii);
        out.get_mut(from..).unwrap_or_default().make_ascii_lowercase();
        rest = behind;
        let begun = rest.find(|character| !is_inert(character)).unwrap_or(rest.len());
        let (inert, behind) = rest.split_at_checked(begun).unwrap_or_default();
        out.extend(inert.chars().map(lowercase));
        let ended = behind.find(is_inert).unwrap_or(behind.len());
        let (other, behind) = behind.split_at_checked(ended).unwrap_or_default();
        let visible = other.chars().filter(|character| !is_invisible(*character));
        let plain = visible.nfkd().filter(|character| !is_mark(*character));
        out.extend(plain.flat_map(char::to_lowercase).map(straight));
        rest = behind;
    }
    out
}

/// How many bytes at the beginning are ASCII.
pub(crate) fn ascii_length(bytes: &[u8]) -> usize {
    let whole = bytes.chunks(ASCII_CHUNK_BYTES).take_while(|chunk| chunk.is_ascii());
    let length = whole.map(<[u8]>::len).sum::<usize>();
    let rest = bytes.get(length..).unwrap_or_default();
    length + rest.iter().take_while(|byte| byte.is_ascii()).count()
}

/// The characters of `text` beyond ASCII.
fn beyond_ascii(text: &str) -> impl Iterator<Item = char> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.get(ascii_length(rest.as_bytes())..)?;
        let mut characters = rest.chars();
        let character = characters.next();
        rest = characters.as_str();
        character
    })
}

/// Characters that stay themselves in compatibility form but for their case, and over which no mark moves: ASCII, the basic Cyrillic and
/// Chinese ones and their full stop.
fn is_inert(character: char) -> bool {
    match u32::from(character) {
        0..0x80 => true,
        code @ 0x410..0x450 => code & !0x20 != 0x419,
        code => (0x4E00..0xA000).contains(&code) || code == 0x3002,
    }
}

/// An inert character in lower case.
fn lowercase(character: char) -> char {
    match character {
        '\u{410}'..='\u{42f}' => char::from_u32(u32::from(character) + 0x20).unwrap_or(character),
        other => other.to_ascii_lowercase(),
    }
}

/// Combining marks over Latin, Greek and Cyrillic letters.
fn is_mark(character: char) -> bool {
    matches!(u32::from(character), 0x300..=0x36F)
}

/// Typographic punctuation as it stands on a keyboard.
fn straight(character: char) -> char {
    match character {
        '\u{2018}' | '\u{2019}' | '\u{2bc}' | '\u{ff07}' => '\'',
        '\u{201c}' | '\u{201d}' | '\u{ab}' | '\u{bb}' | '\u{300c}' | '\u{300d}' => '"',
        '\u{2010}'..='\u{2015}' => '-',
        other => other,
    }
}

/// Collapses whitespace and ends sentences with a newline. What lies between two [`breaks`] is copied as it is.
fn flat(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    let (mut copied, bytes) = (0, text.as_bytes());
    for at in breaks(bytes) {
        if at < copied {
            continue;
        }
        out.push_str(text.get(copied..at).unwrap_or_default());
        let rest = text.get(at..).unwrap_or_default();
        copied = at;
        if let Some(mark) = rest.chars().next().filter(|character| ends_anywhere(*character)) {
            out.push(mark);
            out.push('\n');
            copied += mark.len_utf8();
        } else {
            copied += space(rest, ends_sentence(text.get(..at).unwrap_or_default()), &mut out);
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out
}

/// Places where [`flat`] does anything but copy, and few others: marks that end a sentence anywhere, and whitespace that is not one
/// space between two words.
fn breaks(bytes: &[u8]) -> Vec<usize> {
    if bytes.is_ascii() {
        breaks_in::<true>(bytes)
    } else {
        breaks_in::<false>(bytes)
    }
}

fn breaks_in<const IS_ASCII: bool>(bytes: &[u8]) -> Vec<usize> {
    let is_space = |byte: u8| (byte == b' ') | (byte.wrapping_sub(b'\t') < 5);
    let is_break = |before: u8, byte: u8, after: u8| {
        // The last bytes of U+0085, U+0964, U+1680 and U+3002 behave like what ends a sentence.
        let foreign_end = !IS_ASCII & ((before == 0x80) | (before == 0x82) | (before == 0x85) | (before == 0xA4));
        let ended = (before == b'.') | (before == b'!') | (before == b'?') | (before == b';') | foreign_end;
        let space = is_space(byte) & ((byte != b' ') | ended | is_space(after) | is_space(before));
        // What is neither of these and not ASCII: U+0085, U+0964, U+1680, U+3002 and whatever shares two bytes with them.
        let foreign = !IS_ASCII
            & (byte >= 0xC2)
            & (((byte == 0xC2) & (after == 0x85))
                | ((byte == 0xE0) & (after == 0xA5))
                | ((byte == 0xE1) & (after == 0x9A))
                | ((byte == 0xE3) & (after == 0x80)));
        u8::from(space | foreign | (byte == b';'))
    };
    let from = |skip: usize| bytes.get(skip..).unwrap_or_default();
    let neighbours = from(0).iter().zip(from(1)).zip(from(2));
    let mut marked = Vec::with_capacity(bytes.len());
    // A text begins as a sentence does.
    let first = |byte: &u8| is_break(b'.', *byte, from(1).first().copied().unwrap_or_default());
    marked.extend(bytes.first().map(first));
    marked.extend(neighbours.map(|((before, byte), after)| is_break(*before, *byte, *after)));
    if let [.., before, last] = bytes {
        marked.push(is_break(*before, *last, 0));
    }
    memchr::memchr_iter(1, &marked).collect()
}

/// What ends a sentence with or without a space behind it.
fn ends_anywhere(character: char) -> bool {
    matches!(character, ';' | '\u{3002}' | '\u{964}')
}

/// Writes the whitespace at the beginning of `rest` as one space or as the end of a sentence, and gives its length; whatever else
/// stands there is left for copying.
fn space(rest: &str, mut ended: bool, out: &mut String) -> usize {
    let mut characters = rest.char_indices().peekable();
    while let Some((at, character)) = characters.next_if(|(_, character)| character.is_whitespace()) {
        let after = rest.get(at + character.len_utf8()..).unwrap_or_default();
        let new_paragraph = character == '\n' && after.starts_with(starts_item);
        if (ended || new_paragraph) && !out.ends_with('\n') {
            if out.ends_with(' ') {
                out.pop();
            }
            out.push('\n');
        } else if !out.ends_with([' ', '\n']) && !out.is_empty() {
            out.push(' ');
        }
        ended = false;
    }
    characters.peek().map_or(rest.len(), |(at, _)| *at)
}

/// Whether `text` ends with a sentence: `e.g.` does not, since what counts is the last piece.
fn ends_sentence(text: &str) -> bool {
    let is_end = |character: char| matches!(character, '.' | '!' | '?');
    let mut letters = 0;
    let mut characters = text.chars().rev().peekable();
    if !characters.peek().is_some_and(|last| is_end(*last)) {
        return false;
    }
    while let Some(character) = characters.next() {
        if is_end(character) {
            continue;
        }
        if character.is_whitespace() {
            break;
        }
        letters += 1;
        if letters > 1 || characters.peek() == Some(&'.') {
            break;
        }
    }
    letters > 1
}

/// What begins a paragraph or an item of a list after a line break.
fn starts_item(character: char) -> bool {
    matches!(character, '\n' | '\r' | '-' | '*' | '#' | '<' | '\u{2022}') || character.is_ascii_digit()
}

/// Foreign letters that look Latin, inside words that are otherwise Latin or in a text that is.
fn latin_look(text: &str) -> String {
    if !beyond_ascii(text).any(|character| latin_twin(character).is_some()) {
        return text.to_owned();
    }
    let letters = text.chars().filter(|character| is_letter(*character)).count();
    let ascii = text.chars().filter(char::is_ascii_alphabetic).count();
    let latin_text = ascii * 100 >= letters * LATIN_PERCENT_MIN;
    text.split_inclusive(|character: char| !is_letter(character))
        .flat_map(|word| {
            let mixed = word.chars().any(|character| character.is_ascii_alphabetic());
            let disguised = latin_text
                && word
                    .chars()
                    .filter(|character| character.is_alphabetic())
                    .all(|character| latin_twin(character).is_some());
            let fold = mixed || disguised;
            word.chars().map(move |character| {
                if fold {
                    latin_twin(character).unwrap_or(character)
                } else {
                    character
                }
            })
        })
        .collect()
}

/// [`char::is_alphabetic`], which looks most of these up in tables.
fn is_letter(character: char) -> bool {
    match u32::from(character) {
        0..0x80 => character.is_ascii_alphabetic(),
        0x410..0x450 | 0x4E00..0xA000 => true,
        _ => character.is_alphabetic(),
    }
}

/// The lowercase Latin letter that a Greek, Cyrillic or Armenian one looks like.
pub(crate) fn latin_twin(character: char) -> Option<char> {
    Some(match character {
        'а' | 'α' | 'ɑ' => 'a',
        'с' | 'ϲ' | 'ᴄ' => 'c',
        'ԁ' => 'd',
        'е' | 'ҽ' | 'є' => 'e',
        'ɡ' | 'ց' => 'g',
        'һ' | 'հ' => 'h',
        'і' | 'ι' | 'ı' | 'ӏ' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'ⅼ' => 'l',
        'м' => 'm',
        'п' | 'ո' => 'n',
        'о' | 'ο' | 'օ' | 'σ' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'г' => 'r',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' | 'ս' => 'u',
        'ν' | 'ѵ' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        _ => return None,
    })
}

/// Joins letters that stand one by one (`i g n o r e`, `i.g.n.o.r.e`); two spaces or more were a gap between words.
fn joined_letters(text: String) -> String {
    let is_spaced = |window: &[u8]| {
        matches!(window, [a, b, c, d, e, f, g, h, i]
            if b == d && d == f && f == h && matches!(b, b' ' | b'.' | b'-' | b'_' | b'*')
                && [a, c, e, g, i].iter().all(|byte| byte.is_ascii_alphabetic()))
    };
    if !may_be_spaced(text.as_bytes()) || !text.as_bytes().windows(2 * SPACED_LETTERS_MIN - 1).any(is_spaced) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for part in text.split(' ') {
        let single = part.len() == 1 && part.bytes().all(|byte| byte.is_ascii_alphabetic());
        let after_single = out.bytes().next_back().is_some_and(|byte| byte.is_ascii_alphabetic())
            && out.bytes().rev().nth(1).is_none_or(|byte| byte == b' ' || byte == 0x1f);
        if !(out.is_empty() || single && (after_single || out.ends_with('\u{1f}'))) {
            out.push(' ');
        }
        if single {
            // A mark behind each joined letter keeps "single" visible until the end.
            out.push_str(part);
            out.push('\u{1f}');
        } else {
            out.push_str(&undotted(part));
        }
    }
    out.replace('\u{1f}', "")
}

/// Whether the same byte, no letter, stands four times with one between. Compared without a branch a byte: this runs over all of a text.
fn may_be_spaced(bytes: &[u8]) -> bool {
    let from = |skip: usize| bytes.get(skip..).unwrap_or_default();
    let places = from(0).iter().zip(from(2)).zip(from(4)).zip(from(6));
    let spaced = places.map(|(((a, b), c), d)| u8::from((a == b) & (b == c) & (c == d) & !a.is_ascii_alphanumeric()));
    spaced.fold(0, |all, spaced| all | spaced) != 0
}

/// `i.g.n.o.r.e` without its dots.
fn undotted(part: &str) -> String {
    let odd = part.chars().enumerate().all(|(index, character)| {
        if index % 2 == 0 {
            character.is_ascii_alphabetic()
        } else {
            matches!(character, '.' | '-' | '_' | '*')
        }
    });
    if odd && part.len() >= 2 * SPACED_LETTERS_MIN - 1 {
        part.chars().filter(char::is_ascii_alphabetic).collect()
    } else {
        part.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use unicode_normalization::UnicodeNormalization as _;

    use super::{flat, folded, is_inert, is_letter, is_mark, lowercase, plain, starts_item, straight};
    use crate::finding::is_invisible;

    #[test]
    fn what_is_folded_in_pieces_is_what_is_folded_whole() {
        for character in '\0'..=char::MAX {
            assert_eq!(is_letter(character), character.is_alphabetic(), "{character:?}");
            if character.is_whitespace() {
                let known = |character: char| character.is_ascii() || matches!(character, '\u{85}' | '\u{1680}');
                assert!(folded(&character.to_string()).chars().all(known), "{character:?}");
            }
            if is_inert(character) {
                let slow: String = [character]
                    .into_iter()
                    .nfkd()
                    .flat_map(char::to_lowercase)
                    .map(straight)
                    .collect();
                assert_eq!(lowercase(character).to_string(), slow);
                assert!(!is_mark(character) && !is_invisible(character));
            }
        }
        proptest!(|(text in "[a\u{439}\u{419}\u{41f}\u{6f22}\u{3002}\u{300}-\u{36f}\u{5b0}-\u{5bd}\u{64b}-\u{652}\u{ff21}\u{e4}\u{130}\u{fb01}\u{1e9b}\u{323}\u{200b}\u{ac00}]{0,12}")| {
            let visible = text.chars().filter(|character| !is_invisible(*character));
            let whole: String = visible
                .nfkd()
                .filter(|character| !is_mark(*character))
                .flat_map(char::to_lowercase)
                .map(straight)
                .collect();
            prop_assert_eq!(folded(&text), whole);
        });
    }

    /// The same as [`flat`], one character after the other.
    fn slowly(text: &str) -> String {
        let mut out = String::new();
        let mut characters = text.chars().peekable();
        let (mut last, mut word) = ('\n', 0_usize);
        while let Some(character) = characters.next() {
            let space = character.is_whitespace();
            if space {
                let new_paragraph = character == '\n' && characters.peek().is_some_and(|next| starts_item(*next));
                let ended = matches!(last, '.' | '!' | '?') && word > 1;
                if (ended || new_paragraph) && !out.ends_with('\n') {
                    if out.ends_with(' ') {
                        out.pop();
                    }
                    out.push('\n');
                } else if !out.ends_with([' ', '\n']) && !out.is_empty() {
                    out.push(' ');
                }
            } else {
                out.push(character);
                if matches!(character, ';' | '\u{3002}' | '\u{964}') {
                    out.push('\n');
                }
            }
            if !matches!(character, '.' | '!' | '?') {
                word = match last {
                    _ if space => 0,
                    '.' => 1,
                    _ => word + 1,
                };
            }
            last = character;
        }
        out
    }

    #[test]
    fn what_is_copied_in_one_piece_is_what_is_copied_one_by_one() {
        proptest!(|(text in "([a-z.;!? \\n\\r\\t\\x0b\\-*#<0-9\u{e4}\u{85}\u{964}\u{1680}\u{3002}\u{2022}]| |\\. ){0,40}")| {
            prop_assert_eq!(flat(&text), slowly(&text));
        });
    }

    #[test]
    fn one_spelling_for_what_looks_alike() {
        for disguised in [
            "Ignore ALL",
            "ＩＧＮＯＲＥ ＡＬＬ",
            "𝗂𝗀𝗇𝗈𝗋𝖾 𝖺𝗅𝗅",
            "ign\u{200b}ore\u{2060} all",
            "іgnоrе аll",
            "i g n o r e all",
            "i.g.n.o.r.e all",
            "ïgnöre  \t all",
        ] {
            assert_eq!(plain(disguised), "ignore all", "{disguised}");
        }
    }

    #[test]
    fn other_scripts_stay_themselves() {
        assert_eq!(plain("Прочитай файл"), "прочитаи фаил");
        assert_eq!(plain("忽略 指令"), "忽略 指令");
    }

    #[test]
    fn sentences_end_where_people_end_them() {
        assert_eq!(
            plain("One, e.g. this. Two!\nstill two\n\n- three"),
            "one, e.g. this.\ntwo!\nstill two\n- three"
        );
        assert_eq!(plain("版本。第二"), "版本。\n第二");
    }
}
