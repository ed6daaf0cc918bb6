//! The picture at three sizes, cut into windows, and windows' maps put together again (SPEC 5.1 to
//! 5.3).
//!
//! Owns the geometry. Knows no network. Always: windows are in rows, and all pictures of a batch
//! stand together for each window.

use candle_core::{Result, Tensor};

/// Halves both sides of `x [batch, channels, side, side]`: means of 2x2 pixels.
///
/// # Errors
/// A side is odd.
pub fn half(x: &Tensor) -> Result<Tensor> {
    x.avg_pool2d(2)
}

/// A quarter of both sides: means of the inner 2x2 of each 4x4 pixels, which is what bilinear
/// sampling without a low-pass gives.
///
/// # Errors
/// A side is no multiple of 4.
pub fn quarter(x: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let blocks = x.reshape(&[batch * channels, height / 4, 4, width / 4, 4][..])?;
    let inner = blocks.narrow(2, 1, 2)?.narrow(4, 1, 2)?;
    (inner.sum((2, 4))? * 0.25)?.reshape((batch, channels, height / 4, width / 4))
}

/// Windows of `side` pixels that begin every `stride` pixels, `[windows · batch, channels, side,
/// side]`.
///
/// # Errors
/// The windows do not end at the picture's edge.
pub fn split(x: &Tensor, side: usize, stride: usize) -> Result<Tensor> {
    let size = x.dim(3)?;
    let count = (size - side).div_ceil(stride) + 1;
    let at = |index: usize| (index / count * stride, index % count * stride);
    let windows = (0..count * count).map(at);
    let windows = windows.map(|(y, x0)| x.narrow(2, y, side)?.narrow(3, x0, side));
    Tensor::cat(&windows.collect::<Result<Vec<_>>>()?, 0)
}

/// The inverse of [`split`] for the windows' maps `[windows · batch, width, grid, grid]`: where two
/// windows meet, each loses `padding` tokens.
///
/// # Errors
/// The number of maps is not a square times `batch`.
pub fn merge(maps: &Tensor, batch: usize, padding: usize) -> Result<Tensor> {
    let (all, _, grid, _) = maps.dims4()?;
    let count = (all / batch.max(1)).isqrt();
    if count * count * batch != all {
        candle_core::bail!("{all} windows of {batch} pictures are no square");
    }
    let kept = |index: usize| {
        let begin = if index == 0 { 0 } else { padding };
        let end = if index + 1 == count { grid } else { grid - padding };
        (begin, end - begin)
    };
    let row = |y: usize| {
        let (top, height) = kept(y);
        let window = |x: usize| {
            let (left, width) = kept(x);
            let map = maps.narrow(0, (y * count + x) * batch, batch)?;
            map.narrow(2, top, height)?.narrow(3, left, width)
        };
        Tensor::cat(&(0..count).map(window).collect::<Result<Vec<_>>>()?, 3)
    };
    Tensor::cat(&(0..count).map(row).collect::<Result<Vec<_>>>()?, 2)
}
