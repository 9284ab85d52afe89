//! Text that is never shown.
//!
//! A [`Secret`] prints as `***`, in `Debug` and in `Display`. Only what speaks to the cluster can see inside.

use std::{fmt, fs, path::Path, sync::Arc};

use super::KafkaConfigError;

/// Longest secret that is read from a file: keys and tokens are far shorter.
const LARGEST_FILE: u64 = 1 << 20;

/// A password, a key or a token.
///
/// ```
/// # use millstream::log::kafka::Secret;
/// let secret = Secret::new("tiger");
/// assert_eq!(format!("{secret} {secret:?}"), "*** ***");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a text.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().into())
    }

    /// Reads a file, without the line break at its end.
    ///
    /// # Errors
    /// [`KafkaConfigError::Unreadable`] if the file cannot be read, is not text or is larger than 1 MiB.
    pub fn from_file(file: impl AsRef<Path>) -> Result<Self, KafkaConfigError> {
        read_text(file.as_ref()).map(|text| Self::new(text.trim_end_matches(['\r', '\n'])))
    }

    /// Reads a variable of the environment.
    ///
    /// # Errors
    /// [`KafkaConfigError::NoVariable`] if it is not set.
    pub fn from_env(variable: &str) -> Result<Self, KafkaConfigError> {
        let missing = |_| KafkaConfigError::NoVariable { variable: variable.to_owned() };
        std::env::var(variable).map(Self::new).map_err(missing)
    }

    /// What it is; for those who speak to the cluster only.
    pub(crate) fn reveal(&self) -> &str {
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
pub(super) fn read_text(file: &Path) -> Result<String, KafkaConfigError> {
    let unreadable = |problem: String| KafkaConfigError::Unreadable { file: file.to_owned(), problem };
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
