//! The layers of ARCHITECTURE.md: which crate may depend on which, and what only the outermost may know.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Each crate of the core with the crates of ours that it may depend on. Dependencies of tests do not count.
const LAYERS: [(&str, &[&str]); 7] = [
    ("model", &[]),
    ("pricing", &["model"]),
    ("transport", &["model"]),
    ("providers", &["model", "pricing", "transport"]),
    ("engine", &["model", "pricing"]),
    ("store", &["model", "engine"]),
    ("testkit", &["model", "pricing", "transport", "providers", "engine"]),
];

/// Known to the addon and to the server alone.
const OUTER: [&str; 7] = ["napi", "napi-build", "napi-derive", "axum", "axum-core", "tower-http", "mimalloc"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn manifest(dir: &Path) -> Table {
    fs::read_to_string(dir.join("Cargo.toml")).unwrap().parse().unwrap()
}

/// Every dependency of a manifest by name, those of targets and of builds too, with what is written of it.
fn dependencies(manifest: &Table) -> BTreeMap<String, Value> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(|targets| targets.values().filter_map(Value::as_table));
    std::iter::once(manifest)
        .chain(targets)
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|kind| table.get(kind)))
        .filter_map(|table| table?.as_table())
        .flat_map(|table| table.iter().map(|(name, value)| (name.clone(), value.clone())))
        .collect()
}

fn features(dependency: &Value) -> Vec<&str> {
    let list = dependency.get("features").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn crates_of_the_core_depend_downwards_only() {
    for (name, allowed) in LAYERS {
        for dependency in dependencies(&manifest(&root().join("crates").join(name))).keys() {
            if let Some(ours) = dependency.strip_prefix("gateway-") {
                assert!(allowed.contains(&ours), "crates/{name} may not depend on {dependency}");
            }
        }
    }
}

#[test]
fn crates_of_the_core_know_neither_node_nor_http_servers() {
    let shared = manifest(&root());
    let shared = shared["workspace"]["dependencies"].as_table().unwrap();
    for (name, _) in LAYERS {
        for (dependency, value) in dependencies(&manifest(&root().join("crates").join(name))) {
            assert!(!OUTER.contains(&dependency.as_str()), "crates/{name} may not depend on {dependency}");
            if ["hyper", "hyper-util"].contains(&dependency.as_str()) {
                let all = features(&value).into_iter().chain(features(&shared[&dependency]));
                for feature in all {
                    let serves = feature.starts_with("server") || feature == "full" || feature == "service";
                    assert!(!serves, "crates/{name} may not use {dependency}'s feature {feature}");
                }
            }
        }
    }
}

#[test]
fn every_crate_has_its_place_in_the_layers() {
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(LAYERS.iter().any(|(known, _)| *known == name), "crates/{name} is not in the list of layers");
    }
}

/// `#[allow(unsafe_code)]` lifts the lint that denies it everywhere: only the addon may.
#[test]
fn unsafe_code_is_the_addons_alone() {
    let mut files = Vec::new();
    rust_files(&root().join("crates"), &mut files);
    let this = Path::new(file!()).file_name();
    for file in files.iter().filter(|file| file.file_name() != this) {
        let text = fs::read_to_string(file).unwrap();
        assert!(!text.contains("unsafe"), "{} has unsafe code", file.display());
    }
}

/// The files of a folder that each of its files names in `use super::…`. Tests do not count.
fn uses_of_siblings(dir: &Path) -> BTreeMap<String, Vec<String>> {
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let uses = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let used = code.split("super::").skip(1).filter_map(|rest| rest.split_once("::"));
        (name(&path), used.map(|(used, _)| used.to_owned()).collect())
    };
    files.filter(|path| name(path) != "mod").map(uses).collect()
}

#[test]
fn files_of_routing_use_only_those_below_them() {
    for folder in ["routing", "routing/health"] {
        let mut files = uses_of_siblings(&root().join("crates/engine/src").join(folder));
        // Takes away what uses none of the others, until nothing is left: a circle would be.
        while !files.is_empty() {
            let lowest: Vec<String> = files
                .iter()
                .filter(|(name, uses)| uses.iter().all(|used| used == *name || !files.contains_key(used)))
                .map(|(name, _)| name.clone())
                .collect();
            assert!(!lowest.is_empty(), "{folder}: a circle among {:?}", files.keys());
            files.retain(|name, _| !lowest.contains(name));
        }
    }
}
