// What every kernel file starts from: the entry macro, pixel types, and the border rules.
//
// The same files are compiled by nvcc for a GPU and by g++ for the emulation in `emulation/`,
// which runs them block by block on the CPU in the tests. So a kernel uses what both know: shared
// memory, __syncthreads, integer atomics; no warp intrinsics. Every thread of a block reaches every
// __syncthreads: what lies outside the image is skipped by `if`, never by `return` before one.
//
// Always: `blockIdx.z` counts the frames (or pairs) of a batch, whose planes follow one another.
// Products and sums are not fused (build.rs says --fmad=false); a fused one is written `fmaf`.
#pragma once

typedef unsigned char u8;
typedef long long i64;

#ifndef EMULATION
// An entry point: its C name, the most threads of a block, its parameters.
#define KERNEL(NAME, THREADS, ...) \
    extern "C" __global__ void __launch_bounds__(THREADS) NAME(__VA_ARGS__)
// An array of TYPE whose length the launch gives, in bytes.
#define DYNAMIC_SHARED(TYPE, NAME)                                          \
    extern __shared__ __align__(16) unsigned char dynamic_shared_memory[]; \
    TYPE *NAME = reinterpret_cast<TYPE *>(dynamic_shared_memory)
#endif

namespace {

// The nearest pixel inside: aaa|abcd|ddd.
__device__ inline int replicate(int at, int length) {
    return at < 0 ? 0 : (at < length ? at : length - 1);
}

// Mirrored without repeating the edge pixel: dcb|abcd|cba.
__device__ inline int reflect_101(int at, int length) {
    if (length == 1) {
        return 0;
    }
    const int period = 2 * (length - 1);
    int phase = at % period;
    if (phase < 0) {
        phase += period;
    }
    return phase < length ? phase : period - phase;
}

// Where the plane of this block's frame starts, for planes of `pixels` elements.
__device__ inline size_t frame_at(size_t pixels) { return blockIdx.z * pixels; }

}  // namespace
