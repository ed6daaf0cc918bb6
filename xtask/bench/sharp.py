"""SHARP's network in PyTorch, on the same random parameters as `postern-sidecar bench sharp`.

Written from the SPEC for one purpose: to be timed beside ours, stage by stage, on the same machine in
the same run. Prints the same JSON. Parameters come from the seed, name and index, as in
`gpu-sidecar/src/nn/random.rs`, so that the depths of both can be compared.
"""

import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

SIDE, WINDOW, GRID, WIDTH, HEADS, DEPTH = 1536, 384, 24, 1024, 16, 24
DIMS = [256, 256, 512, 1024, 1024]
MONO = "monodepth_model.monodepth_predictor."
MASK = (1 << 64) - 1


def parameter(seed, name, shape):
    key = 0xCBF29CE484222325 ^ seed
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001B3) & MASK
    count = int(np.prod(shape))
    out = np.empty(count, np.float32)
    if len(shape) == 1:
        middle, spread = (1.0 if name.endswith(("weight", "gamma")) else 0.0), 0.1
    else:
        middle, spread = 0.0, (3.0 / np.prod(shape[1:])) ** 0.5
    step = 1 << 22
    with np.errstate(over="ignore"):
        for begin in range(0, count, step):
            end = min(begin + step, count)
            z = np.arange(begin + 1, end + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            z += np.uint64(key)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = (z ^ (z >> np.uint64(31))) >> np.uint64(40)
            unit = z.astype(np.float32) / np.float32(1 << 24)
            out[begin:end] = np.float32(middle) + np.float32(spread) * (2 * unit - 1)
    return torch.from_numpy(out.reshape(shape))


class Network:
    def __init__(self, seed):
        self.seed, self.parts = seed, {}

    def get(self, name, *shape):
        if name not in self.parts:
            self.parts[name] = parameter(self.seed, name, shape)
        return self.parts[name]

    def conv(self, x, name, out, kernel, bias=True, stride=1, padding=None):
        weight = self.get(f"{name}.weight", out, x.shape[1], kernel, kernel)
        bias = self.get(f"{name}.bias", out) if bias else None
        padding = kernel // 2 if padding is None else padding
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)

    def double(self, x, name, out, bias=False):
        weight = self.get(f"{name}.weight", x.shape[1], out, 2, 2)
        bias = self.get(f"{name}.bias", out) if bias else None
        return F.conv_transpose2d(x, weight, bias, stride=2)

    def linear(self, x, name, out):
        weight = self.get(f"{name}.weight", out, x.shape[-1])
        return F.linear(x, weight, self.get(f"{name}.bias", out))

    def layer_norm(self, x, name):
        weight, bias = self.get(f"{name}.weight", WIDTH), self.get(f"{name}.bias", WIDTH)
        return F.layer_norm(x, (WIDTH,), weight, bias, 1e-6)

    def vit(self, images, prefix, hooks=()):
        x = self.conv(images, f"{prefix}.patch_embed.proj", WIDTH, 16, stride=16, padding=0)
        x = x.flatten(2).transpose(1, 2)
        batch = x.shape[0]
        token = self.get(f"{prefix}.cls_token", 1, 1, WIDTH).expand(batch, -1, -1)
        x = torch.cat([token, x], 1) + self.get(f"{prefix}.pos_embed", 1, GRID * GRID + 1, WIDTH)
        hooked = []
        for index in range(DEPTH):
            at = f"{prefix}.blocks.{index}"
            qkv = self.linear(self.layer_norm(x, f"{at}.norm1"), f"{at}.attn.qkv", 3 * WIDTH)
            qkv = qkv.reshape(batch, -1, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
            y = self.linear(y.transpose(1, 2).flatten(2), f"{at}.attn.proj", WIDTH)
            x = x + self.get(f"{at}.ls1.gamma", WIDTH) * y
            y = F.gelu(self.linear(self.layer_norm(x, f"{at}.norm2"), f"{at}.mlp.fc1", 4 * WIDTH))
            x = x + self.get(f"{at}.ls2.gamma", WIDTH) * self.linear(y, f"{at}.mlp.fc2", WIDTH)
            if index in hooks:
                hooked.append(as_map(x))
        return as_map(self.layer_norm(x, f"{prefix}.norm")), hooked

    def branch(self, x, name, out):
        x = self.conv(x, f"{name}.0", out[0], 1, bias=False)
        for index, channels in enumerate(out[1:]):
            x = self.double(x, f"{name}.{index + 1}", channels)
        return x

    def unit(self, x, name):
        y = self.conv(F.relu(x), f"{name}.residual.1", x.shape[1], 3)
        return x + self.conv(F.relu(y), f"{name}.residual.3", x.shape[1], 3)

    def fusion(self, x, lateral, name, doubles):
        if lateral is not None:
            x = x + self.unit(lateral, f"{name}.resnet1")
        x = self.unit(x, f"{name}.resnet2")
        if doubles:
            x = self.double(x, f"{name}.deconv", x.shape[1])
        return self.conv(x, f"{name}.out_conv", x.shape[1], 1)

    def decoder(self, maps, name, channels):
        x = None
        for level in reversed(range(5)):
            lateral = maps[level]
            if level or lateral.shape[1] != channels:
                at = f"{name}.convs.{level}"
                lateral = self.conv(lateral, at, channels, 3 if level else 1, bias=False)
            first = x is None
            at = f"{name}.fusions.{level}"
            x = self.fusion(lateral if first else x, None if first else lateral, at, level > 0)
        return x

    def norm_block(self, x, name):
        def norm(x, at):
            weight, bias = self.get(f"{at}.weight", x.shape[1]), self.get(f"{at}.bias", x.shape[1])
            return F.relu(F.group_norm(x, 8, weight, bias, 1e-5))

        y = self.conv(norm(x, f"{name}.residual.0"), f"{name}.residual.2", x.shape[1] // 2, 3)
        return x + self.conv(norm(y, f"{name}.residual.3"), f"{name}.residual.5", x.shape[1], 3)

    def head(self, x, name):
        x = self.norm_block(self.norm_block(x, f"{name}.0"), f"{name}.1")
        return F.relu(self.conv(F.relu(x), f"{name}.3", 32, 1))

    def predict(self, image, factor, clock):
        clock("patch_encoder")
        x0 = 2 * image - 1
        half = lambda x, by: F.interpolate(x, scale_factor=by, mode="bilinear")
        x1, x2 = half(x0, 0.5), half(x0, 0.25)
        windows0, windows1 = split(x0, 288), split(x1, 192)
        patch, whole = MONO + "encoder.patch_encoder", MONO + "encoder.image_encoder"
        features, hooks = self.vit(torch.cat([windows0, windows1, x2]), patch, (5, 11))
        clock("image_encoder")
        low, _ = self.vit(x2, whole)
        clock("upsample")
        at = MONO + "encoder."
        up2 = self.branch(features[34:], at + "upsample2", [1024, 1024])
        low = self.double(low, at + "upsample_lowres", 1024, bias=True)
        maps = [
            self.branch(merge(hooks[0][:25], 3), at + "upsample_latent0", [256] * 4),
            self.branch(merge(hooks[1][:25], 3), at + "upsample_latent1", [256] * 3),
            self.branch(merge(features[:25], 3), at + "upsample0", [512] * 2),
            self.branch(merge(features[25:34], 6), at + "upsample1", [1024] * 2),
            self.conv(torch.cat([up2, low], 1), at + "fuse_lowres", 1024, 1),
        ]
        del features, hooks
        clock("depth_decoder")
        x = self.decoder(maps, MONO + "decoder", 256)
        clock("depth_head")
        x = self.double(self.conv(x, MONO + "head.0", 128, 3), MONO + "head.1", 128, bias=True)
        x = F.relu(self.conv(x, MONO + "head.2", 32, 3))
        disparity = F.relu(self.conv(x, MONO + "head.4", 2, 1))
        del x
        clock("initialize")
        depth = factor / disparity.clamp(1e-4, 1e4)
        q = 1 / (depth / (depth.amin() + 1e-6)).clamp(max=100)
        inputs = 2 * torch.cat([image, q], 1) - 1
        clock("feature_decoder")
        x = self.decoder(maps, "feature_model.decoder", 128)
        clock("feature_fusion")
        skip = self.conv(inputs, "feature_model.image_encoder.conv", 128, 2, stride=2, padding=0)
        x = self.fusion(x, skip, "feature_model.fusion", False)
        clock("feature_heads")
        texture = self.head(x, "feature_model.texture_head")
        geometry = self.head(x, "feature_model.geometry_head")
        self.conv(texture, "prediction_head.texture_prediction_head", 22, 1)
        delta = self.conv(geometry, "prediction_head.geometry_prediction_head", 6, 1)
        clock(None)
        return depth_of_first_layer(depth, delta)


def depth_of_first_layer(depth, delta):
    """Mean depth of the visible layer's Gaussians, as the composer makes it."""
    scale = depth.amin() + 1e-6
    base = F.max_pool2d(1 / (depth / scale).clamp(max=100), 2)[:, 0].double()
    shifted = base + torch.log(-torch.expm1(-base)) + 0.001 * delta[:, 4].double()
    return float((scale / (F.softplus(shifted) + 1e-3)).mean())


def as_map(tokens):
    return tokens[:, 1:].transpose(1, 2).reshape(tokens.shape[0], WIDTH, GRID, GRID)


def split(x, stride):
    starts = range(0, x.shape[-1] - WINDOW + 1, stride)
    return torch.cat([x[:, :, i : i + WINDOW, j : j + WINDOW] for i in starts for j in starts])


def merge(maps, padding):
    count = int(maps.shape[0] ** 0.5)
    cut = lambda i: slice(padding if i else 0, GRID - (padding if i + 1 < count else 0))
    window = lambda i, j: maps[i * count + j : i * count + j + 1, :, cut(i), cut(j)]
    row = lambda i: torch.cat([window(i, j) for j in range(count)], 3)
    return torch.cat([row(i) for i in range(count)], 2)


def picture():
    index = torch.arange(3 * SIDE * SIDE)
    channel, y, x = index // SIDE**2, index // SIDE % SIDE, index % SIDE
    x, y = x.float() / SIDE, y.float() / SIDE
    wave = torch.sin(9 * x + 2.0 * channel) * torch.cos(7 * y - channel)
    return (0.5 + 0.5 * wave).reshape(1, 3, SIDE, SIDE)


def main():
    threads, rounds, seed = (int(word) for word in sys.argv[1:4])
    torch.set_num_threads(threads)
    network, image, done = Network(seed), picture(), []
    with torch.inference_mode():
        for number in range(rounds + 1):
            stages, current = [], [None, 0.0]

            def clock(name):
                now = time.perf_counter()
                if current[0]:
                    stages.append({"stage": current[0], "ms": (now - current[1]) * 1e3})
                current[:] = [name, now]

            begin = time.perf_counter()
            depth = network.predict(image, 0.8, clock)
            total = (time.perf_counter() - begin) * 1e3
            print(f"{total:.0f} ms", file=sys.stderr)
            # The first makes the parameters.
            if number:
                done.append({"stages": stages, "total_ms": total, "mean_depth": depth})
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    peak = int(peak.split()[1]) * 1024
    print(json.dumps({"torch": torch.__version__, "threads": threads, "rounds": done,
                      "peak_memory_bytes": peak}))


if __name__ == "__main__":
    main()
