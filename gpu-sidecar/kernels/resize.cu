// Resizing: linear and area, f32 and u8 (SPEC §5). u8 results are exact; f32 results are those of
// the CPU, sum for sum.
//
// Planes are (frames, height, width, channels); `factor` multiplies every f32 result (a flow grows
// and shrinks with its plane; 1 elsewhere). One thread makes one sample of one channel: columns of
// the grid count width * channels.
#include "kernel.cuh"

namespace {

// Where destination `i` falls between source pixels: past `first` by `fraction` of the way.
struct Spot {
    int first;
    float fraction;
};

// Rounded to f32 before the floor, as the portable build of OpenCV does.
__device__ inline Spot spot(int i, int from, int to) {
    const float at = (float)((i + 0.5) * ((double)from / (double)to) - 0.5);
    const float first = floorf(at);
    return Spot{(int)first, at - first};
}

// As `spot`, but on the edge pixel itself when it falls outside the image.
__device__ inline Spot spot_inside(int i, int from, int to) {
    const Spot inside = spot(i, from, to);
    if (inside.first < 0) {
        return Spot{0, 0.0f};
    }
    if (inside.first >= from - 1) {
        return Spot{from - 1, 0.0f};
    }
    return inside;
}

__device__ inline float lerp(float a, float b, float fraction) {
    return a * (1.0f - fraction) + b * fraction;
}

__device__ inline float scaled(float value, double factor) {
    return (float)((double)value * factor);
}

// Weights are whole numbers of 1/2048.
__device__ inline int fixed(float weight) { return (int)rintf(weight * 2048.0f); }

// The source pixels [first, end) under destination `i`, whose cell is [start, stop).
struct Cell {
    double start, stop, length;
    int first, end;
};

__device__ inline Cell cell(int i, int from, int to) {
    const double q = (double)from / (double)to;
    const double start = i * q;
    const double stop = fmin(start + q, (double)from);
    const int end = (int)ceil(stop);
    return Cell{start, stop, fmin(q, from - start), (int)start, end < from ? end : from};
}

// The share of a pixel in its cell; 0 when they overlap by no more than a thousandth.
__device__ inline float share(const Cell &cell, int pixel) {
    const double overlap = fmin(pixel + 1.0, cell.stop) - fmax((double)pixel, cell.start);
    return overlap > 1e-3 ? (float)(overlap / cell.length) : 0.0f;
}

// The mean of `image` (height, width, channels) under destination pixel (x, y): rows of f32 sums
// where the ratio is whole, shares of pixels elsewhere; in the CPU's order either way.
template <typename T>
__device__ float area_mean(const T *image, int from_width, int from_height, int to_width,
                           int to_height, int channels, int channel, int x, int y) {
    float sum = 0.0f;
    if (from_width % to_width == 0 && from_height % to_height == 0) {
        const int across = from_width / to_width, down = from_height / to_height;
        for (int row = y * down; row < (y + 1) * down; row++) {
            for (int column = x * across; column < (x + 1) * across; column++) {
                sum += (float)image[((size_t)row * from_width + column) * channels + channel];
            }
        }
        return sum * (1.0f / (float)(across * down));
    }
    const Cell rows = cell(y, from_height, to_height), columns = cell(x, from_width, to_width);
    for (int row = rows.first; row < rows.end; row++) {
        const float row_share = share(rows, row);
        if (row_share == 0.0f) {
            continue;
        }
        float mean = 0.0f;
        for (int column = columns.first; column < columns.end; column++) {
            const float column_share = share(columns, column);
            if (column_share != 0.0f) {
                const size_t at = ((size_t)row * from_width + column) * channels + channel;
                mean += column_share * (float)image[at];
            }
        }
        sum += row_share * mean;
    }
    return sum;
}

}  // namespace

KERNEL(resize_linear_f32, 256, const float *from, float *to, int from_width, int from_height,
       int to_width, int to_height, int channels, double factor) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= to_width * channels || y >= to_height) {
        return;
    }
    const int x = column / channels, channel = column % channels;
    const Spot across = spot_inside(x, from_width, to_width);
    const Spot down = spot_inside(y, from_height, to_height);
    const float *image = from + frame_at((size_t)from_width * from_height * channels) + channel;
    const float *upper = image + (size_t)down.first * from_width * channels;
    const float *lower =
        image + (size_t)replicate(down.first + 1, from_height) * from_width * channels;
    const int left = across.first * channels;
    const int right = replicate(across.first + 1, from_width) * channels;
    const float above = lerp(upper[left], upper[right], across.fraction);
    const float below = lerp(lower[left], lower[right], across.fraction);
    float *plane = to + frame_at((size_t)to_width * to_height * channels);
    plane[(size_t)y * to_width * channels + column] =
        scaled(lerp(above, below, down.fraction), factor);
}

KERNEL(resize_area_f32, 256, const float *from, float *to, int from_width, int from_height,
       int to_width, int to_height, int channels, double factor) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= to_width * channels || y >= to_height) {
        return;
    }
    const float mean =
        area_mean(from + frame_at((size_t)from_width * from_height * channels), from_width,
                  from_height, to_width, to_height, channels, column % channels,
                  column / channels, y);
    float *plane = to + frame_at((size_t)to_width * to_height * channels);
    plane[(size_t)y * to_width * channels + column] = scaled(mean, factor);
}

// In fixed point. Exactly half the size in both directions is `resize_area_u8` instead.
KERNEL(resize_linear_u8, 256, const u8 *from, u8 *to, int from_width, int from_height,
       int to_width, int to_height, int channels) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= to_width * channels || y >= to_height) {
        return;
    }
    const int x = column / channels, channel = column % channels;
    const Spot across = spot_inside(x, from_width, to_width);
    // Downwards the fraction stays at the edges and the rows are clamped instead.
    const Spot down = spot(y, from_height, to_height);
    const u8 *image = from + frame_at((size_t)from_width * from_height * channels) + channel;
    const size_t pitch = (size_t)from_width * channels;
    const u8 *upper = image + replicate(down.first, from_height) * pitch;
    const u8 *lower = image + replicate(down.first + 1, from_height) * pitch;
    const int left = across.first * channels;
    const int right = replicate(across.first + 1, from_width) * channels;
    const int w0 = fixed(1.0f - across.fraction), w1 = fixed(across.fraction);
    const int above = w0 * upper[left] + w1 * upper[right];
    const int below = w0 * lower[left] + w1 * lower[right];
    const int v0 = fixed(1.0f - down.fraction), v1 = fixed(down.fraction);
    const int sum = ((v0 * (above >> 4)) >> 16) + ((v1 * (below >> 4)) >> 16) + 2;
    const int value = sum >> 2;
    u8 *plane = to + frame_at((size_t)to_width * to_height * channels);
    plane[(size_t)y * to_width * channels + column] = value < 0 ? 0 : (value > 255 ? 255 : value);
}

// Rounded half to even; the mean of 2x2 pixels half up.
KERNEL(resize_area_u8, 256, const u8 *from, u8 *to, int from_width, int from_height, int to_width,
       int to_height, int channels) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= to_width * channels || y >= to_height) {
        return;
    }
    const int x = column / channels, channel = column % channels;
    const u8 *image = from + frame_at((size_t)from_width * from_height * channels);
    u8 *plane = to + frame_at((size_t)to_width * to_height * channels);
    u8 *out = plane + (size_t)y * to_width * channels + column;
    if (from_width == 2 * to_width && from_height == 2 * to_height) {
        const u8 *upper = image + ((size_t)2 * y * from_width + 2 * x) * channels + channel;
        const u8 *lower = upper + (size_t)from_width * channels;
        *out = (upper[0] + upper[channels] + lower[0] + lower[channels] + 2) >> 2;
        return;
    }
    const float mean = rintf(area_mean(image, from_width, from_height, to_width, to_height,
                                       channels, channel, x, y));
    *out = (u8)fminf(fmaxf(mean, 0.0f), 255.0f);
}
