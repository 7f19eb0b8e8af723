//! How much the last minute and the last hour saw: constant memory for each thing that is counted, whatever a client does.

use std::collections::HashMap;

use cofferdam_policy::Rates;

/// Slots of a window.
const SLOTS: u64 = 60;
/// Tools that are counted one by one; further ones count as one.
const TOOLS_MAX: usize = 4_096;
/// Bytes of a tool's name by which it is counted; longer names count as one, so that a client's words take no room.
const NAME_BYTES_MAX: usize = 256;
/// Milliseconds of a slot: a minute has 60 of the one, an hour 60 of the other.
const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60_000;

/// Counts of 60 slots of time.
#[derive(Debug)]
struct Window {
    slots: [u32; 60],
    newest: u64,
    slot_ms: u64,
    sum: u32,
}

impl Window {
    const fn new(slot_ms: u64) -> Self {
        Self {
            slots: [0; 60],
            newest: 0,
            slot_ms,
            sum: 0,
        }
    }

    /// Counts one at `now_ms`; how many there are now.
    fn count(&mut self, now_ms: u64) -> u32 {
        self.pass(now_ms);
        // A clock that another thread read a moment before counts for the newest slot.
        let newest = self.newest;
        self.slot(newest, |slot| *slot = slot.saturating_add(1));
        self.sum = self.sum.saturating_add(1);
        self.sum
    }

    /// How many there are at `now_ms`.
    fn at(&mut self, now_ms: u64) -> u32 {
        self.pass(now_ms);
        self.sum
    }

    /// Empties the slots that time went over.
    fn pass(&mut self, now_ms: u64) {
        let now = now_ms / self.slot_ms;
        for slot in 0..now.saturating_sub(self.newest).min(SLOTS) {
            let mut gone = 0;
            self.slot(now - slot, |slot| gone = std::mem::take(slot));
            self.sum = self.sum.saturating_sub(gone);
        }
        self.newest = self.newest.max(now);
    }

    fn slot(&mut self, slot: u64, change: impl FnOnce(&mut u32)) {
        let index = usize::try_from(slot % SLOTS).unwrap_or_default();
        if let Some(slot) = self.slots.get_mut(index) {
            change(slot);
        }
    }
}

/// The last minute and the last hour of one thing.
#[derive(Debug)]
struct Recent {
    minute: Window,
    hour: Window,
}

impl Recent {
    const fn new() -> Self {
        Self {
            minute: Window::new(SECOND_MS),
            hour: Window::new(MINUTE_MS),
        }
    }

    fn count(&mut self, now_ms: u64) -> (u32, u32) {
        (self.minute.count(now_ms), self.hour.count(now_ms))
    }

    fn at(&mut self, now_ms: u64) -> (u32, u32) {
        (self.minute.at(now_ms), self.hour.at(now_ms))
    }
}

/// Tool calls of a session, by tool, and those that were refused.
#[derive(Debug)]
pub(crate) struct CallRate {
    all: Recent,
    tools: HashMap<String, Recent>,
    refused: Window,
}

impl CallRate {
    pub(crate) fn new() -> Self {
        Self {
            all: Recent::new(),
            tools: HashMap::new(),
            refused: Window::new(SECOND_MS),
        }
    }

    /// Counts one call of `tool` at `now_ms` (monotonic milliseconds) and tells what there was, this one included.
    pub(crate) fn count(&mut self, tool: &str, now_ms: u64) -> Rates {
        let all = self.all.count(now_ms);
        let of_tool = self.tool(tool).count(now_ms);
        self.told(all, of_tool, now_ms)
    }

    /// What there was at `now_ms`: for a call of `tool` that was counted before, or for what is no call.
    pub(crate) fn look(&mut self, tool: Option<&str>, now_ms: u64) -> Rates {
        let all = self.all.at(now_ms);
        let of_tool = tool.map_or((0, 0), |tool| self.tool(tool).at(now_ms));
        self.told(all, of_tool, now_ms)
    }

    /// Counts one call that was refused.
    pub(crate) fn refused(&mut self, now_ms: u64) {
        self.refused.count(now_ms);
    }

    fn told(&mut self, (minute, hour): (u32, u32), (of_tool_minute, of_tool_hour): (u32, u32), now_ms: u64) -> Rates {
        Rates {
            calls_last_minute: minute,
            calls_last_hour: hour,
            tool_calls_last_minute: of_tool_minute,
            tool_calls_last_hour: of_tool_hour,
            refused_last_minute: self.refused.at(now_ms),
            bytes_sent: 0,
        }
    }

    fn tool(&mut self, tool: &str) -> &mut Recent {
        let has_room = self.tools.len() < TOOLS_MAX || self.tools.contains_key(tool);
        let is_counted = tool.len() <= NAME_BYTES_MAX && has_room;
        self.tools
            .entry(if is_counted { tool.to_owned() } else { String::new() })
            .or_insert_with(Recent::new)
    }
}

#[cfg(test)]
mod tests {
    use super::{CallRate, NAME_BYTES_MAX, TOOLS_MAX};

    #[test]
    fn calls_leave_the_window_after_a_minute() {
        let mut rate = CallRate::new();
        let mut count = |now_ms| rate.count("a", now_ms).calls_last_minute;
        assert_eq!(count(1_000), 1);
        assert_eq!(count(1_500), 2);
        assert_eq!(count(60_500), 3);
        assert_eq!(count(61_000), 2, "the first second is out");
        assert_eq!(count(60_999), 3, "a clock that was read before");
        assert_eq!(count(1_000_000), 1, "a long pause empties it");
    }

    #[test]
    fn hours_tools_and_refusals_are_counted_by_themselves() {
        let mut rate = CallRate::new();
        for minute in 0..90 {
            rate.count(if minute % 2 == 0 { "a" } else { "b" }, minute * 60_000);
        }
        rate.refused(89 * 60_000);
        rate.refused(89 * 60_000 + 1);
        let told = rate.count("a", 90 * 60_000);
        assert_eq!((told.calls_last_minute, told.calls_last_hour), (1, 60));
        assert_eq!((told.tool_calls_last_minute, told.tool_calls_last_hour), (1, 30));
        assert_eq!(told.refused_last_minute, 0, "a minute ago");
        rate.refused(90 * 60_000);
        let looked = rate.look(Some("b"), 90 * 60_000 + 5);
        assert_eq!((looked.tool_calls_last_hour, looked.refused_last_minute), (30, 1));
        assert_eq!(rate.look(Some("b"), 90 * 60_000 + 6), looked, "to look counts nothing");
    }

    #[test]
    fn tools_beyond_those_that_are_counted_are_one() {
        let mut rate = CallRate::new();
        for tool in 0..TOOLS_MAX {
            rate.count(&tool.to_string(), 0);
        }
        rate.count("x", 0);
        assert_eq!(rate.count("y", 0).tool_calls_last_minute, 2);
        assert_eq!(rate.tools.len(), TOOLS_MAX + 1);
        rate.count(&"z".repeat(NAME_BYTES_MAX + 1), 0);
        assert!(
            rate.tools.keys().all(|name| name.len() <= NAME_BYTES_MAX),
            "no long name is kept"
        );
        assert_eq!(rate.count("y", 0).tool_calls_last_minute, 4);
    }
}
