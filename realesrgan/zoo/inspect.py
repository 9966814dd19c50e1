"""가중치 파일에 무엇이 들었는지 사람이 읽는 글로 적는다."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from realesrgan.errors import WeightsError
from realesrgan.util.files import file_sha256
from realesrgan.zoo.convert import open_weights
from realesrgan.zoo.models import MODELS
from realesrgan.zoo.weights import load_weights, read_checkpoint

SHOWN_KEYS = 4


def describe_file(file: Path, *, params_key: str | None = None, act_type: str | None = None, keys: bool = False) -> str:
    """파일의 형식, 크기, 해시, 네트워크, 배율, 매개변수의 수, 키를 적는다.

    Args:
        file: `.pth`, `.safetensors`, `.param`, `.bin`.
        params_key: 체크포인트에서 볼 키. 없으면 EMA가 앞선다.
        act_type: SRVGGNetCompact의 활성화 함수.
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
        weights = open_weights(str(file), params_key, act_type)
    except WeightsError as error:
        lines.append(f"네트워크: 알 수 없음 ({str(error).splitlines()[0]})")
    else:
        state = weights.state if state is None else state
        arguments = ", ".join(f"{name}={value}" for name, value in weights.arch_args.items())
        scale = weights.arch_args.get("scale", weights.arch_args.get("upscale"))
        lines += [f"네트워크: {weights.arch}({arguments})", f"배율: {scale}"]
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
    kinds: Counter[Any] = Counter(str(value.dtype).removeprefix("torch.") for value in state.values())
    lines = [f"매개변수: {count:,}개", "자료형: " + ", ".join(f"{kind} {number}개" for kind, number in kinds.items())]
    names = list(state)
    shown = names if every else names[:SHOWN_KEYS]
    lines.append(f"키 {len(names)}개:")
    lines += [f"  {name} {tuple(state[name].shape)}" for name in shown]
    if len(shown) < len(names):
        lines.append(f"  ... (모두 보려면 --keys, 마지막은 {names[-1]})")
    return lines
