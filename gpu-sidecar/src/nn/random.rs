//! Parameters made from a seed: for timing a network whose weights are not here.
//!
//! Owns the numbers, which depend on the seed, the name and the index alone, so that another
//! program can make the same ones. They keep a signal's size through any depth, roughly.

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

use super::Parameters;

/// Parameters of any network.
#[derive(Debug, Clone)]
pub struct RandomParameters {
    seed: u64,
    device: Device,
    dtype: DType,
    values: u64,
    bytes: u64,
}

impl RandomParameters {
    /// Tensors of f32 on `device`.
    #[must_use]
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { seed, device: device.clone(), dtype: DType::F32, values: 0, bytes: 0 }
    }

    /// The same numbers, rounded to `dtype` unless the model wants them exact.
    #[must_use]
    pub fn of(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }

    /// What they take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many values were handed out.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.values
    }
}

impl Parameters for RandomParameters {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.make(name, shape, self.dtype)
    }

    fn take_exact(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.make(name, shape, DType::F32)
    }
}

impl RandomParameters {
    fn make(&mut self, name: &str, shape: &[usize], dtype: DType) -> Result<Tensor> {
        let count = shape.iter().product::<usize>();
        self.values += count as u64;
        self.bytes += (count * dtype.size_in_bytes()) as u64;
        let key = key(self.seed, name);
        // One number per channel: around 1 for factors, small for biases. Else by the fan-in.
        let (middle, spread) = match shape {
            [_] if name.ends_with("weight") || name.ends_with("gamma") => (1.0, 0.1),
            [_] => (0.0, 0.1),
            [_, rest @ ..] => (0.0, (3.0 / rest.iter().product::<usize>() as f32).sqrt()),
            [] => (0.0, 1.0),
        };
        let mut values = vec![0f32; count];
        values.par_iter_mut().with_min_len(1 << 16).enumerate().for_each(|(index, value)| {
            *value = middle + spread * (2.0 * unit(key, index as u64) - 1.0);
        });
        Tensor::from_vec(values, shape, &self.device)?.to_dtype(dtype)
    }
}

/// FNV-1a of the name, from the seed on.
fn key(seed: u64, name: &str) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    name.bytes().fold(OFFSET ^ seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// A number in 0 to 1, from the upper 24 bits of `SplitMix64` (Steele et al. 2014).
fn unit(key: u64, index: u64) -> f32 {
    let mut z = key.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / 16_777_216.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_depends_on_seed_and_name_and_not_on_the_order() -> Result<()> {
        let take = |seed, names: [&str; 2]| -> Result<Vec<f32>> {
            let mut source = RandomParameters::new(seed, &Device::Cpu);
            source.take(names[0], &[3, 50])?;
            source.take(names[1], &[4, 100])?.flatten_all()?.to_vec1()
        };
        let first = take(1, ["a", "b.weight"])?;
        assert_eq!(first, take(1, ["c", "b.weight"])?);
        assert_ne!(first, take(2, ["a", "b.weight"])?);
        let bound = (3f32 / 100.0).sqrt();
        assert!(first.iter().all(|value| value.abs() <= bound));
        let variance = first.iter().map(|v| v * v).sum::<f32>() / 400.0;
        assert!((variance * 100.0 - 1.0).abs() < 0.2, "variance {variance}");
        Ok(())
    }
}
