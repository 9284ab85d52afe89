//! Certificates for a test, made by the program `openssl`: authorities of its own, and what they sign.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key, which is not encrypted.
    pub key: PathBuf,
}

impl Certificate {
    /// An authority, whose certificate is signed by itself and good for `names` too (such as `DNS:localhost,IP:127.0.0.1`).
    ///
    /// # Panics
    /// If there is no `openssl`.
    pub fn authority(directory: &Path, name: &str, names: Option<&str>) -> Self {
        make(directory, name, names, "critical,CA:TRUE", None)
    }

    /// One that this one has signed, for `names`.
    pub fn sign(&self, directory: &Path, name: &str, names: &str) -> Self {
        make(directory, name, Some(names), "critical,CA:FALSE", Some(self))
    }
}

fn make(directory: &Path, name: &str, names: Option<&str>, kind: &str, by: Option<&Certificate>) -> Certificate {
    let file = |ending: &str| directory.join(format!("{name}.{ending}"));
    let made = Certificate { certificate: file("pem"), key: file("key") };
    // What the system's configuration would add is left out.
    fs::write(file("cnf"), "[req]\ndistinguished_name = name\n[name]\n").expect("a file in a directory of the test");
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
    ]);
    openssl.arg("-config").arg(file("cnf")).args(["-subj", &format!("/CN={name}")]);
    openssl.arg("-keyout").arg(&made.key).arg("-out").arg(&made.certificate);
    openssl.args(["-addext", &format!("basicConstraints={kind}")]);
    if let Some(names) = names {
        openssl.args(["-addext", &format!("subjectAltName={names}")]);
    }
    if let Some(by) = by {
        openssl.arg("-CA").arg(&by.certificate).arg("-CAkey").arg(&by.key);
    }
    let output = openssl.output().expect("openssl is there");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    made
}
