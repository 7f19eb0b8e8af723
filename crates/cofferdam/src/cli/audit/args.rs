//! Definitions of `audit` on the command line, and nothing else.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// The newest records.
    Tail(AuditTail),
    /// One session, or one record.
    Show(AuditShow),
    /// Check that nothing in the record was changed.
    Verify(AuditVerify),
    /// Find records: by time, server, tool, decision, rule, principal, session, text. It reads what stands there; `verify` proves it.
    Query(Box<AuditQuery>),
    /// Write the records that answer a question to a file: Apache Parquet (`--format parquet`) for DuckDB, ClickHouse and the like, or JSON lines.
    Export(Box<AuditExport>),
    /// Write a proof of one record, which others check without the log.
    Prove(AuditProve),
    /// Remove sessions that are older than 90 days and not held. The ledger keeps that they were there.
    Prune(AuditPrune),
    /// Hold sessions, so that they are not pruned.
    #[command(subcommand)]
    Hold(HoldVerb),
    /// Compress what has ended. Everything reads it as before.
    Compress(AuditCompress),
    /// Ship the record to the sinks of cofferdam.toml (docs/shipping.md), and go on as it grows. One process for all gates.
    Ship(AuditShip),
}

#[derive(Debug, Args)]
pub(crate) struct AuditShip {
    /// Only these sinks. All of them without it.
    pub(crate) sinks: Vec<String>,
    /// End when everything that is there was delivered.
    #[arg(long)]
    pub(crate) once: bool,
    /// End when no session runs and everything was delivered. `run` starts it so where cofferdam.toml says `with_run`.
    #[arg(long, conflicts_with = "once")]
    pub(crate) until_idle: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditTail {
    /// Only this server.
    pub(crate) name: Option<String>,
    /// How many records.
    #[arg(short = 'n', long, default_value_t = 20)]
    pub(crate) lines: usize,
    /// Go on as records come.
    #[arg(short, long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditShow {
    /// `SESSION` or `SESSION:SEQ`; the first digits of a session are enough. The newest session without it.
    pub(crate) reference: Option<String>,
    /// Print payloads whole.
    #[arg(long)]
    pub(crate) full: bool,
    /// Open sealed payloads with this file of age identities (`AGE-SECRET-KEY-1…`).
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerify {
    /// Sessions, servers or segment files. Everything, and the ledger, without it.
    pub(crate) what: Vec<String>,
    /// What the ledger's checkpoints were published to, or what a sink collected (default: `publish` in cofferdam.toml).
    #[arg(long, value_name = "FILE")]
    pub(crate) witness: Option<PathBuf>,
    /// Check this proof, which `audit prove` wrote, and nothing else.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["what", "witness"])]
    pub(crate) proof: Option<PathBuf>,
    /// The ledger's key that the proof must be signed with (`key.pub` in the ledger's folder).
    #[arg(long, value_name = "KEY", requires = "proof")]
    pub(crate) key: Option<String>,
}

/// Which records a verb is about: all of these must hold.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// From this time on: `2026-11-21`, `2026-11-21T03:00:00Z`, or how long ago (`15m`, `2h`, `7d`).
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Up to this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Of this server.
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,
    /// Of sessions whose id begins so.
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Of sessions that ran for this user.
    #[arg(long, value_name = "USER")]
    pub(crate) principal: Option<String>,
    /// About this tool.
    #[arg(long, value_name = "TOOL")]
    pub(crate) tool: Option<String>,
    /// About this method.
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// With this decision: `allow`, `deny`, `refuse`, `hold`, …
    #[arg(long, value_name = "DECISION")]
    pub(crate) decision: Option<String>,
    /// Under this rule, or all that begin so (`tool/`).
    #[arg(long, value_name = "RULE")]
    pub(crate) rule: Option<String>,
    /// Of this kind: `client-line`, `server-line`, `server-stderr`, `decision`, …
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// With these characters in the line that passed or in what was decided about it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditExport {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The file to write. It must not be there yet.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct AuditQuery {
    #[command(flatten)]
    pub(crate) which: Which,
    /// At most so many, the newest.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub(crate) limit: usize,
    /// Only how many.
    #[arg(long)]
    pub(crate) count: bool,
    /// How many of each.
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    pub(crate) group_by: Vec<GroupBy>,
    /// Print payloads whole.
    #[arg(long)]
    pub(crate) full: bool,
    /// Go on as records come.
    #[arg(short, long, conflicts_with_all = ["count", "group_by"])]
    pub(crate) follow: bool,
}

/// What records are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupBy {
    Server,
    Session,
    Principal,
    Kind,
    Decision,
    Rule,
    Method,
    Tool,
    Day,
    Hour,
}

impl GroupBy {
    /// Whether it stands in a record's facts.
    pub(crate) const fn is_of_facts(self) -> bool {
        matches!(self, Self::Decision | Self::Rule | Self::Method | Self::Tool)
    }

    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Session => "session",
            Self::Principal => "principal",
            Self::Kind => "kind",
            Self::Decision => "decision",
            Self::Rule => "rule",
            Self::Method => "method",
            Self::Tool => "tool",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct AuditProve {
    /// `SESSION:SEQ`; the first digits of a session are enough.
    pub(crate) reference: String,
    /// Prove what the record says without showing the bytes that passed.
    #[arg(long)]
    pub(crate) without_payload: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditPrune {
    /// Days since a session's last record; 90 at least.
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    pub(crate) older_than: u64,
    /// Also sessions that a sink of cofferdam.toml does not have whole.
    #[arg(long)]
    pub(crate) unshipped: bool,
    /// Only say what would go.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write a systemd timer that prunes every day, and prune nothing now.
    #[arg(long, conflicts_with_all = ["older_than", "unshipped", "dry_run"])]
    pub(crate) install_timer: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HoldVerb {
    /// Hold a session, a server, or everything.
    Add(HoldAdd),
    /// What is held, by whom and why.
    List,
    /// End a hold.
    Remove(HoldRemove),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["session", "server", "everything"]))]
pub(crate) struct HoldAdd {
    /// Sessions whose id begins so.
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Sessions of this server.
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,
    /// Every session.
    #[arg(long, conflicts_with_all = ["session", "server"])]
    pub(crate) everything: bool,
    /// Why, for whoever reads it later.
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
}

#[derive(Debug, Args)]
pub(crate) struct HoldRemove {
    /// The hold, as `audit hold list` shows it.
    pub(crate) id: String,
    /// Why, for whoever reads it later.
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
}

#[derive(Debug, Args)]
pub(crate) struct AuditCompress {
    /// Also what was written to within the last two hours.
    #[arg(long)]
    pub(crate) all: bool,
}
