"""네트워크에게 물을 수 있는 것: 배율, 크기의 배수, 활성값의 크기, 가중치 알아보기.

답은 저마다의 네트워크 파일에 있다. 아래의 이름을 갖지 않은 네트워크는 여기의 어림이 대신 답하므로, 사용자의 네트워크는
`ARCH_REGISTRY`에 등록하는 것만으로 모든 명령에서 쓰인다. 더 알려 주고 싶으면 다음 가운데 필요한 것을 갖춘다.

- `scale`(또는 `upscale`): 업스케일 배율. 정수.
- `size_multiple`: 입력의 두 변이 맞춰야 하는 배수. 정수.
- `activation_values`: 입력 픽셀 하나에 드는 활성값의 수 `ActivationValues`.
- `recognise(state, hints)`: 클래스 메서드. 제 가중치면 `(생성자의 인자, 제 이름으로 바꾼 state dict)`, 아니면 None.
- `rgb_form(state, arch_args)`: 클래스 메서드. 한 채널(회색) 네트워크의 state dict를, 회색 RGB에 같은 값을 내는 세 채널
  네트워크의 것으로 바꾼다. 없으면 한 채널 네트워크로는 추론할 수 없다.
- `recognise_ncnn(layers)`, `write_ncnn(graph)`: ncnn의 층에서 인자를 알아내고, 층을 적는다.
- `edge_layers`: 입력을 읽는 합성곱과 마지막 합성곱의 이름(없으면 None). CPU가 bf16으로 계산해도 그 둘은 값을 지킨다.
  이것과 `write_ncnn`은 물려받아 `forward`를 고친 클래스에서는 쓰지 않는다. 다시 말해야 한다(`describes`).
- `scaled_convs`, `enlarged_convs`: `joined_conv`에 `scale`과 `factor`를 주는 합성곱의 이름과 그 수. 속의 모듈도 말한다.
- `sequences`: 차례로만 부르는 합성곱과 활성화를 담은 목록(ModuleList)들의 이름. CPU의 bf16이 그 층들을 이어 돌린다.
- `checkpointed_blocks()`: 활성값을 저장하지 않고 다시 계산할 블록들(그래디언트 체크포인팅).
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from realesrgan.registry import ARCH_REGISTRY

logger = logging.getLogger(__name__)

StateDict = dict[str, Tensor]
# 휘도의 비중(R, G, B). ITU-R BT.601이고 OpenCV의 BGR2GRAY와 같다.
LUMA = (0.299, 0.587, 0.114)
# 네트워크들이 입력의 채널 수를 받는 인자의 이름. 이 패키지의 것과 spandrel의 것.
CHANNEL_ARGUMENTS = (
    "num_in_ch",
    "in_chans",
    "in_nc",
    "in_ch",
    "in_channels",
    "inp_channels",
    "img_channel",
    "n_colors",
)
# 어림할 때 RRDBNet(특징 64, 4배)과 같다고 본다.
_UNKNOWN_LARGEST = 64 * 16
_UNKNOWN_PEAK_RATIO = 11 / 4
# 배율을 재려고 넣어 보는 입력의 한 변. 흔한 배수로 모두 나누어떨어진다.
_PROBE_SIDE = 64


def is_altered(module: nn.Module) -> bool:
    """모듈의 계산을 밖에서 바꾸었는지: 훅(hook)이 걸렸거나 인스턴스의 `forward`가 바뀌었다."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def describes(network: Any, name: str) -> bool:
    """네트워크의 `name`(`write_ncnn`, `edge_layers`)이 지금의 계산을 두고 한 말인지.

    물려받아 `forward`를 고친 클래스, 속의 층을 다른 곳의 클래스로 바꾼 것, 계산을 밖에서 바꾼 것(`is_altered`)은
    물려받은 말과 다른 계산을 한다. 그런 클래스는 `name`도 스스로 말해야 한다.
    """
    order = type(network).__mro__
    said = next((number for number, one in enumerate(order) if name in vars(one)), None)
    if not isinstance(network, nn.Module) or (said is None and name not in vars(network)):
        return False
    said = 0 if said is None or name in vars(network) else said
    computes = next(number for number, one in enumerate(order) if "forward" in vars(one))
    own = (order[said].__module__, "torch.nn.")
    return said <= computes and not any(
        is_altered(layer) or not (type(layer) is type(network) or type(layer).__module__.startswith(own))
        for layer in network.modules()
    )


@dataclass(frozen=True)
class ActivationValues:
    """입력 픽셀 하나에 드는 활성값(activation)의 수.

    Attributes:
        peak: 가장 큰 순간에 함께 살아 있는 값의 수.
        largest: 가장 큰 텐서 하나가 갖는 값의 수.
    """

    peak: float
    largest: float


@dataclass(frozen=True)
class Recognition:
    """알아본 가중치.

    Attributes:
        arch: `ARCH_REGISTRY`의 이름.
        arch_args: 생성자의 인자.
        state: 그 네트워크의 이름으로 된 state dict.
    """

    arch: str
    arch_args: dict[str, Any]
    state: StateDict


class NcnnLayer(Protocol):
    """가중치를 가진 ncnn의 층이나 확대 하나."""

    @property
    def kind(self) -> str:
        """층의 종류(`Convolution`, `PReLU`, `Interp`)."""
        ...

    @property
    def options(self) -> Mapping[str, str]:
        """`.param`에 적힌 `키=값`들."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """합성곱의 `(나가는 채널, 들어오는 채널, 커널의 넓이)`."""
        ...


class NcnnGraph(Protocol):
    """층을 순전파(forward) 차례로 받아 적는 것. 모두 그 출력의 이름을 돌려준다."""

    source: str

    def add(self, kind: str, inputs: Sequence[str], options: str = "") -> str:
        """가중치 없는 층을 더한다."""
        ...

    def conv(self, layer: nn.Conv2d, source: str, activation: str = "") -> str:
        """3x3 합성곱을 더한다."""
        ...

    def prelu(self, layer: nn.PReLU, source: str) -> str:
        """채널마다 기울기가 하나인 PReLU를 더한다."""
        ...

    def enlarge(self, source: str, scale: int) -> str:
        """최근접 확대를 더한다."""
        ...

    def leaky(self, slope: float) -> str:
        """합성곱에 붙여 적을 LeakyReLU의 옵션."""
        ...


def joined_conv(
    conv: Any,
    x: Tensor,
    residual: Tensor | None = None,
    *,
    scale: float = 1.0,
    factor: int = 1,
    slope: float | None = None,
) -> Tensor:
    """`(N, C, H, W)`를 최근접으로 `factor`배 키워 합성곱하고, LeakyReLU를 거치거나 곱해서 더한다.

    더한 것은 `residual + scale * conv(x)`다. 엔진이 바꾸어 둔, 뒤따르는 계산까지 한 번에 하는 합성곱(`joins`)이면
    맡긴다.
    """
    if getattr(conv, "joins", False):
        joined: Tensor = conv(x, residual, scale=scale, factor=factor, slope=slope)
        return joined
    x = conv(x if factor == 1 else F.interpolate(x, scale_factor=factor))
    if slope is not None:
        x = F.leaky_relu(x, slope, inplace=True)
    return x if residual is None else torch.add(residual, x, alpha=scale)


def network_scale(network: Any) -> int | None:
    """업스케일 배율. 네트워크가 말하지 않으면 값 없는 입력(meta)을 넣어 재고, 그래도 모르면 None."""
    # `torch.compile`이 감싼 것은 속의 네트워크에게 묻는다.
    inner = getattr(network, "_orig_mod", network)
    for name in ("scale", "upscale"):
        value = getattr(inner, name, None)
        if isinstance(value, int) and value >= 1:
            return value
    if not isinstance(inner, nn.Module):
        return None
    channels = 1 if is_gray(inner) else 3
    try:
        probe = copy.deepcopy(inner).to("meta")
        output = image_of(probe(torch.empty(1, channels, _PROBE_SIDE, _PROBE_SIDE, device="meta")))
    except Exception:  # 남의 네트워크는 무엇이든 낼 수 있다. 배율을 모르는 것으로 보고 부른 쪽이 이유를 말한다.
        return None
    side = output.shape[-1] if isinstance(output, Tensor) and output.ndim == 4 else 0
    return side // _PROBE_SIDE if side and side % _PROBE_SIDE == 0 else None


def image_of(output: Any) -> Any:
    """네트워크가 낸 것 가운데 이미지. 중간 결과를 함께 내는 네트워크(tuple, list)에서는 첫째다."""
    return output[0] if isinstance(output, (tuple, list)) else output


def input_channels(arguments: Mapping[str, Any]) -> int | None:
    """생성자의 인자에 적힌 입력의 채널 수. 적혀 있지 않으면 None."""
    found = (arguments[name] for name in CHANNEL_ARGUMENTS if isinstance(arguments.get(name), int))
    return next(found, None)


def is_gray(network: Any) -> bool:
    """한 채널을 받아 한 채널을 내는 네트워크인지. 값 없는 입력(meta)을 넣어 본다."""
    inner = getattr(network, "_orig_mod", network)
    if not isinstance(inner, nn.Module):
        return False
    first = next((weight for weight in inner.parameters() if weight.ndim == 4), None)
    # RGB를 접은(pixel unshuffle) 입력도 3의 배수다. 거의 모든 네트워크는 여기서 끝난다.
    if first is None or first.shape[1] % 3 == 0:
        return False
    try:
        output = image_of(copy.deepcopy(inner).to("meta")(torch.empty(1, 1, _PROBE_SIDE, _PROBE_SIDE, device="meta")))
    except Exception:  # 남의 네트워크는 무엇이든 낼 수 있다. 한 채널을 받지 않는 것으로 본다.
        return False
    return isinstance(output, Tensor) and output.ndim == 4 and output.shape[1] == 1


class GrayNetwork(nn.Module):
    """한 채널(회색) 네트워크를 RGB로 부를 수 있게 감싼다. 휘도를 키워 세 채널에 같은 값을 낸다.

    감싼 네트워크의 속성은 그대로 보인다.

    Args:
        network: `(N, 1, h, w)`를 `(N, 1, h * scale, w * scale)`로 키우는 네트워크.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, 3, h, w)` RGB 0..1을 `(N, 3, h * scale, w * scale)`로 키운다."""
        output: Tensor = image_of(self.network(to_luma(x)))
        return output.expand(-1, 3, -1, -1)


def to_luma(image: Tensor) -> Tensor:
    """`(N, 3, h, w)` RGB의 휘도(luma, ITU-R BT.601) `(N, 1, h, w)`."""
    red, green, blue = (image[:, channel : channel + 1] for channel in range(3))
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def size_multiple(network: Any) -> int:
    """입력의 두 변이 맞춰야 하는 배수. 말하지 않으면 1."""
    value = getattr(getattr(network, "_orig_mod", network), "size_multiple", 1)
    return value if isinstance(value, int) and value >= 1 else 1


def network_digest(network: nn.Module) -> str:
    """네트워크의 모양과 가중치의 값이 모두 같을 때만 같은 글(SHA-256의 16진수). 섞은 가중치(DNI)도 가려낸다."""
    digest = hashlib.sha256(repr(network).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def activation_values(network: Any) -> ActivationValues:
    """입력 픽셀 하나에 드는 활성값의 수. 말하지 않으면 RRDBNet(특징 64, 4배)과 같다고 본다."""
    found = getattr(getattr(network, "_orig_mod", network), "activation_values", None)
    if isinstance(found, ActivationValues):
        return found
    return ActivationValues(_UNKNOWN_LARGEST * _UNKNOWN_PEAK_RATIO, _UNKNOWN_LARGEST)


class _WithoutValues(TorchFunctionMode):
    """`torch.nn.init`의 함수들을 건너뛴다.

    값 없는 틀(meta)에는 채울 것이 없는데, PyTorch 2.10은 그 셈에 sympy를 불러와 몇 초가 걸린다.
    """

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def build_network(arch: str, arch_args: Mapping[str, Any]) -> nn.Module:
    """등록부에서 네트워크를 찾아 값 없는 틀(meta device)로 만든다. 가중치로 채워야 쓸 수 있다."""
    cls = ARCH_REGISTRY.get(arch)
    try:
        # 어차피 덮어쓸 값을 초기화하는 데 0.3초가 든다. 틀만 만들면 그 시간이 없다.
        with torch.device("meta"), _WithoutValues():
            network: nn.Module = cls(**arch_args)
    except (RuntimeError, NotImplementedError):  # 지을 때 값을 보는 클래스(`tensor.item()` 등)
        network = cls(**arch_args)
    # State dict에 들지 않는 텐서(저장하지 않는 버퍼, 모듈의 보통 속성)를 가진 네트워크는 틀만으로는 쓸 수 없다.
    saved = network.state_dict().keys()
    buffers = (buffer for name, buffer in network.named_buffers() if name not in saved)
    plain = (value for module in network.modules() for value in vars(module).values() if isinstance(value, Tensor))
    if any(tensor.is_meta for tensor in (*buffers, *plain)):
        network = cls(**arch_args)
    return network


def recognise(state: StateDict, hints: Mapping[str, Any]) -> Recognition | None:
    """State dict가 등록된 네트워크 가운데 어느 것의 것인지 알아본다.

    Args:
        state: 이름과 텐서.
        hints: 텐서에 남지 않는 것들(`act_type` 등). `arch`가 있으면 그 네트워크만 본다.

    Returns:
        알아본 것. 아무것도 맞지 않으면 None.

    Raises:
        WeightsError: 네트워크는 알아보았지만 인자를 정할 수 없거나 가중치가 온전하지 않을 때.
    """
    wanted = hints.get("arch")
    for name, cls in ARCH_REGISTRY:
        if wanted is not None and name != wanted:
            continue
        found = _recognise_one(name, cls, state, hints)
        if found is not None:
            return Recognition(name, *found)
    return None


def _recognise_one(
    name: str, cls: Any, state: StateDict, hints: Mapping[str, Any]
) -> tuple[dict[str, Any], StateDict] | None:
    if hasattr(cls, "recognise"):
        found: tuple[dict[str, Any], StateDict] | None = cls.recognise(state, hints)
        return found
    # 알아보는 법을 적지 않은 네트워크는 기본 인자로 지어 이름과 모양을 견준다.
    if not inspect.isclass(cls) or not issubclass(cls, nn.Module):
        return None
    # 훈련 코드를 불러오면 BasicSR의 네트워크 수십 개도 보인다. 이름을 대지 않았으면 하나씩 지어 보지 않는다.
    if cls.__module__.startswith("basicsr.") and hints.get("arch") != name:
        return None
    arch_args = dict(hints.get("arch_args", {}))
    try:
        template = build_network(name, arch_args).state_dict()
    except Exception as error:  # 꼭 주어야 하는 인자가 있거나(판별자 등) 인자 없이는 지을 수 없는 남의 클래스
        logger.debug("기본 인자로 지을 수 없어 알아보지 않습니다: %s (%s)", name, error)
        return None
    return (arch_args, dict(state)) if same_shapes(template, state) else None


def same_shapes(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """두 state dict의 이름과 모양이 같은지."""
    return first.keys() == second.keys() and all(first[key].shape == second[key].shape for key in first)


def widen_input(weight: Tensor) -> Tensor:
    """휘도(luma) 한 채널을 읽는 합성곱의 가중치를 RGB를 읽는 것으로. 휘도를 구하는 일까지 합친다.

    Args:
        weight: `(O, F, k, k)`. `F`는 접어서(pixel unshuffle) 늘어난 채널 수.

    Returns:
        `(O, 3 * F, k, k)`. 비중은 ITU-R BT.601이고, 합이 1이라 회색에는 같은 값을 낸다.
    """
    return torch.cat([weight * share for share in LUMA], 1)


def widen_output(tensor: Tensor) -> Tensor:
    """한 채널을 내는 합성곱의 가중치나 편향을 세 채널에 같은 값을 내는 것으로. `(F, ...)`에서 `(3 * F, ...)`로."""
    return torch.cat([tensor] * 3)


def block_indices(state: Mapping[str, Tensor], prefix: str) -> list[int]:
    """`prefix` 다음에 오는 번호들을 작은 것부터."""
    heads = (key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix))
    return sorted({int(head) for head in heads if head.isdecimal()})
