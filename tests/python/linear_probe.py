"""What an exported encoder is worth in PyTorch: the figures of `cargo xtask knn` and `cargo xtask linear`, beside ours.

    linear_probe.py ENCODER.safetensors FOLDER --recipe v2|v3-resnet|v3-vit [--cached] [--lr 3,30] [--epochs N] [--seed S]

ENCODER is what `cargo xtask export --to torchvision` or `--to timm` has written; FOLDER holds `train/CLASS/*` and
`test/CLASS/*`. Needs torch, torchvision, timm and safetensors.
"""

import argparse
import contextlib
import io
import math

import torch
from safetensors import safe_open
from torch import nn
from torchvision import datasets, transforms

# Base learning rate for 256 images, batch, epochs, and whether the rate falls by a cosine.
RECIPES = {
    "v2": (30, 256, 100, False),
    "v3-resnet": (0.1, 1024, 90, True),
    "v3-vit": (3, 1024, 90, True),
}


def encoder(file):
    """The encoder, its image size, and its normalization."""
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    scope = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(metadata["python"], scope)
    height, width = eval(metadata["image_size"])
    assert height == width
    return scope["model"].eval(), height, transforms.Normalize(eval(metadata["mean"]), eval(metadata["std"]))


@torch.no_grad()
def features(model, images):
    """Features and labels of all of `images`, in their order."""
    loader = torch.utils.data.DataLoader(images, batch_size=256)
    rows, labels = zip(*[(model(batch), labels) for batch, labels in loader])
    return torch.cat(rows), torch.cat(labels)


def knn(train, test, k, temperature=0.1):
    """Top-1 of votes weighted by exp(similarity / T), in per cent."""
    (rows, labels), (test_rows, test_labels) = train, test
    similarities = nn.functional.normalize(test_rows) @ nn.functional.normalize(rows).T
    nearest, places = similarities.topk(k)
    votes = torch.zeros(len(test_rows), int(labels.max()) + 1)
    votes.scatter_add_(1, labels[places], (nearest / temperature).exp())
    return top1(votes, test_labels)


def top1(scores, labels):
    return 100 * (scores.argmax(1) == labels).float().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder")
    parser.add_argument("folder")
    parser.add_argument("--recipe", choices=RECIPES, required=True)
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--lr", type=lambda text: [float(rate) for rate in text.split(",")])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)

    model, size, normalize = encoder(arguments.encoder)
    plain = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor(), normalize])
    random = transforms.Compose(
        [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), transforms.ToTensor(), normalize]
    )
    folder = lambda split, view: datasets.ImageFolder(f"{arguments.folder}/{split}", view)
    train, test = (features(model, folder(split, plain)) for split in ("train", "test"))
    for k in (20, 200):
        print(f"kNN k {k} T 0.1: {knn(train, test, k):.2f} %")

    base, batch, epochs, is_cosine = RECIPES[arguments.recipe]
    epochs = arguments.epochs or epochs
    rates = [rate * batch / 256 for rate in arguments.lr or [base]]
    n_classes, width = int(train[1].max()) + 1, train[0].shape[1]
    probes = [nn.Linear(width, n_classes) for _ in rates]
    for probe in probes:
        nn.init.normal_(probe.weight, std=0.01)
        nn.init.zeros_(probe.bias)
    optimizers = [torch.optim.SGD(probe.parameters(), rate, momentum=0.9) for probe, rate in zip(probes, rates)]
    cached = torch.utils.data.TensorDataset(*train)
    images = cached if arguments.cached else folder("train", random)
    loader = torch.utils.data.DataLoader(images, batch, shuffle=True)
    for epoch in range(epochs):
        if is_cosine:
            factor = 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        else:
            factor = 0.1 ** sum(10 * epoch >= share * epochs for share in (6, 8))
        for optimizer, rate in zip(optimizers, rates):
            optimizer.param_groups[0]["lr"] = rate * factor
        for batch_images, labels in loader:
            with torch.no_grad():
                rows = batch_images if arguments.cached else model(batch_images)
            for probe, optimizer in zip(probes, optimizers):
                optimizer.zero_grad()
                nn.functional.cross_entropy(probe(rows), labels).backward()
                optimizer.step()
    name = "cached features, no augmentation" if arguments.cached else "random views"
    for probe, rate in zip(probes, rates):
        print(f"linear probe, {name}, {epochs} epochs, base rate {rate * 256 / batch:g}: {top1(probe(test[0]), test[1]):.2f} %")


if __name__ == "__main__":
    main()
