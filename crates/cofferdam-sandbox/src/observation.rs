//! What a program was seen doing: executing, connecting, and calls that are refused.

use serde::{Deserialize, Serialize};

/// Told of each observation. It is called while the call waits.
pub type Observer = Box<dyn FnMut(Observation) + Send>;

/// One call of the program, as its observer saw it.
///
/// What was read from the caller's memory (paths, arguments, addresses) is racy: another thread of the program may
/// have changed it before the kernel read it, so it is evidence and never a basis for a decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Observation {
    /// The call's name, such as `execve`; `call-N` for one without a name here.
    pub call: String,
    /// The name of the process that made it (`/proc/PID/comm`), which it may choose freely.
    pub process: String,
    /// The kernel's number by which it was refused; none when the kernel went on with it.
    pub refused: Option<i32>,
    /// What it was about.
    pub deed: Deed,
}

/// What a call was about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "deed")]
pub enum Deed {
    /// A program is to be executed.
    Execute {
        /// Its path as given; none when it could not be read.
        path: Option<String>,
        /// The argument vector, cut where it is long.
        arguments: Vec<String>,
        /// Whether a regular file was there.
        is_there: bool,
    },
    /// A socket is to be connected.
    Connect {
        /// Where to, as `ADDRESS:PORT`, `unix:PATH` or `family-N`; none when it could not be read.
        address: Option<String>,
    },
    /// A secret in a granted folder was masked again, or could not be: then the compartment is ended.
    Mask {
        /// Where, inside; why not, when it could not be.
        path: String,
        /// Whether it is masked now.
        is_masked: bool,
    },
    /// Anything else.
    Other {
        /// The first three arguments, as numbers.
        values: [u64; 3],
    },
}
