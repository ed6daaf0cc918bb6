//! From a request's head to a principal, or to the refusal that says what to do.

use postern_guest::{Head, Principal, Problem};
use serde_json::Value;

use crate::bindings::postern::policy::{keys, tenants, tokens};
use crate::credential::{Credential, find, unauthorized};

/// What the host knows; an interface, so that tests run without one.
pub(crate) trait Directory {
    fn key(&self, presented: &str) -> Result<keys::KeyRecord, keys::Refusal>;
    fn token(&self, token: &str) -> Result<String, tokens::Refusal>;
    fn tenant(&self, id: &str) -> Option<tenants::Tenant>;
    fn tenant_claim(&self) -> &str;
}

/// Finds out who is asking. `scope` is the service; empty: any good credential will do.
///
/// # Errors
/// 400 `credential_ambiguous`; 401 `credential_missing`, `key_malformed`, `key_unknown`,
/// `key_expired`, `key_revoked`, `tenant_suspended`, `token_…`; 403 `scope_missing`.
pub(crate) fn authenticate(
    directory: &impl Directory,
    head: &Head,
    scope: &str,
) -> Result<Principal, Problem> {
    let principal = match find(head)? {
        Credential::Key(key) => by_key(directory, key)?,
        Credential::Token(token) => by_token(directory, token)?,
    };
    let allowed = scope.is_empty() || principal.scopes.iter().any(|has| has == scope || has == "*");
    if allowed {
        return Ok(principal);
    }
    let what = if principal.key.is_some() { "key" } else { "token" };
    let detail = format!("this {what} lacks the scope `{scope}`; ask for one that has it");
    Err(Problem::new(403, "scope_missing", detail))
}

fn by_key(directory: &impl Directory, key: &str) -> Result<Principal, Problem> {
    let record = directory.key(key).map_err(key_refused)?;
    let keys::KeyRecord { id, tenant, plan, scopes } = record;
    Ok(Principal { tenant, key: Some(id), plan, scopes })
}

fn key_refused(refusal: keys::Refusal) -> Problem {
    let (code, detail) = match refusal {
        keys::Refusal::Malformed => ("key_malformed", "an API key has the form `sk_<id>_<secret>`"),
        keys::Refusal::Unknown => ("key_unknown", "there is no such API key"),
        keys::Refusal::Expired => ("key_expired", "this API key has expired; rotate it"),
        keys::Refusal::Revoked => ("key_revoked", "this API key was revoked; create another"),
        keys::Refusal::Suspended => {
            ("tenant_suspended", "this account is suspended; ask the operator")
        }
    };
    unauthorized(code, detail)
}

fn by_token(directory: &impl Directory, token: &str) -> Result<Principal, Problem> {
    let claims = directory.token(token).map_err(token_refused)?;
    let claims: Value = serde_json::from_str(&claims).unwrap_or_default();
    let name = directory.tenant_claim();
    let tenant = claims.get(name).and_then(Value::as_str).filter(|tenant| !tenant.is_empty());
    let Some(tenant) = tenant else {
        let detail = format!("the token has no claim `{name}` that names a tenant");
        return Err(unauthorized("token_claims", &detail));
    };
    let found = directory.tenant(tenant).ok_or_else(|| {
        unauthorized("token_tenant_unknown", "the token's tenant is unknown or suspended")
    })?;
    Ok(Principal { tenant: found.id, key: None, plan: found.plan, scopes: scopes(&claims) })
}

/// `scope` as OAuth has it (a text with spaces), or `scopes` as a list; both add up.
fn scopes(claims: &Value) -> Vec<String> {
    let text = claims.get("scope").and_then(Value::as_str).unwrap_or_default();
    let list = claims.get("scopes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let list = list.iter().filter_map(Value::as_str);
    text.split_ascii_whitespace().chain(list).map(str::to_owned).collect()
}

fn token_refused(refusal: tokens::Refusal) -> Problem {
    let (code, detail) = match refusal {
        tokens::Refusal::Disabled => ("token_disabled", "tokens are not accepted here; send a key"),
        tokens::Refusal::Malformed => ("token_malformed", "the token is not a signed JWT"),
        tokens::Refusal::Algorithm => {
            ("token_algorithm", "the token's algorithm is not the one that its key is for")
        }
        tokens::Refusal::UnknownKey => ("token_key_unknown", "no key fits the token's `kid`"),
        tokens::Refusal::Signature => ("token_signature", "the token's signature is wrong"),
        tokens::Refusal::Expired => ("token_expired", "the token has expired; get another"),
        tokens::Refusal::NotYetValid => ("token_not_yet_valid", "the token is not valid yet"),
        tokens::Refusal::Claims => {
            ("token_claims", "the token's issuer or audience is not the one expected here")
        }
    };
    unauthorized(code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::tests::head;

    /// Answers by what it is asked: `sk_good_1` is a key, other keys are refused by their name.
    struct Fake;

    impl Directory for Fake {
        fn key(&self, presented: &str) -> Result<keys::KeyRecord, keys::Refusal> {
            match presented {
                "sk_good_1" => Ok(keys::KeyRecord {
                    id: "good".into(),
                    tenant: "acme".into(),
                    plan: "free".into(),
                    scopes: vec!["vision".into()],
                }),
                "sk_unknown" => Err(keys::Refusal::Unknown),
                "sk_expired" => Err(keys::Refusal::Expired),
                "sk_revoked" => Err(keys::Refusal::Revoked),
                "sk_suspended" => Err(keys::Refusal::Suspended),
                _ => Err(keys::Refusal::Malformed),
            }
        }
        fn token(&self, token: &str) -> Result<String, tokens::Refusal> {
            match token {
                "good.b.c" => Ok(r#"{"org": "acme", "scope": "a b", "scopes": ["*"]}"#.into()),
                "plain.b.c" => Ok(r#"{"org": "acme"}"#.into()),
                "nobody.b.c" => Ok(r#"{"org": "nobody"}"#.into()),
                "number.b.c" => Ok(r#"{"org": 7}"#.into()),
                "broken.b.c" => Ok("not JSON".into()),
                "disabled.b.c" => Err(tokens::Refusal::Disabled),
                "algorithm.b.c" => Err(tokens::Refusal::Algorithm),
                "kid.b.c" => Err(tokens::Refusal::UnknownKey),
                "expired.b.c" => Err(tokens::Refusal::Expired),
                "early.b.c" => Err(tokens::Refusal::NotYetValid),
                "claims.b.c" => Err(tokens::Refusal::Claims),
                "signature.b.c" => Err(tokens::Refusal::Signature),
                _ => Err(tokens::Refusal::Malformed),
            }
        }
        fn tenant(&self, id: &str) -> Option<tenants::Tenant> {
            (id == "acme").then(|| tenants::Tenant { id: id.into(), plan: "pro".into() })
        }
        fn tenant_claim(&self) -> &str {
            "org"
        }
    }

    fn check(bearer: &str, scope: &str) -> String {
        let head = head(&[("authorization", &format!("Bearer {bearer}"))]);
        match authenticate(&Fake, &head, scope) {
            Ok(who) => format!("{} {:?} {} {:?}", who.tenant, who.key, who.plan, who.scopes),
            Err(problem) => {
                let challenged = problem.headers.iter().any(|has| has.name == "www-authenticate");
                assert_eq!(challenged, problem.status == 401);
                format!("{} {}", problem.status, problem.code)
            }
        }
    }

    #[test]
    fn keys_open_their_scopes_only() {
        assert_eq!(check("sk_good_1", "vision"), r#"acme Some("good") free ["vision"]"#);
        assert_eq!(check("sk_good_1", ""), r#"acme Some("good") free ["vision"]"#);
        assert_eq!(check("sk_good_1", "echo"), "403 scope_missing");
    }

    #[test]
    fn refused_keys_say_why() {
        for (key, want) in [
            ("sk_unknown", "401 key_unknown"),
            ("sk_expired", "401 key_expired"),
            ("sk_revoked", "401 key_revoked"),
            ("sk_suspended", "401 tenant_suspended"),
            ("hello", "401 key_malformed"),
        ] {
            assert_eq!(check(key, ""), want);
        }
    }

    #[test]
    fn tokens_name_tenant_and_scopes_in_their_claims() {
        assert_eq!(check("good.b.c", "vision"), r#"acme None pro ["a", "b", "*"]"#);
        for (token, want) in [
            ("plain.b.c", "403 scope_missing"),
            ("nobody.b.c", "401 token_tenant_unknown"),
            ("number.b.c", "401 token_claims"),
            ("broken.b.c", "401 token_claims"),
            ("disabled.b.c", "401 token_disabled"),
            ("algorithm.b.c", "401 token_algorithm"),
            ("kid.b.c", "401 token_key_unknown"),
            ("expired.b.c", "401 token_expired"),
            ("early.b.c", "401 token_not_yet_valid"),
            ("claims.b.c", "401 token_claims"),
            ("signature.b.c", "401 token_signature"),
            ("a.b.c", "401 token_malformed"),
        ] {
            assert_eq!(check(token, "vision"), want);
        }
    }
}
