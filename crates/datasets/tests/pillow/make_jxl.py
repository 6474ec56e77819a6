"""Writes `jxl.zip` beside it, like `files.zip`: JPEG XL files, and the pixels that libjxl reads of each.

Needs Pillow and the package `pillow-jxl-plugin`, which has libjxl.
"""
import io
import struct
import zipfile
from pathlib import Path

import pillow_jxl
from PIL import Image

from make import gray, rgb, rgba, soft

files = {}
for width, height in [(1, 1), (3, 5), (17, 9)]:
    for mode, image in (("gray", gray(width, height)), ("rgb", rgb(width, height)), ("rgba", rgba(width, height))):
        out = io.BytesIO()
        image.save(out, "JXL", lossless=True)
        files[f"{mode}-{width}x{height}.jxl"] = out.getvalue()
for quality in (60, 95):
    out = io.BytesIO()
    soft(20, 19).save(out, "JXL", quality=quality)
    files[f"lossy{quality}.jxl"] = out.getvalue()
files["cut.jxl"] = files["rgb-17x9.jxl"][:-40]

with zipfile.ZipFile(Path(__file__).parent / "jxl.zip", "w") as archive:
    for name, data in files.items():
        archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_STORED)
        try:
            image = Image.open(io.BytesIO(data)).convert("RGB")
        except Exception as error:
            print(f"libjxl refuses {name}: {error}")
            continue
        pixels = struct.pack(">HH", *image.size) + image.tobytes()
        archive.writestr(zipfile.ZipInfo(f"{name}.pixels", (2026, 1, 1, 0, 0, 0)), pixels, zipfile.ZIP_STORED)
