//! The tests that documents name, as `file::function`: each is there and is a test, and every probe of the escape battery names one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

/// Where tests are named, beside every document in `docs/`.
const BESIDE: [&str; 1] = ["ARCHITECTURE.md"];
/// A row for each probe, with the test that shows it refused.
const PROBES: &str = "docs/probes.md";
/// How many probes the battery has.
const PROBE_COUNT: usize = 82;

/// Fails for every test that a document names and that is none, and for every probe without a row that names one.
///
/// # Errors
/// The names that lead nowhere; a document cannot be read; no document names a test at all.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let (mut named, mut wrong) = (0, Vec::new());
    for path in documents(workspace.root())? {
        let text = read(workspace.root(), &path)?;
        for reference in references(&text) {
            named += 1;
            if let Err(why) = is_a_test(workspace.root(), reference) {
                wrong.push(format!("{path}: `{reference}` {why}"));
            }
        }
        if path == PROBES {
            wrong.extend(missing_probes(&text).map(|number| format!("{path}: probe {number} names no test")));
        }
    }
    if named == 0 {
        bail!("no document names a test: nothing was checked");
    }
    if !wrong.is_empty() {
        bail!("documents promise what is not there:\n{}", wrong.join("\n"));
    }
    Ok(())
}

/// The documents that may name tests, by their paths from the root.
fn documents(root: &Path) -> Result<Vec<String>> {
    let mut paths: Vec<String> = BESIDE.map(str::to_owned).into();
    let entries = fs::read_dir(root.join("docs")).context("cannot list `docs`")?;
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".md") {
            paths.push(format!("docs/{name}"));
        }
    }
    paths.sort();
    if !paths.iter().any(|path| path == PROBES) {
        bail!("`{PROBES}` is missing");
    }
    Ok(paths)
}

fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("cannot read `{path}`"))
}

/// What stands in backticks and reads `FILE.rs::FUNCTION`.
fn references(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter(|quote| quote.contains(".rs::") && !quote.contains(char::is_whitespace))
}

/// Whether the file is there and has this function as a test; otherwise why not.
fn is_a_test(root: &Path, reference: &str) -> Result<(), &'static str> {
    let (file, function) = reference.split_once("::").ok_or("has no function")?;
    let text = fs::read_to_string(root.join(file)).map_err(|_unread| "names a file that cannot be read")?;
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let start = format!("fn {function}(");
    let (before, _) = lines
        .iter()
        .position(|line| line.trim_start_matches("async ").starts_with(&start))
        .map(|at| lines.split_at(at))
        .ok_or("names a function that is not there")?;
    // Attributes and comments stand right above it.
    let above = before.iter().rev().take_while(|line| line.starts_with(['#', '/']));
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    above
        .copied()
        .any(|line| is_test(&line))
        .then_some(())
        .ok_or("is no test")
}

/// The probes without a row (`| NUMBER | …`) that names a test.
fn missing_probes(text: &str) -> impl Iterator<Item = usize> {
    let row = |line: &str| {
        let number = line.strip_prefix("| ")?.split_once(" |")?.0.parse().ok()?;
        references(line).next().map(|_| number)
    };
    let found: BTreeSet<usize> = text.lines().filter_map(row).collect();
    (1..=PROBE_COUNT).filter(move |number| !found.contains(number))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{PROBE_COUNT, is_a_test, missing_probes, references};

    #[test]
    fn only_tests_that_are_there_count() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(
            is_a_test(root, "src/evidence.rs::only_tests_that_are_there_count"),
            Ok(())
        );
        assert!(is_a_test(root, "src/evidence.rs::references").is_err());
        assert!(is_a_test(root, "src/evidence.rs::no_such_test").is_err());
        assert!(is_a_test(root, "src/nowhere.rs::references").is_err());
    }

    #[test]
    fn names_of_tests_are_found_among_other_words() {
        let text = "a `b` and `x/y.rs::z`, `not a.rs::name`\nthen `c.rs::d`.";
        assert_eq!(references(text).collect::<Vec<_>>(), ["x/y.rs::z", "c.rs::d"]);
    }

    #[test]
    fn a_row_without_a_test_is_missing() {
        let rows: String = (1..=PROBE_COUNT)
            .map(|number| format!("| {number} | `a.rs::b` |\n"))
            .collect();
        assert_eq!(missing_probes(&rows).count(), 0);
        let without = rows.replace("| 7 | `a.rs::b` |", "| 7 | nothing |");
        assert_eq!(missing_probes(&without).collect::<Vec<_>>(), [7]);
    }
}
