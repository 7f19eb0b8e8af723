//! How long decoding takes: `cargo run --release -p cofferdam-protocol --example decode_speed`.
#![expect(clippy::print_stdout, reason = "an example that reports numbers")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use cofferdam_protocol::{Decoded, Frame, LineBuffer, Sender, Session, SessionLimits, decode};

/// Best of this many rounds.
const ROUNDS: usize = 9;

fn main() {
    let call = call_of(&"x".repeat(60));
    println!("{}", report("200 B call", &call));
    println!("{}", report("10 KB call, structured", &structured_call(10_000)));
    println!("{}", report("10 KB call, one string", &call_of(&"y".repeat(10_000))));
    println!("{}", report("10 KB tool list", &tool_list(10_000)));
    println!("{}", report("115 KB tool list", &tool_list(115_000)));
    println!("{}", report("1 MB string", &call_of(&"z".repeat(1_000_000))));
    println!(
        "{}",
        report("1 MB string, all escapes", &call_of(&"\\n".repeat(500_000)))
    );
    println!(
        "{}",
        report("1 MB string, two-byte text", &call_of(&"\u{e9}".repeat(500_000)))
    );
    println!("{}", report("1 MB, 100k keys in one object", &many_keys(100_000)));
    println!("{}", report("1 MB, 100k escaped keys", &many_escaped_keys(100_000)));
    println!(
        "{}",
        report(
            "1 MB of empty objects",
            &call_of_raw(&format!("[{}{{}}]", "{},".repeat(300_000)))
        )
    );
    println!(
        "{}",
        report(
            "10 KB refused (duplicate key)",
            &structured_call(10_000).replace("\"last\"", "\"k0\"")
        )
    );
    println!("admit a call and its answer: {:?}", admit_speed());
    println!("cut 64 KiB reads into 200 B lines: {:?} a line", cut_speed(&call));
}

fn call_of(text: &str) -> String {
    call_of_raw(&format!("{{\"text\":\"{text}\"}}"))
}

fn call_of_raw(arguments: &str) -> String {
    let meta = r#"{"progressToken":1}"#;
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":12,\"method\":\"tools/call\",\"params\":{{\"name\":\"echo\",\"arguments\":{arguments},\"_meta\":{meta}}}}}\n"
    )
}

fn structured_call(bytes: usize) -> String {
    let items: Vec<String> = (0..bytes / 40)
        .map(|number| format!("\"k{number}\":{{\"path\":\"/tmp/f{number}\",\"mode\":4}}"))
        .collect();
    call_of_raw(&format!("{{{},\"last\":0}}", items.join(",")))
}

fn tool_list(bytes: usize) -> String {
    let tool = |number: usize| {
        format!(
            "{{\"name\":\"tool_{number}\",\"description\":\"Reads a file and gives back its content, {number} lines at most\",\"inputSchema\":{{\"type\":\"object\",\
             \"properties\":{{\"path\":{{\"type\":\"string\",\"description\":\"Where\"}},\"limit\":{{\"type\":\"integer\",\"minimum\":1}}}},\"required\":[\"path\"]}}}}"
        )
    };
    let tools: Vec<String> = (0..bytes / 260).map(tool).collect();
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{{\"tools\":[{}]}}}}\n",
        tools.join(",")
    )
}

fn many_keys(count: usize) -> String {
    let keys: Vec<String> = (0..count).map(|number| format!("\"{number}\":0")).collect();
    call_of_raw(&format!("{{{}}}", keys.join(",")))
}

fn many_escaped_keys(count: usize) -> String {
    let keys: Vec<String> = (0..count).map(|number| format!("\"\\u0061{number}\":0")).collect();
    call_of_raw(&format!("{{{}}}", keys.join(",")))
}

fn report(name: &str, line: &str) -> String {
    let repeats = (20_000_000 / line.len().max(2_000)).clamp(3, 20_000);
    let took = best(repeats, || {
        let outcome = decode(line.as_bytes().to_vec());
        black_box(outcome.is_ok())
    });
    let copied = best(repeats, || black_box(line.as_bytes().to_vec()).is_empty());
    format!(
        "{name:34} {:>8} B  {:>10.3} µs (copying the line: {:.3})",
        line.len(),
        micros(took),
        micros(copied)
    )
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The best mean of several rounds.
fn best(repeats: usize, mut work: impl FnMut() -> bool) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..repeats {
            black_box(work());
        }
        best = best.min(started.elapsed() / u32::try_from(repeats).unwrap_or(u32::MAX));
    }
    best
}

fn admit_speed() -> Duration {
    let mut session = Session::new(SessionLimits { in_flight: 64 });
    let mut number = 0_u32;
    best(20_000, || {
        number += 1;
        let call = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"tools/call\",\"params\":{{\"name\":\"echo\",\"arguments\":{{\"a\":1}}}}}}"
        );
        let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\":{number},\"result\":{{\"content\":[]}}}}");
        let (Ok(Decoded::Message(call)), Ok(Decoded::Message(answer))) =
            (decode(call.into_bytes()), decode(answer.into_bytes()))
        else {
            return false;
        };
        session.admit(Sender::Client, &call, 0).is_ok() && session.admit(Sender::Server, &answer, 0).is_ok()
    })
}

fn cut_speed(line: &str) -> Duration {
    let input = line.repeat(64 * 1024 / line.len());
    let lines = u32::try_from(64 * 1024 / line.len()).unwrap_or(1);
    let mut buffer = LineBuffer::new(1 << 24);
    let took = best(200, || {
        let spare = buffer.spare();
        let Some(room) = spare.get_mut(..input.len()) else {
            return false;
        };
        room.copy_from_slice(input.as_bytes());
        buffer.filled(input.len());
        let mut count = 0;
        while let Some(Frame::Line(line)) = buffer.next_frame() {
            count += black_box(line).len();
        }
        count == input.len()
    });
    took / lines
}
