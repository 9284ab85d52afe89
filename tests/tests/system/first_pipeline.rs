//! A user's first pipeline: the example of the README in a new crate that depends on `millstream` by its path.
//!
//! The crate lies outside the workspace. It takes over the workspace's versions, profiles and lock file, and names the dependencies of all
//! our crates, so that those are built with the same features as for the tests and need not be built again; only `millstream` and
//! `millstream-state` are, without optimisation.

use std::{fs, path::Path, process::Command};

use super::binary::repository;

/// The first block of Rust under a heading of the README.
fn example(heading: &str) -> String {
    let readme = fs::read_to_string(repository().join("README.md")).expect("there is a README");
    let section = readme.split(heading).nth(1).unwrap_or_else(|| panic!("README.md has no `{heading}`"));
    let block = section.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    block.unwrap_or_else(|| panic!("no Rust under `{heading}`")).to_owned()
}

/// The manifest of the workspace, without members and with paths that hold from anywhere.
fn settings_of_workspace() -> String {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).expect("there is a manifest");
    let absolute = format!("path = \"{}/", repository().display());
    let lines = manifest.lines().filter(|line| !line.starts_with("members"));
    lines.map(|line| line.replace("path = \"", &absolute) + "\n").collect()
}

/// Dependencies of our crates, without our crates.
fn foreign_dependencies() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["state", "core", "connectors", "sql", "tests"] {
        let manifest = fs::read_to_string(repository().join(folder).join("Cargo.toml")).expect("each has a manifest");
        let mut in_dependencies = false;
        for line in manifest.lines().map(str::trim) {
            if line.starts_with('[') {
                in_dependencies = line == "[dependencies]";
            } else if in_dependencies && line.contains("workspace = true") && !line.starts_with("millstream") {
                found.push(line.to_owned());
            }
        }
    }
    found.sort();
    // One name, one line: features that one of them asks for in addition are rare, and cost a build at worst.
    found.dedup_by_key(|line| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned());
    found
}

fn write_crate(directory: &Path) {
    let manifest = format!(
        "{}\n[package]\nname = \"first-pipeline\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         millstream.workspace = true\n{}\n",
        settings_of_workspace(),
        foreign_dependencies().join("\n")
    );
    fs::write(directory.join("Cargo.toml"), manifest).expect("written");
    fs::copy(repository().join("Cargo.lock"), directory.join("Cargo.lock")).expect("copied");
    fs::create_dir(directory.join("src")).expect("made");
    fs::write(directory.join("src/main.rs"), example("## A first pipeline in Rust")).expect("written");
}

#[test]
fn the_example_of_the_readme_builds_and_runs_in_a_crate_of_its_own() {
    let directory = tempfile::tempdir().expect("made");
    write_crate(directory.path());
    let test = std::env::current_exe().expect("a test knows where it is");
    // .../<target>/debug/deps/system-<hash>
    let target = test.ancestors().nth(3).expect("tests lie in <target>/<profile>/deps");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut run = Command::new(cargo);
    run.current_dir(directory.path()).args(["run", "--offline", "--quiet"]);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "LD_LIBRARY_PATH" {
            run.env_remove(&name);
        }
    }
    let run =
        run.env("CARGO_TARGET_DIR", target).env("CARGO_PROFILE_DEV_OPT_LEVEL", "0").output().expect("cargo starts");
    // The example asserts its own results.
    assert!(run.status.success(), "it does not build or run:\n{}", String::from_utf8_lossy(&run.stderr));
}
