"""Weights between this program and PyTorch, both ways. `tests/exchange.rs` runs it; see there.

    round_trip.py check -- FEATURES FILE... [-- FEATURES FILE...]
                                           loads exported files as their own lines say, compares features
    round_trip.py folders [FEATURES FOLDER]...
                                           loads encoder folders in each way that they offer, compares features
    round_trip.py make FOLDER IMAGES       writes checkpoints in the formats of both reference repositories, with features
    round_trip.py wrap FOLDER              writes small encoders as other libraries save them, with features
    round_trip.py store FOLDER             writes the small files that are kept for machines without PyTorch

Needs torch, torchvision, timm, safetensors, onnx and onnxruntime.
"""

import argparse
import enum
import os
import pickle
import runpy
import sys
import zipfile
from collections import OrderedDict, defaultdict
from functools import partial
from pathlib import Path

import numpy
import onnx
import onnxruntime
import timm
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer

TOLERANCE = 1e-4


def difference(ours, theirs):
    """The largest difference, as a share of the largest value."""
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} and {tuple(theirs.shape)}"
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


# Exported files.


def metadata(file):
    if file.endswith(".onnx"):
        return {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    with safe_open(file, "pt") as opened:
        return opened.metadata()


def run_lines(file):
    """Runs the lines that an exported file has for its loading, and gives what they define."""
    scope = {}
    exec(metadata(file)["python"], scope)
    return scope


def names_of_detectron2(name):
    """torchvision's name to detectron2's."""
    if not name.startswith("layer"):
        name = "stem." + name
    for stage in (4, 3, 2, 1):
        name = name.replace(f"layer{stage}.", f"res{stage + 1}.")
    for number in (1, 2, 3):
        name = name.replace(f".bn{number}.", f".conv{number}.norm.")
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def weights_of_repository(file):
    """The weights in the file that an exported file's lines make, under the names of torchvision or timm."""
    run_lines(file)
    stem, target = file.removesuffix(".safetensors"), metadata(file)["target"]
    if target == "detectron2":
        with open(stem + ".pkl", "rb") as opened:
            made = pickle.load(opened)["model"]
        return {name: torch.from_numpy(values) for name, values in made.items()}
    if target == "deit":
        return torch.load(stem + ".pth", weights_only=True)["model"]
    made = torch.load(stem + ".pth.tar", weights_only=True)["state_dict"]
    side = {"moco": ("encoder_q", "encoder_k"), "moco-v3": ("base_encoder", "momentum_encoder")}[target]
    prefix = f"module.{side[metadata(file)['encoder'] == 'momentum']}."
    inside = {name.removeprefix(prefix): values for name, values in made.items() if name.startswith(prefix)}
    assert inside, f"nothing in {file} starts with {prefix}"
    return inside


def check(features, files):
    """Compares what the encoder in each file gives for `images` with `features`; prints a line a file."""
    expected = load_file(features)
    models = {}
    worst = 0.0
    for file in files:
        target = metadata(file)["target"]
        if target in ("torchvision", "timm"):
            model = models[target] = run_lines(file)["model"]
        elif target == "onnx":
            onnx.checker.check_model(file, full_check=True)
            session = run_lines(file)["model"]
            model = lambda images: torch.from_numpy(session(images.numpy()))
        else:
            # What the repository's script gets is loaded into the model of an earlier file, emptied before.
            made = weights_of_repository(file)
            model = models["torchvision" if "fc.weight" in made or "conv1.weight" in made or target == "detectron2" else "timm"]
            state = model.state_dict()
            if target == "detectron2":
                made = {name: made[names_of_detectron2(name)] for name in state}
            model.load_state_dict({name: torch.zeros_like(values) for name, values in state.items()})
            model.load_state_dict(made, strict=True)
        with torch.no_grad():
            ours = model(expected["images"])
        off = difference(ours, expected["features"])
        worst = max(worst, off)
        print(f"{Path(file).name}: off by {off:.1e}")
    assert worst <= TOLERANCE, f"off by {worst}"


def check_folder(features, folder):
    """Compares what the encoder in a folder gives for `images` with `features`; prints a line for each way to load it."""
    expected, worst = load_file(features), 0.0
    ways = {"load.py": runpy.run_path(str(folder / "load.py"))["model"]}
    if (folder / "config.json").exists():
        ways["timm"] = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    if (folder / "encoder.onnx").exists():
        session = onnxruntime.InferenceSession(folder / "encoder.onnx")
        ways["onnx"] = lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    for way, model in ways.items():
        with torch.no_grad():
            off = difference(model(expected["images"]), expected["features"])
        worst = max(worst, off)
        print(f"{folder.parent.name}: {way}: off by {off:.1e}")
    assert worst <= TOLERANCE, f"off by {worst}"


# Checkpoints of the reference repositories.


def shake(model, seed):
    """Draws every weight and statistic of a model, so that none is where it started."""
    generator = torch.Generator().manual_seed(seed)
    for name, values in model.state_dict().items():
        if values.dtype == torch.int64:
            values.fill_(1000 + seed)
        elif name.endswith("running_var"):
            values.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith("running_mean") or values.dim() == 1:
            values.add_(0.1 * torch.randn(values.shape, generator=generator))
        else:
            values.add_(0.2 * values.std() * torch.randn(values.shape, generator=generator))
    return model.eval()


def mlp(widths, last_affine):
    """A head of MoCo v3."""
    layers = []
    for i, (n_inputs, n_outputs) in enumerate(zip(widths, widths[1:])):
        layers.append(torch.nn.Linear(n_inputs, n_outputs, bias=False))
        if i < len(widths) - 2:
            layers += [torch.nn.BatchNorm1d(n_outputs), torch.nn.ReLU()]
        elif last_affine is not None:
            layers.append(torch.nn.BatchNorm1d(n_outputs, affine=last_affine))
    return torch.nn.Sequential(*layers)


def vit_small():
    """MoCo v3's: 12 heads."""
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    return VisionTransformer(embed_dim=384, depth=12, num_heads=12, norm_layer=norm, num_classes=0)


def named(prefix, model):
    return {f"module.{prefix}.{name}": values for name, values in model.state_dict().items()}


def optimizer_state(optimizer):
    """As after a step, because the tensors in it have to be skipped."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer.state_dict()


def moco_checkpoint(head, seed):
    encoders = []
    for side in (0, 1):
        encoder = torchvision.models.resnet50()
        encoder.fc = head()
        encoders.append(shake(encoder, seed + side))
    query, key = encoders
    state = OrderedDict(named("encoder_q", query) | named("encoder_k", key))
    state["module.queue"] = torch.nn.functional.normalize(torch.randn(128, 65536), dim=0)
    state["module.queue_ptr"] = torch.tensor([512])
    checkpoint = {"epoch": 200, "arch": "resnet50", "state_dict": {k: v.clone() for k, v in state.items()}}
    checkpoint["state_dict"] = OrderedDict(checkpoint["state_dict"])
    checkpoint["optimizer"] = optimizer_state(torch.optim.SGD(query.fc.parameters(), 0.03, momentum=0.9))
    return checkpoint


def moco_v3_checkpoint(seed):
    encoders = []
    for side in (0, 1):
        encoder = vit_small()
        encoder.head = mlp([384, 4096, 4096, 256], False)
        encoders.append(shake(encoder, seed + side))
    query, key = encoders
    predictor = shake(mlp([256, 4096, 256], False), seed + 2)
    state = OrderedDict(named("base_encoder", query) | named("momentum_encoder", key) | named("predictor", predictor))
    checkpoint = {"epoch": 300, "arch": "vit_small", "state_dict": OrderedDict((k, v.clone()) for k, v in state.items())}
    checkpoint["optimizer"] = optimizer_state(torch.optim.AdamW(predictor.parameters(), 1.5e-4))
    checkpoint["scaler"] = {"scale": 65536.0, "growth_factor": 2.0, "growth_interval": 2000, "_growth_tracker": 7}
    return checkpoint


def features_of(checkpoint, prefix, model, images):
    prefix = f"module.{prefix}."
    state = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    state = {k: v for k, v in state.items() if not k.startswith(("fc.", "head."))}
    model.load_state_dict(state, strict=True)
    with torch.no_grad():
        return model.eval()(images).contiguous()


def resnet50():
    model = torchvision.models.resnet50()
    model.fc = torch.nn.Identity()
    return model


def make(folder, images):
    images = load_file(images)["images"]
    mlp_of_v2 = lambda: torch.nn.Sequential(torch.nn.Linear(2048, 2048), torch.nn.ReLU(), torch.nn.Linear(2048, 128))
    for name, checkpoint, sides, model, is_zip in (
        ("moco_v1", lambda: moco_checkpoint(lambda: torch.nn.Linear(2048, 128), 10), ("encoder_q", "encoder_k"), resnet50, False),
        ("moco_v2", lambda: moco_checkpoint(mlp_of_v2, 20), ("encoder_q", "encoder_k"), resnet50, True),
        ("moco_v3", lambda: moco_v3_checkpoint(30), ("base_encoder", "momentum_encoder"), vit_small, True),
    ):
        checkpoint = checkpoint()
        torch.save(checkpoint, folder / f"{name}.pth.tar", _use_new_zipfile_serialization=is_zip)
        features = {side: features_of(checkpoint, side, model(), images) for side in sides}
        query, momentum = (features[side] for side in sides)
        save_file({"query": query, "momentum": momentum}, folder / f"{name}.features.safetensors")


# Stored files.


# Encoders as other libraries save them.


def small_vit(size, **more):
    """A ViT of patches of 4 pixels for images of `size`."""
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    return VisionTransformer(
        img_size=size, patch_size=4, embed_dim=64, depth=2, num_heads=1, norm_layer=norm, num_classes=0, **more
    )


def small_resnet(**more):
    model = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], **more)
    model.fc = torch.nn.Identity()
    return model


def state(model, prefix=""):
    return {prefix + name: values.clone() for name, values in model.state_dict().items()}


def sequence(model):
    """torchvision's ResNet as lightly has it."""
    return torch.nn.Sequential(*list(model.children())[:-1])


def positions_of_mae(dim, side):
    """The table of facebookresearch/mae: the column comes first."""
    omega = 1.0 / 10000 ** (torch.arange(dim // 4, dtype=torch.float64) / (dim / 4.0))
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = [place.flatten()[:, None] * omega for place in (column, row)]
    table = torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)
    return torch.cat([torch.zeros(1, dim), table.float()])[None]


def wrapped():
    """Each case: what is saved, and the encoders whose features are asked for, of images of a size."""
    beside = {"args": argparse.Namespace(lr=0.1), "best": numpy.float64(1.5), "epoch": 3}
    a, b = shake(small_resnet(), 1), shake(small_resnet(), 2)
    yield "torchvision", state(a), [a], 32
    yield "compiled", {"state_dict": state(a, "module._orig_mod.")} | beside, [a], 32
    yield "simsiam", {"state_dict": state(a, "module.encoder.") | {"module.predictor.0.weight": torch.ones(2, 2)}} | beside, [a], 32
    heads = {"projector.0.weight": torch.ones(2, 2), "classifier.weight": torch.ones(2, 2), "queue": torch.ones(1, 2, 2)}
    yield "solo", {"state_dict": state(a, "backbone.") | state(b, "momentum_backbone.") | heads} | beside, [a, b], 32
    numbered = state(sequence(a), "backbone.") | state(sequence(b), "backbone_momentum.")
    yield "lightly", {"state_dict": numbered} | beside, [a, b], 32
    wide = shake(small_resnet(width_per_group=128), 3)
    yield "wide", {"model_state_dict": state(wide)} | beside, [wide], 32
    timms = timm.models.resnet.ResNet(timm.models.resnet.Bottleneck, [1, 1, 1, 1], base_width=128, num_classes=0)
    yield "timm-wide", state(shake(timms, 4)), [timms], 32
    grouped = shake(small_resnet(groups=32, width_per_group=4), 11)
    yield "grouped", {"state_dict": state(grouped, "module.")} | beside, [grouped], 32
    timms = timm.models.resnet.ResNet(timm.models.resnet.Bottleneck, [1, 1, 1, 1], cardinality=64, base_width=4, num_classes=0)
    yield "timm-grouped", state(shake(timms, 12)), [timms], 32

    a, b = shake(small_vit(16), 5), shake(small_vit(16), 6)
    yield "deit", {"model": state(a)} | beside, [a], 16
    head = {"module.head.mlp.0.weight": torch.ones(2, 2)}
    yield "dino", {"student": state(a, "module.backbone.") | head, "teacher": state(b, "backbone.")} | beside, [a, b], 16
    # For images of another size: trained positions, as timm makes them fit.
    large, small = shake(small_vit(32), 7), small_vit(16)
    fitted = state(large)
    fitted["pos_embed"] = timm.layers.resample_abs_pos_embed(fitted["pos_embed"], [4, 4], [8, 8], 1)
    small.load_state_dict(fitted)
    yield "larger", {"model": state(large)} | beside, [small.eval()], 16
    # The same of fixed ones, as MAE computes them.
    large, small = shake(small_vit(32), 8), small_vit(16)
    saved = state(large) | {"pos_embed": positions_of_mae(64, 8)}
    small.load_state_dict(saved | {"pos_embed": positions_of_mae(64, 4)})
    decoder = {"mask_token": torch.ones(1, 1, 8), "decoder_embed.weight": torch.ones(8, 64), "decoder_pos_embed": torch.ones(1, 65, 8)}
    yield "mae", {"model": saved | decoder} | beside, [small.eval()], 16
    # DINOv2's names and positions; timm's converter adds the first position to the class token.
    model = shake(small_vit(16, init_values=0.5, reg_tokens=4, no_embed_class=True), 9)
    saved = state(model)
    first = torch.randn(1, 1, 64)
    saved["cls_token"] = saved["cls_token"] - first
    saved["pos_embed"] = torch.cat([first, saved["pos_embed"]], dim=1)
    saved["register_tokens"] = saved.pop("reg_token")
    saved["mask_token"] = torch.zeros(1, 64)
    yield "dinov2", saved, [model], 16
    model = shake(small_vit(16, init_values=0.5, reg_tokens=4), 10)
    yield "timm-registers", state(model), [model], 16


def wrap(folder):
    generator = torch.Generator().manual_seed(0)
    for name, saved, models, size in wrapped():
        torch.save(saved, folder / f"{name}.pth")
        images = torch.randn(4, 3, size, size, generator=generator)
        with torch.no_grad():
            features = {f"features{i}": model(images).contiguous() for i, model in enumerate(models)}
        save_file({"images": images} | features, folder / f"{name}.safetensors")
        print(name, size, len(models))


class Code:
    """What an attacker puts into a pickle."""

    def __reduce__(self):
        return (os.system, ("true",))


def layout(state):
    return "".join(f"{name} {'x'.join(map(str, values.shape)) or '-'}\n" for name, values in state.items())


class Phase(enum.Enum):
    DONE = 2


def store_beside(folder):
    """Weights beside what training scripts save with them, and beside code."""
    attributed = torch.arange(3.0)
    attributed.note = "kept on the tensor"
    beside = {
        "args": argparse.Namespace(lr=0.03, path=Path("a"), phase=Phase.DONE),
        "best_acc1": numpy.float64(55.5),
        "curve": numpy.arange(3),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "set": {1, 2},
        "frozen": frozenset([1]),
        "bytes": bytearray(b"ab"),
        "large": 1 << 80,
        "complex": 1j,
        "range": range(3),
        "logs": defaultdict(list, {"loss": [1.0]}),
        "generator": torch.get_rng_state(),
        "code": Code(),
    }
    for protocol in (2, 5):
        checkpoint = beside | {"state_dict": {"x": torch.arange(3.0), "attributed": attributed}}
        torch.save(checkpoint, folder / f"beside{protocol}.pth", pickle_protocol=protocol)
        torch.save(checkpoint, folder / f"beside{protocol}_stream.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=False)


def store_code(folder):
    """A small ResNet with code in the place of a weight, and with code beside its weights."""
    weights = torch.load(folder / "cases" / "tv.pth", weights_only=True)
    torch.save({"state_dict": weights | {"layer2.0.bn1.bias": Code()}}, folder / "cases" / "code_as_weight.pth")
    torch.save(weights | {"hook": Code(), "hooks.0": Code()}, folder / "cases" / "code_beside.pth")


def store(folder):
    store_beside(folder)
    store_code(folder)
    resnets = {f"torchvision_{name}": getattr(torchvision.models, name)() for name in ("resnet18", "resnet50", "resnext50_32x4d")}
    resnets |= {f"timm_{name}": timm.create_model(name) for name in ("resnet50", "resnext50_32x4d")}
    for name, model in resnets.items():
        model.fc = torch.nn.Identity()
        (folder / f"{name}.txt").write_text(layout(model.state_dict()))
    (folder / "timm_vit_small.txt").write_text(layout(vit_small().state_dict()))
    vit = torchvision.models.VisionTransformer(224, 16, 12, 12, 384, 1536)
    vit.heads = torch.nn.Identity()
    (folder / "torchvision_vit_small.txt").write_text(layout(vit.state_dict()))

    values = torch.arange(12.0).reshape(3, 4) / 8
    shared = torch.arange(10.0)
    state = OrderedDict(
        [
            ("float", values),
            ("half", values.half()),
            ("bfloat", values.bfloat16()),
            ("transposed", values.t()),
            ("part", shared[2:5]),
            ("other", shared[::3]),
            ("parameter", torch.nn.Parameter(values[0])),
            ("count", torch.tensor(7)),
            ("empty", torch.zeros(0, 2)),
        ]
    )
    state._metadata = OrderedDict({"": {"version": 1}})
    checkpoint = {"epoch": 3, "arch": "none", "state_dict": state, "optimizer": {"lr": 0.1, "betas": (0.9, 0.99), "on": True}}
    torch.save(checkpoint, folder / "archive.pth")
    torch.save(checkpoint, folder / "stream.pth", _use_new_zipfile_serialization=False)
    torch.save({"model": {"x": values}}, folder / "protocol4.pth", pickle_protocol=4)
    torch.save({"x": values, "note": "beside"}, folder / "bare.pth")
    # The name is in the archive. With one of 21 letters, an entry of its directory is as long as the record at its end.
    torch.save({"x": values}, folder / "checkpoint_epoch_0100.pth")
    torch.save({"state_dict": {"x": values, "code": Code()}}, folder / "code_archive.pth")
    torch.save({"state_dict": {"x": values, "code": Code()}}, folder / "code_stream.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": {"x": values.double()}}, folder / "double.pth")
    torch.save({"state_dict": {"x": torch.ones(1).expand(1000)}}, folder / "expanded.pth")
    torch.save({"x": torch.eye(3).to_sparse()}, folder / "sparse.pth")
    torch.save({"x": torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8)}, folder / "quantized.pth")
    torch.save({"x": torch.eye(3).to(torch.float8_e4m3fn)}, folder / "float8.pth")
    torch.save({"epoch": 3}, folder / "nothing.pth")
    torch.save(torch.nn.Linear(1, 1), folder / "module.pth")
    with open(folder / "plain.pkl", "wb") as file:
        pickle.dump({"x": 1}, file, 2)
    # A storage of zeros, compressed: a hundred times what the file has.
    torch.save({"state_dict": {"x": torch.zeros(100_000)}}, folder / "bomb.tmp")
    with zipfile.ZipFile(folder / "bomb.tmp") as old, zipfile.ZipFile(folder / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    (folder / "bomb.tmp").unlink()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    match sys.argv[1:]:
        case ["check", "--", *groups]:
            while groups:
                end = groups.index("--") if "--" in groups else len(groups)
                check(groups[0], groups[1:end])
                groups = groups[end + 1 :]
        case ["folders", *pairs]:
            for features, folder in zip(pairs[::2], pairs[1::2]):
                check_folder(features, Path(folder))
        case ["make", folder, images]:
            make(Path(folder), images)
        case ["wrap", folder]:
            wrap(Path(folder))
        case ["store", folder]:
            store(Path(folder))
        case _:
            sys.exit(__doc__)
