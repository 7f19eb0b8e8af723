//! The attacks, as data: what is sent, and how one sees that it worked.

use serde_json::{Value, json};

use super::server::{INTERNAL_SECRET, PRIVATE_KEY, PUBLISHED, SQL_SECRET};
use super::stage::{CLOUD_SECRET, ENVIRONMENT_SECRET, Facts};

/// How success shows.
#[derive(Debug)]
pub(super) enum Evidence {
    /// This stands in the answer.
    InAnswer(&'static str),
    /// The waiting process is gone.
    VictimGone,
    /// A tool description with orders to the model reaches the client.
    PoisonedDescription,
}

/// One attack.
#[derive(Debug)]
pub(super) struct Attack {
    pub(super) title: &'static str,
    /// What a reader is shown of the request.
    pub(super) sends: &'static str,
    /// Parameters of the `tools/call`.
    pub(super) call: fn(&Facts) -> Value,
    pub(super) evidence: Evidence,
    /// Said when the call passes and finds nothing.
    pub(super) nothing_found: &'static str,
}

/// The ninth of DESIGN section 1, played in continuous integration: the server may write, so a person would be asked, and there is none.
pub(super) const CI_ATTACK: Attack = Attack {
    title: "CI compromise: a hostile commit message becomes a call",
    sends: "publish {\"version\": \"9.9.9\"}, as a commit message told the agent of a CI job",
    call: |_| json!({"name": "publish", "arguments": {"version": "9.9.9"}}),
    evidence: Evidence::InAnswer(PUBLISHED),
    nothing_found: "nothing was published",
};

/// The first eight, in the order of DESIGN section 1.
pub(super) const ATTACKS: [Attack; 8] = [
    Attack {
        title: "Shell injection: a search pattern carries a command",
        sends: "search_notes {\"pattern\": \"x; cat ../home/.ssh/id_demo\"}",
        call: |facts| json!({"name": "search_notes", "arguments": {"pattern": format!("x /dev/null; cat {}/home/.ssh/id_demo", facts.machine)}}),
        evidence: Evidence::InAnswer(PRIVATE_KEY),
        nothing_found: "there is no shell inside the compartment to run the injected command",
    },
    Attack {
        title: "SQL injection: a customer's name carries a condition",
        sends: "find_customer {\"name\": \"x' OR '1'='1\"}",
        call: |_| json!({"name": "find_customer", "arguments": {"name": "x' OR '1'='1"}}),
        evidence: Evidence::InAnswer(SQL_SECRET),
        nothing_found: "no row",
    },
    Attack {
        title: "Path traversal: a note outside the notes",
        sends: "read_note {\"path\": \"../home/.ssh/id_demo\"}",
        call: |_| json!({"name": "read_note", "arguments": {"path": "../home/.ssh/id_demo"}}),
        evidence: Evidence::InAnswer(PRIVATE_KEY),
        nothing_found: "there is no such file inside the compartment",
    },
    Attack {
        title: "Prompt injection: an accepted tool changes its description",
        sends: "tools/list, after the server \"updated\" itself",
        call: |_| Value::Null,
        evidence: Evidence::PoisonedDescription,
        nothing_found: "",
    },
    Attack {
        title: "Environment spill: the server prints every variable it can read",
        sends: "diagnose {}",
        call: |_| json!({"name": "diagnose", "arguments": {}}),
        evidence: Evidence::InAnswer(ENVIRONMENT_SECRET),
        nothing_found: "no variable of the user is there, and no other process",
    },
    Attack {
        title: "Cross-process influence: the server kills another process of the user",
        sends: "stop_job {\"pid\": …}",
        call: |facts| json!({"name": "stop_job", "arguments": {"pid": facts.victim_pid}}),
        evidence: Evidence::VictimGone,
        nothing_found: "the process is not visible from the compartment",
    },
    Attack {
        title: "Container breakout: cloud credentials and the container engine's socket",
        sends: "read_note {\"path\": \"../home/.aws/credentials\"}",
        call: |_| json!({"name": "read_note", "arguments": {"path": "../home/.aws/credentials"}}),
        evidence: Evidence::InAnswer(CLOUD_SECRET),
        nothing_found: "there is no such file inside the compartment",
    },
    Attack {
        title: "Internal services: a fetch of an address only this machine can reach",
        sends: "fetch {\"url\": \"http://127.0.0.1:…/latest/meta-data\"}",
        call: |facts| json!({"name": "fetch", "arguments": {"url": format!("http://127.0.0.1:{}/latest/meta-data", facts.service_port)}}),
        evidence: Evidence::InAnswer(INTERNAL_SECRET),
        nothing_found: "the compartment has no network",
    },
];
