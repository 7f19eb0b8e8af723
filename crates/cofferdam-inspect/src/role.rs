//! What a server does with an argument, inferred from the pinned schema, its name and its description.
//!
//! Inference only narrows what is judged: an argument whose role is not clear is taken for prose and judged for secrets alone. The
//! manifest corrects it (`[tools.NAME.arguments.NAME] role = …`).

use cofferdam_manifest::Role;
use serde_json::Value;

/// Words of a tool that runs command lines.
const SHELL_TOOLS: [&str; 9] = [
    "exec",
    "execute",
    "shell",
    "bash",
    "terminal",
    "command",
    "cmd",
    "run_command",
    "powershell",
];
/// Words of a tool that speaks SQL.
const SQL_TOOLS: [&str; 9] = [
    "sql",
    "sqlite",
    "postgres",
    "mysql",
    "database",
    "mariadb",
    "duckdb",
    "snowflake",
    "bigquery",
];

/// The role of the argument `name` of `tool`, with its schema where there is one.
#[must_use]
pub fn infer_role(tool: &str, name: &str, schema: Option<&Value>) -> Role {
    let words = words(name);
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    let last = words.last().map_or("", String::as_str);
    let description = schema
        .and_then(|schema| schema.get("description"))
        .and_then(Value::as_str);
    let description = description.unwrap_or_default().to_ascii_lowercase();
    let tool_words = self::words(tool);
    let tool_has = |wanted: &[&str]| tool_words.iter().any(|word| wanted.contains(&word.as_str()));
    let format = schema.and_then(|schema| schema.get("format")).and_then(Value::as_str);
    if matches!(format, Some("uri" | "url" | "uri-reference" | "iri"))
        || has(&["url", "uri", "urls", "uris", "href", "webhook"])
    {
        return Role::Url;
    }
    if matches!(
        last,
        "password" | "secret" | "apikey" | "passphrase" | "credential" | "credentials"
    ) || has(&["api"]) && last == "key"
        || last == "token" && !has(&["page", "next", "continuation", "cursor"])
    {
        return Role::Secret;
    }
    if has(&["sql"])
        || matches!(last, "query" | "statement" | "queries") && (tool_has(&SQL_TOOLS) || description.contains("sql"))
    {
        return Role::Sql;
    }
    if matches!(last, "table" | "column" | "columns" | "tables") || has(&["table", "column"]) && last == "name" {
        return Role::SqlIdentifier;
    }
    if let Some(role) = file_role(&words, &tool_words, &description) {
        return role;
    }
    if matches!(last, "command" | "commands" | "cmd" | "commandline") {
        return if tool_has(&SHELL_TOOLS)
            || description.contains("shell")
            || description.contains("command to")
            || description.is_empty()
        {
            Role::Shell
        } else {
            Role::Identifier
        };
    }
    rest(last, &words, &tool_words)
}

fn file_role(words: &[String], tool_words: &[String], description: &str) -> Option<Role> {
    let last = words.last().map_or("", String::as_str);
    let of_files = ["file", "files", "directory", "folder", "path"];
    let about_files = tool_words.iter().any(|word| of_files.contains(&word.as_str()))
        || of_files.iter().any(|word| description.contains(word));
    match last {
        "path" | "paths" | "filepath" | "filename" | "file" | "files" | "dir" | "directory" | "folder" | "cwd"
        | "workdir" | "workspace" | "filenames" | "directories" | "folders" | "pathname" => {
            let in_json = words
                .iter()
                .any(|word| matches!(word.as_str(), "json" | "xpath" | "css" | "api" | "url"));
            (!in_json).then_some(Role::Path)
        }
        "glob" | "globs" => Some(Role::Glob),
        "pattern" | "patterns" if description.contains("glob") => Some(Role::Glob),
        "source" | "destination" | "src" | "dst" | "dest" | "target" | "output" | "root" if about_files => {
            Some(Role::Path)
        }
        "to" if words.iter().any(|word| word == "save") => Some(Role::Path),
        _ => None,
    }
}

fn rest(last: &str, words: &[String], tool_words: &[String]) -> Role {
    let tool_is = |wanted: &str| tool_words.iter().any(|word| word == wanted);
    match last {
        "args" | "argv" | "flags" | "options" if words.len() == 1 => Role::ArgvItem,
        "ref" | "branch" | "revision" | "commit" | "rev" | "refspec" | "remote" => Role::ArgvItem,
        "target" if tool_is("git") => Role::ArgvItem,
        "host" | "hostname" | "domain" | "server" | "ip" => Role::Host,
        "kql" | "cypher" | "jql" | "cql" | "promql" | "graphql" | "logql" | "spl" => Role::Query,
        "code" | "script" | "javascript" | "expression" | "function" | "python" | "js" => Role::Code,
        "id" | "ids" | "key" | "keys" | "slug" | "uuid" | "sha" | "tag" | "owner" | "repo" | "repository" | "org"
        | "namespace" | "pod" | "container" | "number" | "version" | "package" | "image" | "region" | "cluster"
        | "context" | "ticker" | "symbol" | "username" | "type" | "bucket" | "device" | "database" | "service"
        | "project" | "schema" => Role::Identifier,
        "name"
            if words.len() > 1
                && !words
                    .iter()
                    .any(|word| matches!(word.as_str(), "display" | "full" | "first" | "user" | "company")) =>
        {
            Role::Identifier
        }
        _ => Role::Prose,
    }
}

/// `saveToPath`, `save_to_path` and `save-to-path` as `save`, `to`, `path`.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before_is_lower = false;
    for character in name.chars() {
        let is_separator = !character.is_alphanumeric();
        if (is_separator || character.is_uppercase() && before_is_lower)
            && words.last().is_some_and(|word| !word.is_empty())
        {
            words.push(String::new());
        }
        if let (false, Some(word)) = (is_separator, words.last_mut()) {
            word.extend(character.to_lowercase());
        }
        before_is_lower = character.is_lowercase() || character.is_ascii_digit();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use cofferdam_manifest::Role;
    use serde_json::json;

    use super::infer_role;

    #[test]
    fn names_say_what_an_argument_is() {
        for (tool, name, role) in [
            ("read_file", "path", Role::Path),
            ("mobile_save_screenshot", "saveTo", Role::Path),
            ("fetch", "url", Role::Url),
            ("exec", "command", Role::Shell),
            ("query", "sql", Role::Sql),
            ("describe_table", "table_name", Role::SqlIdentifier),
            ("get_figma_data", "fileKey", Role::Identifier),
            ("git_diff", "target", Role::ArgvItem),
            ("port_forward", "resourceName", Role::Identifier),
            ("write_file", "content", Role::Prose),
            ("list", "page_token", Role::Prose),
        ] {
            assert_eq!(infer_role(tool, name, None), role, "{tool} {name}");
        }
    }

    #[test]
    fn the_schema_says_more() {
        let uri = json!({"type": "string", "format": "uri"});
        assert_eq!(infer_role("x", "where", Some(&uri)), Role::Url);
        let glob = json!({"type": "string", "description": "Glob pattern of files"});
        assert_eq!(infer_role("x", "pattern", Some(&glob)), Role::Glob);
    }
}
