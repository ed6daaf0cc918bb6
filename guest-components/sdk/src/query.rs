//! Parameters of a query as JSON, by the same schema as fields of a form: `?size=2&name=a%20b`.
//!
//! A head has 32 KiB at most, so nothing here has a limit of its own.

use serde_json::{Map, Value};

use crate::form;
use crate::problem::Fault;
use crate::schema::Schema;

/// The parameters of `query` (without `?`), each as the type that the schema wants. Where the
/// schema is open, parameters that it does not name are passed over.
///
/// # Errors
/// 422 `field_unknown`, `field_invalid` (also for one that is given twice, or is not UTF-8). The
/// values are read, not yet checked: see `Schema::check`.
pub fn read(query: Option<&str>, schema: &Schema) -> Result<Map<String, Value>, Fault> {
    let mut members = Map::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = String::from_utf8_lossy(&decoded(name)).into_owned();
        if !form::is_passed_over(schema, &name) {
            form::set(&mut members, schema, &name, &decoded(value))?;
        }
    }
    Ok(members)
}

/// `%41` and `+` as HTML forms write them; a `%` that no two digits follow stays.
fn decoded(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, tail @ ..] = rest {
        let (byte, after) = match (first, tail) {
            (b'+', _) => (b' ', tail),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, after),
                _ => (b'%', tail),
            },
            (other, _) => (*other, tail),
        };
        bytes.push(byte);
        rest = after;
    }
    bytes
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(query: &str, closed: bool) -> String {
        let source = json!({"additionalProperties": !closed, "properties": {
            "size": {"type": "number"}, "name": {"type": "string"}, "on": {"type": "boolean"}
        }});
        let schema = Schema::parse(&source).expect("understood");
        match read(Some(query), &schema) {
            Ok(members) => Value::Object(members).to_string(),
            Err(fault) => format!("{} {}", fault.code, fault.path),
        }
    }

    #[test]
    fn parameters_are_decoded_into_the_types_of_the_schema() {
        let query = "size=2.5&name=a+b%2B%C3%A9%20%zz&&on=1";
        assert_eq!(check(query, true), r#"{"name":"a b+é %zz","on":true,"size":2.5}"#);
        assert_eq!(check("", true), "{}");
        assert_eq!(check("name", true), r#"{"name":""}"#);
    }

    #[test]
    fn what_is_not_known_is_refused_or_passed_over() {
        assert_eq!(check("sise=1", true), "field_unknown sise");
        assert_eq!(check("sise=1&a.b=2&size=3", false), r#"{"size":3}"#);
        assert_eq!(check("size=1&size=1", true), "field_invalid size");
        assert_eq!(check("name=%ff", true), "field_invalid name");
    }
}
