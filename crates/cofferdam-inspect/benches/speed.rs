//! Time per call and per list, printed beside its goal (DESIGN section 10): `cargo bench -p cofferdam-inspect`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use cofferdam_inspect::{ArgumentSchema, Facts, Guard, NoLinks, SecretValues, inspect_answer, inspect_definition};
use serde_json::json;

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

fn main() -> std::io::Result<()> {
    let definition = json!({
        "name": "write_file",
        "description": "Creates or overwrites a file. Use with care: existing content is replaced without warning.",
        "inputSchema": {"type": "object", "required": ["path"], "properties": {
            "path": {"type": "string", "description": "Where to write"},
            "content": {"type": "string"}, "mode": {"type": "string", "enum": ["create", "append"]},
        }},
    });
    let schema = ArgumentSchema::compile(&definition.to_string()).map_err(std::io::Error::other)?;
    let guard = Guard::new("write_file", definition.get("inputSchema"), &BTreeMap::new());
    let facts = Facts {
        roots: None,
        links: &NoLinks,
        hosts: &[],
        secrets: SecretValues::NONE,
    };
    let mut out = std::io::stdout().lock();
    for (name, content, goal) in [("200-byte call", 120, 6.0), ("10 KB call", 10_000, 25.0)] {
        let content: String = "Words, as people write them; and `code`.\n"
            .chars()
            .cycle()
            .take(content)
            .collect();
        let arguments =
            json!({"path": "/home/user/project/src/main.rs", "content": content, "mode": "create"}).to_string();
        let took = median(|| {
            let parsed = serde_json::from_str(&arguments).unwrap_or_default();
            black_box((schema.check(Some(&arguments)), guard.check(&parsed, &facts)));
        });
        writeln!(out, "{name:20} {took:8.2} us   goal {goal} us")?;
    }
    for (name, bytes, goal) in [("200-byte answer", 120, 6.0), ("10 KB answer", 10_000, 25.0)] {
        let content: String = "Words, as people write them; and `code`.\n"
            .chars()
            .cycle()
            .take(bytes)
            .collect();
        let answer =
            json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": content}]}}).to_string();
        let took = median(|| drop(black_box(inspect_answer(&answer))));
        writeln!(out, "{name:20} {took:8.2} us   goal {goal} us")?;
    }
    let list: Vec<String> = (0..100)
        .map(|index| {
            definition
                .to_string()
                .replace("write_file", &format!("write_file_{index}"))
        })
        .collect();
    let took = median(|| {
        list.iter()
            .for_each(|definition| drop(black_box(inspect_definition(definition))))
    });
    writeln!(out, "{:20} {took:8.2} us   goal 1000 us", "100-tool list")?;
    Ok(())
}
