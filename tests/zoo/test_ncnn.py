"""ncnn 파일을 제 값으로 읽고, 깨진 파일을 알아보는지."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from realesrgan.archs import SRVGGNetCompact
from realesrgan.errors import WeightsError
from realesrgan.zoo.ncnn import FP16_FLAG, ncnn_to_state_dict, read_ncnn


def _write_pair(folder: Path, network: SRVGGNetCompact, *, half: bool = True) -> tuple[Path, Path]:
    """작은 네트워크를 ncnn 형식으로 적는다."""
    lines, data = [], b""
    for index, layer in enumerate(network.body):
        if isinstance(layer, torch.nn.Conv2d):
            weight = layer.weight.detach().numpy().ravel().astype("<f2" if half else "<f4")
            packed = weight.tobytes()
            data += struct.pack("<I", FP16_FLAG if half else 0) + packed + b"\0" * (-len(packed) % 4)
            data += layer.bias.detach().numpy().astype("<f4").tobytes()
            lines.append(f"Convolution conv{index} 1 1 a b 0={layer.out_channels} 1=3 4=1 5=1 6={weight.size}")
        else:
            data += layer.weight.detach().numpy().astype("<f4").tobytes()
            lines.append(f"PReLU act{index} 1 1 a b 0={layer.num_parameters}")
    lines.append("PixelShuffle shuffle 1 1 a b 0=4")
    param, binary = folder / "net.param", folder / "net.bin"
    param.write_text("\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines]) + "\n")
    binary.write_bytes(data)
    return param, binary


@pytest.mark.parametrize("half", [True, False])
def test_weights_survive_the_ncnn_form(tmp_path: Path, half: bool) -> None:
    torch.manual_seed(0)
    # 홀수 개의 fp16 뒤에 4바이트 채움이 오는 경우까지 밟도록 홀수 크기를 쓴다.
    network = SRVGGNetCompact(num_feat=5, num_conv=1, upscale=1)
    state = ncnn_to_state_dict(read_ncnn(*_write_pair(tmp_path, network, half=half)), network)
    for key, value in network.state_dict().items():
        stored = value.half().float() if half and value.ndim == 4 else value
        assert torch.equal(state[key], stored), key


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    param, binary = _write_pair(tmp_path, SRVGGNetCompact(num_feat=4, num_conv=1))
    binary.write_bytes(binary.read_bytes()[:-8])
    with pytest.raises(WeightsError, match="잘렸습니다"):
        read_ncnn(param, binary)


def test_leftover_data_means_the_pair_does_not_match(tmp_path: Path) -> None:
    param, binary = _write_pair(tmp_path, SRVGGNetCompact(num_feat=4, num_conv=1))
    binary.write_bytes(binary.read_bytes() + b"\0" * 4)
    with pytest.raises(WeightsError, match="맞지 않습니다"):
        read_ncnn(param, binary)


def test_other_text_is_not_taken_for_a_param_file(tmp_path: Path) -> None:
    param, binary = tmp_path / "a.param", tmp_path / "a.bin"
    param.write_text("hello\n")
    binary.write_bytes(b"")
    with pytest.raises(WeightsError, match="param 파일이 아닙니다"):
        read_ncnn(param, binary)


def test_unknown_storage_is_refused(tmp_path: Path) -> None:
    param, binary = _write_pair(tmp_path, SRVGGNetCompact(num_feat=4, num_conv=1))
    binary.write_bytes(struct.pack("<I", 0x000D4B38) + binary.read_bytes()[4:])
    with pytest.raises(WeightsError, match="저장 형식"):
        read_ncnn(param, binary)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    layers = read_ncnn(*_write_pair(tmp_path, SRVGGNetCompact(num_feat=4, num_conv=1)))
    with pytest.raises(WeightsError, match="개수가"):
        ncnn_to_state_dict(layers, SRVGGNetCompact(num_feat=4, num_conv=2))
    with pytest.raises(WeightsError, match="크기가"):
        ncnn_to_state_dict(layers, SRVGGNetCompact(num_feat=8, num_conv=1))
    assert all(array.dtype == np.float32 for layer in layers for array in layer.arrays)
