"""Makes `golden.safetensors`: what torchvision, Pillow and NumPy make of small images, by the names of `reference_names`.

    python make.py

Needs torch, torchvision, Pillow and safetensors. `N/input` is image number N, (H, W, 3) bytes; `N/OP` what OP makes of it.
`N/noise` are the normal draws of `N/gaussian_noise/SIGMA`.
"""

from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms import v2
from torchvision.transforms import functional as F


def pictures():
    """Noise, and a picture with edges; sides that are odd, even and unequal."""
    rng = np.random.default_rng(7)
    yield rng.integers(0, 256, (23, 37, 3), dtype=np.uint8)
    rows, columns = np.mgrid[0:32, 0:20]
    disc = (rows - 12) ** 2 + (columns - 9) ** 2 < 60
    yield np.stack([rows * 8, columns * 12, disc * 200 + 20], axis=-1).astype(np.uint8)


def made_of(picture, index):
    """Names and results for one picture."""
    image = Image.fromarray(picture)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    height, width, _ = picture.shape
    yield "vflip", np.asarray(F.vflip(image))
    for turns, method in ((1, Image.Transpose.ROTATE_90), (2, Image.Transpose.ROTATE_180), (3, Image.Transpose.ROTATE_270)):
        turned = np.asarray(image.transpose(method))
        assert (turned == np.rot90(picture, turns)).all()
        yield f"quarter_turn/{turns}", turned
    for top, left, high, wide in ((0, 0, 5, 7), (3, 2, 20, 11), (height - 1, width - 1, 1, 1)):
        erased = F.erase(tensor, top, left, high, wide, torch.zeros(3, 1, 1, dtype=torch.uint8))
        yield f"erase/{top}_{left}_{high}_{wide}", erased.permute(1, 2, 0).numpy()
    for size in ((16, 24), (24, 16), (40, 9), (64, 64)):
        yield f"resize/{size[0]}_{size[1]}", np.asarray(F.resize(image, size))
    for size in ((16, 24), (64, 64)):
        resized = F.resize(image, size, interpolation=F.InterpolationMode.BICUBIC)
        yield f"resize_bicubic/{size[0]}_{size[1]}", np.asarray(resized)
    for size in ((16, 24), (40, 9)):
        yield f"crop_middle/{size[0]}_{size[1]}", np.asarray(F.center_crop(image, size))
    generator = torch.Generator().manual_seed(index)
    noise = torch.randn(height, width, 3, generator=generator)
    yield "noise", noise.numpy()
    for sigma in (0.05, 0.3):
        draws = noise.permute(2, 0, 1).contiguous()
        with mock.patch("torch.randn_like", lambda *_, **__: draws):
            noisy = v2.functional.gaussian_noise(tensor, 0.0, sigma)
        yield f"gaussian_noise/{sigma}", noisy.permute(1, 2, 0).numpy()


def main():
    tensors = {}
    for index, picture in enumerate(pictures()):
        tensors[f"{index}/input"] = picture
        tensors.update({f"{index}/{name}": values for name, values in made_of(picture, index)})
    made_by = {"torchvision": torchvision.__version__, "pillow": Image.__version__}
    tensors = {name: torch.from_numpy(np.array(values)) for name, values in tensors.items()}
    save_file(tensors, Path(__file__).with_name("golden.safetensors"), made_by)


if __name__ == "__main__":
    main()
