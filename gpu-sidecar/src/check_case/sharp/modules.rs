//! The network's modules, one at a time.

use candle_core::{Device, Tensor};

use super::tensors::{GoldenProbe, compare, input, load};
use crate::check_case::golden::Golden;
use crate::check_case::{Case, CheckError};
use crate::nn::Scope;
use crate::sharp::Config;
use crate::sharp::alignment::Alignment;
use crate::sharp::config::LEVELS;
use crate::sharp::decoder::Decoder;
use crate::sharp::encoder::Encoder;
use crate::sharp::feature_model::FeatureModel;
use crate::sharp::head::DisparityHead;
use crate::sharp::probe::{Pace, Stage};
use crate::sharp::pyramid::{half, merge, quarter, split};
use crate::sharp::vit::Vit;
use crate::weights::Placement;

const WEIGHTS: &str = "weights.safetensors";

/// Of the unit for a feature that the coarsest level has not.
fn is_coarsest_lateral(name: &str) -> bool {
    name.contains("fusions.4.resnet1.")
}

/// The maps that a decoder reads, in the type that an encoder would give them.
fn maps(golden: &Golden, place: Placement<'_>) -> Result<[Tensor; LEVELS], CheckError> {
    let map = |level| {
        let map = input(golden, &format!("input.enc{level}"), place.device)?;
        map.to_dtype(place.dtype).map_err(|e| golden.refused(e))
    };
    let maps: Vec<Tensor> = (0..LEVELS).map(map).collect::<Result<_, _>>()?;
    Ok(maps.try_into().expect("as many as were asked for"))
}

pub(super) fn vit(mut golden: Golden, place: Placement<'_>) -> Result<Case, CheckError> {
    let config: Config = golden.config()?;
    let image = input(&golden, "input.image", place.device)?;
    let is_classifier = |name: &str| name.starts_with("head.");
    let vit = load(&golden, WEIGHTS, place, is_classifier, |parameters| {
        Vit::load(Scope::root(parameters), &config.vit)
    })?;
    let (hooks, pace) = (&config.vit.hook_ids, Pace::whole(Stage::PatchEncoder));
    let output = vit.forward(&image, hooks, pace, &mut GoldenProbe(&mut golden));
    let output = output.map_err(|e| golden.refused(e))?;
    compare(&mut golden, "out.feature_map", &output.features)?;
    Ok(golden.finish())
}

pub(super) fn split_merge(mut golden: Golden, device: &Device) -> Result<Case, CheckError> {
    let (side, batch) = (golden.number("patch_size")? as usize, golden.number("batch")? as usize);
    let x0 = input(&golden, "input.image", device)?;
    let tokens =
        |golden: &Golden, name: &str| input(golden, &format!("input.tokens_{name}"), device);
    let names = ["x0", "x1", "4x4", "2x2"];
    let [t0, t1, t4, t2] = names.map(|name| tokens(&golden, name));
    let computed = || {
        let (x1, x2) = (half(&x0)?, quarter(&x0)?);
        candle_core::Result::Ok([
            ("split.x0_overlap0.25", split(&x0, side, side * 3 / 4)?),
            ("split.x1_overlap0.5", split(&x1, side, side / 2)?),
            ("split.x0_no_overlap", split(&x0, side, side)?),
            ("split.x1_no_overlap", split(&x1, side, side)?),
            ("pyramid.x1", x1),
            ("pyramid.x2", x2),
        ])
    };
    let computed = computed().map_err(|e| golden.refused(e))?;
    for (name, value) in &computed {
        compare(&mut golden, name, value)?;
    }
    let merged = [
        ("merge.x0_pad3", t0?, 3),
        ("merge.x1_pad6", t1?, 6),
        ("merge.4x4_pad0", t4?, 0),
        ("merge.2x2_pad0", t2?, 0),
    ];
    for (name, tokens, padding) in merged {
        let value = merge(&tokens, batch, padding).map_err(|e| golden.refused(e))?;
        compare(&mut golden, name, &value)?;
    }
    Ok(golden.finish())
}

pub(super) fn encoder(mut golden: Golden, place: Placement<'_>) -> Result<Case, CheckError> {
    let config: Config = golden.config()?;
    let image = input(&golden, "input.image", place.device)?;
    let is_classifier = |name: &str| name.contains("_encoder.head.");
    let encoder = load(&golden, WEIGHTS, place, is_classifier, |parameters| {
        Encoder::load(Scope::root(parameters), &config)
    })?;
    let maps = encoder.forward(&image, &mut GoldenProbe(&mut golden));
    maps.map_err(|e| golden.refused(e))?;
    Ok(golden.finish())
}

pub(super) fn monodepth(mut golden: Golden, place: Placement<'_>) -> Result<Case, CheckError> {
    let config: Config = golden.config()?;
    let channels = config.monodepth_dims_decoder[0];
    let maps = maps(&golden, place)?;
    let (decoder, head) = load(&golden, WEIGHTS, place, is_coarsest_lateral, |parameters| {
        let mut root = Scope::root(parameters);
        let decoder = Decoder::load(root.at("decoder"), &config.dims_encoder, channels)?;
        let head = DisparityHead::load(root.at("head"), channels, config.head_last_dims[0])?;
        Ok((decoder, head))
    })?;
    let mut run = || {
        let mut probe = GoldenProbe(&mut golden);
        let map = decoder.forward(&maps, "mono.dec", &mut probe)?;
        head.forward(&map, &mut probe)
    };
    let disparity = run().map_err(|e: candle_core::Error| golden.refused(e))?;
    compare(&mut golden, "out.disparity", &disparity)?;
    Ok(golden.finish())
}

pub(super) fn feature_model(mut golden: Golden, place: Placement<'_>) -> Result<Case, CheckError> {
    let config: Config = golden.config()?;
    let maps = maps(&golden, place)?;
    let feature_input = input(&golden, "input.feature_input", place.device)?;
    let model = load(&golden, WEIGHTS, place, is_coarsest_lateral, |parameters| {
        FeatureModel::load(&mut Scope::root(parameters), &config)
    })?;
    let deltas = model.forward(&feature_input, &maps, &mut GoldenProbe(&mut golden));
    let deltas = deltas.map_err(|e| golden.refused(e))?;
    compare(&mut golden, "out.delta", &deltas)?;
    Ok(golden.finish())
}

pub(super) fn alignment(mut golden: Golden, place: Placement<'_>) -> Result<Case, CheckError> {
    let number = |key: &str| golden.config["depth_alignment"][key].as_u64();
    let (Some(base), Some(steps)) = (number("base_width"), number("steps")) else {
        return Err(golden.unsupported("config has no sizes of the alignment"));
    };
    let predicted = input(&golden, "input.monodepth", place.device)?;
    let given = input(&golden, "input.depth", place.device)?;
    let alignment = load(
        &golden,
        WEIGHTS,
        place,
        |_| false,
        |parameters| Alignment::load(Scope::root(parameters), base as usize, steps as usize),
    )?;
    let mut run = || {
        let factors = alignment.factors(&predicted, &given, &mut GoldenProbe(&mut golden))?;
        let aligned = predicted.broadcast_mul(&factors)?;
        Ok((factors, aligned))
    };
    let (factors, aligned) = run().map_err(|e: candle_core::Error| golden.refused(e))?;
    compare(&mut golden, "out.alignment_map", &factors)?;
    compare(&mut golden, "out.aligned_monodepth", &aligned)?;
    Ok(golden.finish())
}
