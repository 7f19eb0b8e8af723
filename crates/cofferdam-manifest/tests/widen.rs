//! One more right leaves a person's own text alone.

use cofferdam_manifest::{Right, WidenError, parse, widen};

const TEXT: &str = r#"# Ann looks after this one.
[launch]
command = ["/usr/bin/node", "/srv/index.js"]   # as packaged
digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111" # 2.0

[filesystem]
read = ["/data/notes"] # nothing else
write = []

[network]
allow = [
    # the forge
    "forge.example:443", # since May
]
"#;

#[test]
fn a_right_is_written_as_its_neighbours_are() {
    let host = widen(TEXT, &Right::Host("files.example:443".into())).unwrap();
    let wanted = TEXT.replace(
        "\"forge.example:443\", # since May\n",
        "\"forge.example:443\", # since May\n    \"files.example:443\",\n",
    );
    assert_eq!(host, wanted);
    let read = widen(TEXT, &Right::Read("/data/more".into())).unwrap();
    assert_eq!(
        read,
        TEXT.replace("[\"/data/notes\"]", "[\"/data/notes\", \"/data/more\"]")
    );
    // What becomes writable is no longer named as only readable.
    let write = widen(TEXT, &Right::Write("/data/notes".into())).unwrap();
    let filesystem = parse(&write, "m").unwrap().filesystem;
    assert_eq!(filesystem.write, [std::path::PathBuf::from("/data/notes")]);
    assert!(filesystem.read.is_empty());
    // A section that is missing is made.
    let program = widen(TEXT, &Right::Program("git".into())).unwrap();
    assert!(program.starts_with(TEXT), "{program}");
    assert_eq!(parse(&program, "m").unwrap().programs.allow, ["git"]);
}

#[test]
fn what_is_there_or_cannot_be_is_refused() {
    assert_eq!(
        widen(TEXT, &Right::Read("/data/notes".into())),
        Err(WidenError::AlreadyThere)
    );
    for right in [
        Right::Host("no port".into()),
        Right::Read("relative".into()),
        Right::Variable("A=B".into()),
        Right::Socket("".into()),
    ] {
        assert!(
            matches!(widen(TEXT, &right), Err(WidenError::NotAManifest(_))),
            "{right}"
        );
    }
    assert!(matches!(
        widen("not = \"a manifest\"", &Right::Program("git".into())),
        Err(WidenError::NotAManifest(_))
    ));
}
