//! Policy files: cut into policies that know their file and line.

use std::str::FromStr as _;

use cedar_policy::{Policy, PolicyId, PolicySet};

use super::PolicyError;

/// Bytes of one policy file.
pub const POLICY_FILE_BYTES_MAX: usize = 1024 * 1024;
/// Policies of all layers together.
const POLICIES_MAX: usize = 10_000;

/// The policies that ship inside the program: name and text of each file.
pub const DEFAULT_POLICIES: &[(&str, &str)] = &[("default.cedar", include_str!("../../policies/default.cedar"))];

/// Whose policies they are, from the top. Every layer that has policies must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The organisation's: a folder that only root can write.
    Organisation,
    /// The user's, with what ships in the program.
    User,
    /// A project's, where its digest was accepted.
    Project,
}

impl Layer {
    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::User => "user",
            Self::Project => "project",
        }
    }
}

/// One file of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// Whose it is.
    pub layer: Layer,
    /// How it is named to people.
    pub name: String,
    /// Cedar.
    pub text: String,
}

/// One policy and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Sourced {
    pub(super) layer: Layer,
    pub(super) policy: Policy,
}

/// The policies of all files, each with `file:line` as its id.
pub(super) fn policies(files: &[PolicyFile]) -> Result<Vec<Sourced>, PolicyError> {
    let mut all = Vec::new();
    for file in files {
        if file.text.len() > POLICY_FILE_BYTES_MAX {
            return Err(too_much(&file.name, format!("more than {POLICY_FILE_BYTES_MAX} bytes")));
        }
        all.extend(policies_of(file)?);
        if all.len() > POLICIES_MAX {
            return Err(too_much(
                &file.name,
                format!("more than {POLICIES_MAX} policies with the files before it"),
            ));
        }
    }
    Ok(all)
}

fn too_much(place: &str, what: String) -> PolicyError {
    PolicyError::TooMuch {
        place: place.to_owned(),
        what,
    }
}

/// Cedar reads the file once, as a whole. It must find the very texts that we cut out of it: a policy that we lost would be one that does not
/// forbid, and one under another's line would be looked for in the wrong place.
fn policies_of(file: &PolicyFile) -> Result<Vec<Sourced>, PolicyError> {
    let cut = placed(file);
    let whole = match PolicySet::from_str(&file.text) {
        Ok(whole) if whole.num_of_policies() == cut.len() && whole.num_of_templates() == 0 => whole,
        whole => return Err(fault(file, &cut, whole.err())),
    };
    let mut all = Vec::with_capacity(cut.len());
    for (index, (place, text)) in cut.iter().enumerate() {
        let found = whole.policy(&PolicyId::new(format!("policy{index}")));
        match found.filter(|policy| policy.to_cedar().is_some_and(|found| found.trim() == text.trim())) {
            Some(policy) => all.push(Sourced {
                layer: file.layer,
                policy: policy.new_id(PolicyId::new(place)),
            }),
            None => return Err(fault(file, &cut, None)),
        }
    }
    Ok(all)
}

/// The statements of a file, each with `file:line`, and a number where several begin on one line.
fn placed(file: &PolicyFile) -> Vec<(String, &str)> {
    let (mut last_line, mut on_line) = (0, 0);
    let placed = statements(&file.text).into_iter().map(|(line, text)| {
        on_line = if line == last_line { on_line + 1 } else { 1 };
        last_line = line;
        let mut place = format!("{}:{line}", file.name);
        if on_line > 1 {
            place.push_str(&format!(".{on_line}"));
        }
        (place, text)
    });
    placed.collect()
}

/// What is wrong with a file: the first statement that is no policy, or that the whole reads differently.
fn fault(file: &PolicyFile, cut: &[(String, &str)], whole: Option<cedar_policy::ParseErrors>) -> PolicyError {
    for (place, text) in cut {
        if let Err(error) = Policy::parse(Some(PolicyId::new(place)), *text) {
            return PolicyError::Syntax {
                place: place.clone(),
                cause: words(&error),
            };
        }
    }
    let differently = "the file reads differently as a whole than policy by policy; write one policy after the other";
    PolicyError::Syntax {
        place: file.name.clone(),
        cause: whole.map_or_else(|| differently.to_owned(), |error| words(&error)),
    }
}

/// Cedar's errors, in one line.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_words = next.to_string();
        if !words.contains(&next_words) {
            words = format!("{words}: {next_words}");
        }
        cause = next.source();
    }
    words
}

/// Where a scanner of Cedar text is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scan {
    Code,
    Text { is_escaped: bool },
    Comment,
}

/// Statements of a Cedar file with the line on which each begins. Comments before one are left out, so that the line is the policy's own.
fn statements(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut scan, mut line, mut begin) = (Scan::Code, 1, None);
    let mut before = '\0';
    for (at, character) in text.char_indices() {
        match (scan, character) {
            (Scan::Comment, '\n') => scan = Scan::Code,
            (Scan::Comment, _) => {}
            (Scan::Text { is_escaped: false }, '"') => scan = Scan::Code,
            (Scan::Text { is_escaped }, _) => {
                scan = Scan::Text {
                    is_escaped: character == '\\' && !is_escaped,
                };
            }
            (Scan::Code, '/') if before == '/' => {
                scan = Scan::Comment;
                // The first stroke was taken for the beginning of a statement.
                begin = begin.filter(|(_, start)| at.checked_sub(1) != Some(*start));
            }
            (Scan::Code, _) if character.is_whitespace() => {}
            (Scan::Code, _) => {
                let (began_on, start) = *begin.get_or_insert((line, at));
                if character == '"' {
                    scan = Scan::Text { is_escaped: false };
                } else if character == ';' {
                    found.push((began_on, text.get(start..=at).unwrap_or_default()));
                    begin = None;
                }
            }
        }
        line += usize::from(character == '\n');
        before = if scan == Scan::Code { character } else { '\0' };
    }
    if let Some((began_on, start)) = begin {
        found.push((began_on, text.get(start..).unwrap_or_default()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Layer, PolicyFile, policies, statements};

    fn file(text: &str) -> PolicyFile {
        PolicyFile {
            layer: Layer::User,
            name: "x.cedar".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_policy_knows_its_line() {
        let text = "// a; comment\n@id(\"a;b\")\npermit(principal,action,resource);\n\n/* */".replace("/* */", "")
            + "// \" ;\nforbid(principal,action,resource) when { \"//;\\\"\" == \"\\\\\" }; permit(principal, action, resource);";
        let lines: Vec<usize> = statements(&text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [2, 6, 6]);
        let all = policies(&[file(&text)]).unwrap();
        assert_eq!(all[0].policy.id().to_string(), "x.cedar:2");
    }

    #[test]
    fn two_policies_on_one_line_have_two_ids() {
        let all = policies(&[file(
            "permit(principal,action,resource);forbid(principal,action,resource);",
        )])
        .unwrap();
        assert_ne!(all[0].policy.id(), all[1].policy.id());
    }

    #[test]
    fn what_is_no_cedar_is_named_with_its_place() {
        let error = policies(&[file("permit(principal,action,resource);\nforbid(principal;")]).unwrap_err();
        assert!(error.to_string().starts_with("`x.cedar:2`: "), "{error}");
        let template = policies(&[file("permit(principal == ?principal,action,resource);")]).unwrap_err();
        assert!(template.to_string().starts_with("`x.cedar:1`: "), "{template}");
    }
}
