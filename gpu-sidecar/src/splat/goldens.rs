//! Goldens of the reference, for tests: tensors by name, and the rule by which each is compared.

use std::collections::HashMap;
use std::path::PathBuf;

use safetensors::SafeTensors;
use serde_json::Value;

pub(crate) struct Goldens {
    folder: PathBuf,
    case: Value,
    bytes: Vec<u8>,
}

impl Goldens {
    pub(crate) fn open(case: &str) -> Self {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens/sharp");
        let folder = PathBuf::from(root).join(case);
        let text = std::fs::read(folder.join("case.json")).unwrap();
        let bytes = std::fs::read(folder.join("io.safetensors")).unwrap();
        Self { folder, case: serde_json::from_slice(&text).unwrap(), bytes }
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(name)).unwrap()
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        self.case["config"][key].as_f64().unwrap()
    }

    pub(crate) fn f32(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = tensors.tensor(name).unwrap().data().to_vec();
        data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }

    pub(crate) fn rows<const N: usize>(&self, name: &str) -> Vec<[f32; N]> {
        self.f32(name).as_chunks().0.to_vec()
    }

    /// The cloud that is the input of a case.
    pub(crate) fn cloud(&self) -> super::Gaussians {
        super::Gaussians {
            means: self.rows("input.mean_vectors"),
            scales: self.rows("input.singular_values"),
            rotations: self.rows("input.quaternions"),
            colors: self.rows("input.colors"),
            opacities: self.f32("input.opacities"),
        }
    }

    /// Compares by the case's own rule: `elementwise`, or by the norm of each row.
    #[track_caller]
    pub(crate) fn check(&self, name: &str, got: &[f32]) {
        let entry = &self.case["tensors"][name];
        let want = self.f32(name);
        assert_eq!(got.len(), want.len(), "{name}");
        let number = |key: &str| entry[key].as_f64().unwrap();
        let compare: HashMap<&str, usize> = HashMap::from([("elementwise", 1), ("row_norm", 3)]);
        let row = compare[entry["compare"].as_str().unwrap()];
        if row == 1 {
            for (index, (&got, &want)) in got.iter().zip(&want).enumerate() {
                let most = number("atol") + number("rtol") * f64::from(want).abs();
                let fits = got == want || f64::from(got - want).abs() <= most;
                assert!(fits, "{name}[{index}]: got {got}, want {want}");
            }
            return;
        }
        let shape = entry["shape"].as_array().unwrap();
        let row = if shape.len() == 4 { 9 } else { row };
        let norm = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let largest = want.chunks(row).map(norm).fold(0.0, f64::max);
        for (index, (got, want)) in got.chunks(row).zip(want.chunks(row)).enumerate() {
            let off: Vec<f32> = got.iter().zip(want).map(|(got, want)| got - want).collect();
            let most = number("rtol") * norm(want).max(1e-6 * largest);
            assert!(norm(&off) <= most, "{name}[{index}]: got {got:?}, want {want:?}");
        }
    }
}
