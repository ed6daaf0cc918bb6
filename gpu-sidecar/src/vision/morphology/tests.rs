//! Every fast form against the definition in `plain`, which the goldens check.

use super::*;
use crate::vision::simd::Isa;
use crate::vision::threads::on_three;

fn noise(width: usize, height: usize) -> Plane<u8> {
    let mut state = 12345u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let data = (0..width * height).map(|_| next()).collect();
    Plane::new(width, height, data).expect("fits")
}

fn kernels() -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for shape in [Shape::Rect, Shape::Cross, Shape::Ellipse] {
        for (width, height) in
            [(1, 1), (2, 2), (3, 3), (4, 6), (9, 1), (1, 9), (5, 7), (31, 2), (70, 6), (3, 67)]
        {
            let kernel = Kernel::shaped(shape, width, height).expect("sides are in range");
            let corner = kernel.clone().with_anchor(width - 1, 0).expect("a cell");
            kernels.extend([kernel, corner]);
        }
    }
    let corner = [false, true, true, false, false, true, false, false, false];
    kernels.push(Kernel::new(3, 3, corner.to_vec()).expect("3 x 3"));
    kernels.push(Kernel::new(2, 2, vec![false; 4]).expect("2 x 2"));
    kernels
}

const OPERATIONS: [Operation; 7] = [
    Operation::Erode,
    Operation::Dilate,
    Operation::Open,
    Operation::Close,
    Operation::Gradient,
    Operation::TopHat,
    Operation::BlackHat,
];

/// Every instruction set, on one thread and on several, against the definition.
#[track_caller]
fn check(image: &Plane<u8>, operation: Operation, kernel: &Kernel, iterations: u32) {
    let want = plain::apply(image, operation, kernel, iterations);
    let mut got = Plane::pixel();
    for isa in Isa::available() {
        let made = Morphology::with_kernel(operation, kernel, iterations).expect("in range");
        let mut filter = made.on(isa);
        for threads in [Threads::This, Threads::Pool, Threads::This] {
            on_three(|| filter.run(image, threads, &mut got));
            let what = (operation, image.size(), iterations, isa, threads);
            assert!(got == want, "{what:?} {kernel:?}");
        }
    }
}

#[test]
fn every_operation_is_its_definition_at_every_size() {
    let sizes = [(1, 1), (1, 9), (13, 1), (3, 3), (2, 70), (64, 5), (67, 41), (131, 97), (300, 2)];
    for (i, (width, height)) in sizes.into_iter().enumerate() {
        let image = noise(width, height);
        for (k, kernel) in kernels().iter().enumerate() {
            // All operations meet all kernels and all sizes, but not all at once.
            let operation = OPERATIONS[(i + k) % OPERATIONS.len()];
            check(&image, operation, kernel, 1);
        }
    }
    let image = noise(37, 83);
    for operation in OPERATIONS {
        for kernel in kernels() {
            check(&image, operation, &kernel, 1);
        }
    }
}

#[test]
fn repetitions_are_their_definition() {
    for image in [noise(23, 17), noise(70, 150)] {
        for operation in OPERATIONS {
            for kernel in kernels() {
                check(&image, operation, &kernel, 3);
            }
        }
    }
    // Grown far past the image, the window is as good as the image.
    let large = Kernel::shaped(Shape::Rect, 2, 5).expect("in range");
    check(&noise(40, 33), Operation::Close, &large, 100);
}

#[test]
fn a_filter_serves_frames_of_other_sizes() {
    let kernel = Kernel::shaped(Shape::Ellipse, 7, 9).expect("in range");
    let mut filter = Morphology::with_kernel(Operation::BlackHat, &kernel, 2).expect("in range");
    let mut got = Plane::pixel();
    for (width, height) in [(90, 40), (5, 3), (200, 77), (1, 1)] {
        let image = noise(width, height);
        filter.run(&image, Threads::This, &mut got);
        assert_eq!(got, plain::apply(&image, Operation::BlackHat, &kernel, 2));
    }
}

#[test]
fn flat_pictures_stay_flat() {
    for (width, height) in [(1, 1), (2, 2), (5, 3)] {
        let flat = Plane::new(width, height, vec![130u8; width * height]).expect("fits");
        let closed = morphology(&flat, &MorphologyParams::default()).expect("the default");
        assert_eq!(closed, flat);
        let params = MorphologyParams { operation: Operation::Gradient, ..Default::default() };
        let outline = morphology(&flat, &params).expect("in range");
        assert!(outline.data().iter().all(|&v| v == 0));
    }
}

#[test]
fn parameters_outside_their_range_are_named() {
    let refused = |params: MorphologyParams| match params.kernel() {
        Err(VisionError::Parameter { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let default = MorphologyParams::default;
    assert_eq!(refused(MorphologyParams { kernel_width: 0, ..default() }), "kernel_width");
    assert_eq!(refused(MorphologyParams { kernel_height: 256, ..default() }), "kernel_height");
    assert_eq!(refused(MorphologyParams { anchor: Some([3, 0]), ..default() }), "anchor");
    assert_eq!(refused(MorphologyParams { iterations: 0, ..default() }), "iterations");
    assert_eq!(refused(MorphologyParams { iterations: 101, ..default() }), "iterations");
    assert!(Kernel::shaped(Shape::Cross, 300, usize::MAX).is_err());
    assert!(Kernel::new(2, 2, vec![true; 3]).is_err());
}
