//! What becomes of records without a value, where the target has no deletions (`'behavior.on.null.values'`).

use super::{ConfigError, Properties};

/// What becomes of records without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullValues {
    /// They are rejected, as `'errors.tolerance'` says.
    Fail,
    /// They are left out.
    Ignore,
}

impl NullValues {
    pub(crate) fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        const NAME: &str = "behavior.on.null.values";
        match properties.optional(NAME) {
            None => Ok(Self::Fail),
            Some(value) if value.eq_ignore_ascii_case("fail") => Ok(Self::Fail),
            Some(value) if value.eq_ignore_ascii_case("ignore") => Ok(Self::Ignore),
            Some(value) => Err(ConfigError::BadValue { name: NAME.into(), value, expected: "fail or ignore".into() }),
        }
    }
}
