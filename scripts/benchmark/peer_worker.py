"""다른 인터프리터에서 PyPI의 `realesrgan` 0.3.0을 재는 작업자.

이 파일은 이 패키지의 무엇도 불러오지 않는다. 그쪽 인터프리터의 `realesrgan`은 다른 패키지이기 때문이다. 표준 입력으로
JSON 한 줄씩
명령을 받고 표준 출력으로 답한다. 약속은 `worker.py`와 같다.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
import traceback
import types
from collections.abc import Callable
from typing import Any


def prepare_torchvision() -> Any:
    """BasicSR이 찾는, 지금의 torchvision에 없는 모듈과 실리지 않는 확장의 연산자를 마련한다."""
    import importlib.util
    from pathlib import Path

    import torch

    spec = importlib.util.find_spec("torchvision")
    loaded = False
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for library in sorted(Path(folder).glob("_C*")):
            try:
                torch.ops.load_library(str(library))
                loaded = True
            except OSError:
                # CPU 버전의 torch 곁에 있는 CUDA 버전의 확장이다. 연산자의 꼴만 있으면 import는 된다.
                continue
    kept = None
    if not loaded:
        kept = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            kept.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision.transforms import functional

    name = "torchvision.transforms.functional_tensor"
    if importlib.util.find_spec(name) is None:
        shim = types.ModuleType(name)
        shim.rgb_to_grayscale = functional.rgb_to_grayscale  # type: ignore[attr-defined]
        sys.modules[name] = shim
    return kept


def build(job: dict[str, Any]) -> tuple[Callable[[], Any], dict[str, Any]]:
    """작업을 준비하고, 한 번 키우는 함수와 그 패키지의 버전를 돌려준다."""
    import numpy as np

    kept = prepare_torchvision()
    if job["arch"] == "RRDBNet":
        from basicsr.archs.rrdbnet_arch import RRDBNet as Network
    else:
        from realesrgan.archs.srvgg_arch import SRVGGNetCompact as Network
    from realesrgan import RealESRGANer

    network = Network(**job["arch_args"])
    upsampler = RealESRGANer(
        scale=job["scale"], model_path=job["weights"], model=network, tile=0, tile_pad=10, pre_pad=0, half=False
    )
    image = np.load(job["image"])
    version = importlib.metadata.version("realesrgan")
    return lambda: upsampler.enhance(image, outscale=job["scale"])[0], {"version": version, "kept": kept}


def peak_bytes() -> int | None:
    """이 프로세스가 가장 많이 쓴 메모리(바이트). 알 수 없으면 None."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123  이 파일만으로 돌아야 한다
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def serve(prepare: Callable[[dict[str, Any]], tuple[Callable[[], Any], dict[str, Any]]]) -> int:
    """명령을 받아 답한다. 패키지들이 찍는 글이 답에 섞이지 않도록 표준 출력을 오류 쪽으로 돌린다."""
    import numpy as np

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        work, details = prepare(json.loads(sys.stdin.readline()))
        answer({"ready": True, "version": details.get("version")})
        for line in sys.stdin:
            command = json.loads(line)
            began = time.perf_counter()
            output = work()
            seconds = time.perf_counter() - began
            if command.get("save"):
                np.save(command["save"], output)
            answer({"seconds": seconds, "peak": peak_bytes()})
    except Exception as error:
        traceback.print_exc()
        answer({"error": f"{type(error).__name__}: {error}"})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(serve(build))
