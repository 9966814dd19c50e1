"""형식 x 깊이 x 채널 x 메타데이터를 쓰고 다시 읽는 표, 다른 디코더와의 견줌, 망가뜨린 파일."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from realesrgan.errors import ImageReadError
from realesrgan.media.formats import FORMATS, ImageFormat, writable_extensions
from realesrgan.media.image import Frame, Metadata, Picture, read_image, write_image
from tests.media.samples import Array, encoded, exif_bytes, names_in, parsed_exif, photo, profile, random_array, tiff

WRITABLE = [item for item in FORMATS if item.extensions[0] in writable_extensions()]
CHANNELS = {"회색": 1, "회색+알파": 2, "색": 3, "색+알파": 4}


def smooth(channels: int, dtype: Any) -> tuple[Array, bool]:
    """손실 압축에서도 가까이 돌아오는 배열과, 회색+알파인지."""
    colour = photo(32, 40)
    alpha = np.full((32, 40), 255, np.uint8)
    alpha[8:24, 10:30] = 255 if channels in (1, 3) else 128
    grey = colour[..., 1]
    array = {1: grey, 2: np.dstack([grey] * 3 + [alpha]), 3: colour, 4: np.dstack([colour, alpha])}[channels]
    return (array.astype(np.uint16) * 257 if dtype == np.uint16 else array), channels == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("target", WRITABLE, ids=lambda item: item.name)
def test_pixels_come_back_in_the_best_kind_of_the_format(
    tmp_path: Path, target: ImageFormat, kind: str, dtype: Any
) -> None:
    array, gray_alpha = smooth(CHANNELS[kind], dtype)
    path = tmp_path / f"표{target.extensions[0]}"
    notes = write_image(path, Picture((Frame(array),), gray_alpha=gray_alpha), quality=95)
    picture = read_image(path)
    result = picture.first.array
    assert result.dtype == (dtype if target.most_bits > 8 else np.uint8)
    had_alpha = array.shape[2:] == (4,)
    # 10비트로 줄이는 것은 알려야 할 일이지만, 8비트를 펴는 것은 잃는 것이 없다.
    lossless_depth = dtype == np.uint8 or target.most_bits == 16
    if target.name != "GIF":
        assert bool(notes) == (not lossless_depth or (had_alpha and not target.alpha))
    if had_alpha and not target.alpha:
        return
    values = array if dtype == result.dtype else array // 257
    alpha = result[..., 3] if result.ndim == 3 and result.shape[2] == 4 else None
    full = np.iinfo(result.dtype).max
    if had_alpha and target.name != "GIF":
        assert np.abs(alpha.astype(int) - values[..., 3]).max() <= full * 0.02
    colour = result if result.ndim == 2 else result[..., :3]
    wanted = values if values.ndim == 2 else values[..., :3]
    wanted = wanted[..., None] if wanted.ndim < colour.ndim else wanted
    colour = colour[..., None] if colour.ndim < wanted.ndim else colour
    seen = np.ones(colour.shape[:2], bool) if alpha is None else alpha > 0
    assert np.abs(colour.astype(int) - wanted)[seen].mean() <= full * (0.03 if target.name == "GIF" else 0.012)
    if target.default_quality is None and target.name != "GIF" and lossless_depth:
        assert (result == values).all()


METADATA = {
    "icc": Metadata(icc=profile(b"RGB ")),
    "exif": Metadata(exif=exif_bytes(1)),
    "xmp": Metadata(xmp="<x:xmpmeta>제목</x:xmpmeta>".encode()),
    "dpi": Metadata(dpi=(300.0, 150.0)),
    "cicp": Metadata(cicp=(12, 13)),
    "text": Metadata(text=(("Comment", "한글 설명"),)),
    "iptc": Metadata(iptc=b"\x1c\x02\x05\0\x05title"),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", METADATA)
@pytest.mark.parametrize("target", WRITABLE, ids=lambda item: item.name)
def test_each_kind_of_metadata_is_carried_or_named(tmp_path: Path, target: ImageFormat, name: str, dtype: Any) -> None:
    path = tmp_path / f"표{target.extensions[0]}"
    given = METADATA[name]
    notes = write_image(path, Picture((Frame(smooth(3, dtype)[0]),), metadata=given))
    found, wanted = getattr(read_image(path).metadata, name), getattr(given, name)
    carried = bool(target.carries & {"text": {"text", "comment"}, "dpi": {"dpi", "exif"}}.get(name, {name}))
    if name == "icc" and not carried:
        assert any("sRGB로 옮겼습니다" in note for note in notes)
    elif not carried and name != "cicp":
        label = {"text": "글(Comment)"}.get(name, name.upper())
        assert any(label in note for note in notes)
    elif name == "exif":
        assert parsed_exif(found)[0x010F] == "Maker"
    elif name == "dpi":
        assert np.allclose(found, wanted, atol=0.02)
    elif carried:
        assert found == wanted


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("extension", [".png", ".tif", ".jpg"])
def test_an_independent_decoder_sees_the_same_pixels(tmp_path: Path, extension: str, dtype: Any) -> None:
    array = smooth(3, dtype)[0]
    path = tmp_path / f"a{extension}"
    write_image(path, Picture((Frame(array),)))
    seen = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert (seen == read_image(path).first.array).all()
    if extension != ".jpg":
        assert (seen == array).all()


PILLOW_NAMES = (
    "PNG",
    "JPEG",
    "WEBP",
    "BMP",
    "TIFF",
    "AVIF",
    "GIF",
    "TGA",
    "JPEG2000",
    "PPM",
    "ICO",
    "DDS",
    "PCX",
    "SGI",
)
SAMPLES = (*PILLOW_NAMES, "tiff16", "apng")


def sample_file(name: str) -> bytes:
    """형식 하나의 작은 파일."""
    array = random_array(24, 20, 3)
    if name == "tiff16":
        return tiff(array.astype(np.uint16), deflate=True)
    if name == "apng":
        moving = io.BytesIO()
        Image.fromarray(array).save(moving, "PNG", save_all=True, append_images=[Image.fromarray(array[::-1].copy())])
        return moving.getvalue()
    return encoded(array, name)


def check_mutants(folder: Path, name: str, count: int) -> None:
    """바이트 몇을 바꾸거나 자른 파일 `count`개를 읽고, 열에 하나는 다시 쓴다."""
    random, data = np.random.default_rng(0), sample_file(name)
    path = folder / "mutant.tga"
    for index in range(count):
        mutant = bytearray(data)
        for at in random.integers(0, len(data), random.integers(1, 6)):
            mutant[at] = random.integers(0, 256)
        if random.random() < 0.2:
            mutant = mutant[: random.integers(1, len(data))]
        path.write_bytes(mutant)
        try:
            picture = read_image(path, max_output_pixels=10**6)
            assert picture.first.array.size
            if index % 10 == 0:
                write_image(folder / ("out.tif" if picture.pages else "out.png"), picture)
        except ImageReadError as error:
            assert "이유:" in str(error)
    path.unlink()
    assert set(names_in(folder)) <= {"out.png", "out.tif"}


@pytest.mark.parametrize("name", SAMPLES)
def test_mutated_files_give_a_picture_or_a_named_error(tmp_path: Path, name: str) -> None:
    check_mutants(tmp_path, name, 12)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_a_thousand_mutated_files_give_a_picture_or_a_named_error(tmp_path: Path, name: str) -> None:
    check_mutants(tmp_path, name, 1000)
