//! What a bad manifest is told, word for word.
#![expect(clippy::expect_used, reason = "tests")]

use cofferdam_manifest::parse;
use insta::assert_snapshot;

fn refusal(text: &str) -> String {
    parse(text, "github.toml")
        .expect_err("this manifest is wrong")
        .to_string()
}

#[test]
fn unknown_keys_name_the_nearest() {
    let manifest = r##"[launch]
command = ["/usr/bin/node", "/srv/index.js"]

[network]
alow = ["api.github.com:443"]

[colour]
"##;
    assert_snapshot!(refusal(manifest), @r##"
    error: unknown key `alow` in [network]
     --> github.toml:5:1
      |
    5 | alow = ["api.github.com:443"]
      | ^^^^
      = help: did you mean `allow`?

    error: unknown key `colour` in a manifest
     --> github.toml:7:2
      |
    7 | [colour]
      |  ^^^^^^
      = help: a manifest knows `launch`, `filesystem`, `network`, `programs`, `sockets`, `environment`, `limits`, `secrets`, `isolation`, `client`, `answers`, `suppress` and `tools`
    "##);
}

#[test]
fn a_suppression_says_why_and_until_when() {
    let manifest = r##"[launch]
command = ["/usr/bin/node", "/srv/index.js"]

[suppress."argument/secret"]
reason = " "
until = "2027-02-30"

[suppress."argument/schema"]
until = "2027-02-01"
"##;
    assert_snapshot!(refusal(manifest), @r##"
    error: `reason` is empty
     --> github.toml:5:10
      |
    5 | reason = " "
      |          ^^^

    error: `2027-02-30` is not a day
     --> github.toml:6:9
      |
    6 | until = "2027-02-30"
      |         ^^^^^^^^^^^^
      = help: write the last day on which it holds, such as "2027-03-31"

    error: `reason` is missing in [suppress.argument/schema]
     --> github.toml:8:1
      |
    8 | [suppress."argument/schema"]
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "##);
}

#[test]
fn a_string_where_a_list_belongs() {
    let manifest = r##"[launch]
command = "/usr/bin/node"
"##;
    assert_snapshot!(refusal(manifest), @r##"
    error: `launch.command` is a list of strings, not a string
     --> github.toml:2:11
      |
    2 | command = "/usr/bin/node"
      |           ^^^^^^^^^^^^^^^
      = help: put the value in brackets
    "##);
}

#[test]
fn a_program_without_a_path() {
    let manifest = r##"[launch]
command = ["node", "index.js"]
"##;
    assert_snapshot!(refusal(manifest), @r##"
    error: `node` is not an absolute path
     --> github.toml:2:12
      |
    2 | command = ["node", "index.js"]
      |            ^^^^^^
      = help: which program a plain name means depends on the environment: `cofferdam add` finds its path
    "##);
}

#[test]
fn an_empty_manifest() {
    let manifest = r##""##;
    assert_snapshot!(refusal(manifest), @r##"
    error: [launch] is missing
     --> github.toml:1:1
      |
    1 | 
      | ^
      = help: `[launch]` names the program: `command = ["/usr/bin/node", "/path/to/index.js"]`
    "##);
}

#[test]
fn broken_toml_is_one_message() {
    let manifest = r##"[launch]
command = ["/usr/bin/node"
directory = "/srv"
"##;
    assert_snapshot!(refusal(manifest), @r##"
    error: not TOML: missing comma between array elements, expected `,`
     --> github.toml:3:1
      |
    3 | directory = "/srv"
      | ^
    "##);
}

#[test]
fn grants_that_are_never_made() {
    let manifest = r##"[launch]
command = ["/usr/bin/node"]

[filesystem]
read = ["/", "/run", "projects", "/srv/../etc", "/srv", "/srv/"]
write = ["~", "/etc/cron.d", "/home/me/.docker/docker.sock", "~other/x"]
"##;
    assert_snapshot!(refusal(manifest), @r##"
    error: `/` can never be granted: it is the whole machine
     --> github.toml:5:9
      |
    5 | read = ["/", "/run", "projects", "/srv/../etc", "/srv", "/srv/"]
      |         ^^^

    error: `/run` can never be granted: this folder holds sockets that command the machine
     --> github.toml:5:14
      |
    5 | read = ["/", "/run", "projects", "/srv/../etc", "/srv", "/srv/"]
      |              ^^^^^^

    error: `filesystem.read`: `projects` is not an absolute path
     --> github.toml:5:22
      |
    5 | read = ["/", "/run", "projects", "/srv/../etc", "/srv", "/srv/"]
      |                      ^^^^^^^^^^
      = help: write the whole path, or `~/…` for your own home

    error: `filesystem.read`: `/srv/../etc` contains `..`
     --> github.toml:5:34
      |
    5 | read = ["/", "/run", "projects", "/srv/../etc", "/srv", "/srv/"]
      |                                  ^^^^^^^^^^^^^
      = help: write the path it leads to

    error: `/srv/` occurs twice in `filesystem.read`
     --> github.toml:5:57
      |
    5 | read = ["/", "/run", "projects", "/srv/../etc", "/srv", "/srv/"]
      |                                                         ^^^^^^^

    error: `~` can never be granted: the home folder holds files that shells execute: name folders inside it
     --> github.toml:6:10
      |
    6 | write = ["~", "/etc/cron.d", "/home/me/.docker/docker.sock", "~other/x"]
      |          ^^^

    error: `/etc/cron.d` can never be granted: `/etc` is part of the system: what can write there owns the machine
     --> github.toml:6:15
      |
    6 | write = ["~", "/etc/cron.d", "/home/me/.docker/docker.sock", "~other/x"]
      |               ^^^^^^^^^^^^^

    error: `/home/me/.docker/docker.sock` can never be granted: this socket commands a container engine, and with it the machine
     --> github.toml:6:30
      |
    6 | write = ["~", "/etc/cron.d", "/home/me/.docker/docker.sock", "~other/x"]
      |                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: `filesystem.write`: `~other/x` names another user's home
     --> github.toml:6:62
      |
    6 | write = ["~", "/etc/cron.d", "/home/me/.docker/docker.sock", "~other/x"]
      |                                                              ^^^^^^^^^^
      = help: write the whole path
    "##);
}

#[test]
fn network_entries_are_host_and_port() {
    let manifest = r##"[launch]
command = ["/usr/bin/node"]

[network]
allow = ["https://api.github.com", "api.github.com", "169.254.169.254:80", "10.0.0.1:0"]
"##;
    assert_snapshot!(refusal(manifest), @r##"
    error: `https://api.github.com` cannot be allowed: a network entry has no scheme
     --> github.toml:5:10
      |
    5 | allow = ["https://api.github.com", "api.github.com", "169.254.169.254:80", "10.0.0.1:0"]
      |          ^^^^^^^^^^^^^^^^^^^^^^^^
      = help: write `host:port`, such as `api.github.com:443`

    error: `api.github.com` cannot be allowed: the port is missing
     --> github.toml:5:36
      |
    5 | allow = ["https://api.github.com", "api.github.com", "169.254.169.254:80", "10.0.0.1:0"]
      |                                    ^^^^^^^^^^^^^^^^
      = help: write `host:port`, such as `api.github.com:443`

    error: `169.254.169.254:80` cannot be allowed: link-local and metadata addresses can never be granted
     --> github.toml:5:54
      |
    5 | allow = ["https://api.github.com", "api.github.com", "169.254.169.254:80", "10.0.0.1:0"]
      |                                                      ^^^^^^^^^^^^^^^^^^^^
      = help: they hand out the machine's own credentials

    error: `10.0.0.1:0` cannot be allowed: the port is not a number from 1 to 65535
     --> github.toml:5:76
      |
    5 | allow = ["https://api.github.com", "api.github.com", "169.254.169.254:80", "10.0.0.1:0"]
      |                                                                            ^^^^^^^^^^^^
      = help: write one entry for each port
    "##);
}

#[test]
fn an_environment_without_secrets() {
    let manifest = r##"[launch]
command = ["/usr/bin/node"]

[environment]
pass = ["LANG", "GITHUB_TOKEN", "LD_PRELOAD", "1ST"]

[environment.set]
API_KEY = "hunter2"
LANG = "C"
"BAD NAME" = "x"
MODE = 3
"##;
    assert_snapshot!(refusal(manifest), @r##"
    error: `GITHUB_TOKEN` is named like a secret
     --> github.toml:5:17
      |
    5 | pass = ["LANG", "GITHUB_TOKEN", "LD_PRELOAD", "1ST"]
      |                 ^^^^^^^^^^^^^^
      = help: name its source under [secrets.GITHUB_TOKEN] instead: a manifest never holds or passes on a secret

    error: `LD_PRELOAD` decides which code the program loads and cannot be passed on
     --> github.toml:5:33
      |
    5 | pass = ["LANG", "GITHUB_TOKEN", "LD_PRELOAD", "1ST"]
      |                                 ^^^^^^^^^^^^
      = help: write its value under [environment.set]

    error: `1ST` is not the name of an environment variable
     --> github.toml:5:47
      |
    5 | pass = ["LANG", "GITHUB_TOKEN", "LD_PRELOAD", "1ST"]
      |                                               ^^^^^
      = help: letters, digits and `_`, without a digit in front

    error: `environment.set.API_KEY` looks like a secret, by its name
     --> github.toml:8:11
      |
    8 | API_KEY = *********
      |           ^^^^^^^^^
      = help: name its source under [secrets.API_KEY] instead: a manifest never holds or passes on a secret

    error: `LANG` is passed and set
     --> github.toml:9:1
      |
    9 | LANG = "C"
      | ^^^^

    error: `BAD NAME` is not the name of an environment variable
      --> github.toml:10:1
       |
    10 | "BAD NAME" = "x"
       | ^^^^^^^^^^
       = help: letters, digits and `_`, without a digit in front

    error: `environment.set.MODE` is a string, not a number
      --> github.toml:11:8
       |
    11 | MODE = 3
       |        ^
    "##);
}

#[test]
fn limits_have_units_and_bounds() {
    let manifest = r##"[launch]
command = ["/usr/bin/node"]

[limits]
memory = 512
message = "16MB"
disk = "1PiB"
processes = 0
open_files = 99999999999999999999999999
seconds_per_cal = 3
calls_in_flight = "4"
record_per_hour = "18446744073709551616B"
"##;
    assert_snapshot!(refusal(manifest), @r##"
    error: `limits.memory` is a string with a unit, not a number
     --> github.toml:5:10
      |
    5 | memory = 512
      |          ^^^
      = help: write it with its unit in quotes, such as `"512MiB"`

    error: `limits.disk` is not understood: a whole number and a unit was expected, such as `512MiB` or `2GiB`
     --> github.toml:7:8
      |
    7 | disk = "1PiB"
      |        ^^^^^^

    error: `limits.processes` is out of range
     --> github.toml:8:13
      |
    8 | processes = 0
      |             ^
      = help: from 1 to 32768

    error: `limits.open_files` is out of range
     --> github.toml:9:14
      |
    9 | open_files = 99999999999999999999999999
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^^
      = help: from 16 to 1048576

    error: unknown key `seconds_per_cal` in [limits]
      --> github.toml:10:1
       |
    10 | seconds_per_cal = 3
       | ^^^^^^^^^^^^^^^
       = help: did you mean `seconds_per_call`?

    error: `limits.calls_in_flight` is a whole number, not a string
      --> github.toml:11:19
       |
    11 | calls_in_flight = "4"
       |                   ^^^

    error: `limits.record_per_hour` is not understood: the number is too large
      --> github.toml:12:19
       |
    12 | record_per_hour = "18446744073709551616B"
       |                   ^^^^^^^^^^^^^^^^^^^^^^^
    "##);
}

#[test]
fn tools_are_pinned() {
    let manifest = r##"[launch]
command = ["/usr/bin/node"]

[tools.read_file]
pin = "sha256:abc"
consent = "alow"

[tools.write_file]
consent = "person"

[tools.x.arguments.path]
role = "pth"
within = ["/proc"]
"##;
    assert_snapshot!(refusal(manifest), @r##"
    error: `tools.read_file.pin` is not a digest: a digest is written `sha256:` and 64 lowercase hexadecimal digits
     --> github.toml:5:7
      |
    5 | pin = "sha256:abc"
      |       ^^^^^^^^^^^^

    error: `tools.read_file.consent` cannot be `alow`
     --> github.toml:6:11
      |
    6 | consent = "alow"
      |           ^^^^^^
      = help: did you mean `allow`?

    error: `pin` is missing in [tools.write_file]
     --> github.toml:8:1
      |
    8 | [tools.write_file]
      | ^^^^^^^^^^^^^^^^^^

    error: `pin` is missing in [tools.x]
      --> github.toml:11:8
       |
    11 | [tools.x.arguments.path]
       |        ^

    error: `tools.x.arguments.path.role` cannot be `pth`
      --> github.toml:12:8
       |
    12 | role = "pth"
       |        ^^^^^
       = help: did you mean `path`?

    error: `/proc` can never be granted: `/proc` is the kernel's own interface
      --> github.toml:13:11
       |
    13 | within = ["/proc"]
       |           ^^^^^^^
    "##);
}

#[test]
fn secrets_isolation_and_client() {
    let manifest = r##"[launch]
command = ["/usr/bin/node"]

[secrets.GITHUB_TOKEN]
source = "env:GITHUB_TOKEN"
ttl = "1h"

[secrets.OTHER]
deliver = "egress"

[isolation]
backend = "docker"
require = ["Landlock"]

[client]
allow = ["roots", "sampling", "root", "roots"]
"##;
    assert_snapshot!(refusal(manifest), @r##"
    error: [secrets.GITHUB_TOKEN] is delivered by egress and needs `hosts` and `header`
     --> github.toml:4:1
      |
    4 | [secrets.GITHUB_TOKEN]
      | ^^^^^^^^^^^^^^^^^^^^^^
      = help: name the hosts that may see it, or another `deliver`: `fd`, `file` or `env`

    error: `secrets.GITHUB_TOKEN.ttl` is out of range
     --> github.toml:6:7
      |
    6 | ttl = "1h"
      |       ^^^^
      = help: from 1s to 15m

    error: `source` is missing in [secrets.OTHER]
     --> github.toml:8:1
      |
    8 | [secrets.OTHER]
      | ^^^^^^^^^^^^^^^

    error: `isolation.backend` cannot be `docker`
      --> github.toml:12:11
       |
    12 | backend = "docker"
       |           ^^^^^^^^
       = help: one of `native` and `oci`

    error: `Landlock` is not the name of a feature
      --> github.toml:13:12
       |
    13 | require = ["Landlock"]
       |            ^^^^^^^^^^
       = help: write a feature as `run` reports it, such as `landlock`

    error: `client.allow` cannot be `root`
      --> github.toml:16:31
       |
    16 | allow = ["roots", "sampling", "root", "roots"]
       |                               ^^^^^^
       = help: did you mean `roots`?

    error: `roots` occurs twice in `client.allow`
      --> github.toml:16:39
       |
    16 | allow = ["roots", "sampling", "root", "roots"]
       |                                       ^^^^^^^
    "##);
}

#[test]
fn packages_sockets_and_programs() {
    let manifest = r##"[launch]
command = ["/usr/bin/node"]
digest = "md5:1"
package = { registry = "crates", name = "a b", version = "^1.2", integrity = "" }
[launch.extra]

[sockets]
allow = ["/var/run/docker.sock"]

[programs]
allow = ["git", "git status", "../x", "/bin/sh", ""]
"##;
    assert_snapshot!(refusal(manifest), @r##"
    error: `launch.digest` is not a digest: a digest is written `sha256:` and 64 lowercase hexadecimal digits
     --> github.toml:3:10
      |
    3 | digest = "md5:1"
      |          ^^^^^^^

    error: `launch.package.registry` cannot be `crates`
     --> github.toml:4:24
      |
    4 | package = { registry = "crates", name = "a b", version = "^1.2", integrity = "" }
      |                        ^^^^^^^^
      = help: one of `npm` and `pypi`

    error: a word without spaces was expected
     --> github.toml:4:41
      |
    4 | package = { registry = "crates", name = "a b", version = "^1.2", integrity = "" }
      |                                         ^^^^^

    error: `^1.2` is not one exact version
     --> github.toml:4:58
      |
    4 | package = { registry = "crates", name = "a b", version = "^1.2", integrity = "" }
      |                                                          ^^^^^^
      = help: write one version, such as `1.4.2`, not a range or a tag

    error: a word without spaces was expected
     --> github.toml:4:78
      |
    4 | package = { registry = "crates", name = "a b", version = "^1.2", integrity = "" }
      |                                                                              ^^

    error: unknown key `extra` in [launch]
     --> github.toml:5:9
      |
    5 | [launch.extra]
      |         ^^^^^
      = help: [launch] knows `command`, `directory`, `program`, `digest` and `package`

    error: `/var/run/docker.sock` can never be granted: this socket commands a container engine, and with it the machine
     --> github.toml:8:10
      |
    8 | allow = ["/var/run/docker.sock"]
      |          ^^^^^^^^^^^^^^^^^^^^^^

    error: `git status` is not a program
      --> github.toml:11:17
       |
    11 | allow = ["git", "git status", "../x", "/bin/sh", ""]
       |                 ^^^^^^^^^^^^
       = help: write a plain name such as `git`, or an absolute path, without arguments

    error: `../x` is not a program
      --> github.toml:11:31
       |
    11 | allow = ["git", "git status", "../x", "/bin/sh", ""]
       |                               ^^^^^^
       = help: write a plain name such as `git`, or an absolute path, without arguments

    error: `` is not a program
      --> github.toml:11:50
       |
    11 | allow = ["git", "git status", "../x", "/bin/sh", ""]
       |                                                  ^^
       = help: write a plain name such as `git`, or an absolute path, without arguments
    "##);
}

#[test]
fn invisible_characters_are_shown() {
    let manifest =
        "[launch]\ncommand = [\"/usr/bin/node\"]\ndirectory = \"/srv/\u{202e}gpj.exe\t\"\n\tdirctory = \"/x\"\n";
    assert_snapshot!(refusal(manifest), @r##"
    error: an invisible character (U+202E)
     --> github.toml:3:19
      |
    3 | directory = "/srv/\u{202e}gpj.exe    "
      |                   ^^^^^^^^
      = help: write it as an escape such as `\u00AD`, or remove it
    "##);
}

#[test]
fn a_token_on_the_command_line() {
    // Not written in one piece, so that scanners for secrets stay quiet.
    let token = ["ghp_", "0123456789abcdefghij", "0123456789abcdef"].concat();
    let manifest = format!("[launch]\ncommand = [\"/usr/bin/node\", \"--token={token}\"]\n");
    let shown = refusal(&manifest);
    assert!(!shown.contains(&token), "a message repeats the token");
    assert_snapshot!(shown, @r##"
    error: this argument looks like a GitHub token
     --> github.toml:2:29
      |
    2 | command = ["/usr/bin/node", **************************************************]
      |                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      = help: every process of the user can read a command line: name it under [secrets] instead
    "##);
}

#[test]
fn what_is_quoted_cannot_steer_a_terminal() {
    let manifest = r##"[launch]
command = ["/usr/bin/node"]
directory = "\u001b[31mred\u202e/x"
"##;
    assert_snapshot!(refusal(manifest), @r##"
    error: `launch.directory`: `\u{1b}[31mred\u{202e}/x` is not an absolute path
     --> github.toml:3:13
      |
    3 | directory = "\u001b[31mred\u202e/x"
      |             ^^^^^^^^^^^^^^^^^^^^^^^
      = help: write the whole path, or `~/…` for your own home
    "##);
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let (a, b) = ("a".repeat(200), "b".repeat(200));
    let manifest = format!("[launch]\ncommand = [\"/usr/bin/node\", \"{a}\", 7, \"{b}\"]\n");
    assert_snapshot!(refusal(&manifest), @r##"
    error: `launch.command` is a string, not a number
     --> github.toml:2:233
      |
    2 | …aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 7, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb…
      |                                                                                  ^
    "##);
}

#[test]
fn tls_is_declared_of_names_that_are_allowed() {
    let with = |network: &str| {
        let text = format!("[launch]\ncommand = [\"/bin/x\"]\n[network]\n{network}\n");
        parse(&text, "x").map(|manifest| manifest.network)
    };
    let network =
        with("allow = [\"a.com:443\", \"b.com:8443\", \"c.com:80\", \"10.0.0.7:443\"]\ntls = [\"B.com:8443\"]")
            .unwrap();
    let tls: Vec<bool> = network.allow.iter().map(|endpoint| network.is_tls(endpoint)).collect();
    assert_eq!(tls, [true, true, false, false]);
    for refused in [
        "allow = [\"a.com:443\"]\ntls = [\"b.com:443\"]",
        "allow = [\"10.0.0.7:8443\"]\ntls = [\"10.0.0.7:8443\"]",
        "allow = [\"localhost:8443\"]\ntls = [\"localhost:8443\"]",
        "allow = [\"a.com:53\"]",
    ] {
        assert!(with(refused).is_err(), "{refused}");
    }
    let many: Vec<String> = (1000..1129).map(|port| format!("\"a.com:{port}\"")).collect();
    assert!(with(&format!("allow = [{}]", many.join(", "))).is_err());
}

#[test]
fn an_image_goes_with_a_container_and_nothing_of_this_system_with_it() {
    let with = |launch: &str, isolation: &str| {
        let text = format!("[launch]\ncommand = [\"/bin/x\"]\n{launch}\n[isolation]\n{isolation}\n");
        parse(&text, "x").map_err(|error| error.to_string())
    };
    let pinned = format!("image = \"a.example:5000/b@sha256:{}\"", "0".repeat(64));
    let oci = format!("backend = \"oci\"\n{pinned}");
    with("", &oci).unwrap();
    with("", &format!("{oci}\nengine = \"/usr/bin/podman\"\nruntime = \"runsc\"")).unwrap();
    for (launch, isolation, why) in [
        ("", "backend = \"oci\"", "needs an image"),
        ("", pinned.as_str(), "goes with a container only"),
        ("", "runtime = \"runsc\"", "goes with a container only"),
        (
            "",
            "backend = \"oci\"\nimage = \"a:latest\"",
            "not pinned by its digest",
        ),
        (
            "",
            &format!("{oci}\nengine = \"docker\""),
            "not an engine this version can use",
        ),
        (
            "",
            &format!("{oci}\nengine = \"../podman\""),
            "not an engine this version can use",
        ),
        (
            "",
            &format!("{oci}\nruntime = \"--privileged\""),
            "not the name of a runtime",
        ),
        ("program = [\"/srv\"]", &oci, "`launch.program` does not go with"),
        (
            "[programs]\nallow = [\"git\"]",
            &oci,
            "`programs.allow` does not go with",
        ),
    ] {
        let said = with(launch, isolation).expect_err(why);
        assert!(said.contains(why), "{why}: {said}");
    }
    // A plain name is one of the image's, and of nothing else.
    let named = |isolation: &str| parse(&format!("[launch]\ncommand = [\"x\"]\n[isolation]\n{isolation}\n"), "x");
    named(&oci).unwrap();
    assert!(named("").is_err());
}
