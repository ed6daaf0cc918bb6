"""The names that this package sends, beside those of the gate's contract."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args, get_type_hints

import pytest
from gate import REPOSITORY

from postern_client import AlignOptions, SharpParams, VisionParams, align, sharp, vision

CONTRACT = json.loads((REPOSITORY / "docs/contracts/openapi.json").read_text())


def schema(path: str) -> dict[str, Any]:
    if path not in CONTRACT["paths"]:
        pytest.skip(f"the contract has no {path} yet")
    content = CONTRACT["paths"][path]["post"]["requestBody"]["content"]
    return resolved(content["application/json"]["schema"])


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        found: Any = CONTRACT
        for name in value["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        value = found
    return value


def test_the_parameters_of_vision_are_those_of_the_contract() -> None:
    document, hints = schema(vision.PATH)["properties"], get_type_hints(VisionParams)
    # The files, which are arguments of their own.
    assert document.keys() - hints.keys() == {"video", "frames"}
    assert hints.keys() <= document.keys()
    groups = {name for name in hints if "properties" in resolved(document[name])}
    assert groups == {"farneback", "canny", "morphology", "heatmap", "defects"}
    for name in groups:
        below = resolved(document[name])["properties"]
        assert get_type_hints(hints[name]).keys() == below.keys(), name
    artifacts = resolved(document["outputs"])["items"]["enum"]
    assert set(get_args(vision.Artifact)) == set(artifacts)


def test_what_sharp_is_sent_is_in_the_contract() -> None:
    document = schema(sharp.PATH)["properties"]
    assert get_type_hints(SharpParams).keys() | {"outputs", "image"} <= document.keys()
    assert set(get_args(sharp.OutputName)) <= set(resolved(document["outputs"])["items"]["enum"])
    assert set(get_args(sharp.Axes)) == set(resolved(document["axes"])["enum"])
    assert set(get_args(sharp.Trajectory)) == set(resolved(document["trajectory"])["enum"])


def test_what_align_is_sent_is_in_the_contract_with_the_same_defaults() -> None:
    document = schema(align.PATH)["properties"]
    options = {field.name: field.default for field in dataclasses.fields(AlignOptions)}
    assert options.keys() | {"source", "target"} <= document.keys()
    for name, value in options.items():
        # What is not given is the gate's own to choose.
        if value is not None:
            assert resolved(document[name]).get("default") == value, name
