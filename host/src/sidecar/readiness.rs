//! How far a pipeline is from running: its manifest, and how its models fare now.
//!
//! Owns the order of the states. Always: a pipeline with models is judged by their state as of the
//! last heartbeat, because weights come and go while its manifest stays.

use super::wire;

/// From what runs at once to what keeps a run from starting: a pipeline with a choice of models is
/// as far as the best of them.
const STATES: [&str; 7] =
    ["ready", "loading", "mapping", "unloading", "unloaded", "failed", "missing"];

/// How far a pipeline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness<'a> {
    pub state: &'a str,
    /// What to do where that is `missing`; with `ready`, what does not work.
    pub missing: &'a str,
}

impl<'a> Readiness<'a> {
    /// Of `pipeline`, with the states of all models.
    #[must_use]
    pub fn of(pipeline: &'a wire::PipelineManifest, models: &'a [wire::ModelStatus]) -> Self {
        // In the pipeline's order: where all are missing, the one that it names first is said.
        let its = pipeline.weights.iter();
        let its = its.filter_map(|weights| models.iter().find(|it| it.model == weights.model));
        let rank = |model: &&wire::ModelStatus| {
            STATES.iter().position(|state| *state == model.state).unwrap_or(STATES.len())
        };
        match its.min_by_key(rank) {
            Some(best) if best.state == "missing" => {
                Self { state: &best.state, missing: &best.reason }
            }
            Some(best) => Self { state: &best.state, missing: "" },
            None if pipeline.ready => Self { state: "ready", missing: &pipeline.missing },
            None => Self { state: "missing", missing: &pipeline.missing },
        }
    }

    /// Would a run start now, loading what it needs?
    #[must_use]
    pub fn can_run(self) -> bool {
        !matches!(self.state, "missing" | "failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(models: &[&str], ready: bool) -> wire::PipelineManifest {
        let weights = models
            .iter()
            .map(|model| wire::Weights { model: (*model).to_owned(), ..wire::Weights::default() });
        let missing = "install ffmpeg".to_owned();
        wire::PipelineManifest {
            ready,
            missing,
            weights: weights.collect(),
            ..wire::PipelineManifest::default()
        }
    }

    fn status(model: &str, state: &str) -> wire::ModelStatus {
        let reason = format!("postern pull {model}");
        let (model, state) = (model.to_owned(), state.to_owned());
        wire::ModelStatus { model, state, reason, ..wire::ModelStatus::default() }
    }

    #[test]
    fn a_pipeline_is_as_far_as_the_best_of_its_models() {
        let statuses = [status("a", "missing"), status("b", "unloaded"), status("c", "ready")];
        let of = |models: &[&str]| {
            let pipeline = pipeline(models, true);
            let Readiness { state, missing } = Readiness::of(&pipeline, &statuses);
            (state.to_owned(), missing.to_owned())
        };
        assert_eq!(of(&["a"]), ("missing".into(), "postern pull a".into()));
        assert_eq!(of(&["a", "b"]), ("unloaded".into(), String::new()));
        assert_eq!(of(&["a", "b", "c"]), ("ready".into(), String::new()));
    }

    #[test]
    fn of_several_missing_models_the_pipeline_s_first_is_said() {
        let statuses = [status("a", "missing"), status("b", "missing")];
        let pipeline = pipeline(&["b", "a"], false);
        assert_eq!(Readiness::of(&pipeline, &statuses).missing, "postern pull b");
    }

    #[test]
    fn a_pipeline_without_models_says_itself_whether_it_is_ready() {
        let of = |ready| {
            let pipeline = pipeline(&[], ready);
            Readiness::of(&pipeline, &[]).state.to_owned()
        };
        assert_eq!((of(true), of(false)), ("ready".into(), "missing".into()));
        assert!(!Readiness { state: "failed", missing: "" }.can_run());
        assert!(Readiness { state: "unloaded", missing: "" }.can_run());
    }
}
