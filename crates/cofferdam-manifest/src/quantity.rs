//! Sizes and durations as people write them: `512MiB`, `15m`.

/// How a kind of quantity is read and shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    pub(crate) parse: fn(&str) -> Result<u64, String>,
    pub(crate) show: fn(u64) -> String,
    pub(crate) example: &'static str,
}

/// Bytes, written as sizes.
pub(crate) const SIZE: Unit = Unit {
    parse: parse_bytes,
    show: bytes_in_words,
    example: "512MiB",
};
/// Seconds, written as durations.
pub(crate) const DURATION: Unit = Unit {
    parse: parse_seconds,
    show: seconds_in_words,
    example: "15m",
};

/// Units of size, largest first, so that writing picks the largest that divides evenly.
const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

const DURATIONS: &[(&str, u64)] = &[("h", 3600), ("m", 60), ("s", 1)];

/// A size such as `512MiB`, `2 GiB`, `10MB` or `4096B`, in bytes.
///
/// # Errors
/// A message for people when the text is not a whole number with a known unit, or does not fit.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    quantity(text, SIZES, "`512MiB` or `2GiB`")
}

/// The shortest exact spelling of a size in binary units, such as `512MiB`.
#[must_use]
pub fn bytes_in_words(bytes: u64) -> String {
    let binary = SIZES.iter().filter(|(unit, _)| unit.ends_with("iB"));
    let fits = binary
        .into_iter()
        .find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    match fits {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None => format!("{bytes}B"),
    }
}

/// A duration such as `15m`, `90s` or `1h`, in seconds.
pub(crate) fn parse_seconds(text: &str) -> Result<u64, String> {
    quantity(text, DURATIONS, "`15m` or `90s`")
}

/// The shortest exact spelling of a duration.
pub(crate) fn seconds_in_words(seconds: u64) -> String {
    let fits = DURATIONS
        .iter()
        .find(|(_, size)| seconds >= *size && seconds.is_multiple_of(*size));
    match fits {
        Some((unit, size)) => format!("{}{unit}", seconds / size),
        None => format!("{seconds}s"),
    }
}

fn quantity(text: &str, units: &[(&str, u64)], example: &str) -> Result<u64, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = unit.trim_start_matches(' ');
    let size = units.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size);
    let Some(size) = size.filter(|_| !digits.is_empty()) else {
        return Err(format!("a whole number and a unit was expected, such as {example}"));
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(size));
    number.ok_or_else(|| String::from("the number is too large"))
}

#[cfg(test)]
mod tests {
    use super::{bytes_in_words, parse_bytes, parse_seconds, seconds_in_words};

    #[test]
    fn reads_sizes() {
        assert_eq!(parse_bytes("512MiB"), Ok(512 << 20));
        assert_eq!(parse_bytes("2 GiB"), Ok(2 << 30));
        assert_eq!(parse_bytes("10MB"), Ok(10_000_000));
        for wrong in [
            "",
            "512",
            "MiB",
            "-1B",
            "1.5GiB",
            "1mib",
            "1 MiB ",
            "99999999999999999999B",
            "99999999TiB",
        ] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for bytes in [1, 1023, 1024, 1536, 1 << 20, 5 << 30, u64::MAX, 0] {
            assert_eq!(parse_bytes(&bytes_in_words(bytes)), Ok(bytes));
        }
        for seconds in [1, 60, 90, 900, 3600] {
            assert_eq!(parse_seconds(&seconds_in_words(seconds)), Ok(seconds));
        }
        assert_eq!(bytes_in_words(16 << 20), "16MiB");
        assert_eq!(seconds_in_words(900), "15m");
    }
}
