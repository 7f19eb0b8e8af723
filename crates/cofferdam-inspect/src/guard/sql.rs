//! SQL, read by a real parser: how many statements, of what class, and what they reach outside the database.

use std::collections::BTreeSet;

use sqlparser::ast::Statement;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

use super::Seen;
use crate::finding::{Confidence, Finding, Severity};
use crate::rule::Rule;

pub(super) static STACKED: Rule = Rule {
    id: "argument/sql-stacked",
    summary: "SQL holds several statements or leaves its transaction, or a name holds SQL",
    severity: Severity::High,
    help: "send one statement a call; names of tables and columns are letters, digits and underscores",
};

pub(super) static DANGEROUS: Rule = Rule {
    id: "argument/sql-danger",
    summary: "SQL reads or writes files, runs programs, or changes data through a tool that only reads",
    severity: Severity::High,
    help: "use a tool that is meant to change data, with a policy of its own",
};

/// Functions and words that reach out of the database.
const REACHING_OUT: [&str; 26] = [
    "load_file",
    "pg_read_file",
    "pg_read_binary_file",
    "pg_ls_dir",
    "pg_write_file",
    "lo_import",
    "lo_export",
    "dblink",
    "dblink_connect",
    "xp_cmdshell",
    "xp_dirtree",
    "sp_oacreate",
    "openrowset",
    "opendatasource",
    "utl_http",
    "utl_file",
    "dbms_xslprocessor",
    "readfile",
    "writefile",
    "load_extension",
    "edit",
    "sys_exec",
    "sys_eval",
    "read_text",
    "read_blob",
    "pg_execute_server_program",
];

/// The classes of every statement in a text.
pub(super) fn classes(text: &str) -> Result<BTreeSet<&'static str>, &'static str> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize();
    let tokens = tokens.map_err(|_uncut| "a statement cannot be read as SQL")?;
    let mut classes = BTreeSet::new();
    for statement in pieces(&tokens) {
        let first = first_word(&statement).unwrap_or_default();
        let class = class(&first);
        classes.insert(class);
        // A query can write inside or behind itself; a column of such a name costs no more than a question.
        let writes = |token: &&Token| {
            matches!(token, Token::Word(word) if word.quote_style.is_none()
                && WRITING_INSIDE.iter().any(|write| word.value.eq_ignore_ascii_case(write)))
        };
        if class == "read" && statement.iter().any(writes) {
            classes.insert("write");
        }
    }
    if reaching_out(&tokens, text).is_some() {
        classes.insert("outside");
    }
    Ok(classes)
}

/// Words that make a query one that writes, wherever they stand in it.
const WRITING_INSIDE: [&str; 5] = ["insert", "update", "delete", "merge", "into"];

fn class(first: &str) -> &'static str {
    match first {
        "insert" | "update" | "delete" | "merge" | "replace" | "upsert" | "copy" | "load" => "write",
        "create" | "alter" | "drop" | "truncate" | "rename" | "comment" | "reindex" | "vacuum" => "schema",
        "grant" | "revoke" | "deny" => "rights",
        "begin" | "start" | "commit" | "rollback" | "end" | "abort" | "savepoint" | "release" => "transaction",
        // Of SQLite, where it sets as well.
        "pragma" | "use" => "other",
        _ if reads(first) => "read",
        _ => "other",
    }
}

/// What is suspicious in a statement for a tool that may only read or not.
pub(super) fn check(seen: &Seen<'_>, is_read_only: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let dialect = GenericDialect {};
    let Ok(tokens) = Tokenizer::new(&dialect, seen.text).tokenize() else {
        // What cannot be cut into tokens is read by a database in its own way.
        let mut finding = seen.finding(&STACKED, Confidence::Low, "cannot be read as SQL");
        finding.severity = if is_read_only { Severity::High } else { Severity::Medium };
        return vec![finding];
    };
    if let Some(words) = reaching_out(&tokens, seen.text) {
        findings.push(seen.finding(&DANGEROUS, Confidence::High, words));
    }
    let statements = pieces(&tokens);
    let firsts: Vec<String> = statements
        .iter()
        .filter_map(|statement| first_word(statement))
        .collect();
    let leaves = firsts
        .iter()
        .any(|word| ["commit", "rollback", "begin", "end", "start", "savepoint", "abort"].contains(&word.as_str()));
    if firsts.len() > 1 && (leaves || is_read_only) {
        findings.push(seen.finding(&STACKED, Confidence::High, "holds several statements"));
    } else if firsts.len() > 1 {
        let mut finding = seen.finding(&STACKED, Confidence::High, "holds several statements");
        let first_reads = firsts.first().is_some_and(|word| reads(word));
        let later_writes = firsts.iter().skip(1).any(|word| !reads(word));
        finding.severity = if first_reads && later_writes {
            Severity::High
        } else {
            Severity::Medium
        };
        findings.push(finding);
    }
    if is_read_only && (firsts.iter().any(|word| !reads(word)) || writes_inside(seen.text)) {
        findings.push(seen.finding(
            &DANGEROUS,
            Confidence::High,
            "changes data through a tool that only reads",
        ));
    }
    findings
}

/// A table, column or schema: a name, perhaps qualified or quoted.
pub(super) fn check_identifier(seen: &Seen<'_>) -> Vec<Finding> {
    let text = seen.text.trim();
    let unquoted: String = text
        .chars()
        .filter(|character| !matches!(character, '"' | '`' | '[' | ']'))
        .collect();
    let is_name = unquoted.chars().all(|character| {
        character.is_alphanumeric()
            || matches!(
                character,
                '_' | '.' | '$' | '-' | ' ' | ':' | '/' | '*' | ',' | '@' | '#' | '%'
            )
    });
    let comments = text.contains("--") || text.contains("/*");
    if is_name && !comments {
        return Vec::new();
    }
    super::identifier::check(seen)
        .into_iter()
        .chain([seen.finding(&STACKED, Confidence::High, "is not a name")])
        .collect()
}

fn reads(word: &str) -> bool {
    [
        "select",
        "with",
        "show",
        "describe",
        "desc",
        "explain",
        "values",
        "pragma",
        "table",
        "from",
        "summarize",
        "list",
        "use",
    ]
    .contains(&word)
}

/// Whether a parsed query writes somewhere inside (`WITH x AS (DELETE …)`, `SELECT … INTO`).
fn writes_inside(sql: &str) -> bool {
    let Ok(statements) = Parser::parse_sql(&GenericDialect {}, sql) else {
        return false;
    };
    statements.iter().any(|statement| match statement {
        Statement::Query(query) => {
            let words = query.to_string().to_ascii_uppercase();
            ["(DELETE ", "(INSERT ", "(UPDATE ", "(MERGE "]
                .iter()
                .any(|write| words.contains(write))
                || words.contains(" INTO ")
        }
        Statement::Explain { analyze, statement, .. } => *analyze && !matches!(**statement, Statement::Query(_)),
        _ => false,
    })
}

/// Statements as runs of tokens between semicolons, without comments and space.
fn pieces(tokens: &[Token]) -> Vec<Vec<&Token>> {
    let mut all = vec![Vec::new()];
    for token in tokens {
        match token {
            Token::SemiColon => all.push(Vec::new()),
            Token::Whitespace(_) | Token::EOF => {}
            other => {
                if let Some(last) = all.last_mut() {
                    last.push(other);
                }
            }
        }
    }
    all.retain(|piece| !piece.is_empty());
    all
}

fn first_word(piece: &[&Token]) -> Option<String> {
    piece.iter().find_map(|token| match token {
        Token::Word(word) => Some(word.value.to_ascii_lowercase()),
        Token::LParen => None,
        _ => Some(String::new()),
    })
}

fn reaching_out(tokens: &[Token], text: &str) -> Option<&'static str> {
    let hidden = tokens.iter().any(
        |token| matches!(token, Token::Whitespace(Whitespace::MultiLineComment(comment)) if comment.starts_with('!')),
    );
    if hidden || text.contains("/*!") {
        return Some("holds a comment that some databases run");
    }
    let words: Vec<String> = tokens
        .iter()
        .filter_map(|token| match token {
            Token::Word(word) => Some(word.value.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if words.iter().any(|word| REACHING_OUT.contains(&word.as_str())) {
        return Some("reaches files or programs outside the database");
    }
    let pair = |first: &str, second: &[&str]| {
        words
            .windows(2)
            .any(|two| matches!(two, [a, b] if a == first && second.contains(&b.as_str())))
    };
    let copies = words.first().is_some_and(|word| word == "copy")
        && words
            .iter()
            .any(|word| ["program", "from", "to"].contains(&word.as_str()));
    // SQLite wants no `DATABASE` behind `ATTACH`, and `VACUUM INTO` writes a file; DuckDB installs and loads code.
    let begins_outside = pieces(tokens).iter().any(|statement| {
        let first = first_word(statement).unwrap_or_default();
        let goes_into = || {
            statement
                .iter()
                .any(|token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case("into")))
        };
        ["attach", "install", "load", "export", "import"].contains(&first.as_str()) || first == "vacuum" && goes_into()
    });
    (pair("into", &["outfile", "dumpfile"])
        || copies
        || begins_outside
        || pair("attach", &["database"])
        || pair("load", &["data", "extension"]))
    .then_some("reaches files or programs outside the database")
}
