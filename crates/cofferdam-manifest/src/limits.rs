//! What one server may use: sizes, counts and times, each with a documented default and a maximum.

use serde::Serialize;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// `[limits]`, with the defaults spelled out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// `memory`: bytes of memory of the whole compartment.
    pub memory_bytes: u64,
    /// `processes`: processes and threads of the whole compartment.
    pub processes: u32,
    /// `open_files`: open files of one process.
    pub open_files: u32,
    /// `disk`: bytes of the private `/tmp` and home folder together.
    pub disk_bytes: u64,
    /// `files`: files and folders in them together.
    pub files: u32,
    /// `file`: bytes of any one file that is written.
    pub file_bytes: u64,
    /// `cpu`: processor time in percent of one processor; `None` leaves it to the system.
    pub cpu_percent: Option<u32>,
    /// `message`: bytes of one line, in either direction.
    pub message_bytes: u64,
    /// `seconds_per_call`: how long one request may stay unanswered.
    pub seconds_per_call: u32,
    /// `calls_per_minute`: tool calls in any minute.
    pub calls_per_minute: u32,
    /// `calls_in_flight`: requests without an answer, at one time.
    pub calls_in_flight: u32,
    /// `idle_minutes`: minutes without a message after which the server is ended; `None` never ends it.
    pub idle_minutes: Option<u32>,
    /// `record_per_hour`: bytes of record one server may cause in an hour.
    pub record_bytes_per_hour: u64,
}

impl Limits {
    /// Default of `memory`: ten times what an ordinary Node or Python server uses.
    pub const MEMORY_BYTES: u64 = 2 * GIB;
    /// Default of `processes`: a Node server has about a dozen threads.
    pub const PROCESSES: u32 = 256;
    /// Default of `open_files`, the usual one of a login session.
    pub const OPEN_FILES: u32 = 1024;
    /// Default of `disk`.
    pub const DISK_BYTES: u64 = 256 * MIB;
    /// Default of `files`.
    pub const FILES: u32 = 65_536;
    /// Default of `file`.
    pub const FILE_BYTES: u64 = GIB;
    /// Default of `message`.
    pub const MESSAGE_BYTES: u64 = 16 * MIB;
    /// Default of `seconds_per_call`: longer than any client of today waits without progress.
    pub const SECONDS_PER_CALL: u32 = 300;
    /// Default of `calls_per_minute`.
    pub const CALLS_PER_MINUTE: u32 = 600;
    /// Default of `calls_in_flight`.
    pub const CALLS_IN_FLIGHT: u32 = 64;
    /// Default of `record_per_hour`.
    pub const RECORD_BYTES_PER_HOUR: u64 = GIB;

    /// Range of `memory`: below the least no runtime starts.
    pub const MEMORY_BYTES_RANGE: (u64, u64) = (16 * MIB, 1024 * GIB);
    /// Range of `processes`.
    pub const PROCESSES_RANGE: (u64, u64) = (1, 32_768);
    /// Range of `open_files`: 0 to 2 and the loader's own come first.
    pub const OPEN_FILES_RANGE: (u64, u64) = (16, 1_048_576);
    /// Range of `disk`.
    pub const DISK_BYTES_RANGE: (u64, u64) = (MIB, 1024 * GIB);
    /// Range of `files`.
    pub const FILES_RANGE: (u64, u64) = (16, 16_777_216);
    /// Range of `file`.
    pub const FILE_BYTES_RANGE: (u64, u64) = (MIB, 1024 * GIB);
    /// Range of `cpu`: up to a hundred processors.
    pub const CPU_PERCENT_RANGE: (u64, u64) = (1, 10_000);
    /// Range of `message`: the least holds any real `initialize`, the most bounds the gate's own memory.
    pub const MESSAGE_BYTES_RANGE: (u64, u64) = (4 * KIB, 48 * MIB);
    /// Range of `seconds_per_call`: at most a day.
    pub const SECONDS_PER_CALL_RANGE: (u64, u64) = (1, 86_400);
    /// Range of `calls_per_minute`.
    pub const CALLS_PER_MINUTE_RANGE: (u64, u64) = (1, 10_000_000);
    /// Range of `calls_in_flight`.
    pub const CALLS_IN_FLIGHT_RANGE: (u64, u64) = (1, 65_536);
    /// Range of `idle_minutes`: at most 30 days.
    pub const IDLE_MINUTES_RANGE: (u64, u64) = (1, 43_200);
    /// Range of `record_per_hour`.
    pub const RECORD_BYTES_PER_HOUR_RANGE: (u64, u64) = (MIB, 1024 * GIB);
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: Self::MEMORY_BYTES,
            processes: Self::PROCESSES,
            open_files: Self::OPEN_FILES,
            disk_bytes: Self::DISK_BYTES,
            files: Self::FILES,
            file_bytes: Self::FILE_BYTES,
            cpu_percent: None,
            message_bytes: Self::MESSAGE_BYTES,
            seconds_per_call: Self::SECONDS_PER_CALL,
            calls_per_minute: Self::CALLS_PER_MINUTE,
            calls_in_flight: Self::CALLS_IN_FLIGHT,
            idle_minutes: None,
            record_bytes_per_hour: Self::RECORD_BYTES_PER_HOUR,
        }
    }
}
