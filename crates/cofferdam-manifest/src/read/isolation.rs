//! `[isolation]`: the kind of compartment, what must hold of it, and the image of a container.

use super::table::{Faults, Table, Text};
use crate::grant::path_fault;
use crate::manifest::{Backend, Image, Isolation, Manifest};

const KEYS: &[&str] = &["backend", "require", "waive", "image", "engine", "runtime", "profile"];
const OF_IMAGES: [&str; 3] = ["image", "engine", "runtime"];

pub(super) fn isolation(root: &Table<'_>, faults: &mut Faults) -> Isolation {
    let Some(section) = root.table("isolation", KEYS, faults) else {
        return Isolation::default();
    };
    let backend = section.word("backend", faults).unwrap_or_default();
    let require = features(&section, "require", faults);
    let waive = features(&section, "waive", faults);
    if let Some(name) = waive.iter().find(|name| require.contains(name)) {
        let span = section.distinct_strings("waive", &mut Faults::default());
        let place = span.iter().find(|item| item.text == name).map(|item| item.span.clone());
        faults.add(
            &place.unwrap_or_default(),
            format!("`{name}` is required and waived"),
            None,
        );
    }
    Isolation {
        backend,
        require,
        waive,
        image: image(&section, backend, faults),
        profile: section.word("profile", faults),
    }
}

/// The image of a container: there is one exactly where a container is wanted.
fn image(section: &Table<'_>, backend: Backend, faults: &mut Faults) -> Option<Image> {
    let [reference, engine, runtime] = OF_IMAGES.map(|key| section.string(key, faults));
    if backend == Backend::Native {
        for (key, item) in OF_IMAGES.iter().zip([&reference, &engine, &runtime]) {
            if let Some(item) = item {
                let help = String::from("write `backend = \"oci\"`, or remove it");
                faults.add(
                    &item.span,
                    format!("`isolation.{key}` goes with a container only"),
                    Some(help),
                );
            }
        }
        return None;
    }
    let Some(reference) = reference else {
        let help = String::from("write `image = \"NAME@sha256:…\"`: the image whose files the server consists of");
        faults.add(&section.span, "a container needs an image", Some(help));
        return None;
    };
    if !Image::is_pinned(reference.text) {
        let message = format!("the image `{}` is not pinned by its digest", reference.text);
        let help = "a tag can be moved to another image: write `NAME@sha256:…`, as `podman images --digests` shows it";
        faults.add(&reference.span, message, Some(help.to_owned()));
    }
    if let Some(item) = &engine
        && item.text != Image::PODMAN
        && !(item.text.starts_with('/') && path_fault(item.text).is_none())
    {
        let message = format!("`{}` is not an engine this version can use", item.text);
        let help = "write `podman`, or the absolute path of one that only root can change";
        faults.add(&item.span, message, Some(help.to_owned()));
    }
    if let Some(item) = &runtime
        && !is_runtime(item)
    {
        let help = "write the name or path by which the engine knows it, such as `crun` or `runsc`";
        faults.add(
            &item.span,
            format!("`{}` is not the name of a runtime", item.text),
            Some(help.to_owned()),
        );
    }
    let text = |item: Text<'_>| item.text.to_owned();
    Some(Image {
        reference: text(reference),
        engine: engine.map(text),
        runtime: runtime.map(text),
    })
}

fn is_runtime(item: &Text<'_>) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    !item.text.is_empty() && !item.text.starts_with('-') && item.text.bytes().all(is_plain)
}

/// What of this system cannot go with an image, since nothing of it is there.
pub(super) fn check_image(manifest: &Manifest, root: &Table<'_>, faults: &mut Faults) {
    if manifest.isolation.backend == Backend::Native {
        return;
    }
    let of_this_system = [
        ("programs", !manifest.programs.allow.is_empty(), "`programs.allow`"),
        ("launch", !manifest.launch.program.is_empty(), "`launch.program`"),
        ("launch", manifest.launch.package.is_some(), "`launch.package`"),
        ("isolation", manifest.isolation.profile.is_some(), "`isolation.profile`"),
    ];
    for (section, is_there, name) in of_this_system {
        if is_there {
            let span = root.entry(section).map_or(root.span.clone(), |(_, value)| value.span());
            let help = String::from("the image is all the server consists of, and whatever is in it may be executed");
            faults.add(
                &span,
                format!("{name} does not go with `backend = \"oci\"`"),
                Some(help),
            );
        }
    }
}

/// Names of features.
fn features(section: &Table<'_>, key: &str, faults: &mut Faults) -> Vec<String> {
    let names = section.distinct_strings(key, faults);
    for item in &names {
        let body = item
            .text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if item.text.is_empty() || !body {
            let help = String::from("write a feature as `run` reports it, such as `landlock`");
            faults.add(
                &item.span,
                format!("`{}` is not the name of a feature", item.text),
                Some(help),
            );
        }
    }
    names.iter().map(|item| item.text.to_owned()).collect()
}
