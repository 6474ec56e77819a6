"""Makes `golden.safetensors`: what timm's operations of RandAugment make of small images, by the names of `reference_names`.

    python make.py

Needs timm, torch, Pillow and safetensors. `N/input` is image number N, (H, W, 3) bytes; `N/OP` what OP makes of it.
"""

from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import auto_augment as aa

FILL = {"fillcolor": (124, 116, 104), "resample": Image.Resampling.BICUBIC}


def pictures():
    """Noise, dull colors, and a picture with edges; sides that are odd, even and unequal."""
    rng = np.random.default_rng(7)
    yield rng.integers(0, 256, (23, 37, 3), dtype=np.uint8)
    yield (rng.integers(0, 90, (32, 32, 3)) + np.array([40, 90, 20])).astype(np.uint8)
    rows, columns = np.mgrid[0:32, 0:20]
    disc = (rows - 12) ** 2 + (columns - 9) ** 2 < 60
    yield np.stack([rows * 8, columns * 12, disc * 200 + 20], axis=-1).astype(np.uint8)


def made_of(image):
    """Names and results for one image."""
    yield "autocontrast", aa.auto_contrast(image)
    yield "equalize", aa.equalize(image)
    yield "invert", aa.invert(image)
    for bits in (1, 2, 3):
        yield f"posterize/{bits}", aa.posterize(image, bits)
    for threshold in (26, 256):
        yield f"solarize_from/{threshold}", aa.solarize(image, threshold)
    yield "solarize_add/99", aa.solarize_add(image, 99)
    for factor in (0.19, 1.81):
        yield f"sharpness/{factor}", aa.sharpness(image, factor)
        yield f"saturation/{factor}", aa.color(image, factor)
    for degrees in (27.0, -13.7):
        yield f"rotate/{degrees}", aa.rotate(image, degrees, **FILL)
    for slope in (0.27, -0.111):
        yield f"shear_x/{slope}", aa.shear_x(image, slope, **FILL)
        yield f"shear_y/{slope}", aa.shear_y(image, slope, **FILL)
    for share in (0.405, -0.1665):
        pixels = share * image.size[0]
        yield f"translate/0_{pixels}", aa.translate_x_rel(image, share, **FILL)
    yield f"translate/{-0.405 * image.size[1]}_0", aa.translate_y_rel(image, -0.405, **FILL)


def main():
    tensors = {}
    for index, picture in enumerate(pictures()):
        tensors[f"{index}/input"] = picture
        results = made_of(Image.fromarray(picture))
        tensors.update({f"{index}/{name}": np.asarray(result) for name, result in results})
    made_by = {"timm": timm.__version__, "pillow": Image.__version__}
    tensors = {name: torch.from_numpy(np.array(values)) for name, values in tensors.items()}
    save_file(tensors, Path(__file__).with_name("golden.safetensors"), made_by)


if __name__ == "__main__":
    main()
