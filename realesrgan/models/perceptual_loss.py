"""VGG 특징(feature)으로 재는 지각 손실(perceptual loss). 가중치가 없으면 무작위 네트워크로 넘어가지 않고 멈춘다."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realesrgan.basicsr_bridge import LOSS_REGISTRY, replace_entry
from realesrgan.errors import DownloadError, OptionError, WeightsError, WeightsNotFoundError
from realesrgan.models.checkpoint import LOAD_ERRORS
from realesrgan.util.download import download
from realesrgan.util.files import plain_reason

# 단계마다의 합성곱 수. Simonyan & Zisserman(2015) 표 1.
STAGES = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SEARCH_FOLDERS = ("experiments/pretrained_models", "weights")
CRITERIA = ("l1", "l2", "fro")


def vgg_url(vgg_type: str) -> str:
    """torchvision이 알려 주는 ImageNet 가중치의 주소."""
    weights = getattr(importlib.import_module("torchvision.models"), f"{vgg_type.upper()}_Weights")
    return str(weights.IMAGENET1K_V1.url)


def find_vgg_weights(vgg_type: str, path: str | os.PathLike[str] | None = None) -> Path:
    """VGG 가중치 파일을 찾는다. 차례는 `path`, 작업 폴더, torch의 캐시, 내려받기다.

    Args:
        vgg_type: `vgg11`, `vgg13`, `vgg16`, `vgg19`.
        path: 옵션으로 준 파일. 주면 다른 곳은 보지 않는다.

    Returns:
        있는 파일의 경로.

    Raises:
        WeightsNotFoundError: 어디에도 없고 내려받지도 못했을 때.
    """
    if path is not None:
        if Path(path).is_file():
            return Path(path)
        raise _not_found(vgg_type, f"옵션 path가 가리키는 파일이 없습니다: {path}", Path(path))
    url = vgg_url(vgg_type)
    name = url.rsplit("/", 1)[-1]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / name
    for candidate in (*(Path(folder) / name for folder in SEARCH_FOLDERS), cached):
        if candidate.is_file():
            return candidate
    # 파일 이름의 끝이 SHA-256의 앞부분이다.
    prefix = name.removesuffix(".pth").rsplit("-", 1)[-1]
    try:
        return download(url, cached, sha256=prefix)
    except DownloadError as error:
        reason = " ".join(line.strip() for line in str(error).splitlines() if "해결:" not in line)
        raise _not_found(vgg_type, reason, Path(SEARCH_FOLDERS[0]) / name, url) from error


def _not_found(vgg_type: str, reason: str, target: Path, url: str | None = None) -> WeightsNotFoundError:
    source = f"아래 주소에서 받아\n    {url}\n  " if url else ""
    return WeightsNotFoundError(
        f"지각 손실에 쓸 {vgg_type} 가중치를 찾지 못했습니다.\n  {reason}\n"
        f"  해결: {source}{target} 자리에 두거나 train.perceptual_opt.path로 파일을 가리키세요. "
        "지각 손실 없이 훈련하려면 perceptual_opt를 지우세요."
    )


class VGGFeatures(nn.Module):
    """VGG의 중간 층을 이름으로 꺼내는 고정된 네트워크.

    입력은 `(B, 3, H, W)` RGB, 0..1. 출력은 층 이름에서 특징 `(B, C, H', W')`로의 표다. `conv5_4`처럼 합성곱의 이름을
    쓰면 ReLU를 거치기 전의 값이다.

    Args:
        layers: 꺼낼 층의 이름들.
        vgg_type: `STAGES`의 이름.
        path: 가중치 파일. 없으면 `find_vgg_weights`가 찾는다.
        use_input_norm: ImageNet의 평균과 표준편차로 맞출지.
        range_norm: 입력이 -1..1이면 0..1로 바꿀지.

    Raises:
        OptionError: 네트워크나 층의 이름을 모를 때.
        WeightsError: 가중치가 없거나 맞지 않을 때.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        layers: Iterable[str],
        vgg_type: str = "vgg19",
        path: str | None = None,
        use_input_norm: bool = True,
        range_norm: bool = False,
    ) -> None:
        super().__init__()
        if vgg_type not in STAGES:
            raise OptionError(
                f"모르는 VGG입니다: {vgg_type}\n  쓸 수 있는 이름: {', '.join(STAGES)}\n  해결: vgg_type을 고치세요."
            )
        self.wanted = tuple(layers)
        names, modules = _build_layers(vgg_type)
        unknown = [name for name in self.wanted if name not in names]
        if unknown or not self.wanted:
            raise OptionError(
                f"{vgg_type}에 없는 층입니다: {', '.join(unknown) or '(비었음)'}\n"
                "  layer_weights의 이름은 conv1_2, relu3_1, pool2처럼 씁니다.\n  해결: layer_weights를 고치세요."
            )
        self.names = names[: max(names.index(name) for name in self.wanted) + 1]
        self.features = nn.Sequential(*modules[: len(self.names)])
        self._load(find_vgg_weights(vgg_type, path))
        self.requires_grad_(False).eval()
        self.use_input_norm, self.range_norm = use_input_norm, range_norm
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def _load(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            needed = {f"features.{key}": state[f"features.{key}"] for key in self.features.state_dict()}
            self.load_state_dict(needed)
        except LOAD_ERRORS as error:
            raise WeightsError(
                f"VGG 가중치를 읽지 못했습니다: {path}\n  {plain_reason(error)}\n"
                "  해결: 파일을 지우고 torchvision이 배포한 것을 다시 받으세요."
            ) from error

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """`(B, 3, H, W)`에서 층 이름마다의 특징을 꺼낸다. 회색 `(B, 1, H, W)`이면 세 채널에 같이 넣는다."""
        x = x.expand(-1, 3, -1, -1)
        if self.range_norm:
            x = (x + 1) / 2
        if self.use_input_norm:
            x = (x - self.mean) / self.std
        found: dict[str, Tensor] = {}
        for name, layer in zip(self.names, self.features, strict=True):
            x = layer(x)
            if name in self.wanted:
                found[name] = x
        return found


def _build_layers(vgg_type: str) -> tuple[list[str], list[nn.Module]]:
    names: list[str] = []
    modules: list[nn.Module] = []
    channels = 3
    for stage, (count, width) in enumerate(zip(STAGES[vgg_type], WIDTHS, strict=True), 1):
        for number in range(1, count + 1):
            names += [f"conv{stage}_{number}", f"relu{stage}_{number}"]
            # 제자리(inplace) ReLU는 앞에서 꺼낸 특징을 덮어쓴다.
            modules += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        names.append(f"pool{stage}")
        modules.append(nn.MaxPool2d(2, 2))
    return names, modules


def gram_matrix(features: Tensor) -> Tensor:
    """특징 `(B, C, H, W)`의 그람 행렬(Gram matrix) `(B, C, C)`. Gatys 2016의 스타일 손실."""
    batch, channels, height, width = features.shape
    flat = features.reshape(batch, channels, height * width)
    return flat @ flat.transpose(1, 2) / (channels * height * width)


class PerceptualLoss(nn.Module):
    """층마다의 특징 차이를 더한 지각 손실. Johnson 2016, 층과 비중은 Real-ESRGAN 4.1절.

    Args:
        layer_weights: 층 이름에서 비중으로의 표.
        vgg_type: `vgg11`, `vgg13`, `vgg16`, `vgg19`.
        use_input_norm: ImageNet의 평균과 표준편차로 맞출지.
        range_norm: 입력이 -1..1인지.
        perceptual_weight: 지각 손실의 비중. 0이면 계산하지 않는다.
        style_weight: 스타일 손실의 비중. 0이면 계산하지 않는다.
        criterion: `l1`, `l2`, `fro`(프로베니우스 노름).
        path: VGG 가중치 파일.

    Raises:
        OptionError: 이름을 모를 때.
        WeightsError: 가중치가 없거나 맞지 않을 때.
    """

    def __init__(
        self,
        layer_weights: Mapping[str, float],
        vgg_type: str = "vgg19",
        use_input_norm: bool = True,
        range_norm: bool = False,
        perceptual_weight: float = 1.0,
        style_weight: float = 0.0,
        criterion: str = "l1",
        path: str | None = None,
    ) -> None:
        super().__init__()
        if criterion not in CRITERIA:
            raise OptionError(
                f"모르는 지각 손실 기준입니다: {criterion}\n  쓸 수 있는 기준: {', '.join(CRITERIA)}\n"
                "  해결: perceptual_opt.criterion을 고치세요."
            )
        self.layer_weights = dict(layer_weights)
        self.perceptual_weight, self.style_weight = perceptual_weight, style_weight
        self.criterion = criterion
        self.vgg = VGGFeatures(layer_weights, vgg_type, path, use_input_norm, range_norm)

    def _distance(self, one: Tensor, other: Tensor) -> Tensor:
        if self.criterion == "fro":
            return torch.linalg.vector_norm(one - other)
        return F.l1_loss(one, other) if self.criterion == "l1" else F.mse_loss(one, other)

    def forward(self, x: Tensor, gt: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """(지각 손실, 스타일 손실). 비중이 0인 쪽은 None이다.

        Args:
            x: 생성자의 출력 `(B, 3, H, W)`나 회색 `(B, 1, H, W)`, 0..1.
            gt: 정답 이미지, 같은 모양, 0..1. 그래디언트를 흘리지 않는다.
        """
        found = {name: value.float() for name, value in self.vgg(x).items()}
        with torch.no_grad():
            wanted = {name: value.float() for name, value in self.vgg(gt).items()}
        perceptual = style = None
        if self.perceptual_weight > 0:
            terms = [self._distance(found[k], wanted[k]) * weight for k, weight in self.layer_weights.items()]
            perceptual = torch.stack(terms).sum() * self.perceptual_weight
        if self.style_weight > 0:
            terms = [
                self._distance(gram_matrix(found[k]), gram_matrix(wanted[k])) * weight
                for k, weight in self.layer_weights.items()
            ]
            style = torch.stack(terms).sum() * self.style_weight
        return perceptual, style


# BasicSR의 것은 작업 폴더에 파일이 없으면 곧장 내려받으려 하고 CPU 전용 환경의 오류를 알려 주지 않는다.
replace_entry(LOSS_REGISTRY, PerceptualLoss)
