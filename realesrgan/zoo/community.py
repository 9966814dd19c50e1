"""이 프로젝트의 것이 아닌 네트워크의 가중치. `spandrel` 패키지가 있으면 그 네트워크를 빌려 쓴다.

이 프로젝트가 아는 네트워크는 언제나 이 프로젝트의 클래스로 실린다. 여기는 그 밖의 것만 맡는다.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import logging
import pkgutil
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from realesrgan.archs.base import StateDict, image_of, to_luma
from realesrgan.errors import MissingPackageError, UsageError, WeightsError
from realesrgan.util.optional import import_optional, prepare_torchvision

logger = logging.getLogger(__name__)
PREFIX = "spandrel:"
INSTALL = 'pip install "realesrgan[spandrel]" 또는 pip install spandrel'
# 그 네트워크에만 있는 이름들. 모두 들어 있으면 그 네트워크로 본다. 자세한 것이 앞에 온다.
_SIGNS = (
    ("HAT", ("conv_first.weight", "layers.0.residual_group.overlap_attn.qkv.weight")),
    ("Swin2SR", ("conv_first.weight", "layers.0.residual_group.blocks.0.attn.logit_scale")),
    ("DAT", ("conv_first.weight", "layers.0.blocks.0.attn.qkv.weight")),
    ("SwinIR", ("layers.0.residual_group.blocks.0.norm1.weight",)),
    ("OmniSR", ("residual_layer.0.residual_layer.0.layer.0.fn.0.weight",)),
    ("SPAN", ("block_1.c1_r.sk.weight",)),
    ("SRFormer", ("layers.0.residual_group.blocks.0.attn.aligned_relative_position_index",)),
    ("PLKSR", ("feats.0.weight", "feats.1.lk.conv.weight")),
    ("RealPLKSR", ("feats.0.weight", "feats.1.norm.weight")),
    ("RealCUGAN", ("unet1.conv1.conv.0.weight",)),
    ("SwiftSRGAN", ("initial.cnn.depthwise.weight",)),
    ("SAFMN", ("to_feat.weight", "feats.0.norm1.weight")),
    ("DITN", ("sft.weight", "UFONE.0.ITLs.0.attn.project_in.weight")),
    ("ATD", ("conv_first.weight", "relative_position_index_SA")),
    ("EDSR", ("head.0.weight", "body.0.body.0.weight", "tail.0.0.weight")),
    ("GFPGAN", ("toRGB.0.weight", "stylegan_decoder.style_mlp.1.weight")),
    ("ESRGAN+", ("model.1.sub.0.RDB1.conv1x1.weight",)),
)


def network_builder(name: str) -> Callable[..., nn.Module]:
    """`spandrel:SPAN` 같은 이름의 네트워크를 훈련할 수 있게 짓는 함수를 찾는다. 인자는 그 클래스의 것이다.

    지은 네트워크의 가중치 이름은 본래 것 그대로라, 저장한 파일이 spandrel을 쓰는 어느 프로그램에서나 실린다.

    Raises:
        MissingPackageError: spandrel이 없을 때.
        UsageError: 그런 네트워크가 없을 때. 가까운 이름을 담는다.
    """
    prepare_torchvision()
    spandrel = import_optional("spandrel", "이 네트워크를 훈련하려면", INSTALL)
    home = importlib.import_module("spandrel.architectures")
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(home.__path__):
        if not module.name.startswith("_"):
            values = vars(importlib.import_module(f"spandrel.architectures.{module.name}"))
            found |= {n: v for n, v in values.items() if inspect.isclass(v) and issubclass(v, nn.Module)}
    wanted = name.removeprefix(PREFIX)
    if wanted not in found:
        close = difflib.get_close_matches(wanted, found, n=1, cutoff=0.4)
        raise UsageError(
            f"spandrel에 없는 네트워크입니다: {name}\n  설치된 버전에 그런 이름이 없습니다.\n"
            f"  해결: {f'혹시 {PREFIX}{close[0]}입니까?' if close else ', '.join(sorted(found))}"
        )
    network = found[wanted]

    @functools.wraps(network, updated=())
    def build(**arguments: Any) -> nn.Module:
        made: nn.Module = network(**arguments)
        try:
            known = spandrel.ModelLoader().load_from_state_dict(made.state_dict())
            vars(made)["size_multiple"] = int(known.size_requirements.multiple_of)
        except Exception as error:  # 알아보지 못하는 크기로 지은 것. 배수를 모를 뿐 훈련은 된다.
            logger.info("spandrel이 알아보지 못하는 인자입니다: %s (%s)", name, error)
        return made

    build.__signature__ = inspect.signature(network)  # type: ignore[attr-defined]
    return build


def guess_architecture(state: StateDict) -> str | None:
    """텐서의 이름에서 네트워크의 이름을 짐작한다. 모르면 None."""
    return next((name for name, keys in _SIGNS if all(key in state for key in keys)), None)


def identify(state: StateDict, source: object) -> tuple[str, int]:
    """이 프로젝트가 모르는 가중치가 빌려 쓸 수 있는 네트워크의 것인지 본다.

    Returns:
        `spandrel:` 다음에 네트워크의 이름, 그리고 그 채널 수(회색 1, RGB 3).

    Raises:
        WeightsError: 패키지가 있는데도 모르는 가중치일 때, 또는 패키지가 없을 때. 짐작한 이름과 설치 명령을 담는다.
    """
    guessed = guess_architecture(state)
    try:
        descriptor = describe(state)
    except MissingPackageError as error:
        about = f"{guessed}의 가중치로 보입니다." if guessed else "RRDBNet(ESRGAN)과 SRVGGNetCompact의 이름이 아닙니다."
        raise WeightsError(
            f"가중치에서 네트워크를 알아내지 못했습니다: {source}\n  {about} 판별자(netD)의 파일은 쓸 수 없습니다.\n"
            f"  해결: 다른 네트워크라면 spandrel을 설치하세요: {INSTALL}\n"
            "  직접 만든 네트워크라면 그 파일을 --plugin으로 주세요."
        ) from error
    if descriptor is None:
        known = f"{guessed}의 가중치로 보이지만 모양이 다릅니다." if guessed else "모르는 텐서의 이름입니다."
        raise WeightsError(
            f"가중치에서 네트워크를 알아내지 못했습니다: {source}\n  {known} 판별자(netD)의 파일은 쓸 수 없습니다.\n"
            "  해결: 생성자의 가중치인지 확인하세요. 직접 만든 네트워크라면 그 파일을 --plugin으로 주세요."
        )
    channels = int(descriptor.input_channels)
    if channels not in (1, 3) or descriptor.output_channels != channels:
        raise WeightsError(
            f"RGB 세 채널이나 회색 한 채널의 네트워크만 쓸 수 있습니다: {source}\n"
            f"  이 가중치({descriptor.architecture.name})는 {channels}채널을 받아 {descriptor.output_channels}채널을 "
            "냅니다.\n  해결: 다른 가중치를 쓰세요."
        )
    return PREFIX + str(descriptor.architecture.name), channels


def load(state: StateDict, source: object) -> nn.Module:
    """빌려 쓰는 네트워크를 이 프로젝트의 약속에 맞추어 싣는다.

    Raises:
        WeightsError: 실을 수 없을 때.
        MissingPackageError: spandrel이 없을 때.
    """
    descriptor = describe(state)
    if descriptor is None:
        raise WeightsError(f"가중치에서 네트워크를 알아내지 못했습니다: {source}\n  해결: 파일을 다시 받으세요.")
    return CommunityNetwork(descriptor).eval().requires_grad_(False)


def describe(state: StateDict, purpose: str = "이 네트워크를 쓰려면", install: str = INSTALL) -> Any:
    """`spandrel`이 알아본 것. 모르거나 이미지를 이미지로 바꾸는 것이 아니면 None."""
    prepare_torchvision()
    spandrel = import_optional("spandrel", purpose, install)
    try:
        descriptor = spandrel.ModelLoader().load_from_state_dict(dict(state))
    except Exception:  # 알아보다가 나는 예외의 종류는 그 네트워크마다 다르다. 모두 "모른다"이고 부른 쪽이 말한다.
        return None
    return descriptor if isinstance(descriptor, spandrel.ImageModelDescriptor) else None


class CommunityNetwork(nn.Module):
    """`spandrel`의 네트워크. 입력은 `(N, 3, H, W)` 0..1, 출력은 `(N, 3, H*scale, W*scale)`이다.

    한 채널(회색) 네트워크면 휘도를 키워 세 채널에 같은 값을 낸다.

    Args:
        descriptor: `spandrel.ImageModelDescriptor`.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        needs = descriptor.size_requirements
        self.network: nn.Module = descriptor.model
        self.gray = int(descriptor.input_channels) == 1
        self.arch_name = str(descriptor.architecture.name)
        self.scale = int(descriptor.scale)
        self.size_multiple = int(needs.multiple_of)
        self.supports_half = bool(descriptor.supports_half)
        self._minimum = int(needs.minimum)
        self._square = bool(needs.square)

    def forward(self, x: Tensor) -> Tensor:
        """키운다. 네트워크가 더 큰 입력을 바라면 아래와 오른쪽을 되풀이로 채워 넣고 결과에서 뗀다."""
        height, width = x.shape[-2:]
        side = max(height, width) if self._square else 0
        wanted = [
            -(-max(own, self._minimum, side) // self.size_multiple) * self.size_multiple for own in (height, width)
        ]
        if wanted != [height, width]:
            x = F.pad(x, (0, wanted[1] - width, 0, wanted[0] - height), mode="replicate")
        output: Tensor = image_of(self.network(to_luma(x) if self.gray else x))
        output = output.expand(-1, 3, -1, -1) if self.gray else output
        return output[..., : height * self.scale, : width * self.scale]
