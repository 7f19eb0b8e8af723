//! Time per call, answer and list, printed beside its goal (DESIGN section 10): `cargo bench -p cofferdam-inspect`.
//!
//! With the name of a case behind `--`, only that case runs, once for each number behind it: for a profiler that counts instructions.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use cofferdam_inspect::{ArgumentSchema, Facts, Guard, NoLinks, SecretValues, inspect_answer, inspect_definition};
use serde_json::{Value, json};

/// Bytes of the larger payloads.
const PAYLOAD_BYTES: usize = 10_000;

/// Median microseconds of one run of `work`, over batches.
fn median(mut work: impl FnMut()) -> f64 {
    let mut batches: Vec<f64> = (0..41)
        .map(|_| {
            let began = Instant::now();
            (0..50).for_each(|_| work());
            began.elapsed().as_secs_f64() * 1e6 / 50.0
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    batches.get(20).copied().unwrap_or_default()
}

/// Honest payloads of each kind, by name.
fn payloads() -> Vec<(&'static str, String)> {
    let prose = "The ferry leaves the old harbour at nine, and on most mornings the fog has gone by then. People carry bicycles on \
                 board, children count gulls, and somebody sells coffee from a tin. Tickets can be bought on the quay or from the \
                 purser; a return costs less than two singles. In winter the boat runs twice a day, since few visit the island \
                 then. The lighthouse was built of granite in 1871. Its keeper wrote down the weather every evening!\n\n- Bring \
                 warm clothes.\n- The path around the island takes three hours, with stops for the view.\n\n";
    let code = "/// Counts the words of each line.\npub fn counts(lines: &[String]) -> Vec<usize> {\n    let mut counts = \
                Vec::with_capacity(lines.len());\n    for line in lines {\n        let words = \
                line.split_whitespace().filter(|word| word.len() > 2);\n        counts.push(words.count());\n    }\n    if \
                counts.iter().all(|count| *count == 0) {\n        return Err(Error::Empty { at: lines.len(), path: \
                format!(\"{}/{}\", self.root, name) });\n    }\n    counts\n}\n\n";
    let data = "{\"id\": 48213, \"kind\": \"order\", \"placed_at\": \"2026-11-21T08:14:05Z\", \"lines\": [{\"sku\": \"AB-1092\", \
                \"count\": 3, \"price\": 12.50}, {\"sku\": \"ZK-77\", \"count\": 1, \"price\": 80}], \"customer\": {\"name\": \
                \"Ada Byron\", \"city\": \"London\"}, \"total\": 117.5, \"paid\": true},\n";
    let log = "2026-11-21T08:14:05.113Z INFO  http: GET /v1/orders/48213 200 in 12 ms, 1893 bytes to 10.1.7.22:51514\n\
               2026-11-21T08:14:05.201Z DEBUG pool: connection 17 is idle, 4 of 32 in use\n";
    let base64 =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg0KGgoAAAANSUhE";
    let german = "Die Fähre legt um neun Uhr ab, und meist hat sich der Nebel bis dahin gelöst. Über den Dächern kreisen Möwen; \
                  später wird es wärmer. Für die Rückfahrt gibt es ermäßigte Karten – man löst sie am Kai.\n";
    let chinese = "渡轮每天早上九点离开旧港，大多数早晨雾已经散了。人们带着自行车上船，孩子们数着海鸥。冬天船一天只开两次。灯塔建于一八七一年。\n";
    let russian = "Паром отходит от старой пристани в девять утра, и туман к этому времени почти рассеялся. Дети считают чаек; зимой судно ходит дважды в день.\n";
    let filled = |text: &str| -> String {
        text.chars()
            .cycle()
            .take(PAYLOAD_BYTES * text.chars().count() / text.len())
            .collect()
    };
    [
        ("prose", prose),
        ("code", code),
        ("json", data),
        ("log", log),
        ("base64", base64),
        ("german", german),
        ("chinese", chinese),
        ("russian", russian),
    ]
    .map(|(name, text)| (name, filled(text)))
    .to_vec()
}

fn definition(name: &str) -> Value {
    json!({
        "name": name,
        "description": "Creates or overwrites a file. Use with care: existing content is replaced without warning.",
        "inputSchema": {"type": "object", "required": ["path"], "properties": {
            "path": {"type": "string", "description": "Where to write"},
            "content": {"type": "string"}, "mode": {"type": "string", "enum": ["create", "append"]},
        }},
    })
}

/// A name, a goal in microseconds, and what is done.
type Case = (String, f64, Box<dyn FnMut()>);

/// Every case: its name, its goal in microseconds, and what it does.
fn cases() -> Result<Vec<Case>, std::io::Error> {
    let mut cases: Vec<Case> = Vec::new();
    let short = "Words, as people write them; and `code`.\n".repeat(3);
    let all = [("200-byte", short)].into_iter().chain(payloads());
    for (kind, content) in all {
        let goal = if content.len() < 1000 { 6.0 } else { 25.0 };
        let definition = definition("write_file");
        let schema = ArgumentSchema::compile(&definition.to_string()).map_err(std::io::Error::other)?;
        let guard = Guard::new("write_file", definition.get("inputSchema"), &BTreeMap::new());
        let arguments =
            json!({"path": "/home/user/project/src/main.rs", "content": content, "mode": "create"}).to_string();
        let call = move || {
            let facts = Facts {
                roots: None,
                links: &NoLinks,
                hosts: &[],
                secrets: SecretValues::NONE,
            };
            let parsed = serde_json::from_str(&arguments).unwrap_or_default();
            black_box((schema.check_value(&parsed), guard.check(&parsed, &facts)));
        };
        cases.push((format!("{kind} call"), goal, Box::new(call)));
        let answer =
            json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": content}]}}).to_string();
        cases.push((
            format!("{kind} answer"),
            goal,
            Box::new(move || drop(black_box(inspect_answer(&answer)))),
        ));
    }
    let list: Vec<String> = (0..100)
        .map(|index| definition(&format!("write_file_{index}")).to_string())
        .collect();
    let list = move || {
        list.iter()
            .for_each(|definition| drop(black_box(inspect_definition(definition))))
    };
    cases.push(("100-tool list".to_owned(), 1000.0, Box::new(list)));
    Ok(cases)
}

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let mut out = std::io::stdout().lock();
    for (name, goal, mut work) in cases()? {
        match words.as_slice() {
            [only, runs] if *only == name => (0..runs.parse().unwrap_or(1)).for_each(|_| work()),
            [_, _] => {}
            _ => writeln!(out, "{name:20} {:8.2} us   goal {goal} us", median(work))?,
        }
    }
    Ok(())
}
