"""Classifiers that this program has exported, in PyTorch and ONNX Runtime. `tests/exchange.rs` runs it; see there.

    classifier.py -- LOGITS FILE... [-- LOGITS FILE...]

Loads each FILE strictly, as its own lines say, and compares its logits for the images in LOGITS, and the classes that they
mean, with those in LOGITS. Needs torch, torchvision, timm, safetensors, onnx and onnxruntime.
"""

import json
import sys
from pathlib import Path

import onnx
import torch
from round_trip import difference, metadata, run_lines, weights_of_repository
from safetensors.torch import load_file

TOLERANCE = 3e-6


def check(logits, files):
    expected = load_file(logits)
    of_timm = None
    for file in files:
        facts, scope = metadata(file), run_lines(file)
        assert scope["classes"] == json.loads(facts["classes"]), f"{file} has other classes than its lines"
        match facts["target"]:
            case "onnx":
                onnx.checker.check_model(file, full_check=True)
                model = lambda images: torch.from_numpy(scope["model"](images.numpy()))
            case "deit":
                # What DeiT's script gets is loaded into timm's model, emptied before.
                model = of_timm
                state = {name: torch.zeros_like(values) for name, values in model.state_dict().items()}
                model.load_state_dict(state)
                model.load_state_dict(weights_of_repository(file), strict=True)
            case _:
                model = scope["model"]
        if facts["target"] == "timm":
            of_timm = model
        with torch.no_grad():
            ours = model(expected["images"])
        off = difference(ours, expected["logits"])
        classes = [[scope["classes"][i] for i in values.argmax(1)] for values in (ours, expected["logits"])]
        assert classes[0] == classes[1], f"{file} takes images for other classes"
        print(f"{Path(file).name}: off by {off:.1e}, {len(classes[0])} images of the same classes")
        assert off <= TOLERANCE, f"{file} is off by {off}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    match sys.argv[1:]:
        case ["--", *groups]:
            while groups:
                end = groups.index("--") if "--" in groups else len(groups)
                check(groups[0], groups[1:end])
                groups = groups[end + 1 :]
        case _:
            sys.exit(__doc__)
