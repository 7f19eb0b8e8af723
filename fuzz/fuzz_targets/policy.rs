//! Policies: whatever their text, they load or say why, they decide or deny, and a layer below never permits more.
#![no_main]

use std::sync::LazyLock;

use cofferdam_policy::{
    Asked, Layer, Level, Moment, Policies, PolicyFile, Ruling, ServerFacts, ToolFacts, World, policy_ids,
};
use libfuzzer_sys::fuzz_target;

static WORLD: LazyLock<World> = LazyLock::new(|| {
    World {
    user: "ann".to_owned(),
    groups: vec!["staff".to_owned()],
    is_ci: false,
    server: ServerFacts {
        name: "s".to_owned(),
        is_pinned: true,
        writes: true,
        network: false,
        sockets: false,
        programs: false,
        hosts: Vec::new(),
        secrets: Vec::new(),
    },
    tools: vec![ToolFacts {
        name: "t".to_owned(),
        definition: r#"{"name":"t","inputSchema":{"type":"object","required":["a"],"properties":{"a":{"type":"string"},"n":{"type":"number"},"l":{"type":"array","items":{"type":"integer"}}}}}"#.to_owned(),
    }],
}
});

// The input is the policies of one layer, of the layer below, and raw arguments, with a NUL between them.
fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut parts = text.splitn(3, '\0');
    let [upper, lower, arguments] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let file = |layer: Layer, text: &str| PolicyFile {
        layer,
        name: layer.word().to_owned(),
        text: text.to_owned(),
    };
    let alone = match Policies::load(&[file(Layer::Organisation, upper)], &WORLD) {
        Ok(policies) => policies,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let asked = Asked::Call {
        tool: "t",
        arguments: Some(arguments).filter(|text| !text.is_empty()),
    };
    let without = alone.rule(asked, &Moment::default(), Level::Nobody, true);
    let both = [file(Layer::Organisation, upper), file(Layer::User, lower)];
    let Ok(both) = Policies::load(&both, &WORLD) else {
        return;
    };
    let with = both.rule(asked, &Moment::default(), Level::Nobody, true);
    let has_policies = policy_ids(&[file(Layer::Organisation, upper)]).is_ok_and(|ids| !ids.is_empty());
    match (with, without) {
        (Ruling::Permitted { level: with, .. }, Ruling::Permitted { level: without, .. }) => assert!(with >= without),
        (Ruling::Permitted { .. }, Ruling::Refused { .. }) => assert!(!has_policies, "the layer below widened"),
        _ => {}
    }
});
