//! What the route takes and what clients are told: `parameters.json` is the one home of every
//! name, range and default; the rules and the OpenAPI fragment take them from there.

use postern_guest::schema::Schema;
use postern_guest::template;
use serde_json::Value;

const PARAMETERS: &str = include_str!("parameters.json");
const RULES: &str = include_str!("rules.json");
const OPENAPI: &str = include_str!("openapi.json");

fn parameters_json() -> Value {
    template::read(PARAMETERS, &Value::Null)
}

/// For the validation component.
pub(crate) fn rules() -> Value {
    template::read(RULES, &parameters_json())
}

/// For `/openapi.json`.
pub(crate) fn openapi() -> Value {
    let mut openapi = template::read(OPENAPI, &rules());
    crate::compat::document(&mut openapi);
    openapi
}

/// The parameters, for reading form fields.
pub(crate) fn parameters() -> Schema {
    Schema::parse(&parameters_json()).expect("tested: the schema is understood")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_understood() {
        let rules = rules();
        parameters();
        for name in ["json", "form"] {
            assert!(Schema::parse(&rules[name]).is_ok(), "{name}");
        }
        assert_eq!(rules["json"]["properties"]["canny"], rules["form"]["properties"]["canny"]);
        assert_eq!(rules["form"]["properties"].get("video"), None);
    }

    #[test]
    fn openapi_has_the_parameters_of_the_rules() {
        let (rules, openapi) = (rules(), openapi());
        let content = &openapi["paths"]["/v1/vision/analyze"]["post"]["requestBody"]["content"];
        assert_eq!(content["application/json"]["schema"], rules["json"]);
        let form = &content["multipart/form-data"]["schema"]["properties"];
        assert_eq!(form["farneback"], rules["form"]["properties"]["farneback"]);
        assert_eq!(form["params"]["properties"]["max_frames"]["default"], 1200);
        assert!(!openapi.to_string().contains("$from"));
    }
}
