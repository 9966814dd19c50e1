"""이미지 쓰기: 왕복, 포기한 것의 알림, 원자성, 오류."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from realesrgan.errors import ImageWriteError, UsageError
from realesrgan.media import formats
from realesrgan.media.image import Frame, Metadata, Picture, plan_job, probe_image, read_image, still, write_image
from tests.media.samples import exif_bytes, names_in, parsed_exif, photo, profile, random_array, srgb

SHAPES = [(13, 17), (13, 17, 3), (13, 17, 4)]
WRITABLE = sorted({item.extensions[0] for item in formats.FORMATS} & set(formats.writable_extensions()))


def difference(first, second):
    return np.abs(first.astype(int) - second.astype(int))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_lossless_formats_round_trip_every_kind(tmp_path: Path, extension: Any, shape: Any, dtype: Any) -> None:
    array = random_array(*shape, dtype=dtype)
    path = tmp_path / f"결과{extension}"
    assert write_image(path, still(array)) == ()
    result = read_image(path).first.array
    assert result.dtype == dtype
    assert (result == array).all()


@pytest.mark.parametrize("extension", [".bmp", ".webp", ".gif"])
@pytest.mark.parametrize("shape", SHAPES[:2])
def test_eight_bit_formats_round_trip_when_they_can(tmp_path: Path, extension: Any, shape: Any) -> None:
    array = random_array(*shape) // 64 * 64 + 10
    path = tmp_path / f"a{extension}"
    write_image(path, still(array), quality=100)
    result = read_image(path).first.array
    assert (result == (array if result.ndim == array.ndim else array[..., None])).all()


@pytest.mark.parametrize("extension", WRITABLE)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_format_writes_every_kind_closely(tmp_path: Path, extension: Any, shape: Any) -> None:
    array = photo(32, 40)
    array = array[..., 0] if len(shape) == 2 else array
    if shape[-1] == 4:
        array = np.dstack([array, np.full(array.shape[:2], 255, np.uint8)])
    path = tmp_path / f"a{extension}"
    write_image(path, still(array))
    result, info = read_image(path).first.array, probe_image(path)
    reference = array[..., :3] if result.ndim == 3 and array.ndim == 3 and result.shape[2] == 3 else array
    reference = reference[..., None] if result.ndim > reference.ndim else reference
    assert difference(result, reference).mean() < 8
    assert (info.width, info.height) == (40, 32)


@given(
    st.sampled_from([".png", ".tif"]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 2, 3, 4]),
    st.sampled_from([np.uint8, np.uint16]),
    st.integers(0, 2**31),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='/\\:*?"<>|'), max_size=20),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_small_array_under_any_name_survives(
    tmp_path: Path, extension: Any, height: Any, width: Any, channels: Any, dtype: Any, seed: Any, name: Any
) -> None:
    shape = (height, width) if channels == 1 else (height, width, max(channels, 3))
    array = random_array(*shape, dtype=dtype, seed=seed) >> (seed % 4 * 2)
    gray_alpha = channels == 2
    if gray_alpha:
        array = np.dstack([array[..., :1]] * 3 + [array[..., 2]])
    path = tmp_path / f"한글 {name}{extension}"
    assert write_image(path, Picture((Frame(array),), gray_alpha=gray_alpha)) == ()
    picture = read_image(path)
    assert (picture.first.array == array).all()
    assert picture.first.array.dtype == dtype
    assert picture.gray_alpha == gray_alpha
    path.unlink()


def test_sixteen_bits_are_reduced_by_rounding(tmp_path: Path) -> None:
    array = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    notes = write_image(tmp_path / "a.bmp", still(array))
    expected = np.round(array / 257).astype(np.uint8)
    assert (read_image(tmp_path / "a.bmp").first.array == expected).all()
    assert any("16비트를 8비트로" in note for note in notes)


@pytest.mark.parametrize("extension", [".jpg", ".bmp"])
def test_alpha_is_flattened_on_white_with_a_note(tmp_path: Path, extension: Any) -> None:
    array = np.zeros((16, 16, 4), np.uint8)
    array[:, :8, 3] = 255
    notes = write_image(tmp_path / f"a{extension}", still(array), quality=100)
    result = read_image(tmp_path / f"a{extension}").first.array
    assert result[:, :8].max() <= 2 and result[:, 8:].min() >= 253
    assert any("흰 배경" in note for note in notes)


@pytest.mark.parametrize("extension", [".png", ".tif", ".jpg", ".webp"])
def test_gray_alpha_goes_back_to_two_channels_where_it_can(tmp_path: Path, extension: Any) -> None:
    gray = photo()[..., 0]
    array = np.dstack([gray, gray, gray, np.full(gray.shape, 128, np.uint8)])
    path = tmp_path / f"a{extension}"
    write_image(path, Picture((Frame(array),), gray_alpha=True), quality=100)
    picture = read_image(path)
    assert picture.gray_alpha == (extension in (".png", ".tif"))
    if extension == ".jpg":
        assert picture.first.array.ndim == 2
    else:
        assert (picture.first.array == array).all()


def test_notes_of_reading_come_first(tmp_path: Path) -> None:
    notes = write_image(tmp_path / "a.png", Picture((Frame(photo()),), notes=("읽기 알림",)))
    assert notes == ("읽기 알림",)


METADATA = Metadata(
    icc=srgb(), exif=exif_bytes(1, size=(5, 5)), xmp="<x:제목 tiff:ImageWidth='5'/>".encode(), dpi=(300, 150)
)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("extension", WRITABLE)
def test_metadata_is_carried_wherever_it_can_be(tmp_path: Path, extension: Any, depth: Any) -> None:
    path = tmp_path / f"a{extension}"
    notes = write_image(path, Picture((Frame(photo(32, 40).astype(depth)),), metadata=METADATA))
    result = read_image(path).metadata
    target = formats.format_of_name(path)
    # JPEG XL의 디코더는 색의 뜻을 적은 프로파일을 스스로 만들어 준다.
    assert extension == ".jxl" or result.icc == (METADATA.icc if "icc" in target.carries else None)
    assert (result.xmp is not None) == ("xmp" in target.carries)
    if "exif" in target.carries:
        exif = parsed_exif(result.exif)
        assert exif[0x010F] == "Maker"
        assert exif.get_ifd(0x8825)[1] == "N"
        assert exif.get_ifd(0x8769)[0xA002] == 40 and exif.get_ifd(0x8769)[0xA003] == 32
        assert exif.get(0x0100, 40) == 40
        assert "xmp" not in target.carries or b"ImageWidth='40'" in result.xmp
    if extension == ".gif":
        assert any("EXIF, XMP, DPI" in note for note in notes)
    else:
        assert np.allclose(result.dpi, (300, 150), atol=0.02)


@pytest.mark.parametrize("extension", [".png", ".tif", ".jpg", ".webp", ".avif"])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_hangul_in_exif_survives_byte_for_byte(tmp_path: Path, extension: Any, endian: Any) -> None:
    exif = Image.Exif()
    exif.endian = endian
    exif[0x010E] = "한글 설명".encode()
    raw = exif.tobytes()[6:]
    path = tmp_path / f"a{extension}"
    write_image(path, still(photo(), Metadata(exif=raw)))
    assert "한글 설명".encode() in read_image(path).metadata.exif


@given(
    st.sampled_from([".png", ".tif", ".jpg", ".webp"]),
    st.text("abc 한글🙂<>&\"'", max_size=40),
    st.floats(1, 20000),
    st.floats(1, 20000),
    st.sampled_from([b"GRAY", b"RGB "]),
    st.integers(0, 200_000),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_metadata_round_trips(
    tmp_path: Path, extension: Any, text: Any, x: Any, y: Any, space: Any, padding: Any
) -> None:
    icc = profile(space) + bytes(padding)
    metadata = Metadata(icc=icc, xmp=f"<x>{text}</x>".encode(), dpi=(x, y), exif=exif_bytes(1))
    array = photo(8, 8)[..., 0] if space == b"GRAY" else photo(8, 8)
    path = tmp_path / f"메타 데이터{extension}"
    write_image(path, still(array, metadata))
    result = read_image(path).metadata
    assert result.xmp == metadata.xmp
    assert parsed_exif(result.exif)[0x010F] == "Maker"
    assert np.allclose(result.dpi, (x, y), rtol=0.001, atol=0.51 if extension == ".jpg" else 0.02)
    if not (extension == ".webp" and space == b"GRAY"):
        assert result.icc == icc


def test_too_large_exif_and_xmp_are_left_out_of_jpeg_with_notes(tmp_path: Path) -> None:
    metadata = Metadata(exif=exif_bytes(1) + bytes(70000), xmp=b"<x>" + b" " * 70000 + b"</x>")
    notes = write_image(tmp_path / "a.jpg", still(photo(), metadata))
    result = read_image(tmp_path / "a.jpg").metadata
    assert result.exif is None and result.xmp is None
    assert sum("64KB" in note for note in notes) == 2


@pytest.mark.parametrize("extension", [".gif", ".bmp"])
def test_pixels_move_to_srgb_when_the_profile_cannot_be_carried(tmp_path: Path, extension: Any) -> None:
    array = photo(16, 16) // 32 * 32
    path = tmp_path / f"a{extension}"
    notes = write_image(path, still(array, Metadata(icc=profile(b"RGB "))))
    result = read_image(path).first.array
    assert difference(result, array).mean() > 3
    assert any("sRGB로 옮겼습니다" in note for note in notes)
    assert write_image(path, still(array, Metadata(icc=srgb()))) == ()
    assert (read_image(path).first.array == array).all()


def test_gray_profile_is_never_attached_to_colour(tmp_path: Path) -> None:
    gray = photo()[..., 0]
    write_image(tmp_path / "a.webp", still(gray, Metadata(icc=profile(b"GRAY"))), quality=100)
    result = read_image(tmp_path / "a.webp")
    assert result.metadata.icc is None
    assert difference(result.first.array[..., 0], gray).mean() > 3
    notes = write_image(tmp_path / "a.png", still(photo(), Metadata(icc=profile(b"GRAY"))))
    assert read_image(tmp_path / "a.png").metadata.icc is None
    assert any("맞지 않아" in note for note in notes)


@pytest.mark.parametrize("extension", [".jpg", ".bmp", ".tif"])
def test_animation_is_refused_where_it_cannot_live(tmp_path: Path, extension: Any) -> None:
    frames = [Frame(photo(), 50), Frame(photo(), 50)]
    with pytest.raises(ImageWriteError, match=r"2프레임[\s\S]*\.webp"):
        write_image(tmp_path / f"a{extension}", Picture(frames, frame_count=2))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(("extension", "side"), [(".webp", 16384), (".jpg", 65501), (".gif", 65536), (".avif", 16385)])
def test_too_long_side_names_a_format_that_works(tmp_path: Path, extension: Any, side: Any) -> None:
    with pytest.raises(ImageWriteError, match=r"한도[\s\S]*\.png"):
        write_image(tmp_path / f"a{extension}", still(np.zeros((1, side), np.uint8)))
    assert names_in(tmp_path) == []


def test_longest_sides_work(tmp_path: Path) -> None:
    for extension, side in ((".webp", 16383), (".jpg", 65500)):
        for shape in ((2, side), (side, 2)):
            path = tmp_path / f"a{extension}"
            write_image(path, still(np.full(shape, 99, np.uint8)))
            assert probe_image(path).width == shape[1]
            assert difference(read_image(path).first.array, np.uint8(99)).max() <= 1


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.mp4"])
def test_unknown_extension_lists_the_known_ones(tmp_path: Path, name: Any) -> None:
    with pytest.raises(ImageWriteError, match=r"\.png"):
        write_image(tmp_path / name, still(photo()))


@pytest.mark.parametrize("quality", [0, 101, -1])
def test_quality_out_of_range_is_a_usage_error(tmp_path: Path, quality: Any) -> None:
    with pytest.raises(UsageError, match="1부터 100"):
        write_image(tmp_path / "a.jpg", still(photo()), quality=quality)


@pytest.mark.parametrize("extension", [".jpg", ".webp", ".avif"])
def test_higher_quality_gives_a_larger_and_closer_file(tmp_path: Path, extension: Any) -> None:
    array = random_array(64, 64, 3) // 4 + 90
    sizes, errors = [], []
    for quality in (20, 95):
        path = tmp_path / f"{quality}{extension}"
        write_image(path, still(array), quality=quality)
        sizes.append(path.stat().st_size)
        errors.append(difference(read_image(path).first.array, array).mean())
    assert sizes[0] < sizes[1] and errors[0] > errors[1]


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2, 2), np.uint8), np.zeros((0, 3), np.uint8), np.zeros((2, 2), np.float32)]
)
def test_wrong_array_is_a_value_error(tmp_path: Path, array: Any) -> None:
    with pytest.raises(ValueError, match="배열"):
        write_image(tmp_path / "a.png", still(array))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("count", [1, 3])
def test_wrong_number_of_frames_is_a_value_error(tmp_path: Path, count: Any) -> None:
    with pytest.raises(ValueError, match="프레임"):
        write_image(tmp_path / "a.png", Picture([Frame(photo()), Frame(photo())], frame_count=count))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("extension", WRITABLE)
def test_interrupt_in_the_middle_leaves_nothing(
    tmp_path: Path, extension: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{extension}"
    path.write_bytes(b"old")

    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("realesrgan.media.image.EncodeJob.image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_image(path, still(photo()))
    assert names_in(tmp_path) == [path.name]
    assert path.read_bytes() == b"old"


def test_interrupt_between_frames_leaves_nothing(tmp_path: Path) -> None:
    def frames():
        yield Frame(photo(), 10)
        raise KeyboardInterrupt

    for extension in (".png", ".webp", ".gif"):
        with pytest.raises(KeyboardInterrupt):
            write_image(tmp_path / f"a{extension}", Picture(frames(), frame_count=2))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(("code", "reason"), [(errno.ENOSPC, "가득"), (errno.EROFS, "읽기 전용"), (errno.EIO, "이유")])
def test_failing_disk_is_explained_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: Any, reason: Any
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ImageWriteError, match=reason) as caught:
        write_image(path, still(photo()))
    assert isinstance(caught.value.__cause__, OSError)
    assert "해결:" in str(caught.value)
    assert names_in(tmp_path) == ["a.png"]
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(os.name == "nt", reason="파일 크기 한도는 유닉스에만 있다")
@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif", ".bmp", ".webp", ".avif", ".gif"])
def test_real_write_failure_of_the_system_leaves_nothing(tmp_path: Path, extension: Any) -> None:
    """운영체제가 정말로 쓰기를 거절하게 한다. 꽉 찬 디스크와 같은 길을 지나며 root가 아니어도 된다."""
    code = (
        "import resource, sys, numpy as np\n"
        "from realesrgan.errors import ImageWriteError\n"
        "from realesrgan.media.image import still, write_image\n"
        "array = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    write_image(sys.argv[1], still(array))\n"
        "except ImageWriteError as error:\n    sys.stdout.buffer.write(str(error).encode())\n"
    )
    path = tmp_path / f"a{extension}"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True)
    assert "크기를 넘습니다" in done.stdout.decode()
    assert names_in(tmp_path) == []


def test_missing_folder_and_folder_in_the_way_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ImageWriteError, match="없습니다"):
        write_image(tmp_path / "없는 폴더" / "a.png", still(photo()))
    (tmp_path / "b.png").mkdir()
    with pytest.raises(ImageWriteError, match="폴더가 있습니다"):
        write_image(tmp_path / "b.png", still(photo()))
    assert names_in(tmp_path) == ["b.png"]


def test_heic_without_the_plugin_tells_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realesrgan.media.image.is_installed", lambda _package: False)
    with pytest.raises(ImageWriteError, match="pip install pillow-heif"):
        write_image(tmp_path / "a.heic", still(photo()))
    assert names_in(tmp_path) == []


def test_same_picture_gives_the_same_bytes(tmp_path: Path) -> None:
    array = random_array(200, 300, 3)
    for extension in (".png", ".jpg", ".tif", ".webp"):
        for name in ("a", "b"):
            write_image(tmp_path / f"{name}{extension}", still(array, METADATA))
        assert (tmp_path / f"a{extension}").read_bytes() == (tmp_path / f"b{extension}").read_bytes()


def test_noncontiguous_array_is_written(tmp_path: Path) -> None:
    array = random_array(40, 60, 3)[::2, ::-1]
    for extension in (".png", ".tif", ".bmp", ".webp", ".jpg", ".avif"):
        path = tmp_path / f"a{extension}"
        write_image(path, still(array), quality=100)
        if extension in (".png", ".tif", ".bmp", ".webp"):
            assert (read_image(path).first.array == array).all()


def test_cmyk_profile_never_reaches_the_output(tmp_path: Path) -> None:
    source = tmp_path / "cmyk.jpg"
    output = io.BytesIO()
    Image.fromarray(photo()).convert("CMYK").save(output, "JPEG")
    source.write_bytes(output.getvalue())
    for extension in (".png", ".jpg", ".tif"):
        write_image(tmp_path / f"out{extension}", read_image(source))
        icc = read_image(tmp_path / f"out{extension}").metadata.icc
        assert icc is None or icc[16:20] == b"RGB "


# 픽셀을 형식에 맞추는 계획


@pytest.mark.parametrize("target", formats.FORMATS, ids=lambda item: item.name)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3), (4, 6, 4)])
def test_plan_keeps_to_what_the_format_can_hold(target: Any, dtype: Any, shape: Any) -> None:
    frame = Frame(random_array(*shape, dtype=dtype))
    plan = plan_job(frame, Picture((frame,)), target)
    result = plan.pixels(frame)
    channels = 1 if result.ndim == 2 else result.shape[2]
    assert channels == len(plan.kind)
    assert result.dtype.itemsize * 8 == plan.depth
    assert plan.depth == 8 or target.sixteen_bit
    assert plan.kind in ("L", "RGB") or target.alpha
    assert plan.kind != "L" or target.gray
    gave_up = (dtype == np.uint16 and plan.bits < 16) or (shape[-1] == 4 and channels in (1, 3))
    assert bool(plan.notes) == gave_up


def test_nothing_given_up_means_no_note_and_no_step() -> None:
    array = photo()
    plan = plan_job(Frame(array), still(array, Metadata(icc=srgb(), dpi=(72, 72))), formats.FORMATS[0])
    assert plan.notes == () and plan.steps == ()


# 가로 띠와 순서 있는 병렬 처리


# JPEG: 띠를 잇는 다시 시작 표시, 메타데이터 조각


def test_colour_is_not_subsampled(tmp_path: Path) -> None:
    array = np.zeros((16, 16, 3), np.uint8)
    array[:, ::2] = (0, 0, 255)
    array[:, 1::2] = (255, 0, 0)
    write_image(tmp_path / "a.jpg", still(array))
    assert np.abs(read_image(tmp_path / "a.jpg").first.array.astype(int) - array).max() < 30
    with Image.open(tmp_path / "a.jpg") as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


def test_long_profile_is_split_into_numbered_parts(tmp_path: Path) -> None:
    icc = srgb() + bytes(range(256)) * 800
    write_image(tmp_path / "a.jpg", still(photo(), Metadata(icc=icc)))
    data, at, parts = (tmp_path / "a.jpg").read_bytes(), 2, []
    while data[at + 1] == 0xE0 or data[at + 1] == 0xE2:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        parts += [data[at + 4 : at + 2 + length]] if data[at + 1] == 0xE2 else []
        at += 2 + length
    assert [part[12:14] for part in parts] == [bytes((index, 4)) for index in range(1, 5)]
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == icc


def test_unknown_density_is_not_claimed(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", still(photo()))
    assert read_image(tmp_path / "a.jpg").metadata.dpi is None


@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_pixels_lost_while_writing_are_explained(tmp_path: Path, extension: str) -> None:
    write_image(tmp_path / "big.png", still(random_array(1700, 2000, 3)), compression=0)
    picture = read_image(tmp_path / "big.png", lazy=True)
    broken = picture.first.array
    broken.image = pyvips.Image.pngload_buffer((tmp_path / "big.png").read_bytes()[:4_000_000], fail_on="error")
    with pytest.raises(ImageWriteError, match=r"쓸 픽셀을 읽지 못했습니다[\s\S]*해결:"):
        write_image(tmp_path / f"a{extension}", picture)
    assert names_in(tmp_path) == ["big.png"]
