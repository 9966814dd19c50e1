"""망가진 파일을 씨앗(seed)으로 만든다."""

from __future__ import annotations

import io
import random
import struct
import sysconfig
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.media.samples import chunk, encoded, photo, png, random_array, tiff

Damage = Callable[[bytes, random.Random], bytes]


def truncate(data: bytes, choose: random.Random) -> bytes:
    """뒤를 자른다. 적어도 1할은 잃는다."""
    return data[: choose.randrange(1, max(len(data) * 9 // 10, 2))]


def flip_bits(data: bytes, choose: random.Random) -> bytes:
    """몇 비트를 뒤집는다."""
    made = bytearray(data)
    for _ in range(choose.randint(1, 12)):
        made[choose.randrange(len(made))] ^= 1 << choose.randrange(8)
    return bytes(made)


def zero_block(data: bytes, choose: random.Random) -> bytes:
    """한 덩어리를 0으로 만든다(꺼진 디스크)."""
    start = choose.randrange(len(data))
    size = choose.randint(1, max(len(data) // 3, 1))
    return data[:start] + bytes(min(size, len(data) - start)) + data[start + size :]


def drop_block(data: bytes, choose: random.Random) -> bytes:
    """가운데의 한 덩어리를 뺀다."""
    start = choose.randrange(len(data))
    return data[:start] + data[start + choose.randint(1, max(len(data) // 3, 1)) :]


def huge_numbers(data: bytes, choose: random.Random) -> bytes:
    """머리의 한 곳에 아주 큰 수를 적는다."""
    made = bytearray(data)
    place = choose.randrange(min(len(made), 200))
    number = struct.pack(choose.choice(("<I", ">I")), choose.choice((0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 65535)))
    made[place : place + 4] = number
    return bytes(made[: len(data)])


def random_tail(data: bytes, choose: random.Random) -> bytes:
    """앞만 남기고 나머지를 아무 바이트로 바꾼다."""
    keep = choose.randrange(min(len(data), 64))
    return data[:keep] + choose.randbytes(len(data) - keep)


DAMAGES: tuple[Damage, ...] = (truncate, flip_bits, zero_block, drop_block, huge_numbers, random_tail)


def good_pictures() -> dict[str, bytes]:
    """온전한 이미지들: 이름과 내용."""
    noise, smooth = random_array(24, 32, 3), photo(24, 32)[..., ::-1]
    frames = [Image.fromarray(random_array(16, 16, 3, seed=seed)) for seed in range(3)]

    def animated(kind: str) -> bytes:
        output = io.BytesIO()
        frames[0].save(output, kind, save_all=True, append_images=frames[1:], duration=50)
        return output.getvalue()

    def saved(image: Image.Image, kind: str, **options: object) -> bytes:
        output = io.BytesIO()
        image.save(output, kind, **options)
        return output.getvalue()

    palette = Image.fromarray(smooth).quantize(16)
    return {
        "rgb.png": png(noise, 2),
        "sixteen.png": png(random_array(24, 32, 3, dtype=np.uint16), 2),
        "alpha.png": png(random_array(24, 32, 4), 6),
        "gray.png": png(random_array(24, 32, 1), 0),
        "palette.png": saved(palette, "PNG"),
        "moving.png": animated("PNG"),
        "base.jpg": encoded(smooth, "JPEG", quality=90),
        "progressive.jpg": encoded(noise, "JPEG", progressive=True),
        "gray.jpg": encoded(noise[..., 0], "JPEG"),
        "cmyk.jpg": saved(Image.fromarray(noise).convert("CMYK"), "JPEG"),
        "lossy.webp": encoded(smooth, "WEBP"),
        "lossless.webp": encoded(random_array(24, 32, 4), "WEBP", lossless=True),
        "moving.webp": animated("WEBP"),
        "plain.bmp": encoded(noise, "BMP"),
        "strips.tif": tiff(noise),
        "deflate.tif": tiff(random_array(24, 32, 3, dtype=np.uint16), deflate=True),
        "planar.tif": tiff(noise, planar=True, order=">"),
        "lzw.tif": encoded(noise, "TIFF", compression="tiff_lzw"),
        "pages.tif": animated("TIFF"),
        "still.avif": encoded(smooth, "AVIF"),
        "moving.gif": animated("GIF"),
        "still.gif": saved(palette, "GIF"),
    }


def hostile_pictures() -> dict[str, bytes]:
    """일부러 만든 나쁜 이미지들."""
    small = png(random_array(8, 8, 3), 2)

    def header(width: int, height: int) -> bytes:
        body = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        return small[:8] + body + small[33:]

    bomb = zlib.compress(bytes(50_000_000))
    text = chunk(b"zTXt", b"Comment\0\0" + bomb)
    jpeg = encoded(photo(8, 8), "JPEG")
    return {
        "empty.png": b"",
        "one.jpg": b"\xff",
        "header only.png": small[:33],
        "no end.png": small[:-12],
        "bomb.png": header(60_000, 60_000),
        "overflow.png": header(0x7FFFFFFF, 0x7FFFFFFF),
        "zero.png": header(0, 8),
        "text bomb.png": small[:33] + text * 3 + small[33:],
        "loop.tif": b"II*\0\x08\0\0\0\x00\x00\x08\0\0\0",
        "html.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
        "pickle.webp": b"\x80\x04cos\nsystem\n(S'touch hacked'\ntR.",
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
        "postscript.bmp": b"%!PS-Adobe-3.0\n(hacked) (w) file closefile\nshowpage\n",
        "wrong name.gif": small,
        "two jpegs.jpg": jpeg + jpeg,
        "long exif.jpg": jpeg[:2] + b"\xff\xe1\xff\xffExif\0\0" + bytes(65527) + jpeg[2:],
        "random.avif": random.Random(0).randbytes(4096),
        "zeros.tif": bytes(4096),
    }


def carried_pictures(limit: int) -> Iterator[tuple[str, bytes]]:
    """설치된 패키지들이 가진 작은 이미지들. 저마다 다른 프로그램이 쓴 것이다."""
    names = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".avif")
    base = Path(sysconfig.get_paths()["purelib"])
    found = sorted(path for path in base.rglob("*") if path.suffix.lower() in names and path.is_file())
    small = [path for path in found if 0 < path.stat().st_size < 60_000]
    for path in random.Random(0).sample(small, min(limit, len(small))):
        yield path.name, path.read_bytes()


def damaged(originals: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes, str]]:
    """`(이름, 망가진 내용, 망가뜨린 방법)`을 차례로 낸다."""
    choose = random.Random(seed)
    names = sorted(originals)
    for index in range(count):
        name = names[index % len(names)]
        damage = DAMAGES[index // len(names) % len(DAMAGES)]
        yield f"{index:04d} {damage.__name__} {name}", damage(originals[name], choose), damage.__name__
