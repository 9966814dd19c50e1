"""여러 프로세스로 훈련할 때의 준비와 뒷정리."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from realesrgan.errors import OptionError

LOGGER = logging.getLogger("basicsr")
DEFAULT_PORT = 29500
_STARTS = itertools.count()
_HOST = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$")
_BRACKETS = re.compile(r"^([A-Za-z0-9._-]*)\[([0-9]+)[0-9,-]*\]([A-Za-z0-9._-]*)$")


def first_host(node_list: str) -> str:
    """SLURM의 노드 목록에서 첫 노드의 이름을 꺼낸다. 셸(shell)을 거치지 않는다.

    `gpu[01-03,07],other`처럼 묶은 꼴을 풀어 `gpu01`을 돌려준다.

    Raises:
        OptionError: 노드 이름으로 볼 수 없을 때.
    """
    # 대괄호 밖의 첫 쉼표까지가 첫 묶음이다.
    first = re.split(r",(?![^\[]*\])", node_list.strip(), maxsplit=1)[0]
    grouped = _BRACKETS.match(first)
    name = "".join(grouped.groups()) if grouped else first
    if not _HOST.match(name):
        raise OptionError(
            f"SLURM_NODELIST를 알아볼 수 없습니다: {node_list!r}\n  노드 이름에 쓸 수 없는 글자가 있습니다.\n"
            "  해결: sbatch나 srun 안에서 실행하거나 --launcher pytorch를 쓰세요."
        )
    return name


def _slurm_environment(environment: Mapping[str, str], port: int | None) -> dict[str, str]:
    task, count = environment["SLURM_PROCID"], environment["SLURM_NTASKS"]
    devices = max(1, torch.cuda.device_count())
    return {
        "RANK": task,
        "WORLD_SIZE": count,
        "LOCAL_RANK": environment.get("SLURM_LOCALID", str(int(task) % devices)),
        "MASTER_ADDR": environment.get("MASTER_ADDR") or first_host(environment["SLURM_NODELIST"]),
        "MASTER_PORT": environment.get("MASTER_PORT") or str(port or DEFAULT_PORT),
    }


def start(launcher: str, params: Mapping[str, Any] | None = None) -> tuple[int, int]:
    """프로세스 그룹(process group)에 들어간다.

    CUDA가 없으면 옵션이 nccl이어도 gloo를 쓴다.

    Args:
        launcher: `none`, `pytorch`, `slurm`.
        params: 옵션의 `dist_params`(backend, port).

    Returns:
        (번호, 프로세스 수). `none`이면 (0, 1).

    Raises:
        OptionError: 띄운 쪽이 주어야 할 환경 변수가 없거나 틀렸을 때.
    """
    if launcher == "none":
        return 0, 1
    params = params or {}
    try:
        if launcher == "slurm":
            os.environ.update(_slurm_environment(os.environ, params.get("port")))
        rank, world_size, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    except (KeyError, ValueError) as error:
        raise OptionError(
            f"--launcher {launcher}에 필요한 환경 변수가 없거나 수가 아닙니다: {error}\n"
            "  프로세스의 번호와 수를 알 수 없습니다.\n"
            "  해결: torchrun --nproc_per_node=2 realesrgan/train.py ... --launcher pytorch처럼 실행하세요."
        ) from error
    backend = str(params.get("backend") or "nccl")
    if not torch.cuda.is_available():
        backend = "gloo"
    else:
        torch.cuda.set_device(local % torch.cuda.device_count())
    # torchrun의 저장소는 그룹이 끝나도 남는다. 같은 이름으로 다시 들어가면 앞 그룹의 주소를 읽어 이어지지 못한다.
    handler = rendezvous("env://", rank, world_size)
    store, rank, world_size = next(handler)
    store = PrefixStore(f"realesrgan-{next(_STARTS)}", store)
    dist.init_process_group(backend=backend, store=store, rank=rank, world_size=world_size)
    return rank, world_size


def stop() -> None:
    """프로세스 그룹에서 나온다. 분산 래퍼(DDP)를 씌운 모델은 먼저 놓아야 한다.

    gloo의 그룹을 마지막으로 놓는 것이 분산 래퍼면 GIL을 쥔 채 gloo의 스레드를 기다리고, 그 스레드는 마지막 통신의
    텐서를 지우려고 GIL을 기다려 서로 멈춘다(torch 2.13에서 보았다). 그룹의 파이썬 객체는 GIL을 놓고 사라진다.
    """
    if dist.is_initialized():
        # 순환 참조에 걸린 모델이 남아 있지 않게 한다.
        gc.collect()
        dist.destroy_process_group()


def agree_on_seed(seed: int | None) -> int:
    """모든 프로세스가 같은 씨앗을 쓰게 한다. 주지 않았으면 첫 프로세스가 뽑는다."""
    if seed is not None:
        return int(seed)
    value = torch.randint(1, 10000, (1,))
    if dist.is_initialized():
        value = value.cuda() if dist.get_backend() == "nccl" else value
        dist.broadcast(value, 0)
    return int(value)
