//! Holds the fast forms to the definitions: shapes that fit no block, every instruction set of this
//! processor, any number of threads.

use candle_core::{DType, Device, Result, Tensor};
use proptest::prelude::*;

use super::*;

/// Values in -1 to 1 that depend on the seed only, in f32's whole precision.
fn tensor(seed: u32, shape: &[usize]) -> Tensor {
    let count = shape.iter().product::<usize>();
    let mut state = seed.wrapping_mul(2_654_435_769).wrapping_add(12_345);
    let values = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as i32 as f32 / 2_147_483_648.0
    });
    let values: Vec<f32> = values.skip(8).take(count).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Equal shapes, and values apart by at most what rounding `terms` products of about 1 allows.
#[track_caller]
fn assert_close(name: &str, fast: &Tensor, plain: &Tensor, terms: usize) {
    assert_eq!(fast.dims(), plain.dims(), "{name}");
    let most = 4e-6 + 2e-6 * (terms as f32).sqrt();
    let (fast, plain) = (values(fast), values(plain));
    for (index, (a, b)) in fast.iter().zip(&plain).enumerate() {
        let apart = (a - b).abs();
        assert!(apart <= most, "{name}: {a} and {b} at {index}, {apart} > {most} apart");
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Runs the work on every instruction set and on one, two and three threads: one set's results are
/// equal to the bit, and all are close to the definition's.
fn check(name: &str, plain: &Tensor, terms: usize, fast: impl Fn(Isa) -> Result<Tensor> + Sync) {
    for isa in Isa::available() {
        let results = [1, 2, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fast(isa)).unwrap()
        });
        assert_close(&format!("{name}, {isa:?}"), &results[0], plain, terms);
        for result in &results[1..] {
            assert_eq!(bits(&results[0]), bits(result), "{name}, {isa:?}: threads");
        }
    }
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    values(tensor).into_iter().map(f32::to_bits).collect()
}

fn check_linear([rows, depth, columns]: [usize; 3], activation: Activation, full: bool) {
    let x = tensor(1, &[rows, depth]);
    let (weight, bias) = (tensor(2, &[columns, depth]), tensor(3, &[columns]));
    let (scale, add) = (tensor(4, &[columns]), tensor(5, &[rows, columns]));
    let bias = full.then_some(&bias);
    let after =
        LinearAfter { activation, scale: full.then_some(&scale), add: full.then_some(&add) };
    let plain = plain::linear(&x, &weight, bias, after).unwrap();
    let name = format!("{rows} x {depth} x {columns} {activation:?} {full}");
    check(&name, &plain, depth, |isa| linear::linear(isa, &x, &weight, bias, after));
}

#[test]
fn linear_layers_agree_on_shapes_that_fit_no_block() {
    for shape in [
        [1, 1, 1],
        [7, 3, 5],
        [8, 16, 48],
        [9, 17, 49],
        [33, 127, 95],
        [48, 128, 47],
        [50, 129, 96],
        [50, 300, 96],
        [577, 40, 100],
        [200, 400, 1201],
    ] {
        check_linear(shape, Activation::None, false);
        check_linear(shape, Activation::Relu, true);
        check_linear(shape, Activation::Gelu, true);
    }
}

#[test]
fn linear_layers_keep_leading_axes_and_take_views() {
    let x = tensor(1, &[5, 2, 3, 7]).transpose(0, 2).unwrap();
    let weight = tensor(2, &[7, 11]).t().unwrap();
    let plain = plain::linear(&x.contiguous().unwrap(), &weight, None, LinearAfter::default());
    let fast = linear(&x, &weight, None, LinearAfter::default()).unwrap();
    assert_eq!(fast.dims(), [3, 2, 5, 11]);
    assert_close("views", &fast, &plain.unwrap(), 7);
    let tail = tensor(3, &[9, 7]).narrow(0, 4, 3).unwrap();
    let plain = plain::linear(&tail, &weight, None, LinearAfter::default()).unwrap();
    let fast = linear(&tail, &weight, None, LinearAfter::default()).unwrap();
    assert_close("a tail", &fast, &plain, 7);
}

/// Batch, channels in and out, height, width, kernel, stride, padding.
type Conv = [usize; 8];

fn check_conv(shape: Conv, full: bool) {
    let [batch, channels, out, height, width, kernel, stride, padding] = shape;
    let x = tensor(1, &[batch, channels, height, width]);
    let (weight, bias) = (tensor(2, &[out, channels, kernel, kernel]), tensor(3, &[out]));
    let bias = full.then_some(&bias);
    let simple = ConvOptions { stride, padding, ..Default::default() };
    let shape_out = plain::conv2d(&x, &weight, None, simple).unwrap();
    let (first, second) = (tensor(4, shape_out.dims()), tensor(5, shape_out.dims()));
    let options = ConvOptions {
        relu_input: full,
        relu: full,
        add: if full { [Some(&first), Some(&second)] } else { [None, Some(&second)] },
        ..simple
    };
    let plain = plain::conv2d(&x, &weight, bias, options).unwrap();
    let terms = channels * kernel * kernel;
    check(&format!("{shape:?} {full}"), &plain, terms, |isa| {
        conv::conv2d(isa, &x, &weight, bias, options)
    });
}

#[test]
fn convolutions_agree_on_the_kernels_of_our_models() {
    for shape in [
        [1, 1, 1, 1, 1, 1, 1, 0],
        [2, 5, 9, 13, 11, 3, 1, 1],
        [1, 70, 33, 9, 1, 3, 1, 1],
        [1, 30, 260, 6, 97, 3, 1, 1],
        [2, 3, 7, 5, 150, 3, 1, 1],
        [1, 40, 17, 50, 48, 1, 1, 0],
        [3, 200, 2, 23, 29, 1, 1, 0],
        [1, 5, 24, 34, 30, 2, 2, 0],
        [2, 3, 50, 48, 32, 16, 16, 0],
        [1, 3, 8, 40, 33, 7, 2, 3],
        [1, 2, 5, 20, 21, 14, 1, 6],
    ] {
        check_conv(shape, false);
        check_conv(shape, true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn convolutions_agree_whatever_their_geometry(
        batch in 1usize..3, channels in 1usize..24, out in 1usize..20,
        height in 1usize..20, width in 1usize..110,
        kernel in 1usize..6, stride in 1usize..4, padding in 0usize..4, full: bool,
    ) {
        prop_assume!(height + 2 * padding >= kernel && width + 2 * padding >= kernel);
        check_conv([batch, channels, out, height, width, kernel, stride, padding], full);
    }

    #[test]
    fn linear_layers_agree_whatever_their_shape(
        rows in 1usize..70, depth in 1usize..420, columns in 1usize..130, full: bool,
    ) {
        check_linear([rows, depth, columns], Activation::Gelu, full);
    }
}

#[test]
fn pictures_double_as_the_definition_says() {
    for [batch, channels, out, height, width] in [
        [1, 1, 1, 1, 1],
        [2, 3, 5, 4, 7],
        [1, 200, 9, 7, 13],
        [1, 16, 33, 24, 24],
        [2, 8, 2, 3, 50],
    ] {
        let x = tensor(1, &[batch, channels, height, width]);
        let (weight, bias) = (tensor(2, &[channels, out, 2, 2]), tensor(3, &[out]));
        for bias in [None, Some(&bias)] {
            let plain = plain::conv_transpose_2x2(&x, &weight, bias).unwrap();
            let name = format!("{batch} {channels} {out} {height} {width}");
            check(&name, &plain, channels, |isa| {
                conv_transpose::conv_transpose_2x2(isa, &x, &weight, bias)
            });
        }
    }
}

#[test]
fn attention_agrees_for_any_tokens_and_heads() {
    for [batch, tokens, heads, width] in [
        [1, 1, 1, 8],
        [2, 5, 3, 8],
        [1, 48, 2, 24],
        [1, 49, 2, 20],
        [1, 193, 1, 64],
        [2, 197, 3, 64],
        [1, 577, 2, 64],
        [1, 70, 1, 128],
        [1, 129, 1, 127],
    ] {
        // Scores of some size, so that the softmax is not flat.
        let qkv = (tensor(1, &[batch, tokens, 3 * heads * width]) * 4.0).unwrap();
        let plain = plain::self_attention(&qkv, heads).unwrap();
        check(&format!("{batch} {tokens} {heads} {width}"), &plain, 100, |isa| {
            attention::self_attention(isa, &qkv, heads)
        });
    }
}

#[test]
fn attention_stays_finite_where_scores_are_great() {
    let qkv = (tensor(1, &[1, 300, 3 * 16]) * 300.0).unwrap();
    let fast = self_attention(&qkv, 1).unwrap();
    let plain = plain::self_attention(&qkv, 1).unwrap();
    let apart = (&fast - &plain).unwrap().abs().unwrap().max_all().unwrap();
    assert!(apart.to_scalar::<f32>().unwrap() < 300.0 * 2e-3, "{apart}");
}

#[test]
fn heads_wider_than_a_block_fall_back_to_the_definition() {
    let qkv = tensor(1, &[1, 5, 3 * 200]);
    let plain = plain::self_attention(&qkv, 1).unwrap();
    assert_eq!(bits(&self_attention(&qkv, 1).unwrap()), bits(&plain));
    assert!(attention::self_attention(Isa::best(), &qkv, 1).is_err());
}

#[test]
fn rows_are_normalised_as_the_definition_says() {
    for [rows, width] in [[1, 1], [3, 7], [40, 64], [577, 100], [5, 1024], [2, 40_000]] {
        let x = ((tensor(1, &[1, rows, width]) * 3.0).unwrap() + 5.0).unwrap();
        let (weight, bias) = (tensor(2, &[width]), tensor(3, &[width]));
        let norm = Norm { weight: &weight, bias: &bias, eps: 1e-6 };
        let plain = plain::layer_norm(&x, norm).unwrap();
        // One value is its own mean: what is left is rounding, over the root of eps.
        let terms = if width == 1 { 1 } else { 100 };
        check(&format!("{rows} {width}"), &plain, terms, |isa| norms::layer_norm(isa, &x, norm));
    }
}

#[test]
fn groups_of_channels_are_normalised_as_the_definition_says() {
    for [batch, channels, groups, height, width] in
        [[1, 8, 8, 5, 3], [2, 8, 4, 7, 9], [1, 64, 8, 20, 31], [2, 16, 4, 90, 101], [1, 6, 1, 1, 1]]
    {
        let x = ((tensor(1, &[batch, channels, height, width]) * 2.0).unwrap() + 1.0).unwrap();
        let (weight, bias) = (tensor(2, &[channels]), tensor(3, &[channels]));
        let norm = Norm { weight: &weight, bias: &bias, eps: 1e-5 };
        for relu in [false, true] {
            let plain = plain::group_norm(&x, groups, norm, relu).unwrap();
            check(&format!("{channels} {groups} {relu}"), &plain, 100, |isa| {
                norms::group_norm(isa, &x, groups, norm, relu)
            });
        }
    }
}

#[test]
fn a_mean_far_from_zero_does_not_spoil_the_variance() {
    let x = (tensor(1, &[1, 4, 64, 65]) + 1000.0).unwrap();
    let (weight, bias) = (Tensor::ones(4, DType::F32, &Device::Cpu).unwrap(), tensor(1, &[4]));
    let bias = (bias * 0.0).unwrap();
    let norm = Norm { weight: &weight, bias: &bias, eps: 1e-5 };
    let wide = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
    let exact = Norm { weight: &wide(&weight), bias: &wide(&bias), eps: 1e-5 };
    let plain = plain::group_norm(&wide(&x), 2, exact, false).unwrap();
    let fast = group_norm(&x, 2, norm, false).unwrap();
    let apart = (wide(&fast) - plain).unwrap().abs().unwrap().max_all().unwrap();
    assert!(apart.to_scalar::<f64>().unwrap() < 1e-4, "{apart}");
}

#[test]
fn values_that_are_not_numbers_come_through() {
    let x = Tensor::new(&[[f32::NAN, 1.0], [1.0, 1.0]], &Device::Cpu).unwrap();
    let weight = Tensor::new(&[[1f32, 1.0]], &Device::Cpu).unwrap();
    for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
        let after = LinearAfter { activation, ..Default::default() };
        let y = values(&linear(&x, &weight, None, after).unwrap());
        assert!(y[0].is_nan() && !y[1].is_nan(), "{activation:?}: {y:?}");
    }
    let mut qkv = values(&tensor(1, &[1, 3, 24]));
    qkv[24] = f32::NAN;
    let qkv = Tensor::from_vec(qkv, (1, 3, 24), &Device::Cpu).unwrap();
    let y = values(&self_attention(&qkv, 1).unwrap());
    assert!(y[8..16].iter().all(|value| value.is_nan()), "a query: {y:?}");
    assert!(y[..8].iter().all(|value| !value.is_nan()), "another's: {y:?}");
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let (x, weight) = (tensor(1, &[4, 6]), tensor(2, &[5, 6]));
    let (wrong, none) = (tensor(3, &[7]), LinearAfter::default());
    assert!(linear(&tensor(1, &[4, 7]), &weight, None, none).is_err());
    assert!(linear(&x, &weight, Some(&wrong), none).is_err());
    assert!(linear(&x, &weight, None, LinearAfter { scale: Some(&wrong), ..none }).is_err());
    assert!(linear(&x, &weight, None, LinearAfter { add: Some(&x), ..none }).is_err());

    let (x, weight) = (tensor(1, &[1, 3, 5, 5]), tensor(2, &[4, 3, 3, 3]));
    let options = ConvOptions::default();
    assert!(conv2d(&tensor(1, &[1, 2, 5, 5]), &weight, None, options).is_err());
    assert!(conv2d(&tensor(1, &[1, 3, 2, 5]), &weight, None, options).is_err());
    assert!(conv2d(&x, &weight, Some(&wrong), options).is_err());
    assert!(conv2d(&x, &weight, None, ConvOptions { stride: 0, ..options }).is_err());
    let add = [Some(&x), None];
    assert!(conv2d(&x, &weight, None, ConvOptions { add, ..options }).is_err());

    assert!(conv_transpose_2x2(&x, &tensor(2, &[4, 3, 2, 2]), None).is_err());
    assert!(conv_transpose_2x2(&x, &tensor(2, &[3, 4, 3, 3]), None).is_err());
    assert!(conv_transpose_2x2(&x, &tensor(2, &[3, 4, 2, 2]), Some(&wrong)).is_err());

    assert!(self_attention(&tensor(1, &[1, 4, 24]), 5).is_err());
    assert!(self_attention(&tensor(1, &[1, 4, 24]), 0).is_err());
    let three = tensor(1, &[3]);
    let norm = Norm { weight: &wrong, bias: &three, eps: 1e-5 };
    assert!(layer_norm(&tensor(1, &[2, 3]), norm).is_err());
    assert!(group_norm(&x, 1, norm, false).is_err());
    let norm = Norm { weight: &three, ..norm };
    assert!(group_norm(&x, 2, norm, false).is_err());
    assert!(group_norm(&x, 0, norm, false).is_err());
}

#[test]
fn the_definitions_do_large_layers_in_pieces() {
    for [height, kernel, stride, padding] in
        [[23, 3, 1, 1], [23, 3, 2, 0], [7, 5, 1, 2], [9, 1, 2, 0]]
    {
        let (x, weight) = (tensor(1, &[2, 3, height, 11]), tensor(2, &[4, 3, kernel, kernel]));
        let options = ConvOptions { stride, padding, ..Default::default() };
        let whole = plain::convolved(&x, &weight, options, usize::MAX).unwrap();
        // From a row at a time to all but a few.
        for bytes in [0, 20_000, 60_000] {
            let bands = plain::convolved(&x, &weight, options, bytes).unwrap();
            assert_close(
                &format!("{height} {kernel} {stride} {bytes}"),
                &bands,
                &whole,
                9 * kernel,
            );
        }
    }
    let qkv = tensor(1, &[5, 7, 3 * 2 * 8]);
    let whole = plain::attended(&qkv, 2, usize::MAX).unwrap();
    for bytes in [0, 2 * 2 * 7 * 7 * 4] {
        assert_eq!(bits(&plain::attended(&qkv, 2, bytes).unwrap()), bits(&whole));
    }
}

/// The definition on tensors of half size, beside the same in f32 on the same rounded values.
#[track_caller]
fn check_half(name: &str, inputs: &[Tensor], of: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let half = |x: &Tensor| x.to_dtype(DType::BF16).unwrap();
    let halves: Vec<Tensor> = inputs.iter().map(half).collect();
    let singles: Vec<Tensor> = halves.iter().map(|x| x.to_dtype(DType::F32).unwrap()).collect();
    let (got, want) = (of(&halves).unwrap(), of(&singles).unwrap());
    assert_eq!(got.dtype(), DType::BF16, "{name}");
    let (got, want) = (values(&got.to_dtype(DType::F32).unwrap()), values(&want));
    let largest = want.iter().fold(0f32, |most, value| most.max(value.abs()));
    for (got, want) in got.iter().zip(&want) {
        // Eight bits, rounded a few times on the way; what is summed in them is further off.
        assert!((got - want).abs() <= largest / 64.0, "{name}: {got} and {want}");
    }
}

#[test]
fn the_definitions_round_to_half_size_only_between_layers() {
    let (x, weight) = (tensor(1, &[40, 2000]), tensor(2, &[6, 2000]));
    let after = LinearAfter { activation: Activation::Gelu, ..Default::default() };
    check_half("linear", &[x, weight], |t| linear(&t[0], &t[1], None, after));
    // A mean over a spread of 1: sums in half size would lose it.
    let far = (tensor(1, &[1, 4, 64, 65]) + 20.0).unwrap();
    let [one, bias] = [1.0f32, 0.0].map(|value| Tensor::full(value, 4, &Device::Cpu).unwrap());
    check_half("group", &[far, one, bias], |t| {
        group_norm(&t[0], 2, Norm { weight: &t[1], bias: &t[2], eps: 1e-5 }, false)
    });
    let rows = (tensor(1, &[5, 4096]) + 20.0).unwrap();
    let [one, bias] = [1.0f32, 0.0].map(|value| Tensor::full(value, 4096, &Device::Cpu).unwrap());
    check_half("layer", &[rows, one, bias], |t| {
        layer_norm(&t[0], Norm { weight: &t[1], bias: &t[2], eps: 1e-6 })
    });
    // Nearly equal weights of 600 tokens, whose sum half size cannot hold.
    let qkv = (tensor(1, &[1, 600, 3 * 64]) * 0.3).unwrap();
    check_half("attention", &[qkv], |t| self_attention(&t[0], 1));
    let (x, weight) = (tensor(1, &[1, 200, 9, 8]), tensor(2, &[5, 200, 3, 3]));
    check_half("conv", &[x, weight], |t| conv2d(&t[0], &t[1], None, ConvOptions::default()));
    let (x, weight) = (tensor(1, &[1, 200, 9, 8]), tensor(2, &[200, 5, 2, 2]));
    check_half("double", &[x, weight], |t| conv_transpose_2x2(&t[0], &t[1], None));
}

#[test]
fn the_definitions_run_where_they_are_asked_for_and_only_there() {
    let x = tensor(1, &[33, 191]);
    let has_fast_form = || held::all([&x]);
    assert!(has_fast_form());
    assert!(!with_kernels(Kernels::Plain, has_fast_form));
    with_kernels(Kernels::Plain, || {
        assert!(with_kernels(Kernels::Own, has_fast_form), "the inner choice counts");
        assert!(!has_fast_form(), "and ends with its work");
    });
    let panicked =
        std::panic::catch_unwind(|| with_kernels(Kernels::Plain, || panic!("on purpose")));
    assert!(panicked.is_err());
    assert!(has_fast_form(), "after a panic");
}

#[test]
fn other_types_run_the_definition() {
    let wide = |tensor: Tensor| tensor.to_dtype(DType::F64).unwrap();
    let (x, weight) = (wide(tensor(1, &[4, 6])), wide(tensor(2, &[5, 6])));
    let y = linear(&x, &weight, None, LinearAfter::default()).unwrap();
    assert_eq!(y.dtype(), DType::F64);
}
