"""모델의 상태를 체크포인트로 쓰고 되돌린다."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from realesrgan.errors import CheckpointError
from realesrgan.models.checkpoint import (
    CheckpointFolders,
    barrier,
    global_random_state,
    hash_content,
    read_file,
    remove_old_pools,
    restore_global_random,
    strip_wrapper,
    write_file,
)

if TYPE_CHECKING:
    from realesrgan.models.training_model import TrainingModel

LOGGER = logging.getLogger("basicsr")
FORMAT = 1


def rank_and_count() -> tuple[int, int]:
    """이 프로세스의 번호와 프로세스의 수."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def gather_hashes(digest: str, device: torch.device) -> list[str]:
    """모든 프로세스의 SHA-256을 번호 순서로 모은다. 피클(pickle)을 거치지 않는다."""
    mine = torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8, device=device)
    if not dist.is_initialized():
        return [digest]
    everyone = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, mine)
    return [bytes(one.tolist()).hex() for one in everyone]


def save_networks(model: TrainingModel, folders: CheckpointFolders, label: int | str) -> dict[str, str]:
    """네트워크 파일을 쓰고 이름마다의 SHA-256을 돌려준다. 첫 프로세스만 부른다."""
    hashes = {}
    for name, parts in model.network_groups().items():
        content: dict[str, dict[str, Tensor]] = {
            key: dict(strip_wrapper(model.get_bare_model(net).state_dict())) for key, net in parts.items()
        }
        path = folders.network(name, label)
        hashes[path.name] = write_file(path, content)
    return hashes


def save_model(model: TrainingModel, epoch: int, iteration: int, position: int) -> None:
    """체크포인트 하나를 쓴다. 네트워크, 프로세스마다의 상태, 쌍 풀, 마지막으로 `.state`의 차례다.

    Args:
        model: 저장할 모델.
        epoch: 지금의 세대.
        iteration: 지금의 반복 횟수. -1이면 `latest`라는 이름으로 네트워크만 쓴다.
        position: 이 세대에서 이 프로세스가 이미 쓴 항목의 수.
    """
    folders = CheckpointFolders.from_options(model.opt)
    rank, world_size = rank_and_count()
    if iteration == -1:
        if rank == 0:
            save_networks(model, folders, "latest")
        return
    files = save_networks(model, folders, iteration) if rank == 0 else {}
    own = {"random": model.random.state_dict(), "global": global_random_state()}
    rank_hashes = gather_hashes(write_file(folders.rank_file(iteration, rank), own), model.device)
    write_file(folders.pool_file(iteration, rank), {"pool": model.pool.state_dict()})
    barrier()
    if rank == 0:
        files |= {folders.rank_file(iteration, index).name: digest for index, digest in enumerate(rank_hashes)}
        state = _shared_state(model) | {"epoch": epoch, "iter": iteration, "position": position}
        state |= {"world_size": world_size, "files": files}
        write_file(folders.state(iteration), state | {"digest": hash_content(state)})
    barrier()
    if rank == 0:
        remove_old_pools(folders, iteration)
    model.last_checkpoint = str(folders.state(iteration))


def _shared_state(model: TrainingModel) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "optimizers": [optimizer.state_dict() for optimizer in model.optimizers],
        "schedulers": [scheduler.state_dict() for scheduler in model.schedulers],
        "scalers": {name: scaler.state_dict() for name, scaler in model.scalers.items()},
        "best": getattr(model, "best_metric_results", {}),
        "nonfinite": {"total": model.guard.total},
        "options": model.schedule_values,
    }


def resume_model(model: TrainingModel, state: Mapping[str, Any]) -> None:
    """`load_state`가 검사한 상태로 모델을 되돌린다.

    Raises:
        CheckpointError: 옵티마이저의 수가 다르거나 네트워크가 맞지 않을 때.
    """
    folders = CheckpointFolders.for_resume(model.opt)
    iteration = int(state["iter"])
    _load_networks(model, folders, iteration)
    for name in ("optimizers", "schedulers"):
        targets, saved = getattr(model, name), state[name]
        if len(targets) != len(saved):
            raise CheckpointError(
                f"체크포인트의 {name} 수가 다릅니다: 저장 {len(saved)}개, 지금 {len(targets)}개\n"
                "  다른 종류의 모델을 훈련하던 상태로 보입니다.\n  해결: 옵션의 model_type과 name을 확인하세요."
            )
        for target, one in zip(targets, saved, strict=True):
            target.load_state_dict(one)
    for name, scaler in model.scalers.items():
        if state.get("scalers", {}).get(name):
            scaler.load_state_dict(state["scalers"][name])
    if state.get("best"):
        model.best_metric_results = state["best"]
    # 잇단 횟수는 되돌리지 않는다. 학습률을 낮추어 이어 가는 사람이 첫 걸음에서 다시 멈추지 않는다.
    model.guard.total, model.guard.streak = state.get("nonfinite", {}).get("total", 0), 0
    _load_rank_state(model, folders, iteration)
    model.last_checkpoint = str(folders.state(iteration))


def _load_networks(model: TrainingModel, folders: CheckpointFolders, iteration: int) -> None:
    ignored = model.opt["path"].get("ignore_resume_networks") or ()
    for name, parts in model.network_groups().items():
        if name.replace("net_", "network_", 1) in ignored:
            continue
        content = read_file(folders.network(name, iteration))
        for key, network in parts.items():
            source = key
            if key == "params_ema" and key not in content and "params" in content:
                LOGGER.info("저장할 때는 EMA를 쓰지 않아, 저장한 가중치에서 EMA를 시작합니다.")
                source = "params"
            try:
                state = {name.removeprefix("module."): value for name, value in content[source].items()}
                model.get_bare_model(network).load_state_dict(state)
            except (KeyError, RuntimeError) as error:
                raise CheckpointError(
                    f"네트워크가 체크포인트와 맞지 않습니다: {folders.network(name, iteration)}의 {key}\n  {error}\n"
                    "  해결: 옵션의 network_g와 network_d가 저장할 때와 같은지 확인하세요."
                ) from error


def _load_rank_state(model: TrainingModel, folders: CheckpointFolders, iteration: int) -> None:
    rank, _ = rank_and_count()
    path = folders.rank_file(iteration, rank)
    if path.is_file():
        own = read_file(path)
        model.random.load_state_dict(own["random"])
        restore_global_random(own["global"])
    else:
        LOGGER.warning("이 프로세스(%d)의 난수 상태가 없어 씨앗부터 다시 시작합니다: %s", rank, path)
    pool = folders.pool_file(iteration, rank)
    if pool.is_file():
        try:
            model.pool.load_state_dict(read_file(pool)["pool"], model.device)
            if model.pool.size != int(model.opt.get("queue_size", model.pool.size)):
                model.pool.resize(int(model.opt["queue_size"]))
            return
        except CheckpointError as error:
            LOGGER.warning("쌍 풀을 읽지 못해 빈 채로 시작합니다.\n%s", error)
    else:
        LOGGER.warning(
            "쌍 풀이 없어 빈 채로 시작합니다: %s\n"
            "  쌍 풀은 가장 새 체크포인트에만 있습니다. 그보다 앞의 것에서 이어 가면 끊기지 않은 훈련과\n"
            "  비트까지 같지는 않습니다.",
            pool,
        )
