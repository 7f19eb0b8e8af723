//! Servers that come as images, in containers that a real podman makes: as root, and as an ordinary user.
//!
//! The images are made from nothing by the tests. Nothing here needs a registry.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::podman::{Bench, Who};
use crate::support::{STUCK, Stage, fixture, rule_of, said_in, text};

fn added(bench: &Bench, options: &[&str]) {
    let image = bench.fixture_image();
    let options = [&["--image", image.as_str()], options].concat();
    let added = bench.add("fixture", &options, &[]);
    assert!(added.status.success(), "{}", text(&added.stderr));
}

/// Waits until podman lists no container.
fn leaves_no_container(bench: &Bench) {
    let began = Instant::now();
    while !bench.containers().is_empty() {
        assert!(began.elapsed() < STUCK, "{:?}", bench.podman(&["ps", "--all"]));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Every wall that every native server has stands, but that an image's own programs are in sight.
fn is_sealed(enforced: &Value) {
    let own = ["user", "pid", "mnt", "ipc", "uts", "cgroup", "net"];
    for kind in own {
        let namespace = enforced["namespaces"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["kind"] == kind);
        let namespace = namespace.unwrap_or_else(|| panic!("{kind}: {enforced}"));
        assert_ne!(namespace["inode"], namespace["ours"], "{kind}");
    }
    for set in ["inheritable", "permitted", "effective", "bounding", "ambient"] {
        assert_eq!(enforced["capabilities"][set], 0, "{set}");
    }
    assert_eq!(enforced["no_new_privileges"], true);
    assert_eq!(enforced["seccomp_mode"], 2);
    assert!(
        enforced["seccomp_filters"].as_u64().unwrap() >= 2,
        "the engine's filter and ours"
    );
    assert_eq!(enforced["seccomp_refuses"], true);
    assert_eq!(enforced["landlock"]["refuses"], true);
    assert_eq!(enforced["max_user_namespaces"], 0);
    assert_eq!(enforced["routes"], json!([]));
    assert_eq!(enforced["visible_processes"], json!([2]));
    assert_eq!(enforced["kernel_files"], json!([]));
    assert_eq!(enforced["walls"]["noexec_writable"], true);
    assert_eq!(enforced["confirmed_outside"], true);
    let map = &enforced["user_map"];
    assert_eq!(
        (map.as_array().unwrap().len(), &map[0]["count"]),
        (1, &json!(1)),
        "{map}"
    );
    assert!(map[0]["outside"].as_u64().unwrap() > 0, "{map}");
}

/// The spine of a session, the same for each backend: a list, calls, a refusal, what the server sees, a clean end.
fn spine(gate: &mut crate::support::Conversation) {
    let listed = gate.request("tools/list", json!({}));
    assert!(listed["result"]["tools"].as_array().unwrap().len() > 10, "{listed}");
    let answer = gate.call("echo", json!({"message": "through the gate"}));
    assert_eq!(said_in(&answer), "through the gate", "{answer}");
    let refused = gate.call("echo", json!({"no": "such argument"}));
    assert_eq!(rule_of(&refused), "argument/schema", "{refused}");
    let seen = gate.call("look", json!({}));
    let seen = said_in(&seen).to_owned();
    for fact in [
        "processes 1",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(seen.contains(fact), "{fact}: {seen}");
    }
    let tried = gate.call(
        "look",
        json!({"read": "/etc/shadow", "write": "/usr/x", "connect": "127.0.0.1:1"}),
    );
    for refused in ["read: ", "write: ", "connect: "] {
        assert!(said_in(&tried).contains(refused), "{refused}: {tried}");
    }
}

#[test]
fn the_spine_of_a_session_is_the_same_without_a_container_and_in_one() {
    let native = Stage::with_fixture(&[]);
    let mut gate = native.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    spine(&mut gate);
    assert!(gate.end().success());
    for who in [Who::Root, Who::User] {
        let bench = Bench::new(who);
        added(&bench, &[]);
        let mut gate = bench.converse("fixture");
        spine(&mut gate);
        assert_eq!(bench.containers().len(), 1, "{who:?}");
        assert!(gate.end().success(), "{who:?}");
        is_sealed(&bench.enforced());
        leaves_no_container(&bench);
        let verified = bench.run(&["audit", "verify"]);
        assert!(verified.status.success(), "{who:?}: {}", text(&verified.stderr));
    }
}

#[test]
fn kill_of_the_gate_ends_the_container_at_any_moment() {
    let bench = Bench::new(Who::User);
    added(&bench, &[]);
    let mut gate = bench.converse("fixture");
    assert_eq!(bench.containers().len(), 1);
    gate.child.kill().unwrap();
    gate.wait();
    leaves_no_container(&bench);
    for milliseconds in [60, 120, 180, 240, 320] {
        let mut starting = bench.gate(&["run", "fixture"]);
        let mut child = starting.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        leaves_no_container(&bench);
    }
    let mut gate = bench.converse("fixture");
    assert!(said_in(&gate.call("echo", json!({"message": "still"}))).contains("still"));
    assert!(gate.end().success());
    let left: Vec<_> = std::fs::read_dir(bench.home().join("state/run")).unwrap().collect();
    assert!(
        left.iter()
            .flatten()
            .all(|entry| !entry.file_name().to_str().unwrap().starts_with("oci-")),
        "{left:?}"
    );
}

#[test]
fn grants_are_what_is_seen_and_secrets_in_them_are_not() {
    let bench = Bench::new(Who::User);
    let folder = bench.workspace();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        nix::unistd::chown(&path, Some(64_321.into()), Some(64_321.into())).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (plain, secret) = (write("plain", "in sight"), write(".env", "TOKEN=hidden"));
    // A name that reads like further options of the mount.
    let odd = folder.with_file_name("odd,readonly=false,\"source=etc");
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join("file"), "an odd place").unwrap();
    added(
        &bench,
        &["--write", folder.to_str().unwrap(), "--read", odd.to_str().unwrap()],
    );
    let mut gate = bench.converse("fixture");
    let seen = gate.call(
        "look",
        json!({"read": odd.join("file"), "write": odd.join("new"), "connect": ""}),
    );
    assert!(
        said_in(&seen).contains("an odd place") && said_in(&seen).contains("write: "),
        "{seen}"
    );
    let made = folder.join("made").display().to_string();
    let seen = gate.call("look", json!({"read": plain, "write": made, "connect": ""}));
    assert!(said_in(&seen).contains("in sight"), "{seen}");
    assert!(folder.join("made").exists(), "{seen}");
    let seen = gate.call("look", json!({"read": secret, "write": "/usr/bin/x", "connect": ""}));
    assert!(!said_in(&seen).contains("hidden"), "{seen}");
    // A secret that an editor renames into place is masked again.
    write("draft", "TOKEN=hidden");
    std::fs::rename(folder.join("draft"), folder.join(".env")).unwrap();
    let began = Instant::now();
    loop {
        let seen = gate.call("look", json!({"read": secret, "write": "", "connect": ""}));
        if !said_in(&seen).contains("hidden") {
            break;
        }
        assert!(began.elapsed() < STUCK, "{seen}");
    }
    assert!(gate.end().success());
    assert_eq!(bench.enforced()["masks"], json!([secret]));
}

#[test]
fn the_same_egress_leads_where_it_is_granted_and_nowhere_else() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, closed) = (
        listener.local_addr().unwrap().port(),
        other.local_addr().unwrap().port(),
    );
    let bench = Bench::new(Who::User);
    added(&bench, &["--network", &format!("localhost:{port}")]);
    let mut gate = bench.converse("fixture");
    let mut connect = |port: u16| {
        let seen = gate.call(
            "look",
            json!({"read": "", "write": "", "connect": format!("127.0.0.1:{port}")}),
        );
        said_in(&seen).to_owned()
    };
    assert!(connect(port).contains("connected"));
    assert!(!connect(closed).contains("connected"));
    listener.accept().unwrap();
    other.set_nonblocking(true).unwrap();
    assert!(other.accept().is_err(), "nothing arrived where nothing was granted");
    assert!(gate.end().success());
    let connections = bench
        .records()
        .iter()
        .filter(|record| record["kind"] == "connection")
        .count();
    assert!(connections > 0, "{:?}", bench.records());
}

#[test]
fn limits_hold_in_a_container() {
    for who in [Who::Root, Who::User] {
        let bench = Bench::new(who);
        added(&bench, &[]);
        let manifest = bench.home().join("config/servers/fixture/manifest.toml");
        let mut text = std::fs::read_to_string(&manifest).unwrap();
        for (key, value) in [
            ("processes", "40"),
            ("open_files", "64"),
            ("disk", "\"8MiB\""),
            ("files", "100"),
        ] {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{key} = ")))
                .unwrap()
                .to_owned();
            text = text.replacen(&line, &format!("{key} = {value}"), 1);
        }
        std::fs::write(&manifest, text).unwrap();
        let mut gate = bench.converse("fixture");
        let mut take = |what: &str| said_in(&gate.call("exhaust", json!({"what": what, "at": "/tmp"}))).to_owned();
        assert!(take("processes").contains("os error 11"), "{who:?}");
        assert!(take("descriptors").contains("os error 24"), "{who:?}");
        assert!(take("disk").contains("os error 28"), "{who:?}");
        assert_eq!(said_in(&gate.call("echo", json!({"message": "well"}))), "well");
        assert!(gate.end().success(), "{who:?}");
        if who == Who::Root {
            // The group was entered from outside the container.
            assert_eq!(bench.enforced()["memory"]["bytes"], 2_u64 << 30, "{}", bench.enforced());
        }
    }
}

#[test]
fn nothing_that_is_baked_into_a_hostile_image_counts() {
    let bench = Bench::new(Who::User);
    let instructions = "ENV LD_PRELOAD=/usr/lib/evil.so API_TOKEN=ghp_0123456789abcdefghijABCDEFGHIJ012345 PLAIN=kept\n\
         VOLUME /data\nUSER 0\nHEALTHCHECK CMD [\"/usr/bin/fixture_server\"]\n\
         LABEL io.containers.capabilities=SYS_ADMIN io.podman.annotations.privileged=TRUE\nWORKDIR /data\n\
         ENTRYPOINT [\"fixture_server\"]\nCMD [\"--mark=baked\"]\n";
    let image = bench.image("hostile", &[&fixture()], instructions, |root| {
        // Its own first process, and what would be loaded into ours.
        std::fs::create_dir_all(root.join("data")).unwrap();
        std::fs::create_dir_all(root.join(".cofferdam/glibc-hwcaps/x86-64-v2")).unwrap();
        for ours in ["program", "loader", "libc.so.6", "glibc-hwcaps/x86-64-v2/libc.so.6"] {
            std::fs::write(root.join(".cofferdam").join(ours), "#!/usr/bin/fixture_server\n").unwrap();
        }
        std::fs::write(root.join("etc/ld.so.preload"), "/usr/lib/evil.so\n").unwrap();
        std::fs::write(root.join("etc/passwd"), "root::0:0::/:/bin/sh\n").unwrap();
        std::os::unix::fs::symlink("/etc", root.join("tmp")).unwrap();
        std::os::unix::fs::symlink("/proc/1/root", root.join("escape")).unwrap();
        std::os::unix::fs::symlink("/", root.join("home")).unwrap();
        // What other runtimes mask files with, leading to a setting of the kernel instead.
        std::fs::create_dir_all(root.join("dev")).unwrap();
        std::os::unix::fs::symlink("/proc/sys/kernel/core_pattern", root.join("dev/null")).unwrap();
    });
    let added = bench.add("hostile", &["--image", &image], &[]);
    let shown = text(&added.stderr);
    assert!(added.status.success(), "{shown}");
    for said in [
        "the image's user `0` does not count",
        "`API_TOKEN` is left out",
        "`/data`",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    let manifest = std::fs::read_to_string(bench.home().join("config/servers/hostile/manifest.toml")).unwrap();
    assert!(!manifest.contains("ghp_"), "{manifest}");
    let mut gate = bench.converse("hostile");
    let seen = gate.call("look", json!({}));
    assert!(
        said_in(&seen).contains("PLAIN=kept") && !said_in(&seen).contains("API_TOKEN"),
        "{seen}"
    );
    let seen = gate.call(
        "look",
        json!({"read": "/etc/passwd", "write": "/data/x", "connect": ""}),
    );
    assert!(
        said_in(&seen).contains("sandbox:x:65532") && said_in(&seen).contains("write: "),
        "{seen}"
    );
    for device in ["/dev/null", "/dev/zero"] {
        let seen = gate.call("look", json!({"read": "/dev/null", "write": device, "connect": ""}));
        assert_eq!(said_in(&seen), "\nwritten", "{seen}");
    }
    for hidden in ["/escape/etc/hostname", "/.cofferdam/program", "/proc/1/environ"] {
        let seen = gate.call("look", json!({"read": hidden, "write": "", "connect": ""}));
        assert!(said_in(&seen).contains("read: "), "{hidden}: {seen}");
    }
    assert!(gate.end().success());
    is_sealed(&bench.enforced());
    leaves_no_container(&bench);
}

#[test]
fn what_is_no_pinned_image_or_opens_the_container_is_refused_by_its_name() {
    let bench = Bench::new(Who::User);
    let image = bench.fixture_image();
    let refused = |options: &[&str], command: &[&str]| {
        let refused = bench.add("open", options, command);
        assert!(!refused.status.success(), "{command:?}");
        text(&refused.stderr)
    };
    // A tag: the digest that would pin it is told.
    let said = refused(&["--image", "localhost/fixture:1"], &[]);
    assert!(
        said.contains("is not pinned by its digest") && said.contains(&image),
        "{said}"
    );
    let (name, digest) = image.split_once("@sha256:").unwrap();
    let last = if digest.ends_with('0') { "1" } else { "0" };
    let tampered = format!("{name}@sha256:{}{last}", digest.get(..63).unwrap());
    let said = refused(&["--image", &tampered], &[]);
    assert!(
        said.contains("cannot be used") && said.contains("nothing is fetched here"),
        "{said}"
    );
    for open in [
        "--privileged",
        "--network=host",
        "--pid=host",
        "--device=/dev/kvm",
        "--cap-add=SYS_ADMIN",
        "-v=/var/run/docker.sock:/var/run/docker.sock",
        "--volume=/run/podman/podman.sock:/x",
    ] {
        let said = refused(&[], &["docker", "run", "-i", open, &image]);
        let option = open.split('=').next().unwrap();
        assert!(said.contains(option) || option == "--volume", "{open}: {said}");
        assert!(said.contains("never granted") || option == "-v", "{open}: {said}");
    }
    let said = refused(&["--execute", "git", "--image", &image], &[]);
    assert!(said.contains("cannot be used with"), "{said}");
    assert!(bench.containers().is_empty());
    // The line as people have it in their clients.
    let folder = bench.workspace().display().to_string();
    let volume = format!("{folder}:{folder}:ro");
    let line = [
        "docker",
        "run",
        "-i",
        "--rm",
        "-e",
        "GREETING=ahoy",
        "-v",
        &volume,
        &image,
        "--mark=line",
    ];
    let added = bench.add("line", &[], &line);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let called = bench.run(&["call", "line", "look"]);
    assert!(
        text(&called.stdout).contains("GREETING=ahoy"),
        "{}",
        text(&called.stderr)
    );
}

#[test]
fn what_pretends_to_be_an_engine_is_none_and_nothing_stands_in_for_one() {
    let bench = Bench::new(Who::User);
    added(&bench, &[]);
    let manifest = bench.home().join("config/servers/fixture/manifest.toml");
    let good = std::fs::read_to_string(&manifest).unwrap();
    // One of the user's own: others than root can change it.
    let fake = bench.workspace().join("podman");
    std::fs::write(&fake, "#!/bin/sh\ntouch \"$0.ran\"\n").unwrap();
    std::fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    for (engine, why) in [
        (fake.to_str().unwrap(), "root's alone"),
        ("/usr/bin/no-such-engine", "not installed"),
    ] {
        std::fs::write(
            &manifest,
            good.replacen("image = ", &format!("engine = \"{engine}\"\nimage = "), 1),
        )
        .unwrap();
        let refused = bench.run(&["run", "fixture"]);
        assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    }
    assert!(!fake.with_extension("ran").exists() && !bench.workspace().join("podman.ran").exists());
    // Found first along the client's path, and never looked for there.
    std::fs::write(&manifest, &good).unwrap();
    let path = format!("{}:/usr/bin:/bin", bench.workspace().display());
    let mut call = bench.gate(&["call", "fixture", "echo", r#"{"message":"real"}"#]);
    let called = call
        .env("PATH", path)
        .env("CONTAINERS_CONF", "/nowhere")
        .output()
        .unwrap();
    assert!(text(&called.stdout).contains("real"), "{}", text(&called.stderr));
    assert!(!bench.workspace().join("podman.ran").exists());
    // A runtime the engine does not know: no other one, and no other backend.
    std::fs::write(&manifest, good.replacen("image = ", "runtime = \"runsc\"\nimage = ", 1)).unwrap();
    let refused = bench.run(&["run", "fixture"]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("runsc"), "{}", text(&refused.stderr));
    let last = bench.records().pop().unwrap();
    assert_eq!(
        (&last["kind"], &last["facts"]["cause"]),
        (&json!("close"), &json!("not-started")),
        "{last}"
    );
    leaves_no_container(&bench);
}

#[test]
fn root_cannot_grant_a_folder_for_writing_to_a_container_of_its_own() {
    let bench = Bench::new(Who::Root);
    let image = bench.fixture_image();
    let folder = bench.workspace().display().to_string();
    let refused = bench.add("fixture", &["--image", &image, "--write", &folder], &[]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains("users of its own"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn doctor_tells_which_engine_there_is() {
    let bench = Bench::new(Who::User);
    let examined = bench.run(&["--format", "json", "doctor"]);
    let facts: Value = serde_json::from_slice(&examined.stdout).unwrap();
    let engine = &facts["backends"][1];
    assert_eq!(engine["name"], "oci", "{facts}");
    assert_eq!(
        (&engine["runtime"], &engine["rootless"]),
        (&json!("crun"), &json!(true)),
        "{engine}"
    );
    let said = text(&bench.run(&["doctor"]).stdout);
    assert!(said.contains("oci      podman 4."), "{said}");
}

#[test]
fn a_real_server_in_an_image_answers_as_it_does_outside() {
    let bench = Bench::new(Who::User);
    let folder = bench.workspace();
    std::fs::write(folder.join("hello"), "hello from a granted folder").unwrap();
    nix::unistd::chown(&folder.join("hello"), Some(64_321.into()), Some(64_321.into())).unwrap();
    let index = "/app/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js";
    let image = bench.image(
        "node",
        &["/usr/bin/node"],
        "WORKDIR /app\nENTRYPOINT [\"node\"]\n",
        |root| {
            let modules = crate::driven::installed("node/node_modules");
            std::fs::create_dir_all(root.join("app")).unwrap();
            let copied = std::process::Command::new("cp")
                .args(["-a", &modules])
                .arg(root.join("app"))
                .status();
            assert!(copied.unwrap().success());
        },
    );
    let shared = folder.to_str().unwrap();
    let added = bench.add("files", &["--image", &image, "--read", shared], &[index, shared]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let mut gate = bench.converse("files");
    let answer = gate.call("read_text_file", json!({"path": folder.join("hello")}));
    assert_eq!(said_in(&answer), "hello from a granted folder", "{answer}");
    let refused = gate.call("read_text_file", json!({"path": "/etc/passwd"}));
    assert!(!said_in(&refused).contains("sandbox"), "{refused}");
    assert!(gate.end().success());
    leaves_no_container(&bench);
}

#[test]
fn two_sessions_at_once_have_a_container_each() {
    let bench = Bench::new(Who::User);
    added(&bench, &[]);
    let mut gates: Vec<_> = (0..3).map(|_| bench.converse("fixture")).collect();
    assert_eq!(bench.containers().len(), 3);
    for gate in &mut gates {
        assert!(said_in(&gate.call("look", json!({}))).contains("processes 1"));
    }
    let mut first = gates.remove(0);
    first.child.kill().unwrap();
    first.wait();
    for gate in gates {
        assert!(gate.end().success());
    }
    leaves_no_container(&bench);
}

#[test]
fn a_link_of_the_image_leads_no_grant_to_a_place_without_masks() {
    let bench = Bench::new(Who::User);
    let folder = bench.workspace();
    std::fs::write(folder.join(".env"), "TOKEN=hidden").unwrap();
    let top = folder
        .ancestors()
        .nth(folder.components().count() - 2)
        .unwrap()
        .to_owned();
    let instructions = "ENTRYPOINT [\"fixture_server\"]\n";
    let image = bench.image("linked", &[&fixture()], instructions, |root| {
        std::fs::create_dir_all(root.join("usr/share/elsewhere")).unwrap();
        std::os::unix::fs::symlink("/usr/share/elsewhere", root.join(top.strip_prefix("/").unwrap())).unwrap();
    });
    let refused = bench.add("linked", &["--image", &image, "--read", folder.to_str().unwrap()], &[]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
    let said = text(&refused.stderr);
    assert!(
        said.contains("/usr/share/elsewhere") && said.contains("by a link of the image"),
        "{said}"
    );
    // Without the grant nothing is led anywhere.
    let added = bench.add("linked", &["--image", &image], &[]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    leaves_no_container(&bench);
}

#[test]
fn what_the_engines_configuration_mounts_in_every_container_is_refused() {
    let bench = Bench::new(Who::User);
    added(&bench, &[]);
    let secret = bench.workspace().join("secret");
    std::fs::write(&secret, "not granted").unwrap();
    let folder = bench.workspace().parent().unwrap().join("home/.config/containers");
    std::fs::create_dir_all(&folder).unwrap();
    let volume = format!("[containers]\nvolumes = [\"{}:/srv/secret:ro\"]\n", secret.display());
    std::fs::write(folder.join("containers.conf"), volume).unwrap();
    let refused = bench.run(&["run", "fixture"]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains("`/srv/secret`"),
        "{}",
        text(&refused.stderr)
    );
    leaves_no_container(&bench);
}
