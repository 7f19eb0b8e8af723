//! Policies against tools as servers really describe them: what is permitted at which level, and what never loads.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use cofferdam_policy::{
    Asked, DEFAULT_POLICIES, Layer, Level, Moment, Obstacle, Policies, PolicyError, PolicyFile, Rates, Ruling,
    ServerFacts, ToolFacts, World,
};
use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert, proptest};

const WRITE: &str = r#"{"name":"write_file","annotations":{"destructiveHint":true},"inputSchema":{"type":"object","required":["path"],
    "properties":{"path":{"type":"string"},"mode":{"type":"integer"},"ratio":{"type":"number"},"tags":{"type":"array","items":{"type":"string"}},
    "$odd näme":{"type":"boolean"},"edit":{"type":"object","properties":{"old":{"type":"string"}},"required":["old"]}}}}"#;
const READ: &str = r#"{"name":"read.file-x","annotations":{"readOnlyHint":true},"inputSchema":{"type":"object","properties":{"path":{"type":"string"}}}}"#;
const MOVE: &str = r#"{"name":"move \"it\" ünï","inputSchema":{"type":"object"}}"#;

fn world(writes: bool, network: bool) -> World {
    let tool = |definition: &str| {
        let parsed: serde_json::Value = serde_json::from_str(definition).unwrap();
        ToolFacts {
            name: parsed["name"].as_str().unwrap().to_owned(),
            definition: definition.to_owned(),
        }
    };
    World {
        user: "ann".to_owned(),
        groups: vec!["staff".to_owned()],
        is_ci: false,
        server: ServerFacts {
            name: "fs".to_owned(),
            is_pinned: true,
            writes,
            network,
            sockets: false,
            programs: false,
            hosts: Vec::new(),
            secrets: Vec::new(),
        },
        tools: [WRITE, READ, MOVE].map(tool).into(),
    }
}

fn file(layer: Layer, text: &str) -> PolicyFile {
    PolicyFile {
        layer,
        name: format!("{}.cedar", layer.word()),
        text: text.to_owned(),
    }
}

fn defaults() -> PolicyFile {
    file(Layer::User, DEFAULT_POLICIES[0].1)
}

fn call<'a>(tool: &'a str, arguments: &'a str) -> Asked<'a> {
    Asked::Call {
        tool,
        arguments: Some(arguments),
    }
}

/// The level asked for, or `None` where it is refused.
fn level(policies: &Policies, asked: Asked<'_>) -> Option<Level> {
    match policies.rule(asked, &Moment::default(), Level::Nobody, true) {
        Ruling::Permitted { level, .. } => Some(level),
        Ruling::Refused { .. } => None,
    }
}

fn one(policy: &str) -> Policies {
    Policies::load(&[file(Layer::User, policy)], &world(true, true)).unwrap()
}

fn error(policy: &str) -> PolicyError {
    Policies::load(&[file(Layer::User, policy)], &world(true, true)).unwrap_err()
}

#[test]
fn defaults_ask_for_what_leaves_the_compartment() {
    let load = |world: &World| Policies::load(&[defaults()], world).unwrap();
    let sealed = load(&world(false, false));
    let writing = load(&world(true, false));
    let online = load(&world(true, true));
    let of = |policies: &Policies| {
        ["write_file", "read.file-x", "move \"it\" ünï"]
            .map(|tool| level(policies, call(tool, r#"{"path":"/x"}"#)).unwrap().number())
    };
    assert_eq!(of(&sealed), [0, 0, 0]);
    assert_eq!(of(&writing), [2, 0, 1]);
    assert_eq!(of(&online), [2, 1, 1]);
    for asked in [
        Asked::List,
        Asked::Read { uri: "x" },
        Asked::Elicit,
        Asked::ReleaseResult { tool: "x" },
    ] {
        assert_eq!(level(&online, asked), Some(Level::Nobody), "{asked:?}");
    }
    assert_eq!(level(&online, call("unknown", "{}")), None);
}

#[test]
fn continuous_integration_never_asks() {
    let world = World {
        is_ci: true,
        ..world(true, false)
    };
    let policies = Policies::load(&[defaults()], &world).unwrap();
    assert_eq!(level(&policies, call("write_file", r#"{"path":"/x"}"#)), None);
    assert_eq!(level(&policies, call("read.file-x", "{}")), Some(Level::Nobody));
}

#[test]
fn a_command_without_a_manifest_is_sealed_and_decided_too() {
    let unpinned = |files: &[PolicyFile]| {
        let mut world = world(false, false);
        world.server.is_pinned = false;
        world.tools.clear();
        Policies::load(files, &world).unwrap()
    };
    assert_eq!(
        level(&unpinned(&[defaults()]), call("anything", "{}")),
        Some(Level::Nobody)
    );
    let forbid = r#"forbid(principal, action == Action::"callUnpinned", resource) when { context.tool like "any*" };"#;
    let both = unpinned(&[defaults(), file(Layer::User, forbid)]);
    assert_eq!(level(&both, call("anything", "{}")), None);
    assert_eq!(level(&both, call("other", "{}")), Some(Level::Nobody));
}

#[test]
fn arguments_are_typed() {
    let policies = one(
        r#"permit(principal in Group::"staff", action == Action::"fs/write_file", resource) when {
            context.input.path like "/work/*" && context.input has mode && context.input.mode < 8 &&
            (if context.input has ratio then context.input.ratio.lessThan(decimal("0.5")) else true) &&
            (if context.input has tags then context.input.tags.contains("a") else true) &&
            (if context.input has edit then context.input.edit.old != "" else true) &&
            (if context.input has "$odd näme" then context.input["$odd näme"] else true) };"#,
    );
    let allowed = |arguments: &str| level(&policies, call("write_file", arguments)).is_some();
    assert!(allowed(r#"{"path":"/work/x","mode":7}"#));
    assert!(allowed(
        r#"{"path":"/work/x","mode":7.0,"ratio":0.25,"tags":["b","a"],"edit":{"old":"x"},"$odd näme":true}"#
    ));
    assert!(
        allowed(r#"{"p\u0061th":"/work/x","mode":7}"#),
        "an escaped key is the same key"
    );
    for refused in [
        r#"{"path":"/home/x","mode":7}"#,
        r#"{"path":"/work/x","mode":8}"#,
        r#"{"path":"/work/x"}"#,
        r#"{"path":"/work/x","mode":7,"ratio":0.75}"#,
        r#"{"path":"/work/x","mode":7,"tags":[]}"#,
        r#"{"path":"/work/x","mode":7,"edit":{"old":""}}"#,
        r#"{"path":"/work/x","mode":7,"$odd näme":false}"#,
    ] {
        assert!(!allowed(refused), "{refused}");
    }
}

#[test]
fn a_value_that_policies_cannot_see_denies() {
    let policies = one(r#"permit(principal, action, resource);
           forbid(principal, action == Action::"fs/write_file", resource) when { context.input has ratio && context.input.ratio.greaterThan(decimal("0.5")) };"#);
    assert_eq!(
        level(&policies, call("write_file", r#"{"path":"x","ratio":0.25}"#)),
        Some(Level::Nobody)
    );
    for hidden in [
        r#"{"path":"x","ratio":1e300}"#,
        r#"{"path":"x","ratio":0.00001}"#,
        r#"{"path":"x","ratio":"1"}"#,
    ] {
        let ruling = policies.rule(call("write_file", hidden), &Moment::default(), Level::Nobody, true);
        assert!(
            matches!(ruling, Ruling::Refused { is_error: true, .. }),
            "{hidden}: {ruling:?}"
        );
    }
    let unread = r#"{"path":7,"ratio":0.25}"#;
    assert_eq!(
        level(&policies, call("write_file", unread)),
        Some(Level::Nobody),
        "no policy looks at `path`"
    );
}

#[test]
fn an_evaluation_error_denies_whatever_else_permits() {
    let policies = one(r#"permit(principal, action, resource);
           forbid(principal, action == Action::"fs/write_file", resource) when { context.input has mode && context.input.mode + 9223372036854775807 > 3 };"#);
    assert_eq!(
        level(&policies, call("write_file", r#"{"path":"x","mode":0}"#)),
        None,
        "forbidden"
    );
    let overflow = policies.rule(
        call("write_file", r#"{"path":"x","mode":1}"#),
        &Moment::default(),
        Level::Nobody,
        true,
    );
    assert!(
        matches!(overflow, Ruling::Refused { is_error: true, .. }),
        "{overflow:?}"
    );
}

#[test]
fn what_does_not_fit_the_tools_does_not_load() {
    for wrong in [
        r#"permit(principal, action == Action::"fs/write_file", resource) when { context.input.pth like "x" };"#,
        r#"permit(principal, action == Action::"fs/write_file", resource) when { context.input.mode like "x" };"#,
        r#"permit(principal, action == Action::"fs/write_file", resource) when { context.input.mode == 3 };"#,
        r#"permit(principal, action == Action::"fs/wrte_file", resource);"#,
        r#"permit(principal, action == Action::"cal", resource);"#,
        r#"forbid(principal, action == Action::"call", resource);"#,
        r#"forbid(principal is Usr, action, resource);"#,
        r#"permit(principal, action, resource) when { context.consent }; "#,
        "permit(principal, action",
        "permit(principal == ?principal, action, resource);",
    ] {
        let error = error(wrong).to_string();
        assert!(error.starts_with("`user.cedar:1`"), "{wrong}: {error}");
    }
}

#[test]
fn others_policies_stay_away() {
    let policies = one(
        r#"permit(principal, action in [Action::"github/create", Action::"fs/write_file"], resource);
           permit(principal, action == Action::"github/create", resource) when { context.input.title like "x" };
           forbid(principal, action, resource in Server::"github");
           forbid(principal, action, resource == Tool::"github/x");"#,
    );
    assert_eq!(level(&policies, call("write_file", "{}")), Some(Level::Nobody));
    assert_eq!(level(&policies, call("read.file-x", "{}")), None);
}

#[test]
fn forbid_wins_within_a_layer_and_every_layer_must_permit() {
    let load = |files: &[(Layer, &str)]| {
        let files: Vec<_> = files.iter().map(|(layer, text)| file(*layer, text)).collect();
        let policies = Policies::load(&files, &world(true, true)).unwrap();
        level(&policies, call("write_file", r#"{"path":"x"}"#)).map(Level::number)
    };
    let all = "permit(principal, action, resource);";
    let person = "permit(principal, action, resource) when { context.consent >= 3 };";
    let read = r#"permit(principal, action == Action::"read", resource);"#;
    assert_eq!(load(&[(Layer::User, all)]), Some(0));
    assert_eq!(load(&[(Layer::Organisation, person), (Layer::User, all)]), Some(3));
    assert_eq!(load(&[(Layer::Organisation, read), (Layer::User, all)]), None);
    assert_eq!(load(&[(Layer::User, all), (Layer::Project, person)]), Some(3));
    assert_eq!(
        load(&[(Layer::User, &format!("{all}\nforbid(principal, action, resource);"))]),
        None
    );
    assert_eq!(load(&[]), None, "no policies, no permission");
    let elsewhere = r#"permit(principal, action == Action::"github/create", resource);"#;
    assert_eq!(
        load(&[(Layer::Organisation, elsewhere), (Layer::User, all)]),
        None,
        "a layer that permits something elsewhere permits nothing here"
    );
}

#[test]
fn time_and_rates_are_seen() {
    let policies = one(
        r#"permit(principal, action, resource) when { context.hour >= 8 && context.hour < 18 && context.weekday <= 5 && context.callsLastMinute < 3 && context.client == "x" };"#,
    );
    let at = |now_s: i64, calls: u32| {
        let moment = Moment {
            now_s,
            rates: Rates {
                calls_last_minute: calls,
                ..Rates::default()
            },
            client: "x",
            ..Moment::default()
        };
        let ruling = policies.rule(Asked::List, &moment, Level::Nobody, false);
        matches!(ruling, Ruling::Permitted { .. })
    };
    // Friday 2026-11-20 09:00 and Saturday 09:00.
    assert!(at(1_795_165_200, 0));
    assert!(!at(1_795_165_200, 3));
    assert!(!at(1_795_165_200 + 86_400, 0));
    assert!(!at(1_795_165_200 + 10 * 3_600, 0));
}

#[test]
fn every_rate_is_seen() {
    let call = call("read.file-x", "{}");
    let rates = Rates {
        calls_last_minute: 2,
        calls_last_hour: 3,
        tool_calls_last_minute: 4,
        tool_calls_last_hour: 5,
        refused_last_minute: 6,
        bytes_sent: u64::MAX,
    };
    let moment = Moment {
        rates,
        ..Moment::default()
    };
    for condition in [
        "callsLastMinute == 2",
        "callsLastHour == 3",
        "toolCallsLastMinute == 4",
        "toolCallsLastHour == 5",
        "refusedLastMinute == 6",
        "bytesSent == 9223372036854775807",
    ] {
        let of_call =
            format!(r#"permit(principal, action in Action::"call", resource) when {{ context.{condition} }};"#);
        assert!(level_at(&one(&of_call), call, &moment).is_some(), "{condition}");
        assert!(
            level_at(&one(&of_call), call, &Moment::default()).is_none(),
            "{condition}"
        );
        let of_all = format!("permit(principal, action, resource) when {{ context.{condition} }};");
        let loaded = Policies::load(&[file(Layer::User, &of_all)], &world(true, true));
        assert_eq!(loaded.is_ok(), !condition.starts_with("tool"), "{condition}");
    }
}

#[test]
fn what_stands_in_the_way_is_told_layer_by_layer() {
    let house = r#"permit(principal, action, resource);
        forbid(principal, action == Action::"fs/write_file", resource) when { context.input.path like "/etc/*" };"#;
    let mine = r#"permit(principal, action == Action::"fs/write_file", resource)
            when { context.input.path like "/work/*" && context.input has mode && context.input.mode < 8 } unless { context.consent < 2 || context.ci };
        permit(principal, action == Action::"fs/write_file", resource) when { context.bytes > 5 && context.consent >= 3 && context.hour == 25 };
        permit(principal, action == Action::"read", resource);"#;
    let files = [file(Layer::Organisation, house), file(Layer::User, mine)];
    let policies = Policies::load(&files, &world(true, true)).unwrap();
    let told = |arguments: &str, level: Level| {
        let ways = policies
            .in_the_way(call("write_file", arguments), &Moment::default(), level)
            .unwrap();
        let obstacles = ways
            .iter()
            .flat_map(|way| way.obstacles.iter().map(|one| (way.layer, one)));
        let told: Vec<String> = obstacles
            .map(|(layer, obstacle)| match obstacle {
                Obstacle::Forbid { by } => format!("{} forbids {by}", layer.word()),
                Obstacle::Permit { by, unmet } => {
                    let unmet = unmet
                        .iter()
                        .map(|one| format!("{}{}", one.condition, if one.untold.is_some() { " ?" } else { "" }));
                    format!("{} {by}: {}", layer.word(), unmet.collect::<Vec<_>>().join("; "))
                }
                other => format!("{} {other:?}", layer.word()),
            })
            .collect();
        told
    };
    assert_eq!(
        told(r#"{"path":"/work/x","mode":9}"#, Level::Attested),
        [
            "user user.cedar:1: context.input.mode < 8",
            "user user.cedar:3: context.bytes > 5; context.consent >= 3; context.hour == 25",
        ]
    );
    assert_eq!(
        told(r#"{"path":"/etc/x"}"#, Level::Nobody),
        [
            "organisation forbids organisation.cedar:2",
            // Behind a missing argument its value is not asked for.
            r#"user user.cedar:1: context.input.path like "/work/*"; context.input has mode; context.consent >= 2"#,
            "user user.cedar:3: context.bytes > 5; context.consent >= 3; context.hour == 25",
        ]
    );
    assert_eq!(
        told(r#"{"path":"/work/x","mode":7}"#, Level::Attested),
        Vec::<String>::new()
    );
    let ways = policies
        .in_the_way(call("read.file-x", "{}"), &Moment::default(), Level::Nobody)
        .unwrap();
    assert_eq!(ways.len(), 1);
    assert_eq!(ways[0].obstacles, [Obstacle::NoPermit]);
}

#[test]
fn the_least_level_and_missing_grants_are_respected() {
    let policies = one("permit(principal, action, resource) when { context.consent >= 1 };");
    let level = |least, grant| match policies.rule(Asked::List, &Moment::default(), least, grant) {
        Ruling::Permitted { level, .. } => level,
        Ruling::Refused { .. } => panic!("refused"),
    };
    assert_eq!(level(Level::Nobody, true), Level::Grant);
    assert_eq!(level(Level::Nobody, false), Level::Attested);
    assert_eq!(level(Level::Person, true), Level::Person);
}

#[test]
fn an_explanation_names_file_and_line() {
    let policies = Policies::load(&[defaults()], &world(true, false)).unwrap();
    let explained = policies
        .explain(call("write_file", r#"{"path":"x"}"#), &Moment::default())
        .unwrap();
    let by: Vec<&str> = explained
        .levels
        .iter()
        .map(|(_, layers)| layers[0].by.as_str())
        .collect();
    let ask = DEFAULT_POLICIES[0]
        .1
        .lines()
        .position(|line| line.contains("ask-every-time"))
        .unwrap()
        + 1;
    assert_eq!(by[1], "");
    assert_eq!(by[2], format!("user.cedar:{ask}"));
    assert!(!explained.depends_on_call);
}

/// A policy made of parts that fit the schema.
fn policy() -> impl Strategy<Value = String> {
    let effects = prop::sample::select(vec!["permit", "forbid"]);
    let actions = prop::sample::select(vec![
        "action",
        r#"action in Action::"call""#,
        r#"action == Action::"fs/write_file""#,
        r#"action in [Action::"list", Action::"fs/read.file-x"]"#,
    ]);
    let conditions = prop::sample::select(vec![
        "true",
        "context.consent >= 1",
        "context.consent >= 3",
        "context.consent == 2",
        "context.bytes > 10",
        "context.ci",
        r#"context has input && context.input has path && context.input.path like "/a*""#,
        r#"resource is Tool && resource.readOnly"#,
        r#"principal in Group::"staff""#,
    ]);
    (effects, actions, conditions).prop_map(|(effect, action, condition)| {
        format!("{effect}(principal, {action}, resource) when {{ {condition} }};")
    })
}

fn policy_list() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(policy(), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// DESIGN section 7: a lower layer can only narrow.
    #[test]
    fn adding_a_lower_layer_never_allows_more(upper in policy_list(), lower in policy_list(), bytes in 0_usize..20, granted in any::<bool>()) {
        let upper = file(Layer::Organisation, &upper.join("\n"));
        let moment = Moment { bytes, ..Moment::default() };
        for layer in [Layer::User, Layer::Project] {
            let lower = file(layer, &lower.join("\n"));
            let both = Policies::load(&[upper.clone(), lower], &world(true, true)).unwrap();
            let alone = Policies::load(std::slice::from_ref(&upper), &world(true, true)).unwrap();
            if upper.text.is_empty() {
                continue;
            }
            for asked in [call("write_file", r#"{"path":"/a"}"#), call("read.file-x", r#"{"path":"/b"}"#), Asked::List] {
                for least in Level::ALL {
                    let with = both.rule(asked, &moment, least, granted);
                    let without = alone.rule(asked, &moment, least, granted);
                    match (with, without) {
                        (Ruling::Permitted { level: with, .. }, Ruling::Permitted { level: without, .. }) => prop_assert!(with >= without),
                        (Ruling::Permitted { .. }, Ruling::Refused { .. }) => prop_assert!(false, "the lower layer widened"),
                        _ => {}
                    }
                }
            }
        }
    }

    /// What was decided at load is what Cedar says when everything is evaluated at the call.
    #[test]
    fn slicing_changes_no_decision(policies in policy_list(), bytes in 0_usize..20) {
        let text = policies.join("\n");
        // The same conditions, but each also reads the call, so that none of them is known at load.
        let moving = text.replace("when {", "when { context.now == 0 } when {");
        let load = |text: &str| Policies::load(&[file(Layer::User, text)], &world(true, true)).unwrap();
        let (known, moving) = (load(&text), load(&moving));
        let moment = Moment { bytes, ..Moment::default() };
        for asked in [call("write_file", r#"{"path":"/a"}"#), call("read.file-x", "{}"), Asked::List] {
            prop_assert!(level_at(&known, asked, &moment) == level_at(&moving, asked, &moment));
        }
    }

    /// No text makes loading or deciding panic.
    #[test]
    fn any_text_loads_or_says_why(text in "[a-z(){};\"/\\\\=@?: \n.,]{0,80}") {
        let _ = Policies::load(&[file(Layer::User, &text)], &world(true, true));
    }
}

fn level_at(policies: &Policies, asked: Asked<'_>, moment: &Moment<'_>) -> Option<Level> {
    match policies.rule(asked, moment, Level::Nobody, true) {
        Ruling::Permitted { level, .. } => Some(level),
        Ruling::Refused { .. } => None,
    }
}
