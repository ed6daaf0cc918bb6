"""Writes this folder's goldens: a part of the full set, small enough to be tracked.

    python3 tests/goldens/align/subset.py ../shared/reference/bertalign/cases

Every number is upstream's, copied from the full set; nothing is computed here. Whole documents are
third-party texts and stay outside. Python's standard library is enough.
"""

import json
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
# One of each kind: tiny, every switch, every size of bead and window, no signal, unequal lengths.
DP = "00 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20 21 22".split()
TEXT = "clean languages overlaps scorer split split_zh".split()


def main(whole: Path) -> None:
    for folder in ["dp", "text"]:
        shutil.rmtree(HERE / folder, ignore_errors=True)
        (HERE / folder).mkdir()
    for name in TEXT:
        shutil.copyfile(whole / "text" / f"{name}.json", HERE / "text" / f"{name}.json")
    manifest = json.loads((whole / "dp" / "manifest.json").read_text())
    manifest["cases"] = [case for case in manifest["cases"] if case["case"] in DP]
    for case in DP:
        name = f"{case}.safetensors"
        shutil.copyfile(whole / "dp" / name, HERE / "dp" / name)
    text = json.dumps(manifest, indent=1)
    # A line for each bead's numbers would be most of the file.
    (HERE / "dp" / "manifest.json").write_text(compact(text) + "\n")


def compact(text: str) -> str:
    """Lists of numbers and of lists on one line."""
    lines, depth, held = [], 0, ""
    for line in text.splitlines():
        word = line.strip()
        if depth == 0 and word.endswith('"beads": ['):
            depth, held = 1, line.rstrip()
            continue
        if depth:
            depth += word.count("[") - word.count("]")
            held += word if not word.endswith(",") else word + " "
            if depth == 0:
                lines.append(held.rstrip())
            continue
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
