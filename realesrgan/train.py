"""훈련 명령: `python realesrgan/train.py -opt options/X.yml`."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

if __package__ in (None, ""):
    # 파일로 실행하면 이 폴더가 검색 경로의 맨 앞에 놓인다. `data` 같은 이름이 남의 꾸러미를 가리지 않게 바꾼다.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from realesrgan.errors import RealESRGANError, UsageError

EXIT_FAILED = 1
EXIT_USAGE = 2


@contextlib.contextmanager
def _progress_bar(total: int, shown: bool) -> Iterator[object]:
    """터미널이면 남은 시간, 손실, 자료를 기다린 시간을 보여 주는 진행 막대를 연다."""
    if not shown:
        yield None
        return
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    with logging_redirect_tqdm([logging.getLogger("basicsr")]), tqdm(total=total, unit="it", dynamic_ncols=True) as bar:

        def update(iteration: int, logs: dict[str, float], waited: float) -> None:
            bar.set_postfix(
                {name: f"{value:.3e}" for name, value in logs.items()} | {"대기": f"{waited:.3f}s"}, refresh=False
            )
            if bar.n == 0:
                # 이어 가는 훈련이면 앞서 걸은 만큼을 속도에 넣지 않는다.
                bar.initial = bar.n = iteration - 1
            bar.update(iteration - bar.n)

        yield update


def _run(arguments: Sequence[str] | None) -> None:
    from realesrgan.training import distributed
    from realesrgan.training.options import apply_debug, apply_force_yml, build_parser, load_yaml, prepare_options

    given = build_parser().parse_args(arguments)
    options = load_yaml(given.opt)
    if given.force_yml:
        apply_force_yml(options, given.force_yml)
    import torch

    from realesrgan.basicsr_bridge import set_random_seed
    from realesrgan.training.loop import train
    from realesrgan.training.option_schema import check_options, import_user_modules

    import_user_modules()
    check_options(options)
    if given.debug:
        apply_debug(options)
    rank, world_size = distributed.start(given.launcher, options.get("dist_params"))
    try:
        options["manual_seed"] = distributed.agree_on_seed(options.get("manual_seed"))
        set_random_seed(options["manual_seed"] + rank)
        torch.backends.cudnn.benchmark = True
        distributed_run = given.launcher != "none"
        prepare_options(options, Path.cwd(), rank=rank, world_size=world_size, distributed=distributed_run)
        with _progress_bar(int(options["train"]["total_iter"]), rank == 0 and sys.stderr.isatty()) as progress:
            train(options, Path(given.opt), given.auto_resume, progress)  # type: ignore[arg-type]
    finally:
        distributed.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """훈련을 실행하고 종료 코드를 돌려준다. 0은 마침, 1은 실패, 2는 잘못 쓴 명령이다."""
    try:
        _run(arguments)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    except RealESRGANError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
