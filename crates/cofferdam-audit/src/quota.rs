//! How much one server may write in an hour, so that it cannot fill what all need.

use std::time::Duration;

const MINUTE_NS: u64 = 60_000_000_000;
/// The hour, and the minute that is under way.
const BUCKETS: usize = 61;

/// The bytes one server's record may grow by in an hour, over all its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes in any 60 minutes; [`u64::MAX`] for no limit.
    pub bytes_per_hour: u64,
}

impl Quota {
    /// No limit.
    pub const UNLIMITED: Self = Self {
        bytes_per_hour: u64::MAX,
    };
}

/// How close a server is to its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Less than three quarters.
    Low,
    /// Three quarters or more: time to slow it down.
    High,
    /// All of it: what the server causes is not recorded any more, and so does not pass.
    Spent,
}

/// The bytes of the last hour, in buckets of a minute of the boot clock.
#[derive(Debug)]
pub(crate) struct Window {
    limit: u64,
    used: u64,
    minute: u64,
    buckets: [u64; BUCKETS],
}

impl Window {
    pub(crate) const fn new(quota: Quota, boot_ns: u64) -> Self {
        let minute = boot_ns / MINUTE_NS;
        Self {
            limit: quota.bytes_per_hour,
            used: 0,
            minute,
            buckets: [0; BUCKETS],
        }
    }

    /// Counts an earlier segment, last written `age` ago.
    pub(crate) fn add_earlier(&mut self, bytes: u64, age: Duration) {
        let minutes = age.as_secs() / 60;
        let slot = self.minute.wrapping_add(BUCKETS as u64).wrapping_sub(minutes);
        if minutes < BUCKETS as u64 {
            self.add_at(slot, bytes);
        }
    }

    /// Counts bytes written now.
    pub(crate) fn add(&mut self, bytes: u64, boot_ns: u64) {
        self.advance(boot_ns);
        self.add_at(self.minute, bytes);
    }

    /// Whether so many more bytes stay within the quota.
    pub(crate) fn takes(&mut self, bytes: u64, boot_ns: u64) -> bool {
        self.advance(boot_ns);
        self.used.saturating_add(bytes) <= self.limit
    }

    pub(crate) fn pressure(&mut self, boot_ns: u64) -> Pressure {
        self.advance(boot_ns);
        if self.used >= self.limit {
            Pressure::Spent
        } else if self.used >= self.limit - self.limit / 4 {
            Pressure::High
        } else {
            Pressure::Low
        }
    }

    pub(crate) const fn used(&self) -> u64 {
        self.used
    }

    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }

    fn add_at(&mut self, minute: u64, bytes: u64) {
        if let Some(bucket) = self.buckets.get_mut(slot(minute)) {
            *bucket = bucket.saturating_add(bytes);
            self.used = self.used.saturating_add(bytes);
        }
    }

    fn advance(&mut self, boot_ns: u64) {
        let now = boot_ns / MINUTE_NS;
        let passed = now.saturating_sub(self.minute);
        for minute in (now.saturating_sub(passed.min(BUCKETS as u64)) + 1)..=now {
            if let Some(bucket) = self.buckets.get_mut(slot(minute)) {
                self.used = self.used.saturating_sub(std::mem::take(bucket));
            }
        }
        self.minute = self.minute.max(now);
    }
}

/// The bucket of a minute. The remainder is below 61, so the conversion cannot fail.
fn slot(minute: u64) -> usize {
    usize::try_from(minute % BUCKETS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_slides() {
        let mut window = Window::new(Quota { bytes_per_hour: 100 }, 0);
        window.add(60, 0);
        assert!(window.takes(40, MINUTE_NS) && !window.takes(41, MINUTE_NS));
        window.add(40, 30 * MINUTE_NS);
        assert_eq!(window.pressure(59 * MINUTE_NS), Pressure::Spent);
        // The minute the first bytes came in is over only when minute 61 begins.
        assert!(!window.takes(1, 60 * MINUTE_NS));
        assert!(window.takes(60, 61 * MINUTE_NS) && !window.takes(61, 61 * MINUTE_NS));
        assert!(window.takes(100, 500 * MINUTE_NS));
        assert_eq!(window.used(), 0);
    }

    #[test]
    fn earlier_segments_count_and_age() {
        for minute in [0, 3, 60, 61, 1000] {
            let mut window = Window::new(Quota { bytes_per_hour: 100 }, minute * MINUTE_NS);
            window.add_earlier(30, Duration::from_secs(0));
            window.add_earlier(20, Duration::from_secs(59 * 60));
            window.add_earlier(50, Duration::from_secs(62 * 60));
            assert_eq!(window.used(), 50);
            assert_eq!(window.pressure((minute + 2) * MINUTE_NS), Pressure::Low);
            assert_eq!(window.used(), 30);
            window.add(45, (minute + 3) * MINUTE_NS);
            assert_eq!(window.pressure((minute + 3) * MINUTE_NS), Pressure::High);
        }
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_frees_nothing() {
        let mut window = Window::new(Quota { bytes_per_hour: 10 }, 100 * MINUTE_NS);
        window.add(10, 100 * MINUTE_NS);
        assert!(!window.takes(1, 0));
        assert_eq!(window.used(), 10);
    }

    #[test]
    fn no_limit_is_no_pressure() {
        let mut window = Window::new(Quota::UNLIMITED, 0);
        window.add(u64::MAX / 2, 0);
        assert_eq!(window.pressure(0), Pressure::Low);
    }
}
