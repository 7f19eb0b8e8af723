//! What a grant covers, and that it covers nothing more.

use std::collections::BTreeSet;

use proptest::prelude::{ProptestConfig, prop_assert, proptest};

use super::{Grant, GrantCall, GrantPattern, GrantTerms, Seen, Touched, common_folders};

type Change<T> = fn(&mut T);

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn touching(paths: &[&str], hosts: &[&str]) -> Seen {
    Seen {
        touched: Some(Touched {
            paths: set(paths),
            hosts: set(hosts),
            ..Touched::default()
        }),
        ..Seen::default()
    }
}

fn call(seen: Seen) -> GrantCall {
    GrantCall {
        user: "ann".to_owned(),
        server: "fs".to_owned(),
        method: "tools/call".to_owned(),
        tool: "write".to_owned(),
        digest: "sha256:1".to_owned(),
        session: "s1".to_owned(),
        manifest: "sha256:m".to_owned(),
        policies: "sha256:p".to_owned(),
        now_s: 100,
        seen,
    }
}

/// The grant that somebody gives who was shown `shown`.
fn granted(pattern: GrantPattern, shown: &GrantCall) -> Grant {
    let terms = GrantTerms {
        id: "ab12".to_owned(),
        user: shown.user.clone(),
        server: shown.server.clone(),
        method: shown.method.clone(),
        tool: shown.tool.clone(),
        pattern,
        until: 200,
        manifest: shown.manifest.clone(),
        policies: shown.policies.clone(),
        seen: shown.seen.clone(),
    };
    Grant::link(terms).unwrap()
}

fn within(folder: &str) -> GrantPattern {
    GrantPattern::Path {
        folder: folder.to_owned(),
    }
}

fn patterns() -> [GrantPattern; 4] {
    [
        GrantPattern::Call {
            digest: "sha256:1".to_owned(),
        },
        GrantPattern::Tool {
            session: "s1".to_owned(),
        },
        within("/work"),
        GrantPattern::Host {
            hosts: set(&["a.example"]),
        },
    ]
}

#[test]
fn whatever_is_granted_covers_the_call_that_was_shown_and_dies_with_its_terms() {
    let shown = call(touching(&["/work/a"], &["a.example"]));
    for pattern in patterns() {
        let grant = granted(pattern.clone(), &shown);
        assert!(grant.covers(&shown), "{pattern:?}");
        let changed: [(&str, Change<GrantCall>); 12] = [
            ("over", |call| call.now_s = 200),
            ("another manifest", |call| call.manifest.push('c')),
            ("other policies", |call| call.policies.push('c')),
            ("another user", |call| call.user.push('c')),
            ("another server", |call| call.server.push('c')),
            ("another tool", |call| call.tool.push('c')),
            ("another method", |call| call.method = "tools/list".to_owned()),
            ("a finding", |call| {
                call.seen.findings.insert("flow/trifecta".to_owned());
            }),
            ("a worse one", |call| call.seen.severity = 1),
            ("more is carried", |call| {
                call.seen.carried.insert("task".to_owned());
            }),
            ("another call and session", |call| {
                call.digest.push('2');
                call.session.push('2');
                call.seen = touching(&["/work/a", "/etc/b"], &["a.example", "b.example"]);
            }),
            ("nobody can tell", |call| {
                call.digest.push('2');
                call.session.push('2');
                call.seen.touched = None;
            }),
        ];
        for (what, change) in changed {
            let mut other = shown.clone();
            change(&mut other);
            assert!(!grant.covers(&other), "{pattern:?}: {what}");
        }
    }
}

#[test]
fn what_a_tool_could_send_on_is_asked_about_anew() {
    let shown = call(touching(&["/work/a"], &["a.example"]));
    let mut tainted = shown.clone();
    tainted.seen.labels = set(&["private"]);
    let covers = patterns().map(|pattern| granted(pattern, &shown).covers(&tainted));
    assert_eq!(
        covers,
        [true, false, false, false],
        "the very same call brings nothing new out"
    );
    for pattern in patterns() {
        assert!(granted(pattern, &tainted).covers(&shown), "less is covered");
    }
}

#[test]
fn a_folder_is_a_folder_and_everything_beside_it_stays_as_it_was() {
    let grant = granted(within("/work/a"), &call(touching(&["/work/a/x"], &[])));
    let covers = |paths: &[&str], hosts: &[&str]| grant.covers(&call(touching(paths, hosts)));
    assert!(covers(&["/work/a/y"], &[]) && covers(&["/work/a"], &[]) && covers(&["/work/a/b/c", "/work/a/d"], &[]));
    for outside in ["/work/ab", "/work", "/", "/work/ab/x", "/work/b", "work/a/x", ""] {
        assert!(!covers(&[outside], &[]), "{outside}");
        assert!(!covers(&["/work/a/x", outside], &[]), "{outside} beside another");
    }
    assert!(!covers(&[], &[]), "no path at all");
    assert!(!covers(&["/work/a/x"], &["a.example"]), "a host");
    for change in [
        (|touched: &mut Touched| touched.outside_roots = true) as Change<Touched>,
        |touched| touched.private_network = true,
        |touched| touched.runs = true,
        |touched| {
            touched.others.insert("/etc/x".to_owned());
        },
    ] {
        let mut seen = touching(&["/work/a/x"], &[]);
        change(seen.touched.as_mut().unwrap());
        assert!(!grant.covers(&call(seen.clone())), "{seen:?}");
    }
}

#[test]
fn hosts_are_those_that_were_shown() {
    let hosts = set(&["a.example", "b.example"]);
    let grant = granted(
        GrantPattern::Host { hosts },
        &call(touching(&["/work/a"], &["a.example", "b.example"])),
    );
    let covers = |paths: &[&str], hosts: &[&str]| grant.covers(&call(touching(paths, hosts)));
    assert!(covers(&["/work/a"], &["a.example"]) && covers(&[], &["b.example"]));
    assert!(!covers(&[], &[]) && !covers(&[], &["a.example", "c.example"]) && !covers(&[], &["x.a.example"]));
    assert!(!covers(&["/work/b"], &["a.example"]), "a path that was not shown");
}

#[test]
fn a_grant_is_a_template_and_its_link() {
    let grant = granted(within("/work"), &call(touching(&["/work/a"], &[])));
    let json = grant.to_json().unwrap();
    let link = &json["templateLinks"][0];
    assert_eq!(link["newId"], "grant ab12");
    assert_eq!(link["values"]["?principal"]["__entity"]["id"], "ann");
    assert_eq!(link["values"]["?resource"]["__entity"]["id"], "fs/write");
    assert_eq!(json["staticPolicies"], serde_json::json!({}));
    let unmet = grant.unmet(&call(touching(&["/etc/x"], &["h.example"]))).unwrap();
    let conditions: Vec<&str> = unmet.iter().map(|one| one.condition.as_str()).collect();
    assert_eq!(
        conditions,
        [r#"context.within.contains("/work")"#, "context.hosts.isEmpty()"]
    );
    let mut other = call(Seen::default());
    other.tool = "read".to_owned();
    assert_eq!(grant.unmet(&other), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever characters a folder, host or value has, it is that value and no Cedar.
    #[test]
    fn values_stay_values(text in "[/a\"\\\\)}; \\n*?|é]{1,12}", other in "[/a\"\\\\)}; \\n*?|é]{1,12}") {
        let folder = format!("/{text}");
        let shown = call(touching(&[&folder], &[&text]));
        for pattern in [within(&folder), GrantPattern::Host { hosts: set(&[&text]) }, GrantPattern::Call { digest: text.clone() }] {
            let is_call = matches!(pattern, GrantPattern::Call { .. });
            let grant = granted(pattern, &shown);
            let mut same = shown.clone();
            same.digest.clone_from(&text);
            prop_assert!(grant.covers(&same));
            let mut elsewhere = call(touching(&[&format!("/x/{other}")], &[&format!("{other}x{text}")]));
            elsewhere.digest = format!("{other}x{text}");
            prop_assert!(!grant.covers(&elsewhere), "{is_call}");
        }
    }

    /// Every common folder is above each path, and what is not common is not there.
    #[test]
    fn common_folders_are_common(paths in proptest::collection::btree_set("(/[ab]{1,2}){1,4}", 0..4)) {
        let common = common_folders(&paths);
        let is_above = |folder: &str, path: &str| folder == "/" || folder == path || path.starts_with(&format!("{folder}/"));
        for folder in &common {
            prop_assert!(paths.iter().all(|path| is_above(folder, path)));
        }
        prop_assert!(common.is_empty() == paths.is_empty());
    }
}
