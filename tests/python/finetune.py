"""Fine-tuning of an exported ViT in PyTorch with timm, beside `cargo xtask finetune --recipe v3-vit`.

    finetune.py ENCODER.safetensors FOLDER [--lr 1e-3] [--batch 128] [--epochs 15] [--warmup-epochs 2] [--seed S]

ENCODER is what `cargo xtask export --to timm` has written; FOLDER holds `train/CLASS/*` and `test/CLASS/*`. The recipe is
DeiT's, with timm's own parts: bicubic crops, flips, RandAugment, random erasing, Mixup and CutMix, drop path, AdamW. As in
`cargo xtask finetune`, the rate moves with each step, and the images of an epoch that do not fill a batch are left out.
Needs torch, torchvision, timm and safetensors.
"""

import argparse
import contextlib
import io
import math
import random

import numpy
import torch
from PIL import Image
from safetensors import safe_open
from timm.data import Mixup, auto_augment, create_transform
from timm.layers import DropPath
from timm.loss import SoftTargetCrossEntropy
from torch import nn
from torchvision import datasets, transforms

MIXUP, CUTMIX, SMOOTHING, ERASING, DROP_PATH = 0.8, 1.0, 0.1, 0.25, 0.1
WEIGHT_DECAY, WARMUP_LR, END_LR = 0.05, 1e-6, 1e-5


def posterize(image, bits, **_):
    """timm's, which asks for 0 bits at full magnitude; Pillow refuses that from version 13 on, and gave black before."""
    return auto_augment.posterize(image, bits) if bits else Image.new(image.mode, image.size)


def encoder(file):
    """The encoder, its image size, and its mean and standard deviation."""
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    scope = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(metadata["python"], scope)
    height, width = eval(metadata["image_size"])
    assert height == width
    return scope["model"], height, eval(metadata["mean"]), eval(metadata["std"])


def drop_paths(model, rate):
    """Gives the blocks the rates that timm gives them, linearly from 0 in the first one."""
    for block, own in zip(model.blocks, torch.linspace(0, rate, len(model.blocks)).tolist()):
        block.drop_path1, block.drop_path2 = DropPath(own), DropPath(own)


def groups(model):
    """Parameters with and without weight decay: none for biases, norms, positions and tokens."""
    kept, decayed = [], []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(True)
        is_kept = parameter.ndim < 2 or name in ("0.pos_embed", "0.cls_token")
        (kept if is_kept else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": kept, "weight_decay": 0.0}]


def rate(peak, epochs_done, warmup, epochs):
    if epochs_done < warmup:
        return WARMUP_LR + (peak - WARMUP_LR) * epochs_done / warmup
    return END_LR + (peak - END_LR) * 0.5 * (1 + math.cos(math.pi * epochs_done / epochs))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder")
    parser.add_argument("folder")
    parser.add_argument("--lr", type=float, default=2.5e-4)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--warmup-epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for seed in (torch.manual_seed, random.seed, numpy.random.seed):
        seed(arguments.seed)

    auto_augment.NAME_TO_OP["PosterizeIncreasing"] = posterize
    backbone, size, mean, std = encoder(arguments.encoder)
    view = create_transform(
        (3, size, size),
        is_training=True,
        color_jitter=None,
        auto_augment="rand-m9-mstd0.5-inc1",
        interpolation="bicubic",
        re_prob=ERASING,
        re_mode="pixel",
        mean=mean,
        std=std,
    )
    # timm erases on the device that it is told, the graphics card unless it is another.
    view.transforms[-1].device = "cpu"
    eval_view = transforms.Compose(
        [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor(), transforms.Normalize(mean, std)]
    )
    train = datasets.ImageFolder(f"{arguments.folder}/train", view)
    test = datasets.ImageFolder(f"{arguments.folder}/test", eval_view)
    n_classes = len(train.classes)
    drop_paths(backbone, DROP_PATH)
    classifier = nn.Linear(backbone.num_features, n_classes)
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)
    model = nn.Sequential(backbone, classifier)
    optimizer = torch.optim.AdamW(groups(model))
    mix = Mixup(MIXUP, CUTMIX, label_smoothing=SMOOTHING, num_classes=n_classes)
    loss_of = SoftTargetCrossEntropy()
    loader = torch.utils.data.DataLoader(train, arguments.batch, shuffle=True, drop_last=True)
    peak = arguments.lr * arguments.batch / 256
    for epoch in range(arguments.epochs):
        model.train()
        total = 0.0
        for step, (images, labels) in enumerate(loader):
            at = epoch + step / len(loader)
            for group in optimizer.param_groups:
                group["lr"] = rate(peak, at, arguments.warmup_epochs, arguments.epochs)
            images, targets = mix(images, labels)
            loss = loss_of(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() / len(loader)
        print(f"epoch {epoch + 1}: loss {total:.4f}", flush=True)
    model.eval()
    right, loss = 0, 0.0
    with torch.no_grad():
        for images, labels in torch.utils.data.DataLoader(test, 256):
            logits = model(images)
            right += (logits.argmax(1) == labels).sum().item()
            loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
    print(f"test loss {loss / len(test):.4f}, top-1 {100 * right / len(test):.2f} %")


if __name__ == "__main__":
    main()
