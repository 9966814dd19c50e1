"""가중치를 `.pth`, `.safetensors`, ncnn 쌍 사이에서 옮긴다."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from realesrgan.errors import UsageError, WeightsError
from realesrgan.util.files import os_reason, write_atomically
from realesrgan.util.optional import import_optional, is_installed
from realesrgan.zoo.models import MODELS, ModelSpec
from realesrgan.zoo.ncnn import ncnn_to_state_dict, read_ncnn
from realesrgan.zoo.ncnn_network import infer_ncnn
from realesrgan.zoo.ncnn_writer import INPUT, OUTPUT, write_ncnn
from realesrgan.zoo.weights import (
    LoadedWeights,
    StateDict,
    build_network,
    find_weights,
    infer_network,
    interpolate_weights,
    load_network,
    load_weights,
    resolve_model_path,
    save_safetensors,
)

FORMATS = (".pth", ".safetensors", ".param")
# ncnn의 합성곱은 위노그라드(Winograd) 변환을 쓰므로 fp32에서도 이만큼은 다르다. 값은 0..1이다.
NCNN_LIMIT = 1e-3


@dataclass(frozen=True)
class NetworkWeights:
    """네트워크를 아는 가중치.

    Attributes:
        state: float32 state dict.
        arch: 등록부의 이름.
        arch_args: 생성자의 인자.
        metadata: 저장할 글자들.
    """

    state: StateDict
    arch: str
    arch_args: Mapping[str, Any]
    metadata: Mapping[str, str]

    def network(self) -> nn.Module:
        """가중치를 실은 네트워크."""
        return load_network(build_network(self.arch, self.arch_args), self.state, self.arch)


def locate_weights(wanted: str) -> tuple[ModelSpec | None, Path]:
    """모델 이름, 파일, 주소를 가중치 파일로 바꾼다. 이름과 같은 파일이 있으면 파일이 앞선다.

    Returns:
        이름으로 찾았으면 그 모델, 그리고 파일.

    Raises:
        WeightsNotFoundError: 없거나 내려받지 못했을 때.
    """
    spec = MODELS.get(wanted.removesuffix(".pth")) if not Path(wanted).is_file() else None
    return spec, resolve_model_path(wanted) if spec is None else find_weights(spec)


def open_weights(wanted: str, params_key: str | None = None, act_type: str | None = None) -> NetworkWeights:
    """모델 이름이나 파일에서 가중치를 읽고 네트워크를 알아낸다.

    Args:
        wanted: 모델 표의 이름, `.pth`·`.safetensors`의 경로나 주소, ncnn의 `.param`이나 `.bin`.
        params_key: 체크포인트에서 고를 키. 없으면 EMA가 앞선다.
        act_type: SRVGGNetCompact의 활성화 함수. 텐서에서 알 수 없을 때만 필요하다.

    Raises:
        WeightsError: 찾거나 읽거나 알아볼 수 없을 때.
    """
    _, file = locate_weights(wanted)
    if file.suffix.lower() in (".param", ".bin"):
        return _open_ncnn(file)
    loaded = load_weights(file, params_key)
    arch, arch_args = infer_network(loaded.state, loaded.metadata, act_type)
    state = {key: value.float() if value.is_floating_point() else value for key, value in loaded.state.items()}
    return NetworkWeights(state, arch, arch_args, _metadata(file, loaded, arch_args))


def _open_ncnn(file: Path) -> NetworkWeights:
    param, binary = file.with_suffix(".param"), file.with_suffix(".bin")
    for path in (param, binary):
        if not path.is_file():
            raise WeightsError(
                f"ncnn의 짝이 없습니다: {path}\n  .param과 .bin이 같은 이름으로 나란히 있어야 합니다.\n"
                "  해결: 두 파일을 함께 두세요."
            )
    try:
        layers = read_ncnn(param, binary)
        arch, arch_args = infer_ncnn(layers)
    except (UnicodeDecodeError, ValueError, KeyError, IndexError) as error:
        raise WeightsError(f"ncnn의 .param을 읽을 수 없습니다: {param}\n  파일이 깨졌습니다({error}).") from error
    state = ncnn_to_state_dict(layers, build_network(arch, arch_args))
    return NetworkWeights(state, arch, arch_args, _metadata(file, LoadedWeights(state, {}), arch_args))


def _metadata(file: Path, loaded: LoadedWeights, arch_args: Mapping[str, Any]) -> dict[str, str]:
    act_type = {"act_type": str(arch_args["act_type"])} if "act_type" in arch_args else {}
    return {"model": file.stem, **loaded.metadata, "source": file.name, **act_type}


def blend(first: NetworkWeights, second: NetworkWeights, strength: float) -> NetworkWeights:
    """두 가중치를 섞는다(심층 네트워크 보간(DNI)): `strength * first + (1 - strength) * second`.

    Raises:
        WeightsError: 네트워크의 모양이 다를 때.
    """
    state = interpolate_weights(first.state, second.state, (strength, 1 - strength))
    names = f"{strength:g} * {first.metadata['source']} + {1 - strength:g} * {second.metadata['source']}"
    return NetworkWeights(state, first.arch, first.arch_args, {**first.metadata, "source": names, "blend": names})


def stored(state: Mapping[str, Tensor], half: bool) -> StateDict:
    """저장할 자료형의 사본. `half`면 실수를 fp16으로 반올림한다.

    Raises:
        WeightsError: fp16의 범위(65504)를 넘는 값이 있을 때.
    """
    if not half:
        return dict(state)
    halved = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    broken = next((key for key, value in halved.items() if not torch.isfinite(value).all()), None)
    if broken is not None:
        raise WeightsError(
            f"fp16으로 저장할 수 없습니다: {broken}\n  fp16의 범위(65504)를 넘거나 유한하지 않은 값이 있습니다.\n"
            "  해결: --fp16을 빼세요."
        )
    return halved


def save_weights(weights: NetworkWeights, target: Path, *, half: bool = False, key: str = "params_ema") -> list[Path]:
    """확장자가 뜻하는 형식으로 저장한다.

    Args:
        weights: 저장할 것.
        target: `.pth`, `.safetensors`, `.param`. ncnn이면 `.bin`이 그 곁에 놓인다.
        half: fp16으로 저장할지.
        key: `.pth`에서 state dict를 담을 키.

    Returns:
        쓴 파일들.

    Raises:
        UsageError: 확장자를 모를 때.
        WeightsError: 쓸 수 없을 때.
    """
    suffix = target.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"모르는 형식입니다: {target}\n  쓸 수 있는 확장자: {', '.join(FORMATS)}(ncnn 쌍)")
    try:
        if suffix == ".safetensors":
            save_safetensors(stored(weights.state, half), target, weights.metadata)
            return [target]
        if suffix == ".pth":
            buffer = io.BytesIO()
            torch.save({key: stored(weights.state, half)}, buffer)
            write_atomically(target, buffer.getvalue())
            return [target]
        stored(weights.state, half)
        text, content = write_ncnn(weights.network(), half=half)
        binary = target.with_suffix(".bin")
        write_atomically(binary, content)
        write_atomically(target, text.encode())
        return [target, binary]
    except OSError as error:
        why, remedy = os_reason(error)
        raise WeightsError(f"가중치를 쓸 수 없습니다: {target}\n  {why}\n  해결: {remedy}") from error


def check_saved(weights: NetworkWeights, target: Path, *, half: bool) -> float | None:
    """저장한 것을 다시 읽어 같은지 보고, ncnn이면 ncnn 꾸러미로 돌려 본래와 견준다.

    Returns:
        ncnn으로 돌린 출력의 가장 큰 차이. ncnn이 아니거나 그 꾸러미가 없으면 None.

    Raises:
        WeightsError: 다시 읽은 값이나 돌린 값이 다를 때.
    """
    again = open_weights(str(target), act_type=weights.arch_args.get("act_type"))
    expected = {key: value.float() for key, value in stored(weights.state, half).items()}
    # ncnn은 합성곱의 가중치만 fp16으로 두므로 편향과 기울기는 본래의 값이어야 한다.
    if target.suffix == ".param":
        expected = {key: value if value.ndim == 4 else weights.state[key] for key, value in expected.items()}
    wrong = [key for key, value in expected.items() if not torch.equal(again.state[key], value)]
    if wrong:
        raise WeightsError(f"저장한 값이 다릅니다: {target}의 {wrong[0]} 등 {len(wrong)}개")
    if target.suffix != ".param" or not is_installed("ncnn"):
        return None
    difference = ncnn_difference(again.network(), target)
    if not difference <= NCNN_LIMIT:
        raise WeightsError(f"ncnn의 출력이 본래와 다릅니다: {target}, 가장 큰 차이 {difference:.3g}")
    return difference


def ncnn_difference(network: nn.Module, param: Path) -> float:
    """같은 무작위 입력을 네트워크와 ncnn에 넣은 출력의 가장 큰 차이.

    Raises:
        MissingPackageError: ncnn 꾸러미가 없을 때.
        WeightsError: ncnn이 파일을 싣지 못할 때.
    """
    side = 12 * int(getattr(network, "size_multiple", 1))
    planes = np.random.default_rng(0).random((3, side, side + side // 3)).astype(np.float32)
    output = run_ncnn(param, planes)
    with torch.inference_mode():
        expected = network(torch.from_numpy(planes)[None])[0].numpy()
    if output.shape != expected.shape:
        raise WeightsError(f"ncnn의 출력 크기가 다릅니다: {output.shape}, 본래는 {expected.shape}")
    return float(np.nan_to_num(np.abs(output - expected), nan=np.inf).max())


def run_ncnn(param: Path, planes: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Ncnn으로 fp32 추론을 한다.

    Args:
        param: `.param` 파일. `.bin`이 곁에 있어야 한다.
        planes: `(3, H, W)` float32, 0..1.

    Returns:
        `(3, H * scale, W * scale)` float32.
    """
    ncnn = import_optional("ncnn", "ncnn으로 돌려 보려면", "pip install ncnn")
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, name, False)
    if net.load_param(str(param)) or net.load_model(str(param.with_suffix(".bin"))):
        raise WeightsError(f"ncnn이 파일을 싣지 못했습니다: {param}")
    with net.create_extractor() as extractor:
        extractor.input(INPUT, ncnn.Mat(np.ascontiguousarray(planes)).clone())
        failed, output = extractor.extract(OUTPUT)
        if failed:
            raise WeightsError(f"ncnn이 출력을 내지 못했습니다: {param}")
        return np.array(output)
