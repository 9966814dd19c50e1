"""이 패키지를 재는 작업자 프로세스. 엔진 하나, 정밀도 하나, 크기 하나를 맡아 메모리도 저마다 잰다.

표준 입력의 첫 줄이 작업(JSON)이고, 그다음 줄마다 한 번 키우고 답한다. 답은 `peer_worker.serve`가 보낸다.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.peer_worker import serve
from realesrgan.inference.engine import Engine
from realesrgan.inference.padding import pad_amounts
from realesrgan.inference.pixels import Pixels, join_image, split_image
from realesrgan.inference.tiling import Progress, Store, upscale_tiled

Picture = NDArray[np.uint8]


def enhance_with(engine: Engine, image: Picture) -> NDArray[Any]:
    """사진 한 장을 엔진으로 통째로 키운다. 앞뒤 처리는 `RealESRGANer.enhance`와 같다.

    Args:
        engine: 엔진.
        image: `(H, W, 3)` BGR uint8.

    Returns:
        `(H * scale, W * scale, 3)` BGR uint8.
    """

    def upscale(pixels: Pixels, store: Store, progress: Progress | None) -> None:
        padded = pixels.padded(*pad_amounts(pixels.height, pixels.width, 0, engine.multiple), 0)
        upscale_tiled(engine, padded.read, store, height=padded.height, width=padded.width, progress=progress)

    return join_image(split_image(image), upscale, engine.scale, "realesrgan", None)


def build(job: Mapping[str, Any]) -> tuple[Callable[[], NDArray[Any]], dict[str, Any]]:
    """작업을 준비하고, 한 번 키우는 함수를 돌려준다.

    Args:
        job: `engine`, `precision`, `scale`, `image`(npy), 그리고 torch면 `weights`와 `device`, 다른 엔진이면 `model`.
            있으면 `threads`.
    """
    image = np.load(job["image"])
    if job["engine"] == "torch":
        from realesrgan.inference.realesrganer import RealESRGANer

        upsampler = RealESRGANer(
            job["scale"],
            job["weights"],
            pre_pad=0,
            device=job.get("device"),
            precision=job["precision"],
            act_type=job.get("act_type"),
        )
        return lambda: upsampler.enhance(image)[0], {}
    engine = _other_engine(job)
    return lambda: enhance_with(engine, image), {}


def _other_engine(job: Mapping[str, Any]) -> Engine:
    model, threads = Path(job["model"]), job.get("threads")
    if job["engine"] == "onnxruntime":
        from realesrgan.export.onnx_model import OnnxEngine

        return OnnxEngine(model, threads)
    from realesrgan.export.openvino_model import OpenVinoEngine

    return OpenVinoEngine(model, threads)


if __name__ == "__main__":
    sys.exit(serve(build))
