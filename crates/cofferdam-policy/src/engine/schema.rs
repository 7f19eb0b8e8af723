//! The Cedar schema of one server, made of its pinned tools: one action for each tool, with the types of its arguments.
//!
//! Names need no mangling: a tool's action is `Action::"server/tool"` and an argument is an attribute, and both may be any string.

use cedar_policy::Schema;
use serde_json::{Map, Value, json};

use super::PolicyError;
use super::input::InputType;
use super::source::words;
use super::world::{World, tool_id};

/// Actions that are no tool's, with what they are done to.
pub(super) const PLAIN_ACTIONS: [&str; 6] = ["list", "read", "getPrompt", "elicit", "sample", "releaseResult"];
/// A connection of the server, to a host that its manifest allows.
pub(super) const EGRESS: &str = "egress";
/// A secret of the manifest goes to the server.
pub(super) const INJECT_SECRET: &str = "injectSecret";
/// The group of all tool calls.
pub(super) const CALL: &str = "call";
/// A call to a server without a manifest.
pub(super) const CALL_UNPINNED: &str = "callUnpinned";

/// The schema of `world`, and the types of each tool's arguments in the order of its tools.
pub(super) fn schema(world: &World) -> Result<(Schema, Vec<InputType>), PolicyError> {
    let inputs: Vec<InputType> = world.tools.iter().map(|tool| InputType::of(&tool.definition)).collect();
    let fragment = fragment(world, &inputs);
    let schema = Schema::from_json_value(fragment).map_err(|error| PolicyError::NoSchema {
        server: world.server.name.clone(),
        cause: words(&error),
    })?;
    Ok((schema, inputs))
}

/// In Cedar's JSON form of a schema.
fn fragment(world: &World, inputs: &[InputType]) -> Value {
    let mut actions = Map::new();
    actions.insert(CALL.to_owned(), json!({}));
    let in_call = json!([{"id": CALL}]);
    for (tool, input) in world.tools.iter().zip(inputs) {
        let mut context = context_attributes();
        context.extend(call_attributes());
        context.insert("input".to_owned(), input.to_cedar());
        let action = json!({"memberOf": in_call, "appliesTo": applies_to("Tool", context)});
        actions.insert(tool_id(&world.server.name, &tool.name), action);
    }
    if !world.server.is_pinned {
        let mut context = context_attributes();
        context.extend(call_attributes());
        let action = json!({"memberOf": in_call, "appliesTo": applies_to("Tool", context)});
        actions.insert(CALL_UNPINNED.to_owned(), action);
    } else {
        // Known by name, so that a policy about it fits every server; it applies to nothing here.
        actions.insert(CALL_UNPINNED.to_owned(), json!({"memberOf": in_call}));
    }
    for action in PLAIN_ACTIONS {
        let mut context = context_attributes();
        match action {
            "read" => drop(context.insert("uri".to_owned(), json!({"type": "String"}))),
            "getPrompt" => drop(context.insert("prompt".to_owned(), json!({"type": "String"}))),
            "releaseResult" => drop(context.insert("tool".to_owned(), json!({"type": "String"}))),
            _ => {}
        }
        actions.insert(action.to_owned(), json!({"appliesTo": applies_to("Server", context)}));
    }
    let mut of_egress = context_attributes();
    of_egress.insert("labels".to_owned(), set_of_strings());
    actions.insert(EGRESS.to_owned(), json!({"appliesTo": applies_to("Host", of_egress)}));
    let of_secrets = context_attributes();
    actions.insert(
        INJECT_SECRET.to_owned(),
        json!({"appliesTo": applies_to("Secret", of_secrets)}),
    );
    json!({"": {"entityTypes": entity_types(), "actions": actions}})
}

fn applies_to(resource: &str, context: Map<String, Value>) -> Value {
    json!({
        "principalTypes": ["User"],
        "resourceTypes": [resource],
        "context": {"type": "Record", "attributes": context},
    })
}

/// What every request brings along.
fn context_attributes() -> Map<String, Value> {
    let types = [
        ("consent", json!({"type": "Long"})),
        ("ci", json!({"type": "Boolean"})),
        ("client", json!({"type": "String"})),
        ("now", json!({"type": "Long"})),
        ("hour", json!({"type": "Long"})),
        ("weekday", json!({"type": "Long"})),
        ("callsLastMinute", json!({"type": "Long"})),
        ("callsLastHour", json!({"type": "Long"})),
        ("refusedLastMinute", json!({"type": "Long"})),
        ("bytesSent", json!({"type": "Long"})),
        ("bytes", json!({"type": "Long"})),
        ("severity", json!({"type": "Long"})),
        ("findings", set_of_strings()),
        ("tier", json!({"type": "String"})),
        ("enforced", set_of_strings()),
    ];
    types.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect()
}

/// What a call of a tool brings along beside that.
fn call_attributes() -> Map<String, Value> {
    let types = [
        ("tool", json!({"type": "String"})),
        ("toolCallsLastMinute", json!({"type": "Long"})),
        ("toolCallsLastHour", json!({"type": "Long"})),
        ("paths", set_of_strings()),
        ("folders", set_of_strings()),
        ("within", set_of_strings()),
        ("outsideRoots", json!({"type": "Boolean"})),
        ("hosts", set_of_strings()),
        ("privateNetwork", json!({"type": "Boolean"})),
        ("sql", set_of_strings()),
        ("programs", set_of_strings()),
        ("labels", set_of_strings()),
        ("toolLabels", set_of_strings()),
    ];
    types.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect()
}

/// What of that is computed only where a policy reads it.
pub(super) const COMPUTED: [&str; 10] = [
    "paths",
    "folders",
    "within",
    "outsideRoots",
    "hosts",
    "privateNetwork",
    "sql",
    "programs",
    "labels",
    "toolLabels",
];

fn set_of_strings() -> Value {
    json!({"type": "Set", "element": {"type": "String"}})
}

fn entity_types() -> Value {
    let booleans = |names: &[&str]| -> Map<String, Value> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), json!({"type": "Boolean"})))
            .collect()
    };
    let mut tool = booleans(&["readOnly", "destructive", "idempotent", "openWorld"]);
    tool.insert("server".to_owned(), json!({"type": "Entity", "name": "Server"}));
    let server = booleans(&["pinned", "writes", "network", "sockets", "programs"]);
    let of_server = json!({"type": "Entity", "name": "Server"});
    let host = json!({"host": {"type": "String"}, "port": {"type": "Long"}, "server": of_server.clone()});
    let secret = json!({"name": {"type": "String"}, "server": of_server});
    json!({
        "Host": {"memberOfTypes": ["Server"], "shape": {"type": "Record", "attributes": host}},
        "Secret": {"memberOfTypes": ["Server"], "shape": {"type": "Record", "attributes": secret}},
        "Group": {},
        "User": {"memberOfTypes": ["Group"]},
        "ServerClass": {},
        "Server": {"memberOfTypes": ["ServerClass"], "shape": {"type": "Record", "attributes": server}},
        "Tool": {"memberOfTypes": ["Server"], "shape": {"type": "Record", "attributes": tool}},
    })
}
