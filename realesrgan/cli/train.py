"""훈련 명령. 인자를 읽어 `realesrgan.training.api.train`을 부른다."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from realesrgan.cli.arguments import Formatter, Parser
from realesrgan.cli.console import EXIT_DONE, EXIT_INTERRUPTED, ConsoleHandler, guarded, say, say_error

if TYPE_CHECKING:
    from realesrgan.training.api import TrainProgress, TrainResult

EPILOG = """예:
  python realesrgan/train.py -opt options/finetune_realesrgan_x4plus.yml --auto_resume
  python realesrgan/train.py -opt options/quickstart_cpu.yml --force_yml train:total_iter=200 name=try
  python realesrgan/train.py -opt my.yml --plugin my_arch.py
  torchrun --nproc_per_node=2 realesrgan/train.py -opt my.yml --launcher pytorch

결과: 작업 폴더의 experiments/이름/ 아래에 가중치(models/net_g_latest.pth), 체크포인트, 기록이 남습니다.
Ctrl-C와 SIGTERM: 하던 반복을 마치고 체크포인트를 저장한 뒤 멈춥니다. 한 번 더 보내면 저장하지 않고 바로 멈춥니다.
종료 코드: 0 마침, 1 실패, 2 잘못된 사용, 130 Ctrl-C, 143 SIGTERM."""


# 터미널의 기록에 적는 시각.
TIME = "%m-%d %H:%M:%S"


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = Parser(
        prog="train.py",
        description="옵션 파일(YAML)대로 Real-ESRGAN을 훈련합니다. 훈련 패키지(BasicSR, torchvision)가 필요합니다.",
        epilog=EPILOG,
        formatter_class=Formatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser._optionals.title = "옵션"
    add = parser.add_argument
    add("-opt", required=True, metavar="YAML", help="옵션 파일의 경로. 시작할 만한 것이 options/ 폴더에 있습니다.")
    add("--auto_resume", action="store_true", help="온전한 체크포인트 가운데 가장 새 것에서 이어 갑니다.")
    add(
        "--force_yml",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="옵션 파일의 값을 덮어씁니다. 예: train:total_iter=1000",
    )
    add(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="먼저 불러올 파이썬 파일이나 폴더. 직접 만든 네트워크나 데이터셋을 등록하는 파일입니다. "
        "여러 번 줄 수 있습니다.",
    )
    add(
        "--launcher",
        choices=["none", "pytorch", "slurm"],
        default="none",
        help="여러 프로세스를 띄운 쪽. torchrun이면 pytorch를 씁니다. 기본: none",
    )
    add(
        "-v",
        "--verbose",
        action="store_true",
        help="옵션 전체, 네트워크의 구조, BasicSR의 말까지 보입니다. 실험 폴더의 기록 파일에는 늘 남습니다.",
    )
    add("--debug", action="store_true", help="이름 앞에 debug_를 붙이고 8번마다 저장하고 검증합니다.")
    add(
        "--local_rank",
        "--local-rank",
        type=int,
        default=0,
        metavar="N",
        help="예전 실행기가 주는 값. 읽기만 하고 쓰지 않습니다.",
    )
    add("-h", "--help", action="help", help="이 도움말을 보입니다.")
    return parser


class _PlainFormatter(logging.Formatter):
    """사람에게 보일 꼴: 시각과 말. 경고와 오류는 그렇다고 적고, 남의 코드가 낸 오류의 추적(traceback)은 둔다."""

    def format(self, record: logging.LogRecord) -> str:
        """기록 하나를 글로 바꾼다."""
        level = "오류: " if record.levelno >= logging.ERROR else "경고: " if record.levelno >= logging.WARNING else ""
        text = f"{self.formatTime(record, TIME)} {level}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


@contextlib.contextmanager
def _log_to_terminal(verbose: bool) -> Iterator[None]:
    """훈련의 기록을 진행 막대를 깨지 않고 표준 오류에 보인다. 끝나면 되돌린다.

    Args:
        verbose: 기록 파일과 같은 것을 보일지. 아니면 사람이 볼 것만 보인다.
    """
    from realesrgan.training.experiment import LOG_FORMAT, is_for_file, is_for_terminal

    logger, handler = logging.getLogger("basicsr"), ConsoleHandler()
    handler.setFormatter(logging.Formatter(LOG_FORMAT) if verbose else _PlainFormatter())
    handler.addFilter(is_for_file if verbose else is_for_terminal)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextlib.contextmanager
def _progress_bar(shown: bool) -> Iterator[Callable[[TrainProgress], None] | None]:
    """남은 시간, 손실, 자료를 기다린 시간을 보여 주는 진행 막대를 옮기는 함수를 준다. 보이지 않을 때는 None을 준다."""
    if not shown:
        yield None
        return
    from tqdm import tqdm

    with contextlib.ExitStack() as stack:
        bars: list[Any] = []

        def update(now: TrainProgress) -> None:
            if not bars:
                # 이어 가는 훈련이면 앞서 마친 만큼을 속도에 넣지 않는다.
                bar = tqdm(total=now.total, initial=now.iteration - 1, unit="it", dynamic_ncols=True)
                bars.append(stack.enter_context(bar))
            shown = {name: f"{value:.3e}" for name, value in now.losses.items()}
            bars[0].set_postfix(shown | {"대기": f"{now.waited:.3f}s"}, refresh=False)
            bars[0].update(now.iteration - bars[0].n)

        yield update


def _is_first(launcher: str) -> bool:
    """이 프로세스가 첫 프로세스인지. 여럿이면 띄운 쪽이 환경 변수로 알려 준다."""
    name = {"pytorch": "RANK", "slurm": "SLURM_PROCID"}.get(launcher)
    return name is None or os.environ.get(name, "0") == "0"


class StopRequest:
    """Ctrl-C와 SIGTERM을 받아 하던 반복까지만 하고 멈추게 한다. 클러스터가 작업을 거둘 때도 체크포인트가 남는다.

    훈련이 아직 시작하지 않았거나 두 번째 신호면 곧바로 멈춘다.
    """

    def __init__(self) -> None:
        self.number = 0
        self.training = False

    def __enter__(self) -> StopRequest:
        # 신호는 주 스레드에서만 걸 수 있다.
        with contextlib.suppress(ValueError):
            self._before = [(one, signal.signal(one, self._receive)) for one in (signal.SIGINT, signal.SIGTERM)]
        return self

    def __exit__(self, *_error: object) -> None:
        for one, handler in getattr(self, "_before", ()):
            signal.signal(one, handler)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.number or not self.training:
            self.number = number
            raise KeyboardInterrupt
        self.number = number
        # 같은 스트림에 쓰던 도중일 수 있다. 그때 이 스레드에서 쓰면 RuntimeError(reentrant call)로 훈련이 죽는다.
        text = "멈추라는 신호를 받았습니다. 하던 반복을 마치고 체크포인트를 저장합니다(한 번 더 보내면 바로 멈춥니다)."
        threading.Thread(target=say_error, args=(text,), daemon=True).start()

    def __call__(self, _now: TrainProgress) -> bool:
        """반복마다 불린다. 멈춰야 하면 False."""
        self.training = True
        return not self.number

    @property
    def exit_code(self) -> int:
        """셸의 관례대로 128에 신호의 번호를 더한 것."""
        return 128 + (self.number or signal.SIGINT)


def _report(result: TrainResult, stop: StopRequest) -> None:
    if stop.number and not result.complete:
        say_error(f"반복 {result.iterations}에서 멈추고 체크포인트를 저장했습니다: {result.checkpoint or '없음'}")
        say_error("이어 가려면 같은 명령에 --auto_resume을 더하세요.")
    else:
        if result.already_complete:
            say(f"이미 마친 훈련입니다(반복 {result.iterations}). 더 하려면 train:total_iter를 늘리세요.")
        say(f"가중치: {result.weights}")
        best = result.weights.with_name("net_g_best.pth")
        used = best if best.is_file() else result.weights
        if used is best:
            say(f"지표가 가장 좋았던 가중치: {best}")
        say(f"사진을 키우려면: python inference_realesrgan.py --model_path {shlex.quote(str(used))} -i inputs")
    if result.archived is not None:
        say(f"같은 이름의 앞선 실험은 여기에 옮겨 두었습니다: {result.archived}")


def _work(argv: Sequence[str] | None, stop: StopRequest) -> int:
    given = build_parser().parse_args(argv)
    from realesrgan.training.api import train
    from realesrgan.training.options import parse_force_yml

    overrides = parse_force_yml(given.force_yml)
    first = _is_first(given.launcher)
    shown = first and sys.stderr is not None and sys.stderr.isatty()
    with stop, _log_to_terminal(given.verbose), _progress_bar(shown) as show:

        def progress(now: TrainProgress) -> bool:
            if show is not None:
                show(now)
            return stop(now)

        result = train(
            given.opt,
            overrides=overrides,
            launcher=given.launcher,
            auto_resume=given.auto_resume,
            debug=given.debug,
            plugins=given.plugin,
            progress=progress,
        )
    if first:
        _report(result, stop)
    return stop.exit_code if stop.number and not result.complete else EXIT_DONE


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다. 0은 마침, 1은 실패, 2는 잘못된 사용, 130과 143은 중단이다."""
    stop = StopRequest()
    code = guarded(
        lambda: _work(argv, stop),
        "중단했습니다. 마지막 체크포인트에서 이어 가려면 같은 명령에 --auto_resume을 더하세요.",
    )
    return stop.exit_code if code == EXIT_INTERRUPTED else code
