"""체크포인트(checkpoint)를 쓰고, 검사하고, 읽는다. 언제 죽어도 마지막으로 온전한 것이 남는다.

파일마다 임시 이름으로 쓰고 디스크에 내린(fsync) 뒤 이름을 바꾼다. 네트워크가 먼저, 프로세스마다의 상태가 다음이고,
그 파일들의 해시를 담은 `.state`가 마지막이다. `.state`가 곧 확정(commit)이므로 그것이 없으면 체크포인트도 없다.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import random
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from realesrgan.errors import CheckpointError, WeightsError
from realesrgan.util.files import atomic_file, file_sha256, os_reason, plain_reason, stream_sha256
from realesrgan.zoo.weights import CONTAINERS, load_weights

LOGGER = logging.getLogger("basicsr")
STATE_SUFFIX = ".state"
# 깨진 바이트를 `torch.load`에 주면 깨진 자리에 따라 온갖 오류가 난다.
LOAD_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    pickle.UnpicklingError,
    struct.error,
)


def barrier() -> None:
    """모든 프로세스가 여기까지 오기를 기다린다."""
    if dist.is_initialized():
        dist.barrier()


@dataclass(frozen=True)
class CheckpointFolders:
    """한 실험의 체크포인트가 놓이는 두 폴더."""

    models: Path
    states: Path

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> CheckpointFolders:
        """옵션의 `path` 블록에서 읽는다."""
        return cls(Path(options["path"]["models"]), Path(options["path"]["training_states"]))

    @classmethod
    def for_resume(cls, options: Mapping[str, Any]) -> CheckpointFolders:
        """이어 갈 상태가 있는 폴더들. 다른 실험의 상태에서 이어 가면 그 실험의 것이다."""
        found = options["path"].get("resume_folders")
        return cls(Path(found["models"]), Path(found["states"])) if found else cls.from_options(options)

    @classmethod
    def of_state(cls, state: Path, default: CheckpointFolders) -> CheckpointFolders:
        """상태 파일의 자리에서 두 폴더를 안다. BasicSR의 꼴(`training_states/`)이 아니면 `default`다."""
        folder = state.resolve().parent
        return cls(folder.parent / "models", folder) if folder.name == "training_states" else default

    def network(self, label: str, iteration: int | str) -> Path:
        """네트워크 파일의 경로. BasicSR과 같은 이름이다."""
        return self.models / f"{label}_{iteration}.pth"

    def state(self, iteration: int) -> Path:
        """상태 파일의 경로."""
        return self.states / f"{iteration}{STATE_SUFFIX}"

    def rank_file(self, iteration: int, rank: int) -> Path:
        """프로세스마다의 난수 상태 파일의 경로."""
        return self.states / f"{iteration}.rank{rank}.pth"

    def pool_file(self, iteration: int, rank: int) -> Path:
        """프로세스마다의 쌍 풀 파일의 경로."""
        return self.states / f"{iteration}.pool{rank}.pth"


def hash_content(content: Any) -> str:
    """사전, 목록, 텐서, 평범한 값으로 된 내용의 SHA-256. 파일의 꼴이 아니라 값을 본다.

    `torch.load`는 압축 묶음의 검사합(CRC)을 보지 않아, 텐서의 바이트가 뒤집혀도 그대로 읽힌다.
    """
    digest = hashlib.sha256()
    _feed_hash(digest, content)
    return digest.hexdigest()


def _feed_hash(digest: Any, content: Any) -> None:
    if isinstance(content, torch.Tensor):
        digest.update(f"{content.dtype}{tuple(content.shape)}".encode())
        digest.update(content.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(content, Mapping):
        for key in sorted(content, key=str):
            digest.update(f"<{key}>".encode())
            _feed_hash(digest, content[key])
    elif isinstance(content, (list, tuple)):
        digest.update(f"[{len(content)}]".encode())
        for one in content:
            _feed_hash(digest, one)
    else:
        digest.update(repr(content).encode())


def write_file(path: Path, content: Mapping[str, Any]) -> str:
    """`content`를 한 번에 나타나게(atomic) 쓰고 SHA-256을 돌려준다.

    Raises:
        CheckpointError: 쓸 수 없을 때. 임시 파일은 남기지 않는다.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as stream:
            torch.save(dict(content), stream)
            stream.flush()
            stream.seek(0)
            digest = stream_sha256(stream)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"체크포인트를 쓰지 못했습니다: {path}\n  {plain_reason(error)}\n"
            "  해결: 디스크의 남은 자리와 권한을 확인하고 --auto_resume으로 이어서 훈련하세요."
        ) from error
    return digest


_RESUME_REMEDY = "다른 체크포인트를 고르거나 --auto_resume으로 온전한 것을 찾게 하세요."


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, OSError):
        return os_reason(error)[0]
    if isinstance(error, pickle.UnpicklingError):
        # PyTorch의 말은 안전하지 않게 읽어 보라고 권한다.
        return "텐서가 아닌 것(실행될 수 있는 코드)이 들어 있거나, PyTorch의 파일이 아니거나, 깨졌습니다."
    return f"파일이 깨졌거나 PyTorch의 파일이 아닙니다({str(error).splitlines()[0] if str(error) else error!r})."


def read_file(path: Path, device: torch.device | str = "cpu", remedy: str = _RESUME_REMEDY) -> dict[str, Any]:
    """체크포인트 파일을 안전하게(`weights_only=True`) 읽는다.

    Args:
        path: 파일.
        device: 텐서를 놓을 장치.
        remedy: 읽지 못했을 때 어떻게 하면 되는지.

    Raises:
        CheckpointError: 없거나, 깨졌거나, 텐서와 평범한 값이 아닌 것이 들어 있을 때.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except LOAD_ERRORS as error:
        raise CheckpointError(
            f"체크포인트를 읽지 못했습니다: {path}\n  {_why_unreadable(error)}\n  해결: {remedy}"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"체크포인트가 아닙니다: {path}\n  사전(dict)이 아니라 {type(content).__name__}이 들어 있습니다.\n"
            "  해결: 훈련이 저장한 파일을 고르세요."
        )
    return content


def remove_old_pools(folders: CheckpointFolders, newest: int) -> None:
    """가장 새 것보다 앞선 쌍 풀 파일을 지운다. 쌍 풀은 크고, 이어 하기에는 가장 새 것만 있으면 된다.

    프로세스의 수가 줄어 주인이 없어진 것까지 지우도록 첫 프로세스가 모두 지운다.
    """
    for path in folders.states.glob("*.pool*.pth"):
        number = path.name.split(".")[0]
        if number.isdigit() and int(number) < newest:
            path.unlink(missing_ok=True)


def read_network(path: Path, key: str | None = None) -> tuple[str | None, dict[str, torch.Tensor]]:
    """네트워크의 가중치를 읽는다. `.pth`와 `.safetensors`를 모두 받는다.

    Args:
        path: 가중치 파일.
        key: 먼저 찾을 키. 없으면 `params_ema`, `params`의 차례로 찾고, 그것도 없으면 파일 전체를 가중치로 본다.

    Returns:
        쓴 키(파일 전체면 None)와, 분산 래퍼의 `module.`을 뗀 이름에서 텐서로의 표.

    Raises:
        CheckpointError: 읽을 수 없거나 가중치가 아닐 때.
    """
    if path.suffix.lower() == ".safetensors":
        try:
            return None, dict(strip_wrapper(load_weights(path).state))
        except WeightsError as error:
            raise CheckpointError(str(error)) from error
    content = read_file(path, remedy="net_g_*.pth 같은 네트워크 파일인지 확인하거나, 파일을 다시 받으세요.")
    found = next((one for one in (key, *CONTAINERS) if one in content and isinstance(content[one], Mapping)), None)
    state = dict(strip_wrapper(content[found] if found else content))
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(
            f"네트워크의 가중치가 아닙니다: {path}\n  들어 있는 이름: {', '.join(map(str, list(content)[:5]))}\n"
            "  해결: net_g_*.pth 같은 네트워크 파일을 고르세요. 훈련 상태(.state)는 쓸 수 없습니다."
        )
    return found, state


def nonfinite_tensors(networks: Mapping[str, torch.nn.Module]) -> list[str]:
    """NaN이나 Inf가 든 가중치의 이름들. `networks`는 이름에서 네트워크로의 표다."""
    return [
        f"{label}.{name}"
        for label, network in networks.items()
        for name, value in network.state_dict().items()
        if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]


def list_states(folders: CheckpointFolders) -> list[Path]:
    """상태 파일을 새 것부터 늘어놓는다."""
    found = [path for path in folders.states.glob(f"*{STATE_SUFFIX}") if path.stem.isdigit()]
    return sorted(found, key=lambda path: int(path.stem), reverse=True)


def load_state(path: Path, folders: CheckpointFolders) -> dict[str, Any]:
    """상태 파일을 읽고, 그것이 가리키는 파일의 해시를 모두 확인한다.

    BasicSR이 쓴 상태에는 해시가 없으므로 읽히는지만 본다.

    Raises:
        CheckpointError: 상태나 딸린 파일이 없거나 해시가 다를 때.
    """
    state = read_file(path)
    if "iter" not in state:
        raise CheckpointError(
            f"훈련 상태가 아닙니다: {path}\n  반복 횟수(iter)가 들어 있지 않습니다.\n  해결: .state 파일을 고르세요."
        )
    if "digest" in state and hash_content({k: v for k, v in state.items() if k != "digest"}) != state["digest"]:
        raise CheckpointError(
            f"체크포인트가 온전하지 않습니다: {path}\n  내용이 저장할 때와 다릅니다.\n"
            "  해결: 더 앞의 상태를 고르거나 --auto_resume으로 온전한 것을 찾게 하세요."
        )
    for name, expected in state.get("files", {}).items():
        target = (folders.states if name.split(".")[0].isdigit() else folders.models) / name
        if not target.is_file() or file_sha256(target) != expected:
            problem = "해시가 다릅니다" if target.is_file() else "파일이 없습니다"
            raise CheckpointError(
                f"체크포인트가 온전하지 않습니다: {path}\n  {target}: {problem}.\n"
                "  해결: 더 앞의 상태를 고르거나 --auto_resume으로 온전한 것을 찾게 하세요."
            )
    return state


def find_newest_valid(folders: CheckpointFolders) -> tuple[Path, dict[str, Any]] | None:
    """온전한 상태 가운데 가장 새 것을 찾는다. 깨진 것은 까닭을 기록하고 건너뛴다."""
    for path in list_states(folders):
        try:
            return path, load_state(path, folders)
        except CheckpointError as error:
            LOGGER.warning("깨진 체크포인트를 건너뜁니다.\n%s", error)
    return None


# --------------------------------------------------------------------------- 난수


def global_random_state() -> dict[str, Any]:
    """파이썬, NumPy, torch, CUDA의 전역 난수 상태를 텐서와 평범한 값으로 담는다."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  남의 코드가 쓰는 전역 난수를 지킨다
    state = {
        "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
        "numpy": {
            "kind": kind,
            "keys": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            "rest": [int(position), int(has_gauss), float(cached)],
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_global_random(state: Mapping[str, Any]) -> None:
    """`global_random_state`가 담은 상태로 되돌린다."""
    python, numpy_state = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    keys = numpy_state["keys"].numpy().astype(np.uint32)
    np.random.set_state((numpy_state["kind"], keys, *numpy_state["rest"]))  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


def strip_wrapper(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """분산 래퍼가 붙인 `module.`을 떼고 텐서를 CPU로 옮긴 (이름, 값)."""
    for name, value in state.items():
        yield name.removeprefix("module."), value.detach().cpu() if isinstance(value, torch.Tensor) else value
