"""가볍고 빠른 생성자(generator) SRVGGNetCompact."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realesrgan.archs.base import (
    ActivationValues,
    NcnnGraph,
    NcnnLayer,
    StateDict,
    block_indices,
    widen_input,
    widen_output,
)
from realesrgan.errors import WeightsError
from realesrgan.registry import ARCH_REGISTRY

# PReLU가 처음에 갖는 음수 쪽 기울기(PyTorch의 기본값).
PRELU_START = 0.25
# 항등에 섞는 무작위 값의 비중. 채널이 저마다 다른 것을 배우기에 넉넉하면서 픽셀의 자리를 흐리지 않는다.
MIXED_NOISE = 0.3
LEAKY_SLOPE = 0.1
# 활성화 함수의 이름과, 채널 수로 그 층을 짓는 법.
_ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {
    "relu": lambda _: nn.ReLU(inplace=True),
    "prelu": lambda num_feat: nn.PReLU(num_parameters=num_feat),
    "leakyrelu": lambda _: nn.LeakyReLU(negative_slope=LEAKY_SLOPE, inplace=True),
}
ACT_TYPES = tuple(_ACTIVATIONS)
# ncnn의 합성곱에 붙은(fused) 활성화의 번호.
_NCNN_ACTIVATIONS = {"1": "relu", "2": "leakyrelu"}


def _init_deep(body: nn.ModuleList) -> None:
    """처음 가중치를 정한다. 공식 가중치를 실으면 모두 덮인다.

    PyTorch의 기본값은 층마다 신호를 줄여 기울기가 사라지고, He 2015의 값은 신호를 지키지만 건너뛰는 연결이 없는 이
    깊이에서는 3x3 평균이 거듭되어 픽셀의 자리가 흐려진다(16층에서 200번 훈련해도 최근접 확대에 머물렀다). 그래서 같은
    채널 수의 층은 가운데 점의 항등(Xiao 2018, 4절의 delta-orthogonal)에 He의 값을 조금 섞어 시작한다. 마지막 층은 작게
    두어 최근접 확대에서 시작한다.
    """
    convolutions = [layer for layer in body if isinstance(layer, nn.Conv2d)]
    for layer in convolutions:
        nn.init.kaiming_normal_(layer.weight, a=PRELU_START)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    with torch.no_grad():
        for layer in convolutions[1:-1]:
            layer.weight.mul_(MIXED_NOISE)
            layer.weight[:, :, 1, 1] += torch.eye(layer.out_channels)
        convolutions[-1].weight.mul_(0.1)


@ARCH_REGISTRY.register()
class SRVGGNetCompact(nn.Module):
    """마지막에만 키우는 VGG 모양의 초해상도(Super-Resolution) 생성자.

    입력은 `(B, num_in_ch, H, W)`, 값은 0..1의 실수이고 출력은 `(B, num_out_ch, H*upscale, W*upscale)`이다.
    네트워크는 최근접(nearest) 확대와의 차이를 배운다. 출력은 0..1을 조금 벗어날 수 있다.

    Args:
        num_in_ch: 입력 채널 수.
        num_out_ch: 출력 채널 수. 최근접 확대를 더하므로 `num_in_ch`와 같아야 한다.
        num_feat: 가운데 채널 수.
        num_conv: 가운데 합성곱(convolution) 개수. animevideov3은 16, general은 32.
        upscale: 업스케일 배율, 1 이상.
        act_type: 활성화 함수. `relu`, `prelu`(채널마다 하나), `leakyrelu`(기울기 0.1).

    Raises:
        ValueError: `act_type`을 모를 때.
    """

    # 입력의 `H`와 `W`가 맞춰야 하는 배수. 제약이 없다.
    size_multiple = 1
    # 마지막 합성곱은 입력과의 작은 차이만 내고, 그 차이를 더하는 일은 언제나 입력의 자료형으로 한다.
    edge_layers = ("body.0", None)
    # 차례로만 부르는 층들.
    sequences = ("body",)

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_conv: int = 16,
        upscale: int = 4,
        act_type: str = "prelu",
    ) -> None:
        super().__init__()
        if act_type not in _ACTIVATIONS:
            raise ValueError(f"act_type은 {', '.join(ACT_TYPES)} 가운데 하나여야 합니다: {act_type}")
        activation = _ACTIVATIONS[act_type]
        self.num_in_ch = num_in_ch
        self.num_out_ch = num_out_ch
        self.num_feat = num_feat
        self.num_conv = num_conv
        # 다른 네트워크와 같은 이름(scale)으로도 읽는다.
        self.scale = self.upscale = upscale
        self.act_type = act_type
        self.body = nn.ModuleList([nn.Conv2d(num_in_ch, num_feat, 3, 1, 1), activation(num_feat)])
        for _ in range(num_conv):
            self.body.append(nn.Conv2d(num_feat, num_feat, 3, 1, 1))
            self.body.append(activation(num_feat))
        self.body.append(nn.Conv2d(num_feat, num_out_ch * upscale * upscale, 3, 1, 1))
        self.upsampler = nn.PixelShuffle(upscale)
        # 값 없는 틀(meta)에는 채울 것이 없다. 거기서 난수를 부르면 PyTorch가 sympy까지 불러와 몇 초가 걸린다.
        if not self.body[0].weight.is_meta:
            _init_deep(self.body)
        enlarged = num_out_ch * upscale**2
        # 가운데 특징 두 벌, 마지막 합성곱의 출력과 펼친 결과와 최근접 확대. 잰 최댓값에 맞춘 어림이다.
        self.activation_values = ActivationValues(2 * num_feat + 3 * enlarged, max(num_feat, enlarged))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, num_in_ch, H, W)`를 `(B, num_out_ch, H*upscale, W*upscale)`로 키운다."""
        features = x
        for layer in self.body:
            features = layer(features)
        enlarged = F.interpolate(x, scale_factor=self.upscale, mode="nearest")
        # 제자리에서 더한다. 특징이 bf16이어도 결과는 입력의 자료형이고, 큰 텐서를 하나 덜 만든다.
        enlarged += self.upsampler(features)
        return enlarged

    @classmethod
    def recognise(cls, state: StateDict, hints: Mapping[str, Any]) -> tuple[dict[str, Any], StateDict] | None:
        """이 네트워크의 가중치면 인자와 state dict를, 아니면 None을 돌려준다.

        Args:
            state: 이름과 텐서.
            hints: `act_type`. PReLU는 텐서에서 알 수 있어 필요 없다.

        Raises:
            WeightsError: 활성화 함수를 알 수 없거나 가중치가 온전하지 않을 때.
        """
        first = state.get("body.0.weight")
        if first is None or first.ndim != 4 or not all(key.startswith("body.") for key in state):
            return None
        indices = block_indices(state, "body.")
        final = state.get(f"body.{indices[-1]}.weight")
        # 활성화가 텐서를 남기지 않아도 번호는 개수의 두 배를 넘지 못한다. 꾸며 낸 큰 번호로 끝없이 짓지 않게 한다.
        if indices[-1] > 2 * len(indices) or final is None or final.ndim != 4:
            raise WeightsError("SRVGGNetCompact의 마지막 합성곱을 찾지 못했습니다. 가중치 파일이 온전한지 확인하세요.")
        slope = state.get("body.1.weight")
        act_type = "prelu" if slope is not None and slope.ndim == 1 else hints.get("act_type")
        if act_type not in ACT_TYPES:
            raise WeightsError(
                "가중치에서 활성화 함수를 알 수 없습니다. relu와 leakyrelu는 같은 텐서를 남기기 때문입니다.\n"
                "  해결: --act_type relu 또는 --act_type leakyrelu를 주세요(파이썬에서는 act_type 인자)."
            )
        num_feat, num_ch = first.shape[:2]
        upscale = math.isqrt(final.shape[0] // num_ch)
        sizes = {"num_feat": num_feat, "num_conv": indices[-1] // 2 - 1, "upscale": upscale}
        return {"num_in_ch": num_ch, "num_out_ch": num_ch, **sizes, "act_type": act_type}, dict(state)

    @classmethod
    def rgb_form(cls, state: StateDict, arch_args: Mapping[str, Any]) -> tuple[StateDict, dict[str, Any]]:
        """한 채널 네트워크의 state dict와 인자를 회색 RGB에 같은 값을 내는 세 채널의 것으로 바꾼다."""
        last = f"body.{block_indices(state, 'body.')[-1]}"
        changed = {"body.0.weight": widen_input(state["body.0.weight"])}
        changed |= {key: widen_output(state[key]) for key in (f"{last}.weight", f"{last}.bias")}
        return {**state, **changed}, {**arch_args, "num_in_ch": 3, "num_out_ch": 3}

    @classmethod
    def recognise_ncnn(cls, layers: Sequence[NcnnLayer]) -> dict[str, Any] | None:
        """Ncnn의 층이 이 네트워크의 것이면 생성자의 인자를, 아니면 None을 돌려준다.

        Raises:
            WeightsError: 활성화 함수를 알 수 없을 때.
        """
        shapes = [layer.shape for layer in layers if layer.kind == "Convolution"]
        width, channels, _ = shapes[0]
        out, entering, _ = shapes[-1]
        middle = all((after, before) == (width, width) for after, before, _ in shapes[1:-1])
        upscale = math.isqrt(out // channels)
        if not middle or entering != width or upscale**2 * channels != out:
            return None
        has_prelu = any(layer.kind == "PReLU" for layer in layers)
        act_type = "prelu" if has_prelu else _NCNN_ACTIVATIONS.get(layers[0].options.get("9", "0"))
        if act_type is None:
            raise WeightsError(
                "ncnn 파일에서 SRVGGNetCompact의 활성화 함수를 알아내지 못했습니다. 파일이 온전한지 확인하세요."
            )
        sizes = {"num_feat": width, "num_conv": len(shapes) - 2, "upscale": upscale}
        return {"num_in_ch": channels, "num_out_ch": channels, **sizes, "act_type": act_type}

    def write_ncnn(self, graph: NcnnGraph) -> str:
        """층을 순전파 차례로 적고 마지막 출력의 이름을 돌려준다."""
        fused = "9=1" if self.act_type == "relu" else ""
        if self.act_type == "leakyrelu":
            fused = graph.leaky(LEAKY_SLOPE)
        features = graph.source
        layers: list[Any] = list(self.body)
        for index, layer in enumerate(layers):
            if index % 2 == 0:
                features = graph.conv(layer, features, fused if index < len(layers) - 1 else "")
            elif type(layer) is not type(_ACTIVATIONS[self.act_type](1)):
                raise WeightsError(f"활성화 함수가 {self.act_type}가 아니라 ncnn으로 적을 수 없습니다: {layer}")
            elif isinstance(layer, nn.PReLU):
                features = graph.prelu(layer, features)
        shuffled = graph.add("PixelShuffle", [features], f"0={self.upscale}")
        return graph.add("BinaryOp", [shuffled, graph.enlarge(graph.source, self.upscale)], "0=0")
