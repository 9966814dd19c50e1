"""인코딩을 고르고, 쓸 수 없는 것은 까닭과 해결을 말한다."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import pytest

from realesrgan.errors import VideoFormatError
from realesrgan.media.video import Colour, EncodeRequest, VideoInfo, plan_encoding
from realesrgan.media.video.encoders import ENCODERS, is_built
from realesrgan.media.video.layouts import layout_of

BASE = VideoInfo("video", 64, 64, 0, layout_of("yuv420p"), Colour(6), Fraction(1, 12800), Fraction(25))
HDR = {
    "mastering_display": {
        "red": (Fraction(17, 25), Fraction(8, 25)),
        "green": (Fraction(53, 200), Fraction(69, 100)),
        "blue": (Fraction(3, 20), Fraction(3, 50)),
        "white": (Fraction(3127, 10000), Fraction(329, 1000)),
        "luminance": (Fraction(1, 200), Fraction(1000)),
    },
    "content_light": (1000, 400),
}


def info(pix_fmt: str = "yuv420p", **changes: Any) -> VideoInfo:
    return replace(BASE, layout=layout_of(pix_fmt), **changes)


@pytest.mark.parametrize(
    ("source", "container", "codec", "pix_fmt"),
    [
        ("yuv420p", "mp4", "libx264", "yuv420p"),
        ("yuv420p", "webm", "libvpx-vp9", "yuv420p"),
        ("yuv422p", "mp4", "libx264", "yuv422p"),
        ("yuv420p10le", "mp4", "libx265", "yuv420p10le"),
        ("yuv420p10le", "webm", "libsvtav1", "yuv420p10le"),
        ("yuv422p12le", "matroska", "libx265", "yuv422p12le"),
        ("yuva420p", "webm", "libvpx-vp9", "yuva420p"),
        ("yuva444p12le", "mov", "prores_ks", "yuva444p10le"),
        ("yuva420p", "matroska", "ffv1", "yuva420p"),
        ("yuva420p", "mp4", "libx264", "yuv420p"),
        ("gbrp", "mp4", "libx264", "yuv444p"),
        ("gray", "mp4", "libx264", "yuv420p"),
        ("yuv440p", "mp4", "libx264", "yuv444p"),
        ("yuv411p", "mp4", "libx264", "yuv422p"),
        ("gray12le", "mov", "libx265", "yuv420p12le"),
    ],
)
def test_the_codec_and_format_follow_the_source_and_container(
    source: str, container: str, codec: str, pix_fmt: str
) -> None:
    plan = plan_encoding(info(source), EncodeRequest(), container, (64, 64))
    assert (plan.codec, plan.pix_fmt) == (codec, pix_fmt)
    assert plan.layout == layout_of(pix_fmt)


def test_lossless_keeps_rgb_gray_and_depth() -> None:
    request = EncodeRequest(codec="ffv1")
    for source in ("gbrp", "gbrap", "gray", "gray16le", "gbrp12le", "yuv422p16le"):
        assert plan_encoding(info(source), request, "matroska", (64, 64)).layout == layout_of(source)


def test_rgb_enlarged_twice_uses_the_format_that_plays_everywhere() -> None:
    assert plan_encoding(info("gbrp"), EncodeRequest(), "mp4", (128, 128)).pix_fmt == "yuv420p"


def test_the_time_base_rate_and_turned_aspect_are_kept() -> None:
    turned = info(rotation=90, sample_aspect_ratio=Fraction(4, 3))
    plan = plan_encoding(turned, EncodeRequest(), "mp4", (64, 64))
    assert (plan.time_base, plan.rate, plan.sample_aspect_ratio) == (BASE.time_base, BASE.rate, Fraction(3, 4))
    assert plan_encoding(info(), EncodeRequest(rate=Fraction(30)), "mp4", (64, 64)).time_base == Fraction(1, 30)


def test_crossing_720_lines_writes_what_players_would_guess_wrong() -> None:
    plan = plan_encoding(replace(BASE, height=480), EncodeRequest(), "mp4", (128, 1920))
    assert plan.colour == Colour(6, 6, 6)
    untouched = plan_encoding(replace(BASE, height=240), EncodeRequest(), "mp4", (128, 480))
    assert untouched.colour == Colour(6, 2, 2)


def test_losses_are_told() -> None:
    for source, container, codec, word in (
        ("yuva420p", "mp4", None, "알파"),
        ("yuv420p12le", "matroska", "libsvtav1", "비트"),
        ("yuv444p", "mp4", "libsvtav1", "색차"),
        ("yuv444p", "mp4", "libx264", "기기"),
    ):
        plan = plan_encoding(info(source), EncodeRequest(codec=codec), container, (64, 64))
        assert any(word in warning for warning in plan.warnings), (source, plan.warnings)
    assert plan_encoding(info(), EncodeRequest(), "mp4", (64, 64)).warnings == ()


@pytest.mark.parametrize(
    ("request_", "container", "words"),
    [
        (EncodeRequest(codec="libx24"), "mp4", "혹시 libx264"),
        (EncodeRequest(codec="prores"), "mp4", ".mov, .mkv에는"),
        (EncodeRequest(codec="libx264"), "webm", "libvpx-vp9"),
        (EncodeRequest(options={"presett": "fast"}), "mp4", "presett 혹시 preset"),
        (EncodeRequest(options={"x264-params": "keyintt=3"}), "mp4", "keyintt"),
        (EncodeRequest(codec="libx265", options={"x265-params": "keyintt=3"}), "mp4", "keyintt"),
        (EncodeRequest(codec="libsvtav1", options={"svtav1-params": "keyintt=3"}), "mp4", "keyintt"),
        (EncodeRequest(preset="medum"), "mp4", "ultrafast"),
        (EncodeRequest(codec="prores", preset="best"), "mov", "4444"),
        (EncodeRequest(codec="ffv1", preset="slow"), "matroska", "--preset"),
        (EncodeRequest(codec="ffv1", crf=3), "matroska", "--crf"),
        (EncodeRequest(crf=99), "mp4", "51"),
        (EncodeRequest(pix_fmt="yuv421p"), "mp4", "혹시 yuv42"),
        (EncodeRequest(codec="libsvtav1", pix_fmt="yuv444p"), "mp4", "받지 않습니다"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_remedy(request_: EncodeRequest, container: str, words: str) -> None:
    with pytest.raises(VideoFormatError) as caught:
        plan_encoding(info(), request_, container, (64, 64))
    assert words in str(caught.value)
    assert "해결:" in str(caught.value)


def test_user_options_win_and_parameters_are_joined() -> None:
    request = EncodeRequest(codec="libx265", crf=30, preset="fast", options={"x265-params": "keyint=5", "crf": "31"})
    plan = plan_encoding(info(), request, "mp4", (64, 64))
    assert plan.options["crf"] == "31"
    assert plan.options["preset"] == "fast"
    assert plan.options["x265-params"].endswith(":keyint=5")


@pytest.mark.parametrize("name", ["h264", "HEVC", "av1", "vp9"])
def test_common_names_are_understood(name: str) -> None:
    assert plan_encoding(info(), EncodeRequest(codec=name), "mp4", (64, 64)).codec in ENCODERS


def test_an_odd_size_is_refused_before_work_starts() -> None:
    with pytest.raises(VideoFormatError, match="배수"):
        plan_encoding(info(), EncodeRequest(), "mp4", (65, 49))


@pytest.mark.skipif(not is_built("h264_nvenc"), reason="이 PyAV에 nvenc가 없다")
def test_nvenc_without_a_gpu_names_the_remedy() -> None:
    try:
        plan = plan_encoding(info(), EncodeRequest(codec="h264_nvenc"), "mp4", (256, 256))
    except VideoFormatError as error:
        assert "libx264" in str(error)
    else:
        assert plan.codec == "h264_nvenc"


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_goes_to_ten_bits_with_its_metadata(transfer: int) -> None:
    hdr = info("yuv420p10le", colour=Colour(9, 9, transfer), side_data=HDR)
    x265 = plan_encoding(hdr, EncodeRequest(), "mp4", (64, 64)).options["x265-params"]
    assert "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)" in x265
    assert "max-cll=1000,400" in x265
    av1 = plan_encoding(hdr, EncodeRequest(), "webm", (64, 64))
    assert av1.codec == "libsvtav1"
    assert "content-light=1000,400" in av1.options["svtav1-params"]


@pytest.mark.parametrize("codec", ["libx264", "ffv1", "libvpx-vp9"])
def test_hdr_metadata_in_another_codec_is_refused(codec: str) -> None:
    hdr = info("yuv420p10le", colour=Colour(9, 9, 16), side_data=HDR)
    with pytest.raises(VideoFormatError, match=r"libx265, libsvtav1"):
        plan_encoding(hdr, EncodeRequest(codec=codec), "matroska", (64, 64))


def test_hdr_in_eight_bits_is_refused() -> None:
    hdr = info("yuv420p10le", colour=Colour(9, 9, 16))
    with pytest.raises(VideoFormatError, match="10비트"):
        plan_encoding(hdr, EncodeRequest(codec="libx264", pix_fmt="yuv420p"), "mp4", (64, 64))


def test_dolby_vision_without_a_base_is_refused() -> None:
    dynamic = info("yuv420p10le", colour=Colour(9), side_data={"dolby_vision": 0})
    with pytest.raises(VideoFormatError, match=r"Dolby Vision[\s\S]*해결"):
        plan_encoding(dynamic, EncodeRequest(), "mp4", (64, 64))


@pytest.mark.parametrize(
    ("side_data", "codec", "told"),
    [
        ({"dolby_vision": 1}, None, "밑바탕인 HDR10"),
        ({"dolby_vision": 4}, None, "밑바탕인 HLG"),
        ({"vivid": True}, None, "HDR Vivid"),
        ({"hdr10plus": False}, None, "창(window)이 여럿"),
        ({"hdr10plus": True}, "libx264", "HDR10+"),
        ({"hdr10plus": True}, "libx265", ""),
        ({"hdr10plus": True}, "libsvtav1", ""),
    ],
)
def test_dynamic_hdr_that_cannot_be_carried_is_named(side_data: dict[str, Any], codec: str | None, told: str) -> None:
    dynamic = info("yuv420p10le", colour=Colour(9, 9, 16), side_data=side_data)
    plan = plan_encoding(dynamic, EncodeRequest(codec=codec), "mp4", (64, 64))
    notes = [note for note in plan.warnings if "HDR10+" in note or "동적" in note]
    assert len(notes) == bool(told) and all(told in note for note in notes)


@pytest.mark.parametrize(
    ("source", "expected", "warned"),
    [
        ("yuv420p", "yuv420p", False),
        ("yuv422p10le", "yuv422p10le", False),
        ("yuva420p", "yuv420p", True),
        ("gbrp", "yuv444p", False),
        ("yuv440p", "yuv444p", False),
        ("gray12le", "gray16le", False),
    ],
)
def test_y4m_takes_only_what_it_can_hold(source: str, expected: str, warned: bool) -> None:
    plan = plan_encoding(info(source), EncodeRequest(), "yuv4mpegpipe", (64, 64))
    assert (plan.pix_fmt, bool(plan.warnings)) == (expected, warned)
    assert plan_encoding(info(source), EncodeRequest(), "nut", (64, 64)).layout == layout_of(source)


def test_standard_output_is_uncompressed() -> None:
    with pytest.raises(VideoFormatError, match="압축하지 않은"):
        plan_encoding(info(), EncodeRequest(codec="libx264"), "nut", (64, 64))
    with pytest.raises(VideoFormatError, match="y4m"):
        plan_encoding(info(), EncodeRequest(pix_fmt="yuva420p"), "yuv4mpegpipe", (64, 64))


@pytest.mark.parametrize(
    ("codec", "given", "gone"),
    [
        ("libx264", {"qp": "0"}, "crf"),
        ("libx264", {"b": "100000"}, "crf"),
        ("libx265", {"b:v": "100000"}, "crf"),
        ("libsvtav1", {"qp": "40"}, "crf"),
        ("libvpx-vp9", {"b": "100000"}, "crf"),
        ("libx264", {"x264-params": "ref=2:crf=40"}, "crf"),
    ],
)
def test_a_quality_given_another_way_replaces_the_default(codec: str, given: dict[str, str], gone: str) -> None:
    options = plan_encoding(BASE, EncodeRequest(codec=codec, options=given), "mp4", (128, 96)).options
    assert gone not in options and given.items() <= {**options, "b:v": options.get("b", "")}.items()


def test_a_bitrate_is_a_quality_too() -> None:
    options = plan_encoding(BASE, EncodeRequest(bitrate=900_000), "mp4", (128, 96)).options
    assert options["b"] == "900000" and "crf" not in options


@pytest.mark.parametrize(
    ("request_", "container", "words"),
    [
        (EncodeRequest(crf=20, options={"qp": "3"}), "mp4", "--crf, qp"),
        (EncodeRequest(options={"qp": "3", "b": "1000"}), "mp4", "두 가지"),
        (EncodeRequest(crf=20, options={"x264-params": "bitrate=100"}), "mp4", "--crf, b"),
        (EncodeRequest(options={"global_quality": "30"}), "mp4", "global_quality"),
        (EncodeRequest(codec="ffv1", bitrate=100_000), "matroska", "비트율"),
        (EncodeRequest(codec="prores", bitrate=100_000), "mov", "비트율"),
    ],
)
def test_two_qualities_at_once_are_refused(request_: EncodeRequest, container: str, words: str) -> None:
    with pytest.raises(VideoFormatError, match=words):
        plan_encoding(BASE, request_, container, (128, 96))


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "size", "words"),
    [
        ("libx264", "yuv420p", (5120, 2880), "수준 5.2"),
        ("libx264", "yuv420p10le", (128, 96), "10비트 H.264"),
        ("libx265", "yuv420p12le", (128, 96), "12비트 H.265"),
        ("libx264", "yuv420p", (8720, 128), "수준 5.2"),
        ("libx265", "yuv420p", (8192, 4400), "H.265의 가장 높은 수준"),
        ("libsvtav1", "yuv420p", (8192, 4400), "AV1의 가장 높은 수준"),
        ("libx265", "yuv420p", (7680, 4320), ""),
        ("libx264", "yuv420p", (3840, 2160), ""),
        ("libx265", "yuv420p10le", (128, 96), ""),
    ],
)
def test_what_common_players_cannot_show_is_told(codec: str, pix_fmt: str, size: tuple[int, int], words: str) -> None:
    source = info(pix_fmt)
    notes = plan_encoding(source, EncodeRequest(codec=codec, pix_fmt=pix_fmt), "mp4", size).warnings
    assert any(words in note for note in notes) if words else not notes


def test_a_rate_over_the_level_of_the_codec_is_told() -> None:
    fast = replace(BASE, rate=Fraction(240))
    plan = partial(plan_encoding, fast, EncodeRequest(codec="libx265"), "mp4")
    assert any("--fps" in note for note in plan((7680, 4320)).warnings)
    assert not plan((3840, 2160)).warnings
