//! Which format files are written in, and how they are compressed.

use crate::config::{ConfigError, Properties};

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Snappy: Parquet only.
    Snappy,
    /// Deflate: Avro only.
    Deflate,
    /// Zstandard: JSON and CSV (as a whole, `.zst`) and Parquet (by page).
    Zstd,
}

/// What files of rows look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrittenFormat {
    /// A JSON object a line.
    Json(Compression),
    /// Comma-separated values with a header line; null is the empty field.
    Csv(Compression),
    /// An Avro object container; every field is a union with null.
    Avro(Compression),
    /// Parquet.
    Parquet(Compression),
}

impl WrittenFormat {
    /// Reads `format` and `compression`. Without the latter Parquet is compressed with Snappy, Avro with Deflate, text not at all.
    pub(crate) fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        let format = properties.optional("format").unwrap_or_else(|| "json".to_owned()).to_ascii_lowercase();
        let compression = properties.optional("compression");
        let chosen = |default: Compression, known: &[(&str, Compression)]| match &compression {
            None => Ok(default),
            Some(text) => {
                known.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, known)| *known).ok_or_else(
                    || {
                        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                        ConfigError::BadValue {
                            name: "compression".into(),
                            value: text.clone(),
                            expected: format!("with 'format' = '{format}' one of {}", names.join(", ")),
                        }
                    },
                )
            }
        };
        const NONE: (&str, Compression) = ("none", Compression::None);
        const ZSTD: (&str, Compression) = ("zstd", Compression::Zstd);
        match format.as_str() {
            "json" => Ok(Self::Json(chosen(Compression::None, &[NONE, ZSTD])?)),
            "csv" => Ok(Self::Csv(chosen(Compression::None, &[NONE, ZSTD])?)),
            "avro" => Ok(Self::Avro(chosen(Compression::Deflate, &[NONE, ("deflate", Compression::Deflate)])?)),
            "parquet" => {
                Ok(Self::Parquet(chosen(Compression::Snappy, &[NONE, ("snappy", Compression::Snappy), ZSTD])?))
            }
            _ => Err(ConfigError::BadValue {
                name: "format".into(),
                value: format,
                expected: "json, csv, avro or parquet".into(),
            }),
        }
    }

    /// The ending of names of such files, without a dot before it.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json(Compression::Zstd) => "json.zst",
            Self::Json(_) => "json",
            Self::Csv(Compression::Zstd) => "csv.zst",
            Self::Csv(_) => "csv",
            Self::Avro(_) => "avro",
            Self::Parquet(_) => "parquet",
        }
    }
}
