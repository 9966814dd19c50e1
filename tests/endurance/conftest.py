"""오래 견디는지 보는 시험이 함께 쓰는 것들. 크기는 환경 변수 `REALESRGAN_ENDURANCE`(기본 1)에 비례한다."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.endurance.processes import Task

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # 신호, 마운트, 자원 한도의 뜻이 다르다


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def picture_model(nearest_weights) -> list[str]:
    """최근접 2배 네트워크를 쓰는 인자. 네트워크가 아니라 파일의 길을 판단한다."""
    return ["--model_path", str(nearest_weights(2)), "-s", "2", "--device", "cpu", "--fp32"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Task]]:
    """명령을 다른 프로세스로 시작하는 함수. 시험이 끝나면 남은 프로세스를 끝낸다."""
    tasks: list[Task] = []

    def begin(command: str, *arguments: object, **options: object) -> Task:
        options.setdefault("cwd", tmp_path)
        tasks.append(Task(command, [str(one) for one in arguments], **options))  # type: ignore[arg-type]
        return tasks[-1]

    yield begin
    for task in tasks:
        task.kill()
