//! Times as people write them, and as they are printed.

const SECOND_NS: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// A time in the past: `2026-11-21`, `2026-11-21T03:00:00Z`, or how long ago (`90s`, `15m`, `2h`, `7d`). Nanoseconds since 1970.
///
/// # Errors
/// What is wrong with it, in words.
pub(in crate::cli) fn parse(text: &str, now_ns: u64) -> Result<u64, String> {
    let malformed =
        || format!("`{text}` is no time: write 2026-11-21, 2026-11-21T03:00:00Z, or how long ago, as 15m, 2h or 7d");
    if let Some(ago) = ago(text) {
        return Ok(now_ns.saturating_sub(ago.saturating_mul(SECOND_NS)));
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, time.strip_suffix('Z').ok_or_else(malformed)?),
        None => (text, "00:00:00"),
    };
    let [year, month, day] = numbers(date, '-').ok_or_else(malformed)?;
    let [hour, minute, second] = numbers(time, ':').ok_or_else(malformed)?;
    let is_date =
        (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 59 {
        return Err(malformed());
    }
    let days: u64 = (1970..year)
        .map(|year| if is_leap(year) { 366 } else { 365 })
        .sum::<u64>()
        + (1..month).map(|month| days_in(year, month)).sum::<u64>()
        + (day - 1);
    Ok((days * DAY + hour * 3_600 + minute * 60 + second) * SECOND_NS)
}

fn ago(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => DAY,
        _ => return None,
    };
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    count.checked_mul(seconds)
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let is_number = !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse().ok()).flatten()
    });
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `2026-11-21T03:00:00.123Z`.
pub(super) fn written(wall_ns: u64) -> String {
    let seconds = wall_ns / SECOND_NS;
    let (mut days, of_day) = (seconds / DAY, seconds % DAY);
    let mut year = 1970;
    while days >= if is_leap(year) { 366 } else { 365 } {
        days -= if is_leap(year) { 366 } else { 365 };
        year += 1;
    }
    let mut month = 1;
    while days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    let (hour, minute, second, milli) = (
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60,
        wall_ns / 1_000_000 % 1_000,
    );
    format!(
        "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z",
        days + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-11-20T23:59:59Z", 1_795_219_199),
            ("2100-03-01", 4_107_542_400),
        ] {
            let parsed = parse(text, 0).unwrap();
            assert_eq!(parsed, seconds * SECOND_NS, "{text}");
            assert!(
                written(parsed).starts_with(text.trim_end_matches('Z')),
                "{text}: {}",
                written(parsed)
            );
        }
        assert_eq!(parse("2h", 10_000 * SECOND_NS), Ok(2_800 * SECOND_NS));
        assert_eq!(parse("90000d", 1), Ok(0));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "h",
            "x2h",
            "2026-13-01",
            "2026-02-29",
            "2026-11-21T24:00:00Z",
            "2026-11-21T03:00:00",
            "-5m",
            "2026-1-1-1",
            "99999999999999999999d",
        ] {
            assert!(parse(text, 0).is_err(), "{text}");
        }
    }
}
