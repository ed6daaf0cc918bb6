"""PyTorch's side of `cargo xtask bench nn --against torch`.

Answers the lines that gpu-sidecar/examples/nn answers, in the same way, on the same numbers.
"""

import json
import sys
import time
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F

CALLS_MIN, CALLS_MAX = 3, 2000


def main():
    torch.set_grad_enabled(False)
    for line in sys.stdin:
        what, layer, size, *rest = line.split()
        call = prepare(layer, [int(number) for number in size.split("x")])
        if what == "time":
            torch.set_num_threads(int(rest[0]))
            print(json.dumps(measure(call, float(rest[1]) / 1e3)), flush=True)
        else:
            Path(rest[0]).write_bytes(call().contiguous().numpy().tobytes())
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


def tensor(seed, *shape):
    index = numpy.arange(numpy.prod(shape), dtype=numpy.uint32)
    mixed = (index + numpy.uint32((seed << 28) & 0xFFFFFFFF)) * numpy.uint32(2654435769)
    mixed = (mixed ^ (mixed >> numpy.uint32(15))) * numpy.uint32(2246822519)
    values = (mixed >> numpy.uint32(8)).astype(numpy.float32)
    values = values / numpy.float32(8388608) - numpy.float32(1)
    return torch.from_numpy(values.reshape(shape))


def prepare(layer, size):
    if layer in ("linear", "linear_gelu"):
        rows, depth, out = size
        x, weight, bias = tensor(1, rows, depth), tensor(2, out, depth), tensor(3, out)
        if layer == "linear":
            return lambda: F.linear(x, weight, bias)
        return lambda: F.gelu(F.linear(x, weight, bias))
    if layer in ("conv", "conv_patches"):
        channels, out, kernel, side = size
        x, bias = tensor(1, 1, channels, side, side), tensor(3, out)
        weight = tensor(2, out, channels, kernel, kernel)
        stride, padding = (1, kernel // 2) if layer == "conv" else (kernel, 0)
        return lambda: F.conv2d(x, weight, bias, stride, padding)
    if layer == "conv_transpose":
        channels, out, side = size
        x, weight = tensor(1, 1, channels, side, side), tensor(2, channels, out, 2, 2)
        bias = tensor(3, out)
        return lambda: F.conv_transpose2d(x, weight, bias, 2)
    if layer == "attention":
        batch, tokens, heads, width = size
        qkv = tensor(1, batch, tokens, 3, heads, width)

        def attention():
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v)
            return y.transpose(1, 2).reshape(batch, tokens, heads * width)

        return attention
    if layer == "layer_norm":
        rows, width = size
        x, weight, bias = tensor(1, rows, width), tensor(2, width), tensor(3, width)
        return lambda: F.layer_norm(x, (width,), weight, bias, 1e-6)
    if layer == "group_norm_relu":
        channels, groups, side = size
        x = tensor(1, 1, channels, side, side)
        weight, bias = tensor(2, channels), tensor(3, channels)
        return lambda: F.relu(F.group_norm(x, groups, weight, bias, 1e-5))
    raise ValueError(f"no layer is called {layer}")


main()
