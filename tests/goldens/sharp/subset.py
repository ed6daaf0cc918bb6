"""Writes this folder's goldens: a part of the full set, small enough to be tracked.

    python3 tests/goldens/sharp/subset.py ../shared/reference/sharp/cases

Every number is upstream's, copied from the full set (see `reference` in each case.json); nothing is
computed here. Small cases are whole. Of the end-to-end case the tensors that take more than a few
kilobytes are left out, but for inputs and results. Python's standard library is enough.
"""

import json
import shutil
import struct
import sys
from pathlib import Path

HERE = Path(__file__).parent
WHOLE = [
    "00_scalar_functions",
    "01_preprocess",
    "07_initializer_composer",
    "08_unproject",
    "09_ply",
    "10_ply_edge_values",
    "15_render_trajectory",
]
THINNED = ["11_e2e_grid2_no_overlap"]
# Bytes of a tensor that is kept although it is neither input nor result.
BYTES_MAX = 6_000


def copy(source, target):
    if target.exists():
        shutil.rmtree(target)
    target.mkdir()
    for path in sorted(source.rglob("*")):
        new = target / path.relative_to(source)
        if path.is_dir():
            new.mkdir()
        else:
            new.write_bytes(path.read_bytes())


def thin(source, target):
    target.mkdir(exist_ok=True)
    case = json.loads((source / "case.json").read_text())
    data = (source / "io.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    kept, tensors = b"", {}
    for name, entry in list(case["tensors"].items()):
        begin, end = header[name]["data_offsets"]
        wanted = entry["role"] == "input" or name.startswith(("out.", "ndc."))
        if not wanted and end - begin > BYTES_MAX:
            del case["tensors"][name]
            continue
        tensors[name] = {**header[name], "data_offsets": [len(kept), len(kept) + end - begin]}
        kept += body[begin:end]
    text = json.dumps(tensors, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (target / "io.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + kept)
    (target / "case.json").write_text(json.dumps(case, indent=1) + "\n")
    (target / "weights.safetensors").write_bytes((source / "weights.safetensors").read_bytes())


def main():
    full = Path(sys.argv[1])
    for name in WHOLE:
        copy(full / name, HERE / name)
    for name in THINNED:
        thin(full / name, HERE / name)


main()
