// Morphology of 8-bit planes with any kernel (SPEC §4); exact. Pixels outside never win.
//
// `dilate` says whether the largest or the least value wins. Planes are (frames, height, width,
// channels); columns of the grid count width * channels.
#include "kernel.cuh"

namespace {

__device__ inline int pick(int a, int b, int dilate) { return (dilate ? a > b : a < b) ? a : b; }

}  // namespace

// offsets (count, 2): columns and rows from the pixel to each cell that counts.
KERNEL(morphology_cells, 256, const u8 *from, u8 *to, int width, int height, int channels,
       const int *offsets, int count, int dilate) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= width * channels || y >= height) {
        return;
    }
    const int x = column / channels, channel = column % channels;
    const size_t pitch = (size_t)width * channels;
    const u8 *image = from + frame_at(pitch * height) + channel;
    int best = dilate ? 0 : 255;
    for (int i = 0; i < count; i++) {
        const int at_x = x + offsets[2 * i], at_y = y + offsets[2 * i + 1];
        if (at_x >= 0 && at_x < width && at_y >= 0 && at_y < height) {
            best = pick(best, image[at_y * pitch + (size_t)at_x * channels], dilate);
        }
    }
    to[frame_at(pitch * height) + y * pitch + column] = best;
}

// Half of a full rectangle: `length` cells along the rows, or with `down` along the columns, of
// which `before` lie before the pixel.
KERNEL(morphology_line, 256, const u8 *from, u8 *to, int width, int height, int channels,
       int length, int before, int down, int dilate) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= width * channels || y >= height) {
        return;
    }
    const size_t pitch = (size_t)width * channels;
    const int at = down ? y : column / channels, end = down ? height : width;
    const size_t step = down ? pitch : channels;
    const size_t own = frame_at(pitch * height) + y * pitch + column;
    const u8 *line = from + own - at * step;
    const int first = at - before > 0 ? at - before : 0;
    const int last = at - before + length < end ? at - before + length : end;
    int best = dilate ? 0 : 255;
    for (int i = first; i < last; i++) {
        best = pick(best, line[i * step], dilate);
    }
    to[own] = best;
}

// a - b, not below 0.
KERNEL(subtract, 256, const u8 *a, const u8 *b, u8 *out, i64 count) {
    const i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (i < count) {
        out[i] = a[i] > b[i] ? a[i] - b[i] : 0;
    }
}
