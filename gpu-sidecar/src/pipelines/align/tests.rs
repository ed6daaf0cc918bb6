//! What `align@1` answers, with an encoder that reads numbers instead of words.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::align::encoder::Watch;
use crate::device::Device;
use crate::pipeline::{Cancel, Cause, Input};
use crate::weights::Models;

/// Sentences with the same numbers are alike, in whatever language the rest is.
struct Numbers;

const WIDTH: usize = 64;

impl Encoder for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }

    fn width(&self) -> usize {
        WIDTH
    }

    fn languages(&self) -> &'static [&'static str] {
        &["de", "fr"]
    }

    fn embed(&self, texts: &[&str], watch: &mut Watch<'_>) -> Result<Vec<f32>, EncodeError> {
        let mut vectors = Vec::with_capacity(texts.len() * WIDTH);
        for (number, text) in texts.iter().enumerate() {
            if watch(number as f64 / texts.len() as f64).is_break() {
                return Err(EncodeError::Cancelled);
            }
            let mut vector = [0.01f32; WIDTH];
            for digits in text.split(|c: char| !c.is_ascii_digit()) {
                if let Ok(number) = digits.parse::<u64>() {
                    // Two places each, so that different numbers rarely share both.
                    for place in [number % 61, number.wrapping_mul(2_654_435_761) >> 7 & 63] {
                        vector[place as usize] += 1.0;
                    }
                }
            }
            let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
            vectors.extend(vector.map(|v| v / length));
        }
        Ok(vectors)
    }
}

impl Encoders for Numbers {
    fn missing(&self) -> String {
        String::new()
    }

    fn open(&self, _: EncoderName, _: &mut RunContext) -> Result<Box<dyn Encoder>, RunError> {
        Ok(Box::new(Numbers))
    }
}

struct Answered {
    metadata: Value,
    out: tempfile::TempDir,
}

impl Answered {
    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.out.path().join(name)).expect("the output was written")
    }

    fn beads(&self) -> &Vec<Value> {
        self.metadata["result"].as_array().expect("a list")
    }
}

fn run_with(
    encoders: Arc<dyn Encoders>,
    (source, target): (&[u8], &[u8]),
    params: &Value,
    cancel: Cancel,
) -> Result<Answered, RunError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = tempfile::tempdir().expect("a temporary folder");
    let input = |slot: &str, bytes: &[u8]| {
        let path = folder.path().join(slot);
        fs::write(&path, bytes).expect("can be written");
        Input { slot: slot.to_owned(), path, media_type: String::new(), bytes: bytes.len() as u64 }
    };
    let inputs = vec![input(SOURCE, source), input(TARGET, target)];
    let call = Call { params: params.to_string(), inputs };
    let (device, path) = (Arc::new(Device::cpu()), out.path().to_owned());
    let mut context = RunContext::new(device, Arc::new(cancel), path, Box::new(|_| {}));
    let pipeline = Align::new(encoders);
    call.check_slots(&pipeline.manifest()).expect("one text in each slot");
    let outcome = pipeline.run(&call, &mut context)?;
    let metadata = serde_json::from_str(&outcome.metadata).expect("JSON");
    Ok(Answered { metadata, out })
}

fn run(source: &str, target: &str, params: &Value) -> Result<Answered, RunError> {
    run_with(Arc::new(Numbers), (source.as_bytes(), target.as_bytes()), params, Cancel::default())
}

#[track_caller]
fn assert_refused(result: Result<Answered, RunError>, code: &str, field_want: &str) {
    match result {
        Err(RunError::Input { fault, field }) => {
            assert_eq!((fault.code, field.as_str()), (code, field_want), "{}", fault.detail);
        }
        Err(other) => panic!("{other}"),
        Ok(answered) => panic!("{}", answered.metadata),
    }
}

#[test]
fn texts_become_beads_and_every_file_that_was_asked_for() {
    let german = "Das Haus Nr. 11 ist alt. Der Garten 12 ist schön. Dort steht der Baum 13.";
    let french = "La maison 11 est vieille. Le jardin 12 est beau et l'arbre 13 est là.";
    let params = json!({ "outputs": ["json", "tsv", "tmx"] });
    let answered = run(german, french, &params).expect("an answer");
    let metadata = &answered.metadata;
    assert_eq!(metadata["result"], json!([[[0], [0]], [[1, 2], [1]]]), "{metadata}");
    assert_eq!((&metadata["src_lang"], &metadata["tgt_lang"]), (&json!("de"), &json!("fr")));
    assert_eq!(metadata["src_sentences"], 3);
    assert_eq!(metadata["scores"].as_array().map(Vec::len), Some(2));
    let file: Value = serde_json::from_str(&answered.file("result.json")).expect("JSON");
    assert_eq!(file["result"], metadata["result"]);
    assert_eq!(file["tgt_sents"][1], "Le jardin 12 est beau et l'arbre 13 est là.");
    assert_eq!(answered.file("result.tsv").lines().count(), 3);
    assert_eq!(answered.file("result.tmx").matches("<tu>").count(), 2);
    let usual = run(german, french, &json!({})).expect("an answer");
    assert!(!usual.out.path().join("result.tsv").exists());
}

#[test]
fn an_empty_side_leaves_every_other_sentence_alone() {
    let answered = run("", "Un 1. Deux 2.", &json!({"tgt_lang": "fr"})).expect("an answer");
    assert_eq!(answered.metadata["result"], json!([[[], [0]], [[], [1]]]));
    assert_eq!(answered.metadata["warnings"][0]["code"], "text_empty");
    let answered = run("Eins 1.", " \n ", &json!({"src_lang": "de"})).expect("an answer");
    assert_eq!(answered.metadata["result"], json!([[[0], []]]));
    let nothing = run("", "", &json!({})).expect("an answer");
    assert_eq!(nothing.metadata["result"], json!([]));
}

#[test]
fn one_sentence_finds_its_own_among_two_thousand() {
    let params = json!({ "is_split": true, "src_lang": "de", "tgt_lang": "fr" });
    let line = |index| if index == 776 { "mot 777 mot.\n" } else { "mot mot.\n" };
    let many: String = (0..2000).map(line).collect();
    let answered = run("Satz 777 Satz.", &many, &params).expect("an answer");
    let beads = answered.beads();
    let found: Vec<&Value> = beads.iter().filter(|bead| bead[0] == json!([0])).collect();
    let ids = |side: &Value| side.as_array().expect("a list").clone();
    assert!(found.len() == 1 && ids(&found[0][1]).contains(&json!(776)), "{found:?}");
    assert_eq!(beads.iter().map(|bead| ids(&bead[1]).len()).sum::<usize>(), 2000);
    let turned = run(&many, "mot 777 mot.", &params).expect("an answer");
    let found: Vec<&Value> = turned.beads().iter().filter(|bead| bead[1] == json!([0])).collect();
    assert!(found.len() == 1 && ids(&found[0][0]).contains(&json!(776)), "{found:?}");
}

#[test]
fn a_sentence_of_a_hundred_kilobytes_is_cut_for_comparing_only() {
    let long = format!("Satz 5 {}", "wort ".repeat(20_000));
    let params = json!({ "is_split": true, "src_lang": "de", "tgt_lang": "fr" });
    let answered = run(&format!("{long}\nSatz 6"), "mot 5\nmot 6", &params).expect("an answer");
    assert_eq!(answered.metadata["warnings"][0]["code"], "sentence_cut");
    let file: Value = serde_json::from_str(&answered.file("result.json")).expect("JSON");
    assert_eq!(file["src_sents"][0].as_str(), Some(long.trim()));
}

#[test]
fn bytes_that_are_no_text_are_refused_by_their_side() {
    let refuse = |source: &[u8], target: &[u8]| {
        run_with(Arc::new(Numbers), (source, target), &json!({}), Cancel::default())
    };
    assert_refused(refuse(b"a\xff", b"b"), "text_not_utf8", SOURCE);
    assert_refused(refuse(b"a", b"b\0c"), "text_has_nul", TARGET);
    let large = vec![b'a'; TEXT_BYTES_MAX + 1];
    assert_refused(refuse(b"a", &large), "text_too_large", TARGET);
}

#[test]
fn parameters_out_of_range_are_refused_by_name() {
    for (params, field) in [
        (json!({"max_align": 1}), "max_align"),
        (json!({"max_align": 11}), "max_align"),
        (json!({"top_k": 0}), "top_k"),
        (json!({"win": 101}), "win"),
        (json!({"skip": -1.5}), "skip"),
        (json!({"src_lang": "german"}), "src_lang"),
        (json!({"tgt_lang": ""}), "tgt_lang"),
        (json!({"outputs": ["json", "json"]}), "outputs"),
        (json!({"sentences_max": 0}), "sentences_max"),
    ] {
        assert_refused(run("a", "b", &params), "params_out_of_range", field);
    }
    assert_refused(run("a", "b", &json!({"encoder": "gpt"})), "params_invalid", "encoder");
    let few = json!({ "sentences_max": 2, "is_split": true });
    assert_refused(run("a\nb", "a\nb\nc", &few), "sentences_too_many", TARGET);
}

#[test]
fn a_language_that_nobody_was_made_for_is_a_warning() {
    let params = json!({ "src_lang": "cy", "tgt_lang": "fr" });
    let answered = run("Un 1. Dau 2.", "Un 1. Deux 2.", &params).expect("an answer");
    assert_eq!(answered.metadata["result"], json!([[[0], [0]], [[1], [1]]]));
    let codes: Vec<&Value> = answered.metadata["warnings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|warning| {
            assert_eq!(warning["side"], "source");
            &warning["code"]
        })
        .collect();
    assert_eq!(codes, ["language_unsupported", "language_not_encoded"]);
}

#[test]
fn a_cancelled_run_stops_while_it_encodes() {
    let cancel = Cancel::default();
    cancel.set(Cause::Caller);
    let stopped = run_with(Arc::new(Numbers), (b"a", b"b"), &json!({}), cancel);
    assert!(matches!(stopped, Err(RunError::Canceled(_))));
}

#[test]
fn missing_weights_are_named_with_the_command_that_fetches_them() {
    let texts: (&[u8], &[u8]) = (b"a", b"b");
    let params = json!({ "encoder": "labse" });
    let Err(RunError::Unavailable(fault)) =
        run_with(Arc::new(Installed::new(&Models::default())), texts, &params, Cancel::default())
    else {
        panic!("nothing was missing");
    };
    assert_eq!(fault.code, "weights_missing");
    assert!(fault.detail.contains("postern pull labse"), "{}", fault.detail);
    let manifest = Align::new(Arc::new(Installed::new(&Models::default()))).manifest();
    assert!(!manifest.ready && manifest.missing.contains("postern pull usem3"));
}

#[test]
fn memory_needed_grows_with_the_texts_and_has_an_end() {
    let input = |bytes| Input {
        slot: SOURCE.to_owned(),
        path: Path::new("/").to_owned(),
        media_type: String::new(),
        bytes,
    };
    let need = |bytes| {
        let call = Call { params: String::new(), inputs: vec![input(bytes), input(bytes)] };
        Align::new(Arc::new(Numbers)).need(&call).memory_cpu_bytes
    };
    assert!(need(100) < need(10_000) && need(10_000) < need(100_000));
    assert_eq!(need(1 << 20), need(u64::MAX / 4));
    assert!(need(u64::MAX / 4) < 2 << 30);
}
