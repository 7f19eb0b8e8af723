//! What version 1.9.0 of the Open Cybersecurity Schema Framework asks of the events we write, as far as we use it: written down from the
//! schema by hand, since no registry has it and its server is out of a test's reach.

use serde_json::{Map, Value};

/// Attributes that every event must have.
const BASE: [&str; 7] = [
    "activity_id",
    "category_uid",
    "class_uid",
    "metadata",
    "severity_id",
    "time",
    "type_uid",
];
/// Attributes that every event may have: of the base event, and of the profiles `host` and `security_control`.
const BASE_OPTIONAL: [&str; 13] = [
    "activity_name",
    "actor",
    "action_id",
    "device",
    "disposition",
    "disposition_id",
    "is_alert",
    "message",
    "policy",
    "raw_data",
    "raw_data_hash",
    "raw_data_size",
    "unmapped",
];

/// Class, its activities, what it must have, and what it may have.
type Class = (u64, &'static [u64], &'static [&'static str], &'static [&'static str]);

const CLASSES: [Class; 6] = [
    (1007, &[0, 1, 2, 3, 4, 5, 99], &["actor", "device", "process"], &[]),
    (2004, &[0, 1, 2, 3, 99], &["finding_info"], &[]),
    (3003, &[0, 1, 2, 3, 99], &["user"], &["privileges"]),
    (
        4001,
        &[0, 1, 2, 3, 4, 5, 6, 7, 99],
        &[],
        &["src_endpoint", "dst_endpoint"],
    ),
    (6002, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 99], &["app"], &[]),
    (
        6003,
        &[0, 1, 2, 3, 4, 99],
        &["actor", "api", "src_endpoint"],
        &["dst_endpoint", "resources"],
    ),
];

/// Objects of which one of some attributes must be there.
const ONE_OF: [(&str, &[&str]); 8] = [
    ("actor", &["process", "user", "session", "app_name"]),
    ("user", &["account", "name", "uid"]),
    ("process", &["pid", "uid"]),
    ("src_endpoint", &["ip", "uid", "name", "hostname", "svc_name"]),
    ("dst_endpoint", &["ip", "uid", "name", "hostname", "svc_name"]),
    ("policy", &["name", "uid"]),
    ("app", &["name", "uid"]),
    ("finding_info", &["uid"]),
];

/// Holds one event against the schema.
pub(crate) fn assert_valid(event: &Value) {
    let object = event.as_object().unwrap();
    let number = |key: &str| object[key].as_u64().unwrap_or_else(|| panic!("`{key}` in {event}"));
    for key in BASE {
        assert!(object.contains_key(key), "no `{key}` in {event}");
    }
    let class = CLASSES.iter().find(|(uid, ..)| *uid == number("class_uid"));
    let (uid, activities, required, optional) = class.unwrap_or_else(|| panic!("the class of {event}"));
    assert_eq!(number("category_uid"), uid / 1000);
    assert_eq!(number("type_uid"), uid * 100 + number("activity_id"));
    assert!(activities.contains(&number("activity_id")), "{event}");
    assert!([0, 1, 2, 3, 4, 5, 6, 99].contains(&number("severity_id")), "{event}");
    // Milliseconds: this is between 2020 and 2100.
    assert!(
        (1_577_836_800_000..4_102_444_800_000).contains(&number("time")),
        "{event}"
    );
    for key in *required {
        assert!(object.contains_key(*key), "no `{key}` in {event}");
    }
    for key in object.keys().map(String::as_str) {
        let is_known =
            BASE.contains(&key) || BASE_OPTIONAL.contains(&key) || required.contains(&key) || optional.contains(&key);
        assert!(is_known, "`{key}` is no attribute of class {uid}: {event}");
    }
    for (key, one_of) in ONE_OF {
        let Some(value) = object.get(key) else {
            continue;
        };
        let has_one = one_of.iter().any(|name| value.get(name).is_some());
        assert!(has_one, "`{key}` has none of {one_of:?}: {event}");
    }
    objects(object);
}

fn objects(event: &Map<String, Value>) {
    let metadata = &event["metadata"];
    assert_eq!(metadata["version"], "1.9.0");
    assert!(metadata["product"]["name"].is_string() && metadata["product"]["vendor_name"].is_string());
    assert!(metadata["uid"].is_string() && metadata["profiles"].is_array());
    if let Some(api) = event.get("api") {
        assert!(api["operation"].is_string(), "{api}");
        assert!(
            api.get("request").is_none_or(|request| request["uid"].is_string()),
            "{api}"
        );
    }
    if let Some(device) = event.get("device") {
        assert!(device["type_id"].is_u64(), "{device}");
    }
    if let Some(hash) = event.get("raw_data_hash") {
        assert_eq!(hash["algorithm_id"], 3);
        assert_eq!(hash["value"].as_str().map(str::len), Some(64));
    }
    for key in ["raw_data", "message", "activity_name", "disposition"] {
        assert!(event.get(key).is_none_or(Value::is_string), "`{key}`");
    }
    for key in ["action_id", "disposition_id", "raw_data_size"] {
        assert!(event.get(key).is_none_or(Value::is_u64), "`{key}`");
    }
}
