//! Ids: one type per kind of thing, each with the prefix by which people recognise it.
//!
//! Append-only: a prefix is never given another meaning. Parsed once, at the edge; inside the host
//! an id is known to be well-formed. Knows nothing of what the ids name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct IdError {
    text: String,
    what: &'static str,
}

/// Longest slug or id that is accepted anywhere; a bound for columns, headers and logs.
pub const ID_BYTES_MAX: usize = 64;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The text, as it is stored and shown.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if text.len() <= ID_BYTES_MAX && check(text) {
                    Ok(Self(text.into()))
                } else {
                    let text = text.chars().take(ID_BYTES_MAX).collect();
                    Err(IdError { text, what: $what })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A tenant: a slug that the operator chooses, `acme`.
    TenantId,
    "a tenant id (a-z, 0-9 and '-', starting with a letter)",
    is_slug
);
id!(
    /// A plan: a slug, `free`.
    PlanName,
    "a plan name (a-z, 0-9 and '-', starting with a letter)",
    is_slug
);
id!(
    /// The public half of an API key: 16 hexadecimal digits.
    KeyId,
    "a key id (16 hexadecimal digits)",
    |text| text.len() == 16 && is_hex(text)
);
id!(
    /// A job: `job_` and a UUIDv7 in 32 hexadecimal digits, so ids sort by time.
    JobId,
    "a job id (job_ and 32 hexadecimal digits)",
    |text| text.strip_prefix("job_").is_some_and(|rest| rest.len() == 32 && is_hex(rest))
);
id!(
    /// A request: `req_` and a UUIDv7.
    RequestId,
    "a request id (req_ and 32 hexadecimal digits)",
    |text| text.strip_prefix("req_").is_some_and(|rest| rest.len() == 32 && is_hex(rest))
);
id!(
    /// The digest of a blob: BLAKE3 in 64 hexadecimal digits.
    Digest,
    "a digest (64 hexadecimal digits)",
    |text| text.len() == 64 && is_hex(text)
);

impl JobId {
    /// A new id; later ids sort after earlier ones.
    #[must_use]
    pub fn new() -> Self {
        Self(format!("job_{}", uuid::Uuid::now_v7().simple()).into())
    }
}

impl Default for JobId {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestId {
    /// A new id.
    #[must_use]
    pub fn new() -> Self {
        Self(format!("req_{}", uuid::Uuid::now_v7().simple()).into())
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(hash.to_hex().as_str().into())
    }
}

fn is_slug(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_accept_their_own_form_and_nothing_else() {
        assert!(JobId::new().as_str().parse::<JobId>().is_ok());
        assert!("acme-2".parse::<TenantId>().is_ok());
        for bad in ["", "2acme", "Acme", "a/b", "a b", "a\n", &"a".repeat(65)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad:?}");
        }
        for bad in ["job_", "job_xyz", "0123", "job_0123456789ABCDEF0123456789ABCDEF"] {
            assert!(bad.parse::<JobId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn job_ids_sort_by_time() {
        let ids: Vec<JobId> = (0..100).map(|_| JobId::new()).collect();
        assert!(ids.is_sorted());
    }
}
