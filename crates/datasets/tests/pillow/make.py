"""Writes `files.zip` beside it: small image files of every kind, and the pixels that Pillow reads of each.

Needs Pillow and NumPy. `NAME` is a file and `NAME.pixels` is `Image.open(NAME).convert("RGB")`: width and height as
big-endian words, then RGB. A file that Pillow refuses has no pixels. What Pillow cannot write is written here, byte
by byte.
"""
import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

SIZES = [(1, 1), (3, 5), (17, 9)]
files = {}


def picture(width, height, n_channels=3, depth=8):
    """Slopes, an edge and some noise, the same each time."""
    rng = np.random.default_rng(width * 1000 + height * 10 + n_channels)
    y, x = np.mgrid[0:height, 0:width]
    top = 2**depth - 1
    planes = []
    for c in range(n_channels):
        plane = (x * (c + 1) / max(width, 2) + y * (3 - c % 3) / max(height, 2)) / 4
        plane = plane + 0.4 * ((x + 2 * y + c) % 7 < 3) + rng.uniform(-0.05, 0.05, plane.shape)
        planes.append(np.clip(plane, 0, 1) * top)
    return np.stack(planes, -1).round().astype(np.uint16 if depth > 8 else np.uint8)


def soft(width, height):
    """Without noise and edges: what JPEG is made for."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = [128 + 100 * np.sin(x / 9 + c) * np.cos(y / 11 - c) for c in range(3)]
    return Image.fromarray(np.stack(rgb, -1).round().astype(np.uint8))


def add(name, data):
    assert name not in files, name
    files[name] = data


def save(name, image, **options):
    extension = name.rsplit(".", 1)[1]
    kind = {"jpg": "jpeg", "tif": "tiff", "pgm": "ppm", "pbm": "ppm"}.get(extension, extension)
    out = io.BytesIO()
    image.save(out, kind, **options)
    add(name, out.getvalue())


def rgb(width, height):
    return Image.fromarray(picture(width, height))


def gray(width, height):
    return Image.fromarray(picture(width, height, 1)[..., 0])


def rgba(width, height):
    return Image.fromarray(picture(width, height, 4))


# --- PNG

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(samples, bits):
    """Rows of samples `(H, n)` as bytes, big-endian, each row on a whole byte."""
    if bits == 16:
        return [row.astype(">u2").tobytes() for row in samples]
    if bits == 8:
        return [row.astype(np.uint8).tobytes() for row in samples]
    rows = []
    for row in samples:
        text = "".join(format(int(v), f"0{bits}b") for v in row)
        text += "0" * (-len(text) % 8)
        rows.append(bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8)))
    return rows


def filtered(rows, bpp, first):
    """Each row with one of PNG's five filters, in turn."""
    out, before = b"", bytes(len(rows[0])) if rows else b""
    for i, row in enumerate(rows):
        kind = (i + first) % 5
        line = bytearray()
        for j, value in enumerate(row):
            a = row[j - bpp] if j >= bpp else 0
            b = before[j]
            c = before[j - bpp] if j >= bpp else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line.append((value - [0, a, b, (a + b) // 2, paeth][kind]) & 255)
        out += bytes([kind]) + bytes(line)
        before = row
    return out


PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, bits, color, interlaced=False, extra=b"", after=b"", end=True, n_idat=1, level=9):
    height, width, n = samples.shape
    bpp = max(1, n * bits // 8)
    if interlaced:
        raw = b""
        for i, (x, y, dx, dy) in enumerate(PASSES):
            part = samples[y::dy, x::dx]
            if part.size:
                raw += filtered(packed(part.reshape(part.shape[0], -1), bits), bpp, i)
    else:
        raw = filtered(packed(samples.reshape(height, -1), bits), bpp, 0)
    raw = zlib.compress(raw, level)
    step = -(-len(raw) // n_idat)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlaced))
    data += extra + b"".join(chunk(b"IDAT", raw[i : i + step]) for i in range(0, len(raw), step)) + after
    return data + (chunk(b"IEND", b"") if end else b"")


palette_bytes = bytes((i * k) % 256 for i in range(256) for k in (7, 13, 29))
for width, height in SIZES:
    for interlaced in (False, True):
        mark = f"{width}x{height}{'-interlaced' if interlaced else ''}"
        for bits in (1, 2, 4, 8, 16):
            add(f"gray{bits}-{mark}.png", png(picture(width, height, 1, bits), bits, 0, interlaced))
        for bits in (8, 16):
            add(f"rgb{bits}-{mark}.png", png(picture(width, height, 3, bits), bits, 2, interlaced))
            add(f"gray-alpha{bits}-{mark}.png", png(picture(width, height, 2, bits), bits, 4, interlaced))
            add(f"rgba{bits}-{mark}.png", png(picture(width, height, 4, bits), bits, 6, interlaced))
        for bits in (1, 2, 4, 8):
            extra = chunk(b"PLTE", palette_bytes[: 3 << bits])
            add(f"palette{bits}-{mark}.png", png(picture(width, height, 1, bits), bits, 3, interlaced, extra))
whole = picture(17, 9)
add("transparent-palette.png", png(picture(17, 9, 1, 4), 4, 3, extra=chunk(b"PLTE", palette_bytes[:48]) + chunk(b"tRNS", bytes([0, 80, 255]))))
add("transparent-gray.png", png(picture(17, 9, 1, 4), 4, 0, extra=chunk(b"tRNS", b"\0\3")))
add("transparent-rgb.png", png(whole, 8, 2, extra=chunk(b"tRNS", struct.pack(">HHH", *map(int, whole[0, 0])))))
add("short-palette.png", png(picture(17, 9, 1, 4), 4, 3, extra=chunk(b"PLTE", palette_bytes[:24])))
add("no-last-chunk.png", png(whole, 8, 2, end=False))
add("no-last-chunk-interlaced.png", png(whole, 8, 2, True, end=False))
add("cut-last-chunk.png", png(whole, 8, 2)[:-5])
add("many-idat.png", png(whole, 8, 2, n_idat=7))
add("stored.png", png(whole, 8, 2, level=0))
add("cut-pixels.png", png(whole, 8, 2, n_idat=3)[:-80])
add("cut-chunk.png", png(whole, 8, 2)[:-40])
add("exif.png", png(whole, 8, 2, extra=chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")))
control = struct.pack(">IIIIIHHBB", 0, 17, 9, 0, 0, 1, 10, 0, 0)
second = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 1, 17, 9, 0, 0, 1, 10, 0, 0))
second += chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(filtered(packed((255 - whole).reshape(9, -1), 8), 3, 0)))
add("animated.png", png(whole, 8, 2, extra=chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", control), after=second))

# --- JPEG

for width, height in SIZES + [(20, 19)]:
    image = soft(width, height)
    mark = f"{width}x{height}"
    save(f"gray-{mark}.jpg", image.convert("L"), quality=90)
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        name = sampling.replace(":", "")
        save(f"rgb{name}-{mark}.jpg", image, quality=90, subsampling=sampling)
        save(f"rgb{name}-progressive-{mark}.jpg", image, quality=75, subsampling=sampling, progressive=True)
    save(f"cmyk-{mark}.jpg", image.convert("CMYK"), quality=92)
image = soft(20, 19)
save("gray-progressive.jpg", image.convert("L"), quality=80, progressive=True)
save("low.jpg", image, quality=5)
save("top.jpg", image, quality=100, subsampling="4:4:4")
save("optimized.jpg", image, quality=80, optimize=True)
save("restarts.jpg", image, quality=85, restart_marker_blocks=1)
save("restarts-progressive.jpg", image, quality=85, restart_marker_rows=1, progressive=True)
save("kept-rgb.jpg", image, quality=90, keep_rgb=True)
save("cmyk-progressive.jpg", image.convert("CMYK"), quality=90, progressive=True)
save("noise.jpg", rgb(20, 19), quality=90, subsampling="4:4:4")
exif = Image.Exif()
exif[0x0112] = 6
save("exif.jpg", image, quality=90, exif=exif)
plain, progressive = files["rgb420-20x19.jpg"], files["rgb420-progressive-20x19.jpg"]


def at(data, marker):
    return data.index(bytes([0xFF, marker]))


for name, data in (("", plain), ("-progressive", progressive)):
    add(f"stray-zeros{name}.jpg", data[: at(data, 0xDB)] + b"\0\0" + data[at(data, 0xDB) :])
    add(f"stray-many{name}.jpg", data[: at(data, 0xC4)] + b"\xff\0\xff\x01abc\0" + data[at(data, 0xC4) :])
    add(f"fill-bytes{name}.jpg", data[: at(data, 0xC4)] + b"\xff\xff\xff" + data[at(data, 0xC4) :])
    add(f"bytes-behind{name}.jpg", data + b"\0\1\2\3" * 9)
    add(f"cut{name}.jpg", data[:-40])
    add(f"no-end{name}.jpg", data[:-2])
add("no-jfif.jpg", plain[:2] + plain[at(plain, 0xDB) :])

# --- GIF

def lzw(indices, bits):
    """Without compression: a clear code every few pixels keeps the codes at their first width."""
    clear, code, out, value, n = 1 << bits, bits + 1, bytearray(), 0, 0
    codes = []
    for i, index in enumerate(indices):
        if i % ((1 << bits) - 2 if bits > 1 else 1) == 0:
            codes.append(clear)
        codes.append(int(index))
    for c in codes + [clear + 1]:
        value |= c << n
        n += code
        while n >= 8:
            out.append(value & 255)
            value >>= 8
            n -= 8
    if n:
        out.append(value & 255)
    return bytes([bits]) + b"".join(bytes([len(out[i : i + 255])]) + out[i : i + 255] for i in range(0, len(out), 255)) + b"\0"


def gif(screen, box, bits=4, palette=True, local=False, transparent=None, interlaced=False, disposal=0, n=1):
    x, y, w, h = box
    indices = picture(w, h, 1, bits)[..., 0]
    if interlaced:
        indices = np.concatenate([indices[0::8], indices[4::8], indices[2::4], indices[1::2]])
    flags = 0x80 | (bits - 1) if palette and not local else 0
    data = b"GIF89a" + struct.pack("<HHBBB", *screen, flags, 2, 0)
    if flags:
        data += palette_bytes[: 3 << bits]
    for i in range(n):
        if transparent is not None or disposal:
            data += b"!\xf9\x04" + struct.pack("<BHB", disposal << 2 | (transparent is not None), 5, transparent or 0) + b"\0"
        data += b"," + struct.pack("<HHHHB", x, y, w, h, (0x80 | (bits - 1) if local else 0) | (0x40 if interlaced else 0))
        if local:
            data += bytes(reversed(palette_bytes))[: 3 << bits]
        data += lzw((indices + i).ravel() % (1 << bits), bits)
    return data + b";"


for width, height in SIZES:
    mark = f"{width}x{height}"
    save(f"rgb-{mark}.gif", rgb(width, height))
    save(f"gray-{mark}.gif", gray(width, height))
    add(f"interlaced-{mark}.gif", gif((width, height), (0, 0, width, height), interlaced=True))
add("two-colors.gif", gif((17, 9), (0, 0, 17, 9), bits=2))
add("local-palette.gif", gif((17, 9), (0, 0, 17, 9), local=True))
add("no-palette.gif", gif((17, 9), (0, 0, 17, 9), palette=False))
add("small-frame.gif", gif((17, 9), (3, 2, 8, 5)))
add("small-frame-transparent.gif", gif((17, 9), (3, 2, 8, 5), transparent=5))
add("frame-beyond.gif", gif((10, 6), (3, 2, 14, 7)))
add("transparent.gif", gif((17, 9), (0, 0, 17, 9), transparent=3))
add("disposal.gif", gif((17, 9), (3, 2, 8, 5), disposal=2))
add("animated.gif", gif((17, 9), (0, 0, 17, 9), n=3))
add("cut.gif", gif((17, 9), (0, 0, 17, 9))[:-30])
add("no-end.gif", gif((17, 9), (0, 0, 17, 9))[:-1])
save("large.gif", rgb(40, 30))

# --- WebP

for width, height in SIZES + [(20, 19)]:
    mark = f"{width}x{height}"
    save(f"lossless-rgb-{mark}.webp", rgb(width, height), lossless=True)
    save(f"lossless-rgba-{mark}.webp", rgba(width, height), lossless=True, exact=True)
    save(f"lossy-rgb-{mark}.webp", soft(width, height), quality=90)
    both = soft(width, height).convert("RGBA")
    both.putalpha(gray(width, height))
    save(f"lossy-rgba-{mark}.webp", both, quality=90, exact=True)
save("low.webp", soft(20, 19), quality=10)
frames = [soft(20, 19), soft(20, 19).rotate(180)]
save("animated.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True)
save("animated-lossy.webp", frames[0], save_all=True, append_images=frames[1:], quality=80)
save("exif.webp", rgb(17, 9), lossless=True, exif=exif)
add("cut.webp", files["lossless-rgb-20x19.webp"][:-30])

# --- BMP

def bmp(rows, width, height, bits, compression=0, palette=b"", masks=b"", header=40, data=None, n_colors=0):
    if data is None:
        data = b"".join(row + bytes(-len(row) % 4) for row in (rows if height < 0 else rows[::-1]))
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(data), 2835, 2835, n_colors, 0)
        if header > 40:
            info += masks + bytes(header - 40 - len(masks))
            masks = b""
    start = 14 + len(info) + len(masks) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + masks + palette + data


def bgrx(n):
    return b"".join(palette_bytes[3 * i : 3 * i + 3][::-1] + b"\0" for i in range(n))


for width, height in SIZES:
    mark = f"{width}x{height}"
    for mode, image in (("1", gray(width, height).convert("1")), ("gray", gray(width, height)), ("rgb", rgb(width, height)), ("rgba", rgba(width, height))):
        save(f"{mode}-{mark}.bmp", image)
    for bits in (1, 4, 8):
        rows = packed(picture(width, height, 1, bits)[..., 0], bits)
        add(f"palette{bits}-{mark}.bmp", bmp(rows, width, height, bits, palette=bgrx(1 << bits)))
        add(f"palette{bits}-down-{mark}.bmp", bmp(rows, width, -height, bits, palette=bgrx(1 << bits)))
    wide = picture(width, height)
    r, g, b = (wide[..., c].astype(np.uint16) for c in range(3))
    rows555 = [row.astype("<u2").tobytes() for row in (r >> 3) << 10 | (g >> 3) << 5 | b >> 3]
    rows565 = [row.astype("<u2").tobytes() for row in (r >> 3) << 11 | (g >> 2) << 5 | b >> 3]
    add(f"rgb555-{mark}.bmp", bmp(rows555, width, height, 16))
    add(f"rgb565-{mark}.bmp", bmp(rows565, width, height, 16, 3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)))
    rows32 = [np.stack([b, g, r, r], -1).astype(np.uint8)[y].tobytes() for y in range(height)]
    masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    add(f"bitfields32-{mark}.bmp", bmp(rows32, width, height, 32, 3, masks=masks))
    add(f"bitfields32-v4-{mark}.bmp", bmp(rows32, width, height, 32, 3, masks=masks + struct.pack("<I", 0xFF000000), header=108))
    add(f"bitfields32-v5-{mark}.bmp", bmp(rows32, width, height, 32, 3, masks=masks + struct.pack("<I", 0xFF000000), header=124))
rows = packed(picture(17, 9, 1, 8)[..., 0], 8)
add("core-header.bmp", bmp(rows, 17, 9, 8, palette=palette_bytes, header=12))
add("core-header-rgb.bmp", bmp([row.tobytes() for row in picture(17, 9)], 17, 9, 24, header=12))
add("os2-header.bmp", bmp(rows, 17, 9, 8, palette=bgrx(256), header=64))
add("short-palette.bmp", bmp([bytes(v % 16 for v in row) for row in rows], 17, 9, 8, palette=bgrx(16), n_colors=16))
two = picture(17, 9, 1, 2)[..., 0]
add("palette2.bmp", bmp(packed(two, 2), 17, 9, 2, palette=bgrx(4)))
rle8 = b"".join(bytes([9, 3 + y, 0, 5, 1, 2, 3, 4, 5, 0, 3, 7, 0, 0]) for y in range(9)) + b"\0\1"
add("rle8.bmp", bmp(None, 17, 9, 8, 1, palette=bgrx(256), data=rle8))
rle4 = b"".join(bytes([9, 0x35, 0, 5, 0x12, 0x34, 0x50, 0, 3, 0x7A, 0, 0]) for _ in range(9)) + b"\0\1"
add("rle4.bmp", bmp(None, 17, 9, 4, 2, palette=bgrx(16), data=rle4))
add("rle8-skips.bmp", bmp(None, 17, 9, 8, 1, palette=bgrx(256), data=b"\5\7\0\2\3\2\6\4\0\0\4\5\0\1"))
add("cut.bmp", files["rgb-17x9.bmp"][:-10])

# --- TGA

def tga(kind, bits, descriptor, data, palette=b"", map_bits=0, name=b""):
    n = len(palette) * 8 // map_bits if map_bits else 0
    return struct.pack("<BBBHHBHHHHBB", len(name), bool(palette), kind, 0, n, map_bits, 0, 0, 17, 9, bits, descriptor) + name + palette + data


for width, height in SIZES:
    mark = f"{width}x{height}"
    kinds = (("gray", gray(width, height)), ("gray-alpha", Image.fromarray(picture(width, height, 2), "LA")), ("rgb", rgb(width, height)), ("rgba", rgba(width, height)), ("palette", rgb(width, height).quantize(16)))
    for mode, image in kinds:
        save(f"{mode}-{mark}.tga", image)
        save(f"{mode}-rle-{mark}.tga", image, compression="tga_rle")
wide = picture(17, 9)
bgr = wide[..., ::-1].tobytes()
for name, descriptor in (("bottom-left", 0), ("bottom-right", 0x10), ("top-left", 0x20), ("top-right", 0x30)):
    add(f"{name}.tga", tga(2, 24, descriptor, bgr))
r, g, b = (wide[..., c].astype(np.uint16) >> 3 for c in range(3))
add("rgb555.tga", tga(2, 16, 0, (r << 10 | g << 5 | b).astype("<u2").tobytes()))
add("rgb555-alpha.tga", tga(2, 16, 1, (0x8000 | r << 10 | g << 5 | b).astype("<u2").tobytes()))
add("named.tga", tga(2, 24, 0x20, bgr, name=b"a name"))
index = picture(17, 9, 1, 4)[..., 0].tobytes()
add("palette24.tga", tga(1, 8, 0x20, index, palette_bytes[:48], 24))
add("palette32.tga", tga(1, 8, 0x20, index, bgrx(16), 32))
add("palette16.tga", tga(1, 8, 0x20, index, bytes((i * 37) % 256 for i in range(32)), 16))
add("unused-palette.tga", tga(2, 24, 0x20, bgr, palette_bytes[:48], 24))
add("cut.tga", tga(2, 24, 0, bgr)[:-9])

# --- PNM

for width, height in SIZES:
    mark = f"{width}x{height}"
    save(f"binary-{mark}.ppm", rgb(width, height))
    save(f"binary-{mark}.pgm", gray(width, height))
    save(f"binary-{mark}.pbm", gray(width, height).convert("1"))
size = "17 9"


def text(samples):
    return "\n".join(" ".join(str(int(v)) for v in row) for row in samples.reshape(samples.shape[0], -1)).encode() + b"\n"


for top in (1, 15, 255, 1023, 65535):
    color = (picture(17, 9, 3, 16).astype(np.uint64) * top // 65535).astype(np.uint16)
    tone = color[..., :1]
    pack = (lambda v: v.astype(">u2").tobytes()) if top > 255 else (lambda v: v.astype(np.uint8).tobytes())
    add(f"binary{top}.ppm", f"P6\n{size}\n{top}\n".encode() + pack(color))
    add(f"plain{top}.ppm", f"P3\n{size}\n{top}\n".encode() + text(color))
    add(f"binary{top}.pgm", f"P5\n{size}\n{top}\n".encode() + pack(tone))
    add(f"plain{top}.pgm", f"P2\n{size}\n{top}\n".encode() + text(tone))
bits = picture(17, 9, 1, 1)[..., 0]
add("plain.pbm", f"P1\n{size}\n".encode() + text(bits))
add("dense.pbm", f"P1\n{size}\n".encode() + text(bits).replace(b" ", b"").replace(b"\n", b""))
add("comments.pgm", f"P2 # gray\n# more\n{size} # size\n255\n".encode() + text(picture(17, 9, 1)))
add("comment-in-header.ppm", f"P6\n# made\n17 9\n# high\n255\n".encode() + picture(17, 9).tobytes())
add("cut.ppm", f"P6\n{size}\n255\n".encode() + picture(17, 9).tobytes()[:-4])
add("too-large.pgm", f"P2\n{size}\n15\n".encode() + text(picture(17, 9, 1)))

# --- QOI, ICO

for width, height in SIZES:
    mark = f"{width}x{height}"
    save(f"rgb-{mark}.qoi", rgb(width, height))
    save(f"rgba-{mark}.qoi", rgba(width, height))
save("large.qoi", soft(40, 30))
add("cut.qoi", files["rgb-17x9.qoi"][:30])
for width in (1, 16, 24):
    save(f"png-{width}.ico", rgba(width, width), sizes=[(width, width)])
    save(f"bmp-{width}.ico", rgba(width, width), sizes=[(width, width)], bitmap_format="bmp")
save("several.ico", rgba(32, 32), sizes=[(16, 16), (24, 24), (32, 32)])

# --- TIFF

def tiff(samples, bits=8, photometric=None, order="<", planar=False, tile=None, rows=None, compression=1, predictor=1,
         extra=(), palette=None, kind=1, big=False, orientation=None, n_pages=1, more=()):
    """Samples `(H, W, C)` in strips of `rows` or tiles of `(W, H)`, none compressed but by Deflate (8)."""
    height, width, n = samples.shape
    if photometric is None:
        photometric = 2 if n >= 3 else 1

    def coded(part):
        if predictor == 2:
            wide = part.astype(np.int64)
            part = (np.diff(wide, axis=1, prepend=np.zeros_like(wide[:, :1])) % (1 << bits)).astype(part.dtype)
        lines = part.reshape(part.shape[0], -1)
        if bits < 8:
            raw = b"".join(packed(lines, bits))
        else:
            raw = lines.astype(lines.dtype.newbyteorder(order)).tobytes()
        return zlib.compress(raw) if compression == 8 else raw

    planes = [samples[..., c : c + 1] for c in range(n)] if planar else [samples]
    parts = []
    for plane in planes:
        if tile:
            padded = np.pad(plane, ((0, -height % tile[1]), (0, -width % tile[0]), (0, 0)), mode="edge")
            for y in range(0, height, tile[1]):
                for x in range(0, width, tile[0]):
                    parts.append(coded(padded[y : y + tile[1], x : x + tile[0]]))
        else:
            for y in range(0, height, rows or height):
                parts.append(coded(plane[y : y + (rows or height)]))
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HHHQ" if big else order + "HI", *((43, 8, 0, 16) if big else (42, 8)))
    entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * n), (259, 3, [compression]), (262, 3, [photometric]),
               (277, 3, [n]), (284, 3, [2 if planar else 1])]
    if predictor != 1:
        entries.append((317, 3, [predictor]))
    if palette is not None:
        entries.append((320, 3, palette))
    if extra:
        entries.append((338, 3, list(extra)))
    if kind != 1:
        entries.append((339, 3, [kind] * n))
    if orientation:
        entries.append((274, 3, [orientation]))
    entries += list(more)
    tags = (324, 325) if tile else (273, 279)
    entries += [(322, 4, [tile[0]]), (323, 4, [tile[1]])] if tile else [(278, 4, [rows or height])]
    entries += [(tags[0], 4, [0] * len(parts)), (tags[1], 4, [len(p) for p in parts])]
    entries.sort()
    count, item, room = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    body = b""
    for page in range(n_pages):
        start = len(head) + len(body)
        directory = struct.calcsize("<" + count) + len(entries) * (room * 2 + 4) + room
        at, values, table = start + directory, b"", struct.pack(order + count, len(entries))
        size = {3: 2, 4: 4}
        lengths = sum(len(v) * size[t] for _, t, v in entries if len(v) * size[t] > room)
        place = at + lengths
        for tag, form, items in entries:
            if tag == tags[0]:
                items = [place + sum(map(len, parts[:i])) for i in range(len(parts))]
            data = struct.pack(order + str(len(items)) + {3: "H", 4: "I"}[form], *items)
            table += struct.pack(order + item, tag, form, len(items))
            if len(data) <= room:
                table += data.ljust(room, b"\0")
            else:
                table += struct.pack(order + ("Q" if big else "I"), at + len(values))
                values += data
        pixels = b"".join(parts)
        follow = place + len(pixels) if page + 1 < n_pages else 0
        body += table + struct.pack(order + ("Q" if big else "I"), follow) + values + pixels
    return head + body


for width, height in SIZES:
    mark = f"{width}x{height}"
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"):
        name = compression or "raw"
        save(f"rgb-{name}-{mark}.tif", rgb(width, height), compression=compression)
        save(f"gray-{name}-{mark}.tif", gray(width, height), compression=compression)
    save(f"1bit-{mark}.tif", gray(width, height).convert("1"))
    save(f"1bit-group4-{mark}.tif", gray(width, height).convert("1"), compression="group4")
    save(f"jpeg-{mark}.tif", soft(width, height), compression="jpeg", quality=90)
    save(f"jpeg-gray-{mark}.tif", soft(width, height).convert("L"), compression="jpeg", quality=90)
    save(f"palette-{mark}.tif", rgb(width, height).quantize(16))
    save(f"palette-lzw-{mark}.tif", rgb(width, height).quantize(16), compression="tiff_lzw")
    save(f"gray-alpha-{mark}.tif", Image.fromarray(picture(width, height, 2), "LA"))
    save(f"rgba-{mark}.tif", rgba(width, height), compression="tiff_lzw")
    save(f"cmyk-{mark}.tif", soft(width, height).convert("CMYK"))
    save(f"ycbcr-{mark}.tif", soft(width, height).convert("YCbCr"))
    save(f"big-{mark}.tif", rgb(width, height), big_tiff=True)
    for bits in (1, 2, 4):
        tone = picture(width, height, 1, bits)
        add(f"gray{bits}-{mark}.tif", tiff(tone, bits))
        add(f"white-is-zero{bits}-{mark}.tif", tiff(tone, bits, photometric=0))
        colors = [int(v) * 257 for c in range(3) for v in palette_bytes[c : 3 << bits : 3]]
        add(f"palette{bits}-{mark}.tif", tiff(tone, bits, photometric=3, palette=colors))
    add(f"rgb16-{mark}.tif", tiff(picture(width, height, 3, 16), 16))
    add(f"rgba16-{mark}.tif", tiff(picture(width, height, 4, 16), 16, extra=(2,)))
    add(f"rgb16-big-endian-{mark}.tif", tiff(picture(width, height, 3, 16), 16, order=">"))
    add(f"gray16-{mark}.tif", tiff(picture(width, height, 1, 16), 16))
    add(f"tiles-{mark}.tif", tiff(picture(width, height), tile=(16, 16)))
    add(f"strips-{mark}.tif", tiff(picture(width, height), rows=2))
image = rgb(17, 9)
save("lzw-predictor.tif", image, compression="tiff_lzw", tiffinfo={317: 2})
save("deflate-predictor.tif", image, compression="tiff_adobe_deflate", tiffinfo={317: 2})
save("zstd-predictor.tif", image, compression="zstd", tiffinfo={317: 2})
save("several-pages.tif", image, save_all=True, append_images=[image.rotate(180), image])
save("jpeg-large.tif", soft(40, 30), compression="jpeg", quality=90)
save("strips-lzw.tif", rgb(40, 30), compression="tiff_lzw", strip_size=1000)
whole = picture(17, 9)
add("big-endian.tif", tiff(whole, order=">"))
add("big-tiff-big-endian.tif", tiff(whole, order=">", big=True))
add("planes.tif", tiff(whole, planar=True))
add("planes-strips.tif", tiff(whole, planar=True, rows=2, compression=8))
add("planes-tiles.tif", tiff(whole, planar=True, tile=(16, 16), compression=8))
add("planes16.tif", tiff(picture(17, 9, 3, 16), 16, planar=True))
add("tiles-deflate-predictor.tif", tiff(whole, tile=(16, 16), compression=8, predictor=2))
add("rgb16-predictor.tif", tiff(picture(17, 9, 3, 16), 16, compression=8, predictor=2))
add("rgbx.tif", tiff(picture(17, 9, 4), extra=(0,)))
add("rgb-undeclared.tif", tiff(picture(17, 9, 4)))
add("rgbaxx.tif", tiff(picture(17, 9, 6), extra=(2, 0, 0)))
add("premultiplied.tif", tiff(picture(17, 9, 4), extra=(1,)))
add("premultiplied-gray.tif", tiff(picture(17, 9, 2), extra=(1,)))
add("gray-unspecified.tif", tiff(picture(17, 9, 2), extra=(0,)))
add("white-is-zero.tif", tiff(picture(17, 9, 1), photometric=0))
add("palette-alpha.tif", tiff(np.dstack([picture(17, 9, 1, 4), picture(17, 9, 1)]), photometric=3, extra=(2,),
                             palette=[(i * k * 257) % 65536 for k in (7, 13, 29) for i in range(256)]))
add("cmyk-extra.tif", tiff(picture(17, 9, 5), photometric=5, extra=(0,)))
add("fill-order.tif", tiff(picture(17, 9, 1, 1), 1, more=[(266, 3, [2])]))
for orientation in range(1, 9):
    add(f"orientation{orientation}.tif", tiff(whole, orientation=orientation))
add("cut.tif", tiff(whole)[:-20])
add("cut-strips.tif", tiff(whole, rows=2)[:-60])

# --- The archive

if __name__ == "__main__":
    n_read = 0
    with zipfile.ZipFile(Path(__file__).parent / "files.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        def write(name, data):
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_STORED)

        for name, data in files.items():
            write(name, data)
            try:
                image = Image.open(io.BytesIO(data))
                image.load()
                image = image.convert("RGB")
            except Exception as error:
                print(f"Pillow refuses {name}: {error}")
                continue
            n_read += 1
            write(f"{name}.pixels", struct.pack(">HH", *image.size) + image.tobytes())
    size = (Path(__file__).parent / "files.zip").stat().st_size
    print(f"Pillow {PIL.__version__} reads {n_read} of {len(files)} files; {size} bytes")
