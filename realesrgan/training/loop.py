"""훈련 루프(training loop): 이어 할 곳을 찾고, 걷고, 적고, 저장하고, 검증한다."""

from __future__ import annotations

import datetime
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from realesrgan.basicsr_bridge import (
    AvgTimer,
    MessageLogger,
    build_model,
    build_network,
    dict2str,
    get_env_info,
)
from realesrgan.data.resumable_sampler import seeded_globals
from realesrgan.errors import NonFiniteLossError, OptionError, RealESRGANError
from realesrgan.models.any_model_state import (
    is_training_model,
    point_to_networks,
    remove_old_checkpoints,
    resume_checkpoint,
    save_best,
    save_checkpoint,
    save_for_inference,
    size_on_disk,
)
from realesrgan.models.checkpoint import CheckpointFolders, barrier, nonfinite_tensors
from realesrgan.models.optimizers import averaged_weights, is_schedule_free
from realesrgan.models.resume_options import FreshSchedule, schedule_values, settle
from realesrgan.models.step_options import StepOptions
from realesrgan.models.stepper import NonFiniteGuard
from realesrgan.models.training_model import TrainingModel
from realesrgan.models.trial import blaming, naming_step, try_step
from realesrgan.models.validation import try_metrics
from realesrgan.training.data_loaders import Loaders, build_loaders, naming_item, start_workers
from realesrgan.training.experiment import (
    FOR_FILE,
    FOR_TERMINAL,
    OptionRecord,
    boards,
    find_resume_state,
    log_to_experiment,
    prepare_folders,
)
from realesrgan.training.option_schema import OWN_MODELS
from realesrgan.training.pretrained import find_pretrained
from realesrgan.util.numbers import describe_seconds

LOGGER = logging.getLogger("basicsr")
DEFAULT_NONFINITE = StepOptions().max_nonfinite


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
        checkpoint: 이어 갈 수 있는 마지막 `.state`. 한 번도 쓰지 않았으면 None.
        archived: 같은 이름의 앞선 실험을 옮겨 둔 폴더. 옮기지 않았으면 None.
        already_complete: 이어 가려 했으나 이미 마친 훈련이라 더 할 것이 없었는지.
    """

    weights: Path
    folder: Path
    iterations: int
    complete: bool
    metrics: Mapping[str, Mapping[str, float]]
    checkpoint: Path | None = None
    archived: Path | None = None
    already_complete: bool = False


# 반복마다 불리는 함수. False를 돌려주면 체크포인트를 남기고 멈춘다. 훈련하는 프로세스마다 부른다.
Progress = Callable[[TrainProgress], "bool | None"]


@dataclass
class Place:
    """훈련이 와 있는 자리. `position`은 이 세대에서 이 프로세스가 이미 쓴 항목의 수다."""

    iteration: int = 0
    epoch: int = 0
    position: int = 0


def place_from_state(state: dict[str, Any], loaders: Loaders, world_size: int) -> Place:
    """저장한 상태에서 자리를 되살린다. 프로세스 수가 달라졌으면 전체가 쓴 항목 수로 다시 센다."""
    saved_world = int(state.get("world_size", world_size))
    consumed = int(state.get("position", 0)) * saved_world // world_size
    if saved_world != world_size:
        LOGGER.warning("프로세스 수가 %d에서 %d로 바뀌어 이후의 자료 순서가 달라집니다.", saved_world, world_size)
    # 배치 크기가 바뀌었어도 배치의 경계에서 다시 시작한다.
    position = consumed - consumed % loaders.batch_size
    return Place(int(state["iter"]), int(state["epoch"]), position)


def _batches(loaders: Loaders, place: Place) -> Iterator[tuple[int, int, Any]]:
    """(세대, 그 배치까지 쓴 항목 수, 배치)를 끝없이 준다."""
    start = place.position
    for epoch in itertools.count(place.epoch):
        loaders.sampler.set_epoch(epoch, start)
        for number, data in enumerate(_read(loaders), 1):
            yield epoch, start + number * loaders.batch_size, data
        start = 0


def _read(loaders: Loaders) -> Iterator[Any]:
    """배치를 준다. 데이터셋이나 작업자의 오류는 추적(traceback)을 기록에 남기고 이름 있는 오류로 바꾼다.

    Raises:
        DatasetError: 데이터셋의 코드나 작업자가 실패했을 때.
    """
    try:
        with naming_item():
            yield from start_workers(loaders.train)
    except RealESRGANError as error:
        # torch는 작업자의 오류에 추적을 이어 붙인다. 사용자의 잘못을 말하는 오류라면 말만 남긴다.
        _, _, traced = str(error).partition("Original Traceback (most recent call last):\n")
        if not traced:
            raise
        LOGGER.error("작업자의 추적:\n%s", error)
        raise type(error)(message_of(traced)) from error


def message_of(traced: str) -> str:
    """추적의 글에서 마지막 예외의 말만 꺼낸다. `패키지.예외이름: 말`의 꼴이다."""
    lines = traced.splitlines()
    starts = [i for i, line in enumerate(lines) if line and not line.startswith(" ")]
    text = "\n".join(lines[starts[-1] :]) if starts else traced
    head, separator, rest = text.partition(": ")
    return rest if separator and " " not in head else text


def iteration_line(
    iteration: int, total: int, seconds: float, rates: Sequence[float], losses: Mapping[str, float]
) -> str:
    """사람에게 보일 반복 한 줄.

    Args:
        iteration, total: 마친 반복과 마칠 반복.
        seconds: 남은 시간(초).
        rates: 옵티마이저마다의 학습률.
        losses: 손실의 이름에서 값으로의 표.
    """
    parts = [f"반복 {iteration}/{total}"]
    if iteration < total:
        parts.append(f"남은 시간 {describe_seconds(seconds)}")
    parts.append("학습률 " + " ".join(f"{rate:.1e}" for rate in dict.fromkeys(rates)))
    return ", ".join([*parts, *(f"{name} {value:.4g}" for name, value in losses.items())])


def validation_line(name: str, metrics: Mapping[str, float], best: Mapping[str, Mapping[str, float]]) -> str:
    """사람에게 보일 검증 한 줄. `best`는 지표마다의 가장 좋은 값(`val`)과 그 반복(`iter`)이다."""
    parts = []
    for key, value in metrics.items():
        kept = best.get(key)
        parts.append(f"{key} {value:.4f}" + (f"(최고 {kept['val']:.4f}, 반복 {kept['iter']:.0f})" if kept else ""))
    return f"검증({name}): {', '.join(parts)}"


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
        self.checkpoint: str | None = getattr(model, "last_checkpoint", None)
        if not isinstance(model, TrainingModel):
            model.guard = NonFiniteGuard(int(options["train"].get("max_nonfinite") or DEFAULT_NONFINITE))
            model.last_checkpoint = self.checkpoint

    def _due(self, block: str, key: str, iteration: int) -> bool:
        value = (self.options.get(block) or {}).get(key)
        return value is not None and int(value) > 0 and iteration % int(value) == 0

    def validate(self, iteration: int) -> None:
        """모든 검증 데이터셋을 잰다."""
        if not self.options.get("val"):
            return
        best = self.options["logger"].get("keep_best")
        with naming_step(iteration, self.checkpoint), averaged_weights(self.model):
            for number, loader in enumerate(self.loaders.validation):
                self.model.validation(loader, iteration, self.tb_logger, bool(self.options["val"].get("save_img")))
                if self.options["val"].get("metrics"):
                    dataset: Any = loader.dataset
                    # BasicSR의 모델은 첫 프로세스에서만 잰다.
                    name = dataset.opt["name"]
                    self.metrics[name] = dict(getattr(self.model, "metric_results", {}))
                    best_so_far = getattr(self.model, "best_metric_results", {}).get(name, {})
                    LOGGER.info(validation_line(name, self.metrics[name], best_so_far), extra=FOR_TERMINAL)
                    if best and number == 0 and self.options["rank"] == 0:
                        save_best(self.model, name, best, iteration)

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
        iteration = self.iteration = place.iteration
        if iteration and iteration >= self.total:
            LOGGER.info("이미 마친 훈련입니다: 반복 %d, total_iter %d", iteration, self.total)
            self._save(-1, -1, 0)
            return
        for optimizer in self.model.optimizers:
            if is_schedule_free(optimizer):
                optimizer.train()
        asks = self._agree(self.progress is not None)
        for epoch, position, data in _batches(self.loaders, place):
            if iteration >= self.total:
                break
            data_timer.record()
            iteration += 1
            self._step(iteration, data)
            step_timer.record()
            stopping = self._report(messages, epoch, iteration, step_timer, data_timer)
            stopping = asks and self._agree(stopping)
            if stopping or self._due("logger", "save_checkpoint_freq", iteration):
                LOGGER.info("네트워크와 훈련 상태를 저장합니다.")
                self._save(epoch, iteration, position)
            if self._due("val", "val_freq", iteration):
                self.validate(iteration)
            if stopping:
                break
            data_timer.start()
            step_timer.start()
        self.iteration = iteration
        LOGGER.info("훈련을 마쳤습니다. 걸린 시간 %s", datetime.timedelta(seconds=int(time.time() - began)))
        self._finish(iteration)

    def _step(self, iteration: int, data: Any) -> None:
        """한 번 훈련하고 손실을 지켜본다."""
        with naming_step(iteration, self.checkpoint):
            self.model.update_learning_rate(iteration, warmup_iter=self.options["train"].get("warmup_iter", -1))
        with naming_step(iteration, self.checkpoint):
            self.model.feed_data(data)
            self.model.optimize_parameters(iteration)
        self._watch_losses(iteration)

    def _finish(self, iteration: int) -> None:
        """`latest`를 저장하고, 검증할 차례가 아니었으면 검증한다.

        Raises:
            NonFiniteLossError: 가중치가 유한하지 않을 때.
        """
        if not self._save(-1, -1, 0) and nonfinite_tensors({"net_g": self.model.net_g}):
            raise NonFiniteLossError(
                f"훈련이 끝났지만 가중치에 NaN이나 Inf가 있습니다(반복 {iteration}).\n"
                f"  가중치가 모두 유한한 마지막 체크포인트: {self.model.last_checkpoint or '없음'}\n"
                "  해결: 학습률을 낮추거나 train:grad_clip을 켜고 --auto_resume으로 이어 가세요."
            )
        if not self._due("val", "val_freq", iteration):
            self.validate(iteration)

    def _save(self, epoch: int, iteration: int, position: int) -> bool:
        """체크포인트를 쓰고 오래된 것을 지운다. 끝(`iteration`이 -1)이면 추론에 쓸 파일도 쓴다."""
        settings, folders = self.options["logger"], CheckpointFolders.from_options(self.options)
        first = self.options["rank"] == 0
        with averaged_weights(self.model):
            saved = save_checkpoint(self.model, epoch, iteration, position)
            if saved and iteration == -1 and first and settings.get("save_safetensors"):
                LOGGER.info("추론에 쓸 가중치: %s", save_for_inference(self.model, self.options))
        if saved and iteration != -1:
            self.checkpoint = self.model.last_checkpoint
            if first:
                remove_old_checkpoints(folders, int(settings.get("keep_checkpoints") or 0))
        if saved and iteration == -1 and first:
            LOGGER.info("체크포인트의 크기: %.1fMB (%s)", size_on_disk(folders) / 1e6, folders.models.parent)
        return saved

    def _watch_losses(self, iteration: int) -> None:
        """손실을 스스로 지키지 않는 모델(BasicSR의 것)의 손실이 유한한지 본다."""
        if isinstance(self.model, TrainingModel):
            return
        losses = self.model.get_current_log()
        bad = [name for name, value in losses.items() if not abs(float(value)) < float("inf")]
        self.model.guard.record(bad, iteration, getattr(self.model, "last_checkpoint", None))

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
            spent = (time.time() - messages.start_time) / (iteration - messages.start_iter + 1)
            left = spent * (self.total - iteration)
            rates = self.model.get_current_learning_rate()
            line = iteration_line(iteration, self.total, left, rates, self.model.get_current_log())
            LOGGER.info(line, extra=FOR_TERMINAL)
        return stopping

    def _agree(self, answer: bool) -> bool:
        """한 프로세스라도 그렇다고 하면 모두가 그렇다고 본다."""
        if not dist.is_initialized():
            return answer
        found = torch.tensor([float(answer)], device=self.model.device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return bool(found.item())


def _make_model(options: dict[str, Any]) -> Any:
    """모델을 짓는다. 네트워크를 짓지 못해서면 어느 네트워크인지를 말한다."""
    kind = str(options["model_type"])
    try:
        with blaming("model_type", {"type": kind}):
            return build_model(options)
    except OptionError as error:
        for key in [name for name in options if name.startswith("network_") and isinstance(options[name], dict)]:
            with blaming(key, options[key]):
                build_network(options[key])
        if error.__cause__ is not None and not is_training_model(kind):
            LOGGER.error("모델의 추적:", exc_info=error.__cause__)
        raise


def _try_validation(options: dict[str, Any], loaders: Loaders) -> None:
    """지표를 작은 이미지로 재어 보고, 검증 자료의 첫 항목을 만들어 본다. 첫 검증은 몇 시간 뒤일 수 있다."""
    if not loaders.validation or not options.get("val"):
        if loaders.validation or (options.get("val") or {}).get("metrics"):
            LOGGER.warning(
                "검증하지 않습니다. 검증 자료(datasets:val)와 val 블록이 함께 있어야 합니다(지금 없는 것: %s).",
                "val" if loaders.validation else "datasets:val",
            )
        return
    try_metrics(options["val"].get("metrics") or {})
    for loader in loaders.validation:
        dataset: Any = loader.dataset
        # 사용자의 데이터셋이 전역 난수를 써도 훈련의 난수는 움직이지 않는다.
        with seeded_globals((0,)), naming_item(f"datasets:{dataset.opt.get('phase')}({dataset.opt['name']})"):
            dataset[0]


def _resume(
    model: Any, found: tuple[Path, dict[str, Any]], changes: Any, loaders: Any, options: dict[str, Any]
) -> Place:
    """찾은 체크포인트를 모델에 싣고, 이어 갈 자리를 돌려준다."""
    path, state = found
    fresh = FreshSchedule(model)
    resume_checkpoint(model, state, path)
    fresh.follow(changes, int(state["iter"]))
    place = place_from_state(state, loaders, int(options["world_size"]))
    LOGGER.info("이어서 훈련합니다: %s (세대 %d, 반복 %d)", path, place.epoch, place.iteration)
    return place


def run_training(
    options: dict[str, Any], record: OptionRecord, auto_resume: bool = False, progress: Progress | None = None
) -> TrainResult:
    """준비한 옵션대로 훈련한다. 자료, 가중치, 모델을 모두 마련한 다음에야 앞선 실험의 폴더를 옮긴다.

    Args:
        options: `prepare_options`를 거친 옵션.
        record: 실험 폴더에 남길 옵션 파일.
        auto_resume: 온전한 체크포인트가 있으면 이어 갈지.
        progress: 반복마다 불리는 함수.

    Raises:
        TrainingError: 자료, 체크포인트, 손실에 문제가 있을 때.
    """
    with log_to_experiment(options) as open_log:
        LOGGER.info(get_env_info(), extra=FOR_FILE)
        LOGGER.info(dict2str(options), extra=FOR_FILE)
        found = find_resume_state(options, auto_resume)
        barrier()
        changes = [] if found is None else settle(options, found[1])
        loaders = build_loaders(options, is_training_model(str(options["model_type"])))
        if found is None:
            find_pretrained(options, is_training_model(str(options["model_type"])))
        else:
            point_to_networks(options, int(found[1]["iter"]))
        model = _make_model(options)
        model.schedule_values = schedule_values(options)
        if type(model) in OWN_MODELS:
            try_step(model)
        _try_validation(options, loaders)
        place = Place() if found is None else _resume(model, found, changes, loaders, options)
        archived = prepare_folders(options, record, found[0] if found else None)
        open_log()
        if archived is not None:
            LOGGER.warning("같은 이름의 앞선 실험을 옮겨 두었습니다: %s", archived)
        with boards(options) as tb_logger:
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
        checkpoint=Path(trainer.checkpoint) if trainer.checkpoint else None,
        archived=archived,
        already_complete=found is not None and place.iteration >= trainer.total,
    )
