//! Finds the one credential of a request, in `x-api-key` or `authorization: Bearer`.
//!
//! Two different ones are refused, not ranked: a proxy in front that looks at the other header
//! would let in somebody else. Other schemes (`Basic`, often set by proxies) are not ours.

use postern_guest::{Head, Problem};

/// What a client presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential<'a> {
    Key(&'a str),
    Token(&'a str),
}

/// What every 401 must say (RFC 9110, 11.6.1).
const CHALLENGE: &str = "Bearer realm=\"postern\"";
/// The same for a bearer that was looked at and refused (RFC 6750, 3.1).
const CHALLENGE_REFUSED: &str = "Bearer realm=\"postern\", error=\"invalid_token\"";

/// 401 for a credential that was refused.
pub(crate) fn unauthorized(code: &str, detail: &str) -> Problem {
    Problem::new(401, code, detail).with_header("www-authenticate", CHALLENGE_REFUSED)
}

/// The credential of a request.
///
/// # Errors
/// 401 `credential_missing`, 400 `credential_ambiguous`.
pub(crate) fn find(head: &Head) -> Result<Credential<'_>, Problem> {
    let mut found = None;
    let mut other_scheme = false;
    for header in &head.headers {
        let value = header.value.trim();
        let credential = match header.name.as_str() {
            "x-api-key" if !value.is_empty() => Some(Credential::Key(value)),
            "authorization" => {
                let bearer = bearer(value);
                other_scheme |= bearer.is_none();
                bearer.map(classify)
            }
            _ => None,
        };
        match (found, credential) {
            (None, Some(_)) => found = credential,
            (Some(first), Some(second)) if first != second => return Err(ambiguous()),
            _ => {}
        }
    }
    found.ok_or_else(|| missing(other_scheme))
}

/// The text after `Bearer`; `None` for another scheme.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty()).then_some(rest)
}

/// A key has no dots, a token is three texts with dots between them. What is neither is asked for
/// as a key, and answered `key_malformed`.
fn classify(bearer: &str) -> Credential<'_> {
    let mut parts = bearer.split('.');
    let is_token = parts.by_ref().take(3).filter(|part| !part.is_empty()).count() == 3;
    if is_token && parts.next().is_none() && !bearer.starts_with("sk_") {
        Credential::Token(bearer)
    } else {
        Credential::Key(bearer)
    }
}

fn missing(other_scheme: bool) -> Problem {
    let detail = if other_scheme {
        "the authorization scheme is not Bearer; send `authorization: Bearer sk_…` or `x-api-key`"
    } else {
        "send an API key as `authorization: Bearer sk_…` or `x-api-key: sk_…`"
    };
    Problem::new(401, "credential_missing", detail).with_header("www-authenticate", CHALLENGE)
}

fn ambiguous() -> Problem {
    let detail = "the request carries two different credentials; send one";
    Problem::new(400, "credential_ambiguous", detail)
}

#[cfg(test)]
pub(crate) mod tests {
    use postern_guest::Header;

    use super::*;

    /// A head with these header lines.
    pub(crate) fn head(lines: &[(&str, &str)]) -> Head {
        let header =
            |(name, value): &(&str, &str)| Header { name: (*name).into(), value: (*value).into() };
        Head {
            request_id: "req_1".into(),
            method: "POST".into(),
            path: "/".into(),
            query: None,
            headers: lines.iter().map(header).collect(),
        }
    }

    fn check(lines: &[(&str, &str)]) -> String {
        match find(&head(lines)) {
            Ok(Credential::Key(key)) => format!("key {key}"),
            Ok(Credential::Token(token)) => format!("token {token}"),
            Err(problem) => format!("{} {}", problem.status, problem.code),
        }
    }

    #[test]
    fn keys_and_tokens_are_found_wherever_they_may_stand() {
        assert_eq!(check(&[("x-api-key", " sk_a_b ")]), "key sk_a_b");
        assert_eq!(check(&[("authorization", "bearer  sk_a_b")]), "key sk_a_b");
        assert_eq!(check(&[("authorization", "Bearer a.b.c")]), "token a.b.c");
        assert_eq!(check(&[("authorization", "Bearer a.b")]), "key a.b");
        assert_eq!(check(&[("authorization", "Bearer a..c")]), "key a..c");
        assert_eq!(check(&[("authorization", "Bearer a.b.c.d")]), "key a.b.c.d");
        assert_eq!(check(&[("authorization", "Bearer sk_a.b.c")]), "key sk_a.b.c");
    }

    #[test]
    fn one_credential_twice_is_one_and_two_are_refused() {
        let twice = [("x-api-key", "sk_a"), ("authorization", "Bearer sk_a")];
        assert_eq!(check(&twice), "key sk_a");
        for second in [("x-api-key", "sk_b"), ("authorization", "Bearer a.b.c")] {
            assert_eq!(check(&[("x-api-key", "sk_a"), second]), "400 credential_ambiguous");
        }
        let proxied = [("authorization", "Basic abc"), ("x-api-key", "sk_a")];
        assert_eq!(check(&proxied), "key sk_a");
    }

    #[test]
    fn no_credential_gets_a_challenge() {
        for lines in [
            &[][..],
            &[("x-api-key", " ")],
            &[("authorization", "Bearer ")],
            &[("authorization", "Basic abc")],
            &[("cookie", "sk_a")],
        ] {
            assert_eq!(check(lines), "401 credential_missing");
            let problem = find(&head(lines)).expect_err("missing");
            assert_eq!(problem.headers[0].name, "www-authenticate");
        }
    }
}
