"""이 패키지를 재는 작업자 프로세스. 엔진 하나, 정밀도 하나, 크기 하나를 맡아 메모리도 저마다 잰다.

표준 입력의 첫 줄이 작업(JSON)이고, 그다음 줄마다 한 번 키우고 답한다. 답은 `peer_worker.serve`가 보낸다.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.peer_worker import serve
from realesrgan.inference.model import load


def build(job: Mapping[str, Any]) -> tuple[Callable[[], NDArray[Any]], dict[str, Any]]:
    """작업을 준비하고, 통째로(타일 없이) 한 번 키우는 함수를 돌려준다.

    Args:
        job: `weights`(파일), `backend`, `precision`, `device`, `image`(npy). 있으면 `act_type`.
    """
    image = np.load(job["image"])
    model = load(
        job["weights"],
        backend=job["backend"],
        precision=job["precision"],
        device=job["device"],
        tile=0,
        act_type=job.get("act_type"),
        default_strength=1,
    )
    upscaler = model.upscaler
    return lambda: upscaler.upscale(image), {}


if __name__ == "__main__":
    sys.exit(serve(build))
