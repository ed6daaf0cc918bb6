//! Header values of the form `value; name=token; name="quoted"`: `content-type`,
//! `content-disposition`.

/// A value and its parameters; names and the value are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderValue {
    pub value: String,
    pub parameters: Vec<(String, String)>,
}

impl HeaderValue {
    /// `None` for an empty value, a parameter without `=`, or a quote that does not end.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (value, mut rest) = text.split_once(';').unwrap_or((text, ""));
        let value = value.trim().to_ascii_lowercase();
        if value.is_empty() {
            return None;
        }
        let mut parameters = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ';']);
            if rest.is_empty() {
                return Some(Self { value, parameters });
            }
            let (name, after) = rest.split_once('=')?;
            let (text, after) = take_value(after.trim_start())?;
            parameters.push((name.trim().to_ascii_lowercase(), text));
            rest = after;
        }
    }

    /// The first parameter `name` (lower case).
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }
}

/// A token or quoted string, and what follows its `;`.
fn take_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, rest) = text.split_once(';').unwrap_or((text, ""));
        return Some((token.trim().to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => {
                let rest = quoted[index + 1..].trim_start();
                return (rest.is_empty() || rest.starts_with(';')).then_some((value, rest));
            }
            // Browsers escape a quote as %22, curl by a backslash. A backslash before anything
            // else stays: Windows paths in file names.
            '\\' => match characters.clone().next() {
                Some((_, escaped @ ('"' | '\\'))) => {
                    value.push(escaped);
                    characters.next();
                }
                _ => value.push('\\'),
            },
            other => value.push(other),
        }
    }
    None
}

/// Does `given` (`image/png`) fit `pattern` (`image/png`, `image/*`, `*/*`)?
#[must_use]
pub fn fits(given: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("*/") => true,
        Some(family) => given.starts_with(family),
        None => given == pattern,
    }
}

/// `application/json` and its kin `…+json`.
#[must_use]
pub fn is_json(given: &str) -> bool {
    given == "application/json" || given.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_quoted_or_not() {
        let parsed = HeaderValue::parse("Multipart/Form-Data; Boundary=\"a;b\\\"c\" ; x = y");
        let parsed = parsed.expect("well-formed");
        assert_eq!(parsed.value, "multipart/form-data");
        assert_eq!(parsed.parameter("boundary"), Some("a;b\"c"));
        assert_eq!(parsed.parameter("x"), Some("y"));
        let path = HeaderValue::parse(r#"form-data; filename="C:\new\a.png""#);
        assert_eq!(path.expect("well-formed").parameter("filename"), Some(r"C:\new\a.png"));
    }

    #[test]
    fn broken_values_are_refused() {
        for text in ["", " ; a=b", "a; b", "a; b=\"c", "a; b=\"c\"d"] {
            assert_eq!(HeaderValue::parse(text), None, "{text}");
        }
    }

    #[test]
    fn families_fit() {
        assert!(fits("image/png", "image/*") && fits("image/png", "*/*"));
        assert!(!fits("video/mp4", "image/*") && !fits("image/png", "image/pn"));
        assert!(is_json("application/problem+json") && !is_json("text/json5"));
    }
}
