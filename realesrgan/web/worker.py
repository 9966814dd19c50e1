"""일을 하는 프로세스. 서버와 따로 돌아, 죽어도 서버는 살아 있고 멈추라는 말에 곧바로 멈춘다.

서버가 표준 입력으로 일을 JSON 한 줄씩 주고, 진행과 결과를 표준 출력의 한 줄씩으로 받는다. 입력이 닫히면(서버가 죽으면)
하던 일을 멈추고 끝난다. 마지막에 쓴 모델은 실어 둔 채로 다음 일을 기다린다.
"""

from __future__ import annotations

import _thread
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from realesrgan.errors import RealESRGANError, UsageError
from realesrgan.util.files import describe_system_error, exclusive_lock
from realesrgan.web.options import (
    Options,
    load_arguments,
    picture_settings,
    read_options,
    step_texts,
    video_settings,
)
from realesrgan.web.process import GRACE_SECONDS
from realesrgan.web.storage import remove_unfinished

if TYPE_CHECKING:
    from realesrgan.inference.model import Model
    from realesrgan.media.picture import ImageInfo

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.2
# 이보다 크거나(픽셀) 긴 결과는 브라우저가 그리지 못할 수 있어 비교할 때만 줄여 보인다. 내려받는 것은 그대로다.
VIEW_PIXELS, VIEW_SIDE = 100_000_000, 16_000
# 브라우저가 그대로 그리는 형식.
_SHOWN = frozenset(("PNG", "JPEG", "WEBP", "GIF"))


def main() -> None:
    """프로세스의 시작. 입력이 닫힐 때까지 일한다."""
    # 어떤 라이브러리가 표준 출력에 쓰더라도 서버와의 말에 섞이지 않게 한다.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    from realesrgan.util.machine import keep_freed_memory, keep_interrupts

    keep_freed_memory()
    keep_interrupts()
    # 서버가 뒤에서 떴으면(`nohup`, 스크립트의 `&`) Ctrl-C를 무시하는 상태를 물려받는다. 멈추라는 말은 그것으로 온다.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    Worker(channel).serve(sys.stdin)


class Worker:
    """일을 하나씩 하며 진행을 알린다.

    Args:
        channel: 서버에 알리는 말을 쓸 곳.
    """

    def __init__(self, channel: TextIO) -> None:
        self._channel = channel
        self._tasks: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._lock = threading.Lock()
        self._running: str | None = None
        self._told = 0.0
        self._model: tuple[str, Model] | None = None
        self._rates: dict[str, float] = {}

    def serve(self, source: TextIO) -> None:
        """일이 오는 대로 한다. 입력이 닫히면 돌아온다."""
        threading.Thread(target=self._listen, args=(source,), daemon=True).start()
        while True:
            try:
                task = self._tasks.get()
            except KeyboardInterrupt:
                # 막 끝난 일을 멈추라는 말이 늦게 닿은 것이다.
                continue
            if task is None:
                return
            self._attempt(task)

    def _listen(self, source: TextIO) -> None:
        """일과 멈추라는 말을 받는다."""
        for line in source:
            message = json.loads(line)
            if "cancel" in message:
                self._interrupt(message["cancel"])
            else:
                self._tasks.put(message)
        self._interrupt(None)
        self._tasks.put(None)
        # 서버가 갑자기 죽었으면 제때 멈추지 않는 일을 끝내 줄 것이 없다. 쓰다 만 것은 다음 서버가 치운다.
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    def _interrupt(self, task: str | None) -> None:
        """하고 있는 일이 그것이면(None이면 무엇이든) 주 스레드에 Ctrl-C를 준다."""
        with self._lock:
            if self._running is None or task not in (None, self._running):
                return
            if hasattr(signal, "pthread_kill"):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                _thread.interrupt_main()

    def _attempt(self, task: Mapping[str, Any]) -> None:
        """일 하나를 하고 어떻게 끝났는지 알린다. 어떤 실패도 다음 일을 막지 않는다."""
        with self._lock:
            self._running = task["id"]
        state = "failed"
        try:
            state = {
                "picture": self._pictures,
                "video": self._video,
                "estimate": self._estimate,
                "preview": self._preview,
            }[task["task"]](task)
        except KeyboardInterrupt:
            state = "cancelled"
        except Exception as error:
            self._fail("", error)
        with suppress(KeyboardInterrupt):
            with self._lock:
                self._running = None
            # 늦게 온 Ctrl-C가 있으면 여기서 받는다.
            time.sleep(0)
        self._tell("end", id=task["id"], state=state)

    def _tell(self, event: str, **values: Any) -> None:
        # 서버가 죽어 받는 곳이 닫혔으면 곧 입력도 닫혀 끝난다.
        with suppress(OSError, ValueError):
            self._channel.write(json.dumps({"event": event, **values}, ensure_ascii=True) + "\n")
            self._channel.flush()

    def _progress(self, *, at_once: bool = False, **values: Any) -> None:
        if at_once or time.monotonic() - self._told >= PROGRESS_SECONDS:
            self._told = time.monotonic()
            self._tell("progress", **values)

    def _fail(self, name: str, error: Exception) -> None:
        """실패의 이유를 명령과 같은 말로 알린다."""
        if isinstance(error, RealESRGANError):
            message: str | None = str(error)
        else:
            message = describe_system_error(error, "다른 프로그램을 닫거나 결과의 크기를 줄이세요.")
        if message is None:
            logger.exception("뜻밖의 오류입니다.")
            message = f"뜻밖의 오류입니다: {type(error).__name__}: {error}"
        self._tell("error", input=name, kind=type(error).__name__, message=message)

    def _load(self, task: Mapping[str, Any], options: Options) -> Model:
        """모델을 싣는다. 앞의 일과 같은 것이면 그대로 쓴다."""
        from realesrgan.inference.model import load

        arguments = {**load_arguments(options), "device": task["device"]}
        key = json.dumps([task["weights"] or options.model, arguments])
        if self._model is None or self._model[0] != key:
            # 앞의 것을 먼저 놓아 두 모델이 함께 메모리를 차지하지 않게 한다.
            self._model = None
            self._progress(at_once=True, stage="loading", fraction=0.0)
            model = load(task["weights"] or options.model, progress=self._downloading, **arguments)
            _ = model.engine
            self._model = key, model
        return self._model[1]

    def _downloading(self, received: int, total: int) -> None:
        self._progress(stage="download", fraction=0.0, done=received, total=total)

    def _steps(self, options: Options) -> tuple[Any, ...]:
        steps: tuple[Any, ...] = step_texts(options)
        if options.restores_faces:
            from realesrgan.face.restoration import FaceRestoration

            faces = FaceRestoration(
                options.face_model, options.face_strength, options.only_center_face, progress=self._downloading
            )
            faces.prepare()
            steps = (*steps, faces)
        return steps

    def _pictures(self, task: Mapping[str, Any]) -> str:
        """이미지들을 차례로 키운다. 하나의 실패는 그것만 실패로 알리고 계속한다."""
        with alone(Path(task["out"])):
            return self._each_picture(task)

    def _each_picture(self, task: Mapping[str, Any]) -> str:
        from realesrgan.inference.picture import upscale_file
        from realesrgan.media.image import probe_image

        options = read_options(task["options"], "picture")
        model, steps = self._load(task, options), self._steps(options)
        settings = picture_settings(options, steps, task["max_output_pixels"])
        # 머리를 읽지 못한 것은 키울 때 그 이유를 말한다.
        weights = [_pixels(Path(item["path"])) for item in task["inputs"]]
        before, whole, failed = 0, max(sum(weights), 1), False
        used: set[str] = set()
        for index, (item, weight) in enumerate(zip(task["inputs"], weights, strict=True)):
            source, name = Path(item["path"]), item["name"]

            def report(done: int, total: int, begun: int = before, share: int = weight, place: int = index) -> None:
                fraction = (begun + share * done / max(total, 1)) / whole
                self._progress(stage="pictures", fraction=fraction, index=place, count=len(weights))

            self._progress(
                at_once=True, stage="pictures", fraction=before / whole, index=index, count=len(weights), name=name
            )
            before += weight
            try:
                info = probe_image(source)
                target = Path(task["out"]) / result_name(source, info, options.format, used)
                if item.get("done"):
                    continue
                made = upscale_file(source, target, model=model, settings=settings, progress=report)
                views = self._views(source, target, info, Path(task["view"]), index)
                self._tell(
                    "file",
                    input=name,
                    output=str(target),
                    input_size=made.input_size,
                    output_size=made.output_size,
                    frames=made.frames,
                    seconds=round(made.seconds, 3),
                    counts=dict(made.counts),
                    notes=list(made.notes),
                    views=views,
                )
            except Exception as error:
                failed = True
                self._fail(name, error)
        return "failed" if failed else "done"

    def _views(self, source: Path, target: Path, info: ImageInfo, folder: Path, index: int) -> list[str] | None:
        """비교할 두 이미지의 경로. 브라우저가 그리지 못하는 것은 8비트 png로 바꾸어 둔다."""
        from realesrgan.media.image import probe_image

        folder.mkdir(parents=True, exist_ok=True)
        try:
            pair = [(source, info, "before"), (target, probe_image(target), "after")]
            return [
                str(path if _is_shown(path, one) else _make_view(path, folder / f"{index:04d}_{word}.png"))
                for path, one, word in pair
            ]
        except (RealESRGANError, OSError) as error:
            # 결과는 이미 만들었다. 비교만 보이지 못한다.
            logger.warning("비교할 이미지를 만들지 못했습니다: %s", error)
            return None

    def _video(self, task: Mapping[str, Any]) -> str:
        """비디오 한 편을 키운다. 하다 만 것이 있으면 이어 한다."""
        from realesrgan.video.upscale import upscale_video

        options = read_options(task["options"], "video")
        item = task["inputs"][0]
        model, steps = self._load(task, options), self._steps(options)
        target = Path(task["out"]) / video_name(Path(item["path"]), options.format)

        def report(now: Any) -> None:
            fraction = now.frames / now.total if now.total else 0.0
            self._progress(
                stage="video",
                fraction=fraction,
                frames=now.frames,
                total=now.total,
                resumed=now.resumed,
                size=now.size,
            )

        settings = video_settings(options, steps)
        with alone(Path(task["out"])):
            made = upscale_video(item["path"], target, model=model, settings=settings, progress=report)
        if made.status == "failed":
            self._tell("error", input=item["name"], kind="VideoDamagedError", message=made.reason or "")
        output = Path(made.output)
        if output.exists():
            self._tell(
                "file",
                input=item["name"],
                output=str(output),
                input_size=made.input_size,
                output_size=made.output_size,
                frames=made.frames,
                seconds=made.seconds,
                counts=dict(made.counts),
                notes=list(made.notes),
                views=None,
            )
        return "failed" if made.status == "failed" else "done"

    def _estimate(self, task: Mapping[str, Any]) -> str:
        """이미지들에 걸릴 시간과 메모리를 어림한다. 빠르기는 모델마다 한 번만 잰다."""
        from realesrgan.inference.estimate import estimate_picture, measure_seconds_per_pixel
        from realesrgan.media.image import probe_image
        from realesrgan.util.numbers import scaled_size

        options = read_options(task["options"], "picture")
        model = self._load(task, options)
        key = self._model[0] if self._model is not None else ""
        if key not in self._rates:
            self._rates[key] = measure_seconds_per_pixel(model)
        outscale = options.outscale or model.scale
        seconds, memory, sizes = 0.0, 0, []
        for item in task["inputs"]:
            info = probe_image(item["path"])
            found = estimate_picture(info, model, outscale, self._rates[key])
            seconds, memory = seconds + found.seconds, max(memory, found.memory)
            sizes.append(
                [item["name"], [info.width, info.height], list(scaled_size(info.width, info.height, outscale))]
            )
        engine = model.engine
        self._tell(
            "estimate",
            seconds=seconds,
            memory=memory,
            sizes=sizes,
            device=str(getattr(engine, "place", engine.device)),
            precision=engine.precision,
            backend=engine.name,
        )
        return "done"

    def _preview(self, task: Mapping[str, Any]) -> str:
        """비디오의 첫 프레임만 키워 비교할 두 이미지를 만들고, 걸릴 시간과 크기를 어림한다."""
        from realesrgan.media.image import still, write_image
        from realesrgan.video.preview import estimate_video
        from realesrgan.video.settings import find_source, find_target

        options = read_options(task["options"], "video")
        model, steps = self._load(task, options), self._steps(options)
        folder, source = Path(task["view"]), Path(task["inputs"][0]["path"])
        folder.mkdir(parents=True, exist_ok=True)
        after = folder / "after.png"
        settings = replace(video_settings(options, steps), preview=after, resume=False)
        target = find_target(folder / video_name(source, options.format))
        found = estimate_video(find_source(source), target, model=model, settings=settings)
        before = folder / "before.png"
        if found.original is not None:
            write_image(before, still(found.original))
        frames = found.plan.frames
        self._tell(
            "estimate",
            seconds=None if frames is None else frames * found.seconds_per_frame,
            frames=frames,
            size=found.size,
            sizes=[
                [task["inputs"][0]["name"], list(found.plan.info.display_size), _size_of(found.plan.encoding)],
            ],
            device=str(getattr(model.engine, "place", model.engine.device)),
            precision=model.engine.precision,
            backend=model.engine.name,
            views=None if found.preview is None else [str(before), str(after)],
            notes=list(found.plan.warnings),
        )
        return "done"


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """결과의 폴더를 혼자 쓴다. 갑자기 죽은 서버의 프로세스가 아직 치우는 중이면 기다리고, 남긴 것을 지운다.

    Raises:
        UsageError: 그 프로세스가 끝나지 않을 때.
    """
    out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 2 * GRACE_SECONDS
    while True:
        with exclusive_lock(out.parent / "worker.lock") as locked:
            if locked:
                remove_unfinished(out)
                yield
                return
        if time.monotonic() > deadline:
            raise UsageError("앞서 하던 프로세스가 끝나지 않았습니다.\n  해결: 잠시 뒤에 이어 하세요.")
        time.sleep(0.2)


def _size_of(encoding: Any) -> list[int]:
    return [encoding.width, encoding.height]


def _pixels(path: Path) -> int:
    from realesrgan.media.image import probe_image

    try:
        info = probe_image(path)
    except RealESRGANError:
        return 1
    return info.width * info.height * info.frames


def result_name(source: Path, info: ImageInfo, ext: str, used: set[str]) -> str:
    """결과의 이름. 명령과 같이 짓고, 확장자만 다른 두 입력의 결과가 부딪치면 입력의 확장자를 더한다.

    있는 파일은 보지 않는다. 알리기 전에 죽은 작업자가 놓아 둔 결과를, 이어 하는 작업자가 같은 이름으로 다시 만든다.

    Args:
        source, info: 입력과 그 머리.
        ext: 고른 형식. `auto`면 입력을 따른다.
        used: 같은 일의 앞선 결과들의 이름(작은 글자). 고른 이름을 더한다.
    """
    from realesrgan.media.formats import output_extension

    extension = output_extension(source.suffix.lower(), info, ext)
    own = f"{source.stem}_{source.suffix.lstrip('.')}"
    stems = chain((source.stem, own), (f"{own}_{number}" for number in count(2)))
    name = next(name for stem in stems if (name := f"{stem}_out.{extension}").casefold() not in used)
    used.add(name.casefold())
    return name


def video_name(source: Path, ext: str) -> str:
    """비디오의 결과의 이름. 쓸 수 없는 형식이면 mp4다."""
    from realesrgan.video.settings import CONTAINERS

    own = source.suffix.lower().lstrip(".")
    extension = ext if ext != "auto" else own if own in CONTAINERS else "mp4"
    return f"{source.stem}_out.{extension}"


def _is_shown(path: Path, info: ImageInfo) -> bool:
    """브라우저가 있는 그대로 그릴 수 있는지."""
    fits = info.width * info.height <= VIEW_PIXELS and max(info.width, info.height) <= VIEW_SIDE
    return info.format in _SHOWN and fits and path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".gif")


def _swapped(array: Any) -> Any:
    """RGB(A)를 BGR(A)로 바꾼다."""
    order = (2, 1, 0, 3)[: array.shape[2]]
    return array[:, :, order]


def _make_view(source: Path, target: Path) -> Path:
    """첫 프레임을 브라우저가 그릴 8비트 png로 적는다. 너무 크면 줄인다."""
    import numpy as np

    from realesrgan.media.image import read_image, still, write_image

    frame = next(iter(read_image(source).frames))
    array = np.asarray(frame.array)
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    height, width = array.shape[:2]
    shrink = max((height * width / VIEW_PIXELS) ** 0.5, height / VIEW_SIDE, width / VIEW_SIDE)
    if shrink > 1:
        from realesrgan.util.optional import import_cv2

        cv2 = import_cv2()
        array = cv2.resize(array, (int(width / shrink), int(height / shrink)), interpolation=cv2.INTER_AREA)
    write_image(target, still(array if not frame.rgb or array.ndim == 2 else _swapped(array)))
    return target


if __name__ == "__main__":
    main()
