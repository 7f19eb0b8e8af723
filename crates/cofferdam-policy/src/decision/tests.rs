//! What passes, what does not, and that nothing passes by accident.

use std::sync::LazyLock;

use cofferdam_inspect::{ArgumentSchema, Finding, Redaction};
use cofferdam_manifest::{ClientRequest, Consent};
use cofferdam_protocol::{Admitted, Batch, Decoded, Era, Message, Sender, decode};

use super::{Decision, decide, decide_batch};
use crate::context::{Context, Standing};
use crate::engine::{Layer, Moment, Policies, PolicyFile, ServerFacts, ToolFacts, World};
use crate::level::Level;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":1}}}"#;

fn message(line: &str) -> Message {
    match decode(line.as_bytes().to_vec()).unwrap() {
        Decoded::Message(message) => message,
        Decoded::Batch(_) => panic!("one message was meant"),
    }
}

fn batch(line: &str) -> Batch {
    match decode(line.as_bytes().to_vec()).unwrap() {
        Decoded::Batch(batch) => batch,
        Decoded::Message(_) => panic!("a batch was meant"),
    }
}

fn admitted() -> Admitted {
    Admitted {
        era: Era::Legacy(None),
        answers: None,
        number: None,
    }
}

/// Policies that permit everything, for a server with the one tool `t`.
fn permissive() -> &'static Policies {
    static POLICIES: LazyLock<Policies> = LazyLock::new(|| policies("permit(principal, action, resource);"));
    &POLICIES
}

fn policies(text: &str) -> Policies {
    let world = World {
        user: "ann".to_owned(),
        groups: Vec::new(),
        is_ci: false,
        server: ServerFacts {
            name: "s".to_owned(),
            is_pinned: true,
            writes: false,
            network: false,
            sockets: false,
            programs: false,
            hosts: Vec::new(),
            secrets: Vec::new(),
        },
        tools: vec![ToolFacts {
            name: "t".to_owned(),
            definition: r#"{"name":"t","inputSchema":{"type":"object","properties":{"a":{"type":"integer"}}}}"#
                .to_owned(),
        }],
    };
    let file = PolicyFile {
        layer: Layer::User,
        name: "x.cedar".to_owned(),
        text: text.to_owned(),
    };
    Policies::load(&[file], &world).unwrap()
}

fn context(admitted: &Admitted, sender: Sender, standing: Option<Standing>) -> Context<'_> {
    Context {
        sender,
        admitted,
        standing,
        client_requests: &[],
        calls_per_minute_max: 10,
        policies: permissive(),
        moment: Moment::default(),
    }
}

fn rule(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow(_) => "allow",
        Decision::Ask(unapproved) => unapproved.unanswered().rule,
        Decision::Deny(denied) => denied.rule,
    }
}

fn rule_of_call(standing: Option<Standing>) -> &'static str {
    let admitted = admitted();
    rule(decide(
        message(CALL),
        &context(&admitted, Sender::Client, standing),
        &[],
        &Redaction::none(),
    ))
}

fn bad_arguments() -> Vec<Finding> {
    let schema = ArgumentSchema::compile(r#"{"name":"t","inputSchema":{"type":"object","properties":{}}}"#).unwrap();
    schema.check(Some(r#"{"a":1}"#))
}

#[test]
fn a_call_passes_only_when_its_tool_is_pinned_or_nothing_is() {
    for (standing, expected) in [
        (Some(Standing::Pinned(Consent::Allow)), "allow"),
        (Some(Standing::Pinned(Consent::Deny)), "tool/denied"),
        (Some(Standing::NotInManifest), "tool/not-in-manifest"),
        (Some(Standing::Changed), "tool/changed"),
        (Some(Standing::NotOffered), "tool/not-offered"),
        (Some(Standing::Unverified), "tool/unverified"),
        (None, "tool/unnamed"),
    ] {
        assert_eq!(rule_of_call(standing), expected, "{standing:?}");
    }
}

#[test]
fn consent_that_nobody_can_give_is_a_denial() {
    for consent in [Consent::Ask, Consent::Person, Consent::Two] {
        assert_eq!(rule_of_call(Some(Standing::Pinned(consent))), "consent/unreachable");
    }
}

#[test]
fn a_high_finding_denies_even_what_is_pinned_and_before_anybody_is_asked() {
    let admitted = admitted();
    for consent in [Consent::Allow, Consent::Person] {
        let context = context(&admitted, Sender::Client, Some(Standing::Pinned(consent)));
        assert_eq!(
            rule(decide(message(CALL), &context, &bad_arguments(), &Redaction::none())),
            "argument/schema"
        );
    }
}

#[test]
fn the_rate_is_a_limit_for_calls_only() {
    let admitted = admitted();
    let mut context = context(&admitted, Sender::Client, Some(Standing::Pinned(Consent::Allow)));
    context.moment.rates.calls_last_minute = 11;
    assert_eq!(
        rule(decide(message(CALL), &context, &[], &Redaction::none())),
        "limit/calls-per-minute"
    );
    let ping = message(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_eq!(rule(decide(ping, &context, &[], &Redaction::none())), "allow");
}

#[test]
fn a_server_asks_the_client_only_for_what_is_granted() {
    let admitted = admitted();
    let ask = |method: &str, granted: &[ClientRequest]| {
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
        let context = Context {
            client_requests: granted,
            ..context(&admitted, Sender::Server, None)
        };
        rule(decide(message(&line), &context, &[], &Redaction::none()))
    };
    assert_eq!(ask("sampling/createMessage", &[]), "client-request/not-granted");
    assert_eq!(
        ask("sampling/createMessage", &[ClientRequest::Roots]),
        "client-request/not-granted"
    );
    assert_eq!(ask("sampling/createMessage", &[ClientRequest::Sampling]), "allow");
    assert_eq!(ask("roots/list", &[ClientRequest::Roots]), "allow");
    assert_eq!(ask("ping", &[]), "allow");
}

#[test]
fn what_passes_is_what_came_unless_something_is_taken_out() {
    let admitted = admitted();
    let line = "{\"jsonrpc\" : \"2.0\",\"id\":1,\"result\":{}}\n";
    let context = context(&admitted, Sender::Server, None);
    let Decision::Allow(permitted) = decide(message(line), &context, &[], &Redaction::none()) else {
        panic!("it passes")
    };
    assert_eq!(
        (permitted.line(), permitted.received()),
        (line.as_bytes(), line.as_bytes())
    );
    let mut redaction = Redaction::none();
    redaction.replace(34..36, "[]");
    let Decision::Allow(permitted) = decide(message(line), &context, &[], &redaction) else {
        panic!("it passes")
    };
    assert_ne!(permitted.line(), permitted.received());
    redaction.replace(1_000..1_001, "");
    assert_eq!(
        rule(decide(message(line), &context, &[], &redaction)),
        "redaction/failed"
    );
}

#[test]
fn a_batch_passes_whole_or_not_at_all() {
    let admitted = admitted();
    let line = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}, {"jsonrpc":"2.0","id":2,"method":"ping"}]"#;
    let allow = context(&admitted, Sender::Client, None);
    let judge = |message: Message| match decide(message, &allow, &[], &Redaction::none()) {
        Decision::Allow(permitted) => Ok(permitted),
        Decision::Ask(unapproved) => Err(unapproved.unanswered()),
        Decision::Deny(denied) => Err(denied),
    };
    let passed = decide_batch(batch(line), Sender::Client, judge).unwrap();
    assert_eq!(passed.line(), line.as_bytes(), "spaces and all");
    let mut count = 0;
    let (received, denied) = decide_batch(batch(line), Sender::Client, |message| {
        count += 1;
        if count == 1 {
            judge(message)
        } else {
            judge_as_call(message, &admitted)
        }
    })
    .unwrap_err();
    assert_eq!((received, denied.len()), (line.as_bytes().to_vec(), 2));
    assert_eq!(
        denied.iter().map(|one| one.rule).collect::<Vec<_>>(),
        ["batch/member-denied", "argument/schema"]
    );
}

fn judge_as_call(message: Message, admitted: &Admitted) -> Result<super::Permitted, Box<super::Denied>> {
    match decide(
        message,
        &context(admitted, Sender::Client, None),
        &bad_arguments(),
        &Redaction::none(),
    ) {
        Decision::Deny(denied) => Err(denied),
        _ => panic!("it is denied"),
    }
}

#[test]
fn the_basis_says_what_was_decided_and_why() {
    let admitted = admitted();
    let context = context(&admitted, Sender::Client, Some(Standing::Changed));
    let Decision::Deny(denied) = decide(message(CALL), &context, &[], &Redaction::none()) else {
        panic!("it is denied")
    };
    let expected = r#"{"decision":"deny","rule":"tool/changed","why":"the tool's live definition is not the one that was accepted","era":"legacy","method":"tools/call","id":"1","tool":"t"}"#;
    assert_eq!(denied.facts, expected);
}

#[test]
fn what_a_server_may_not_ask_it_may_not_ask_in_an_answer() {
    let admitted = admitted();
    let answer = |line: &str, granted: &[ClientRequest]| {
        let context = Context {
            client_requests: granted,
            ..context(&admitted, Sender::Server, None)
        };
        rule(decide(message(line), &context, &[], &Redaction::none()))
    };
    let embedded = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage"},"b":{"method":"roots/list"}}}}"#;
    assert_eq!(answer(embedded, &[]), "client-request/not-granted");
    assert_eq!(
        answer(embedded, &[ClientRequest::Sampling]),
        "client-request/not-granted"
    );
    assert_eq!(
        answer(embedded, &[ClientRequest::Sampling, ClientRequest::Roots]),
        "allow"
    );
    for unreadable in [r#"[]"#, r#"{"a":{}}"#, r#"{"a":7}"#, r#"{"a":{"method":"tools/call"}}"#] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"inputRequests":{unreadable}}}}}"#);
        assert_eq!(
            answer(
                &line,
                &[
                    ClientRequest::Sampling,
                    ClientRequest::Roots,
                    ClientRequest::Elicitation
                ]
            ),
            "client-request/not-granted",
            "{line}"
        );
    }
    let urls = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"sign in","data":{"elicitations":[]}}}"#;
    assert_eq!(answer(urls, &[]), "client-request/not-granted");
    assert_eq!(answer(urls, &[ClientRequest::Elicitation]), "allow");
    assert_eq!(
        answer(
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}"#,
            &[]
        ),
        "allow"
    );
}

#[test]
fn a_task_asks_only_for_what_is_granted() {
    let admitted = admitted();
    let decided = |line: &str, granted: &[ClientRequest]| {
        let context = Context {
            client_requests: granted,
            ..context(&admitted, Sender::Server, None)
        };
        rule(decide(message(line), &context, &[], &Redaction::none()))
    };
    let task = |requests: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/tasks","params":{{"taskId":"1","status":"input_required","inputRequests":{requests}}}}}"#
        )
    };
    let asks = task(r#"{"a":{"method":"elicitation/create","params":{}}}"#);
    assert_eq!(decided(&asks, &[]), "client-request/not-granted");
    assert_eq!(decided(&asks, &[ClientRequest::Sampling]), "client-request/not-granted");
    assert_eq!(decided(&asks, &[ClientRequest::Elicitation]), "allow");
    assert_eq!(
        decided(&task("[]"), &[ClientRequest::Elicitation]),
        "client-request/not-granted"
    );
    let working = r#"{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"1","status":"working"}}"#;
    assert_eq!(decided(working, &[]), "allow");
    // Nor does the result that a finished task brings along, however it comes.
    let inner = r#"{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage"}}}"#;
    for done in [
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"taskId":"1","status":"completed","result":{inner}}}}}"#),
        format!(r#"{{"jsonrpc":"2.0","method":"notifications/tasks","params":{{"taskId":"1","result":{inner}}}}}"#),
    ] {
        assert_eq!(decided(&done, &[]), "client-request/not-granted", "{done}");
        assert_eq!(decided(&done, &[ClientRequest::Sampling]), "allow", "{done}");
    }
}

#[test]
fn facts_stay_small_whatever_a_peer_names_itself() {
    let admitted = admitted();
    let huge = "x".repeat(2_000_000);
    let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{huge}"}}}}"#);
    let context = context(&admitted, Sender::Client, Some(Standing::NotInManifest));
    let Decision::Deny(denied) = decide(message(&line), &context, &[], &Redaction::none()) else {
        panic!("it is denied")
    };
    assert!(denied.facts.len() < 1_000, "{} bytes", denied.facts.len());
    let members = vec![denied.facts.as_str(); 10_000];
    assert!(super::batch_facts("deny", members.iter().copied()).len() < 300_000);
}

fn decided(text: &str, consent: Consent) -> Decision {
    let (admitted, policies) = (admitted(), policies(text));
    let context = Context {
        policies: &policies,
        ..context(&admitted, Sender::Client, Some(Standing::Pinned(consent)))
    };
    decide(message(CALL), &context, &[], &Redaction::none())
}

#[test]
fn policies_refuse_and_the_record_says_which() {
    let text = "permit(principal, action, resource);\nforbid(principal, action, resource) when { context has input && context.input has a && context.input.a == 1 };";
    let Decision::Deny(denied) = decided(text, Consent::Allow) else {
        panic!("it is denied")
    };
    assert_eq!(denied.rule, "policy/denied");
    assert!(denied.why.contains("x.cedar:2"), "{}", denied.why);
    let Decision::Allow(permitted) = decided("permit(principal, action, resource);", Consent::Allow) else {
        panic!("it passes")
    };
    assert!(
        permitted.facts().contains(r#""policy":"x.cedar:1""#),
        "{}",
        permitted.facts()
    );
}

#[test]
fn the_stricter_of_manifest_and_policy_is_asked_for() {
    for (text, consent, expected) in [
        ("permit(principal, action, resource);", Consent::Ask, Level::Attested),
        ("permit(principal, action, resource);", Consent::Two, Level::Two),
        (
            "permit(principal, action, resource) when { context.consent >= 3 };",
            Consent::Ask,
            Level::Person,
        ),
        (
            "permit(principal, action, resource) when { context.consent >= 1 };",
            Consent::Allow,
            Level::Attested,
        ),
    ] {
        let Decision::Ask(unapproved) = decided(text, consent) else {
            panic!("it asks: {text}")
        };
        assert_eq!(unapproved.level(), expected, "{text}");
        assert_eq!(unapproved.takes_grants(), consent == Consent::Allow);
    }
}

#[test]
fn only_enough_consent_lets_pass_and_the_bytes_are_those_received() {
    let ask = |consent| match decided("permit(principal, action, resource);", consent) {
        Decision::Ask(unapproved) => unapproved,
        _ => panic!("it asks"),
    };
    for too_little in [Level::Nobody, Level::Grant, Level::Attested] {
        assert_eq!(
            ask(Consent::Person).consented(too_little, "x").unwrap_err().rule,
            "consent/unreachable"
        );
    }
    let permitted = ask(Consent::Person).consented(Level::Person, "key ab").unwrap();
    assert_eq!(permitted.line(), CALL.as_bytes());
    assert!(
        permitted.facts().contains(r#""consent":{"level":3,"who":"key ab"}"#),
        "{}",
        permitted.facts()
    );
}
