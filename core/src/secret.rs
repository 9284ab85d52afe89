//! Text that is never shown.
//!
//! A [`Secret`] prints as `***`, in `Debug` and in `Display`. Only what speaks to the outside system looks inside.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Longest secret that is read from a file: keys and tokens are far shorter.
const LARGEST_FILE: u64 = 1 << 20;

/// Why a secret, or another small file, could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// A file that cannot be read.
    #[error("{}: cannot be read: {problem}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        problem: String,
    },
    /// A variable of the environment that is not set, or not text.
    #[error("the environment has no variable `{variable}`; set it, or name another one")]
    NoVariable {
        /// Its name.
        variable: String,
    },
    /// A text that names no place where a secret is.
    #[error("a secret is not written down here: name where it is as `${{env:VARIABLE}}` or `${{file:PATH}}`")]
    NoReference,
}

/// A password, a key or a token.
///
/// ```
/// # use millstream::secret::Secret;
/// let secret = Secret::new("tiger");
/// assert_eq!(format!("{secret} {secret:?}"), "*** ***");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a text.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().into())
    }

    /// Reads a file, without the line break at its end.
    ///
    /// # Errors
    /// [`SecretError::Unreadable`] if the file cannot be read, is not text or is larger than 1 MiB.
    pub fn from_file(file: impl AsRef<Path>) -> Result<Self, SecretError> {
        read_text(file.as_ref()).map(|text| Self::new(text.trim_end_matches(['\r', '\n'])))
    }

    /// Reads a variable of the environment.
    ///
    /// # Errors
    /// [`SecretError::NoVariable`] if it is not set.
    pub fn from_env(variable: &str) -> Result<Self, SecretError> {
        let missing = |_| SecretError::NoVariable { variable: variable.to_owned() };
        std::env::var(variable).map(Self::new).map_err(missing)
    }

    /// Fetches what a reference names: `${env:VARIABLE}` or `${file:PATH}`.
    ///
    /// ```
    /// # use millstream::secret::{Secret, SecretError};
    /// assert_eq!(Secret::from_reference("tiger"), Err(SecretError::NoReference));
    /// ```
    ///
    /// # Errors
    /// [`SecretError`]; a text that is no reference is not shown, as it may be the secret itself.
    pub fn from_reference(text: &str) -> Result<Self, SecretError> {
        let place = text.trim().strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        match place.and_then(|place| place.split_once(':')) {
            Some(("env", variable)) => Self::from_env(variable),
            Some(("file", file)) => Self::from_file(file),
            _ => Err(SecretError::NoReference),
        }
    }

    /// What it is; for those who speak to the outside system only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A small file of text: a certificate, a key, a password.
pub(crate) fn read_text(file: &Path) -> Result<String, SecretError> {
    let unreadable = |problem: String| SecretError::Unreadable { file: file.to_owned(), problem };
    let length = fs::metadata(file).map_err(|error| unreadable(error.to_string()))?.len();
    if length > LARGEST_FILE {
        return Err(unreadable(format!("it holds {length} bytes, more than {LARGEST_FILE}")));
    }
    fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_without_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        fs::write(&file, "ti ger\n").unwrap();
        assert_eq!(Secret::from_file(&file).unwrap().reveal(), "ti ger");
        let missing = Secret::from_file(folder.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("none"), "{missing}");
    }
}
