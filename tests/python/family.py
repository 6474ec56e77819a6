"""MoCo's relatives in PyTorch, with the losses and heads of lightly: the curves beside `pipelines/cifar10/*-slice.ron`.

    family.py FOLDER --method simclr|byol|simsiam|dino [--epochs 20] [--seed 0] [--threads 2]

FOLDER holds `train/CLASS/*` and `test/CLASS/*`. Prints a JSON line after each epoch, with kNN top-1
before training and after every fifth epoch and the last.
Views, network, heads, loss, optimizer and schedules are those of the pipeline file. Initial values have the same distributions
and are other draws, as are the views. Needs torch, torchvision and lightly.
"""

import argparse
import copy
import json
import math
import time

import torch
import torch.nn.functional as F
from lightly.loss import DINOLoss, NegativeCosineSimilarity, NTXentLoss
from lightly.models.modules import heads
from lightly.models.utils import update_momentum
from torch import nn
from torchvision import datasets, models, transforms
from torchvision.models.resnet import BasicBlock

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]
WIDTH, BATCH, LEARNING_RATE, WEIGHT_DECAY = 16, 128, 0.06, 5e-4


def resnet18():
    """ResNet-18 with the CIFAR stem, a quarter of its width, and 128 features."""
    net = models.resnet18()
    net.inplanes = WIDTH
    net.conv1, net.bn1, net.maxpool = nn.Conv2d(3, WIDTH, 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.Identity()
    for number, stride in enumerate([1, 2, 2, 2]):
        setattr(net, f"layer{number + 1}", net._make_layer(BasicBlock, WIDTH << number, 2, stride))
    net.fc = nn.Identity()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return net


def recipe(size, scale):
    """The augmentations of one view."""
    jitter = transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)
    steps = [
        transforms.RandomResizedCrop(size, scale),
        transforms.RandomApply([jitter], 0.8),
        transforms.RandomGrayscale(0.2),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    return transforms.Compose(steps)


class Method(nn.Module):
    def after_backward(self, epoch):
        """What is done to gradients: nothing, by default."""


class SimClr(Method):
    views = [recipe(32, (0.2, 1.0))] * 2

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.projector = backbone, heads.SimCLRProjectionHead(WIDTH * 8, 128, 128)
        # As in the pipeline, and as SimCLR's second version has it: the last batch norm has no weights.
        self.projector.layers[-1] = nn.BatchNorm1d(128, affine=False)
        self.loss = NTXentLoss(temperature=0.2)

    def forward(self, views, epoch, at):
        return self.loss(*(self.projector(self.backbone(view)) for view in views))


class Byol(Method):
    views = [recipe(32, (0.2, 1.0))] * 2

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.projector = backbone, heads.BYOLProjectionHead(WIDTH * 8, 256, 128)
        self.predictor = heads.BYOLPredictionHead(128, 256, 128)
        self.target = copy.deepcopy(nn.Sequential(self.backbone, self.projector)).requires_grad_(False)
        self.loss = NegativeCosineSimilarity()

    def forward(self, views, epoch, at):
        update_momentum(nn.Sequential(self.backbone, self.projector), self.target, cosine(0.98, at))
        predictions = [self.predictor(self.projector(self.backbone(view))) for view in views]
        with torch.no_grad():
            targets = [self.target(view) for view in views]
        return crossed(self.loss, predictions, targets)


class SimSiam(Method):
    views = [recipe(32, (0.2, 1.0))] * 2

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.projector = backbone, heads.SimSiamProjectionHead(WIDTH * 8, 256, 256)
        self.predictor = heads.SimSiamPredictionHead(256, 64, 256)
        self.loss = NegativeCosineSimilarity()

    def forward(self, views, epoch, at):
        projections = [self.projector(self.backbone(view)) for view in views]
        predictions = [self.predictor(projection) for projection in projections]
        targets = [projection.detach() for projection in projections]
        return crossed(self.loss, predictions, targets)


class Dino(Method):
    views = [recipe(32, (0.4, 1.0))] * 2 + [recipe(16, (0.1, 0.4))] * 2

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.head = heads.DINOProjectionHead(WIDTH * 8, 256, 64, 1024, batch_norm=True, freeze_last_layer=1)
        # weight_norm's results cannot be copied: the teacher is made anew, and given the same values.
        teacher = heads.DINOProjectionHead(WIDTH * 8, 256, 64, 1024, batch_norm=True)
        teacher.load_state_dict(self.head.state_dict())
        self.teacher = nn.Sequential(copy.deepcopy(backbone), teacher).requires_grad_(False)
        self.loss = DINOLoss(1024, warmup_teacher_temp=0.04, teacher_temp=0.04, warmup_teacher_temp_epochs=1)

    def forward(self, views, epoch, at):
        update_momentum(nn.Sequential(self.backbone, self.head), self.teacher, cosine(0.99, at))
        with torch.no_grad():
            said = [self.teacher(view) for view in views[:2]]
        return self.loss(said, [self.head(self.backbone(view)) for view in views], epoch=epoch)

    def after_backward(self, epoch):
        self.head.cancel_last_layer_gradients(epoch)


def crossed(loss, predictions, targets):
    """Each prediction is compared with the target of the other view."""
    return (loss(predictions[0], targets[1]) + loss(predictions[1], targets[0])) / 2


METHODS = {"simclr": SimClr, "byol": Byol, "simsiam": SimSiam, "dino": Dino}


def cosine(start, at):
    """From `start` to 1 along half a cosine, `at` from 0 to 1."""
    return 1 - (1 - start) * (math.cos(math.pi * at) + 1) / 2


@torch.no_grad()
def knn(backbone, bank, tests):
    """Top-1 of 200 neighbors that vote with exp(cosine / 0.1), on features of unit length."""

    def features(batches):
        return F.normalize(torch.cat([backbone(batch) for batch in batches[0].split(500)]), dim=1)

    backbone.eval()
    cosines, nearest = (features(tests) @ features(bank).T).topk(200)
    backbone.train()
    votes = torch.zeros(len(tests[1]), int(bank[1].max()) + 1).scatter_add_(1, bank[1][nearest], (cosines / 0.1).exp())
    return (votes.argmax(1) == tests[1]).float().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--method", choices=METHODS, required=True)
    for name, default in [("epochs", 20), ("seed", 0), ("threads", 2)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    plain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    splits = [datasets.ImageFolder(f"{args.folder}/{split}") for split in ("train", "test")]
    images = [image for image, _ in splits[0]]
    measured = [(torch.stack([plain(image) for image, _ in split]), torch.tensor(split.targets)) for split in splits]

    model = METHODS[args.method](resnet18()).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, LEARNING_RATE, momentum=0.9, weight_decay=WEIGHT_DECAY)
    steps = len(images) // BATCH
    print(json.dumps({"epoch": 0, "knn_top1": knn(model.backbone, *measured)}), flush=True)
    for epoch in range(args.epochs):
        start, total, order = time.perf_counter(), 0.0, torch.randperm(len(images)).tolist()
        for step in range(steps):
            at = (epoch + step / steps) / args.epochs
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * at)) / 2
            batch = [images[place] for place in order[step * BATCH :][:BATCH]]
            views = [torch.stack([view(image) for image in batch]) for view in model.views]
            loss = model(views, epoch, at)
            optimizer.zero_grad()
            loss.backward()
            model.after_backward(epoch)
            optimizer.step()
            total += loss.item()
        line = {"epoch": epoch + 1, "loss": total / steps, "seconds": time.perf_counter() - start}
        if (epoch + 1) % 5 == 0 or epoch + 1 == args.epochs:
            line["knn_top1"] = knn(model.backbone, *measured)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
