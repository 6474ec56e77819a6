"""MoCo v2's demo on CIFAR-10 in PyTorch, at the width of `pipelines/cifar10/mocov2-narrow.ron`: the curve beside that file's.

    cifar10.py FOLDER [--epochs 100] [--stop-after 20] [--width 16] [--seed 0] [--threads 2] [--float32]

FOLDER holds `train/CLASS/*` and `test/CLASS/*`. Prints a JSON line after each epoch, with kNN top-1 of the head's outputs
before training, after every tenth epoch and after the last.
Views, network, split batch norm, shuffled keys, queue, optimizer and schedule are those of the pipeline file. Initial values
have the same distributions and are other draws, as are the views. Needs torch and torchvision.
"""

import argparse
import copy
import json
import math
import time

import torch
import torch.nn.functional as F
from torch import nn
from torchvision import datasets, models, transforms
from torchvision.models.resnet import BasicBlock

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]
BATCH, QUEUE, TEMPERATURE, MOMENTUM, SPLITS = 512, 4096, 0.1, 0.99, 8
LEARNING_RATE, WEIGHT_DECAY = 0.06, 5e-4


class SplitBatchNorm(nn.BatchNorm2d):
    """Statistics of each of `SPLITS` parts of a batch by itself, as on as many devices."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        n, c, h, w = x.shape
        mean, var = self.running_mean.repeat(SPLITS), self.running_var.repeat(SPLITS)
        parts = x.reshape(n // SPLITS, SPLITS * c, h, w)
        y = F.batch_norm(parts, mean, var, self.weight.repeat(SPLITS), self.bias.repeat(SPLITS), True, self.momentum, self.eps)
        self.running_mean.copy_(mean.view(SPLITS, c).mean(0))
        self.running_var.copy_(var.view(SPLITS, c).mean(0))
        return y.reshape(n, c, h, w)


def encoder(width):
    """ResNet-18 with the CIFAR stem, of base width `width`, and a linear head."""
    net = models.ResNet(BasicBlock, [2, 2, 2, 2], norm_layer=SplitBatchNorm)
    net.inplanes = width
    net.conv1, net.bn1, net.maxpool = nn.Conv2d(3, width, 3, 1, 1, bias=False), SplitBatchNorm(width), nn.Identity()
    for number, stride in enumerate([1, 2, 2, 2]):
        setattr(net, f"layer{number + 1}", net._make_layer(BasicBlock, width << number, 2, stride))
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    net.fc = nn.Linear(width << 3, 128)
    return net


@torch.no_grad()
def outputs(net, images):
    net.eval()
    found = torch.cat([F.normalize(net(part), dim=1) for part in images.split(500)])
    net.train()
    return found


def knn(net, train, labels, test, truth):
    """kNN top-1: the 200 nearest training images by cosine, weighted by exp(similarity / 0.1)."""
    bank, right = outputs(net, train), 0
    for queries, truths in zip(outputs(net, test).split(500), truth.split(500)):
        similar, nearest = (queries @ bank.T).topk(200, dim=1)
        votes = torch.zeros(len(queries), 10).scatter_add_(1, labels[nearest], (similar / 0.1).exp())
        right += (votes.argmax(1) == truths).sum().item()
    return right / len(truth)


def read(folder, plain):
    images = [(datasets.folder.default_loader(path), label) for path, label in datasets.ImageFolder(folder).samples]
    return [image for image, _ in images], torch.stack([plain(image) for image, _ in images]), torch.tensor([y for _, y in images])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=100, help="those of the schedule")
    parser.add_argument("--stop-after", type=int, help="end after this epoch of the schedule")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--float32", action="store_true", help="instead of bfloat16")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    plain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    jitter = transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)
    view = transforms.Compose([
        transforms.RandomResizedCrop(32, (0.08, 1.0)),
        transforms.RandomHorizontalFlip(),
        transforms.RandomApply([jitter], 0.8),
        transforms.RandomGrayscale(0.2),
        plain,
    ])
    images, train, labels = read(f"{args.folder}/train", plain)
    _, test, truth = read(f"{args.folder}/test", plain)

    query = encoder(args.width)
    key = copy.deepcopy(query).requires_grad_(False)
    queue, at = F.normalize(torch.randn(QUEUE, 128), dim=1), 0
    optimizer = torch.optim.SGD(query.parameters(), LEARNING_RATE, momentum=0.9, weight_decay=WEIGHT_DECAY)
    print(json.dumps({"epoch": 0, "knn_top1": knn(query, train, labels, test, truth)}), flush=True)
    last = args.stop_after or args.epochs
    for epoch in range(1, last + 1):
        begin, total, order = time.perf_counter(), 0.0, torch.randperm(len(images)).tolist()
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * epoch / args.epochs))
        steps = len(images) // BATCH
        for step in range(steps):
            batch = order[step * BATCH:(step + 1) * BATCH]
            x, y = (torch.stack([view(images[i]) for i in batch]) for _ in range(2))
            with torch.autocast("cpu", torch.bfloat16, enabled=not args.float32):
                q = F.normalize(query(x).float(), dim=1)
                with torch.no_grad():
                    for slow, fast in zip(key.parameters(), query.parameters()):
                        slow.lerp_(fast, 1 - MOMENTUM)
                    shuffle = torch.randperm(BATCH)
                    k = F.normalize(key(y[shuffle]).float(), dim=1)[shuffle.argsort()]
            logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / TEMPERATURE
            loss = F.cross_entropy(logits, torch.zeros(BATCH, dtype=torch.long))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            queue = queue.clone()
            queue[at:at + BATCH], at = k, (at + BATCH) % QUEUE
            total += loss.item()
        line = {"epoch": epoch, "loss": total / steps, "seconds": time.perf_counter() - begin}
        if epoch % 10 == 0 or epoch == last:
            line["knn_top1"] = knn(query, train, labels, test, truth)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
