//! `audit export`: what an analyst's own tools read of the record.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::driven::installed;
use crate::support::{Stage, said_in, text};

/// A session with calls that pass, one that is refused, and bytes that are no ASCII.
fn stage() -> Stage {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    gate.request("tools/list", json!({}));
    for number in 0..30 {
        let message = format!("číslo {number} \u{1F980} 'quoted\" \\ and\nbroken");
        assert_eq!(said_in(&gate.call("echo", json!({"message": message}))), message);
    }
    gate.call("nowhere", json!({"message": "refused of course"}));
    assert!(gate.end().success());
    stage
}

/// What DuckDB, which the test command installs, answers to a question about the file.
fn duckdb(file: &Path, question: &str) -> Value {
    let script = "import duckdb, json, sys\n\
                  relation = duckdb.sql(sys.argv[2].replace('RECORD', repr(sys.argv[1])))\n\
                  print(json.dumps([[v.decode() if isinstance(v, bytes) else v for v in row] for row in relation.fetchall()], default=str))";
    let mut python = Command::new(installed("collectors/bin/python"));
    let asked = python.args(["-c", script]).arg(file).arg(question).output().unwrap();
    assert!(asked.status.success(), "{}", text(&asked.stderr));
    serde_json::from_slice(&asked.stdout).unwrap()
}

#[test]
fn duckdb_reads_every_record_as_it_is() {
    let stage = stage();
    let file = stage.workspace().join("record.parquet");
    let path = file.to_str().unwrap();
    let exported = stage.run(&["--format", "parquet", "audit", "export", path]);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let asked = stage.run(&["--format", "json", "audit", "query", "--full", "--limit", "100000"]);
    let mut records: Vec<Value> = text(&asked.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), stage.records().len());
    records.sort_by_key(|record| (record["session"].to_string(), record["seq"].as_u64()));
    let rows = duckdb(
        &file,
        "SELECT session, seq, server, kind, decision, rule, tool, facts, payload, payload_bytes, sealed FROM RECORD ORDER BY session, seq",
    );
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), records.len());
    for (row, record) in rows.iter().zip(&records) {
        let word = |name: &str| record["facts"].get(name).cloned().unwrap_or(Value::Null);
        let wanted = json!([
            record["session"],
            record["seq"],
            record["server"],
            record["kind"],
            word("decision"),
            word("rule"),
            word("tool"),
            row[7],
            record["payload"],
            record["payload"].as_str().unwrap().len(),
            false
        ]);
        assert_eq!(*row, wanted);
        let facts: Value = serde_json::from_str(row[7].as_str().unwrap()).unwrap_or(Value::Null);
        assert_eq!(facts, record["facts"]);
    }
    let counted = duckdb(
        &file,
        "SELECT decision, count(*) FROM RECORD WHERE tool = 'nowhere' GROUP BY decision",
    );
    assert_eq!(counted, json!([["deny", 1]]));
    let fresh = duckdb(
        &file,
        "SELECT count(*) FROM RECORD WHERE time::TIMESTAMPTZ BETWEEN now() - INTERVAL 1 HOUR AND now()",
    );
    assert_eq!(fresh, json!([[records.len()]]), "the time is a time");
}

#[test]
fn a_question_bounds_what_is_exported_and_nothing_is_overwritten_or_half_written() {
    let stage = stage();
    let file = stage.workspace().join("calls.jsonl");
    let path = file.to_str().unwrap();
    let export = |arguments: &[&str]| stage.run(&[&["--format", "json", "audit", "export", path], arguments].concat());
    let exported = export(&["--tool", "echo", "--kind", "client-line"]);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(written.lines().count(), 30);
    assert!(written.lines().all(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        row["facts"]["tool"] == "echo" && row["payload"].as_str().unwrap().contains("číslo")
    }));
    let again = export(&[]);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        text(&again.stderr).contains("is there already"),
        "{}",
        text(&again.stderr)
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(export(&["--tool", "never-called"]).status.code(), Some(3));
    let text_form = stage.run(&["audit", "export", path]);
    assert_eq!(text_form.status.code(), Some(2));
    let elsewhere = stage.run(&["--format", "parquet", "audit", "tail"]);
    assert_eq!(elsewhere.status.code(), Some(2), "only `export` has such an output");
    // A segment that is damaged in its middle: what could be read is there, and it is said that it is not all.
    let segment = crate::recording::segments(&stage).pop().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2_000].fill(0xff);
    std::fs::write(&segment, &bytes).unwrap();
    let broken = export(&[]);
    assert_eq!(broken.status.code(), Some(1), "{}", text(&broken.stderr));
    assert!(
        text(&broken.stderr).contains("the file is not all there is"),
        "{}",
        text(&broken.stderr)
    );
    let names = std::fs::read_dir(stage.workspace())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let partial = names.filter(|name| name.to_string_lossy().contains("partial")).count();
    assert_eq!(partial, 0);
}
