"""어떤 모델이든 체크포인트로 쓰고 이어 간다. BasicSR의 모델과 사용자의 모델은 제 방식으로 쓰게 두고 확정만 더한다."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from realesrgan.basicsr_bridge import MODEL_REGISTRY
from realesrgan.errors import CheckpointError
from realesrgan.models.checkpoint import (
    CheckpointFolders,
    barrier,
    global_random_state,
    hash_content,
    list_states,
    nonfinite_tensors,
    read_file,
    restore_global_random,
    strip_wrapper,
    write_file,
)
from realesrgan.models.model_state import gather_hashes, rank_and_count
from realesrgan.models.training_model import TrainingModel
from realesrgan.util.files import file_sha256
from realesrgan.zoo.weights import save_safetensors

LOGGER = logging.getLogger("basicsr")


def is_training_model(model_type: str) -> bool:
    """이 이름의 모델이 `TrainingModel`을 이어받은 것인지."""
    found = MODEL_REGISTRY.get(model_type)
    return isinstance(found, type) and issubclass(found, TrainingModel)


def _unfit(model: Any) -> str | None:
    """체크포인트로 남기면 안 되는 까닭. 괜찮으면 None. 모든 프로세스의 답이 같다."""
    streak = getattr(getattr(model, "guard", None), "streak", 0)
    networks = {
        name: net for name, net in vars(model).items() if name.startswith("net_") and isinstance(net, nn.Module)
    }
    broken = nonfinite_tensors(networks)
    if dist.is_initialized():
        counts = torch.tensor([float(streak), float(len(broken))], device=model.device)
        dist.all_reduce(counts, dist.ReduceOp.MAX)
        streak, other = int(counts[0]), int(counts[1])
        broken = broken or ["다른 프로세스의 가중치"] * min(other, 1)
    if broken:
        return f"가중치에 NaN이나 Inf가 있습니다({', '.join(broken[:3])})."
    return f"유한하지 않은 손실이 {streak}번째 이어지고 있습니다." if streak else None


def save_checkpoint(model: Any, epoch: int, iteration: int, position: int = 0) -> bool:
    """체크포인트 하나를 쓴다.

    `TrainingModel`이 아니면 모델의 `save(epoch, iteration)`을 부른 뒤, 그것이 쓴 네트워크 파일의 해시와 세대 안의 자리,
    난수의 상태를 `.state`에 더한다.

    Args:
        model: BasicSR 꼴의 모델.
        epoch: 지금의 세대.
        iteration: 지금의 반복 횟수. -1이면 `latest`라는 이름으로 네트워크만 쓴다.
        position: 이 세대에서 이 프로세스가 이미 쓴 항목의 수.

    Returns:
        썼는지. 가중치에 NaN이나 Inf가 있거나 유한하지 않은 손실이 이어지는 동안은 쓰지 않는다. 앞의 온전한 것이 남는다.

    Raises:
        CheckpointError: 쓸 수 없거나, 모델이 쓴 상태를 안전하게 읽을 수 없을 때.
    """
    if (reason := _unfit(model)) is not None:
        LOGGER.warning("체크포인트를 쓰지 않습니다(반복 %d): %s", iteration, reason)
        return False
    # 원본의 모델을 이어받은 클래스는 두 인자만 받는 save를 다시 적곤 한다.
    model.position = position
    if "position" in inspect.signature(model.save).parameters:
        model.save(epoch, iteration, position)
    else:
        model.save(epoch, iteration)
    if not isinstance(model, TrainingModel) and iteration != -1:
        _commit(model, epoch, iteration, position)
    return True


def _commit(model: Any, epoch: int, iteration: int, position: int) -> None:
    folders = CheckpointFolders.from_options(model.opt)
    rank, world_size = rank_and_count()
    own = {"global": global_random_state()}
    hashes = gather_hashes(write_file(folders.rank_file(iteration, rank), own), model.device)
    barrier()
    if rank == 0:
        files = {path.name: file_sha256(path) for path in sorted(folders.models.glob(f"*_{iteration}.pth"))}
        if not files:
            LOGGER.warning("모델이 네트워크 파일을 쓰지 않았습니다: %s", folders.network("*", iteration))
        files |= {folders.rank_file(iteration, index).name: digest for index, digest in enumerate(hashes)}
        path = folders.state(iteration)
        state = read_file(path) if path.is_file() else _optimizer_state(model)
        state |= {"epoch": epoch, "iter": iteration, "position": position, "world_size": world_size, "files": files}
        state |= {"best": getattr(model, "best_metric_results", {}), "options": getattr(model, "schedule_values", {})}
        state.pop("digest", None)
        write_file(path, state | {"digest": hash_content(state)})
    barrier()
    model.last_checkpoint = str(folders.state(iteration))


def _optimizer_state(model: Any) -> dict[str, Any]:
    return {name: [one.state_dict() for one in getattr(model, name)] for name in ("optimizers", "schedulers")}


def point_to_networks(options: dict[str, Any], iteration: int) -> None:
    """이어 갈 체크포인트의 네트워크를 미리 배운 가중치의 자리(`path:pretrain_network_*`)에 놓는다.

    `TrainingModel`이 스스로 되돌리는 생성자와 판별자는 비운다. 그 밖의 네트워크와 다른 모델의 네트워크는 모델이
    지어질 때 이 자리에서 실린다.

    Raises:
        CheckpointError: 체크포인트의 네트워크 파일이 없을 때.
    """
    folders = CheckpointFolders.for_resume(options)
    paths = options["path"]
    restored = ("network_g", "network_d") if is_training_model(str(options["model_type"])) else ()
    ignored = paths.get("ignore_resume_networks") or ()
    for name in [key for key in options if key.startswith("network_") and options[key] is not None]:
        if name in ignored:
            continue
        label = name.removeprefix("network_")
        if name in restored:
            paths[f"pretrain_{name}"] = None
            continue
        file = folders.network(f"net_{label}", iteration)
        if not file.is_file():
            raise CheckpointError(
                f"이어 갈 네트워크의 파일이 없습니다: {file}\n"
                f"  이것 없이 이어 가면 {name}이 처음부터 다시 시작합니다.\n"
                f"  해결: 더 앞의 상태를 고르거나, 새로 시작해도 되는 네트워크라면 path:ignore_resume_networks에 "
                f"{name}을 적으세요."
            )
        paths |= {f"pretrain_{name}": str(file), f"strict_load_{label}": True, f"param_key_{label}": "params"}


def resume_checkpoint(model: Any, state: Mapping[str, Any], path: Path) -> None:
    """`load_state`가 검사한 상태로 모델을 되돌린다.

    Raises:
        CheckpointError: 상태가 모델과 맞지 않을 때.
    """
    if isinstance(model, TrainingModel):
        model.resume_training(state)
        return
    try:
        model.resume_training(state)
    except (AssertionError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"체크포인트가 모델과 맞지 않습니다: {path}\n  {type(error).__name__}: {error}\n"
            "  해결: 옵션의 model_type과 name을 확인하세요."
        ) from error
    if state.get("best"):
        model.best_metric_results = state["best"]
    rank, _ = rank_and_count()
    file = CheckpointFolders.for_resume(model.opt).rank_file(int(state["iter"]), rank)
    if file.is_file():
        restore_global_random(read_file(file)["global"])
    model.last_checkpoint = str(path)


def remove_old_checkpoints(folders: CheckpointFolders, keep: int) -> None:
    """가장 새 `keep`개만 남기고 앞의 체크포인트를 지운다. 확정인 `.state`부터 지운다.

    Args:
        folders: 체크포인트의 폴더들.
        keep: 남길 수. 0이면 지우지 않는다.
    """
    for state in list_states(folders)[keep:] if keep else ():
        state.unlink(missing_ok=True)
        rest = [*folders.models.glob(f"*_{state.stem}.pth"), *folders.states.glob(f"{state.stem}.*.pth")]
        for path in rest:
            path.unlink(missing_ok=True)


def save_best(model: Any, dataset: str, metric: str, iteration: int) -> Path | None:
    """지표가 지금까지 가운데 가장 좋으면 생성자를 `net_g_best.pth`로 남긴다. 첫 프로세스만 부른다.

    Args:
        model: 방금 검증한 모델.
        dataset: 검증 데이터셋의 이름.
        metric: 지표의 이름.
        iteration: 지금의 반복.

    Returns:
        썼으면 그 파일.
    """
    best = getattr(model, "best_metric_results", {}).get(dataset, {}).get(metric, {})
    if best.get("iter") != iteration:
        return None
    parts = {"params": model.net_g} | ({"params_ema": model.net_g_ema} if hasattr(model, "net_g_ema") else {})
    path = CheckpointFolders.from_options(model.opt).network("net_g", "best")
    write_file(path, {key: dict(strip_wrapper(model.get_bare_model(net).state_dict())) for key, net in parts.items()})
    LOGGER.info("%s가 가장 좋은 가중치를 남겼습니다: %s (%s, 반복 %d)", metric, path, f"{best['val']:.4f}", iteration)
    return path


def save_for_inference(model: Any, options: Mapping[str, Any]) -> Path:
    """생성자(EMA가 있으면 EMA)를 `net_g_latest.safetensors`로 쓴다. 네트워크의 이름과 인자를 함께 적는다."""
    network = model.get_bare_model(getattr(model, "net_g_ema", model.net_g))
    arguments = {key: value for key, value in options["network_g"].items() if key != "type"}
    path = CheckpointFolders.from_options(model.opt).models / "net_g_latest.safetensors"
    notes = {"arch": str(options["network_g"]["type"]), "arch_args": json.dumps(arguments)}
    save_safetensors(dict(strip_wrapper(network.state_dict())), path, notes)
    return path


def size_on_disk(folders: CheckpointFolders) -> int:
    """체크포인트가 디스크에서 차지하는 바이트."""
    return sum(path.stat().st_size for folder in (folders.models, folders.states) for path in folder.glob("*.*"))
