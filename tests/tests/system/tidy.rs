//! The rules for the code that a machine can keep: headings, names, sizes, which way dependencies point, documents without dead paths.
//!
//! Everything here looks at text, not at what the compiler sees. That is enough: whoever goes round a rule has to do it in plain sight.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::binary::repository;

const CRATES: [&str; 6] = ["state", "core", "connectors", "sql", "examples", "tests"];

/// Lines after which a file is to be split by concern.
const MAX_LINES: usize = 500;

/// Names that say nothing about what is in a file.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "misc", "manager"];

/// Which crates of the workspace a crate may depend on.
const CRATE_EDGES: &[(&str, &[&str])] = &[
    ("state", &[]),
    ("core", &["millstream-state"]),
    ("connectors", &["millstream"]),
    ("sql", &["millstream", "millstream-state", "millstream-connectors"]),
];

/// What the code of a folder must not name, and why. Tests inside the files are free.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    ("state/src", &["TopicName", "TopicPartition", "Topology", "arrow::"], "state knows neither topics nor columns"),
    (
        "core/src/record",
        &["crate::log", "crate::format", "crate::operator", "crate::runtime"],
        "records are the ground floor",
    ),
    (
        "core/src/log",
        &[
            "crate::operator",
            "crate::topology",
            "crate::dsl",
            "crate::runtime",
            "crate::query",
            "crate::testing",
            "crate::format",
        ],
        "the log knows no operator and no format",
    ),
    (
        "core/src/format",
        &["crate::operator", "crate::topology", "crate::dsl", "crate::runtime", "crate::query", "crate::testing"],
        "formats know bytes and columns only",
    ),
    (
        "core/src/window",
        &["crate::operator", "crate::dsl", "crate::runtime", "crate::log", "millstream_state"],
        "a window knows no store and no clock",
    ),
    (
        "core/src/operator",
        &["crate::runtime", "crate::dsl", "crate::query", "SystemTime", "Instant::now", "Clock"],
        "operators know no runtime and read no clock",
    ),
    ("core/src/topology", &["crate::runtime", "crate::query", "crate::dsl"], "the topology knows no runtime"),
    ("core/src/dsl", &["crate::runtime", "crate::query", "crate::testing"], "the DSL never meets a task"),
    ("core/src/runtime", &["crate::dsl", "crate::testing"], "the runtime runs topologies, whoever built them"),
    ("sql/src/syntax", &["crate::catalog", "crate::planner", "crate::engine"], "the parser knows no catalog"),
    ("sql/src/catalog", &["crate::planner", "crate::engine"], "the catalog knows no planner"),
];

/// Documents whose links and paths must lead somewhere.
const DOCUMENTS: [&str; 4] = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "sql/demo/DATA.md"];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder that end in `.rs`, by path relative to the repository.
fn rust_files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![repository().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let path = path.strip_prefix(repository()).expect("it lies in the repository");
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn all_rust_files() -> Vec<String> {
    CRATES.iter().flat_map(|folder| rust_files(folder)).collect()
}

/// Fails with everything that is wrong, not with the first of it.
fn refuse(problems: Vec<String>) {
    assert!(problems.is_empty(), "{} problems\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn every_file_opens_with_a_heading() {
    let bare = |file: &String| !read(&repository().join(file)).starts_with("//! ");
    refuse(all_rust_files().into_iter().filter(bare).map(|file| format!("{file}: no `//!` heading")).collect());
}

#[test]
fn files_are_called_after_what_is_in_them() {
    let empty = |file: &String| {
        let parts = Path::new(file).iter().map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned());
        parts.into_iter().any(|part| EMPTY_NAMES.contains(&part.as_str()))
    };
    refuse(all_rust_files().into_iter().filter(empty).map(|file| format!("{file}: a name for anything")).collect());
}

#[test]
fn files_stay_short() {
    let mut problems = Vec::new();
    for file in all_rust_files() {
        let lines = read(&repository().join(&file)).lines().count();
        if lines > MAX_LINES {
            problems.push(format!("{file}: {lines} lines, split it by concern"));
        }
    }
    refuse(problems);
}

/// The crates of the workspace that a manifest names as dependencies of any kind.
fn workspace_dependencies(manifest: &str) -> Vec<String> {
    let mut in_dependencies = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if in_dependencies {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if name == "millstream" || name.starts_with("millstream-") {
                found.push(name.to_owned());
            }
        }
    }
    found
}

#[test]
fn crates_point_one_way() {
    assert_eq!(
        workspace_dependencies("[dependencies]\nmillstream.workspace = true\n[lints]\nmillstream-x = 1"),
        ["millstream"]
    );
    let mut problems = Vec::new();
    for (folder, allowed) in CRATE_EDGES {
        let manifest = read(&repository().join(folder).join("Cargo.toml"));
        let forbidden = workspace_dependencies(&manifest).into_iter().filter(|name| !allowed.contains(&name.as_str()));
        problems.extend(forbidden.map(|name| format!("{folder}/Cargo.toml: may not depend on {name}")));
    }
    refuse(problems);
}

/// The code of a file: without comment lines and without what follows `#[cfg(test)] mod tests {`.
fn code_of(source: &str) -> String {
    let mut code = String::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let next_is_tests = lines.peek().is_some_and(|next| next.trim_start().starts_with("mod tests {"));
        if trimmed == "#[cfg(test)]" && next_is_tests {
            break;
        }
        if !trimmed.starts_with("//") {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

/// The code with `use crate::{a::X, b}` written out as `crate::a`, `crate::b`, so that a search finds them.
fn with_imports_written_out(code: &str) -> String {
    let mut out = code.to_owned();
    for (start, opening) in code.match_indices("use crate::{") {
        let mut depth = 1_i32;
        let mut segment = String::new();
        for letter in code[start + opening.len()..].chars() {
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            if depth == 0 || (depth == 1 && letter == ',') {
                let first = segment.trim().split([':', ' ', '{']).next().unwrap_or_default();
                out.push_str(&format!("crate::{first}\n"));
                segment.clear();
            } else {
                segment.push(letter);
            }
            if depth == 0 {
                break;
            }
        }
    }
    out
}

/// Whether `word` occurs in `code` and not merely as a part of a longer name.
fn names(code: &str, word: &str) -> bool {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(word).any(|(start, _)| {
        let before = code[..start].chars().next_back().is_some_and(is_name);
        let after = code[start + word.len()..].chars().next().is_some_and(is_name);
        !before && (!after || word.ends_with(':'))
    })
}

#[test]
fn imports_are_found_however_they_are_written() {
    let check = |code: &str, word: &str, expected: bool| {
        assert_eq!(names(&with_imports_written_out(&code_of(code)), word), expected, "{word} in {code}");
    };
    check("use crate::runtime::Task;", "crate::runtime", true);
    check("use crate::{\n    log::Log,\n    runtime::{Task, Clock},\n};", "crate::runtime", true);
    check("use crate::{log::{runtime::X}, schema};", "crate::runtime", false);
    check("use crate::runtimes::Task;", "crate::runtime", false);
    check("//! Knows no [`crate::runtime`].", "crate::runtime", false);
    check("let now = crate::runtime::now();", "crate::runtime", true);
    check("fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::runtime::X;\n}", "crate::runtime", false);
    check("struct ClockFace;", "Clock", false);
}

#[test]
fn no_floor_knows_the_one_above() {
    let mut problems = Vec::new();
    for (folder, words, why) in FORBIDDEN {
        for file in rust_files(folder) {
            // Files that are tests as a whole are free like tests inside files.
            if file.ends_with("tests.rs") || file.contains("/tests/") {
                continue;
            }
            let code = with_imports_written_out(&code_of(&read(&repository().join(&file))));
            let named = words.iter().filter(|word| names(&code, word));
            problems.extend(named.map(|word| format!("{file}: names {word}, but {why}")));
        }
    }
    refuse(problems);
}

/// The targets of links `[text](target)` that lead to files.
fn links(document: &str) -> Vec<String> {
    let target =
        |rest: &str| rest.split([')', ' ']).next().unwrap_or_default().split('#').next().unwrap_or_default().to_owned();
    let parts = document.split("](").skip(1).map(target);
    parts.filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// What stands in backticks and is written like a path that begins in a folder or file at the top of the repository.
fn paths(document: &str, top: &BTreeSet<String>) -> Vec<String> {
    let mut in_fence = false;
    let mut found = Vec::new();
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        } else if !in_fence {
            let quoted = line.split('`').skip(1).step_by(2);
            let is_path = |text: &&str| {
                let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
                plain && text.contains('/') && text.split('/').next().is_some_and(|first| top.contains(first))
            };
            found.extend(quoted.filter(is_path).map(str::to_owned));
        }
    }
    found
}

#[test]
fn documents_lead_somewhere() {
    let entries = fs::read_dir(repository()).expect("the repository can be listed");
    let top: BTreeSet<String> =
        entries.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(links("a [b](c.md#d) [e](https://f) [g](#h)"), ["c.md"]);
    assert_eq!(paths("`core/src/x.rs` `nowhere/x` `core`\n```\n`core/y`\n```", &top), ["core/src/x.rs"]);
    let mut problems = Vec::new();
    for document in DOCUMENTS {
        let path = repository().join(document);
        let Ok(text) = fs::read_to_string(&path) else {
            problems.push(format!("{document}: missing"));
            continue;
        };
        let folder = path.parent().expect("a document lies in a folder");
        let dead = links(&text).into_iter().filter(|link| !folder.join(link).exists());
        problems.extend(dead.map(|link| format!("{document}: dead link to {link}")));
        let missing = paths(&text, &top).into_iter().filter(|path| !repository().join(path).exists());
        problems.extend(missing.map(|path| format!("{document}: there is no {path}")));
    }
    refuse(problems);
}

#[test]
fn readme_names_every_example() {
    let readme = read(&repository().join("README.md"));
    let is_program = |file: &&String| !file.ends_with("src/lib.rs") && !file.contains("/tests/");
    let examples = rust_files("examples");
    let programs: Vec<&String> = examples.iter().filter(is_program).collect();
    assert!(!programs.is_empty(), "no example was found: has the folder moved?");
    let name = |file: &str| Path::new(file).file_stem().expect("a file has a name").to_string_lossy().into_owned();
    let unnamed = programs.into_iter().filter(|file| !readme.contains(&name(file)));
    refuse(unnamed.map(|file| format!("{file}: README.md does not name it")).collect());
}
