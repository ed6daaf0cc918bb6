// Canny edges of gray and colour pictures (SPEC §3); exact.
//
// Four launches: gradient, thinning, joining, finishing. Hysteresis is a union-find over pixels
// instead of a flood fill. Node 0 is "edge"; pixel i is node i + 1. A strong pixel starts in node
// 0's set, a candidate in its own, and every two neighbours are joined; then exactly the pixels in
// node 0's set touch a strong one through candidates. A set's root is its smallest node, and a
// parent only ever becomes smaller, so the order of threads changes nothing in the result.
#include "kernel.cuh"

namespace {

const int NOTHING = -1;

// Derivative and smoothing taps of apertures 3, 5 and 7, from their left end.
__device__ inline int derivative_tap(int aperture, int k) {
    const int three[] = {-1, 0, 1}, five[] = {-1, -2, 0, 2, 1}, seven[] = {-1, -4, -5, 0, 5, 4, 1};
    return aperture == 3 ? three[k] : (aperture == 5 ? five[k] : seven[k]);
}

__device__ inline int smoothing_tap(int aperture, int k) {
    const int three[] = {1, 2, 1}, five[] = {1, 4, 6, 4, 1}, seven[] = {1, 6, 15, 20, 15, 6, 1};
    return aperture == 3 ? three[k] : (aperture == 5 ? five[k] : seven[k]);
}

// L1, or the square of L2. Sums of aperture 5 reach 255*3*16, so squares stay below 2^31.
__device__ inline int magnitude(int dx, int dy, int l2) {
    return l2 ? dx * dx + dy * dy : abs(dx) + abs(dy);
}

// Sobel derivatives of one channel at (x, y); the border is replicated.
template <int APERTURE>
__device__ void sobel(const u8 *image, int width, int height, int channels, int x, int y,
                      int &dx_out, int &dy_out) {
    const int radius = APERTURE / 2;
    int dx = 0, dy = 0;
#pragma unroll
    for (int j = 0; j < APERTURE; j++) {
        const u8 *row = image + (size_t)replicate(y + j - radius, height) * width * channels;
        int smoothed = 0, derived = 0;
#pragma unroll
        for (int i = 0; i < APERTURE; i++) {
            const int sample = row[replicate(x + i - radius, width) * channels];
            smoothed += smoothing_tap(APERTURE, i) * sample;
            derived += derivative_tap(APERTURE, i) * sample;
        }
        dx += smoothing_tap(APERTURE, j) * derived;
        dy += derivative_tap(APERTURE, j) * smoothed;
    }
    if (APERTURE == 7) {
        dx = (int)rintf(dx / 16.0f);
        dy = (int)rintf(dy / 16.0f);
    }
    dx_out = dx;
    dy_out = dy;
}

// The smallest node of the set that `node` belongs to. Another thread may lower a parent at any
// time; an older one read here leads to the same set all the same.
__device__ inline int root_of(const int *parents, int node) {
    const volatile int *current = parents;
    int parent = current[node];
    while (parent != node) {
        node = parent;
        parent = current[node];
    }
    return node;
}

// Makes one set of two.
__device__ inline void join(int *parents, int a, int b) {
    for (;;) {
        a = root_of(parents, a);
        b = root_of(parents, b);
        if (a == b) {
            return;
        }
        const int low = a < b ? a : b, high = a < b ? b : a;
        const int before = atomicMin(&parents[high], low);
        if (before == high) {
            return;
        }
        // `high` was no root any more: what it pointed to has to be joined with `low` instead.
        a = before;
        b = low;
    }
}

// Gradients (2 of i16, dx first) of the pixel of this thread. Of several channels the one with the
// largest magnitude counts, the first of equal ones. No sum leaves an i16, so nothing needs
// saturation.
template <int APERTURE>
__device__ void strongest_gradient(const u8 *image, short *gradients, int width, int height,
                                   int channels, int l2) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) {
        return;
    }
    const size_t pixels = (size_t)width * height;
    const u8 *frame = image + frame_at(pixels * channels);
    int best_dx = 0, best_dy = 0, best = -1;
    for (int channel = 0; channel < channels; channel++) {
        int dx, dy;
        sobel<APERTURE>(frame + channel, width, height, channels, x, y, dx, dy);
        const int length = magnitude(dx, dy, l2);
        if (length > best) {
            best = length;
            best_dx = dx;
            best_dy = dy;
        }
    }
    short *out = gradients + 2 * (frame_at(pixels) + (size_t)y * width + x);
    out[0] = (short)best_dx;
    out[1] = (short)best_dy;
}

}  // namespace

// image (frames, height, width, channels) of u8 to gradients (frames, height, width, 2), an entry
// for each aperture: the largest needs six times the registers of the smallest.
KERNEL(canny_gradient_3, 256, const u8 *image, short *gradients, int width, int height,
       int channels, int l2) {
    strongest_gradient<3>(image, gradients, width, height, channels, l2);
}

KERNEL(canny_gradient_5, 256, const u8 *image, short *gradients, int width, int height,
       int channels, int l2) {
    strongest_gradient<5>(image, gradients, width, height, channels, l2);
}

KERNEL(canny_gradient_7, 256, const u8 *image, short *gradients, int width, int height,
       int channels, int l2) {
    strongest_gradient<7>(image, gradients, width, height, channels, l2);
}

// Keeps the ridges of the gradient: parents (frames, 1 + height * width) as each set begins.
KERNEL(canny_thin, 256, const short *gradients, int *parents, int width, int height, int low,
       int high, int l2) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) {
        return;
    }
    const size_t pixels = (size_t)width * height;
    const short *frame = gradients + 2 * frame_at(pixels);
    // Outside the image the magnitude is 0.
    auto at = [&](int column, int row) {
        if (column < 0 || column >= width || row < 0 || row >= height) {
            return 0;
        }
        const short *gradient = frame + 2 * ((size_t)row * width + column);
        return magnitude(gradient[0], gradient[1], l2);
    };
    const short *own = frame + 2 * ((size_t)y * width + x);
    const int dx = own[0], dy = own[1], length = magnitude(dx, dy, l2);
    bool ridge = false;
    if (length > low) {
        // tan 22.5 degrees in units of 2^-15. |dx|, |dy| <= 12240: everything stays below 2^31.
        const int steep = abs(dy) << 15, flat = 13573 * abs(dx);
        if (steep < flat) {
            ridge = length > at(x - 1, y) && length >= at(x + 1, y);
        } else if (steep > flat + (abs(dx) << 16)) {
            ridge = length > at(x, y - 1) && length >= at(x, y + 1);
        } else {
            const int side = (dx ^ dy) < 0 ? -1 : 1;
            ridge = length > at(x - side, y - 1) && length > at(x + side, y + 1);
        }
    }
    int *nodes = parents + frame_at(pixels + 1);
    const int node = y * width + x + 1;
    nodes[node] = !ridge ? NOTHING : (length > high ? 0 : node);
    if (node == 1) {
        nodes[0] = 0;
    }
}

// Joins every kept pixel with its kept neighbours to the left and above.
KERNEL(canny_join, 256, int *parents, int width, int height) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) {
        return;
    }
    int *nodes = parents + frame_at((size_t)width * height + 1);
    const int node = y * width + x + 1;
    if (nodes[node] == NOTHING) {
        return;
    }
    if (x > 0 && nodes[node - 1] != NOTHING) {
        join(nodes, node, node - 1);
    }
    if (y == 0) {
        return;
    }
    for (int column = x > 0 ? x - 1 : 0; column <= x + 1 && column < width; column++) {
        const int above = (y - 1) * width + column + 1;
        if (nodes[above] != NOTHING) {
            join(nodes, node, above);
        }
    }
}

// edges (frames, height, width): 255 in node 0's set, else 0; counts (frames) gains their number.
// One block makes 32 rows of 8, so that few additions meet at a count.
KERNEL(canny_finish, 256, const int *parents, u8 *edges, unsigned *counts, int width, int height) {
    __shared__ unsigned sums[256];
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const size_t pixels = (size_t)width * height;
    const int *nodes = parents + frame_at(pixels + 1);
    u8 *out = edges + frame_at(pixels);
    unsigned own = 0;
    for (int i = 0; i < 8; i++) {
        const int y = (blockIdx.y * 8 + i) * blockDim.y + threadIdx.y;
        if (x < width && y < height) {
            const int node = y * width + x + 1;
            const bool edge = nodes[node] != NOTHING && root_of(nodes, node) == 0;
            out[node - 1] = edge ? 255 : 0;
            own += edge;
        }
    }
    const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
    sums[thread] = own;
    for (unsigned half = blockDim.x * blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half) {
            sums[thread] += sums[thread + half];
        }
    }
    if (thread == 0 && sums[0] > 0) {
        atomicAdd(&counts[blockIdx.z], sums[0]);
    }
}
