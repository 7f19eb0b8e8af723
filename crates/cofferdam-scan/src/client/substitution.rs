//! What clients put in place of parts of a launch line: `${VAR:-default}`, `${env:VAR}`, `${input:id}`, `$VAR`, `{env:VAR}` and the like.

/// How a client marks what it substitutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// It substitutes nothing: what looks like a mark is text.
    None,
    /// `${…}`, `${{ … }}` among them.
    Braces,
    /// `${…}` and `$NAME`.
    Dollar,
    /// `{env:NAME}` and `{file:PATH}`.
    Plain,
}

/// One part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// What stands there.
    Text(&'a str),
    /// A variable of the client's environment, and what is put in where it is not set.
    Variable(&'a str, Option<&'a str>),
    /// The user's home folder.
    Home,
    /// The folder of the project that the client has open.
    Project,
    /// The separator of paths.
    Separator,
    /// What only the client knows, as it is written: an input, a store, a file.
    Open(&'a str),
}

/// The parts of a text, in their order.
#[must_use]
pub fn pieces(text: &str, marks: Marks) -> Vec<Piece<'_>> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((before, piece, after)) = next(rest, marks) {
        if !before.is_empty() {
            found.push(Piece::Text(before));
        }
        found.push(piece);
        rest = after;
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    found
}

/// The first mark: what stands before it, what it is, what stands behind it.
fn next(text: &str, marks: Marks) -> Option<(&str, Piece<'_>, &str)> {
    let mark = match marks {
        Marks::None => return None,
        Marks::Braces | Marks::Dollar => '$',
        Marks::Plain => '{',
    };
    text.char_indices()
        .filter(|(_, letter)| *letter == mark)
        .find_map(|(at, _)| {
            let (before, rest) = text.split_at_checked(at)?;
            let (piece, after) = match marks {
                Marks::Plain => plain(rest)?,
                _ => braces(rest).or_else(|| named(rest).filter(|_| marks == Marks::Dollar))?,
            };
            Some((before, piece, after))
        })
}

/// `${{ … }}` and `${…}`.
fn braces(text: &str) -> Option<(Piece<'_>, &str)> {
    if let Some(inner) = text.strip_prefix("${{") {
        let end = inner.find("}}")?.checked_add("${{}}".len())?;
        let (whole, after) = text.split_at_checked(end)?;
        return Some((Piece::Open(whole), after));
    }
    let (inner, after) = text.strip_prefix("${")?.split_once('}')?;
    let whole = text.get(..text.len().checked_sub(after.len())?)?;
    let piece = match inner {
        "userHome" => Piece::Home,
        "workspaceFolder" | "workspaceRoot" => Piece::Project,
        "/" | "pathSeparator" => Piece::Separator,
        _ => variable(inner.strip_prefix("env:").unwrap_or(inner)).unwrap_or(Piece::Open(whole)),
    };
    Some((piece, after))
}

/// `NAME` or `NAME:-default`.
fn variable(inner: &str) -> Option<Piece<'_>> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    is_name(name).then_some(Piece::Variable(name, default))
}

/// `$NAME`.
fn named(text: &str) -> Option<(Piece<'_>, &str)> {
    let rest = text.strip_prefix('$')?;
    let end = rest.find(|letter: char| !is_letter(letter)).unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end)?;
    is_name(name).then_some((Piece::Variable(name, None), after))
}

/// `{env:NAME}` and `{file:PATH}`.
fn plain(text: &str) -> Option<(Piece<'_>, &str)> {
    let (inner, after) = text.strip_prefix('{')?.split_once('}')?;
    let whole = text.get(..text.len().checked_sub(after.len())?)?;
    let piece = match inner.split_once(':')? {
        ("env", name) if is_name(name) => Piece::Variable(name, None),
        ("env" | "file", _) => Piece::Open(whole),
        _ => return None,
    };
    Some((piece, after))
}

fn is_letter(letter: char) -> bool {
    letter == '_' || letter.is_ascii_alphanumeric()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_letter) && !name.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{Marks, Piece, pieces};

    #[test]
    fn each_form_is_told_apart() {
        for (text, marks, expected) in [
            ("plain $5 text", Marks::Dollar, vec![Piece::Text("plain $5 text")]),
            ("${A}", Marks::None, vec![Piece::Text("${A}")]),
            (
                "--x=${A:-/b c}/y",
                Marks::Braces,
                vec![
                    Piece::Text("--x="),
                    Piece::Variable("A", Some("/b c")),
                    Piece::Text("/y"),
                ],
            ),
            (
                "${env:A}${workspaceFolder}${/}${userHome}",
                Marks::Braces,
                vec![
                    Piece::Variable("A", None),
                    Piece::Project,
                    Piece::Separator,
                    Piece::Home,
                ],
            ),
            (
                "${input:key}${{ secrets.K }}${workspaceFolder:two}",
                Marks::Braces,
                vec![
                    Piece::Open("${input:key}"),
                    Piece::Open("${{ secrets.K }}"),
                    Piece::Open("${workspaceFolder:two}"),
                ],
            ),
            ("$A/$", Marks::Braces, vec![Piece::Text("$A/$")]),
            (
                "$A/$",
                Marks::Dollar,
                vec![Piece::Variable("A", None), Piece::Text("/$")],
            ),
            (
                "{x}{env:A}-{file:~/k}",
                Marks::Plain,
                vec![
                    Piece::Text("{x}"),
                    Piece::Variable("A", None),
                    Piece::Text("-"),
                    Piece::Open("{file:~/k}"),
                ],
            ),
            ("${unclosed", Marks::Braces, vec![Piece::Text("${unclosed")]),
            (
                "a${ü}b",
                Marks::Braces,
                vec![Piece::Text("a"), Piece::Open("${ü}"), Piece::Text("b")],
            ),
        ] {
            assert_eq!(pieces(text, marks), expected, "{text}");
        }
    }
}
