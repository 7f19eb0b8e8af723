//! How many tool calls the last minute saw.

/// Seconds that are looked back on.
const WINDOW_SECONDS: u64 = 60;

/// Counts per second over a minute: constant memory whatever a client does.
#[derive(Debug)]
pub(crate) struct CallRate {
    seconds: [u32; 60],
    newest: u64,
}

impl CallRate {
    pub(crate) fn new() -> Self {
        Self {
            seconds: [0; 60],
            newest: 0,
        }
    }

    /// Counts one call at `now_ms` (monotonic milliseconds) and tells how many the last minute saw, this one included.
    pub(crate) fn count(&mut self, now_ms: u64) -> u32 {
        let now = now_ms / 1000;
        let passed = now.saturating_sub(self.newest).min(WINDOW_SECONDS);
        for second in 0..passed {
            self.slot(now - second, |slot| *slot = 0);
        }
        self.newest = self.newest.max(now);
        self.slot(now, |slot| *slot = slot.saturating_add(1));
        self.seconds.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn slot(&mut self, second: u64, change: impl FnOnce(&mut u32)) {
        let index = usize::try_from(second % WINDOW_SECONDS).unwrap_or_default();
        if let Some(slot) = self.seconds.get_mut(index) {
            change(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CallRate;

    #[test]
    fn calls_leave_the_window_after_a_minute() {
        let mut rate = CallRate::new();
        assert_eq!(rate.count(1_000), 1);
        assert_eq!(rate.count(1_500), 2);
        assert_eq!(rate.count(60_500), 3);
        assert_eq!(rate.count(61_000), 2, "the first second is out");
        assert_eq!(rate.count(1_000_000), 1, "a long pause empties it");
    }
}
