"""가중치를 `.pth`, `.safetensors`, ncnn 쌍 사이에서 옮기고, 무엇이 들었는지 적는다."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from realesrgan.archs.base import StateDict, network_scale, size_multiple
from realesrgan.errors import UsageError, WeightsError
from realesrgan.registry import ARCH_REGISTRY
from realesrgan.util.files import file_sha256, os_reason, write_atomically
from realesrgan.util.optional import is_installed
from realesrgan.zoo.models import MODELS
from realesrgan.zoo.ncnn import run_ncnn, write_ncnn
from realesrgan.zoo.weights import Weights, load_weights, open_weights, read_checkpoint, save_safetensors

FORMATS = (".pth", ".safetensors", ".param")
# ncnn의 합성곱은 위노그라드(Winograd) 변환을 쓰므로 fp32에서도 이만큼은 다르다. 값은 0..1이다.
NCNN_LIMIT = 1e-3
SHOWN_KEYS = 4


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


def save_weights(weights: Weights, target: Path, *, half: bool = False, key: str = "params_ema") -> list[Path]:
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
            save_safetensors(stored(weights.state, half), target, {**weights.metadata, **_notes(weights)})
            return [target]
        if suffix == ".pth":
            buffer = io.BytesIO()
            # 텐서에서 알아볼 수 있는 네트워크의 파일은 원본의 체크포인트와 같은 모양으로 둔다.
            notes = _notes(weights)
            if notes and hasattr(ARCH_REGISTRY.get(weights.arch), "recognise"):
                notes = {}
            torch.save({key: stored(weights.state, half), **notes}, buffer)
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


def _notes(weights: Weights) -> dict[str, str]:
    """다시 지을 수 있게 파일에 적을 네트워크의 이름과 인자."""
    if weights.arch not in ARCH_REGISTRY:
        return {}
    return {"arch": weights.arch, "arch_args": json.dumps(dict(weights.arch_args), ensure_ascii=False)}


def check_saved(weights: Weights, target: Path, *, half: bool) -> float | None:
    """저장한 것을 다시 읽어 같은지 보고, ncnn이면 ncnn 패키지로 돌려 본래와 견준다.

    Returns:
        ncnn으로 돌린 출력의 가장 큰 차이. ncnn이 아니거나 그 패키지가 없으면 None.

    Raises:
        WeightsError: 다시 읽은 값이나 돌린 값이 다를 때.
    """
    again = open_weights(target, hints=dict(weights.arch_args))
    saved = stored(weights.state, half)
    expected = {key: value.float() if value.is_floating_point() else value for key, value in saved.items()}
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
        MissingPackageError: ncnn 패키지가 없을 때.
        WeightsError: ncnn이 파일을 싣지 못할 때.
    """
    side = 12 * size_multiple(network)
    planes = np.random.default_rng(0).random((3, side, side + side // 3)).astype(np.float32)
    output = run_ncnn(param, planes)
    with torch.inference_mode():
        expected = network(torch.from_numpy(planes)[None])[0].numpy()
    if output.shape != expected.shape:
        raise WeightsError(f"ncnn의 출력 크기가 다릅니다: {output.shape}, 본래는 {expected.shape}")
    return float(np.nan_to_num(np.abs(output - expected), nan=np.inf).max())


def describe_file(
    file: Path, *, params_key: str | None = None, hints: Mapping[str, Any] | None = None, keys: bool = False
) -> str:
    """파일의 형식, 크기, 해시, 네트워크, 배율, 매개변수의 수, 키를 적는다.

    Args:
        file: `.pth`, `.safetensors`, `.param`, `.bin`.
        params_key: 체크포인트에서 볼 키. 없으면 EMA가 앞선다.
        hints: 텐서에 남지 않는 것들(`weights.identify`).
        keys: 키와 모양을 모두 적을지. 아니면 앞의 몇 개만 적는다.

    Raises:
        WeightsError: 읽을 수 없을 때. 네트워크를 알 수 없는 것(판별자 등)은 오류가 아니다.
    """
    digest = file_sha256(file)
    official = next((spec.name for spec in MODELS.values() if spec.sha256 == digest), None)
    lines = [f"파일: {file} ({file.stat().st_size:,}바이트)", f"SHA-256: {digest}"]
    lines += [f"공식 파일입니다: {official}"] if official else []
    lines += _top_level(file)
    state = _state(file, params_key)
    try:
        weights = open_weights(file, params_key=params_key, hints=hints)
    except WeightsError as error:
        lines.append(f"네트워크: 알 수 없음 ({str(error).splitlines()[0]})")
    else:
        state = weights.state if state is None else state
        arguments = ", ".join(f"{name}={value}" for name, value in weights.arch_args.items())
        lines += [f"네트워크: {weights.arch}({arguments})", f"배율: {network_scale(weights.network())}"]
    return "\n".join(lines + _tensors(state or {}, keys))


def _top_level(file: Path) -> list[str]:
    """체크포인트의 맨 위에 있는 키들, 또는 safetensors에 적힌 글자들."""
    if file.suffix.lower() == ".safetensors":
        return [f"적힌 글자: {key} = {value}" for key, value in sorted(load_weights(file).metadata.items())]
    if file.suffix.lower() in (".param", ".bin"):
        return ["형식: ncnn"]
    content = read_checkpoint(file)
    if not isinstance(content, Mapping):
        return ["형식: state dict가 아님"]
    groups = [f"{key}({len(value)}개)" for key, value in content.items() if isinstance(value, Mapping)]
    return [f"담긴 것: {', '.join(groups) or 'state dict 그 자체'}"]


def _state(file: Path, params_key: str | None) -> Mapping[str, Tensor] | None:
    if file.suffix.lower() in (".param", ".bin"):
        return None
    return load_weights(file, params_key).state


def _tensors(state: Mapping[str, Tensor], every: bool) -> list[str]:
    count = sum(value.numel() for value in state.values())
    kinds: Counter[str] = Counter(str(value.dtype).removeprefix("torch.") for value in state.values())
    lines = [f"매개변수: {count:,}개", "자료형: " + ", ".join(f"{kind} {number}개" for kind, number in kinds.items())]
    names = list(state)
    shown = names if every else names[:SHOWN_KEYS]
    lines.append(f"키 {len(names)}개:")
    lines += [f"  {name} {tuple(state[name].shape)}" for name in shown]
    if len(shown) < len(names):
        lines.append(f"  ... (모두 보려면 --keys, 마지막은 {names[-1]})")
    return lines
