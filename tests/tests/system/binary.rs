//! The `millstream` binary as a child process.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

/// The repository's top folder.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in a folder of the repository")
}

/// The binary, brought up to date once per test run: a test build does not build the binaries of other packages.
///
/// The child gets the environment of the cargo that runs the tests, without what cargo tells about this package: that would look like
/// changed inputs of build scripts and have RocksDB built anew.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // The cargo that runs the tests, not the one that compiled them.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.current_dir(repository()).args([
            "build",
            "--workspace",
            "--bin",
            "millstream",
            "--message-format",
            "short",
        ]);
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            let is_ours = name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_");
            if is_ours || name_text == "LD_LIBRARY_PATH" {
                build.env_remove(&name);
            }
        }
        let built = build.stdin(Stdio::null()).output().expect("cargo starts");
        assert!(built.status.success(), "the binary does not build:\n{}", String::from_utf8_lossy(&built.stderr));
        // .../debug/deps/system-<hash> -> .../debug/millstream
        let test = std::env::current_exe().expect("a test knows where it is");
        let profile = test.parent().and_then(Path::parent).expect("tests lie in <profile>/deps");
        let binary = profile.join(format!("millstream{}", std::env::consts::EXE_SUFFIX));
        assert!(binary.exists(), "no binary at {}", binary.display());
        binary
    })
}

/// The binary with arguments; logs nothing below warnings, reads nothing.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// What a finished command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Said {
    command(arguments).output().expect("the binary starts").into()
}

/// Runs a command that must succeed; gives its standard output.
pub(crate) fn succeed(arguments: &[&str]) -> String {
    let said = run(arguments);
    assert_eq!(said.code, Some(0), "{arguments:?}\n{}\n{}", said.stdout, said.stderr);
    said.stdout
}

/// A path as text for a command line or a statement.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}
