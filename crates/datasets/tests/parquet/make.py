"""Writes the Parquet files of these tests, each with the same ten images: python make.py

Needs pyarrow, datasets (of Hugging Face) and Pillow.
"""

import io

import datasets
import pyarrow
import pyarrow.parquet
from PIL import Image

NAMES = ["ant", "bee", "cat"]


def picture(number):
    """Four times three pixels, all of them different from those of other numbers."""
    file = io.BytesIO()
    image = Image.new("RGB", (4, 3))
    image.putdata([(20 * number + pixel, pixel, number) for pixel in range(12)])
    image.save(file, "PNG")
    return file.getvalue()


PICTURES = [picture(number) for number in range(10)]
CLASSES = [number % 3 for number in range(10)]


def write(name, columns, **options):
    pyarrow.parquet.write_table(pyarrow.table(columns), name, **options)


def structures(paths):
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    return pyarrow.array([{"bytes": b, "path": p} for b, p in zip(PICTURES, paths)], kind)


# As `push_to_hub` writes them: structures, and names of classes among the metadata.
rows = {"image": [{"bytes": b, "path": None} for b in PICTURES], "label": CLASSES}
features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
datasets.Dataset.from_dict(rows, features=features).to_parquet("hub.parquet")

paths = [f"{NAMES[c]}/{n}.png" for n, c in enumerate(CLASSES)]
words = pyarrow.array([NAMES[c] for c in CLASSES])
# Row groups of four, and within them pages of two.
small_pages = {"row_group_size": 4, "write_batch_size": 2, "data_page_size": 1}
write("named.parquet", {"id": list(range(10)), "image": structures(paths), "class": words}, **small_pages)
binary = pyarrow.array(PICTURES, pyarrow.binary())
write("zstd.parquet", {"jpg": binary, "mask": binary}, compression="zstd", data_page_version="2.0", **small_pages)
write("gzip.parquet", {"image": binary}, compression="gzip", use_dictionary=False)
write("lz4.parquet", {"image": binary}, compression="lz4")
write("plain.parquet", {"image": binary}, compression="none", use_dictionary=False)
write("brotli.parquet", {"image": binary}, compression="brotli")
write("delta.parquet", {"image": binary}, use_dictionary=False, column_encoding={"image": "DELTA_BYTE_ARRAY"})
# The third image is missing, and so are the labels of the last two.
some = pyarrow.array([None if n == 2 else b for n, b in enumerate(PICTURES)], pyarrow.binary())
labels = pyarrow.array([None if n == 8 else -1 if n == 9 else c for n, c in enumerate(CLASSES)], pyarrow.int32())
write("gaps.parquet", {"image": some, "label": labels})
write("beside.parquet", {"image": binary, "mask": structures(paths)})
write("none.parquet", {"text": words, "number": CLASSES, "list": pyarrow.array([[b] for b in PICTURES])})
