//! What scripts of this folder fetch and install for tests, and programs in Python that are run with it.
//!
//! A script says by its exit status that something is missing on this machine (Python, Java, maven). Then there is nothing to be had, which is
//! said by `None` and one line on standard error; with `CI` set it is a failure.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

/// The exit status of the scripts that says that something is missing.
const MISSING: i32 = 69;

/// What a script of this folder prints.
pub(crate) fn script(script: &str, arguments: &[&str]) -> Option<String> {
    let script = file(script);
    let output = Command::new(&script).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(MISSING) && std::env::var_os("CI").is_none() {
        eprintln!("tests are left out: {}", said.trim());
        return None;
    }
    assert!(output.status.success(), "{}: {said}", script.display());
    Some(String::from_utf8(output.stdout).expect("paths are UTF-8").trim().to_owned())
}

/// Runs one of the programs of `tests/moto` with the Python that is installed for them; returns what it prints.
///
/// # Panics
/// If the program fails, or there is no Python.
pub fn python(program: &str, arguments: &[&str]) -> String {
    python_with_input(program, arguments, "")
}

/// The same, and writes `input` to its standard input.
///
/// # Panics
/// The same.
pub fn python_with_input(program: &str, arguments: &[&str], input: &str) -> String {
    let python = script("moto/run", &["python"]).expect("whoever starts a server has Python");
    let mut command = Command::new(python);
    command.arg(file("moto").join(program)).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("Python starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    let written = writer.join().expect("writing does not panic");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    written.expect("everything was read");
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

/// A file of this folder.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
