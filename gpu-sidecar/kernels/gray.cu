// Colour to gray, and the sharpness of a gray frame (SPEC §1, §6). Both are exact.
#include "kernel.cuh"

namespace {

// Weights of blue, green and red in units of 1/32768; rounded half up.
__device__ inline unsigned luma(unsigned blue, unsigned green, unsigned red) {
    return (3735u * blue + 19235u * green + 9798u * red + (1u << 14)) >> 15;
}

// `first` and `third` are the channels as they lie: red and blue, or blue and red.
__device__ inline unsigned luma_of(unsigned first, unsigned second, unsigned third, int red_first) {
    return red_first ? luma(third, second, first) : luma(first, second, third);
}

}  // namespace

// color (pixels, 3) of u8 to gray (pixels); `red_first` says whether a pixel is red, green, blue or
// blue, green, red. A thread makes four pixels: three words in, one word out.
KERNEL(gray, 256, const u8 *color, u8 *gray, i64 pixels, int red_first) {
    const i64 first = 4 * (blockIdx.x * (i64)blockDim.x + threadIdx.x);
    if (first + 4 <= pixels) {
        const unsigned *words = reinterpret_cast<const unsigned *>(color + 3 * first);
        const unsigned a = words[0], b = words[1], c = words[2];
        unsigned out = luma_of(a & 255, a >> 8 & 255, a >> 16 & 255, red_first);
        out |= luma_of(a >> 24, b & 255, b >> 8 & 255, red_first) << 8;
        out |= luma_of(b >> 16 & 255, b >> 24, c & 255, red_first) << 16;
        out |= luma_of(c >> 8 & 255, c >> 16 & 255, c >> 24, red_first) << 24;
        *reinterpret_cast<unsigned *>(gray + first) = out;
        return;
    }
    for (i64 i = first; i < pixels; i++) {
        gray[i] = luma_of(color[3 * i], color[3 * i + 1], color[3 * i + 2], red_first);
    }
}

// Sum and sum of squares of the Laplacian [0 1 0; 1 -4 1; 0 1 0], border reflect-101, of gray
// (frames, height, width): sums (frames, gridDim.x, 2), which the host adds up.
KERNEL(laplacian_sums, 256, const u8 *gray, i64 *sums, int width, int height) {
    __shared__ i64 sum[256], squares[256];
    const u8 *image = gray + frame_at((size_t)width * height);
    i64 own_sum = 0, own_squares = 0;
    for (int y = blockIdx.x; y < height; y += gridDim.x) {
        const u8 *row = image + (size_t)y * width;
        const u8 *above = image + (size_t)reflect_101(y - 1, height) * width;
        const u8 *below = image + (size_t)reflect_101(y + 1, height) * width;
        for (int x = threadIdx.x; x < width; x += blockDim.x) {
            const int around = above[x] + below[x] + row[reflect_101(x - 1, width)] +
                               row[reflect_101(x + 1, width)];
            const int value = around - 4 * row[x];
            own_sum += value;
            own_squares += value * value;
        }
    }
    sum[threadIdx.x] = own_sum;
    squares[threadIdx.x] = own_squares;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            sum[threadIdx.x] += sum[threadIdx.x + half];
            squares[threadIdx.x] += squares[threadIdx.x + half];
        }
    }
    if (threadIdx.x == 0) {
        i64 *out = sums + 2 * ((size_t)blockIdx.z * gridDim.x + blockIdx.x);
        out[0] = sum[0];
        out[1] = squares[0];
    }
}
