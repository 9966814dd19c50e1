"""인자에 맞는 가중치(weights)를 찾아 `RealESRGANer`를 만든다."""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from realesrgan.cli.arguments import DEFAULT_DENOISE_STRENGTH
from realesrgan.cli.console import DownloadProgress
from realesrgan.inference.realesrganer import RealESRGANer
from realesrgan.zoo.models import ModelSpec, get_model
from realesrgan.zoo.weights import build_network, find_weights, infer_network, load_weights, resolve_model_path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """고른 가중치.

    Attributes:
        name: 보고서에 적을 이름.
        paths: 가중치 파일. 둘이면 섞는다(심층 네트워크 보간(DNI)).
        dni_weight: 섞는 비율. 하나면 None.
        network: 값이 아직 없는 네트워크.
        scale: 네트워크의 배율.
    """

    name: str
    paths: tuple[Path, ...]
    dni_weight: tuple[float, float] | None
    network: nn.Module
    scale: int


def choose_weights(args: argparse.Namespace) -> Chosen:
    """인자에 맞는 가중치를 찾는다. 없으면 변환하거나 내려받는다.

    Raises:
        WeightsError: 찾거나 읽을 수 없을 때.
    """
    spec = get_model(args.model_name)
    if args.model_path is None:
        first = find_weights(spec, progress=DownloadProgress(spec.file_name))
        paths, weight = _with_partner(args, spec, first)
        return Chosen(spec.name, paths, weight, build_network(spec.arch, spec.arch_args), spec.scale)
    first = resolve_model_path(args.model_path, progress=DownloadProgress(args.model_path))
    if args.named:
        paths, weight = _with_partner(args, spec, first)
        return Chosen(str(first), paths, weight, build_network(spec.arch, spec.arch_args), spec.scale)
    loaded = load_weights(first)
    arch, arch_args = infer_network(loaded.state, loaded.metadata, args.act_type)
    network = build_network(arch, arch_args)
    return Chosen(str(first), (first,), None, network, int(arch_args.get("scale", arch_args.get("upscale", 4))))


def _with_partner(
    args: argparse.Namespace, spec: ModelSpec, first: Path
) -> tuple[tuple[Path, ...], tuple[float, float] | None]:
    """잡음 제거 세기가 1보다 작으면 섞을 짝을 찾는다."""
    if spec.denoise_partner is None:
        if args.denoise_strength is not None:
            logger.warning("-dn은 realesr-general-x4v3에만 듣습니다. %s에서는 무시합니다.", spec.name)
        return (first,), None
    strength = DEFAULT_DENOISE_STRENGTH if args.denoise_strength is None else args.denoise_strength
    if strength == 1:
        return (first,), None
    beside = first.with_name(first.name.replace(spec.name, spec.denoise_partner))
    partner = get_model(spec.denoise_partner)
    found = (
        beside
        if beside != first and beside.is_file()
        else find_weights(partner, progress=DownloadProgress(partner.file_name))
    )
    return (first, found), (strength, 1 - strength)


def build_upsampler(args: argparse.Namespace, chosen: Chosen, device: str | None) -> RealESRGANer:
    """고른 가중치로 업스케일러를 만든다.

    Args:
        args: 명령의 인자.
        chosen: 고른 가중치.
        device: 장치 이름. 없으면 `--gpu-id`나 자동 선택을 따른다.

    Raises:
        WeightsError: 가중치가 네트워크와 맞지 않을 때.
        DeviceError: 장치를 쓸 수 없을 때.
    """
    return RealESRGANer(
        scale=chosen.scale,
        model_path=list(chosen.paths) if chosen.dni_weight else chosen.paths[0],
        dni_weight=chosen.dni_weight,
        model=chosen.network,
        tile=args.tile,
        tile_pad=args.tile_pad,
        pre_pad=args.pre_pad,
        device=device,
        gpu_id=args.gpu_id,
        precision=args.precision,
        batch=args.batch,
    )
