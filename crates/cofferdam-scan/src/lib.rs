//! Findings in files at rest. What is here: launch lines, as they stand in MCP client configurations ([`launch_line`]).
//!
//! Not here yet: whole client configurations, secrets in trees, images. There is no `scan` verb until they are, so nothing is ever reported
//! clean without having been inspected.
//!
//! Invariant: nothing is executed and nothing is opened; text goes in, findings come out.
#![forbid(unsafe_code)]

mod client;
mod document;
mod launch;
mod rule;

pub use client::{
    CLIENTS, Client, ConfigFile, EditFault, Entry, LaunchLine, Marks, Piece, Place, Server, Shape, Step, Undo, Words,
    entries, pieces, restore, rewrite,
};
pub use document::{DOCUMENT_BYTES_MAX, DocumentFault, Format};
pub use launch::launch_line;
pub use rule::SCAN_RULES;
