"""OpenCV's side of `cargo xtask bench kernels --against opencv`.

Answers the lines that gpu-sidecar/examples/kernels answers, in the same way, on the pictures that
it wrote. OpenCV is held to one thread and given its outputs' memory, so that neither threads nor
allocation are measured.
"""

import json
import sys
import time
from pathlib import Path

import cv2
import numpy

CALLS_MIN, CALLS_MAX = 3, 2000


def main(folder):
    cv2.setNumThreads(1)
    for line in sys.stdin:
        what, kernel, size, *rest = line.split()
        call = prepare(folder, kernel, size)
        if what == "time":
            print(json.dumps(measure(call, float(rest[1]) / 1e3)), flush=True)
        else:
            Path(rest[0]).write_bytes(call().tobytes())
            print("{}", flush=True)


def measure(call, span):
    call()
    calls = []
    start = time.perf_counter()
    while len(calls) < CALLS_MIN or (
        time.perf_counter() - start < span and len(calls) < CALLS_MAX
    ):
        before = time.perf_counter()
        call()
        calls.append((time.perf_counter() - before) * 1e3)
    calls.sort()
    return {"median_ms": calls[len(calls) // 2], "least_ms": calls[0]}


def prepare(folder, kernel, size):
    width, height = map(int, size.split("x"))

    def read(name):
        samples = numpy.fromfile(folder / f"{name}-{size}.raw", numpy.uint8)
        return samples.reshape(height, width, -1).squeeze()

    out = numpy.empty((height, width), numpy.uint8)
    if kernel == "gray":
        color = read("color")
        return lambda: cv2.cvtColor(color, cv2.COLOR_BGR2GRAY, dst=out)
    if kernel.startswith("canny"):
        frame, l2 = read(kernel.split("_")[-1]), "_l2_" in kernel
        return lambda: cv2.Canny(frame, 15, 60, edges=out, L2gradient=l2)
    if kernel.startswith("close"):
        frame, side = read("shapes"), int(kernel.split("_")[1].split("x")[0])
        shape = cv2.MORPH_ELLIPSE if kernel.endswith("ellipse") else cv2.MORPH_RECT
        element = cv2.getStructuringElement(shape, (side, side))
        return lambda: cv2.morphologyEx(frame, cv2.MORPH_CLOSE, element, dst=out)
    if kernel.startswith("sobel"):
        _, axis, aperture = kernel.split("_")
        frame, wide = read("noise" if aperture == "7" else "textured"), out.astype(numpy.int16)
        order = (1, 0) if axis == "x" else (0, 1)
        return lambda: cv2.Sobel(frame, cv2.CV_16S, *order, dst=wide, ksize=int(aperture))
    if kernel.startswith("laplacian"):
        frame, wide = read("textured"), out.astype(numpy.int16)
        aperture = int(kernel.split("_")[1])
        return lambda: cv2.Laplacian(frame, cv2.CV_16S, dst=wide, ksize=aperture)
    if kernel.startswith("resize"):
        _, how, numerator, of = kernel.split("_")
        frame = read("textured")
        to = (width * int(numerator) // int(of), height * int(numerator) // int(of))
        how = cv2.INTER_AREA if how == "area" else cv2.INTER_LINEAR
        smaller = numpy.empty(to[::-1], numpy.uint8)
        return lambda: cv2.resize(frame, to, dst=smaller, interpolation=how)
    prev, following = read("shapes"), read("shapes_next")
    flags = cv2.OPTFLOW_FARNEBACK_GAUSSIAN if kernel.endswith("gaussian") else 0
    flow = numpy.empty((height, width, 2), numpy.float32)
    seed = (0.5, 3, 15, 3, 5, 1.2, flags)
    return lambda: cv2.calcOpticalFlowFarneback(prev, following, flow, *seed)


main(Path(sys.argv[1]))
