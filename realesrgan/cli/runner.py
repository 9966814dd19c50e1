"""두 명령이 함께 쓰는 틀: 일을 정하고, 프로세스들이 나누어 하고, 결과를 모아 보고하고, 종료 코드를 정한다.

무엇을 키우는지는 모른다. 일과 결과, 일 하나를 하는 방법은 `Command`가 준다. torchrun이 띄운 여러 프로세스(rank)의 일도
여기서 맞춘다.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from realesrgan.cli.console import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    Progress,
    say,
    say_error,
    shown,
)
from realesrgan.errors import RealESRGANError, ReportError, UsageError
from realesrgan.media.formats import is_image_name
from realesrgan.util.files import (
    describe_system_error,
    expand_user,
    make_writable_folder,
    os_reason,
    write_atomically,
)
from realesrgan.util.machine import available_cores
from realesrgan.util.numbers import describe_spent
from realesrgan.version import __version__

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

logger = logging.getLogger(__name__)

T = TypeVar("T")

INTERRUPTED = "사용자가 중단했습니다."
# 먼저 끝난 프로세스는 가장 느린 프로세스를 기다린다. 큰 폴더는 며칠이 걸릴 수 있다.
GATHER_TIMEOUT = timedelta(days=30)
# 처음 이어지는 데에는 그만큼 걸리지 않는다. 띄운 쪽이 이미 죽었으면 여기서 그친다.
CONNECT_TIMEOUT = timedelta(minutes=10)
# torchrun이 프로세스를 여럿 띄웠는지. 클러스터가 WORLD_SIZE만 심어 둔 컨테이너에서 오지 않을 동료를 기다리지 않도록
# torchrun의 표시도 본다.
TORCHRUN = "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE") != "1"


@dataclass(frozen=True)
class Status:
    """일이 끝난 상태.

    Attributes:
        word: 사람에게 보일 말.
        code: 모든 일이 이 상태일 때의 종료 코드.
    """

    word: str
    code: int


STATUSES = {
    "done": Status("완료", EXIT_DONE),
    "failed": Status("실패", EXIT_SOME_FAILED),
    "refused": Status("시작할 수 없음", EXIT_USAGE),
    "skipped": Status("건너뜀", EXIT_DONE),
    "waiting": Status("다른 몫을 기다림", EXIT_DONE),
    "interrupted": Status("중단", EXIT_INTERRUPTED),
}


@dataclass(frozen=True)
class Result:
    """일 하나의 결과. 명령마다 제 것을 더한다. 칸의 이름이 곧 보고서의 키다.

    Attributes:
        input, output: 입력과 결과의 이름.
        status: `STATUSES`의 하나.
        seconds: 걸린 시간(초).
        model: 모델 이름이나 가중치의 경로.
        reason: 실패나 건너뜀의 이유.
        notes: 결과에 담지 못해 포기한 것과 알릴 것.
    """

    input: str
    output: str
    status: str
    seconds: float = 0.0
    model: str | None = None
    reason: str | None = None
    notes: tuple[str, ...] = ()

    def details(self) -> tuple[str, list[str]]:
        """끝난 일을 설명하는 `(첫 줄에 이을 글, 다음 줄들)`. 명령마다 제 것을 적는다."""
        return f" -> {shown(self.output)}", []

    def describe(self) -> str:
        """사람이 읽는 글로 적는다."""
        head, lines = self.details() if self.status == "done" else ("", [])
        reasons = self.reason.splitlines() if self.reason else []
        more = [*lines, *reasons, *(f"알림: {note}" for note in self.notes)]
        return "\n    ".join((f"{STATUSES[self.status].word}: {shown(self.input)}{head}", *more))


class Job(Protocol):
    """일 하나."""

    @property
    def input(self) -> str:
        """보일 이름."""
        ...

    @property
    def weight(self) -> int:
        """걸릴 시간에 비례하는 수. 프로세스에 고르게 나누고 남은 시간을 어림하는 데 쓴다."""
        ...

    @property
    def paths(self) -> Sequence[Path]:
        """읽고 쓸 파일들. 보고서가 이들을 덮어쓰면 안 된다."""
        ...


J = TypeVar("J", bound=Job)
R = TypeVar("R", bound=Result)


class Command(ABC, Generic[J, R]):
    """명령이 틀에 주는 것.

    Attributes:
        together: 모든 프로세스가 일 하나를 함께 하는지. 아니면 일을 나누어 맡는다.
        refusals: 실패가 아니라 시작할 수 없음으로 칠 예외들.
        describe: 끝난 일을 사람에게 알릴 글을 주는 함수.
        tell: 알리는 말을 쓰는 함수. 표준 출력으로 결과를 내보내면 표준 오류에 써야 한다.
        tell_failure: 실패한 일을 알리는 함수.
        farewell: 중단되었을 때 끝으로 알릴 말.
        memory_remedy: 메모리가 모자랄 때 알릴 해결.
        again: 다시 실행할 때 마친 것을 건너뛰게 하는 옵션.
    """

    together = False
    refusals: tuple[type[Exception], ...] = ()
    describe: Callable[[Any], str] = staticmethod(Result.describe)
    tell: Callable[[str], None] = staticmethod(say)
    tell_failure: Callable[[str], None] = staticmethod(say)
    farewell = ""
    memory_remedy = "다른 프로그램을 닫고 다시 하세요."
    again = "--skip_existing"

    @abstractmethod
    def plan(self, ranks: Ranks) -> list[J]:
        """일을 정한다. 첫 프로세스만 부른다.

        Raises:
            RealESRGANError: 시작할 수 없을 때.
        """

    def prepare(self, jobs: Sequence[J], ranks: Ranks) -> None:
        """모델을 싣는 것처럼 이 프로세스의 일들에 필요한 준비를 한다. 모든 프로세스가 부른다.

        Raises:
            RealESRGANError: 준비할 수 없을 때.
        """

    @abstractmethod
    def process(self, job: J, progress: Callable[[int, int], None]) -> R:
        """일 하나를 한다. 예외는 틀이 실패로 적는다."""

    def overlaps(self, job: J) -> bool:
        """다른 일의 읽기와 쓰기에 겹쳐 해도 되는 작은 일인지. 그러면 `process`를 두 스레드가 함께 부른다."""
        del job
        return False

    @abstractmethod
    def result(self, job: J, status: str, reason: str | None = None) -> R:
        """하지 못한 일의 결과."""

    @abstractmethod
    def estimate(self, jobs: Sequence[J], ranks: Ranks) -> bool:
        """하지 않고 무엇을 할지 보인다. 모두 할 수 있으면 참."""


def run_command(
    command: Command[J, R], *, report: str | None = None, dry_run: bool = False, shard: tuple[int, int] = (0, 1)
) -> int:
    """명령의 일을 모두 한다.

    Args:
        command: 명령.
        report: JSON 보고서의 경로. 없으면 쓰지 않는다.
        dry_run: 무엇을 할지 보이기만 할지.
        shard: `(몫의 번호, 몫의 수)`. 모든 일을 정한 뒤 번호를 몫의 수로 나눈 나머지가 같은 것만 한다. 그래서 결과의
            이름은 나누지 않은 것과 같고, 따로 띄운 프로세스들의 몫은 겹치지도 빠지지도 않는다.

    Returns:
        종료 코드. 0 모두 완료, 1 일부 실패, 2 잘못된 사용, 130 중단.

    Raises:
        RealESRGANError: `dry_run`에서 준비할 수 없을 때.
    """
    started = time.perf_counter()
    with join_ranks() if TORCHRUN else nullcontext(Ranks()) as ranks:
        try:
            jobs = ranks.agree(lambda: command.plan(ranks)) if TORCHRUN else command.plan(ranks)
            jobs = jobs[shard[0] :: shard[1]]
            if report and not dry_run:
                paths = [path for job in jobs for path in job.paths]
                ranks.agree(lambda: check_report_path(expand_user(report), paths))
        except RealESRGANError as error:
            if ranks.leads:
                say_error(str(error))
            return EXIT_USAGE
        if dry_run:
            fine = not ranks.leads or command.estimate(jobs, ranks)
            return EXIT_DONE if fine else EXIT_SOME_FAILED
        if command.together or not TORCHRUN:
            results = _work_through(command, list(enumerate(jobs)), ranks)
        else:
            shares = share_jobs(jobs, ranks.size)
            results = _work_through(command, [(index, jobs[index]) for index in shares[ranks.rank]], ranks)
            results = _gather(command, jobs, shares, results, ranks)
        return _conclude(command, results, ranks, report, time.perf_counter() - started)


def _work_through(command: Command[J, R], numbered: Sequence[tuple[int, J]], ranks: Ranks) -> list[R]:
    """이 프로세스의 일을 차례로 한다. 준비가 실패하면 모두 그 이유로 실패로, 중단되면 남은 것을 중단으로 적는다."""
    jobs = [job for _, job in numbered]
    try:
        command.prepare(jobs, ranks)
    except RealESRGANError as error:
        say_error(str(error))
        reason = str(error).splitlines()[0]
        return [command.result(job, "failed", reason) for job in jobs]
    results: list[R] = []
    pool = _Overlap(command, jobs) if ranks.size == 1 and len(jobs) > 1 else None
    # 일 하나를 모두 함께 하면 막대는 그 일이 그린다. 여러 프로세스가 한 터미널에 그리면 섞인다.
    drawn = ranks.size == 1 and not command.together and sys.stderr is not None and sys.stderr.isatty()
    progress = Progress(len(jobs), sum(job.weight for job in jobs), True) if drawn else None
    try:
        for count, (index, job) in enumerate(numbered, 1):
            update = progress.start(Path(job.input).name, job.weight) if progress else lambda _done, _total: None
            held = pool is not None and count - 1 in pool.places
            results.append(pool.take(count - 1) if pool and held else _attempt(command, job, update))
            if ranks.size > 1:
                ranks.publish(f"job/{index}", results[-1])
            tell = command.tell if STATUSES[results[-1].status].code == EXIT_DONE else command.tell_failure
            if progress is not None:
                progress.finish(command.describe(results[-1]), tell)
            elif ranks.leads or not command.together:
                tell(f"[{count}/{len(jobs)}] {command.describe(results[-1])}")
            if results[-1].status == "interrupted" or (pool and pool.stopped):
                break
    except KeyboardInterrupt:
        logger.info("결과를 알리다가 중단되었습니다.")
    finally:
        if progress is not None:
            progress.close()
        rest = pool.close() if pool else {}
    left = range(len(results), len(jobs))
    return results + [rest.get(place) or command.result(jobs[place], "interrupted", INTERRUPTED) for place in left]


class _Overlap(Generic[J, R]):
    """작은 일 둘을 두 스레드로 겹쳐 한다. 한 일을 읽고 쓰는 동안 다른 일이 계산한다.

    Args:
        command: 명령.
        jobs: 차례로 할 일들. 겹치지 않게 하려면 비운다.

    Attributes:
        places: 맡은 일들의 자리.
    """

    def __init__(self, command: Command[J, R], jobs: Sequence[J]) -> None:
        places = {place for place, job in enumerate(jobs) if command.overlaps(job)}
        # 하나뿐이면 겹칠 것이 없다.
        self.places = places if len(places) > 1 else set()
        self._command, self._jobs = command, jobs
        self._pool = ThreadPoolExecutor(2, "realesrgan-overlap") if self.places else None
        self._futures: dict[int, Future[R]] = {}
        self.stopped = False

    def take(self, place: int) -> R:
        """그 자리의 일의 결과를 기다린다. 다음 자리의 일도 시작해 둔다."""
        for one in (place, place + 1):
            if one in self.places and one not in self._futures and self._pool is not None and not self.stopped:
                self._futures[one] = self._pool.submit(_attempt, self._command, self._jobs[one], self._check)
        try:
            return self._futures[place].result()
        except KeyboardInterrupt:
            # 하던 일은 곧 그치거나 끝난다. 끝났으면 끝난 것으로 적는다.
            self.stopped = True
            return self._futures[place].result()

    def _check(self, _done: int, _total: int) -> None:
        if self.stopped:
            raise KeyboardInterrupt

    def close(self) -> dict[int, R]:
        """하던 일을 거두고, 시작한 일들의 결과를 자리마다 돌려준다."""
        if self._pool is None:
            return {}
        self._pool.shutdown(wait=True, cancel_futures=True)
        return {place: future.result() for place, future in self._futures.items() if not future.cancelled()}


def _attempt(command: Command[J, R], job: J, progress: Callable[[int, int], None]) -> R:
    """일 하나를 한다. 어떤 실패도 이유가 되어 결과에 담기고 다음 일로 넘어간다."""
    started = time.perf_counter()
    try:
        return command.process(job, progress)
    except KeyboardInterrupt:
        result = command.result(job, "interrupted", INTERRUPTED)
    except command.refusals as error:
        result = command.result(job, "refused", str(error))
    except RealESRGANError as error:
        result = command.result(job, "failed", str(error))
    except Exception as error:
        reason = describe_system_error(error, command.memory_remedy)
        if reason is None:
            # 한 일의 뜻밖의 오류가 남은 일을 막지 않게 한다. 흔적은 로그에 남긴다.
            logger.exception("뜻밖의 오류입니다: %s", job.input)
            reason = f"뜻밖의 오류입니다: {type(error).__name__}: {error}"
        result = command.result(job, "failed", reason)
    return replace(result, seconds=round(time.perf_counter() - started, 3))


def _gather(
    command: Command[J, R], jobs: Sequence[J], shares: Sequence[Sequence[int]], results: list[R], ranks: Ranks
) -> list[R]:
    """모든 프로세스의 결과를 일의 순서로 모은다. 중단되었으면 기다리지 않고 저장소에 남은 것까지만 모은다."""
    if not any(result.status == "interrupted" for result in results):
        try:
            parts = zip(shares, ranks.gather(results), strict=True)
            found = {index: one for share, part in parts for index, one in zip(share, part, strict=True)}
            return [found[index] for index in range(len(jobs))]
        except KeyboardInterrupt:
            logger.info("결과를 모으다가 중단되었습니다.")
    found = dict(zip(shares[ranks.rank], results, strict=True))
    for index, job in enumerate(jobs):
        if index not in found:
            missing = command.result(job, "interrupted", INTERRUPTED)
            found[index] = ranks.published(f"job/{index}", type(missing)) or missing
    return [found[index] for index in range(len(jobs))]


def _conclude(command: Command[J, R], results: Sequence[R], ranks: Ranks, report: str | None, seconds: float) -> int:
    """요약하고 보고서를 쓰고 종료 코드를 정한다."""
    code, summary = conclusion([result.status for result in results], seconds)
    if not ranks.leads:
        return code
    if len(results) > 1:
        summary = "\n".join([summary, *_whereabouts(command, results)])
    if len(results) > 1 or not command.together:
        (command.tell if code == EXIT_DONE else say_error)(summary)
    if report:
        try:
            write_report(expand_user(report), results, seconds, code)
        except ReportError as error:
            say_error(str(error))
            code = code or EXIT_SOME_FAILED
    if code == EXIT_INTERRUPTED and command.farewell:
        say_error(command.farewell)
    return code


def _whereabouts(command: Command[J, R], results: Sequence[Result]) -> list[str]:
    """결과가 있는 곳과, 하지 못한 것이 있으면 다음에 할 일. 일이 하나뿐이면 그 줄이 이미 말했다."""
    made = [Path(one.output) for one in results if one.status == "done" and Path(one.output).exists()]
    lines = []
    if made:
        folder = Path(os.path.commonpath([path.parent.absolute() for path in made]))
        near = folder.is_relative_to(Path.cwd())
        lines.append(f"결과: {shown(folder.relative_to(Path.cwd()) if near else folder)}")
    if any(one.status in ("failed", "interrupted") for one in results):
        lines.append(
            f"다음에 할 일: 위의 이유를 고친 뒤 같은 명령에 {command.again}을 더해 다시 실행하면 남은 것만 합니다."
        )
    return lines


def conclusion(statuses: Sequence[str], seconds: float) -> tuple[int, str]:
    """상태들의 `(종료 코드, 한 줄 요약)`. 중단이 하나라도 있으면 130, 모두 한 코드면 그것, 섞였으면 1이다."""
    codes = {STATUSES[status].code for status in statuses} or {EXIT_DONE}
    code = EXIT_INTERRUPTED if EXIT_INTERRUPTED in codes else codes.pop() if len(codes) == 1 else EXIT_SOME_FAILED
    parts = [f"{status.word} {statuses.count(name)}" for name, status in STATUSES.items() if name in statuses]
    return code, f"{', '.join(parts) or '한 일 없음'} ({describe_spent(seconds)})"


def write_report(path: Path, results: Sequence[Result], seconds: float, code: int) -> None:
    """JSON 보고서를 쓴다. 임시 파일에 쓰고 이름을 바꾸므로 반쪽 파일이 남지 않는다.

    Args:
        path: 보고서의 경로.
        results: 결과들.
        seconds: 모두 걸린 시간(초).
        code: 종료 코드.

    Raises:
        ReportError: 쓸 수 없을 때.
    """
    save_report(path, [asdict(result) for result in results], seconds, code)


def save_report(path: Path, files: Sequence[Mapping[str, Any]], seconds: float, code: int) -> None:
    """결과마다의 칸들로 보고서를 쓴다. 인자와 예외는 `write_report`와 같다."""
    statuses = [str(one["status"]) for one in files]
    content: dict[str, Any] = {
        "version": __version__,
        "seconds": round(seconds, 3),
        "exit_code": code,
        "counts": {
            name: statuses.count(name) for name in sorted({"done", "failed", "skipped", "interrupted", *statuses})
        },
        "files": list(files),
    }
    # UTF-8이 아닌 파일 이름은 JSON의 \\u 표기로 남긴다.
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    try:
        write_atomically(path, text.encode("utf-8", errors="backslashreplace"))
    except OSError as error:
        reason, remedy = os_reason(error)
        raise ReportError(f"보고서를 쓸 수 없습니다: {path}\n  {reason}\n  해결: {remedy}") from error


def check_report_path(path: Path, others: Iterable[Path]) -> None:
    """보고서를 쓸 수 있는지 일을 시작하기 전에 본다.

    Args:
        path: 보고서의 경로. 폴더는 만든다.
        others: 입력과 결과들. 보고서가 이들을 덮어쓰면 안 된다.

    Raises:
        UsageError: 폴더이거나, 쓸 수 없거나, 이미지와 같은 파일일 때.
    """
    real = os.path.realpath(path)
    if any(os.path.realpath(other) == real for other in others) or is_image_name(path):
        raise UsageError(
            f"보고서가 이미지 파일을 덮어씁니다: {path}\n  해결: --report에 .json으로 끝나는 이름을 주세요."
        )
    if path.is_dir():
        raise UsageError(f"보고서의 자리에 폴더가 있습니다: {path}\n  해결: --report에 파일 이름까지 주세요.")
    try:
        make_writable_folder(path.parent)
    except OSError as error:
        raise UsageError(
            f"보고서를 쓸 수 없습니다: {path}\n  {os_reason(error)[0]}\n  해결: --report에 다른 경로를 주세요."
        ) from error


@dataclass(frozen=True)
class Ranks:
    """torchrun이 띄운 프로세스들 가운데 이 프로세스의 자리.

    Attributes:
        rank: 전체에서의 번호.
        size: 전체 프로세스 수.
        local_rank: 이 컴퓨터에서의 번호.
        local_size: 이 컴퓨터의 프로세스 수.
        leads: 보고하고 알리는 첫 프로세스인지.
        store: 프로세스들이 함께 보는 저장소. 혼자면 None.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    leads: bool = True
    store: Store | None = None
    _counts: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def claim(self, name: str) -> int:
        """모든 프로세스를 통틀어 그 이름으로 몇 번째로 불렀는지(0부터). 일을 먼저 온 차례로 나누는 데 쓴다."""
        if self.store is not None:
            return int(self.store.add(f"claim/{name}", 1)) - 1
        self._counts[name] = self._counts.get(name, -1) + 1
        return self._counts[name]

    def publish(self, name: str, result: Result) -> None:
        """결과를 모두가 볼 수 있게 둔다. 중단되어 모으지 못할 때를 위한 것이다. UTF-8이 아닌 이름도 담긴다."""
        if self.store is not None:
            self.store.set(name, json.dumps(asdict(result)))

    def published(self, name: str, kind: type[R]) -> R | None:
        """다른 프로세스가 둔 결과. 아직 없거나 저장소가 이미 닫혔으면 None."""
        try:
            if self.store is None or not self.store.check([name]):
                return None
            return kind(**json.loads(self.store.get(name).decode()))
        except RuntimeError:
            return None

    def broadcast(self, value: T | None) -> T:
        """첫 프로세스의 값을 모두에게 준다."""
        box: list[Any] = [value]
        if self.size > 1:
            import torch.distributed as dist

            dist.broadcast_object_list(box, src=0)
        given: T = box[0]
        return given

    def agree(self, work: Callable[[], T]) -> T:
        """첫 프로세스가 일을 하고 그 결과나 예외를 모두가 함께 갖는다.

        Raises:
            RealESRGANError: 일이 실패했을 때. 모든 프로세스에서 일어난다.
        """
        if self.size == 1:
            return work()
        value: Any = None
        problem: RealESRGANError | None = None
        if self.leads:
            try:
                value = work()
            except RealESRGANError as error:
                # 다른 프로세스에 보낼 수 있게 글만 남긴다.
                problem = type(error)(str(error))
            except Exception as error:
                reason = describe_system_error(error)
                if reason is None:
                    logger.exception("뜻밖의 오류입니다.")
                problem = RealESRGANError(reason or f"뜻밖의 오류입니다: {type(error).__name__}: {error}")
        value, problem = self.broadcast((value, problem))
        if problem is not None:
            raise problem
        agreed: T = value
        return agreed

    def gather(self, value: T) -> list[T]:
        """모든 프로세스의 값을 번호 순서로 모아 모두에게 준다."""
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        gathered: list[Any] = [None] * self.size
        dist.all_gather_object(gathered, value)
        return gathered

    @contextmanager
    def local_leader_first(self) -> Iterator[None]:
        """한 컴퓨터에서 첫 프로세스가 먼저 지나가고 나머지가 뒤따르게 한다. 모든 프로세스가 지나가야 한다."""
        if self.size == 1:
            yield
            return
        import torch.distributed as dist

        if self.local_rank != 0:
            dist.barrier()
        try:
            yield
        finally:
            if self.local_rank == 0:
                dist.barrier()

    def device(self, requested: str | None) -> str | None:
        """이 프로세스가 쓸 장치. 번호 없는 CUDA나 자동 선택이면 프로세스마다 하나씩 나눈다."""
        if self.size == 1 or requested not in (None, "auto", "cuda"):
            return requested
        import torch

        if not torch.cuda.is_available():
            return requested
        return f"cuda:{self.local_rank % torch.cuda.device_count()}"


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """환경 변수에서 자리를 읽고, 여럿이면 서로 잇는다. 나갈 때 끊는다.

    Raises:
        RealESRGANError: 이어지지 못했을 때.
    """
    if not TORCHRUN:
        yield Ranks()
        return
    import torch
    import torch.distributed.distributed_c10d as dist
    from torch.distributed.rendezvous import rendezvous

    try:
        store, rank, size = next(rendezvous("env://", timeout=CONNECT_TIMEOUT))
    except RuntimeError as error:
        raise RealESRGANError(
            f"torchrun이 띄운 다른 프로세스와 이어지지 못했습니다.\n  이유: {str(error).splitlines()[0]}\n"
            "  해결: torchrun이 살아 있는지, --master_addr과 --master_port로 닿을 수 있는지 확인하세요."
        ) from error
    store.set_timeout(GATHER_TIMEOUT)
    # 결과를 모으는 데만 쓰므로 GPU가 있어도 gloo로 충분하다.
    group_store = dist.PrefixStore("group", store)
    dist.init_process_group("gloo", store=group_store, rank=rank, world_size=size, timeout=GATHER_TIMEOUT)
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # 이 컴퓨터의 코어를 프로세스들이 나누어 쓴다.
    torch.set_num_threads(max(available_cores() // local_size, 1))
    try:
        yield Ranks(
            rank=rank,
            size=size,
            local_rank=int(os.environ.get("LOCAL_RANK", "0")),
            local_size=local_size,
            leads=rank == 0,
            store=dist.PrefixStore("realesrgan", store),
        )
    finally:
        dist.destroy_process_group()


def share_jobs(jobs: Sequence[Job], size: int) -> list[list[int]]:
    """일을 무게가 비슷하게 나눈다. 큰 것부터 가장 가벼운 쪽에 준다.

    Returns:
        프로세스마다 맡을 일의 번호. 모든 번호가 꼭 한 번 나온다.
    """
    shares: list[list[int]] = [[] for _ in range(size)]
    loads = [0] * size
    for index in sorted(range(len(jobs)), key=lambda index: (-jobs[index].weight, index)):
        lightest = min(range(size), key=lambda rank: (loads[rank], len(shares[rank]), rank))
        shares[lightest].append(index)
        loads[lightest] += jobs[index].weight
    return [sorted(share) for share in shares]
