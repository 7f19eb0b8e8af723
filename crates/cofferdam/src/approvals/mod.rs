//! Approvals: what a gate asks, and how a person's answer reaches it.
//!
//! Each running gate has a socket in the runtime folder, and whoever answers speaks one JSON object a line to it: the command line today, a
//! console and notifications later. No daemon is needed.
//!
//! Invariants:
//! - On the user's own socket only a process of the same user, in the same user and PID namespace, is heard: a compartment's process shows the
//!   user's uid and neither. On the socket in an approver's folder only that approver is, and no yes of theirs counts without a signature.
//! - An answer names the digest it was given for; the gate sends the very bytes that digest stands for, or nothing.

mod approver;
mod folders;
mod grants;
mod protocol;
mod show;
mod socket;
mod webhook;

pub(crate) use approver::{APPROVERS_FOLDER, Approvers, Enrolled, Proof, statement};
pub(crate) use folders::{ForeignSocket, foreign_sockets, of_others};
pub(crate) use grants::{GRANT_MINUTES_MAX, GrantStore, Stamp, StoredGrant, level_of, needed};
pub(crate) use protocol::{Choice, For, Grant, Offer, Question, Reply, Request};
pub(crate) use show::{grant_words, question_lines, wall_time};
pub(crate) use socket::{Listener, SocketName, Speaker, ask_foreign_gate, ask_gate, gate_sockets};
pub(crate) use webhook::QuestionPoster;
