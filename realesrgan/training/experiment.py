"""실험 하나의 바깥: 이어 할 상태를 찾고, 폴더를 마련하고, 기록할 곳을 연다."""

from __future__ import annotations

import contextlib
import importlib
import logging
import logging.handlers
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realesrgan.basicsr_bridge import get_time_str, init_tb_logger, init_wandb_logger, own_log_handlers
from realesrgan.errors import TrainingDependencyError
from realesrgan.models.checkpoint import CheckpointFolders, barrier, find_newest_valid, load_state
from realesrgan.util.files import remove_abandoned

LOGGER = logging.getLogger("basicsr")
LOG_FORMAT = "%(asctime)s %(levelname)s: %(message)s"
# 기록에 붙이는 표시(`extra`). 옵션 전체처럼 길거나 다른 도구가 읽는 것은 파일에만 적고, 사람에게는 짧게 다시 말한다.
FOR_FILE = {"reader": "file"}
FOR_TERMINAL = {"reader": "terminal"}
# 준비하는 동안 들고 있을 기록의 수. 네트워크의 구조까지 몇 줄이면 된다.
_HELD_RECORDS = 10000


@dataclass(frozen=True)
class OptionRecord:
    """실험 폴더에 남길 옵션 파일의 이름과 글."""

    name: str
    text: str


def is_for_file(record: logging.LogRecord) -> bool:
    """기록 파일에 적을 것인지."""
    return getattr(record, "reader", "file") == "file"


def is_for_terminal(record: logging.LogRecord) -> bool:
    """사람이 볼 터미널에 적을 것인지. BasicSR이 스스로 하는 말(판, 네트워크의 구조 등)은 경고부터 적는다."""
    if (reader := getattr(record, "reader", None)) is not None:
        return bool(reader == "terminal")
    return record.levelno >= logging.WARNING or "basicsr" not in Path(record.pathname).parts


def find_resume_state(options: dict[str, Any], auto_resume: bool) -> tuple[Path, dict[str, Any]] | None:
    """이어 할 상태를 찾는다. `--auto_resume`이면 온전한 것 가운데 가장 새 것, 아니면 `path:resume_state`다.

    Raises:
        CheckpointError: 지정한 상태가 온전하지 않을 때.
    """
    folders = CheckpointFolders.from_options(options)
    if auto_resume:
        return find_newest_valid(folders)
    given = options["path"].get("resume_state")
    if not given:
        return None
    own = CheckpointFolders.of_state(Path(given), folders)
    options["path"]["resume_folders"] = {"models": str(own.models), "states": str(own.states)}
    return Path(given), load_state(Path(given), own)


def _archive(folder: Path) -> Path | None:
    """앞선 실험의 폴더가 있으면 지우지 않고 이름을 바꾸어 두고, 빈 폴더를 만든다. 옮겼으면 옮긴 자리를 돌려준다."""
    target = folder.with_name(f"{folder.name}_archived_{get_time_str()}")
    number = 1
    while folder.exists() and target.exists():
        number += 1
        target = folder.with_name(f"{folder.name}_archived_{get_time_str()}_{number}")
    moved = folder.exists()
    if moved:
        folder.rename(target)
    folder.mkdir(parents=True)
    return target if moved else None


def prepare_folders(options: dict[str, Any], record: OptionRecord, state: Path | None) -> Path | None:
    """실험 폴더를 마련하고 옵션 파일을 남긴다. 자료와 가중치와 옵션을 모두 확인한 다음에 부른다.

    Args:
        options: 준비를 마친 옵션.
        record: 남길 옵션 파일.
        state: 이어 갈 상태. 이 실험의 것이면 폴더를 그대로 쓴다.

    Returns:
        같은 이름의 앞선 실험을 옮겨 둔 폴더. 옮기지 않았으면 None.
    """
    archived = None
    with_boards = options["logger"].get("use_tb_logger") and "debug" not in options["name"]
    paths = {key: Path(options["path"][key]) for key in ("experiments_root", "models", "training_states")}
    if options["rank"] == 0:
        own = Path(options["path"]["training_states"]).resolve()
        if state is None or state.resolve().parent != own:
            archived = _archive(paths["experiments_root"])
            if with_boards:
                _archive(Path(options["root_path"]) / "tb_logger" / options["name"])
        for path in (*paths.values(), Path(options["path"]["visualization"])):
            path.mkdir(parents=True, exist_ok=True)
            remove_abandoned(path)
        (paths["experiments_root"] / record.name).write_text(record.text, encoding="utf-8")
    barrier()
    return archived


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
def log_to_experiment(options: dict[str, Any]) -> Iterator[Callable[[], None]]:
    """훈련하는 동안의 기록을 실험 폴더의 파일에도 쓴다. 첫 프로세스가 아니면 오류만 알린다. 끝나면 되돌린다.

    폴더는 준비가 끝난 뒤에야 생기므로 그때까지의 기록은 들고 있다가, 돌려받은 함수를 부르면 파일에 내린다.
    """
    level = LOGGER.level
    held = logging.handlers.MemoryHandler(_HELD_RECORDS, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
    files: list[logging.Handler] = []

    def open_file() -> None:
        if options["rank"] == 0:
            path = Path(options["path"]["log"]) / f"train_{options['name']}_{get_time_str()}.log"
            handler = logging.FileHandler(path, "w", encoding="utf-8")
            handler.setFormatter(logging.Formatter(LOG_FORMAT))
            handler.addFilter(is_for_file)
            held.setTarget(handler)
            held.flush()
            files.append(handler)
            LOGGER.addHandler(handler)
        LOGGER.removeHandler(held)

    LOGGER.setLevel(logging.INFO if options["rank"] == 0 else logging.ERROR)
    LOGGER.addHandler(held)
    try:
        with own_log_handlers():
            yield open_file
    finally:
        for one in (held, *files):
            LOGGER.removeHandler(one)
            one.close()
        LOGGER.setLevel(level)


@contextlib.contextmanager
def boards(options: dict[str, Any]) -> Iterator[Any]:
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
