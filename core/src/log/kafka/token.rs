//! Tokens for OAUTHBEARER: who makes them, and how long they last.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{KafkaConfigError, Secret, clock};

/// A bearer token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token as it is sent.
    pub value: Secret,
    /// In whose name it speaks.
    pub principal: String,
    /// For how long from now it is good. A new one is asked for well before.
    pub lifetime: Duration,
}

/// Makes tokens: asked before the first connection and again before a token ends, from any thread.
pub trait TokenProvider: Send + Sync {
    /// A token that is good now.
    ///
    /// # Errors
    /// The reason why there is none, without secrets. It is asked again later.
    fn token(&self) -> Result<Token, String>;
}

impl<F: Fn() -> Result<Token, String> + Send + Sync> TokenProvider for F {
    fn token(&self) -> Result<Token, String> {
        self()
    }
}

/// Unsigned tokens in the name of a principal: for brokers in tests, which believe everything (RFC 7519, section 6).
#[derive(Clone)]
pub struct UnsecuredTokens {
    principal: String,
}

impl UnsecuredTokens {
    /// How long each token is good.
    const LIFETIME: Duration = Duration::from_secs(3600);

    /// Tokens in the name of `principal`.
    ///
    /// # Errors
    /// [`KafkaConfigError::InvalidValue`] if the name is empty or longer than 1000 bytes.
    pub fn new(principal: &str) -> Result<Self, KafkaConfigError> {
        if principal.is_empty() || principal.len() > 1_000 {
            let problem = "must be a name of 1 to 1000 bytes".to_owned();
            return Err(KafkaConfigError::InvalidValue { name: "principal".to_owned(), problem });
        }
        Ok(Self { principal: principal.to_owned() })
    }
}

impl TokenProvider for UnsecuredTokens {
    fn token(&self) -> Result<Token, String> {
        let now = clock::wall_millis() / 1000;
        let claims = serde_json::json!({ "sub": self.principal, "iat": now, "exp": now + Self::LIFETIME.as_secs() });
        let encode = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let value = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&claims.to_string()));
        Ok(Token { value: Secret::new(value), principal: self.principal.clone(), lifetime: Self::LIFETIME })
    }
}

impl fmt::Debug for UnsecuredTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnsecuredTokens({})", self.principal)
    }
}
