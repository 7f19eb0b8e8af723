//! A text as a model reads it: one spelling for what looks alike, nothing hidden, cut into sentences.

use unicode_normalization::UnicodeNormalization as _;

use crate::finding::is_invisible;

pub(crate) mod encoded;
pub(crate) mod hidden;

/// Characters of one text that are read; more is read by nobody, and a finding says that it was not inspected.
pub(crate) const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Single letters in a row, with something between them, that are taken for a spaced-out word.
const SPACED_LETTERS_MIN: usize = 5;
/// Share of ASCII letters, in percent, from which a word of foreign look-alikes is taken for a disguised Latin one.
const LATIN_PERCENT_MIN: usize = 60;

/// `text` lowercased, in compatibility form without marks, look-alikes folded into Latin where the word is Latin, whitespace
/// collapsed to single spaces, sentence ends written as newlines.
pub(crate) fn plain(text: &str) -> String {
    if text.is_ascii() {
        let flat = sentences(
            text.bytes().map(|byte| char::from(byte.to_ascii_lowercase())),
            text.len(),
        );
        return joined_letters(flat);
    }
    let visible = text.chars().filter(|character| !is_invisible(*character));
    let folded: String = visible
        .nfkd()
        .filter(|character| !is_mark(*character))
        .flat_map(char::to_lowercase)
        .map(straight)
        .collect();
    let latin = latin_look(&folded);
    joined_letters(sentences(latin.chars(), latin.len()))
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

/// Collapses whitespace and ends sentences with a newline.
fn sentences(characters: impl Iterator<Item = char>, bytes: usize) -> String {
    let mut out = String::with_capacity(bytes);
    let mut characters = characters.peekable();
    let (mut last, mut word) = ('\n', 0_usize);
    while let Some(character) = characters.next() {
        if character.is_ascii_lowercase() {
            // Most characters: nothing ends or begins with them.
            out.push(character);
            word = if last == '.' { 1 } else { word + 1 };
            last = character;
            continue;
        }
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
            if matches!(character, '\u{3002}' | '\u{ff01}' | '\u{ff1f}' | '\u{964}') || character == ';' {
                out.push('\n');
            }
        }
        if !matches!(character, '.' | '!' | '?') {
            // `e.g.` ends no sentence: what counts is the last piece.
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

/// What begins a paragraph or an item of a list after a line break.
fn starts_item(character: char) -> bool {
    matches!(character, '\n' | '\r' | '-' | '*' | '#' | '<' | '\u{2022}') || character.is_ascii_digit()
}

/// Foreign letters that look Latin, inside words that are otherwise Latin or in a text that is.
fn latin_look(text: &str) -> String {
    if !text.chars().any(|character| latin_twin(character).is_some()) {
        return text.to_owned();
    }
    let letters = text.chars().filter(|character| character.is_alphabetic()).count();
    let ascii = text.chars().filter(char::is_ascii_alphabetic).count();
    let latin_text = ascii * 100 >= letters * LATIN_PERCENT_MIN;
    text.split_inclusive(|character: char| !character.is_alphabetic())
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
    // What nearly no window has comes first: this runs over every byte.
    let is_spaced = |window: &[u8]| {
        matches!(window, [a, b, c, d, e, f, g, h, i]
            if b == d && d == f && f == h && matches!(b, b' ' | b'.' | b'-' | b'_' | b'*')
                && [a, c, e, g, i].iter().all(|byte| byte.is_ascii_alphabetic()))
    };
    if !text.as_bytes().windows(2 * SPACED_LETTERS_MIN - 1).any(is_spaced) {
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
    use super::plain;

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
