//! Weights that are small enough to be checked in, as `postern pull` would have left them.
//!
//! Knows where goldens lie and what the sidecar looks for; the numbers are random, so what comes of
//! them is no picture of anything.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// The network of `sharp` with small sizes: a run takes a second on a CPU.
///
/// # Panics
/// When the goldens are not there.
pub fn sharp(folder: &Path) {
    let golden =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens/sharp/11_e2e_grid2_no_overlap");
    let golden = Path::new(golden);
    let folder = folder.join("sharp");
    fs::create_dir_all(&folder).expect("a folder");
    let case = fs::read(golden.join("case.json")).expect("it is checked in");
    let case: Value = serde_json::from_slice(&case).expect("JSON");
    fs::write(folder.join("config.json"), case["config"].to_string()).expect("sizes");
    let weights = folder.join("sharp_2572gikvuh.pt");
    fs::copy(golden.join("weights.safetensors"), weights).expect("weights");
}

/// Numbers in a token's row of [`align`]'s network.
const WIDTH: usize = 64;
/// Signs that its tokeniser knows, each also within a word.
const SIGNS: &str = "abcdefghijklmnopqrstuvwxyz0123456789.,!?";

/// The network of `labse` with small sizes, and no `usem3`: requests have to choose `labse`. Its
/// results are those of random numbers.
///
/// # Panics
/// When the folder cannot be written.
pub fn align(folder: &Path) {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    };
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map(str::to_owned).into_iter();
    let signs = SIGNS.chars().flat_map(|sign| [sign.to_string(), format!("##{sign}")]);
    let words: Map<String, Value> =
        special.chain(signs).zip(0..).map(|(word, id)| (word, json!(id))).collect();
    let config = json!({
        "vocab_size": words.len(), "hidden_size": WIDTH, "num_hidden_layers": 1,
        "num_attention_heads": 4, "intermediate_size": WIDTH, "max_position_embeddings": 256,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu"
    });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": null, "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": words
        }
    });
    write("labse/config.json", config.to_string().as_bytes());
    write("labse/tokenizer.json", tokenizer.to_string().as_bytes());
    let mut network = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![words.len(), WIDTH]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![256, WIDTH]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, WIDTH]),
    ];
    let mut layer = |name: &str, shape: &[usize]| {
        network.push((format!("{name}.weight"), shape.to_vec()));
        network.push((format!("{name}.bias"), vec![WIDTH]));
    };
    layer("embeddings.LayerNorm", &[WIDTH]);
    for name in ["attention.self.query", "attention.self.key", "attention.self.value"]
        .into_iter()
        .chain(["attention.output.dense", "intermediate.dense", "output.dense"])
    {
        layer(&format!("encoder.layer.0.{name}"), &[WIDTH, WIDTH]);
    }
    layer("encoder.layer.0.attention.output.LayerNorm", &[WIDTH]);
    layer("encoder.layer.0.output.LayerNorm", &[WIDTH]);
    write("labse/model.safetensors", &safetensors(&network));
    let dense = [("linear.weight".into(), vec![WIDTH, WIDTH]), ("linear.bias".into(), vec![WIDTH])];
    write("labse/dense.safetensors", &safetensors(&dense));
}

/// A file of random tensors of these shapes: the length of a header of JSON, the header, `f32`s.
fn safetensors(tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
    let (mut header, mut numbers, mut seed) = (Map::new(), Vec::<u8>::new(), 1u64);
    for (name, shape) in tensors {
        let begin = numbers.len();
        for _ in 0..shape.iter().product() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            // The sign and 15 more bits: -1 to 1.
            let number = f32::from((seed >> 48) as i16) / 32_768.0;
            numbers.extend(number.to_le_bytes());
        }
        let offsets = [begin, numbers.len()];
        let tensor = json!({"dtype": "F32", "shape": shape, "data_offsets": offsets});
        header.insert(name.clone(), tensor);
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &numbers].concat()
}
