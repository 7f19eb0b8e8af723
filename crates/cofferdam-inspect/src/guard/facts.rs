//! What a call would touch, by the roles of its arguments, as values that policies can judge. Findings say what is suspicious; this says what
//! there is.

use std::collections::BTreeSet;

use cofferdam_manifest::Role;
use serde_json::Value;

use super::{Facts, Guard, is_statement, path, shell, sql, url};
use crate::role::infer_role;

/// Values of one kind that are kept for one call; a call with more is not seen.
const VALUES_MAX: usize = 1_024;
/// Bytes of the values of other roles that may name a place, together.
const OTHERS_BYTES_MAX: usize = 4 * 1024;
/// Depth to which arguments are looked at.
const DEPTH_MAX: usize = 64;

/// What one call would touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArgumentFacts {
    /// Paths, absolute and with links resolved; a relative one as it would be in each granted folder.
    pub paths: BTreeSet<String>,
    /// Every folder above one of `paths`.
    pub folders: BTreeSet<String>,
    /// Whether a path is not inside the granted folders.
    pub is_outside_roots: bool,
    /// Hosts of URLs and hosts, lowercase.
    pub hosts: BTreeSet<String>,
    /// Whether one of them is this machine, a private network or a cloud's metadata service.
    pub is_private_network: bool,
    /// Classes of SQL statements: `read`, `write`, `schema`, `rights`, `transaction`, `outside`, `other`.
    pub sql: BTreeSet<&'static str>,
    /// Programs that command lines name, without their folders.
    pub programs: BTreeSet<String>,
}

/// Why what a call would touch cannot be told.
pub type FactsUnknown = &'static str;

impl Guard {
    /// What these arguments would touch.
    ///
    /// # Errors
    /// A value of a role with a grammar cannot be read, or there is too much of it: nothing may be concluded then.
    pub fn facts(&self, arguments: &Value, facts: &Facts<'_>) -> Result<ArgumentFacts, FactsUnknown> {
        let mut found = ArgumentFacts::default();
        self.collect_facts(("", arguments), facts, &mut found, DEPTH_MAX)?;
        Ok(found)
    }

    /// Values and keys that no fact tells of and that may name a place all the same: code, queries and options as they are, of the others what
    /// is written as a path or an address is. Whoever permits a folder or a host for later calls wants these to stay as they were.
    ///
    /// # Errors
    /// There is too much of it.
    pub fn others(&self, arguments: &Value) -> Result<BTreeSet<String>, FactsUnknown> {
        let mut found = BTreeSet::new();
        self.collect_others(("", arguments), &mut found, DEPTH_MAX)?;
        let bytes: usize = found.iter().map(String::len).sum();
        if found.len() > VALUES_MAX || bytes > OTHERS_BYTES_MAX {
            return Err("the arguments may name too many places that have no role");
        }
        Ok(found)
    }

    fn collect_others(
        &self,
        (name, value): (&str, &Value),
        found: &mut BTreeSet<String>,
        depth: usize,
    ) -> Result<(), FactsUnknown> {
        let depth = depth.checked_sub(1).ok_or("the arguments are nested too deeply")?;
        match value {
            Value::Object(members) => {
                found.extend(members.keys().filter(|key| is_place(key)).cloned());
                members
                    .iter()
                    .try_for_each(|(key, value)| self.collect_others((key, value), found, depth))
            }
            Value::Array(elements) => elements
                .iter()
                .try_for_each(|value| self.collect_others((name, value), found, depth)),
            Value::String(text) => {
                let role = self.roles.get(name).copied();
                let is_other = match role.unwrap_or_else(|| infer_role(&self.tool, name, None)) {
                    // Told by the facts, or never kept.
                    Role::Path | Role::Glob | Role::Url | Role::Host | Role::Shell | Role::Sql | Role::Secret => false,
                    Role::Code | Role::Query | Role::ArgvItem => true,
                    Role::SqlIdentifier | Role::Identifier | Role::Prose => is_place(text),
                };
                if is_other {
                    found.insert(text.clone());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn collect_facts(
        &self,
        (name, value): (&str, &Value),
        facts: &Facts<'_>,
        found: &mut ArgumentFacts,
        depth: usize,
    ) -> Result<(), FactsUnknown> {
        let depth = depth.checked_sub(1).ok_or("the arguments are nested too deeply")?;
        match value {
            Value::Object(members) => members
                .iter()
                .try_for_each(|(key, value)| self.collect_facts((key, value), facts, found, depth)),
            Value::Array(elements) => elements
                .iter()
                .try_for_each(|value| self.collect_facts((name, value), facts, found, depth)),
            Value::String(text) => self.note(name, text, facts, found),
            _ => Ok(()),
        }
    }

    fn note(&self, name: &str, text: &str, facts: &Facts<'_>, found: &mut ArgumentFacts) -> Result<(), FactsUnknown> {
        let role = self.roles.get(name).copied();
        match role.unwrap_or_else(|| infer_role(&self.tool, name, None)) {
            Role::Path => found.add_path(text, self.directory.as_deref(), facts)?,
            Role::Glob => found.add_path(path::fixed_part(text), self.directory.as_deref(), facts)?,
            Role::Url | Role::Host => match text.trim().strip_prefix("file://") {
                Some(path) => found.add_path(path, None, facts)?,
                None => found.add_host(text)?,
            },
            Role::Shell => found.programs.append(&mut shell::programs(text)?),
            Role::Sql => found.sql.append(&mut sql::classes(text)?),
            Role::Prose if is_statement(name, text) => found.sql.append(&mut sql::classes(text)?),
            _ => {}
        }
        let counts = [
            found.paths.len(),
            found.folders.len(),
            found.hosts.len(),
            found.programs.len(),
        ];
        if counts.into_iter().any(|count| count > VALUES_MAX) {
            return Err("the arguments name too much to be judged by policies");
        }
        Ok(())
    }
}

/// Whether a text is written as a path or an address is: it begins as an absolute path does, blanks and all, or climbs; or it is one word with
/// a stroke, a point or a colon in it.
fn is_place(text: &str) -> bool {
    let text = text.trim();
    let is_word = !text.is_empty() && !text.contains(char::is_whitespace);
    let begins = text.starts_with(['/', '\\', '~']) || text.contains("../") || text.contains("..\\");
    begins || is_word && text.contains(['/', '\\', '.', ':'])
}

impl ArgumentFacts {
    fn add_path(&mut self, text: &str, directory: Option<&str>, facts: &Facts<'_>) -> Result<(), FactsUnknown> {
        let text = text.strip_prefix("file://").unwrap_or(text);
        let roots = facts.roots.unwrap_or_default();
        let written = match directory {
            Some(directory) if !text.starts_with(['/', '~']) => format!("{directory}/{text}"),
            _ => text.to_owned(),
        };
        self.is_outside_roots |= path::outside(&written, roots, facts.links).is_some();
        let meant = if written.starts_with('/') || roots.is_empty() {
            vec![written]
        } else {
            roots.iter().map(|root| format!("{root}/{written}")).collect()
        };
        for path in meant {
            let resolved = path::resolve(&path, facts.links).ok_or("a path follows too many links")?;
            let above = resolved.match_indices('/').filter_map(|(at, _)| resolved.get(..at));
            self.folders
                .extend(above.filter(|folder| !folder.is_empty()).map(str::to_owned));
            self.folders.insert("/".to_owned());
            self.paths.insert(resolved);
        }
        Ok(())
    }

    fn add_host(&mut self, text: &str) -> Result<(), FactsUnknown> {
        if let Some((host, is_private)) = url::host_of(text)? {
            self.is_private_network |= is_private;
            self.hosts.insert(host);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cofferdam_manifest::Role;
    use serde_json::{Value, json};

    use super::super::{Facts, Guard, Links, NoLinks};
    use super::ArgumentFacts;
    use crate::secret::SecretValues;

    struct OneLink;

    impl Links for OneLink {
        fn target(&self, path: &str) -> Option<String> {
            (path == "/work/link").then(|| "/etc".to_owned())
        }
    }

    fn facts(arguments: &Value, links: &dyn Links) -> Result<ArgumentFacts, &'static str> {
        let roles = [
            ("p", Role::Path),
            ("g", Role::Glob),
            ("u", Role::Url),
            ("c", Role::Shell),
            ("q", Role::Sql),
        ];
        let roles: BTreeMap<String, Role> = roles.map(|(name, role)| (name.to_owned(), role)).into();
        let roots = ["/work".to_owned()];
        let facts = Facts {
            roots: Some(&roots),
            links,
            hosts: &[],
            secrets: SecretValues::NONE,
        };
        Guard::new("do", None, &roles).facts(arguments, &facts)
    }

    fn list(values: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
        values.into_iter().map(|value| value.to_string()).collect()
    }

    #[test]
    fn paths_are_where_the_kernel_would_go() {
        let of = |path: &str| {
            let found = facts(&json!({"p": path}), &OneLink).unwrap();
            (list(found.paths), found.is_outside_roots)
        };
        assert_eq!(of("/work/a/../b"), (vec!["/work/b".to_owned()], false));
        assert_eq!(of("/work/link/passwd"), (vec!["/etc/passwd".to_owned()], true));
        assert_eq!(of("/work/../etc/x"), (vec!["/etc/x".to_owned()], true));
        assert_eq!(of("sub/x"), (vec!["/work/sub/x".to_owned()], false));
        assert_eq!(of("../x"), (vec!["/x".to_owned()], true));
        assert!(of("~/x").1);
        assert_eq!(of("file:///etc/x").0, ["/etc/x"]);
        let deep = facts(&json!({"nested": [{"p": "/work/a/b"}]}), &NoLinks).unwrap();
        assert_eq!(list(deep.folders), ["/", "/work", "/work/a"]);
        let glob = facts(&json!({"g": "/work/a*/../../etc/*"}), &NoLinks).unwrap();
        assert!(glob.is_outside_roots, "{glob:?}");
    }

    #[test]
    fn hosts_are_those_a_browser_would_reach() {
        let of = |url: &str| {
            let found = facts(&json!({"u": url}), &NoLinks)?;
            Ok::<_, &str>((list(found.hosts), found.is_private_network))
        };
        assert_eq!(of("HTTPS://Example.COM/x"), Ok((vec!["example.com".to_owned()], false)));
        assert_eq!(of("http://2130706433/"), Ok((vec!["127.0.0.1".to_owned()], true)));
        assert_eq!(
            of("metadata.google.internal"),
            Ok((vec!["metadata.google.internal".to_owned()], true))
        );
        assert_eq!(of("http://a@10.0.0.7:80/"), Ok((vec!["10.0.0.7".to_owned()], true)));
        assert!(of("http://[::1").is_err(), "what cannot be read has no facts");
        assert!(of("http://").is_err());
    }

    #[test]
    fn every_program_of_a_command_line_is_named() {
        let of = |line: &str| facts(&json!({"c": line}), &NoLinks).map(|found| list(found.programs));
        assert_eq!(
            of("A=1 /usr/bin/git status && ls -l | wc").unwrap(),
            ["git", "ls", "wc"]
        );
        assert_eq!(of("echo \"$(rm -rf x)\" `id`").unwrap(), ["echo", "id", "rm"]);
        assert_eq!(of("X=$(curl h) true > $(tee f)").unwrap(), ["curl", "tee", "true"]);
        assert_eq!(of("if true; then rm x; fi").unwrap(), ["rm", "true"]);
        assert_eq!(of("'r'm x").unwrap(), ["rm"]);
        for unreadable in [
            "$CMD x",
            "diff <(a) b",
            "f() { rm x; }; f",
            "$'\\x72m' x",
            "echo '",
            "{rm,-rf,x}",
        ] {
            assert!(of(unreadable).is_err(), "{unreadable}: {:?}", of(unreadable));
        }
    }

    #[test]
    fn statements_have_classes() {
        let of = |sql: &str| facts(&json!({"q": sql}), &NoLinks).map(|found| list(found.sql).join(" "));
        for (sql, classes) in [
            ("SELECT a FROM t", "read"),
            ("(select 1)", "read"),
            ("insert into t values (1)", "write"),
            ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "read write"),
            ("with x as (select 1) update t set a = 1", "read write"),
            ("explain analyze delete from t", "read write"),
            ("select * into t from u", "read write"),
            ("DROP TABLE t", "schema"),
            ("grant all on t to u", "rights"),
            ("select 1; drop table t; commit", "read schema transaction"),
            ("select pg_read_file('x')", "outside read"),
            ("do $$ begin end $$", "other"),
            ("", ""),
        ] {
            assert_eq!(of(sql).unwrap(), classes, "{sql}");
        }
        assert!(of("select 'open").is_err());
    }

    #[test]
    fn what_may_name_a_place_without_a_role_is_told() {
        let roles: BTreeMap<String, Role> = [("p".to_owned(), Role::Path), ("s".to_owned(), Role::Secret)].into();
        let guard = Guard::new("do", None, &roles);
        let of = |arguments: &Value| guard.others(arguments).map(list);
        let arguments = json!({"p": "/work/a", "s": "a.b", "body": "see /etc/x, and http://x", "into": "/etc/x", "n": [{"at": "~root"}],
            "peer": "evil.example", "blanks": ["/srv/my docs", "a b/../c"], "v6": "::1", "win": "c:\\x", "options": "plain", "code": "open()", "/keys/too": 1, "word": "plain"});
        let told = [
            "/etc/x",
            "/keys/too",
            "/srv/my docs",
            "::1",
            "a b/../c",
            "c:\\x",
            "evil.example",
            "open()",
            "plain",
            "~root",
        ];
        assert_eq!(of(&arguments).unwrap(), told);
        assert!(of(&json!({"into": format!("/{}", "x".repeat(5_000))})).is_err());
    }

    #[test]
    fn too_much_has_no_facts() {
        let many: Vec<String> = (0..2_000).map(|n| format!("/work/{n}")).collect();
        assert!(facts(&json!({"p": many}), &NoLinks).is_err());
    }
}
