//! SCRAM: a proof that we know a password, without sending it, and the broker's proof that it knows it too (RFC 5802, RFC 7677).

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{digest, hmac, pbkdf2};

use crate::log::kafka::{ScramHash, Secret};

/// Fewest rounds that a broker may ask for (RFC 7677, section 4), and most: it must not keep us busy for ever.
const ROUNDS: std::ops::RangeInclusive<u32> = 4_096..=1_000_000;

/// Our side of an exchange, before its first message.
pub(super) struct Scram<'a> {
    hash: ScramHash,
    password: &'a Secret,
    nonce: String,
    first_bare: String,
}

/// Our side after the proof is sent: what the broker must answer.
#[derive(Debug)]
pub(super) struct Expected(String);

impl<'a> Scram<'a> {
    /// Begins with a nonce that was never used before.
    pub(super) fn new(hash: ScramHash, user: &str, password: &'a Secret, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={user},r={nonce}");
        Self { hash, password, nonce, first_bare }
    }

    /// What we say first.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// Our proof, from what the broker said.
    pub(super) fn proof(self, challenge: &str) -> Result<(String, Expected), &'static str> {
        let field = |name: &str| challenge.split(',').find_map(|field| field.strip_prefix(name));
        let nonce = field("r=").ok_or("its challenge has no nonce")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("its nonce does not go on from ours");
        }
        let salt = field("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or("its challenge has no salt")?;
        let rounds = field("i=").and_then(|rounds| rounds.parse::<u32>().ok()).ok_or("its challenge has no rounds")?;
        if !ROUNDS.contains(&rounds) {
            return Err("it asks for fewer than 4096 or more than 1000000 rounds");
        }
        let rounds = NonZeroU32::new(rounds).expect("it is at least 4096");
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{challenge},{without_proof}", self.first_bare);
        let (proof, expected) = prove(self.hash, self.password.reveal().as_bytes(), &salt, rounds, message.as_bytes());
        Ok((format!("{without_proof},p={}", STANDARD.encode(proof)), Expected(STANDARD.encode(expected))))
    }
}

impl Expected {
    /// Whether the broker has proven that it knows the password.
    pub(super) fn is_met_by(&self, last: &str) -> bool {
        last.split(',').find_map(|field| field.strip_prefix("v=")) == Some(self.0.as_str())
    }
}

/// The client's proof and the server's signature.
fn prove(hash: ScramHash, password: &[u8], salt: &[u8], rounds: NonZeroU32, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (stretch, mac, sum) = match hash {
        ScramHash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, hmac::HMAC_SHA256, &digest::SHA256),
        ScramHash::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, hmac::HMAC_SHA512, &digest::SHA512),
    };
    let sign = |key: &[u8], message: &[u8]| hmac::sign(&hmac::Key::new(mac, key), message);
    let mut salted = vec![0; sum.output_len()];
    pbkdf2::derive(stretch, rounds, salt, password, &mut salted);
    let client_key = sign(&salted, b"Client Key");
    let stored_key = digest::digest(sum, client_key.as_ref());
    let signature = sign(stored_key.as_ref(), message);
    let proof = client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, signature)| key ^ signature).collect();
    let server_key = sign(&salted, b"Server Key");
    (proof, sign(server_key.as_ref(), message).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3.
    #[test]
    fn the_example_of_the_standard() {
        let password = Secret::new("pencil");
        let scram = Scram::new(ScramHash::Sha256, "user", &password, "rOprNGfwEbeRWgbNEkqO".into());
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (proof, expected) = scram.proof(challenge).unwrap();
        assert_eq!(
            proof,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(expected.is_met_by("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!expected.is_met_by("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="));
        assert!(!expected.is_met_by("e=invalid-proof"));
    }

    #[test]
    fn a_challenge_that_is_not_for_us_is_refused() {
        let password = Secret::new("p");
        let refused = |challenge: &str| {
            Scram::new(ScramHash::Sha512, "a=,b", &password, "abc".into()).proof(challenge).map(|_| ()).unwrap_err()
        };
        assert!(refused("r=abd1,s=AAAA,i=4096").contains("nonce"));
        assert!(refused("r=abc,s=AAAA,i=4096").contains("nonce"));
        assert!(refused("r=abc1,i=4096").contains("salt"));
        assert!(refused("r=abc1,s=AAAA,i=1").contains("rounds"));
        assert!(refused("r=abc1,s=AAAA,i=4000000000").contains("rounds"));
        assert_eq!(Scram::new(ScramHash::Sha512, "a=,b", &password, "abc".into()).first(), "n,,n=a=3D=2Cb,r=abc");
    }
}
