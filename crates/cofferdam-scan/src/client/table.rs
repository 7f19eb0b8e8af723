//! The clients that are known, and where their own documentation says that their configurations lie.

use super::Step::{Each, Key};
use super::{Client, ConfigFile, Marks, Place, Shape, Step, Words};
use crate::document::Format;

const MCP_SERVERS: &[&[Step]] = &[&[Key("mcpServers")]];

const fn shape(format: Format, servers: &'static [&'static [Step]], words: Words) -> Shape {
    Shape { format, servers, words }
}

const USUAL: Shape = shape(Format::Jsonc, MCP_SERVERS, Words::Usual);
const CLAUDE_CODE: Shape = shape(
    Format::Jsonc,
    &[&[Key("mcpServers")], &[Key("projects"), Each, Key("mcpServers")]],
    Words::Usual,
);
const VS_CODE: Shape = shape(Format::Jsonc, &[&[Key("servers")], &[Key("mcpServers")]], Words::Usual);
const VS_CODE_SETTINGS: Shape = shape(Format::Jsonc, &[&[Key("mcp"), Key("servers")]], Words::Usual);
const ZED: Shape = shape(Format::Jsonc, &[&[Key("context_servers")]], Words::Usual);
const CONTINUE_YAML: Shape = shape(Format::Yaml, MCP_SERVERS, Words::Usual);
const CODEX: Shape = shape(Format::Toml, &[&[Key("mcp_servers")]], Words::Usual);
const GOOSE: Shape = shape(Format::Yaml, &[&[Key("extensions")]], Words::Goose);
const OPENCODE: Shape = shape(Format::Jsonc, &[&[Key("mcp")]], Words::Opencode);

const fn home(linux: &'static str, macos: &'static str, windows: &'static str, shape: Shape) -> ConfigFile {
    ConfigFile {
        place: Place::Home { linux, macos, windows },
        shape,
    }
}

/// The same path below the home folder on every system.
const fn dot(path: &'static str, shape: Shape) -> ConfigFile {
    home(path, path, path, shape)
}

const fn project(path: &'static str, shape: Shape) -> ConfigFile {
    ConfigFile {
        place: Place::Project(path),
        shape,
    }
}

const fn project_folder(folder: &'static str, ending: &'static str, shape: Shape) -> ConfigFile {
    ConfigFile {
        place: Place::ProjectFolder { folder, ending },
        shape,
    }
}

const fn client(id: &'static str, name: &'static str, files: &'static [ConfigFile]) -> Client {
    Client {
        id,
        name,
        marks: Marks::Braces,
        files,
    }
}

/// The same, where the client's documentation knows other marks, or none.
const fn marked(marks: Marks, client: Client) -> Client {
    Client { marks, ..client }
}

/// Every client that is known, by id.
pub const CLIENTS: &[Client] = &[
    client(
        "amazon-q",
        "Amazon Q",
        &[
            dot(".aws/amazonq/mcp.json", USUAL),
            dot(".aws/amazonq/default.json", USUAL),
            project(".amazonq/mcp.json", USUAL),
            project(".amazonq/default.json", USUAL),
        ],
    ),
    client(
        "claude-code",
        "Claude Code",
        &[dot(".claude.json", CLAUDE_CODE), project(".mcp.json", USUAL)],
    ),
    marked(
        Marks::None,
        client(
            "claude-desktop",
            "Claude Desktop",
            &[home(
                ".config/Claude/claude_desktop_config.json",
                "Library/Application Support/Claude/claude_desktop_config.json",
                "AppData/Roaming/Claude/claude_desktop_config.json",
                USUAL,
            )],
        ),
    ),
    client(
        "cline",
        "Cline",
        &[home(
            ".config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
            "Library/Application Support/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
            "AppData/Roaming/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
            USUAL,
        )],
    ),
    marked(
        Marks::None,
        client(
            "codex",
            "Codex",
            &[dot(".codex/config.toml", CODEX), project(".codex/config.toml", CODEX)],
        ),
    ),
    client(
        "continue",
        "Continue",
        &[
            dot(".continue/config.yaml", CONTINUE_YAML),
            project_folder(".continue/mcpServers", "yaml", CONTINUE_YAML),
            project_folder(".continue/mcpServers", "json", USUAL),
        ],
    ),
    client(
        "copilot-cli",
        "GitHub Copilot CLI",
        &[dot(".copilot/mcp-config.json", USUAL)],
    ),
    client(
        "cursor",
        "Cursor",
        &[dot(".cursor/mcp.json", USUAL), project(".cursor/mcp.json", USUAL)],
    ),
    marked(
        Marks::Dollar,
        client(
            "gemini-cli",
            "Gemini CLI",
            &[
                dot(".gemini/settings.json", USUAL),
                project(".gemini/settings.json", USUAL),
            ],
        ),
    ),
    client(
        "goose",
        "Goose",
        &[home(
            ".config/goose/config.yaml",
            ".config/goose/config.yaml",
            "AppData/Roaming/Block/goose/config/config.yaml",
            GOOSE,
        )],
    ),
    client(
        "junie",
        "JetBrains Junie",
        &[dot(".junie/mcp/mcp.json", USUAL), project(".junie/mcp/mcp.json", USUAL)],
    ),
    client(
        "kiro",
        "Kiro",
        &[
            dot(".kiro/settings/mcp.json", USUAL),
            project(".kiro/settings/mcp.json", USUAL),
        ],
    ),
    client("lm-studio", "LM Studio", &[dot(".lmstudio/mcp.json", USUAL)]),
    client("mcp-json", "a plain mcp.json", &[project("mcp.json", VS_CODE)]),
    marked(
        Marks::Plain,
        client(
            "opencode",
            "opencode",
            &[
                dot(".config/opencode/opencode.json", OPENCODE),
                dot(".config/opencode/opencode.jsonc", OPENCODE),
                project("opencode.json", OPENCODE),
                project("opencode.jsonc", OPENCODE),
            ],
        ),
    ),
    client(
        "roo",
        "Roo Code",
        &[
            home(
                ".config/Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json",
                "Library/Application Support/Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json",
                "AppData/Roaming/Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json",
                USUAL,
            ),
            project(".roo/mcp.json", USUAL),
        ],
    ),
    client(
        "vscode",
        "VS Code",
        &[
            home(
                ".config/Code/User/mcp.json",
                "Library/Application Support/Code/User/mcp.json",
                "AppData/Roaming/Code/User/mcp.json",
                VS_CODE,
            ),
            home(
                ".config/Code/User/settings.json",
                "Library/Application Support/Code/User/settings.json",
                "AppData/Roaming/Code/User/settings.json",
                VS_CODE_SETTINGS,
            ),
            project(".vscode/mcp.json", VS_CODE),
        ],
    ),
    client(
        "windsurf",
        "Windsurf",
        &[
            dot(".codeium/windsurf/mcp_config.json", USUAL),
            dot(".codeium/mcp_config.json", USUAL),
        ],
    ),
    marked(
        Marks::None,
        client(
            "zed",
            "Zed",
            &[
                home(
                    ".config/zed/settings.json",
                    ".config/zed/settings.json",
                    "AppData/Roaming/Zed/settings.json",
                    ZED,
                ),
                project(".zed/settings.json", ZED),
            ],
        ),
    ),
];

#[cfg(test)]
mod tests {
    use super::CLIENTS;

    #[test]
    fn ids_are_in_order_and_plain() {
        assert!(CLIENTS.windows(2).all(|pair| pair[0].id < pair[1].id));
        let is_plain = |id: &str| id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        assert!(
            CLIENTS
                .iter()
                .all(|client| is_plain(client.id) && !client.files.is_empty())
        );
    }
}
