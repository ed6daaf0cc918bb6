//! Frames on a GPU: the figures of a chunk from a session of the CUDA kernels.
//!
//! Owns this process's one opened GPU and the translation of its faults. `gpu_none.rs` is its twin
//! for builds without the feature `cuda`. Always: a figure is the CPU's, as the manifest's
//! agreement says. A frame that does not fit into the device's memory goes to the CPU.

use std::sync::OnceLock;

use super::analysis::{Figures, WithEdges, refusal};
use super::params::Params;
use super::source::Sampled;
use crate::device::{Device, DeviceKind};
use crate::media::Frame;
use crate::pipeline::RunError;
use crate::vision::cuda::{CudaError, GpuVision, Session, SessionOptions, Want};

/// The GPU of a run.
#[derive(Debug, Clone)]
pub(super) struct Gpu(GpuVision);

/// One clip's frames.
pub(super) struct Clip(Session);

/// The GPU, if this process works on one. Its kernels are loaded once, by the first run.
///
/// # Errors
/// `Device`: the kernels cannot be loaded.
pub(super) fn find(device: &Device) -> Result<Option<Gpu>, RunError> {
    static OPENED: OnceLock<Result<GpuVision, CudaError>> = OnceLock::new();
    match device.kind {
        DeviceKind::Cpu => Ok(None),
        DeviceKind::Cuda => match OPENED.get_or_init(GpuVision::open) {
            Ok(gpu) => Ok(Some(Gpu(gpu.clone()))),
            Err(error) => Err(RunError::device("gpu_failed", error)),
        },
    }
}

impl Gpu {
    /// Memory for frames of one size; `None` when the device has not enough of it.
    ///
    /// # Errors
    /// Of the first frame, which `field` names, or of the device.
    pub(super) fn clip(
        &self,
        params: &Params,
        (width, height): (usize, usize),
        field: &str,
    ) -> Result<Option<Clip>, RunError> {
        let (flow, canny) = (params.flow(), params.canny.clone());
        match self.0.session(&SessionOptions { width, height, flow, canny }) {
            Ok(session) => Ok(Some(Clip(session))),
            Err(error @ (CudaError::OutOfMemory { .. } | CudaError::TooLarge { .. })) => {
                tracing::warn!(%error, "frames go to the CPU");
                Ok(None)
            }
            Err(error) => Err(fault(&error, field)),
        }
    }
}

impl Clip {
    /// The figures of the next frames, and their edges where `edges` asks for them.
    ///
    /// # Errors
    /// A frame of another size; of the device.
    pub(super) fn figures(
        &mut self,
        frames: &[Sampled],
        edges: bool,
    ) -> Result<Vec<WithEdges>, RunError> {
        let Some(first) = frames.first() else { return Ok(Vec::new()) };
        let odd = |sampled: &&Sampled| sampled.frame.size() != first.frame.size();
        let field = &frames.iter().find(odd).unwrap_or(first).field;
        let planes: Vec<&Frame> = frames.iter().map(|sampled| &*sampled.frame).collect();
        let want = Want { edges, ..Want::default() };
        let analysed = self.0.analyse(&planes, want).map_err(|error| fault(&error, field))?;
        let pixels = first.frame.data().len() as f64;
        let figures = analysed.into_iter().map(|one| {
            let (motion, sharpness) = (one.motion, one.sharpness);
            let edge_density = one.edge_pixels as f64 / pixels;
            (Figures { motion, edge_density, sharpness }, one.edges)
        });
        Ok(figures.collect())
    }
}

fn fault(error: &CudaError, field: &str) -> RunError {
    match error {
        CudaError::Refused(error) => refusal(error, field),
        CudaError::OutOfMemory { .. } => RunError::resource("gpu_memory_short", error),
        other => RunError::device("gpu_failed", other),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::analysis::Analyst;
    use super::super::stream::Chunk;
    use super::*;
    use crate::pipeline::Cancel;
    use crate::vision::cuda::Pace;
    use crate::vision::plane::Plane;

    /// A disc of texture that moves by (2, 1) pixels a frame.
    fn frame(index: usize) -> Frame {
        let (width, height) = (64, 48);
        let pixels = (0..width * height).map(|at| {
            let (x, y) = (at % width, at / width);
            let (u, v) = (x + 64 - 2 * index, y + 64 - index);
            let texture = ((u * 37 + v * 101) ^ (u * v)) % 97;
            let inside = (u as i64 - 90).pow(2) + (v as i64 - 85).pow(2) < 300;
            let value = if inside { 90 + texture } else { 40 + (u / 7 + v / 5) % 30 };
            [value as u8, (value / 2) as u8, (255 - value) as u8]
        });
        Plane::new(width, height, pixels.collect()).expect("the size fits")
    }

    fn chunks() -> Vec<Chunk> {
        let frames: Vec<Arc<Frame>> = (0..7).map(|index| Arc::new(frame(index))).collect();
        let chunk = |range: std::ops::Range<usize>| Chunk {
            first_index: range.start as u64,
            before: range.start.checked_sub(1).map(|before| frames[before].clone()),
            frames: range
                .map(|index| Sampled {
                    frame: frames[index].clone(),
                    field: format!("frame[{index}]"),
                })
                .collect(),
        };
        vec![chunk(0..3), chunk(3..6), chunk(6..7)]
    }

    fn figures(gpu: Option<&Gpu>) -> Vec<Figures> {
        let mut analyst = Analyst::new(&Params::default(), 1, gpu.cloned());
        let analyse = |chunk| analyst.analyse(chunk, &Cancel::default()).expect("good frames");
        chunks().into_iter().flat_map(analyse).map(|one| one.figures).collect()
    }

    #[test]
    fn a_clip_has_the_figures_of_the_cpu() {
        let gpu = Gpu(GpuVision::emulated(Pace::Lazy, 1 << 30));
        let (got, want) = (figures(Some(&gpu)), figures(None));
        assert_eq!(got.len(), want.len());
        for (index, (got, want)) in got.iter().zip(&want).enumerate() {
            assert_eq!(got.edge_density, want.edge_density, "frame {index}");
            assert_eq!(got.sharpness, want.sharpness, "frame {index}");
            let (got, want) = (got.motion, want.motion);
            assert_eq!(got.is_some(), want.is_some(), "frame {index}");
            assert_eq!(got.is_some(), index > 0, "frame {index}");
            if let (Some(got), Some(want)) = (got, want) {
                assert!(want.mean_px > 0.1, "the clip moves");
                assert!(
                    (got.mean_px - want.mean_px).abs() < 1e-3,
                    "frame {index}: {got:?} {want:?}"
                );
            }
        }
    }

    #[test]
    fn a_gpu_without_room_leaves_the_clip_to_the_cpu() {
        let small = Gpu(GpuVision::emulated(Pace::Lazy, 1 << 12));
        assert_eq!(figures(Some(&small)), figures(None));
    }

    #[test]
    fn a_frame_of_another_size_is_named() {
        let gpu = Gpu(GpuVision::emulated(Pace::Lazy, 1 << 30));
        let mut analyst = Analyst::new(&Params::default(), 1, Some(gpu));
        let mut chunk = chunks().remove(0);
        let odd = Plane::new(32, 32, vec![[0; 3]; 1024]).expect("the size fits");
        chunk.frames[1].frame = Arc::new(odd);
        match analyst.analyse(chunk, &Cancel::default()).map(|_| ()) {
            Err(RunError::Input { fault, field }) => {
                assert_eq!((fault.code, field.as_str()), ("frame_size_differs", "frame[1]"));
            }
            other => panic!("{other:?}"),
        }
    }
}
