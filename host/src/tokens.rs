//! Signed tokens (JWT): verified against the operator's JWKS file.
//!
//! Owns the keys of the file and reads it again when it changes. Knows signatures and times; which
//! claim names a tenant is the `auth` component's business. Always: an algorithm is accepted only
//! when it is on the list *and* what the key is for, so `none` and key confusion have no way in.

use std::path::PathBuf;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

/// The algorithms that are accepted.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::ES256,
    Algorithm::EdDSA,
];

/// Longest token that is looked at; protects the parser.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Clocks of issuers may be off by so much.
const LEEWAY_SECS: u64 = 30;

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("no token keys are configured")]
    Disabled,
    #[error("not a token")]
    Malformed,
    #[error("the algorithm is not accepted, or not what the key is for")]
    Algorithm,
    #[error("no key fits the token")]
    UnknownKey,
    #[error("the signature is wrong")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("issuer or audience do not fit, or `exp` is missing")]
    Claims,
}

/// The token keys of a host.
#[derive(Debug)]
pub struct Tokens {
    file: PathBuf,
    issuer: String,
    audience: String,
    keys: ArcSwap<Keys>,
}

#[derive(Default)]
struct Keys {
    keys: Vec<(Jwk, DecodingKey)>,
    modified: Option<SystemTime>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("count", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Without a file (`""`) every token is refused as `Disabled`.
    #[must_use]
    pub fn new(settings: &crate::settings::Tokens) -> Self {
        let tokens = Self {
            file: settings.jwks_file.clone(),
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            keys: ArcSwap::default(),
        };
        tokens.reload();
        tokens
    }

    /// Reads the file again if it changed. A file that cannot be used leaves the old keys in force.
    pub fn reload(&self) {
        if self.file.as_os_str().is_empty() {
            return;
        }
        let modified = std::fs::metadata(&self.file).and_then(|meta| meta.modified()).ok();
        if modified.is_some() && modified == self.keys.load().modified {
            return;
        }
        match self.read() {
            Ok(keys) => {
                tracing::info!(count = keys.len(), "token keys read");
                self.keys.store(std::sync::Arc::new(Keys { keys, modified }));
            }
            Err(error) => tracing::error!(error, "token keys not read; the old ones stay"),
        }
    }

    fn read(&self) -> Result<Vec<(Jwk, DecodingKey)>, String> {
        let text = std::fs::read(&self.file).map_err(|error| error.to_string())?;
        let set: JwkSet = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let pair = |jwk: Jwk| match DecodingKey::from_jwk(&jwk) {
            Ok(key) => Ok((jwk, key)),
            Err(error) => Err(error.to_string()),
        };
        set.keys.into_iter().map(pair).collect()
    }

    /// The claims as JSON, once everything has been checked.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<String, TokenError> {
        let keys = self.keys.load();
        if keys.keys.is_empty() {
            return Err(TokenError::Disabled);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let header = decode_header(token).map_err(|error| match error.kind() {
            ErrorKind::Json(_) => TokenError::Algorithm,
            _ => TokenError::Malformed,
        })?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(TokenError::Algorithm);
        }
        let key = match &header.kid {
            Some(kid) => keys.keys.iter().find(|(jwk, _)| jwk.common.key_id.as_ref() == Some(kid)),
            None if keys.keys.len() == 1 => keys.keys.first(),
            None => None,
        };
        let (jwk, key) = key.ok_or(TokenError::UnknownKey)?;
        let meant = jwk.common.key_algorithm.map(|algorithm| algorithm.to_string());
        if meant.is_some_and(|meant| meant != format!("{:?}", header.alg)) {
            return Err(TokenError::Algorithm);
        }
        let claims = decode::<serde_json::Value>(token, key, &self.validation(header.alg))
            .map_err(|error| refusal(error.kind()))?;
        Ok(claims.claims.to_string())
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECS;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp"]);
        if !self.issuer.is_empty() {
            validation.set_issuer(&[&self.issuer]);
            validation.required_spec_claims.insert("iss".into());
        }
        if !self.audience.is_empty() {
            validation.set_audience(&[&self.audience]);
            validation.required_spec_claims.insert("aud".into());
        }
        validation
    }
}

fn refusal(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYetValid,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => TokenError::Algorithm,
        ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::InvalidIssuer
        | ErrorKind::InvalidAudience
        | ErrorKind::InvalidClaimFormat(_) => TokenError::Claims,
        _ => TokenError::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    use serde_json::{Value, json};

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn tokens(dir: &std::path::Path, alg: &str) -> Tokens {
        let k = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
        let set = json!({"keys": [{"kty": "oct", "k": k, "kid": "a", "alg": alg}]});
        let file = dir.join("jwks.json");
        std::fs::write(&file, set.to_string()).unwrap();
        Tokens::new(&crate::settings::Tokens {
            jwks_file: file,
            issuer: "https://issuer".into(),
            audience: String::new(),
        })
    }

    fn token(header: Header, claims: &Value, secret: &[u8]) -> String {
        encode(&header, claims, &EncodingKey::from_secret(secret)).unwrap()
    }

    fn header(kid: &str) -> Header {
        Header { kid: Some(kid.into()), ..Header::new(Algorithm::HS256) }
    }

    #[test]
    fn a_good_token_gives_its_claims_and_a_bad_one_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = tokens(dir.path(), "HS256");
        let now = get_current_timestamp();
        let good = json!({"iss": "https://issuer", "exp": now + 60, "tenant": "acme"});
        let check = |header: Header, claims: &Value, secret: &[u8]| {
            tokens.verify(&token(header, claims, secret))
        };
        let claims: Value =
            serde_json::from_str(&check(header("a"), &good, SECRET).unwrap()).unwrap();
        assert_eq!(claims["tenant"], "acme");

        let wrong = b"another-secret-another-secret-xx";
        assert_eq!(check(header("a"), &good, wrong), Err(TokenError::Signature));
        assert_eq!(check(header("b"), &good, SECRET), Err(TokenError::UnknownKey));
        let old = json!({"iss": "https://issuer", "exp": now - 3600});
        assert_eq!(check(header("a"), &old, SECRET), Err(TokenError::Expired));
        let early = json!({"iss": "https://issuer", "exp": now + 99, "nbf": now + 90});
        assert_eq!(check(header("a"), &early, SECRET), Err(TokenError::NotYetValid));
        let foreign = json!({"iss": "https://other", "exp": now + 60});
        assert_eq!(check(header("a"), &foreign, SECRET), Err(TokenError::Claims));
        let endless = json!({"iss": "https://issuer"});
        assert_eq!(check(header("a"), &endless, SECRET), Err(TokenError::Claims));
    }

    #[test]
    fn an_algorithm_that_the_key_is_not_for_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = tokens(dir.path(), "HS384");
        let claims = json!({"iss": "https://issuer", "exp": get_current_timestamp() + 60});
        assert_eq!(tokens.verify(&token(header("a"), &claims, SECRET)), Err(TokenError::Algorithm));
        // {"alg":"none"} with an empty signature.
        let none = "eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.e30.";
        assert!(matches!(tokens.verify(none), Err(TokenError::Algorithm | TokenError::Malformed)));
        assert_eq!(tokens.verify("x.y.z"), Err(TokenError::Malformed));
    }

    #[test]
    fn without_a_key_file_tokens_are_disabled() {
        let tokens = Tokens::new(&crate::settings::Tokens::default());
        assert_eq!(tokens.verify("a.b.c"), Err(TokenError::Disabled));
    }
}
