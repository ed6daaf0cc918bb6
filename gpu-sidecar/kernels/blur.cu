// Gaussian blur of f32 planes (SPEC §2.1): `taps` weights, rows, then columns, border reflect-101,
// added in the CPU's order.
#include "kernel.cuh"

KERNEL(blur_across, 256, const float *from, float *to, int width, int height, const float *weights,
       int radius) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) {
        return;
    }
    const size_t at = frame_at((size_t)width * height) + (size_t)y * width;
    float sum = 0.0f;
    for (int k = -radius; k <= radius; k++) {
        sum += weights[k + radius] * from[at + reflect_101(x + k, width)];
    }
    to[at + x] = sum;
}

KERNEL(blur_down, 256, const float *from, float *to, int width, int height, const float *weights,
       int radius) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) {
        return;
    }
    const size_t at = frame_at((size_t)width * height) + x;
    float sum = 0.0f;
    for (int k = -radius; k <= radius; k++) {
        sum += weights[k + radius] * from[at + (size_t)reflect_101(y + k, height) * width];
    }
    to[at + (size_t)y * width] = sum;
}
