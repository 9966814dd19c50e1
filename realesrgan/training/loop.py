"""훈련 루프(training loop): 이어 할 곳을 찾고, 걷고, 적고, 저장하고, 검증한다."""

from __future__ import annotations

import contextlib
import datetime
import importlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from realesrgan.basicsr_bridge import (
    AvgTimer,
    MessageLogger,
    build_model,
    dict2str,
    get_env_info,
    get_time_str,
    init_tb_logger,
    init_wandb_logger,
    own_log_handlers,
)
from realesrgan.errors import TrainingDependencyError
from realesrgan.models.any_model_state import (
    is_training_model,
    point_to_networks,
    resume_checkpoint,
    save_checkpoint,
)
from realesrgan.models.checkpoint import CheckpointFolders, find_newest_valid, load_state
from realesrgan.training.data_loaders import Loaders, build_loaders, start_workers

LOGGER = logging.getLogger("basicsr")
LOG_FORMAT = "%(asctime)s %(levelname)s: %(message)s"


@dataclass(frozen=True)
class TrainProgress:
    """반복 하나를 마친 모습.

    Attributes:
        iteration: 마친 반복의 번호, 1부터.
        total: 마칠 반복의 수.
        losses: 손실의 이름에서 값으로의 표.
        waited: 자료를 기다린 초.
    """

    iteration: int
    total: int
    losses: Mapping[str, float]
    waited: float


@dataclass(frozen=True)
class TrainResult:
    """훈련의 결과.

    Attributes:
        weights: 마지막 생성자의 가중치 파일(`net_g_latest.pth`). `params`와, EMA를 썼으면 `params_ema`가 들어 있다.
        folder: 실험 폴더. 체크포인트, 기록, 검증 이미지가 있다.
        iterations: 마친 반복의 수. 이어서 한 훈련이면 앞의 것도 센다.
        complete: `total_iter`까지 마쳤는지. `progress`가 멈추게 했으면 거짓이다.
        metrics: 검증 데이터셋의 이름마다 마지막으로 잰 지표. 재지 않았으면 비어 있다.
    """

    weights: Path
    folder: Path
    iterations: int
    complete: bool
    metrics: Mapping[str, Mapping[str, float]]


# 반복마다 불리는 함수. False를 돌려주면 체크포인트를 남기고 멈춘다.
Progress = Callable[[TrainProgress], "bool | None"]


@dataclass(frozen=True)
class OptionRecord:
    """실험 폴더에 남길 옵션 파일의 이름과 글."""

    name: str
    text: str


@dataclass
class Place:
    """훈련이 와 있는 자리. `position`은 이 세대에서 이 프로세스가 이미 쓴 항목의 수다."""

    iteration: int = 0
    epoch: int = 0
    position: int = 0


def find_resume_state(options: dict[str, Any], auto_resume: bool) -> tuple[Path, dict[str, Any]] | None:
    """이어 할 상태를 찾는다. `--auto_resume`이면 온전한 것 가운데 가장 새 것, 아니면 `path:resume_state`다.

    Raises:
        CheckpointError: 지정한 상태가 온전하지 않을 때.
    """
    folders = CheckpointFolders.from_options(options)
    if auto_resume:
        return find_newest_valid(folders)
    given = options["path"].get("resume_state")
    return (Path(given), load_state(Path(given), folders)) if given else None


def place_from_state(state: dict[str, Any], loaders: Loaders, world_size: int) -> Place:
    """저장한 상태에서 자리를 되살린다. 프로세스 수가 달라졌으면 전체가 쓴 항목 수로 다시 센다."""
    saved_world = int(state.get("world_size", world_size))
    consumed = int(state.get("position", 0)) * saved_world // world_size
    if saved_world != world_size:
        LOGGER.warning("프로세스 수가 %d에서 %d로 바뀌어 이후의 자료 순서가 달라집니다.", saved_world, world_size)
    # 배치 크기가 바뀌었어도 배치의 경계에서 다시 시작한다.
    position = consumed - consumed % loaders.batch_size
    return Place(int(state["iter"]), int(state["epoch"]), position)


def _barrier() -> None:
    if dist.is_initialized():
        dist.barrier()


def _archive(folder: Path) -> None:
    """앞선 실험의 폴더가 있으면 지우지 않고 이름을 바꾸어 두고, 빈 폴더를 만든다."""
    target = folder.with_name(f"{folder.name}_archived_{get_time_str()}")
    number = 1
    while folder.exists() and target.exists():
        number += 1
        target = folder.with_name(f"{folder.name}_archived_{get_time_str()}_{number}")
    if folder.exists():
        folder.rename(target)
    folder.mkdir(parents=True)


def _prepare_folders(options: dict[str, Any], record: OptionRecord, resuming: bool) -> None:
    with_boards = options["logger"].get("use_tb_logger") and "debug" not in options["name"]
    paths = {key: Path(options["path"][key]) for key in ("experiments_root", "models", "training_states")}
    if options["rank"] == 0:
        if not resuming:
            _archive(paths["experiments_root"])
            if with_boards:
                _archive(Path(options["root_path"]) / "tb_logger" / options["name"])
        for path in (*paths.values(), Path(options["path"]["visualization"])):
            path.mkdir(parents=True, exist_ok=True)
        (paths["experiments_root"] / record.name).write_text(record.text, encoding="utf-8")
    _barrier()


def _start_wandb(options: dict[str, Any]) -> Callable[[], Any]:
    """기록을 시작하고, 마칠 때 부를 함수를 돌려준다."""
    try:
        init_wandb_logger(options)
        return getattr(importlib.import_module("wandb"), "finish", lambda: None)
    except ImportError as error:
        raise TrainingDependencyError(
            f"Weights & Biases에 기록할 수 없습니다: {error}\n"
            "  logger:wandb:project를 적었는데 wandb 패키지가 없습니다.\n"
            "  해결: python -m pip install wandb로 설치하거나 project를 비우세요."
        ) from error


@contextlib.contextmanager
def _log_file(options: dict[str, Any]) -> Iterator[None]:
    """훈련하는 동안의 기록을 실험 폴더의 파일에도 쓴다. 첫 프로세스가 아니면 오류만 알린다. 끝나면 되돌린다."""
    level = LOGGER.level
    handler: logging.Handler = logging.NullHandler()
    if options["rank"] == 0:
        path = Path(options["path"]["log"]) / f"train_{options['name']}_{get_time_str()}.log"
        handler = logging.FileHandler(path, "w", encoding="utf-8")
        handler.setFormatter(logging.Formatter(LOG_FORMAT))
    LOGGER.setLevel(logging.INFO if options["rank"] == 0 else logging.ERROR)
    LOGGER.addHandler(handler)
    try:
        with own_log_handlers():
            yield
    finally:
        LOGGER.removeHandler(handler)
        handler.close()
        LOGGER.setLevel(level)


@contextlib.contextmanager
def _boards(options: dict[str, Any]) -> Iterator[Any]:
    """TensorBoard의 기록기를 열고, 옵션에 있으면 Weights & Biases에도 옮겨 적는다. 쓰지 않으면 None을 준다."""
    settings = options["logger"]
    if options["rank"] != 0 or not settings.get("use_tb_logger") or "debug" in options["name"]:
        yield None
        return
    with contextlib.ExitStack() as stack:
        if (settings.get("wandb") or {}).get("project"):
            stack.callback(_start_wandb(options))
        logger = init_tb_logger(log_dir=str(Path(options["root_path"]) / "tb_logger" / options["name"]))
        stack.callback(logger.close)
        yield logger


def _batches(loaders: Loaders, place: Place) -> Iterator[tuple[int, int, Any]]:
    """(세대, 그 배치까지 쓴 항목 수, 배치)를 끝없이 준다."""
    start = place.position
    for epoch in itertools.count(place.epoch):
        loaders.sampler.set_epoch(epoch, start)
        for number, data in enumerate(start_workers(loaders.train), 1):
            yield epoch, start + number * loaders.batch_size, data
        start = 0


class Trainer:
    """준비된 모델과 로더로 끝까지 걷는다.

    Args:
        options: 준비를 마친 옵션.
        model: BasicSR 꼴의 모델.
        loaders: 데이터 로더들.
        tb_logger: TensorBoard 기록기 또는 None.
        progress: 반복마다 불리는 함수 또는 None.
    """

    def __init__(
        self,
        options: dict[str, Any],
        model: Any,
        loaders: Loaders,
        tb_logger: Any = None,
        progress: Progress | None = None,
    ) -> None:
        self.options = options
        self.model = model
        self.loaders = loaders
        self.tb_logger = tb_logger
        self.progress = progress
        self.total = int(options["train"]["total_iter"])
        self.iteration = 0
        self.metrics: dict[str, Mapping[str, float]] = {}

    def _due(self, block: str, key: str, iteration: int) -> bool:
        value = (self.options.get(block) or {}).get(key)
        return value is not None and int(value) > 0 and iteration % int(value) == 0

    def validate(self, iteration: int) -> None:
        """모든 검증 데이터셋을 잰다."""
        if self.options.get("val"):
            for loader in self.loaders.validation:
                self.model.validation(loader, iteration, self.tb_logger, bool(self.options["val"].get("save_img")))
                if self.options["val"].get("metrics"):
                    dataset: Any = loader.dataset
                    # BasicSR의 모델은 첫 프로세스에서만 잰다.
                    self.metrics[dataset.opt["name"]] = dict(getattr(self.model, "metric_results", {}))

    def run(self, place: Place) -> None:
        """`place`에서 시작해 `total_iter`까지 훈련하고, 끝에 `latest`를 저장하고 검증한다.

        마친 반복의 수는 `iteration`에, 마지막으로 잰 지표는 `metrics`에 남는다.
        """
        # MessageLogger는 TensorBoard를 끈 프로세스에서 기록기를 찾지 않아야 한다.
        shown = self.options | {"logger": self.options["logger"] | {"use_tb_logger": self.tb_logger is not None}}
        messages = MessageLogger(shown, place.iteration + 1, self.tb_logger)
        data_timer, step_timer = AvgTimer(), AvgTimer()
        began = time.time()
        LOGGER.info("훈련을 시작합니다. 세대 %d, 반복 %d", place.epoch, place.iteration)
        iteration = place.iteration
        asks = self._agree(self.progress is not None)
        for epoch, position, data in _batches(self.loaders, place):
            if iteration >= self.total:
                break
            data_timer.record()
            iteration += 1
            self.model.update_learning_rate(iteration, warmup_iter=self.options["train"].get("warmup_iter", -1))
            self.model.feed_data(data)
            self.model.optimize_parameters(iteration)
            step_timer.record()
            stopping = self._report(messages, epoch, iteration, step_timer, data_timer)
            stopping = asks and self._agree(stopping)
            if stopping or self._due("logger", "save_checkpoint_freq", iteration):
                LOGGER.info("네트워크와 훈련 상태를 저장합니다.")
                save_checkpoint(self.model, epoch, iteration, position)
            if self._due("val", "val_freq", iteration):
                self.validate(iteration)
            if stopping:
                break
            data_timer.start()
            step_timer.start()
        self.iteration = iteration
        LOGGER.info("훈련을 마쳤습니다. 걸린 시간 %s", datetime.timedelta(seconds=int(time.time() - began)))
        save_checkpoint(self.model, -1, -1)
        if not self._due("val", "val_freq", iteration):
            self.validate(iteration)

    def _report(self, messages: Any, epoch: int, iteration: int, step: Any, data: Any) -> bool:
        """기록하고, `progress`가 멈추라고 했는지를 돌려준다."""
        stopping = False
        if self.progress is not None:
            losses = dict(self.model.get_current_log())
            stopping = self.progress(TrainProgress(iteration, self.total, losses, data.get_current_time())) is False
        if self._due("logger", "print_freq", iteration):
            values = {"epoch": epoch, "iter": iteration, "lrs": self.model.get_current_learning_rate()}
            values |= {"time": step.get_avg_time(), "data_time": data.get_avg_time()}
            messages(values | self.model.get_current_log())
        return stopping

    def _agree(self, answer: bool) -> bool:
        """한 프로세스라도 그렇다고 하면 모두가 그렇다고 본다."""
        if not dist.is_initialized():
            return answer
        found = torch.tensor([float(answer)], device=self.model.device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return bool(found.item())


def run_training(
    options: dict[str, Any], record: OptionRecord, auto_resume: bool = False, progress: Progress | None = None
) -> TrainResult:
    """준비한 옵션대로 훈련한다.

    Args:
        options: `prepare_options`를 거친 옵션.
        record: 실험 폴더에 남길 옵션 파일.
        auto_resume: 온전한 체크포인트가 있으면 이어 갈지.
        progress: 반복마다 불리는 함수.

    Raises:
        TrainingError: 자료, 체크포인트, 손실에 문제가 있을 때.
    """
    found = find_resume_state(options, auto_resume)
    _barrier()
    _prepare_folders(options, record, found is not None)
    with _log_file(options), _boards(options) as tb_logger:
        LOGGER.info(get_env_info())
        LOGGER.info(dict2str(options))
        loaders = build_loaders(options, is_training_model(str(options["model_type"])))
        if found is not None:
            point_to_networks(options, int(found[1]["iter"]))
        model = build_model(options)
        place = Place()
        if found is not None:
            path, state = found
            resume_checkpoint(model, state, path)
            place = place_from_state(state, loaders, int(options["world_size"]))
            LOGGER.info("이어서 훈련합니다: %s (세대 %d, 반복 %d)", path, place.epoch, place.iteration)
        trainer = Trainer(options, model, loaders, tb_logger, progress)
        trainer.run(place)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return TrainResult(
        weights=CheckpointFolders.from_options(options).network("net_g", "latest"),
        folder=Path(options["path"]["experiments_root"]),
        iterations=trainer.iteration,
        complete=trainer.iteration >= trainer.total,
        metrics=trainer.metrics,
    )
