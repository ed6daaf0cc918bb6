"""Writes this folder's goldens: a part of the full set, small enough to be tracked.

    python3 tests/goldens/vision/subset.py ../shared/reference/vision/cases

Every number is OpenCV's, copied from the full set (see `reference` in its manifest); nothing is
computed here. Flows are thinned to every n-th pixel, the steps of one flow to their first rows,
and two colour frames that are only used in gray are replaced by the golden of their gray.
Python's standard library is enough.
"""

import json
import math
import shutil
import struct
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Flow cases, and how much further each is thinned.
FLOWS = {
    "zoom_seed": 4,
    "zoom_gauss": 4,
    "zoom_even_win_pyr06": 4,
    "far_it1": 3,
    "far_init": 3,
    "noisy_cuda_defaults": 3,
    "rot_l0_poly7": 2,
    "square_seed": 3,
    "flat": 1,
}
# Rows of each step that are kept; the others are kept whole.
STAGE_ROWS = {"level0": 6, "level1": 12}
STAGES_WITHOUT = {"level2.R1"}
GRAY = ["rgbnoise"]
CANNY = [0, 4, 5, 8, 9, 10, 11, 12, 13, 15, 18]
MORPHOLOGY = [0, 4, 6, 7, 8, 10, 11, 12, 15, 16, 17, 19, 20, 21, 22, 23]
RESIZE = [4, 6, 7, 9, 12, 13]
SHARPNESS = ["clip_0_gray", "coffee_gray", "camera_0"]
# Colour frames that the subset only needs in gray: their gray golden becomes the frame.
AS_GRAY = ["clip_0", "coffee"]


def read_tensors(path):
    data = path.read_bytes()
    (header_bytes,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + header_bytes])
    body = data[8 + header_bytes :]
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        tensors[name] = (entry["dtype"], entry["shape"], body[start:end])
    return tensors


def write_tensors(path, tensors):
    header, body = {}, b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def thin(tensor, step):
    """`tensor[::step, ::step]` of a `[H, W, 2]` f32 tensor."""
    dtype, (height, width, channels), data = tensor
    pixel = 4 * channels
    rows = [data[y * width * pixel : (y + 1) * width * pixel] for y in range(0, height, step)]
    pixels = [row[x * pixel : (x + 1) * pixel] for row in rows for x in range(0, width, step)]
    shape = [math.ceil(height / step), math.ceil(width / step), channels]
    return dtype, shape, b"".join(pixels)


def first_rows(tensor, rows):
    dtype, (height, *rest), data = tensor
    rows = min(rows, height)
    return dtype, [rows, *rest], data[: len(data) // height * rows]


class Subset:
    def __init__(self, source):
        self.source = source
        self.full = json.loads((source / "manifest.json").read_text())
        self.manifest = {"reference": self.full["reference"], "frames": {}}
        for name in AS_GRAY:
            height, width, _ = self.full["frames"][name]["shape"]
            self.full["frames"][f"{name}_gray"] = {
                "file": f"gray/{name}.png",
                "shape": [height, width],
                "source": f"{self.full['frames'][name]['source']}, BGR->gray",
            }

    def copy(self, file):
        (HERE / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.source / file, HERE / file)

    def frame(self, name):
        """Takes a frame along and returns its name in the subset."""
        base = name.removesuffix(" (BGR->gray first)").removesuffix("_gray")
        if base in AS_GRAY:
            name = f"{base}_gray"
        frame = self.full["frames"][name]
        self.manifest["frames"][name] = frame
        self.copy(frame["file"])
        return name

    def flows(self):
        entries = []
        for entry in self.full["flow"]:
            step = FLOWS.get(entry["name"])
            if step is None:
                continue
            self.frame(entry["prev"])
            self.frame(entry["next"])
            if "init" in entry:
                self.copy(entry["init"]["file"])
            old = entry.get("subsample", {"y0": 0, "x0": 0, "step": 1})
            entry["subsample"] = {**old, "step": old["step"] * step}
            tensors = read_tensors(self.source / entry["file"])
            thinned = {name: thin(tensor, step) for name, tensor in tensors.items()}
            write_tensors(HERE / entry["file"], thinned)
            entries.append(entry)
        self.manifest["flow"] = entries

    def stages(self):
        entry = self.full["flow_stages"]
        kept = {}
        for name, tensor in read_tensors(self.source / entry["file"]).items():
            if name not in STAGES_WITHOUT:
                rows = STAGE_ROWS.get(name.split(".")[0], tensor[1][0])
                kept[name] = first_rows(tensor, rows)
        write_tensors(HERE / entry["file"], kept)
        self.manifest["flow_stages"] = entry

    def pictures(self):
        self.manifest["gray"] = [e for e in self.full["gray"] if e["bgr"] in GRAY]
        for entry in self.manifest["gray"]:
            self.frame(entry["bgr"])
            self.copy(entry["expected"])
        self.manifest["canny"] = [self.full["canny"][i] for i in CANNY]
        for entry in self.manifest["canny"]:
            entry["input"] = self.frame(entry["input"])
            self.copy(entry["expected"])
        self.manifest["morphology"] = [self.full["morphology"][i] for i in MORPHOLOGY]
        self.manifest["structuring_elements"] = self.full["structuring_elements"]
        for entry in self.manifest["morphology"]:
            self.copy(entry["input"])
            self.copy(entry["expected"])

    def resizes(self):
        self.manifest["resize"] = [self.full["resize"][i] for i in RESIZE]
        kept = {}
        for entry in self.manifest["resize"]:
            for place in (entry["input"], entry["expected"]):
                file, _, tensor = place.partition(":")
                if tensor:
                    kept.setdefault(file, {})[tensor] = read_tensors(self.source / file)[tensor]
                else:
                    self.copy(file)
        for file, tensors in kept.items():
            write_tensors(HERE / file, tensors)

    def write(self):
        self.pictures()
        self.flows()
        self.stages()
        self.resizes()
        self.manifest["i420"] = self.full["i420"]
        self.copy(self.full["i420"]["file"])
        entries = [e for e in self.full["sharpness"] if e["frame"] in SHARPNESS]
        for entry in entries:
            self.frame(entry["frame"])
        self.manifest["sharpness"] = entries
        sections = []
        for name, section in self.manifest.items():
            if isinstance(section, list):
                lines = ",\n  ".join(json.dumps(entry) for entry in section)
                sections.append(f"{json.dumps(name)}: [\n  {lines}\n ]")
            else:
                sections.append(f"{json.dumps(name)}: {json.dumps(section)}")
        (HERE / "manifest.json").write_text("{\n " + ",\n ".join(sections) + "\n}\n")


Subset(Path(sys.argv[1])).write()
