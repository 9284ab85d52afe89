//! AWS Signature Version 4: how requests show who sends them.
//!
//! After Amazon's description of the algorithm ("AWS Signature Version 4 for API requests"), for requests without a query: the canonical
//! request is hashed, the hash signed with a key derived from the secret one for one day, region and service. The tests are the examples
//! that Amazon publishes. Invariant: nothing of a credential but its public key id leaves this file, other than in the headers to be sent.

use chrono::{DateTime, Utc};
use millstream::{record::Timestamp, secret::Secret};
use ring::{digest, hmac};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who sends requests. `Debug` shows nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsCredentials {
    /// The id of the access key (`'aws.access.key.id'`).
    pub access_key_id: Secret,
    /// The secret access key (`'aws.secret.access.key'`).
    pub secret_access_key: Secret,
    /// The token of temporary credentials (`'aws.session.token'`).
    pub session_token: Option<Secret>,
}

/// For which region and service a signature holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// A request to be signed. All of its headers are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsigned<'a> {
    pub(super) method: &'a str,
    /// Path of the URL, encoded.
    pub(super) path: &'a str,
    /// Names in lower case, in any order, `host` among them; without those that [`sign`] adds.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// The headers that a signed request has beside its own: names and values.
pub(super) fn sign(
    request: &Unsigned<'_>,
    credentials: &AwsCredentials,
    scope: Scope<'_>,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let time = moment(now).format("%Y%m%dT%H%M%SZ").to_string();
    let day = &time[..8];
    let mut added = vec![("x-amz-date", time.clone())];
    if let Some(token) = &credentials.session_token {
        added.push(("x-amz-security-token", token.reveal().to_owned()));
    }
    let mut headers: Vec<(&str, &str)> = request.headers.to_vec();
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_str())));
    headers.sort_unstable();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let place = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let hash = hex(digest::digest(&digest::SHA256, canonical(request, &headers, &names).as_bytes()).as_ref());
    let to_sign = format!("{ALGORITHM}\n{time}\n{place}\n{hash}");
    let signature = hex(hmac::sign(&signing_key(credentials, day, scope), to_sign.as_bytes()).as_ref());
    let id = credentials.access_key_id.reveal();
    added.push((
        "authorization",
        format!("{ALGORITHM} Credential={id}/{place}, SignedHeaders={names}, Signature={signature}"),
    ));
    added
}

fn moment(now: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(now.0).unwrap_or_default()
}

/// The request as text that both sides write alike.
fn canonical(request: &Unsigned<'_>, headers: &[(&str, &str)], names: &str) -> String {
    let mut text = format!("{}\n{}\n\n", request.method, request.path);
    for (name, value) in headers {
        text.push_str(&format!("{name}:{}\n", value.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    let body = hex(digest::digest(&digest::SHA256, request.body).as_ref());
    text.push_str(&format!("\n{names}\n{body}"));
    text
}

/// The key that signs the requests of a day.
fn signing_key(credentials: &AwsCredentials, day: &str, scope: Scope<'_>) -> hmac::Key {
    let first = format!("AWS4{}", credentials.secret_access_key.reveal());
    let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
    [day, scope.region, scope.service, "aws4_request"]
        .into_iter()
        .fold(key(first.as_bytes()), |last, part| key(hmac::sign(&last, part.as_bytes()).as_ref()))
}

/// Bytes as hexadecimal digits in lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2015-08-30T12:36:00Z, the moment of the published examples.
    const NOW: Timestamp = Timestamp(1_440_938_160_000);
    const SCOPE: Scope<'static> = Scope { region: "us-east-1", service: "service" };

    fn credentials() -> AwsCredentials {
        AwsCredentials {
            access_key_id: Secret::new("AKIDEXAMPLE"),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        }
    }

    fn check(method: &str, headers: &[(&str, &str)], body: &str, names: &str, expected: &str) {
        let all = [&[("host", "example.amazonaws.com")], headers].concat();
        let request = Unsigned { method, path: "/", headers: &all, body: body.as_bytes() };
        let signed = sign(&request, &credentials(), SCOPE, NOW);
        assert_eq!(signed[0], ("x-amz-date", "20150830T123600Z".to_owned()));
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={names}, Signature={expected}"
        );
        assert_eq!(signed.last(), Some(&("authorization", expected)));
    }

    #[test]
    fn published_examples_get_their_published_signatures() {
        let names = "host;x-amz-date";
        check("GET", &[], "", names, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        check("POST", &[], "", names, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
        check(
            "POST",
            &[("my-header1", "VALUE1")],
            "",
            "host;my-header1;x-amz-date",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        );
        check(
            "POST",
            &[("content-type", "application/x-www-form-urlencoded")],
            "Param1=value1",
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        );
    }

    #[test]
    fn the_key_of_a_day_is_that_of_the_published_example() {
        let key = signing_key(&credentials(), "20150830", Scope { region: "us-east-1", service: "iam" });
        let signed = hmac::sign(
            &key,
            b"AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\nf536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59",
        );
        assert_eq!(hex(signed.as_ref()), "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
    }

    #[test]
    fn a_session_token_is_signed_and_nothing_is_printed() {
        let temporary = AwsCredentials { session_token: Some(Secret::new("TOKEN")), ..credentials() };
        let request = Unsigned { method: "POST", path: "/", headers: &[("host", "h")], body: b"" };
        let signed = sign(&request, &temporary, SCOPE, NOW);
        assert!(signed.contains(&("x-amz-security-token", "TOKEN".to_owned())), "{signed:?}");
        assert!(signed.last().expect("signed").1.contains("SignedHeaders=host;x-amz-date;x-amz-security-token,"));
        let printed = format!("{temporary:?}");
        assert!(!printed.contains("TOKEN") && !printed.contains("EXAMPLE"), "{printed}");
    }
}
