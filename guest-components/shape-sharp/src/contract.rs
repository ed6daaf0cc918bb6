//! What `/v1/sharp/predict` takes and what clients are told: `parameters.json` is the one home of
//! every name, range and default; the rules and the OpenAPI fragment take them from there. Routes
//! for older clients have parameters of their own (`compat/`), and the same rules.

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
    rules_of(&parameters_json())
}

/// The same body with other parameters.
pub(crate) fn rules_of(parameters: &Value) -> Value {
    template::read(RULES, parameters)
}

/// For `/openapi.json`.
pub(crate) fn openapi() -> Value {
    let mut openapi = template::read(OPENAPI, &rules());
    crate::compat::document(&mut openapi);
    openapi
}

/// The parameters, for reading fields and queries.
pub(crate) fn parameters() -> Schema {
    Schema::parse(&parameters_json()).expect("tested: the schema is understood")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn schemas_are_understood() {
        let rules = rules();
        parameters();
        for name in ["json", "form", "query"] {
            assert!(Schema::parse(&rules[name]).is_ok(), "{name}");
        }
        assert_eq!(rules["json"]["properties"]["axes"], rules["query"]["properties"]["axes"]);
        assert_eq!(rules["form"]["properties"].get("image"), None);
    }

    #[test]
    fn every_output_and_format_has_a_file() {
        let properties = &parameters_json()["properties"];
        for list in [&properties["outputs"]["items"]["enum"], &properties["format"]["enum"]] {
            for name in list.as_array().expect("a list") {
                assert!(files::file_of(name.as_str().expect("a word")).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn openapi_has_the_parameters_of_the_rules() {
        let (rules, openapi) = (rules(), openapi());
        let post = &openapi["paths"]["/v1/sharp/predict"]["post"];
        let content = &post["requestBody"]["content"];
        assert_eq!(content["application/json"]["schema"], rules["json"]);
        let form = &content["multipart/form-data"]["schema"]["properties"];
        assert_eq!(form["outputs"], rules["form"]["properties"]["outputs"]);
        let known = rules["query"]["properties"].as_object().expect("an object");
        let listed = post["parameters"].as_array().expect("a list").iter();
        let listed: Vec<&Value> = listed.filter(|one| one["in"] == "query").collect();
        assert_eq!(listed.len(), known.len());
        for one in listed {
            assert_eq!(Some(&one["schema"]), known.get(one["name"].as_str().expect("a name")));
        }
        assert!(!openapi.to_string().contains("$from"));
    }
}
