//! What is written for a key frame: its pictures, its defects, its flow.
//!
//! Owns the files of one key frame. They are computed anew from the frame when it has been chosen,
//! so that a clip's other frames cost neither the work nor the memory.

use std::io;

use image::ExtendedColorType;

use super::analysis::{Picture, refusal};
use super::defects;
use super::flow_files;
use super::heatmap::heatmap;
use super::outputs::{BYTES, JSON, Output, PNG};
use super::params::Params;
use super::report::{Artifacts, DefectSummary};
use crate::media::{Frame, write_png};
use crate::pipeline::{RunContext, RunError};
use crate::vision::VisionError;
use crate::vision::canny::canny;
use crate::vision::farneback::{Expansion, flow_between};
use crate::vision::gray::gray_from_rgb;
use crate::vision::morphology::morphology;
use crate::vision::plane::Plane;

/// One key frame's files in the making.
pub(super) struct Writer<'a> {
    pub(super) number: usize,
    pub(super) params: &'a Params,
    pub(super) run: &'a mut RunContext,
}

impl Writer<'_> {
    /// Writes what was asked for.
    pub(super) fn write(
        &mut self,
        picture: &Picture,
    ) -> Result<(Artifacts, Option<DefectSummary>), RunError> {
        let mut artifacts = Artifacts::default();
        if self.params.wants(Output::KeyFrames) {
            artifacts.frame = Some(self.color("key_frame", &picture.frame)?);
        }
        let gray = gray_from_rgb(&picture.frame);
        self.edges(&gray, &mut artifacts)?;
        if self.params.wants(Output::Heatmap) {
            let map = heatmap(&gray, self.params.heatmap.window);
            artifacts.heatmap = Some(self.color("heatmap", &map)?);
        }
        let defects = self.defects(&gray, &mut artifacts)?;
        if let Some(before) = &picture.before {
            self.flow(before, &gray, &mut artifacts)?;
        }
        Ok((artifacts, defects))
    }

    fn edges(&mut self, gray: &Plane<u8>, artifacts: &mut Artifacts) -> Result<(), RunError> {
        let (edges_wanted, mask_wanted) =
            (self.params.wants(Output::Edges), self.params.wants(Output::Masks));
        if !(edges_wanted || mask_wanted) {
            return Ok(());
        }
        let edges = canny(gray, &self.params.canny).map_err(internal)?;
        if edges_wanted {
            artifacts.edges = Some(self.gray("edges", &edges)?);
        }
        if mask_wanted {
            let mask = morphology(&edges, &self.params.mask()).map_err(internal)?;
            artifacts.mask = Some(self.gray("mask", &mask)?);
        }
        Ok(())
    }

    fn defects(
        &mut self,
        gray: &Plane<u8>,
        artifacts: &mut Artifacts,
    ) -> Result<Option<DefectSummary>, RunError> {
        if !self.params.wants(Output::Defects) {
            return Ok(None);
        }
        let params = self.params;
        let (report, mask) = defects::find(gray, &params.defects).map_err(internal)?;
        let name = format!("defects_{}.json", self.number);
        self.run.output(&name, JSON, |file| {
            serde_json::to_writer(file, &report).map_err(io::Error::from)
        })?;
        artifacts.defects = Some(name);
        artifacts.defect_mask = Some(self.gray("defect_mask", &mask)?);
        Ok(Some(DefectSummary { count: report.regions_total, area_share: report.area_share }))
    }

    fn flow(
        &mut self,
        before: &Frame,
        gray: &Plane<u8>,
        artifacts: &mut Artifacts,
    ) -> Result<(), RunError> {
        let [flo, tensor, png] = [Output::FlowFlo, Output::FlowSafetensors, Output::FlowPng]
            .map(|output| self.params.wants(output));
        if !(flo || tensor || png) {
            return Ok(());
        }
        let params = self.params.flow();
        let expand = |gray: &Plane<u8>| Expansion::of(gray, &params).map_err(internal);
        let (before, now) = (expand(&gray_from_rgb(before))?, expand(gray)?);
        let flow = flow_between(&before, &now, &params, None).map_err(internal)?;
        drop((before, now));
        if flo {
            let name = format!("flow_{}.flo", self.number);
            self.run.output(&name, BYTES, |file| flow_files::write_flo(file, &flow))?;
            artifacts.flow_flo = Some(name);
        }
        if tensor {
            let name = format!("flow_{}.safetensors", self.number);
            self.run.output(&name, BYTES, |file| flow_files::write_safetensors(file, &flow))?;
            artifacts.flow_safetensors = Some(name);
        }
        if png {
            artifacts.flow_png = Some(self.color("flow", &flow_files::picture(&flow))?);
        }
        Ok(())
    }

    fn color(&mut self, kind: &str, frame: &Frame) -> Result<String, RunError> {
        let samples = frame.data().as_flattened();
        self.png(kind, samples, (frame.size(), ExtendedColorType::Rgb8))
    }

    fn gray(&mut self, kind: &str, plane: &Plane<u8>) -> Result<String, RunError> {
        self.png(kind, plane.data(), (plane.size(), ExtendedColorType::L8))
    }

    fn png(
        &mut self,
        kind: &str,
        samples: &[u8],
        (size, color): ((usize, usize), ExtendedColorType),
    ) -> Result<String, RunError> {
        let name = format!("{kind}_{}.png", self.number);
        self.run.output(&name, PNG, |file| write_png(file, samples, size, color))?;
        Ok(name)
    }
}

/// The frame has been analysed before: a kernel that refuses it now is a fault of ours.
fn internal(error: VisionError) -> RunError {
    refusal(&error, "")
}
