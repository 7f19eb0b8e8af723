//! Our view of a path or a URL is never more permissive than the kernel's or the `url` crate's.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cofferdam_inspect::{Facts, Guard, Links, NoLinks, SecretValues};
use serde_json::json;
use url::{Host, Url};

/// The links of the real file system.
struct RealLinks;

impl Links for RealLinks {
    fn target(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(path).ok()?;
        target.into_os_string().into_string().ok()
    }
}

/// Whether the guard names a rule that begins like this for one argument.
fn has(rule: &str, (name, value): (&str, &str), roots: Option<&[String]>, links: &dyn Links) -> bool {
    let facts = Facts {
        roots,
        links,
        hosts: &[],
        secrets: SecretValues::NONE,
    };
    let guard = Guard::new("take", None, &BTreeMap::new());
    let findings = guard.check(&json!({ name: value }), &facts);
    findings.iter().any(|finding| finding.rule.id.starts_with(rule))
}

/// A tree with links inside, outside, upwards, to siblings with a common prefix, and in a circle.
fn tree() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap();
    let root = base.join("a");
    std::fs::create_dir_all(root.join("d/e")).unwrap();
    std::fs::create_dir_all(base.join("a_secret/d")).unwrap();
    std::fs::write(root.join("f"), "").unwrap();
    std::fs::write(base.join("a_secret/f"), "").unwrap();
    symlink("d", root.join("in")).unwrap();
    symlink("../a_secret", root.join("out")).unwrap();
    symlink("/", root.join("all")).unwrap();
    symlink("circle", root.join("circle")).unwrap();
    symlink("../..", root.join("d/up")).unwrap();
    symlink(&root, base.join("a_secret/back")).unwrap();
    (folder, root)
}

#[test]
fn no_path_is_inside_for_us_and_outside_for_the_kernel() {
    let (_folder, root) = tree();
    let roots = [root.to_str().unwrap().to_owned()];
    let parts = [
        "d", "e", "f", "in", "out", "all", "circle", "up", "..", ".", "", "back", "a", "a_secret",
    ];
    let mut outside = 0;
    let mut judge = |path: &str| {
        let Ok(real) = Path::new(path).canonicalize() else {
            return;
        };
        let allowed = !has("argument/path-outside", ("path", path), Some(&roots), &RealLinks);
        let inside = real.starts_with(&root);
        outside += usize::from(!inside);
        assert!(!allowed || inside, "{path} is {}", real.display());
        // Nor is an honest path refused.
        assert!(allowed || !inside, "{path} is inside");
    };
    for first in parts {
        for second in parts {
            for third in parts {
                for fourth in ["", "f", "..", "d"] {
                    judge(&format!("{}/{first}/{second}/{third}/{fourth}", root.display()));
                    judge(&format!("{}/../{first}/{second}/{third}", root.display()));
                }
            }
        }
    }
    assert!(outside > 100, "the tree leads outside");
}

/// The ways in which an IPv4 address is written.
fn spellings(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let number = u32::from(address);
    let dotted = address.to_string();
    let wide: String = dotted
        .chars()
        .map(|digit| char::from_u32(u32::from(digit) + 0xFEE0).unwrap())
        .collect();
    vec![
        dotted.clone(),
        format!("{number}"),
        format!("{number:#x}"),
        format!("{number:#X}"),
        format!("0{number:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a}.{}", u32::from_be_bytes([0, b, c, d])),
        format!("{a}.{b}.{}", u16::from_be_bytes([c, d])),
        format!("{dotted}."),
        format!("user@{dotted}"),
        format!("example.org@{dotted}"),
        format!("{dotted}%2e"),
        format!("[::ffff:{dotted}]"),
        format!("[::{dotted}]"),
        wide.replace('\u{ff0e}', "\u{3002}"),
        wide,
    ]
}

#[test]
fn no_private_host_of_the_url_crate_passes() {
    let mut private = 0;
    for address in [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.9",
        "192.168.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
    ] {
        for spelling in spellings(address.parse().unwrap()) {
            for text in [
                format!("http://{spelling}/"),
                format!("HTTP://{spelling}:80/a?b"),
                format!("http:/{spelling}/"),
                format!("http:\\\\{spelling}\\"),
                format!(" http://{spelling}"),
                format!("//{spelling}/"),
                format!("h\tttp://{spelling}/"),
            ] {
                let absolute = Url::parse(text.trim()).or_else(|_| Url::parse(&format!("http:{text}")));
                let Ok(parsed) = absolute else { continue };
                let leads_inside = match parsed.host() {
                    Some(Host::Ipv4(found)) => found.to_string() == address,
                    Some(Host::Ipv6(_)) => true,
                    _ => false,
                };
                if leads_inside {
                    private += 1;
                    assert!(
                        has("argument/url", ("url", &text), None, &NoLinks),
                        "{text:?} leads to {address}"
                    );
                }
            }
        }
    }
    assert!(private > 300, "{private} spellings lead inside");
}
