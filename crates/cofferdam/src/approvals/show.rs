//! A question as a person sees it: rendered by us, nothing in it that the model or the server could use to look like us.

use cofferdam_manifest::Digest;
use cofferdam_policy::{GrantPattern, GrantTerms};
use serde_json::Value;

use super::protocol::Question;
use crate::gate::escaped;

/// Characters of one value that are shown; of a longer one its head, tail, length and digest.
const VALUE_CHARS_MAX: usize = 200;
/// Characters of its head and of its tail.
const VALUE_END_CHARS: usize = 80;
/// Paths and hosts of a call that are shown; the rest is counted.
const PLACES_MAX: usize = 8;
/// Lines of arguments that are shown; the rest is counted.
const LINES_MAX: usize = 60;

/// The lines of one question, arguments and all.
pub(crate) fn question_lines(question: &Question) -> Vec<String> {
    let quoted = |text: &str| escaped(text.as_bytes());
    let mut lines = vec![
        format!("server   {}", quoted(&question.server)),
        format!("tool     {}", quoted(&question.tool)),
    ];
    if !question.client.is_empty() {
        lines.push(format!("client   calls itself `{}`", quoted(&question.client)));
    }
    lines.push(format!("why      {}", quoted(&question.reason)));
    lines.push(format!("policy   {}", quoted(&question.policy)));
    for finding in &question.findings {
        lines.push(format!("finding  {}", quoted(finding)));
    }
    lines.extend(place_lines(question));
    lines.push(format!("expires  {}", quoted(&question.expires)));
    if question.identical > 1 {
        lines.push(format!(
            "waiting  {} identical calls; an answer of yes is for one",
            question.identical
        ));
    }
    lines.push("arguments, written by the model (untrusted):".to_owned());
    lines.extend(argument_lines(
        question.arguments.get(),
        question.last_approved.as_ref().map(|raw| raw.get()),
    ));
    lines.push(format!("digest   {}", quoted(&question.digest)));
    lines
}

/// What the call would touch, as it was computed: where links lead, and which hosts.
fn place_lines(question: &Question) -> Vec<String> {
    let touched = question.offer.as_ref().and_then(|offer| offer.seen.touched.as_ref());
    let Some(touched) = touched else { return Vec::new() };
    let mut lines = Vec::new();
    for (kind, places) in [("path", &touched.paths), ("host", &touched.hosts)] {
        let shown = places.iter().take(PLACES_MAX);
        lines.extend(shown.map(|place| format!("{kind}     {}", escaped(place.as_bytes()))));
        if let Some(more @ 1..) = places.len().checked_sub(PLACES_MAX) {
            lines.push(format!("{kind}     and {more} more"));
        }
    }
    lines
}

/// What a grant covers, in one sentence.
pub(crate) fn grant_words(terms: &GrantTerms) -> String {
    let quoted = |text: &str| escaped(text.as_bytes());
    let named = if terms.tool.is_empty() {
        &terms.method
    } else {
        &terms.tool
    };
    let named = quoted(&cofferdam_policy::shortened(named));
    let what = match &terms.pattern {
        GrantPattern::Call { .. } => format!("the very same call of `{named}`"),
        GrantPattern::Tool { .. } => format!("every call of `{named}` in this session"),
        GrantPattern::Path { folder } => format!("every call of `{named}` whose paths lie within {}", quoted(folder)),
        GrantPattern::Host { hosts } => {
            let hosts: Vec<String> = hosts.iter().map(|host| quoted(host)).collect();
            format!("every call of `{named}` that goes to {} alone", hosts.join(", "))
        }
    };
    format!("{what}, until {}", wall_time(terms.until))
}

/// One line for each value, by its place; a mark before what is not as in the last approved call.
fn argument_lines(raw: &str, last: Option<&str>) -> Vec<String> {
    let now = leaves(raw);
    let before = last.map(leaves);
    let total = now.len();
    let mut lines: Vec<String> = now
        .into_iter()
        .take(LINES_MAX)
        .map(|(at, value)| {
            let mark = match &before {
                Some(before) if !before.contains(&(at.clone(), value.clone())) => '*',
                _ => ' ',
            };
            format!(" {mark} {at} = {}", shortened(&value))
        })
        .collect();
    if lines.is_empty() {
        lines.push("   none".to_owned());
    }
    if let Some(more @ 1..) = total.checked_sub(LINES_MAX) {
        lines.push(format!(
            "   and {more} more; `cofferdam audit show RECORD --full` prints all"
        ));
    }
    if before.is_some() {
        lines.push("   (* differs from the last call of this tool that was approved)".to_owned());
    }
    lines
}

/// Every leaf of a JSON text: its place and its value, both safe to print.
fn leaves(raw: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    match serde_json::from_str::<Value>(raw) {
        Ok(value) => collect(&value, String::new(), &mut found),
        Err(_unreadable) => found.push((String::new(), escaped(raw.as_bytes()))),
    }
    found
}

fn collect(value: &Value, at: String, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            // Sorted: the same call looks the same, however its client ordered it.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            for (key, value) in members {
                let key = escaped(key.as_bytes());
                let at = if at.is_empty() { key } else { format!("{at}.{key}") };
                collect(value, at, found);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            for (index, value) in values.iter().enumerate() {
                collect(value, format!("{at}[{index}]"), found);
            }
        }
        Value::Object(_) | Value::Array(_) if at.is_empty() => {}
        leaf => found.push((at, escaped(leaf.to_string().as_bytes()))),
    }
}

fn shortened(value: &str) -> String {
    let count = value.chars().count();
    if count <= VALUE_CHARS_MAX {
        return value.to_owned();
    }
    let head: String = value.chars().take(VALUE_END_CHARS).collect();
    let tail: String = value.chars().skip(count.saturating_sub(VALUE_END_CHARS)).collect();
    let digest = Digest::of(value.as_bytes()).to_hex();
    let digest = digest.get(..16).unwrap_or_default();
    format!("{head} … {tail} ({count} characters, sha256 {digest}…)")
}

/// Seconds since 1970 as `YYYY-MM-DDTHH:MM:SSZ`.
pub(crate) fn wall_time(unix_s: i64) -> String {
    let (days, second) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    // Civil date from days, in eras of 400 years that begin on the first of March of the year 0.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::{argument_lines, wall_time};

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(wall_time(0), "1970-01-01T00:00:00Z");
        assert_eq!(wall_time(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(wall_time(1_795_165_200), "2026-11-20T09:00:00Z");
    }

    #[test]
    fn arguments_cannot_dress_up() {
        let lines = argument_lines(
            "{\"a\\nallow\":\"x\\u202ey\\u001b[2J\",\"n\":[1,{\"b\":null}],\"e\":{}}",
            None,
        );
        assert_eq!(
            lines,
            [
                "   a\\u{a}allow = \"x\\u{202e}y\\u001b[2J\"",
                "   e = {}",
                "   n[0] = 1",
                "   n[1].b = null",
            ]
        );
        let long = format!("{{\"t\":\"{}END\"}}", "x".repeat(1_000));
        let lines = argument_lines(&long, None);
        assert!(lines[0].contains("END\" (1005 characters, sha256 "), "{}", lines[0]);
        assert!(lines[0].chars().count() < 300);
    }

    #[test]
    fn what_is_new_since_the_last_approval_is_marked() {
        let lines = argument_lines(r#"{"a":1,"b":2}"#, Some(r#"{"a":1,"b":3}"#));
        assert_eq!(lines[..2], ["   a = 1", " * b = 2"]);
    }
}
