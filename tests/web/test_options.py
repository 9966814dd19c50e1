"""양식의 값과, 같은 일을 하는 명령줄."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realesrgan.cli.arguments import parse_arguments
from realesrgan.cli.video_arguments import parse_arguments as parse_video
from realesrgan.cli.video_arguments import to_settings
from realesrgan.errors import UsageError
from realesrgan.inference.steps import parse_steps
from realesrgan.web.options import (
    PRESETS,
    Options,
    command_line,
    default_options,
    load_arguments,
    picture_settings,
    read_options,
    step_texts,
    video_settings,
)

SIZES = st.sampled_from([{}, {"scale": 2.5}, {"width": 800}, {"height": 90}, {"long_side": 4000}, {"fit": "640x480"}])
SHARED = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["RealESRGAN_x4plus", "realesr-general-x4v3", "realesr-animevideov3"]),
        "denoise": st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        "ensemble": st.booleans(),
        "blend": st.sampled_from([0.0, 0.7, 1.0]),
        "color_fix": st.sampled_from(["none", "wavelet"]),
        "sharpen": st.sampled_from([0.0, 0.5]),
        "alpha_upsampler": st.sampled_from(["realesrgan", "bicubic"]),
        "precision": st.sampled_from(["auto", "fp32"]),
        "tile": st.sampled_from(["auto", 0, 256]),
    },
)


@settings(deadline=None, max_examples=50)
@given(SHARED, SIZES, st.sampled_from(["auto", "jpg", "png"]), st.sampled_from([None, 80]))
def test_the_picture_command_does_what_the_form_says(shared: Any, size: Any, ext: str, quality: int | None) -> None:
    options = read_options({**shared, **size, "format": ext, "quality": quality}, "picture")
    args = parse_arguments(shlex.split(command_line(options, "picture", ("사진 1.jpg", "-b.png")))[1:])
    assert args.input == ["사진 1.jpg", "./-b.png"]
    made = picture_settings(options, step_texts(options), None)
    assert (args.outscale, args.quality, args.alpha_upsampler) == (made.outscale, made.quality, made.alpha_upsampler)
    assert args.ext == ext
    assert [step.text for step in parse_steps(args.steps)] == [step.text for step in parse_steps(made.steps)]
    loaded = load_arguments(options)
    assert (args.model_name, args.ensemble) == (options.model, loaded["ensemble"])
    assert (args.precision, args.tile) == (loaded["precision"], loaded["tile"])
    if options.model == "realesr-general-x4v3":
        assert (0.5 if args.denoise_strength is None else args.denoise_strength) == loaded["denoise_strength"]


@settings(deadline=None, max_examples=50)
@given(
    SHARED,
    SIZES,
    st.sampled_from(["auto", "h265"]),
    st.sampled_from([None, 20.0]),
    st.sampled_from(["none", "single", "double", "ivtc", "progressive"]),
    st.booleans(),
)
def test_the_video_command_does_what_the_form_says(
    shared: Any, size: Any, codec: str, crf: float | None, interlaced: str, keep_going: bool
) -> None:
    values = {"codec": codec, "crf": crf, "interlaced": interlaced, "keep_going": keep_going, "start": "1.5"}
    options = read_options({**shared, **size, **values}, "video")
    args = parse_video(shlex.split(command_line(options, "video"))[1:])
    made = video_settings(options, step_texts(options))
    told = to_settings(args)
    assert [step.text for step in parse_steps(told.steps)] == [step.text for step in parse_steps(made.steps)]
    assert replace(told, resume=True, steps=()) == replace(made, steps=())


def test_faces_reach_the_command_and_not_an_anime_model() -> None:
    values = {"faces": True, "face_strength": 0.5, "only_center_face": True}
    args = parse_arguments(shlex.split(command_line(read_options(values, "picture"), "picture"))[1:])
    assert (args.face_enhance, args.face_strength, args.only_center_face) == (True, 0.5, True)
    anime = read_options({**values, "model": "RealESRGAN_x4plus_anime_6B"}, "picture")
    assert not anime.restores_faces and "face" not in command_line(anime, "picture")


def test_uploaded_weights_replace_the_name_of_the_model() -> None:
    assert "--model_path mine.pth" in command_line(Options(), "picture", weights="mine.pth")


@pytest.mark.parametrize(
    "values",
    [
        {"model": "../../etc/passwd"},
        {"model_name": "RealESRGAN_x4plus"},
        {"scale": 0},
        {"scale": float("nan")},
        {"scale": True},
        {"scale": 2, "width": 100},
        {"fit": "0x10"},
        {"face_model": "/etc/passwd"},
        {"format": "exe"},
        {"quality": 50.5},
        {"ensemble": "yes"},
        {"start": "1:99"},
        {"start": "9", "end": "3"},
        {"tile": -1},
    ],
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        read_options(values, "picture")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_form_that_can_be_run(name: str) -> None:
    kind, values = PRESETS[name]
    assert read_options(values, kind) != default_options(kind)
