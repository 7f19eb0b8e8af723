//! The clock a record is dated by, handed in by the caller.

use rustix::time::{ClockId, clock_gettime};
use std::fmt::Debug;

/// Where a record's two times come from. The log reads no other clock for what it writes.
pub trait Clock: Debug + Send + Sync {
    /// `(wall_ns, boot_ns)`: nanoseconds since 1970-01-01T00:00:00Z, and nanoseconds since the
    /// machine started, sleep included. The second must never go back.
    fn now(&self) -> (u64, u64);
}

/// The kernel's `CLOCK_REALTIME` and `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> (u64, u64) {
        (nanoseconds(ClockId::Realtime), nanoseconds(ClockId::Boottime))
    }
}

/// A time before the clock's own beginning counts as its beginning.
fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// `YYYYMMDDTHHMMSSZ` of a wall time, as file names carry it. Proleptic Gregorian, UTC.
pub(crate) fn stamp(wall_ns: u64) -> String {
    let seconds = wall_ns / 1_000_000_000;
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a civil date, counted in 400-year eras that begin on 1 March, so that the leap
    // day is the last day of its year.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{date:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_dates() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_795_219_199, "20261120T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(stamp(seconds * 1_000_000_000 + 7), expected);
        }
    }

    #[test]
    fn the_boot_clock_does_not_go_back() {
        let mut last = 0;
        for _ in 0..1000 {
            let (wall, boot) = SystemClock.now();
            assert!(boot >= last && wall > 0);
            last = boot;
        }
    }
}
