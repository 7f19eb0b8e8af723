//! Shell command lines, cut into words by a bash parser: what runs, under what disguise, and what it reaches.

use std::collections::BTreeSet;

use brush_parser::word::{WordPiece, parse};
use brush_parser::{ParserOptions, Token, tokenize_str};

use super::Seen;
use crate::finding::{Confidence, Finding, Severity};
use crate::rule::Rule;

pub(super) static OBFUSCATED: Rule = Rule {
    id: "argument/shell-obfuscation",
    summary: "a command line hides which program it runs",
    severity: Severity::High,
    help: "write the program's name plainly",
};

pub(super) static DANGEROUS: Rule = Rule {
    id: "argument/shell-danger",
    summary: "a command line destroys, runs what it downloads or decodes, opens a way in, or touches credentials",
    severity: Severity::High,
    help: "run the steps one by one, so that each can be judged",
};

/// Bytes of one command line that the parser reads: its grammar is recursive.
const PARSED_BYTES_MAX: usize = 8 * 1024;
/// Nesting of parentheses and braces that the parser is given.
const NESTING_MAX: usize = 32;

/// Programs that run what they are given on stdin or as text.
const INTERPRETERS: [&str; 14] = [
    "sh",
    "bash",
    "zsh",
    "dash",
    "ksh",
    "fish",
    "python",
    "python3",
    "perl",
    "ruby",
    "node",
    "php",
    "powershell",
    "pwsh",
];
const DOWNLOADERS: [&str; 5] = ["curl", "wget", "fetch", "nc", "ncat"];
/// Credentials and doors, as they stand in command lines.
const TOUCHED: [&str; 22] = [
    ".ssh/",
    "id_rsa",
    "id_ed25519",
    ".aws/credentials",
    "/etc/shadow",
    "/etc/sudoers",
    "/etc/passwd",
    ".netrc",
    ".git-credentials",
    ".kube/config",
    ".gnupg",
    ".bash_history",
    "/dev/tcp/",
    "/dev/udp/",
    "docker.sock",
    "/proc/self/environ",
    "authorized_keys",
    ".npmrc",
    ".pgpass",
    "169.254.169.254",
    ".vault-token",
    "/root/",
];

/// What is suspicious in a command line.
pub(super) fn check(seen: &Seen<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(words) = touched(seen.text) {
        findings.push(seen.finding(&DANGEROUS, Confidence::High, &words));
    }
    if seen.text.len() > PARSED_BYTES_MAX || nesting(seen.text) > NESTING_MAX {
        findings.push(seen.finding(
            &OBFUSCATED,
            Confidence::Medium,
            "is too long or too deeply nested to be read",
        ));
        return findings;
    }
    let Ok(tokens) = tokenize_str(seen.text) else {
        findings.push(seen.finding(&OBFUSCATED, Confidence::Medium, "cannot be read as a command line"));
        return findings;
    };
    let commands = commands(&tokens);
    if let Some(words) = commands.iter().find_map(|command| disguise(command)) {
        findings.push(seen.finding(&OBFUSCATED, Confidence::High, words));
    }
    if let Some(words) = danger(&commands) {
        findings.push(seen.finding(&DANGEROUS, Confidence::High, words));
    }
    findings
}

/// Depth to which commands inside words of commands are read.
const SUBSTITUTIONS_MAX: usize = 8;
/// Words in the place of a program that only order others.
const ORDERING: [&str; 7] = ["fi", "done", "esac", "}", "for", "case", "select"];

/// The programs that a command line runs, without their folders, substitutions included. What a program starts in turn is not seen.
pub(super) fn programs(text: &str) -> Result<BTreeSet<String>, &'static str> {
    let mut found = BTreeSet::new();
    collect_programs(text, &mut found, SUBSTITUTIONS_MAX)?;
    Ok(found)
}

fn collect_programs(text: &str, found: &mut BTreeSet<String>, depth: usize) -> Result<(), &'static str> {
    const UNREADABLE: &str = "a command line cannot be read";
    let depth = depth.checked_sub(1).ok_or(UNREADABLE)?;
    let defines = ["<(", ">(", "()", "function "].iter().any(|form| text.contains(form));
    if text.len() > PARSED_BYTES_MAX || nesting(text) > NESTING_MAX || defines {
        return Err(UNREADABLE);
    }
    let tokens = tokenize_str(text).map_err(|_unread| UNREADABLE)?;
    for command in commands(&tokens) {
        let Some(name) = command.words.first() else { continue };
        let plain = plain_word(name)
            .filter(|plain| ["}", "[", "[["].contains(&plain.as_str()) || !plain.contains(['{', '*', '?', '[']));
        let plain = plain.ok_or("a command line hides which program it runs")?;
        if !ORDERING.contains(&plain.as_str()) {
            found.insert(base(&plain).to_owned());
        }
    }
    for token in &tokens {
        if let Token::Word(word, _) = token
            && word.contains(['$', '`'])
        {
            // The default of an expansion, or a term of a sum, may be a command again.
            let without_sums = word.replace("$((", "");
            if (word.contains("${") || word.contains("$(("))
                && without_sums.contains(['`']) | without_sums.contains("$(")
            {
                return Err(UNREADABLE);
            }
            let pieces = parse(word, &ParserOptions::default()).map_err(|_unread| UNREADABLE)?;
            pieces
                .iter()
                .try_for_each(|piece| collect_substituted(&piece.piece, found, depth))?;
        }
    }
    Ok(())
}

fn collect_substituted(piece: &WordPiece, found: &mut BTreeSet<String>, depth: usize) -> Result<(), &'static str> {
    match piece {
        WordPiece::CommandSubstitution(inner) | WordPiece::BackquotedCommandSubstitution(inner) => {
            collect_programs(inner, found, depth)
        }
        WordPiece::DoubleQuotedSequence(pieces) | WordPiece::GettextDoubleQuotedSequence(pieces) => pieces
            .iter()
            .try_for_each(|piece| collect_substituted(&piece.piece, found, depth)),
        _ => Ok(()),
    }
}

/// A word as the shell reads it, where that needs nothing but taking its quotes off.
fn plain_word(word: &str) -> Option<String> {
    let pieces = parse(word, &ParserOptions::default()).ok()?;
    pieces.iter().map(|piece| plain_piece(&piece.piece)).collect()
}

fn plain_piece(piece: &WordPiece) -> Option<String> {
    match piece {
        WordPiece::Text(text) | WordPiece::SingleQuotedText(text) => Some(text.clone()),
        WordPiece::EscapeSequence(text) => Some(text.trim_start_matches('\\').to_owned()),
        WordPiece::DoubleQuotedSequence(pieces) => pieces.iter().map(|piece| plain_piece(&piece.piece)).collect(),
        _ => None,
    }
}

fn touched(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let plain = crate::text::plain(text);
    TOUCHED
        .iter()
        .find(|part| lower.contains(**part) || plain.contains(**part))
        .map(|part| format!("touches `{part}`"))
}

fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'(' | b'{' => depth += 1,
            b')' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest.max(text.matches('`').count() / 2)
}

/// One simple command: the operator in front of it and its words as written.
#[derive(Debug, Default)]
struct Command<'a> {
    operator: &'a str,
    words: Vec<&'a str>,
    assigns: bool,
}

fn commands(tokens: &[Token]) -> Vec<Command<'_>> {
    let mut all = vec![Command::default()];
    let mut redirects = false;
    for token in tokens {
        match token {
            Token::Operator(operator, _) => {
                redirects = operator.contains(['<', '>']);
                if !redirects {
                    all.push(Command {
                        operator: operator.as_str(),
                        ..Command::default()
                    });
                }
            }
            Token::Word(word, _) => {
                let Some(last) = all.last_mut() else { continue };
                let is_assignment = word.split_once('=').is_some_and(|(name, _)| {
                    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                });
                let is_reserved =
                    ["then", "do", "else", "if", "while", "{", "!", "time", "elif", "until"].contains(&word.as_str());
                if redirects {
                    redirects = false;
                } else if last.words.is_empty() && is_assignment {
                    last.assigns = true;
                } else if !(last.words.is_empty() && is_reserved) {
                    last.words.push(word);
                }
            }
        }
    }
    all
}

/// How the program's name is disguised, if it is.
fn disguise(command: &Command<'_>) -> Option<&'static str> {
    let name = command.words.first()?;
    if !name.is_ascii() {
        return Some("has a program's name in letters that only look Latin");
    }
    if name.contains('{') && name.contains(',') {
        return Some("builds a program's name by brace expansion");
    }
    let pieces = parse(name, &ParserOptions::default()).ok()?;
    let mut texts = 0;
    for piece in &pieces {
        match &piece.piece {
            WordPiece::CommandSubstitution(_) | WordPiece::BackquotedCommandSubstitution(_) => {
                return Some("runs the output of another command");
            }
            WordPiece::ParameterExpansion(_) => return Some("takes a program's name from a variable"),
            WordPiece::AnsiCQuotedText(_) => return Some("writes a program's name in escapes"),
            WordPiece::EscapeSequence(_) => return Some("breaks a program's name with a backslash"),
            WordPiece::Text(_) | WordPiece::SingleQuotedText(_) | WordPiece::DoubleQuotedSequence(_) => texts += 1,
            _ => {}
        }
    }
    (texts > 1).then_some("breaks a program's name with quotes")
}

fn danger(commands: &[Command<'_>]) -> Option<&'static str> {
    for (index, command) in commands.iter().enumerate() {
        let name = program(command);
        let before = index.checked_sub(1).and_then(|before| commands.get(before));
        let piped_from = before.filter(|_| command.operator == "|").map(program);
        if INTERPRETERS.contains(&name)
            && piped_from.is_some_and(|from| {
                DOWNLOADERS.contains(&from) || matches!(from, "base64" | "xxd" | "openssl" | "gunzip")
            })
        {
            return Some("runs what it downloads or decodes");
        }
        if INTERPRETERS.contains(&name)
            && command
                .words
                .iter()
                .any(|word| word.contains("$(curl") || word.contains("$(wget") || word.contains("<(curl"))
        {
            return Some("runs what it downloads or decodes");
        }
        if let Some(words) = dangerous_program(name, command) {
            return Some(words);
        }
        if DOWNLOADERS.contains(&name) && sends(command, piped_from) {
            return Some("sends local data to another host");
        }
    }
    None
}

fn dangerous_program(name: &str, command: &Command<'_>) -> Option<&'static str> {
    let words = || command.words.iter().skip(1);
    let flag =
        |letter: char| words().any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(letter));
    match name {
        "rm" if (flag('r') || flag('R') || words().any(|word| *word == "--recursive"))
            && words().any(|word| is_broad(word)) =>
        {
            Some("deletes folders it was not given")
        }
        "mkfs" | "shutdown" | "reboot" | "halt" | "insmod" | "modprobe" | "visudo" => {
            Some("changes the machine itself")
        }
        "dd" if words().any(|word| word.starts_with("of=/dev/")) => Some("overwrites a device"),
        "chmod" if words().any(|word| matches!(*word, "777" | "0777" | "a+rwx" | "+s" | "u+s" | "4755")) => {
            Some("takes away protection")
        }
        "eval" => Some("runs text as a command"),
        "nc" | "ncat" | "socat"
            if words().any(|word| {
                matches!(*word, "-e" | "-c" | "-l" | "-lvp" | "-lp" | "-lvnp")
                    || word.to_ascii_lowercase().contains("exec:")
            }) =>
        {
            Some("opens a way in")
        }
        "crontab" if !flag('l') => Some("has something run later"),
        _ => None,
    }
}

/// Deleting these is never a clean-up of one's own.
fn is_broad(word: &str) -> bool {
    let path = word.trim_matches(['"', '\'']);
    if path.starts_with('-') {
        return false;
    }
    let parts = path.split('/').filter(|part| !part.is_empty()).count();
    matches!(path, "*" | "." | ".." | "~" | "~/" | "/" | "/*" | "~/*" | "$HOME")
        || path.starts_with('/') && !path.starts_with("/tmp/") && parts <= 2
        || path.starts_with("/home/") && parts <= 3
        || path.starts_with("$HOME")
        || path.starts_with("~/.")
}

/// Whether a downloader uploads: a file, another command's output, or the environment.
fn sends(command: &Command<'_>, piped_from: Option<&str>) -> bool {
    let words = || command.words.iter().skip(1);
    let from_stdin = words().any(|word| matches!(*word, "@-" | "-"));
    words().any(|word| {
        matches!(*word, "--upload-file" | "-T" | "--post-file")
            || word.starts_with("@/")
            || word.starts_with("@~")
            || word.contains("=@/")
            || word.contains("=@~")
    }) || words().any(|word| word.contains("://") && (word.contains("$(") || word.contains('`')))
        || piped_from.is_some_and(|from| matches!(from, "env" | "printenv" | "cat" | "tar" | "base64"))
            && (from_stdin || program(command) == "nc")
}

fn program<'a>(command: &Command<'a>) -> &'a str {
    base(command.words.first().copied().unwrap_or_default())
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}
