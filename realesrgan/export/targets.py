"""휴대전화의 런타임(runtime)들의 표. 도움말이 바로 답하도록 표준 라이브러리만 쓴다."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Shape = Literal["fixed", "dynamic"]
PRECISIONS = ("fp32", "fp16", "int8")
# 크기가 정해지지 않은 꼴의 가장 작은 한 변(배수로 나눈 것). `torch.export`는 0과 1을 다른 경우로 본다.
SMALLEST_SIDE = 4


@dataclass(frozen=True)
class MobileTarget:
    """표의 한 줄.

    Attributes:
        name: `--target`에 적는 이름.
        title: 사람이 부르는 이름.
        module: `build(model, draft, plan)`과 `open_runner(draft, plan)`을 가진 모듈.
        extension: 결과의 확장자. 점을 포함한다.
        packages: 필요한 모듈들.
        install: 그것을 설치하는 명령.
        precisions: 쓸 수 있는 정밀도와 그 뜻.
        missing: 쓸 수 없는 정밀도와 그 까닭.
        shapes: 쓸 수 있는 크기의 꼴. 첫째가 기본이다.
    """

    name: str
    title: str
    module: str
    extension: str
    packages: tuple[str, ...]
    install: str
    precisions: Mapping[str, str]
    missing: Mapping[str, str]
    shapes: tuple[Shape, ...]


_FOLDER = "realesrgan.export"
_ROWS = (
    MobileTarget(
        "ncnn",
        "ncnn",
        f"{_FOLDER}.ncnn",
        ".param",
        ("ncnn",),
        "pip install ncnn",
        {"fp32": "가중치 fp32", "fp16": "합성곱의 가중치만 fp16"},
        {"int8": "ncnn의 int8은 값까지 줄이는 것뿐이고, 가벼운 animevideov3도 37dB로 떨어집니다."},
        ("dynamic",),
    ),
    MobileTarget(
        "executorch",
        "ExecuTorch",
        f"{_FOLDER}.executorch",
        ".pte",
        ("executorch",),
        'pip install "realesrgan[executorch]" 또는 pip install executorch',
        {"fp32": "XNNPACK fp32", "fp16": "XNNPACK이 속까지 fp16으로 계산"},
        {"int8": "XNNPACK은 합성곱의 가중치만 int8로 두지 못합니다."},
        ("dynamic", "fixed"),
    ),
    MobileTarget(
        "litert",
        "LiteRT",
        f"{_FOLDER}.litert",
        ".tflite",
        ("litert_torch", "ai_edge_litert", "ai_edge_quantizer"),
        'pip install "realesrgan[litert]" 또는 pip install litert-torch',
        {"fp32": "가중치 fp32", "fp16": "가중치만 fp16", "int8": "합성곱의 가중치만 채널마다 int8"},
        {},
        ("fixed",),
    ),
    MobileTarget(
        "coreml",
        "Core ML",
        f"{_FOLDER}.coreml",
        ".mlpackage",
        ("coremltools",),
        'pip install "realesrgan[coreml]" 또는 pip install coremltools',
        {"fp32": "속까지 fp32", "fp16": "속까지 fp16", "int8": "속은 fp16, 가중치는 채널마다 int8"},
        {},
        ("fixed", "dynamic"),
    ),
)
TARGETS: Mapping[str, MobileTarget] = MappingProxyType({row.name: row for row in _ROWS})


@dataclass(frozen=True)
class MobilePlan:
    """파일 하나를 어떻게 만들지.

    Attributes:
        target: 런타임.
        precision: `PRECISIONS` 가운데 하나.
        tile: 입력의 한 변(픽셀). 크기가 정해지지 않은 꼴이면 가장 큰 한 변이다. ncnn에는 한도가 없다.
        shape: 크기가 정해진 꼴(`fixed`)인지, 아닌지(`dynamic`).
        multiple: 입력의 두 변이 맞춰야 하는 배수.
    """

    target: MobileTarget
    precision: str
    tile: int
    shape: Shape
    multiple: int


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """변환기가 화면에 쏟는 진행과 알림(시험해 보지 않은 torch의 버전 등)을 가린다. 오류는 예외로 나온다.

    변환한 것은 언제나 본래와 견주므로 알림을 볼 까닭이 없다.
    """
    hidden = io.StringIO()
    before = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(hidden), contextlib.redirect_stderr(hidden):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
