"""`--tune`: 이 기계에서 재어 고른 것을 표로 보이고 기억한다."""

from __future__ import annotations

import argparse

from realesrgan.cli.arguments import AUTO, build_model
from realesrgan.cli.console import EXIT_DONE, EXIT_SOME_FAILED, say, say_error
from realesrgan.inference.tuning import Tuning, describe, tune
from realesrgan.util.files import os_reason


def run_tune(args: argparse.Namespace) -> int:
    """인자가 고른 모델로 재고, 고른 것을 적는다. 종료 코드를 돌려준다.

    Raises:
        RealESRGANError: 모델을 실을 수 없거나 잴 수 있는 엔진이 없을 때.
    """
    from realesrgan.inference.engines.base import engine_packages
    from realesrgan.inference.engines.choices import remember

    plain = {"backend": "torch", "precision": "fp32", "device": "cpu", "gpu_id": None}
    model = build_model(argparse.Namespace(**{**vars(args), **plain}))
    say(f"{model.name}에 가장 빠른 것을 잽니다. 2분을 넘지 않습니다.")
    found = tune(model, device=args.device or AUTO, tell=lambda line: say_error(f"  {line}"))
    say(table(found))
    try:
        path = remember(model.network, engine_packages(), found.choice)
    except OSError as error:
        reason, remedy = os_reason(error)
        say_error(f"고른 것을 적을 수 없습니다.\n  이유: {reason}\n  해결: {remedy}")
        return EXIT_SOME_FAILED
    choice = found.choice
    say(f"이제부터 {choice.backend} {choice.device} {choice.precision}을 씁니다. 적은 곳: {path}")
    return EXIT_DONE


def table(found: Tuning) -> str:
    """잰 것을 빠른 차례의 표로 적는다."""
    measured = sorted((one for one in found.timings if one.seconds is not None), key=lambda one: one.seconds or 0.0)
    lines = [f"입력 {found.side}x{found.side}, 빠른 차례:"]
    lines += [f"  {describe(one)}" for one in measured]
    lines += [f"  {describe(one)}" for one in found.timings if one.seconds is None]
    if found.strips:
        parts = [f"{rows}줄 {seconds * 1e6:.2f}" for rows, seconds in found.strips.items()]
        lines.append(f"띠의 높이(픽셀마다 백만분의 초): {', '.join(parts)}")
    if found.workers:
        parts = [f"{count}개 {seconds:.3f}초" for count, seconds in found.workers.items()]
        lines.append(f"비디오의 작업자(프레임마다): {', '.join(parts)}")
    return "\n".join(lines)
