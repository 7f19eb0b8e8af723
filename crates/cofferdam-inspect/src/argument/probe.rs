//! Temporary.
use std::time::Instant;
use serde_json::{Value, json};
use super::ArgumentSchema;
pub(crate) fn nested(depth: usize, leaf: Value) -> Value { (0..depth).fold(leaf, |inner, _| json!({"a": inner})) }
fn wrap(kind: &str, inner: Value) -> Value {
    match kind {
        "allOf" => json!({"allOf": [inner]}), "anyOf" => json!({"anyOf": [inner, false]}), "oneOf" => json!({"oneOf": [inner, false]}),
        "not" => json!({"not": inner}), "if" => json!({"if": inner, "then": true, "else": false}),
        "dep" => json!({"dependentSchemas": {"a": inner}}),
        "uneval" => json!({"anyOf": [inner, false], "unevaluatedProperties": false}),
        "unevalif" => json!({"if": inner, "then": true, "unevaluatedProperties": false}),
        _ => unreachable!(),
    }
}
pub(crate) fn extreme(kind: &str, depth: usize, extra: Value) -> Value {
    let mut defs = serde_json::Map::new();
    for step in 0..depth {
        let next = json!({"$ref": format!("#/$defs/d{}", step + 1)});
        defs.insert(format!("d{step}"), if kind == "ref" { next } else if step % 2 == 0 { wrap(kind, json!({"$ref": format!("#/$defs/d{}", step + 2)})) } else { json!(true) });
    }
    let last = if kind == "ref" { depth } else { depth + depth % 2 };
    let mut end = json!({"type": "object"});
    let back = json!({"$ref": "#/$defs/d0"});
    match extra.as_str().unwrap() { "props" => end["properties"] = json!({"a": back}), "addl" => end["additionalProperties"] = back, "uneval" => end["unevaluatedProperties"] = back, "pattern" => end["patternProperties"] = json!({"a": back}), _ => unreachable!() }
    defs.insert(format!("d{last}"), end);
    json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": defs})
}
fn compile(s: &Value) -> Result<ArgumentSchema, super::SchemaUnusable> { ArgumentSchema::compile(&json!({"name":"t","inputSchema":s}).to_string()) }
#[test]
fn probe() {
    let Ok(case) = std::env::var("PROBE_CASE") else { return };
    let stack: usize = std::env::var("PROBE_STACK").unwrap().parse().unwrap();
    let depth: usize = std::env::var("PROBE_DEPTH").unwrap().parse().unwrap();
    let (kind, extra) = case.split_once('/').unwrap();
    let schema = extreme(kind, depth, json!(extra));
    std::thread::Builder::new().stack_size(stack * 1024).spawn(move || {
        let began = Instant::now();
        let s = compile(&schema);
        eprintln!("{case} compile {:?} {:?}", began.elapsed(), s.as_ref().err());
        let s = s.unwrap();
        let began = Instant::now();
        let f = s.check(Some(&nested(64, json!(7)).to_string()));
        let g = s.check(Some(&nested(63, json!({})).to_string()));
        eprintln!("{case} check {:?} {:?} {:?}", began.elapsed(), f.iter().map(|f| &f.evidence).collect::<Vec<_>>(), g.len());
    }).unwrap().join().unwrap();
}
#[test]
fn corpus() {
    let Ok(text) = std::fs::read_to_string("/work/shared/corpora/tools.jsonl") else { return };
    let (mut tried, mut bad, mut heavy, mut deep) = (0, 0, 0, 0);
    for line in text.lines() {
        let v: Value = serde_json::from_str(line).unwrap();
        let tool = &v["tool"];
        if tool.get("inputSchema").is_none() { continue }
        tried += 1;
        match ArgumentSchema::compile(&tool.to_string()) { Err(e) => { bad += 1; eprintln!("refused {} {e} {}", tool["name"], tool["inputSchema"].to_string().chars().take(200).collect::<String>()) } Ok(s) => { heavy = heavy.max(s.expansion.weight); deep = deep.max(s.expansion.recursive.len()); } }
    }
    eprintln!("tried {tried} refused {bad} heaviest {heavy} recursive {deep}");
}
#[test]
fn hostile() {
    if std::env::var("PROBE_HOSTILE").is_err() { return }
    let go = |name: &str, schema: Value, args: Value| {
        let began = Instant::now();
        let s = compile(&schema);
        eprint!("{name}: compile {:?} ", began.elapsed());
        match s { Err(e) => eprintln!("{e}"), Ok(s) => {
            let began = Instant::now();
            let f = s.check(Some(&args.to_string()));
            eprintln!("weight {} rec {} check {:?} {:?}", s.expansion.weight, s.expansion.recursive.len(), began.elapsed(), f.iter().map(|f| &f.evidence).collect::<Vec<_>>());
        } }
    };
    let twice = json!({"type": "object", "allOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]});
    go("twice-any/7", json!({"type": "object", "anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]}), nested(55, json!(7)));
    go("twice/7", twice.clone(), nested(55, json!(7)));
    go("twice/{}", twice, nested(55, json!({})));
    for closing in [false, true] {
        let mut defs = serde_json::Map::new();
        for level in 0..26 {
            let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            defs.insert(format!("d{level}"), json!({"allOf": [{"properties": {"a": next}}, {"properties": {"a": next}}]}));
        }
        defs.insert("d26".into(), if closing { json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}}) } else { json!({"type": "object"}) });
        let s = json!({"type": "object", "$ref": "#/$defs/d0", "$defs": defs});
        go(&format!("doubling closing {closing} 7"), s.clone(), nested(60, json!(7)));
        go(&format!("doubling closing {closing} {{}}"), s, nested(60, json!({})));
    }
    // Recursion through what asks again.
    let n = json!({"$ref": "#/$defs/c", "unevaluatedProperties": false});
    let x = json!({"properties": {"a": n}});
    go("asks again", json!({"type": "object", "$ref": "#/$defs/c", "$defs": {"c": {"type": "object", "anyOf": [x, x]}}}), nested(60, json!({})));
    go("asks again/7", json!({"type": "object", "$ref": "#/$defs/c", "$defs": {"c": {"type": "object", "anyOf": [x, x]}}}), nested(60, json!(7)));
    let mut inner = json!({"type": "object"});
    for _ in 0..14 { inner = json!({"anyOf": [inner], "unevaluatedProperties": false}); }
    go("inline asks again", inner, json!({}));
    for k in ["uneval", "unevalif"] { for e in ["props", "pattern"] {
        go(&format!("{k}/{e}"), extreme(k, 14, json!(e)), nested(63, json!({})));
    } }
    // In-place graph of references that compile asks again.
    let mut defs = serde_json::Map::new();
    for level in 0..7 { let r = json!({"$ref": format!("#/$defs/d{}", level + 1)}); defs.insert(format!("d{level}"), json!({"anyOf": [r, r], "unevaluatedProperties": false})); }
    defs.insert("d7".into(), json!({"type": "object"}));
    go("asking twice", json!({"$ref": "#/$defs/d0", "$defs": defs}), json!({}));
    // Anchors.
    let mut props = serde_json::Map::new(); let mut defs = serde_json::Map::new();
    for i in 0..6000 { props.insert(format!("p{i}"), json!({"$ref": format!("#a{i}")})); defs.insert(format!("d{i}"), json!({"$anchor": format!("a{i}"), "type": "string"})); }
    go("anchors", json!({"type": "object", "properties": props, "$defs": defs}), json!({"p5999": "x", "P1": 2}));
    // A long chain of children.
    for closing in [false, true] {
        let mut defs = serde_json::Map::new();
        for i in 0..6000 { defs.insert(format!("d{i}"), json!({"properties": {"a": {"$ref": format!("#/$defs/d{}", i + 1)}}})); }
        defs.insert("d6000".into(), if closing { json!({"properties": {"a": {"$ref": "#/$defs/d0"}}}) } else { json!({}) });
        go(&format!("long chain {closing}"), json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": defs}), nested(60, json!(7)));
    }
    let big = Value::Array((0..200_000).map(|n| json!(n)).collect());
    go("big plain", json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer", "minimum": 0}}}}), json!({"a": big}));
    go("big wrong", json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}}), json!({"a": big}));
    // Many arrays inside recursion.
    let tree = json!({"type": "object", "properties": {"v": {}, "children": {"type": "array", "items": {"$ref": "#"}}}});
    fn grow(depth: usize) -> Value { if depth == 0 { json!({"v": 1}) } else { json!({"v": 1, "children": [grow(depth - 1), grow(depth - 1)]}) } }
    go("tree of 2^14", tree.clone(), grow(14));
    go("deep tree", tree, (0..30).fold(json!({}), |inner, _| json!({"children": [inner]})));
    let logic = json!({"type": "object", "$ref": "#/$defs/e", "$defs": {"e": {"oneOf": [
        {"type": "object", "properties": {"op": {"const": "and"}, "args": {"type": "array", "items": {"$ref": "#/$defs/e"}}}, "required": ["op", "args"]},
        {"type": "object", "properties": {"op": {"const": "or"}, "args": {"type": "array", "items": {"$ref": "#/$defs/e"}}}, "required": ["op", "args"]},
        {"type": "object", "properties": {"op": {"const": "is"}}, "required": ["op"], "maxProperties": 1}]}}});
    fn logical(depth: usize) -> Value { if depth == 0 { json!({"op": "is"}) } else { json!({"op": "and", "args": [logical(depth - 1), logical(depth - 1)]}) } }
    go("logic of 2^10", logic.clone(), logical(10));
    go("logic deep", logic, (0..28).fold(json!({"op": "is"}), |inner, _| json!({"op": "or", "args": [inner]})));
    // What many places judge again and again.
    let mut refs = Vec::new();
    for _ in 0..1000 { refs.push(json!({"properties": {"a": {"items": {"$ref": "#"}}}})); }
    go("many", json!({"type": "object", "allOf": refs}), json!({"a": (0..5000).map(|_| json!({})).collect::<Vec<_>>()}));
}
