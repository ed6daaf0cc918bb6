//! What is done to a tile of a product before it is stored.
//!
//! Owns the order: bias, activation, scale; what is added comes as the values are stored. Works on
//! whole tiles in the nearest cache; what a tile has too much is computed, too, and dropped.

use std::mem::MaybeUninit;

use super::Activation;
use super::gemm::{COLUMNS, ROWS};
use super::math;
use crate::vision::simd::{Isa, per_isa};

/// 8 rows of 48 columns.
pub(super) type Tile = [f32; ROWS * COLUMNS];

/// The bias and scale of a tile whose columns are channels.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    bias: [f32; COLUMNS],
    scale: [f32; COLUMNS],
}

impl Channels {
    /// Of the channels from `first` on, 48 at most.
    pub(super) fn new(bias: Option<&[f32]>, scale: Option<&[f32]>, first: usize) -> Self {
        let mut channels = Self { bias: [0.0; COLUMNS], scale: [1.0; COLUMNS] };
        for (to, from) in [(&mut channels.bias, bias), (&mut channels.scale, scale)] {
            if let Some(from) = from {
                let from = &from[first..from.len().min(first + COLUMNS)];
                to[..from.len()].copy_from_slice(from);
            }
        }
        channels
    }
}

/// Finishes a tile whose columns are channels.
pub(super) fn columns(isa: Isa, tile: &mut Tile, channels: &Channels, activation: Activation) {
    match activation {
        Activation::None => plain_columns(isa, tile, channels),
        Activation::Relu => relu_columns(isa, tile, channels),
        Activation::Gelu => gelu_columns(isa, tile, channels),
    }
}

/// Finishes a tile whose rows are channels.
pub(super) fn rows(isa: Isa, tile: &mut Tile, bias: &[f32; ROWS], relu: bool) {
    if relu { relu_rows(isa, tile, bias) } else { plain_rows(isa, tile, bias) }
}

per_isa! { fn plain_columns = plain_columns_body(tile: &mut Tile, channels: &Channels) }
per_isa! { fn relu_columns = relu_columns_body(tile: &mut Tile, channels: &Channels) }
per_isa! { fn gelu_columns = gelu_columns_body(tile: &mut Tile, channels: &Channels) }
per_isa! { fn plain_rows = plain_rows_body(tile: &mut Tile, bias: &[f32; ROWS]) }
per_isa! { fn relu_rows = relu_rows_body(tile: &mut Tile, bias: &[f32; ROWS]) }

#[inline(always)]
fn plain_columns_body<const FMA: bool>(tile: &mut Tile, channels: &Channels) {
    each_column(tile, channels, |value| value);
}

#[inline(always)]
fn relu_columns_body<const FMA: bool>(tile: &mut Tile, channels: &Channels) {
    each_column(tile, channels, math::relu);
}

#[inline(always)]
fn gelu_columns_body<const FMA: bool>(tile: &mut Tile, channels: &Channels) {
    each_column(tile, channels, math::gelu::<FMA>);
}

#[inline(always)]
fn each_column(tile: &mut Tile, channels: &Channels, activation: impl Fn(f32) -> f32) {
    for row in tile.as_chunks_mut::<COLUMNS>().0 {
        for ((value, bias), scale) in row.iter_mut().zip(&channels.bias).zip(&channels.scale) {
            *value = activation(*value + bias) * scale;
        }
    }
}

#[inline(always)]
fn plain_rows_body<const FMA: bool>(tile: &mut Tile, bias: &[f32; ROWS]) {
    each_row(tile, bias, |value| value);
}

#[inline(always)]
fn relu_rows_body<const FMA: bool>(tile: &mut Tile, bias: &[f32; ROWS]) {
    each_row(tile, bias, math::relu);
}

#[inline(always)]
fn each_row(tile: &mut Tile, bias: &[f32; ROWS], activation: impl Fn(f32) -> f32) {
    for (row, bias) in tile.as_chunks_mut::<COLUMNS>().0.iter_mut().zip(bias) {
        for value in row {
            *value = activation(*value + bias);
        }
    }
}

/// Stores `values`, with what is added to them.
pub(super) fn store(to: &mut [MaybeUninit<f32>], values: &[f32], add: [Option<&[f32]>; 2]) {
    match add {
        [None, None] => {
            to.write_copy_of_slice(values);
        }
        [Some(add), None] | [None, Some(add)] => {
            for ((to, value), add) in to.iter_mut().zip(values).zip(add) {
                to.write(value + add);
            }
        }
        [Some(first), Some(second)] => {
            for (((to, value), a), b) in to.iter_mut().zip(values).zip(first).zip(second) {
                to.write(value + a + b);
            }
        }
    }
}
