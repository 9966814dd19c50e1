"""인자에 맞는 모델을 싣는다."""

from __future__ import annotations

import argparse

from realesrgan.cli.console import DownloadProgress
from realesrgan.inference.model import Model, load
from realesrgan.zoo.models import get_model
from realesrgan.zoo.weights import Weights, open_weights


def open_chosen(args: argparse.Namespace) -> Weights:
    """인자가 고른 가중치를 찾아 읽는다. 없으면 변환하거나 내려받는다.

    Raises:
        WeightsError: 찾거나 읽을 수 없을 때.
    """
    name = get_model(args.model_name).name
    what = name if args.model_path is None else args.model_path
    return open_weights(
        what,
        name=name if args.named else None,
        denoise_strength=args.denoise_strength,
        hints={"act_type": args.act_type},
        progress=DownloadProgress(what),
    )


def build_model(args: argparse.Namespace, weights: Weights, device: str | None) -> Model:
    """고른 가중치로 모델을 만든다.

    Args:
        args: 명령의 인자.
        weights: 고른 가중치.
        device: 장치 이름. 없으면 `--gpu-id`나 자동 선택을 따른다.

    Raises:
        WeightsError: 가중치가 네트워크와 맞지 않을 때.
        DeviceError: 장치를 쓸 수 없을 때.
    """
    if device is None and getattr(args, "gpu_id", None) is not None:
        device = f"cuda:{args.gpu_id}"
    model = load(
        weights,
        device=device or "auto",
        precision=args.precision,
        tile=args.tile,
        tile_pad=args.tile_pad,
        pre_pad=args.pre_pad,
        batch=args.batch,
    )
    # 장치와 정밀도의 잘못을 일을 시작하기 전에 알린다.
    _ = model.engine
    return model


def source_of(model: Model, args: argparse.Namespace) -> str:
    """보고서에 적을 이름. 파일을 준 것이면 그 경로다."""
    return model.name if args.model_path is None or not model.files else str(model.files[0])
