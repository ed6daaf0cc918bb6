//! Every operation against the sentence that defines it, pixel by pixel.

use super::*;

/// Minimum or maximum straight from SPEC §4: all pixels (x + j − ax, y + i − ay) of the image.
fn brute(image: &Plane<u8>, kernel: &Kernel, largest: bool) -> Plane<u8> {
    let (width, height) = image.size();
    let mut data = Vec::new();
    for y in 0..height as isize {
        for x in 0..width as isize {
            let mut seen = Vec::new();
            for i in 0..kernel.height {
                for j in 0..kernel.width {
                    let sx = x + j as isize - kernel.anchor.0 as isize;
                    let sy = y + i as isize - kernel.anchor.1 as isize;
                    let inside = sx >= 0 && sy >= 0 && sx < width as isize && sy < height as isize;
                    if inside && kernel.cells[i * kernel.width + j] {
                        seen.push(image.row(sy as usize)[sx as usize]);
                    }
                }
            }
            let picked = if largest { seen.iter().max() } else { seen.iter().min() };
            data.push(picked.copied().unwrap_or(if largest { 0 } else { 255 }));
        }
    }
    Plane::new(width, height, data).expect("a pixel for each pixel")
}

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
        for (width, height) in [(1, 1), (2, 2), (3, 3), (4, 6), (9, 1), (1, 9), (5, 7), (31, 2)] {
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

#[test]
fn least_and_largest_are_those_under_the_kernel() {
    for (width, height) in [(1, 1), (2, 2), (1, 7), (16, 9), (33, 21)] {
        let image = noise(width, height);
        for kernel in kernels() {
            assert_eq!(erode(&image, &kernel), brute(&image, &kernel, false), "{kernel:?}");
            assert_eq!(dilate(&image, &kernel), brute(&image, &kernel, true), "{kernel:?}");
        }
    }
}

#[test]
fn compound_operations_follow_their_definition() {
    let image = noise(23, 17);
    for kernel in kernels() {
        let low = |image: &Plane<u8>| brute(&brute(image, &kernel, false), &kernel, false);
        let high = |image: &Plane<u8>| brute(&brute(image, &kernel, true), &kernel, true);
        let minus = |a: Plane<u8>, b: Plane<u8>| a.zip_map(&b, u8::saturating_sub);
        let cases = [
            (Operation::Erode, low(&image)),
            (Operation::Dilate, high(&image)),
            (Operation::Open, high(&low(&image))),
            (Operation::Close, low(&high(&image))),
            (Operation::Gradient, minus(high(&image), low(&image))),
            (Operation::TopHat, minus(image.clone(), high(&low(&image)))),
            (Operation::BlackHat, minus(low(&high(&image)), image.clone())),
        ];
        for (operation, want) in cases {
            let got = apply(&image, operation, &kernel, 2).expect("2 iterations");
            assert_eq!(got, want, "{operation:?} {kernel:?}");
        }
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
