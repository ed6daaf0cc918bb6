//! What `/v1/align` takes and what clients are told: `parameters.json` is the one home of every
//! name, range and default; the rules and the OpenAPI fragment take them from there, and so does
//! the route for older clients (`compat/`).

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

/// The parameters, for reading fields and queries.
pub(crate) fn parameters() -> Schema {
    Schema::parse(&parameters_json()).expect("tested: the schema is understood")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use crate::request::{TEXT_BYTES_MAX, TEXTS};

    #[test]
    fn schemas_are_understood() {
        let rules = rules();
        parameters();
        for name in ["json", "form", "query"] {
            assert!(Schema::parse(&rules[name]).is_ok(), "{name}");
        }
        assert_eq!(rules["json"]["properties"]["win"], rules["query"]["properties"]["win"]);
        for text in TEXTS {
            assert_eq!(rules["form"]["properties"].get(text), None);
            assert_eq!(rules["parts"][text]["bytes_max"], TEXT_BYTES_MAX);
            assert!(rules["json"]["properties"].get(text).is_some());
        }
    }

    #[test]
    fn every_output_and_format_has_a_file() {
        let properties = &parameters_json()["properties"];
        for list in [&properties["outputs"]["items"]["enum"], &properties["format"]["enum"]] {
            for name in list.as_array().expect("a list") {
                assert!(files::file_of(name.as_str().expect("a word")).is_some(), "{name}");
            }
        }
        assert_eq!(properties["format"]["default"], files::JSON);
    }

    #[test]
    fn openapi_has_the_parameters_of_the_rules() {
        let (rules, openapi) = (rules(), openapi());
        let post = &openapi["paths"]["/v1/align"]["post"];
        let content = &post["requestBody"]["content"];
        assert_eq!(content["application/json"]["schema"], rules["json"]);
        let form = &content["multipart/form-data"]["schema"];
        assert_eq!(form["properties"]["outputs"], rules["form"]["properties"]["outputs"]);
        for text in TEXTS {
            assert_eq!(form["properties"][text]["format"], "binary");
            assert!(form["required"].as_array().expect("a list").iter().any(|name| name == text));
        }
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
