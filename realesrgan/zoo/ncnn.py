"""ncnn 가중치 파일(`.param`, `.bin`)을 읽어 PyTorch state dict로 바꾼다.

`.param`은 텍스트로 첫 줄이 7767517, 둘째 줄이 층과 덩어리(blob)의 수, 다음부터 한 줄에 한 층이다.
`.bin`은 그 순서대로 이어진 층의 데이터다.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realesrgan.errors import WeightsError

PARAM_MAGIC = "7767517"
FP16_FLAG = 0x01306B47
FP32_FLAG = 0


@dataclass(frozen=True)
class NcnnLayer:
    """가중치를 가진 층 하나. 배열은 모두 1차원 float32다. `options`는 `.param`에 적힌 `키=값`들이다."""

    kind: str
    name: str
    arrays: tuple[NDArray[np.float32], ...]
    options: Mapping[str, str] = field(default_factory=dict)


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
                f"ncnn 가중치 파일이 잘렸습니다: {self._source}\n  해결: 가중치 꾸러미를 다시 설치하세요."
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
    """Ncnn 파일 한 쌍에서 가중치를 가진 층을 차례로 읽는다.

    Args:
        param_path: `.param` 파일.
        bin_path: `.bin` 파일.

    Returns:
        합성곱은 `(가중치, 편향)`, PReLU는 `(기울기,)`를 담은 층의 목록. 네트워크의 순전파(forward) 순서다.

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
        if len(fields) < 4:
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
