//! Names of tools that could be taken for another's: within one server, and across the servers of one user.

use crate::finding::{Confidence, Finding, Severity, show_safely};
use crate::rule::Rule;
use crate::text::plain;

pub(crate) static RULE: Rule = Rule {
    id: "tool/look-alike-name",
    summary: "a tool's name reads like another tool's and is spelled differently, or is the same as another server's",
    severity: Severity::High,
    help: "accept only one of the two; who calls the other by mistake hands it the arguments",
};

/// The rules about names, in the order they are documented.
pub(crate) static RULES: &[&Rule] = &[&RULE];

/// What is suspicious about the name `tool` beside `others`: each the name of a server, empty for the tool's own, and of one of its tools.
///
/// Another server's tool of the very name, or one that differs in case and separators alone, is usual and only `low`; a name that
/// reads the same in other letters is made to be taken for the other.
#[must_use]
pub fn look_alikes<'a>(tool: &str, others: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Finding> {
    let (seen, spelled) = (skeleton(tool), spelling(tool));
    let mut findings = Vec::new();
    for (server, other) in others {
        if skeleton(other) != seen || server.is_empty() && (other == tool || spelling(other) == spelled) {
            continue;
        }
        let whose = if server.is_empty() {
            "of the same server".to_owned()
        } else {
            format!("of `{}`", show_safely(server))
        };
        let is_usual = spelling(other) == spelled;
        let words = if is_usual { "is called like" } else { "looks like" };
        let evidence = format!("{words} `{}` {whose}", show_safely(other));
        let mut finding = Finding::new(&RULE, Confidence::High, "/name", evidence);
        if is_usual {
            finding.severity = Severity::Low;
        }
        findings.push(finding);
    }
    findings
}

/// A name without case and separators.
fn spelling(name: &str) -> String {
    let letters = name
        .chars()
        .filter(|character| !matches!(character, '_' | '-' | '.' | '/'));
    letters.map(|character| character.to_ascii_lowercase()).collect()
}

/// A name as it looks: one letter for all that cannot be told apart at a glance.
fn skeleton(name: &str) -> String {
    // A Latin word beside it has look-alikes folded even in a name of foreign letters alone.
    let plain = plain(&format!("aaaaaaaaaaaaaaaa{}", spelling(name)));
    plain
        .chars()
        .skip(16)
        .filter(|character| !character.is_whitespace())
        .map(|character| match character {
            '0' => 'o',
            '1' | 'i' | '|' => 'l',
            '5' => 's',
            other => other,
        })
        .collect::<String>()
        .replace("rn", "m")
        .replace("vv", "w")
}

#[cfg(test)]
mod tests {
    use super::look_alikes;

    #[test]
    fn what_reads_alike_in_other_letters_is_told_from_what_is_only_called_alike() {
        for disguised in [
            "re\u{430}d_file",
            "read_fi1e",
            "rea\u{200b}d_file",
            "\u{ff52}ead_file",
            "read_fiIe",
        ] {
            let findings = look_alikes(disguised, [("files", "read_file")]);
            assert!(
                findings.iter().any(|finding| finding.blocks_by_default()),
                "{disguised}: {findings:?}"
            );
            assert!(
                look_alikes(disguised, [("", "read_file")])
                    .iter()
                    .any(|finding| finding.blocks_by_default())
            );
        }
        for usual in ["read_file", "readFile", "ReadFile", "read-file"] {
            let findings = look_alikes(usual, [("files", "read_file")]);
            assert_eq!(findings.len(), 1, "{usual}");
            assert!(findings.iter().all(|finding| !finding.blocks_by_default()), "{usual}");
            assert!(look_alikes(usual, [("", "read_file")]).is_empty(), "{usual}");
        }
        for other in [
            "read_files",
            "read",
            "write_file",
            "\u{447}\u{438}\u{442}\u{430}\u{442}\u{44c}",
            "",
        ] {
            assert!(look_alikes(other, [("files", "read_file")]).is_empty(), "{other}");
        }
    }
}
