"""LaBSE in PyTorch, on the same random parameters, sentences and batches as ours.

Written from the SPEC for one purpose: to be timed beside `gpu-sidecar/examples/encoders labse` on
the same machine in the same run. Prints the same JSON. Batches are padded to their longest sentence, as
sentence-transformers does; they are sorted by length, so little of them is padding.
"""

import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from sharp import parameter

WORDS, WIDTH, INNER, LAYERS, HEADS, PLACES = 501153, 768, 3072, 12, 12, 512
SHOWN = 8


def sequence(number):
    length = 8 + number * 7919 % 33
    return [(number * 104729 + place * 7919 + 1) % WORDS for place in range(length)]


def batches(sequences, tokens_max):
    found, tokens = [], 0
    for index in sorted(range(len(sequences)), key=lambda index: -len(sequences[index])):
        length = len(sequences[index])
        if not found or tokens + length > tokens_max:
            found.append([])
            tokens = 0
        found[-1].append(index)
        tokens += length
    return found


class Labse:
    def __init__(self, seed):
        self.seed, self.count = seed, 0
        table = lambda name, rows: self.get(f"embeddings.{name}_embeddings.weight", rows, WIDTH)
        self.words = table("word", WORDS)
        self.places = table("position", PLACES) + table("token_type", 2)[0]
        self.norm = self.pair("embeddings.LayerNorm", WIDTH)
        self.layers = [self.layer(f"encoder.layer.{index}") for index in range(LAYERS)]
        self.dense = self.pair("linear", WIDTH, WIDTH)

    def get(self, name, *shape):
        values = parameter(self.seed, name, shape)
        self.count += values.numel()
        return values

    def pair(self, name, *shape):
        return self.get(f"{name}.weight", *shape), self.get(f"{name}.bias", shape[0])

    def layer(self, name):
        own = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        parts = [self.pair(part, WIDTH, WIDTH) for part in own]
        return (
            (torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])),
            self.pair(f"{name}.attention.output.dense", WIDTH, WIDTH),
            self.pair(f"{name}.attention.output.LayerNorm", WIDTH),
            self.pair(f"{name}.intermediate.dense", INNER, WIDTH),
            self.pair(f"{name}.output.dense", WIDTH, INNER),
            self.pair(f"{name}.output.LayerNorm", WIDTH),
        )

    def vectors(self, sequences):
        longest = max(map(len, sequences))
        ids = torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens in sequences])
        lengths = torch.tensor([len(tokens) for tokens in sequences])
        mask = None
        if int(lengths.min()) < longest:
            mask = (torch.arange(longest)[None] < lengths[:, None])[:, None, None]
        norm = lambda x, gain: F.layer_norm(x, (WIDTH,), *gain, 1e-12)
        x = norm(F.embedding(ids, self.words) + self.places[:longest], self.norm)
        for qkv, out, attention_norm, intermediate, output, output_norm in self.layers:
            heads = F.linear(x, *qkv).view(len(sequences), longest, 3, HEADS, WIDTH // HEADS)
            query, key, value = heads.permute(2, 0, 3, 1, 4)
            seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
            seen = seen.transpose(1, 2).reshape(x.shape)
            x = norm(x + F.linear(seen, *out), attention_norm)
            x = norm(x + F.linear(F.gelu(F.linear(x, *intermediate)), *output), output_norm)
        return F.normalize(torch.tanh(F.linear(x[:, 0], *self.dense)), dim=1)


def main():
    threads, calls, seed, sentences, batch_tokens = map(int, sys.argv[1:])
    torch.set_num_threads(threads)
    sequences = [sequence(number) for number in range(sentences)]
    with torch.inference_mode():
        model = Labse(seed)
        vectors, times = torch.zeros(sentences, WIDTH), []
        for _ in range(calls):
            start = time.perf_counter()
            for batch in batches(sequences, batch_tokens):
                vectors[batch] = model.vectors([sequences[index] for index in batch])
            times.append({"wall_ms": (time.perf_counter() - start) * 1e3})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"parameters": model.count, "sentences": sentences, "calls": times,
                      "vectors": vectors[:, :SHOWN].tolist(), "peak_memory_bytes": peak}))


if __name__ == "__main__":
    main()
