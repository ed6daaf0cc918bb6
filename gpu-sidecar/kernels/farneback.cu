// Dense optical flow after Farneback (SPEC §2), step by step as `vision/farneback.rs` defines it.
//
// Planes of a batch: gray (frames, H, W) u8; at each scale, images (frames, h, w), coefficients
// (frames, 5, h, w) as [y, x, y2, x2, xy], matrices (pairs, 5, h, w) as [g11, g12, g22, h1, h2]
// with 1 = y and 2 = x, flow (pairs, h, w, 2) as (x, y). Pair p is of frames p and p + 1, whose
// coefficients follow one another, so a frame's serve both of its pairs.
// Sums are direct f32 sums, never running ones (SPEC §2.5); the 2x2 system is solved in f64,
// because a nearly singular one loses the regulariser in f32.
#include "kernel.cuh"

namespace {

const int TERMS = 5;

// A resize by linear interpolation: where `i` falls, as in resize.cu, on the edge pixel outside.
struct Spot {
    int first;
    float fraction;
};

__device__ inline Spot spot_inside(int i, int from, int to) {
    const float at = (float)((i + 0.5) * ((double)from / (double)to) - 0.5);
    const float first = floorf(at);
    if (first < 0.0f) {
        return Spot{0, 0.0f};
    }
    if (first >= (float)(from - 1)) {
        return Spot{from - 1, 0.0f};
    }
    return Spot{(int)first, at - first};
}

// Weight of a pixel `distance` pixels from an edge.
__device__ inline float border(int distance) {
    return distance < 2 ? 0.14f : (distance < 5 ? 0.4472f : 1.0f);
}

__device__ inline float attenuation(int at, int length) {
    return border(at) * border(length - 1 - at);
}

}  // namespace

// The image of one scale, first half: gray rows blurred with 2 * radius + 1 weights, only where the
// scale has a column, and interpolated there: out (frames, H, w). Blurring whole rows and then
// taking every eighth pixel would make eight times the sums.
KERNEL(pyramid_across, 256, const u8 *gray, float *out, int width, int height, int to_width,
       const float *weights, int radius) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= to_width || y >= height) {
        return;
    }
    const u8 *row = gray + frame_at((size_t)width * height) + (size_t)y * width;
    const Spot at = spot_inside(x, width, to_width);
    float left = 0.0f, right = 0.0f;
    for (int k = -radius; k <= radius; k++) {
        const float weight = weights[k + radius];
        left = fmaf(weight, row[reflect_101(at.first + k, width)], left);
        if (at.fraction > 0.0f) {
            right = fmaf(weight, row[reflect_101(at.first + 1 + k, width)], right);
        }
    }
    out[frame_at((size_t)to_width * height) + (size_t)y * to_width + x] =
        fmaf(right, at.fraction, left * (1.0f - at.fraction));
}

// The second half, down the columns: across (frames, H, w) to images (frames, h, w).
KERNEL(pyramid_down, 256, const float *across, float *out, int height, int to_width, int to_height,
       const float *weights, int radius) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= to_width || y >= to_height) {
        return;
    }
    const float *column = across + frame_at((size_t)to_width * height) + x;
    const Spot at = spot_inside(y, height, to_height);
    float upper = 0.0f, lower = 0.0f;
    for (int k = -radius; k <= radius; k++) {
        const float weight = weights[k + radius];
        upper = fmaf(weight, column[(size_t)reflect_101(at.first + k, height) * to_width], upper);
        if (at.fraction > 0.0f) {
            const int row = reflect_101(at.first + 1 + k, height);
            lower = fmaf(weight, column[(size_t)row * to_width], lower);
        }
    }
    out[frame_at((size_t)to_width * to_height) + (size_t)y * to_width + x] =
        fmaf(lower, at.fraction, upper * (1.0f - at.fraction));
}

// The quadratic around every pixel: images (frames, h, w) to coefficients (frames, 5, h, w).
// weights: g, x*g, x^2*g for x = 0..n, one after another, then ig11, ig03, ig33, ig55. Borders are
// replicated. A block of 32 x 8 threads makes a tile of 32 x 16: it loads the tile and n pixels
// around, sums down the columns into three planes, and each thread sums across them.
const int TILE_WIDTH = 32, TILE_HEIGHT = 16, N_MAX = 7;
const int WIDE = TILE_WIDTH + 2 * N_MAX;

KERNEL(expand, 256, const float *images, float *coefficients, int width, int height,
       const float *weights, int n) {
    __shared__ float image[(TILE_HEIGHT + 2 * N_MAX) * WIDE];
    __shared__ float sums[3][TILE_HEIGHT * WIDE];
    __shared__ float basis[3 * (N_MAX + 1) + 4];
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    const int threads = blockDim.x * blockDim.y;
    const int left = blockIdx.x * TILE_WIDTH - n, top = blockIdx.y * TILE_HEIGHT - n;
    const int wide = TILE_WIDTH + 2 * n, high = TILE_HEIGHT + 2 * n;
    const float *frame = images + frame_at((size_t)width * height);
    for (int i = thread; i < 3 * (n + 1) + 4; i += threads) {
        basis[i] = weights[i];
    }
    for (int i = thread; i < wide * high; i += threads) {
        const int x = replicate(left + i % wide, width), y = replicate(top + i / wide, height);
        image[i] = frame[(size_t)y * width + x];
    }
    __syncthreads();
    const float *g = basis, *xg = basis + n + 1, *xxg = basis + 2 * (n + 1);
    for (int i = thread; i < wide * TILE_HEIGHT; i += threads) {
        const float *middle = image + i + n * wide;
        float v0 = g[0] * middle[0], v1 = 0.0f, v2 = 0.0f;
        for (int k = 1; k <= n; k++) {
            const float above = middle[-k * wide], below = middle[k * wide];
            v0 = fmaf(g[k], above + below, v0);
            v1 = fmaf(xg[k], below - above, v1);
            v2 = fmaf(xxg[k], above + below, v2);
        }
        sums[0][i] = v0;
        sums[1][i] = v1;
        sums[2][i] = v2;
    }
    __syncthreads();
    const float *inverse = basis + 3 * (n + 1);
    const float ig11 = inverse[0], ig03 = inverse[1], ig33 = inverse[2], ig55 = inverse[3];
    const size_t plane = (size_t)width * height;
    const int x = blockIdx.x * TILE_WIDTH + threadIdx.x;
    for (int row = threadIdx.y; row < TILE_HEIGHT; row += blockDim.y) {
        const int y = blockIdx.y * TILE_HEIGHT + row;
        if (x >= width || y >= height) {
            continue;
        }
        const int at = row * wide + threadIdx.x + n;
        float b1 = g[0] * sums[0][at], b3 = g[0] * sums[1][at], b5 = g[0] * sums[2][at];
        float b2 = 0.0f, b4 = 0.0f, b6 = 0.0f;
        for (int k = 1; k <= n; k++) {
            const float l0 = sums[0][at - k], r0 = sums[0][at + k];
            const float l1 = sums[1][at - k], r1 = sums[1][at + k];
            b1 = fmaf(g[k], l0 + r0, b1);
            b2 = fmaf(xg[k], r0 - l0, b2);
            b4 = fmaf(xxg[k], l0 + r0, b4);
            b3 = fmaf(g[k], l1 + r1, b3);
            b6 = fmaf(xg[k], r1 - l1, b6);
            b5 = fmaf(g[k], sums[2][at - k] + sums[2][at + k], b5);
        }
        float *out = coefficients + frame_at(TERMS * plane) + (size_t)y * width + x;
        out[0] = b3 * ig11;
        out[plane] = b2 * ig11;
        out[2 * plane] = fmaf(b5, ig33, b1 * ig03);
        out[3 * plane] = fmaf(b4, ig33, b1 * ig03);
        out[4 * plane] = b6 * ig55;
    }
}

// The system of each pixel at the current flow. `coefficients` starts at the first pair's first
// frame. Outside the second frame, its last row and column included, nothing is sampled.
KERNEL(flow_matrices, 256, const float *coefficients, const float *flow, float *matrices, int width,
       int height) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) {
        return;
    }
    const size_t plane = (size_t)width * height, own = (size_t)y * width + x;
    const float *prev = coefficients + frame_at(TERMS * plane) + own;
    const float *next = coefficients + frame_at(TERMS * plane) + TERMS * plane;
    const float *vector = flow + 2 * (frame_at(plane) + own);
    const float dx = vector[0], dy = vector[1], at_x = x + dx, at_y = y + dy;
    float r2 = prev[0], r3 = prev[plane], r4 = prev[2 * plane], r5 = prev[3 * plane],
          r6 = prev[4 * plane];
    // A whole part is in 0 .. length - 1 exactly when the number itself is; NaN is outside.
    if (at_x >= 0.0f && at_x < (float)(width - 1) && at_y >= 0.0f && at_y < (float)(height - 1)) {
        const int left = (int)at_x, top = (int)at_y;
        const float right_share = at_x - left, lower_share = at_y - top;
        const float left_share = 1.0f - right_share, upper_share = 1.0f - lower_share;
        const float *corner = next + (size_t)top * width + left;
        float sample[TERMS];
        for (int c = 0; c < TERMS; c++) {
            const float *upper = corner + c * plane, *lower = upper + width;
            float sum = left_share * upper_share * upper[0];
            sum = fmaf(right_share * upper_share, upper[1], sum);
            sum = fmaf(left_share * lower_share, lower[0], sum);
            sample[c] = fmaf(right_share * lower_share, lower[1], sum);
        }
        r2 = (r2 - sample[0]) * 0.5f;
        r3 = (r3 - sample[1]) * 0.5f;
        r4 = (r4 + sample[2]) * 0.5f;
        r5 = (r5 + sample[3]) * 0.5f;
        r6 = (r6 + sample[4]) * 0.25f;
    } else {
        r2 *= 0.5f;
        r3 *= 0.5f;
        r6 *= 0.5f;
    }
    const float weight = attenuation(x, width) * attenuation(y, height);
    r2 = (r2 + fmaf(r4, dy, r6 * dx)) * weight;
    r3 = (r3 + fmaf(r6, dy, r5 * dx)) * weight;
    r4 *= weight;
    r5 *= weight;
    r6 *= weight;
    float *out = matrices + frame_at(TERMS * plane) + own;
    out[0] = fmaf(r4, r4, r6 * r6);
    out[plane] = (r4 + r5) * r6;
    out[2 * plane] = fmaf(r5, r5, r6 * r6);
    out[3 * plane] = fmaf(r4, r2, r6 * r3);
    out[4 * plane] = fmaf(r6, r2, r5 * r3);
}

// The window, down: every one of the planes (h, w) that `blockIdx.z` counts, weighted over 2m + 1
// rows, borders replicated. Shared memory: the weights, then 32 columns of 32 + 2m rows.
const int DOWN_ROWS = 32;

KERNEL(window_down, 256, const float *planes, float *out, int width, int height,
       const float *weights, int m) {
    DYNAMIC_SHARED(float, shared);
    const int count = 2 * m + 1, high = DOWN_ROWS + 2 * m;
    float *line = shared, *tile = shared + count;
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const float *plane = planes + frame_at((size_t)width * height) + replicate(x, width);
    for (int i = thread; i < count; i += blockDim.x * blockDim.y) {
        line[i] = weights[i];
    }
    for (int i = threadIdx.y; i < high; i += blockDim.y) {
        const int y = replicate(blockIdx.y * DOWN_ROWS + i - m, height);
        tile[i * blockDim.x + threadIdx.x] = plane[(size_t)y * width];
    }
    __syncthreads();
    for (int row = threadIdx.y; row < DOWN_ROWS; row += blockDim.y) {
        const int y = blockIdx.y * DOWN_ROWS + row;
        if (x < width && y < height) {
            float sum = 0.0f;
            for (int k = 0; k < count; k++) {
                sum = fmaf(line[k], tile[(row + k) * blockDim.x + threadIdx.x], sum);
            }
            out[frame_at((size_t)width * height) + (size_t)y * width + x] = sum;
        }
    }
}

// The window, across, and the solution: sums (pairs, 5, h, w) to flow (pairs, h, w, 2). Averages
// are the sums times `share`. Shared memory: the weights, then, for each of the block's rows, 5
// lines of blockDim.x + 2m.
KERNEL(window_solve, 256, const float *sums, float *flow, int width, int height,
       const float *weights, int m, double share) {
    DYNAMIC_SHARED(float, shared);
    const int count = 2 * m + 1, wide = blockDim.x + 2 * m;
    const size_t plane = (size_t)width * height;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    float *line = shared, *rows = shared + count + threadIdx.y * TERMS * wide;
    const float *from =
        sums + frame_at(TERMS * plane) + (size_t)replicate(y, height) * width;
    const int left = blockIdx.x * blockDim.x - m;
    for (int i = threadIdx.y * blockDim.x + threadIdx.x; i < count; i += blockDim.x * blockDim.y) {
        line[i] = weights[i];
    }
    for (int c = 0; c < TERMS; c++) {
        for (int i = threadIdx.x; i < wide; i += blockDim.x) {
            rows[c * wide + i] = from[c * plane + replicate(left + i, width)];
        }
    }
    __syncthreads();
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width || y >= height) {
        return;
    }
    float mean[TERMS] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    for (int k = 0; k < count; k++) {
        const float weight = line[k];
        for (int c = 0; c < TERMS; c++) {
            mean[c] = fmaf(weight, rows[c * wide + threadIdx.x + k], mean[c]);
        }
    }
    const double g11 = mean[0] * share, g12 = mean[1] * share, g22 = mean[2] * share;
    const double h1 = mean[3] * share, h2 = mean[4] * share;
    const double scale = 1.0 / (g11 * g22 - g12 * g12 + 1e-3);
    float *vector = flow + 2 * (frame_at(plane) + (size_t)y * width + x);
    vector[0] = (float)((g11 * h2 - g12 * h1) * scale);
    vector[1] = (float)((g22 * h1 - g12 * h2) * scale);
}

// Lengths of the vectors of flow (pairs, h, w, 2): their sum and the longest, by block, to sums and
// longest (pairs, gridDim.x). The host adds the sums in order, so that the last digits are the same
// every time.
KERNEL(motion_sums, 256, const float *flow, double *sums, float *longest, int width, int height) {
    __shared__ double sum[256];
    __shared__ float maximum[256];
    const size_t plane = (size_t)width * height;
    const float *vectors = flow + 2 * frame_at(plane);
    double own = 0.0;
    float own_maximum = 0.0f;
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < plane; i += step) {
        const float dx = vectors[2 * i], dy = vectors[2 * i + 1];
        const float length = sqrtf(fmaf(dx, dx, dy * dy));
        own += length;
        own_maximum = fmaxf(own_maximum, length);
    }
    sum[threadIdx.x] = own;
    maximum[threadIdx.x] = own_maximum;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            sum[threadIdx.x] += sum[threadIdx.x + half];
            maximum[threadIdx.x] = fmaxf(maximum[threadIdx.x], maximum[threadIdx.x + half]);
        }
    }
    if (threadIdx.x == 0) {
        sums[blockIdx.z * gridDim.x + blockIdx.x] = sum[0];
        longest[blockIdx.z * gridDim.x + blockIdx.x] = maximum[0];
    }
}
