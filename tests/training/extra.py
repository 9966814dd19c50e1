"""훈련 패키지가 없으면 시험 모듈을 통째로 건너뛴다."""

import importlib
import importlib.util

import pytest
import torch


def require_training_extra() -> None:
    """BasicSR이나 torchvision이 없으면 부른 모듈의 시험을 건너뛴다.

    `pytest.importorskip("basicsr")`를 쓰지 않는 까닭: 연결을 고치기 전의 BasicSR은 설치되어 있어도 import에 실패한다.
    """
    for package in ("basicsr", "torchvision", "scipy"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"훈련 패키지가 없습니다: {package}", allow_module_level=True)
    importlib.import_module("realesrgan.basicsr_bridge")
    # 시험의 텐서는 작아서 스레드를 나누면 오히려 느리고, 다른 시험과 함께 돌 때 서로 기다린다.
    torch.set_num_threads(1)
