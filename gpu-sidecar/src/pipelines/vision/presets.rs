//! Presets: what `item_type` sets before a customer's own parameters do.
//!
//! Owns the merging. The values are data files, `presets/vision/*.toml`, compiled in; a new kind
//! of item is a file there and a line here. What a customer gives always wins.

use serde_json::{Map, Value};

use super::params::Params;
use crate::pipeline::{Call, RunError};

/// `item_type` where a customer does not say.
pub(super) const USUAL: &str = "generic";
/// Their names, in the order in which they are told.
pub(super) const NAMES: [&str; 3] = ["generic", "comic", "card"];

fn text(name: &str) -> Option<&'static str> {
    match name {
        "generic" => Some(include_str!("../../../presets/vision/generic.toml")),
        "comic" => Some(include_str!("../../../presets/vision/comic.toml")),
        "card" => Some(include_str!("../../../presets/vision/card.toml")),
        _ => None,
    }
}

/// The call's parameters, the preset's where the call has none, the defaults where neither does.
///
/// # Errors
/// `Input` with the path of the parameter that does not fit.
pub(super) fn params(call: &Call) -> Result<Params, RunError> {
    // By itself first: a refusal then speaks of what the customer wrote.
    let given = call.params::<Params>()?;
    let Some(preset) = text(&given.item_type) else {
        let detail = format_args!("must be one of {}", NAMES.join(", ")).to_string();
        return Err(RunError::input("params_out_of_range", "item_type", detail));
    };
    let internal = |error: &dyn std::fmt::Display| RunError::internal("preset_failed", error);
    let mut merged: Value = toml::from_str(preset).map_err(|error| internal(&error))?;
    if !call.params.is_empty() {
        let own = serde_json::from_str(&call.params).map_err(|error| internal(&error))?;
        merge(&mut merged, own);
    }
    let params: Params = serde_json::from_value(merged).map_err(|error| internal(&error))?;
    params.check()?;
    Ok(params.effective())
}

/// Puts `over` on top of `under`: objects member by member, everything else as a whole.
fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                let empty = || Value::Object(Map::new());
                let start = if value.is_object() { empty() } else { Value::Null };
                merge(under.entry(name).or_insert(start), value);
            }
        }
        (under, over) => *under = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params_of(json: &str) -> Result<Params, RunError> {
        params(&Call { params: json.to_owned(), inputs: Vec::new() })
    }

    #[test]
    fn the_generic_preset_is_the_defaults() {
        assert_eq!(params_of("").expect("defaults"), Params::default().effective());
        assert_eq!(
            params_of(r#"{"item_type": "generic"}"#).expect("usual"),
            params_of("{}").expect("usual")
        );
    }

    #[test]
    fn every_preset_fits_and_says_who_it_is() {
        for name in NAMES {
            let json = format!(r#"{{"item_type": "{name}"}}"#);
            let params = params_of(&json).expect("a preset is within every range");
            assert_eq!(params.item_type, name);
            assert!(!params.defects.kinds.is_empty());
        }
        let canny =
            |name: &str| params_of(&format!(r#"{{"item_type": "{name}"}}"#)).expect("fits").canny;
        assert!(canny("comic") != canny("card") && canny("card") != canny("generic"));
    }

    #[test]
    fn what_is_given_wins_over_the_preset() {
        let json = r#"{"item_type": "comic", "canny": {"low": 7}, "outputs": ["plot"]}"#;
        let (mixed, comic) = (params_of(json), params_of(r#"{"item_type": "comic"}"#));
        let (mixed, comic) = (mixed.expect("fits"), comic.expect("fits"));
        assert_eq!((mixed.canny.low, mixed.canny.high), (7.0, comic.canny.high));
        assert_eq!(mixed.outputs, [super::super::outputs::Output::Plot]);
        assert_eq!(mixed.morphology, comic.morphology);
    }

    #[test]
    fn a_refusal_names_the_parameter() {
        let field = |json: &str| match params_of(json) {
            Err(RunError::Input { field, .. }) => field,
            other => panic!("{json}: {other:?}"),
        };
        assert_eq!(field(r#"{"item_type": "coin"}"#), "item_type");
        assert_eq!(field(r#"{"outputs": ["edges", "hologram"]}"#), "outputs[1]");
        assert_eq!(field(r#"{"item_type": "card", "canny": {"low": -1}}"#), "canny.low");
        assert_eq!(
            field(r#"{"defects": {"kinds": [{"kind": "x", "polarity": "red"}]}}"#),
            "defects.kinds[0].polarity"
        );
    }
}
