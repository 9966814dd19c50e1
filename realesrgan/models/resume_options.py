"""이어 갈 때의 옵션: 저장할 때의 값과 지금의 값을 견주고, 바뀐 학습률과 스케줄을 따르게 한다."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from realesrgan.errors import OptionError

LOGGER = logging.getLogger("basicsr")
CHOICES = ("new", "keep")
# 훈련의 진행을 정하는 키. 이 밖의 키(기록의 간격, 자료의 자리 등)는 언제나 옵션 파일을 따른다.
_TRAIN_KEYS = ("total_iter", "warmup_iter", "ema_decay", "scheduler")
_SCHEDULE_PREFIXES = ("train:optim_", "train:scheduler")


@dataclass(frozen=True)
class Change:
    """저장할 때와 달라진 옵션 하나. 한쪽에만 있으면 다른 쪽은 None이다."""

    key: str
    before: Any
    after: Any


def schedule_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """이어 하기에 뜻이 있는 옵션을 `{"train:optim_g:lr": 0.0001}`처럼 편다. 체크포인트에 담을 수 있는 값뿐이다."""
    found: dict[str, Any] = {}
    train = options.get("train") or {}
    for key, value in train.items():
        if key.startswith("optim_") or key in _TRAIN_KEYS:
            _flatten(f"train:{key}", value, found)
    if "queue_size" in options:
        found["queue_size"] = options["queue_size"]
    return found


def _flatten(name: str, value: Any, found: dict[str, Any]) -> None:
    if isinstance(value, Mapping):
        for key, one in value.items():
            _flatten(f"{name}:{key}", one, found)
    else:
        found[name] = copy.deepcopy(value)


def find_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """달라진 옵션들. 이름의 차례로 늘어놓는다."""
    keys = sorted({*before, *after})
    return [Change(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def settle(options: dict[str, Any], state: Mapping[str, Any]) -> list[Change]:
    """저장한 상태와 지금의 옵션을 견주어 어느 것을 쓸지 정하고, 한 줄씩 기록한다.

    `path:resume_options`가 `keep`이면 저장한 값을 `options`에 되돌려 적는다. 없거나 `new`면 그대로 둔다.

    Args:
        options: 지금의 옵션. 바뀔 수 있다.
        state: 읽은 상태. 이 정보를 담지 않던 때의 것이면 견줄 것이 없다.

    Returns:
        따라야 할 바뀐 옵션들. `keep`이면 비어 있다.

    Raises:
        OptionError: `path:resume_options`의 값이 둘 가운데 하나가 아닐 때.
    """
    choice = options["path"].get("resume_options") or "new"
    if choice not in CHOICES:
        raise OptionError(
            f"모르는 값입니다: path:resume_options={choice}\n  이어 갈 때 바뀐 옵션을 어떻게 할지 알 수 없습니다.\n"
            "  해결: 바뀐 값을 따르려면 new, 저장할 때의 값을 쓰려면 keep으로 적으세요."
        )
    before = state.get("options") or _values_from_state(state, options)
    changes = find_changes(before, schedule_values(options)) if before else []
    for change in changes:
        if choice == "keep":
            _put(options, change.key, change.before)
            LOGGER.info("저장할 때의 값을 씁니다: %s=%s (옵션 파일: %s)", change.key, change.before, change.after)
        else:
            LOGGER.info("바뀐 옵션을 따릅니다: %s=%s (저장할 때: %s)", change.key, change.after, change.before)
    return changes if choice == "new" else []


def _values_from_state(state: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """옵션을 담지 않은 상태(BasicSR의 것)에서 학습률을 읽는다. 나머지는 지금의 값과 같다고 본다."""
    values = schedule_values(options)
    names = [key for key in (options.get("train") or {}) if key.startswith("optim_")]
    for name, optimizer in zip(names, state.get("optimizers", ()), strict=False):
        group = optimizer["param_groups"][0]
        values[f"train:{name}:lr"] = group.get("initial_lr", group["lr"])
    for name in ("gamma", "milestones"):
        saved = [one.get(name) for one in state.get("schedulers", ())][:1]
        if f"train:scheduler:{name}" in values and saved and saved[0] is not None:
            values[f"train:scheduler:{name}"] = sorted(saved[0]) if isinstance(saved[0], Mapping) else saved[0]
    return values


def _put(options: dict[str, Any], key: str, value: Any) -> None:
    *blocks, last = key.split(":")
    target = options
    for block in blocks:
        target = target.setdefault(block, {})
    if value is None:
        target.pop(last, None)
    else:
        target[last] = copy.deepcopy(value)


class FreshSchedule:
    """갓 지은 옵티마이저와 스케줄러의 모습. 저장한 상태로 덮은 뒤 바뀐 옵션만 되돌리는 데 쓴다.

    Args:
        model: 아직 상태를 되돌리지 않은 모델. BasicSR처럼 `optimizers`와 `schedulers`가 있다.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._groups = [
            [{key: value for key, value in group.items() if key != "params"} for group in one.param_groups]
            for one in model.optimizers
        ]
        self._groups = copy.deepcopy(self._groups)
        self._optimizers = [copy.deepcopy(one.state_dict()) for one in model.optimizers]
        self._schedulers = [copy.deepcopy(one.state_dict()) for one in model.schedulers]

    def follow(self, changes: list[Change], iteration: int) -> None:
        """바뀐 학습률, 옵티마이저의 값, 스케줄을 따르게 한다. 모멘텀(momentum) 같은 상태는 이어진다.

        Args:
            changes: `settle`이 돌려준 것.
            iteration: 이어 가는 반복. 새 스케줄이 처음부터 여기까지 온 것처럼 학습률을 맞춘다.
        """
        keys = [change.key for change in changes if change.key.startswith(_SCHEDULE_PREFIXES)]
        if not keys:
            return
        retyped = any(key.startswith("train:optim_") and key.endswith(":type") for key in keys)
        for optimizer, groups, fresh in zip(self.model.optimizers, self._groups, self._optimizers, strict=True):
            if retyped:
                optimizer.load_state_dict(fresh)
            for group, values in zip(optimizer.param_groups, groups, strict=True):
                group.update(copy.deepcopy(values))
        for scheduler, fresh in zip(self.model.schedulers, self._schedulers, strict=True):
            scheduler.load_state_dict(copy.deepcopy(fresh))
            with warnings.catch_warnings():
                # 옵티마이저를 움직이지 않고 스케줄만 되풀이하는 것이라 차례의 경고는 뜻이 없다.
                warnings.simplefilter("ignore")
                for group, values in zip(scheduler.optimizer.param_groups, self._groups_of(scheduler), strict=True):
                    group["lr"] = values["lr"]
                for _ in range(max(iteration - 1, 0)):
                    scheduler.step()
        if retyped:
            LOGGER.info("옵티마이저의 종류가 바뀌어 모멘텀은 처음부터 다시 시작합니다.")

    def _groups_of(self, scheduler: Any) -> list[dict[str, Any]]:
        return self._groups[next(i for i, one in enumerate(self.model.optimizers) if one is scheduler.optimizer)]
