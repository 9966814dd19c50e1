"""ESRGAN과 Real-ESRGAN의 생성자(generator) RRDBNet."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
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
    joined_conv,
    widen_input,
    widen_output,
)
from realesrgan.errors import WeightsError
from realesrgan.registry import ARCH_REGISTRY

# 잔차(residual)를 줄여 더해야 깊은 그물이 안정된다(ESRGAN 논문 3.1절, residual scaling).
RESIDUAL_SCALE = 0.2
LEAKY_SLOPE = 0.2
# scale마다의 2배 확대 횟수. 원본(xinntao/Real-ESRGAN)은 1·2·4배 모두 두 번 키우고, 모자라는 만큼 먼저 접는다.
UPSAMPLE_COUNT = {1: 2, 2: 2, 4: 2, 8: 3, 16: 4}
SCALES = tuple(sorted((*UPSAMPLE_COUNT, 3)))
# 3배는 한 번에 3배로 키운다(옛 ESRGAN과 같다). 텐서의 모양이 2배 확대와 같아 이름으로만 가릴 수 있다.
TRIPLE = "conv_up_x3"
# ncnn에서 RRDB 하나에 든 합성곱과, 확대를 뺀 몸통 밖의 합성곱(처음, 몸통 끝, 고해상도, 마지막).
_NCNN_PER_BLOCK, _NCNN_OUTSIDE = 15, 4
_OWN_KEY = re.compile(
    r"(conv_first|conv_body|conv_up\d|conv_up_x3|conv_hr|conv_last|body\.\d+\.rdb[123]\.conv[1-5])\.(weight|bias)"
)
# ESRGAN의 둘째 이름들과 이 네트워크의 이름.
_SECOND_NAMES = (
    (r"RRDB_trunk\.(\d+)\.RDB(\d)\.", r"body.\1.rdb\2."),
    (r"trunk_conv\.", "conv_body."),
    (r"upconv(\d)\.", r"conv_up\1."),
    (r"HRconv\.", "conv_hr."),
)


def own_names(state: Mapping[str, Tensor]) -> StateDict:
    """ESRGAN의 두 옛 이름을 이 네트워크의 이름으로 바꾼다. 모르는 이름은 그대로 둔다.

    첫째는 `model.0.weight`, `model.1.sub.0.RDB1.conv1.0.weight`처럼 층의 차례로, 둘째는
    `RRDB_trunk.0.RDB1.conv1.weight`, `upconv1.weight`처럼 역할로 부른다.
    """
    names = {key: key for key in state}
    if "model.0.weight" in state:
        names |= _first_names(state)
    for pattern, own in _SECOND_NAMES:
        names = {key: re.sub(f"^{pattern}", own, name) for key, name in names.items()}
    return {names[key]: value for key, value in state.items()}


def _first_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """층의 차례로 부르는 이름을 바꾼다. 확대는 2배마다 하나씩이고, 끝의 둘은 고해상도와 마지막 합성곱이다."""
    last_block = max(block_indices(state, "model.1.sub."), default=0)
    tail = [index for index in block_indices(state, "model.") if index > 1]
    roles = [f"conv_up{number + 1}" for number in range(len(tail) - 2)] + ["conv_hr", "conv_last"]
    heads = {"model.0": "conv_first", f"model.1.sub.{last_block}": "conv_body"}
    heads |= {f"model.{index}": role for index, role in zip(tail, roles[-len(tail) :], strict=True)}
    names = {}
    for key in state:
        head, _, leaf = key.rpartition(".")
        block = re.fullmatch(r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0", head)
        if block:
            names[key] = "body.{}.rdb{}.conv{}.{}".format(*block.groups(), leaf)
        elif head in heads:
            names[key] = f"{heads[head]}.{leaf}"
    return names


def _init_small(module: nn.Module, factor: float = 0.1) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            with torch.no_grad():
                layer.weight.mul_(factor)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class ResidualDenseBlock(nn.Module):
    """합성곱(convolution) 다섯 개를 촘촘히 이은 잔차 블록.

    입출력은 `(B, num_feat, H, W)`. ESRGAN 논문 3.1절.
    """

    scaled_convs: Mapping[str, float] = {"conv5": RESIDUAL_SCALE}

    def __init__(self, num_feat: int = 64, num_grow_ch: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_feat, num_grow_ch, 3, 1, 1)
        self.conv2 = nn.Conv2d(num_feat + num_grow_ch, num_grow_ch, 3, 1, 1)
        self.conv3 = nn.Conv2d(num_feat + 2 * num_grow_ch, num_grow_ch, 3, 1, 1)
        self.conv4 = nn.Conv2d(num_feat + 3 * num_grow_ch, num_grow_ch, 3, 1, 1)
        self.conv5 = nn.Conv2d(num_feat + 4 * num_grow_ch, num_feat, 3, 1, 1)
        # 값 없는 틀(meta)에는 채울 것이 없다. 거기서 난수를 부르면 PyTorch가 sympy까지 불러와 몇 초가 걸린다.
        if not self.conv1.weight.is_meta:
            _init_small(self)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, num_feat, H, W)`를 받아 같은 모양을 돌려준다."""
        features = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = torch.cat((features, joined_conv(conv, features, slope=LEAKY_SLOPE)), 1)
        return joined_conv(self.conv5, features, x, scale=RESIDUAL_SCALE)


class RRDB(nn.Module):
    """촘촘한 블록 셋을 잔차로 감싼 블록(Residual in Residual Dense Block).

    입출력은 `(B, num_feat, H, W)`.
    """

    # bf16으로 계산하면서 블록 사이를 흐르는 잔차만 fp32로 둘지. 엔진이 정한다(`inference/engines/torch.py`).
    wide_residual = False

    def __init__(self, num_feat: int, num_grow_ch: int = 32) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(num_feat, num_grow_ch)
        self.rdb2 = ResidualDenseBlock(num_feat, num_grow_ch)
        self.rdb3 = ResidualDenseBlock(num_feat, num_grow_ch)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, num_feat, H, W)`를 받아 같은 모양을 돌려준다."""
        inner = x.bfloat16() if self.wide_residual else x
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(inner))), alpha=RESIDUAL_SCALE)


@ARCH_REGISTRY.register()
class RRDBNet(nn.Module):
    """RRDB를 쌓은 초해상도(Super-Resolution) 생성자.

    입력은 `(B, num_in_ch, H, W)`, 값은 0..1의 실수이고 출력은 `(B, num_out_ch, H*scale, W*scale)`이다.
    출력은 0..1을 조금 벗어날 수 있으니 쓰는 쪽에서 자른다. `scale`이 2나 1이면 먼저 pixel-unshuffle로
    접으므로 `H`와 `W`가 각각 2나 4의 배수여야 한다. 구조: ESRGAN(Wang 2018) 3.1절, 접기: Real-ESRGAN(Wang 2021) 3.3절.

    Args:
        num_in_ch: 입력 채널 수.
        num_out_ch: 출력 채널 수.
        scale: 업스케일 배율, 1·2·3·4·8·16.
        num_feat: 몸통의 채널 수.
        num_block: RRDB 개수. x4plus는 23, anime_6B는 6.
        num_grow_ch: 블록 안에서 합성곱마다 늘어나는 채널 수.
        num_upsample: 2배로 키우는 횟수. 없으면 `scale`이 4 이하일 때 2, 8이면 3이다. 접지 않고 키우는 ESRGAN의 1배와
            2배 모델은 0과 1이다. 3배는 2배로 키우지 않으므로 주지 않는다.

    Raises:
        ValueError: `scale`과 `num_upsample`이 맞지 않을 때.
    """

    edge_layers = ("conv_first", "conv_last")
    # `RRDB.wide_residual`과 같다.
    wide_residual = False

    def __init__(
        self,
        num_in_ch: int,
        num_out_ch: int,
        scale: int = 4,
        num_feat: int = 64,
        num_block: int = 23,
        num_grow_ch: int = 32,
        num_upsample: int | None = None,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.num_block = num_block
        self.num_grow_ch = num_grow_ch
        # 확대의 합성곱 이름과 그 배율. 차례대로 부른다.
        self.upsamples = _plan_upsamples(scale, num_upsample)
        self.num_upsample = len(self.upsamples)
        self.enlarged_convs = dict(self.upsamples)
        enlarged = math.prod(factor for _, factor in self.upsamples)
        # 입력의 `H`와 `W`가 맞춰야 하는 배수. 먼저 접는 배수이기도 하다.
        self.size_multiple = enlarged // scale
        # 키운 특징 두 벌(합성곱의 입력과 출력)에 작업 공간을 더해 두 벌 반쯤이 함께 산다. 잰 최댓값에 맞춘 어림이다.
        largest = max(num_feat * enlarged**2, num_feat + 4 * num_grow_ch) / self.size_multiple**2
        self.activation_values = ActivationValues(largest * 11 / 4, largest)
        self.conv_first = nn.Conv2d(num_in_ch * self.size_multiple**2, num_feat, 3, 1, 1)
        self.body = nn.Sequential(*(RRDB(num_feat, num_grow_ch) for _ in range(num_block)))
        self.conv_body = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        for name, _ in self.upsamples:
            self.add_module(name, nn.Conv2d(num_feat, num_feat, 3, 1, 1))
        self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_last = nn.Conv2d(num_feat, num_out_ch, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, num_in_ch, H, W)`를 `(B, num_out_ch, H*scale, W*scale)`로 키운다."""
        if self.size_multiple > 1:
            x = F.pixel_unshuffle(x, self.size_multiple)
        features = self.conv_first(x)
        if self.wide_residual:
            features = features.float()
        features = features + self.conv_body(self.body(features))
        if self.wide_residual:
            features = features.bfloat16()
        # 네 배로 커진 특징이 메모리의 대부분이다. 이름에 담아 두지 않아야 다 쓴 것이 곧바로 풀린다.
        for name, factor in self.upsamples:
            features = joined_conv(getattr(self, name), features, factor=factor, slope=LEAKY_SLOPE)
        features = joined_conv(self.conv_hr, features, slope=LEAKY_SLOPE)
        return self.conv_last(features)

    def checkpointed_blocks(self) -> Iterable[nn.Module]:
        """그래디언트 체크포인팅(gradient checkpointing)을 걸 블록들. 메모리의 대부분을 쓰는 몸통의 RRDB다."""
        return self.body

    @classmethod
    def recognise(cls, state: StateDict, hints: Mapping[str, Any]) -> tuple[dict[str, Any], StateDict] | None:
        """이 네트워크(ESRGAN의 두 옛 이름도)의 가중치면 인자와 제 이름의 state dict를, 아니면 None을 돌려준다.

        Args:
            state: 이름과 텐서.
            hints: `arch_args`의 `scale`이 3이면 확대가 하나인 옛 ESRGAN의 파일을 3배로 본다. 2배와 텐서가 같다.

        Raises:
            WeightsError: 배율을 알 수 없을 때.
        """
        state = own_names(state)
        if (hints.get("arch_args") or {}).get("scale") == 3:
            state = {key.replace("conv_up1.", f"{TRIPLE}."): value for key, value in state.items()}
        needed = ("conv_first.weight", "body.0.rdb1.conv1.weight", "conv_hr.weight", "conv_last.weight")
        if any(key not in state for key in needed) or not all(_OWN_KEY.fullmatch(key) for key in state):
            return None
        doubled = sum(f"conv_up{number}.weight" in state for number in range(1, 10))
        factors = [2] * doubled + [3] * (f"{TRIPLE}.weight" in state)
        folded, out = state["conv_first.weight"].shape[1], state["conv_last.weight"].shape[0]
        sizes = {
            "num_feat": state["conv_first.weight"].shape[0],
            "num_block": len(block_indices(state, "body.")),
            "num_grow_ch": state["body.0.rdb1.conv1.weight"].shape[0],
        }
        return _arguments(folded, out, factors, sizes), state

    @classmethod
    def rgb_form(cls, state: StateDict, arch_args: Mapping[str, Any]) -> tuple[StateDict, dict[str, Any]]:
        """한 채널 네트워크의 state dict와 인자를 회색 RGB에 같은 값을 내는 세 채널의 것으로 바꾼다."""
        changed = {"conv_first.weight": widen_input(state["conv_first.weight"])}
        changed |= {key: widen_output(state[key]) for key in ("conv_last.weight", "conv_last.bias")}
        return {**state, **changed}, {**arch_args, "num_in_ch": 3, "num_out_ch": 3}

    @classmethod
    def recognise_ncnn(cls, layers: Sequence[NcnnLayer]) -> dict[str, Any] | None:
        """Ncnn의 층이 이 네트워크의 것이면 생성자의 인자를, 아니면 None을 돌려준다."""
        shapes = [layer.shape for layer in layers if layer.kind == "Convolution"]
        factors = [round(float(layer.options.get("1", 0))) for layer in layers if layer.kind == "Interp"]
        blocks, rest = divmod(len(shapes) - _NCNN_OUTSIDE - len(factors), _NCNN_PER_BLOCK)
        if blocks < 1 or rest:
            return None
        width, grow = shapes[0][0], shapes[1][0]
        if shapes[2][1] != width + grow or shapes[5][0] != width or shapes[-1][1] != width:
            return None
        sizes = {"num_feat": width, "num_block": blocks, "num_grow_ch": grow}
        return _arguments(shapes[0][1], shapes[-1][0], factors, sizes)

    def write_ncnn(self, graph: NcnnGraph) -> str:
        """층을 순전파 차례로 적고 마지막 출력의 이름을 돌려준다."""
        source = graph.source
        if self.size_multiple > 1:
            source = graph.add("Reorg", [source], f"0={self.size_multiple}")
        features = first = graph.conv(self.conv_first, source)
        for block in self.body:
            entering = features
            for name in ("rdb1", "rdb2", "rdb3"):
                features = _write_dense_block(graph, getattr(block, name), features)
            features = _write_scaled_sum(graph, features, entering)
        features = graph.add("BinaryOp", [graph.conv(self.conv_body, features), first], "0=0")
        for name, factor in self.upsamples:
            features = graph.conv(getattr(self, name), graph.enlarge(features, factor), graph.leaky(LEAKY_SLOPE))
        return graph.conv(self.conv_last, graph.conv(self.conv_hr, features, graph.leaky(LEAKY_SLOPE)))


def _plan_upsamples(scale: int, num_upsample: int | None) -> tuple[tuple[str, int], ...]:
    """확대마다의 합성곱 이름과 배율.

    Raises:
        ValueError: `scale`과 `num_upsample`이 맞지 않을 때.
    """
    if scale == 3 and num_upsample is None:
        return ((TRIPLE, 3),)
    count = UPSAMPLE_COUNT.get(scale, -1) if num_upsample is None else num_upsample
    if scale not in UPSAMPLE_COUNT or count < 0 or 2**count % scale:
        raise ValueError(
            f"RRDBNet의 scale은 {', '.join(map(str, SCALES))} 가운데 하나이고 "
            f"2^num_upsample은 그 배수여야 합니다: scale={scale}, num_upsample={num_upsample}"
        )
    return tuple((f"conv_up{number + 1}", 2) for number in range(count))


def _arguments(folded: int, out: int, factors: Sequence[int], sizes: dict[str, Any]) -> dict[str, Any]:
    """접힌 입력 채널과 확대마다의 배율에서 전체 배율을 알아낸다. 입력과 출력의 채널 수는 같다고 본다."""
    unshuffle = math.isqrt(folded // out) if folded % out == 0 else 0
    enlarged = math.prod(factors)
    scale = enlarged // unshuffle if unshuffle and enlarged % unshuffle == 0 else 0
    if scale not in SCALES or unshuffle**2 * out != folded or (3 in factors and scale != 3):
        raise WeightsError(
            f"RRDBNet의 배율을 알 수 없습니다: 입력 채널 {folded}, 출력 채널 {out}, 확대 {list(factors)}\n"
            "  해결: 가중치 파일이 온전한지 확인하세요."
        )
    found = {"num_in_ch": out, "num_out_ch": out, **sizes, "scale": scale}
    usual = scale == 3 or UPSAMPLE_COUNT[scale] == len(factors)
    return found if usual else {**found, "num_upsample": len(factors)}


def _write_scaled_sum(graph: NcnnGraph, residual: str, source: str) -> str:
    return graph.add("Eltwise", [residual, source], f"0=1 -23301=2,{RESIDUAL_SCALE:e},{1.0:e}")


def _write_dense_block(graph: NcnnGraph, block: ResidualDenseBlock, source: str) -> str:
    features = [source]
    for conv in (block.conv1, block.conv2, block.conv3, block.conv4):
        joined = graph.add("Concat", features, "0=0") if len(features) > 1 else source
        features.append(graph.conv(conv, joined, graph.leaky(LEAKY_SLOPE)))
    return _write_scaled_sum(graph, graph.conv(block.conv5, graph.add("Concat", features, "0=0")), source)
