"""ncnn 가중치 파일(`.param`, `.bin`)을 읽고 쓰고 돌린다.

`.param`은 텍스트로 첫 줄이 7767517, 둘째 줄이 층과 덩어리(blob)의 수, 다음부터 한 줄에 한 층이다.
`.bin`은 그 순서대로 이어진 층의 데이터다.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realesrgan.archs.base import describes
from realesrgan.errors import WeightsError
from realesrgan.registry import ARCH_REGISTRY
from realesrgan.util.optional import import_optional

PARAM_MAGIC = "7767517"
FP16_FLAG = 0x01306B47
FP32_FLAG = 0
INPUT, OUTPUT = "data", "output"
# ncnn은 둘째 줄에 적힌 수만큼의 층만 읽는다. 그 뒤에 이 글자로 시작하는 줄로 메타데이터를 적는다.
NOTE = "#"
_NEAREST = 1
_KERNEL_AREA = 9


@dataclass(frozen=True)
class NcnnLayer:
    """가중치를 가진 층이나 확대(Interp) 하나. 배열은 모두 1차원 float32다. `options`는 `.param`의 `키=값`들이다."""

    kind: str
    name: str
    arrays: tuple[NDArray[np.float32], ...]
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """합성곱의 `(나가는 채널, 들어오는 채널, 커널의 넓이)`."""
        area = int(self.options.get("1", "0")) ** 2
        count = int(self.options["0"])
        return count, self.arrays[0].size // max(count * area, 1), area


class _Reader:
    """`.bin`을 앞에서부터 차례로 읽는다."""

    def __init__(self, data: bytes, source: Path) -> None:
        self._data = data
        self._source = source
        self._offset = 0

    def take(self, dtype: str, count: int) -> NDArray[np.float32]:
        """`count`개를 읽어 float32로 돌려준다. 4바이트 경계까지 건너뛴다.

        Raises:
            WeightsError: 파일이 모자랄 때.
        """
        size = np.dtype(dtype).itemsize * count
        if count < 0 or self._offset + size > len(self._data):
            raise WeightsError(
                f"ncnn 가중치 파일이 잘렸습니다: {self._source}\n  해결: 가중치 패키지를 다시 설치하세요."
            )
        values = np.frombuffer(self._data, dtype, count, self._offset).astype(np.float32)
        self._offset += -(-size // 4) * 4
        return values

    def take_weights(self, count: int) -> NDArray[np.float32]:
        """형식 표시 다음에 오는 가중치를 읽는다.

        Raises:
            WeightsError: 모르는 저장 형식(int8 등)일 때.
        """
        flag = int.from_bytes(self._data[self._offset : self._offset + 4], "little")
        self._offset += 4
        if flag == FP16_FLAG:
            return self.take("<f2", count)
        if flag == FP32_FLAG:
            return self.take("<f4", count)
        raise WeightsError(f"지원하지 않는 ncnn 저장 형식입니다(0x{flag:08X}): {self._source}")

    @property
    def exhausted(self) -> bool:
        """끝까지 읽었는지."""
        return self._offset >= len(self._data)


def read_ncnn(param_path: Path, bin_path: Path) -> list[NcnnLayer]:
    """Ncnn 파일 한 쌍에서 가중치를 가진 층과, 배율을 말해 주는 확대를 차례로 읽는다.

    Args:
        param_path: `.param` 파일.
        bin_path: `.bin` 파일.

    Returns:
        합성곱은 `(가중치, 편향)`, PReLU는 `(기울기,)`, 확대는 빈 것을 담은 층의 목록. 순전파(forward) 순서다.

    Raises:
        WeightsError: 형식이 다르거나 두 파일이 서로 맞지 않을 때.
    """
    lines = param_path.read_text(encoding="utf-8").split("\n")
    if not lines or lines[0].strip() != PARAM_MAGIC:
        raise WeightsError(f"ncnn의 .param 파일이 아닙니다: {param_path}")
    reader = _Reader(bin_path.read_bytes(), bin_path)
    layers = []
    for line in lines[2:]:
        fields = line.split()
        if len(fields) < 4 or fields[0].startswith(NOTE):
            continue
        kind, name = fields[:2]
        first_option = 4 + int(fields[2]) + int(fields[3])
        options = dict(field.split("=", 1) for field in fields[first_option:])
        if kind == "Convolution":
            weight = reader.take_weights(int(options["6"]))
            bias = (reader.take("<f4", int(options["0"])),) if options.get("5") == "1" else ()
            layers.append(NcnnLayer(kind, name, (weight, *bias), options))
        elif kind == "PReLU":
            layers.append(NcnnLayer(kind, name, (reader.take("<f4", int(options["0"])),), options))
        elif kind == "Interp":
            layers.append(NcnnLayer(kind, name, (), options))
    if not reader.exhausted:
        raise WeightsError(f"ncnn의 두 파일이 서로 맞지 않습니다: {param_path.name}, {bin_path.name}")
    return layers


def ncnn_to_state_dict(layers: list[NcnnLayer], network: nn.Module) -> dict[str, Tensor]:
    """Ncnn 층을 네트워크의 state dict에 맞춘다.

    Args:
        layers: `read_ncnn`의 결과.
        network: 모양을 알려 줄 네트워크. state dict의 순서가 순전파 순서와 같아야 한다.

    Returns:
        float32 state dict.

    Raises:
        WeightsError: 개수나 모양이 네트워크와 다를 때.
    """
    arrays = [array for layer in layers for array in layer.arrays]
    template: Mapping[str, Tensor] = network.state_dict()
    if len(arrays) != len(template):
        raise WeightsError(f"ncnn 가중치의 개수가 네트워크와 다릅니다: {len(arrays)}개, 필요한 것은 {len(template)}개")
    state = {}
    for (key, wanted), array in zip(template.items(), arrays, strict=True):
        if array.size != wanted.numel():
            raise WeightsError(f"ncnn 가중치의 크기가 네트워크와 다릅니다: {key}에 {array.size}개")
        state[key] = torch.from_numpy(array).reshape(wanted.shape)
    return state


def recognise_ncnn(layers: Sequence[NcnnLayer]) -> tuple[str, dict[str, Any]]:
    """층의 수와 모양에서 네트워크를 알아낸다.

    Args:
        layers: `read_ncnn`의 결과.

    Returns:
        등록부의 이름과 생성자의 인자.

    Raises:
        WeightsError: 아는 네트워크가 아닐 때.
    """
    shapes = [layer.shape for layer in layers if layer.kind == "Convolution"]
    if len(shapes) >= 3 and all(area == _KERNEL_AREA for *_, area in shapes):
        for name, cls in ARCH_REGISTRY:
            arch_args = cls.recognise_ncnn(layers) if hasattr(cls, "recognise_ncnn") else None
            if arch_args is not None:
                return name, arch_args
    raise WeightsError(
        "ncnn 파일에서 네트워크를 알아내지 못했습니다.\n  RRDBNet과 SRVGGNetCompact의 파일만 쓸 수 있습니다.\n"
        "  해결: Real-ESRGAN의 생성자를 담은 .param과 .bin인지 확인하세요."
    )


@dataclass
class _Node:
    kind: str
    name: str
    inputs: list[str]
    output: str
    options: str


@dataclass
class Graph:
    """층을 순전파(forward) 차례로 모은다. 가중치는 층의 차례대로 이어 붙는다(`archs.base.NcnnGraph`)."""

    half: bool
    source: str = INPUT
    nodes: list[_Node] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)

    def add(self, kind: str, inputs: Sequence[str], options: str = "") -> str:
        """층을 더하고 그 출력의 이름을 돌려준다."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(_Node(kind, name, list(inputs), name, options))
        return name

    def conv(self, layer: nn.Conv2d, source: str, activation: str = "") -> str:
        """3x3 합성곱. 활성화는 합성곱에 붙여(fused) 적는다."""
        sizes = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
        plain = ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros")
        if not isinstance(layer, nn.Conv2d) or tuple(getattr(layer, size) for size in sizes) != plain:
            raise WeightsError(f"크기를 지키는 3x3 합성곱이 아니라 ncnn으로 적을 수 없습니다: {layer}")
        weight, bias = layer.weight, layer.bias
        if bias is None:
            raise WeightsError(
                "편향(bias)이 없는 합성곱은 ncnn으로 적을 수 없습니다. .pth나 .safetensors로 저장하세요."
            )
        options = f"0={weight.shape[0]} 1=3 4=1 5=1 6={weight.numel()} {activation}".rstrip()
        output = self.add("Convolution", [source], options)
        flat = weight.detach().float().cpu().numpy().ravel()
        packed = flat.astype("<f2" if self.half else "<f4").tobytes()
        flag = FP16_FLAG if self.half else FP32_FLAG
        self.data += [flag.to_bytes(4, "little") + packed + b"\0" * (-len(packed) % 4), _floats(bias)]
        return output

    def prelu(self, layer: nn.PReLU, source: str) -> str:
        """채널마다 기울기가 하나인 PReLU."""
        self.data.append(_floats(layer.weight))
        return self.add("PReLU", [source], f"0={layer.num_parameters}")

    def enlarge(self, source: str, scale: int) -> str:
        """최근접 확대."""
        return self.add("Interp", [source], f"0={_NEAREST} 1={scale:e} 2={scale:e}")

    def leaky(self, slope: float) -> str:
        """합성곱에 붙여 적을 LeakyReLU의 옵션."""
        return f"9=2 -23310=1,{slope:e}"

    def param_text(self) -> str:
        """`.param`의 글. 여러 층이 읽는 출력에는 나눔(Split) 층을 끼운다."""
        names = [self.source, *(node.output for node in self.nodes)]
        readers = {name: sum(node.inputs.count(name) for node in self.nodes) for name in names}
        rows: list[tuple[str, str, list[str], list[str], str]] = []
        waiting: dict[str, list[str]] = {}
        for node in [_Node("Input", "input", [], self.source, ""), *self.nodes]:
            inputs = [waiting[name].pop() if name in waiting else name for name in node.inputs]
            rows.append((node.kind, node.name, inputs, [node.output], node.options))
            if readers.get(node.output, 0) > 1:
                copies = [f"{node.output}_split_{index}" for index in range(readers[node.output])]
                rows.append(("Split", f"split_{node.output}", [node.output], copies, ""))
                waiting[node.output] = list(copies)
        lines = [
            " ".join([f"{kind:<16} {name:<24} {len(inputs)} {len(outputs)}", *inputs, *outputs, options]).rstrip()
            for kind, name, inputs, outputs, options in rows
        ]
        blobs = sum(len(outputs) for _, _, _, outputs, _ in rows)
        return "\n".join([PARAM_MAGIC, f"{len(lines)} {blobs}", *lines]) + "\n"


def _floats(values: Tensor) -> bytes:
    return np.asarray(values.detach().float().cpu().numpy().ravel(), dtype="<f4").tobytes()


def write_ncnn(network: nn.Module, *, half: bool = False) -> tuple[str, bytes]:
    """네트워크를 `.param`의 글과 `.bin`의 바이트로 적는다. 입력은 `data`, 출력은 `output`이다.

    널리 쓰이는 ncnn 실행 파일이 그대로 읽는다.

    Args:
        network: `write_ncnn(graph)`를 가진 네트워크(RRDBNet, SRVGGNetCompact).
        half: 합성곱의 가중치를 fp16으로 저장할지. 편향과 기울기는 언제나 fp32다.

    Raises:
        WeightsError: ncnn으로 적는 법을 모르는 네트워크일 때. 아는 네트워크를 물려받아 계산을 고친 것도 그렇다.
    """
    if not describes(network, "write_ncnn"):
        raise WeightsError(f"ncnn으로 적을 수 없는 네트워크입니다: {type(network).__name__}")
    write: Any = network.write_ncnn
    graph = Graph(half)
    try:
        last = write(graph)
    except AttributeError as error:
        # 합성곱이나 블록의 자리에 다른 층이 놓여 있다.
        raise WeightsError(f"층을 바꾼 네트워크라 ncnn으로 적을 수 없습니다: {error}") from error
    for node in graph.nodes:
        if node.output == last:
            node.output = OUTPUT
    return graph.param_text(), b"".join(graph.data)


def with_notes(text: str, metadata: Mapping[str, str]) -> str:
    """`.param`의 글 끝에 메타데이터를 `# 이름=값` 줄로 적는다. ncnn은 이 줄들을 읽지 않는다."""
    return text + "".join(f"{NOTE} {key}={value}\n" for key, value in metadata.items())


def read_notes(text: str) -> dict[str, str]:
    """`with_notes`가 적은 것들."""
    lines = (line[len(NOTE) :].strip() for line in text.split("\n") if line.startswith(NOTE))
    return dict(line.split("=", 1) for line in lines if "=" in line)


def load_net(
    text: str, data: bytes, *, vulkan: int | None = None, low_precision: str = "fp32", threads: int | None = None
) -> Any:
    """`.param`의 글과 `.bin`의 바이트를 ncnn의 네트워크로 싣는다. 경로를 거치지 않아 어떤 사용자 폴더에서도 된다.

    Args:
        text: `.param`의 글.
        data: `.bin`의 바이트. ncnn은 베끼지 않으므로 네트워크를 쓰는 동안 살아 있어야 한다.
        vulkan: 쓸 Vulkan 장치의 번호. 없으면 CPU.
        threads: 쓸 스레드 수. 없으면 ncnn이 정한다.
        low_precision: 값을 `bf16`(CPU)이나 `fp16`(Vulkan)으로 둘지. `fp32`면 그대로 둔다.

    Raises:
        MissingPackageError: ncnn 패키지가 없을 때.
        WeightsError: 실을 수 없을 때.
    """
    ncnn = import_optional("ncnn", "ncnn으로 돌리려면", "pip install ncnn")
    net = ncnn.Net()
    net.opt.use_vulkan_compute = vulkan is not None
    if threads is not None:
        net.opt.num_threads = threads
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(net.opt, name, low_precision == "fp16")
    net.opt.use_bf16_storage = low_precision == "bf16"
    if vulkan is not None:
        net.set_vulkan_device(vulkan)
    if net.load_param_mem(text):
        raise WeightsError("ncnn이 네트워크를 싣지 못했습니다. .param과 .bin이 온전한 한 짝인지 확인하세요.")
    net.load_model_mem(data)
    return net


def run_ncnn(param: Path, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ncnn으로 fp32 추론을 한다.

    Args:
        param: `.param` 파일. `.bin`이 곁에 있어야 한다.
        planes: `(3, H, W)` float32, 0..1.

    Returns:
        `(3, H * scale, W * scale)` float32.

    Raises:
        MissingPackageError: ncnn 패키지가 없을 때.
        WeightsError: ncnn이 파일을 싣거나 돌리지 못할 때.
    """
    ncnn = import_optional("ncnn", "ncnn으로 돌려 보려면", "pip install ncnn")
    data = param.with_suffix(".bin").read_bytes()
    net = load_net(param.read_text(encoding="utf-8"), data)
    with net.create_extractor() as extractor:
        extractor.input(INPUT, ncnn.Mat(np.ascontiguousarray(planes)).clone())
        failed, output = extractor.extract(OUTPUT)
        if failed:
            raise WeightsError(f"ncnn이 출력을 내지 못했습니다: {param}")
        return np.array(output)
