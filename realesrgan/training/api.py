"""파이썬에서 부르는 훈련. 명령도 이 함수를 부른다."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from realesrgan.basicsr_bridge import set_random_seed
from realesrgan.errors import UsageError
from realesrgan.util.optional import import_optional

# 예전에 훈련을 설치한 사람에게는 이것만 없다. 아래의 모듈들은 불러올 때 이것을 쓴다.
import_optional("msgspec", "훈련의 옵션을 검사하려면", "python -m pip install msgspec")

from realesrgan.training import distributed  # noqa: E402
from realesrgan.training.experiment import OptionRecord  # noqa: E402
from realesrgan.training.loop import Progress, TrainProgress, TrainResult, run_training  # noqa: E402
from realesrgan.training.option_schema import check_options, import_user_modules  # noqa: E402
from realesrgan.training.options import (  # noqa: E402
    apply_debug,
    apply_overrides,
    copy_options,
    fill_empty,
    load_yaml,
    prepare_options,
)

__all__ = ["TrainProgress", "TrainResult", "train"]

LAUNCHERS = ("none", "pytorch", "slurm")


def train(
    options: str | os.PathLike[str] | Mapping[str, Any],
    *,
    overrides: Mapping[str, Any] | None = None,
    launcher: str = "none",
    auto_resume: bool = False,
    debug: bool = False,
    plugins: Iterable[str | os.PathLike[str]] = (),
    root: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """생성자를 훈련한다. 한 프로세스에서 여러 번 불러도 된다.

    기록은 실험 폴더의 파일과 `basicsr`라는 이름의 로거(logger)로 나간다. 파이썬, NumPy, torch의 전역 난수는 옵션의
    `manual_seed`로 다시 놓인다.

    예:
        >>> import realesrgan as sr
        >>> result = sr.train("options/quickstart_cpu.yml", overrides={"train:total_iter": 2, "name": "first_try"})
        >>> result.complete, result.weights.name, result.folder.name
        (True, 'net_g_latest.pth', 'first_try')
        >>> sorted(result.metrics["sample"])
        ['psnr', 'ssim']

    Args:
        options: 옵션 파일의 경로, 또는 같은 내용의 사전. 사전은 바뀌지 않는다.
        overrides: 덮어쓸 값들. 키는 `--force_yml`처럼 `"블록:키"`로 적는다.
        launcher: `none`, `pytorch`(torchrun), `slurm` 가운데 하나.
        auto_resume: 같은 이름의 실험에 온전한 체크포인트가 있으면 이어 갈지.
        debug: 이름 앞에 `debug_`를 붙이고 8번마다 저장하고 검증할지.
        plugins: 먼저 불러올 파이썬 파일이나 폴더. 제 네트워크, 데이터셋, 손실, 모델을 등록하는 파일이다.
        root: `experiments/`와 `tb_logger/`를 둘 폴더. 없으면 작업 폴더다.
        progress: 반복마다 `TrainProgress`를 받는 함수. False를 돌려주면 체크포인트를 남기고 멈춘다.

    Returns:
        가중치 파일과 실험 폴더, 마친 반복의 수, 마지막 지표.

    Raises:
        OptionError: 옵션에 모르는 키나 잘못된 값이 있을 때.
        PluginError: 플러그인을 불러오지 못했을 때.
        WeightsError: 지각 손실의 VGG 가중치가 없거나 맞지 않을 때.
        TrainingError: 자료, 체크포인트, 손실에 문제가 있을 때. `OptionError`도 이것이다.
    """
    if launcher not in LAUNCHERS:
        raise UsageError(f"모르는 launcher입니다: {launcher}\n  쓸 수 있는 값: {', '.join(LAUNCHERS)}")
    content = copy_options(options) if isinstance(options, Mapping) else load_yaml(options)
    record = _record(options, content, overrides or {})
    apply_overrides(content, overrides or {})
    import_user_modules(plugins)
    fill_empty(content)
    check_options(content, None if isinstance(options, Mapping) else options)
    if debug:
        apply_debug(content)
    rank, world_size = distributed.start(launcher, content.get("dist_params"))
    try:
        with _cudnn_benchmark():
            content["manual_seed"] = distributed.agree_on_seed(content.get("manual_seed"))
            set_random_seed((content["manual_seed"] + rank) % 2**32)
            folder = Path.cwd() if root is None else Path(root).expanduser().resolve()
            prepare_options(content, folder, rank=rank, world_size=world_size, distributed=launcher != "none")
            return run_training(content, record, auto_resume, progress)
    finally:
        distributed.stop()


@contextlib.contextmanager
def _cudnn_benchmark() -> Iterator[None]:
    """입력의 크기가 늘 같은 훈련에서 cuDNN이 가장 빠른 알고리즘을 고르게 하고, 끝나면 되돌린다."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _record(
    options: str | os.PathLike[str] | Mapping[str, Any], content: Any, overrides: Mapping[str, Any]
) -> OptionRecord:
    """실험 폴더에 남길 옵션 파일. 머리에 때와 명령과 덮어쓴 값을 적는다."""
    head = [time.asctime(), " ".join(sys.argv)]
    if overrides:
        head.append("덮어쓴 값: " + ", ".join(f"{key}={value!r}" for key, value in overrides.items()))
    lines = "\n".join(f"# {line}" for line in "\n".join(head).splitlines())
    if isinstance(options, Mapping):
        name, text = (
            f"{content.get('name', 'options')}.yml",
            yaml.safe_dump(content, allow_unicode=True, sort_keys=False),
        )
    else:
        name, text = Path(options).name, Path(options).read_text(encoding="utf-8")
    return OptionRecord(name, f"{lines}\n\n{text}")
