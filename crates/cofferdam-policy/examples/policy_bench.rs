//! Times of decisions with 10, 100 and 1,000 policies, and of loading them. `cargo xtask bench` builds and runs this in release.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]

use std::time::{Duration, Instant};

use cofferdam_policy::{
    Asked, DEFAULT_POLICIES, Layer, Level, Moment, Policies, PolicyError, PolicyFile, ServerFacts, ToolFacts, World,
};

/// Decisions that are timed, after a tenth of them to warm up.
const DECISIONS: usize = 20_000;
/// Tools of the server, one of which is called.
const TOOLS: usize = 30;

fn main() -> Result<(), PolicyError> {
    println!(
        "{:<34} {:>6} {:>10} {:>10} {:>10}",
        "policies", "rules", "p50 µs", "p99 µs", "load ms"
    );
    let shipped: String = DEFAULT_POLICIES.iter().map(|(_, text)| *text).collect();
    measure("shipped, known at load", 0, shipped)?;
    for count in [10, 100, 1_000] {
        // Spread over the tools, as policies that name tools are: a thirtieth of them is about the one that is called.
        measure(
            "typed arguments, one tool each",
            count,
            policies(count, |rule| rule % TOOLS),
        )?;
        measure("typed arguments, all on the tool", count, policies(count, |_| 0))?;
    }
    Ok(())
}

fn policies(count: usize, tool: impl Fn(usize) -> usize) -> String {
    let rules = (1..count).map(|rule| {
        let tool = tool(rule);
        format!(
            "forbid(principal, action == Action::\"fs/tool{tool}\", resource) when {{ context.input.path like \"/secret{rule}/*\" || context.input.bytes > {} }};\n",
            1_000_000 + rule
        )
    });
    rules
        .chain(["permit(principal, action, resource);\n".to_owned()])
        .collect()
}

fn measure(what: &str, count: usize, text: String) -> Result<(), PolicyError> {
    let tools = (0..TOOLS).map(|tool| ToolFacts {
        name: format!("tool{tool}"),
        definition: format!(
            r#"{{"name":"tool{tool}","inputSchema":{{"type":"object","required":["path","bytes"],"properties":{{"path":{{"type":"string"}},"bytes":{{"type":"integer"}}}}}}}}"#
        ),
    });
    let world = World {
        user: "ann".to_owned(),
        groups: vec!["staff".to_owned()],
        is_ci: false,
        server: ServerFacts {
            name: "fs".to_owned(),
            is_pinned: true,
            writes: false,
            network: false,
            sockets: false,
            programs: false,
            hosts: Vec::new(),
            secrets: Vec::new(),
        },
        tools: tools.collect(),
    };
    let file = PolicyFile {
        layer: Layer::User,
        name: "bench.cedar".to_owned(),
        text,
    };
    let began = Instant::now();
    let policies = Policies::load(&[file], &world)?;
    let load = began.elapsed();
    let asked = Asked::Call {
        tool: "tool0",
        arguments: Some(r#"{"path":"/home/ann/projects/shop/src/main.rs","bytes":4096}"#),
    };
    let mut times = Vec::with_capacity(DECISIONS);
    for round in 0..DECISIONS + DECISIONS / 10 {
        let began = Instant::now();
        let ruling = policies.rule(asked, &Moment::default(), Level::Nobody, false);
        let took = began.elapsed();
        std::hint::black_box(&ruling);
        if round >= DECISIONS / 10 {
            times.push(took);
        }
    }
    times.sort_unstable();
    let micros = |quantile: usize| {
        times
            .get(DECISIONS * quantile / 100)
            .copied()
            .unwrap_or(Duration::MAX)
            .as_secs_f64()
            * 1e6
    };
    println!(
        "{what:<34} {count:>6} {:>10.2} {:>10.2} {:>10.1}",
        micros(50),
        micros(99),
        load.as_secs_f64() * 1e3
    );
    Ok(())
}
