//! The built binary, end to end: against a fixture server that misbehaves on command, and against real servers and real clients.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod answers;
mod approvals_view;
mod approver_folder;
mod byte_identity;
mod client_requests;
mod command_line;
mod compartment;
mod conformance;
mod consent;
mod containers;
mod demo;
mod driven;
mod egress;
mod egress_clients;
mod ends;
mod exhaustion;
mod export;
mod faults;
mod flows;
mod forged;
mod frames;
mod grants;
mod in_band;
mod inspect;
mod inspector;
mod install;
mod install_python;
mod keeping;
mod kills;
mod kindness;
mod ledger;
mod life;
mod listing_server;
mod long_names;
mod manifest_accept;
mod manifest_allow;
mod manifest_diff;
mod manifest_projects;
mod manifest_sign;
mod observed;
mod observing;
mod ocsf;
mod outage;
mod own_list;
mod persons;
mod podman;
mod policies;
mod policy_changes;
mod policy_facts;
mod proofs;
mod protect;
mod protect_clients;
mod protect_hosts;
mod protect_marks;
mod query;
mod real_servers;
mod record;
mod recording;
mod registries;
mod repeats;
mod replays;
mod restart;
mod runtimes;
mod schemas;
mod scripted;
mod sealed;
mod shipping;
mod shipping_http;
mod shipping_kills;
mod shipping_nats;
mod shipping_syslog;
mod suite_clients;
mod support;
mod ten_servers;
mod tier;
mod tools;
mod trust;
mod unreached;
mod updates;
mod veiled;
mod within;
