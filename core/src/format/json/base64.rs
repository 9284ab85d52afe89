//! Base64, the text form of BYTES in JSON and DELIMITED: the standard alphabet with padding (RFC 4648, section 4).

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Written with padding, read with or without.
const TEXT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Appends the text of `bytes`.
pub(in crate::format) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    TEXT.encode_slice(bytes, &mut out[start..]).expect("four letters for three bytes, rounded up");
}

/// The bytes of `text`, with or without padding; none if it is not base64.
pub(in crate::format) fn decode(text: &str) -> Option<Vec<u8>> {
    TEXT.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&[u8]>) {
        assert_eq!(decode(text).as_deref(), expected, "{text}");
    }

    #[test]
    fn the_vectors_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            check(text, Some(bytes.as_bytes()));
            let mut out = Vec::new();
            encode(bytes.as_bytes(), &mut out);
            assert_eq!(out, text.as_bytes());
        }
        check("Zg", Some(b"f"));
        check("Zh==", None);
        check("Z", None);
        check("Z===", None);
        check("Zm9v=", None);
        check("Zm 9v", None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes: Vec<u8>) {
            let mut out = Vec::new();
            encode(&bytes, &mut out);
            let text = String::from_utf8(out).expect("base64 is ASCII");
            prop_assert_eq!(decode(&text), Some(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            decode(&text);
        }
    }
}
