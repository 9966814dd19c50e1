"""서버에서 계산하지 않는 화면: 브라우저 안에서(WebGPU, WASM) 사진을 키우는 파일들을 짓고 내놓는다.

짓고 나면 평범한 파일들이라 어느 웹 서버에 올려도 된다. 여기의 서버는 이 컴퓨터에서 쓰기 위한 것이다.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import json
import logging
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realesrgan.errors import DownloadError, RealESRGANError, UsageError
from realesrgan.util.files import cache_dir, file_sha256, os_reason, scratch_folder
from realesrgan.zoo.models import MODELS

if TYPE_CHECKING:
    from realesrgan.inference.model import Model

logger = logging.getLogger(__name__)

RUNTIME = "onnxruntime-web"
RUNTIME_VERSION = "1.30.0"
RUNTIME_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
# WebGPU로 도는 것과 CPU로 도는 것. 브라우저는 쓰는 쪽만 받는다.
RUNTIME_FILES = (
    "ort.webgpu.bundle.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
    "ort.wasm.bundle.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
DEFAULT_MODELS = ("realesr-animevideov3", "RealESRGAN_x4plus")
PAGE_FOLDER = Path(__file__).resolve().parent / "static"
PAGE_FILES = ("index.html", "app.js", "style.css")
LIST_NAME = "models.json"
# 가벼운 네트워크는 패딩이 수용 영역(18픽셀)을 다 덮어 결과가 통째 추론과 같다. 무거운 것은 휴대전화의 메모리에 맞춘다.
TILES = {"SRVGGNetCompact": (256, 18)}
HEAVY_TILE = (128, 16)
ENGLISH = {
    "realesr-animevideov3": "Anime video frames. Small and fast.",
    "RealESRGAN_x4plus": "Photographs, sharp. Heavy: use WebGPU.",
    "RealESRGAN_x4plus_anime_6B": "Illustrations and anime. Medium weight.",
    "realesr-general-x4v3": "General scenes. Small and fast.",
}
# 교차 출처 격리가 있어야 WASM이 여러 스레드로 돈다.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
PORT = 8008


def fetch_runtime(folder: Path) -> Path:
    """onnxruntime-web의 npm 패키지를 받아 해시를 확인한다. 이미 받았으면 그것을 쓴다.

    Args:
        folder: 받아 둘 폴더.

    Returns:
        패키지(.tgz)의 경로.

    Raises:
        DownloadError: npm이 없거나, 받지 못했거나, 해시가 다를 때.
    """
    target = folder / f"{RUNTIME}-{RUNTIME_VERSION}.tgz"
    if target.is_file() and file_sha256(target) == RUNTIME_SHA256:
        return target
    npm = shutil.which("npm")
    remedy = f"해결: 다른 곳에서 npm pack {RUNTIME}@{RUNTIME_VERSION} 으로 받은 파일을 --runtime으로 주세요."
    if npm is None:
        raise DownloadError(f"브라우저의 런타임을 받을 수 없습니다: {RUNTIME}\n  이유: npm이 없습니다.\n  {remedy}")
    with scratch_folder(folder) as part:
        command = [npm, "pack", f"{RUNTIME}@{RUNTIME_VERSION}", "--silent", "--pack-destination", str(part)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        made = sorted(part.glob("*.tgz"))
        if done.returncode or not made:
            reason = next(iter(done.stderr.strip().splitlines()), f"종료 코드 {done.returncode}")
            raise DownloadError(f"브라우저의 런타임을 받지 못했습니다: {RUNTIME}\n  이유: {reason}\n  {remedy}")
        check_runtime(made[0])
        made[0].replace(target)
    return target


def check_runtime(package: Path) -> None:
    """패키지가 이 버전의 것인지 해시로 본다.

    Raises:
        DownloadError: 없거나 다를 때.
    """
    found = file_sha256(package) if package.is_file() else "파일 없음"
    if found != RUNTIME_SHA256:
        raise DownloadError(
            f"{RUNTIME} {RUNTIME_VERSION}의 패키지가 아닙니다: {package}\n"
            f"  이유: 기대한 SHA-256은 {RUNTIME_SHA256}, 이 파일은 {found}입니다.\n"
            f"  해결: npm pack {RUNTIME}@{RUNTIME_VERSION} 으로 다시 받으세요."
        )


def unpack_runtime(package: Path, folder: Path) -> None:
    """패키지에서 쓰는 파일만 꺼낸다. 이름을 정해 두고 꺼내므로 패키지가 다른 자리에 쓸 수 없다.

    Raises:
        DownloadError: 패키지에 그 파일이 없을 때.
    """
    folder.mkdir(parents=True)
    with tarfile.open(package) as archive:
        for name in RUNTIME_FILES:
            try:
                file = archive.extractfile(f"package/dist/{name}")
            except KeyError:
                file = None
            if file is None:
                raise DownloadError(f"패키지에 파일이 없습니다: {name}\n  해결: {RUNTIME} {RUNTIME_VERSION}을 쓰세요.")
            (folder / name).write_bytes(file.read())


def runtime_licenses() -> str:
    """onnxruntime의 라이선스(MIT)와 그 안의 다른 것들의 고지. 같은 프로젝트의 파이썬 패키지에 든 것이다."""
    folder = Path(str(importlib.metadata.distribution("onnxruntime").locate_file("onnxruntime")))
    texts = [f"{RUNTIME} {RUNTIME_VERSION}\n"]
    texts += [(folder / name).read_text(encoding="utf-8-sig") for name in ("LICENSE", "ThirdPartyNotices.txt")]
    return "\n\n".join(texts)


def model_entry(model: Model, file: Path) -> dict[str, Any]:
    """화면이 읽을, 모델 하나의 설명."""
    known = MODELS.get(model.name)
    tile, pad = TILES.get(model.arch, HEAVY_TILE)
    korean = known.description if known else model.name
    return {
        "name": model.name,
        "file": f"models/{file.name}",
        "bytes": file.stat().st_size,
        "sha256": file_sha256(file),
        "scale": model.scale,
        "multiple": model.multiple,
        "tile": tile,
        "pad": pad,
        "license": model.license,
        "description": {"ko": korean, "en": ENGLISH.get(model.name, model.name)},
    }


def write_models(
    sources: Sequence[str], folder: Path, progress: Callable[[str], None] | None = None
) -> list[dict[str, Any]]:
    """모델들을 ONNX로 내보내고(본래와 견준다) 설명의 목록을 돌려준다.

    Raises:
        WeightsError, ExportError, MissingPackageError: 싣거나 내보낼 수 없을 때.
    """
    from realesrgan.export.formats import export_onnx
    from realesrgan.export.verify import picture_batches, random_batches, sample_pictures
    from realesrgan.inference.model import load

    entries = []
    for source in dict.fromkeys(sources):
        if progress is not None:
            progress(source)
        model = load(source, default_strength=1)
        # 이름은 주소의 일부가 된다. 주소에 그대로 쓸 수 없는 글자를 피한다.
        key = hashlib.sha256(model.name.encode()).hexdigest()[:8]
        name = model.name if model.name.isascii() and model.name.replace("-", "_").isidentifier() else f"model-{key}"
        file = folder / f"{name}.onnx"
        batches = random_batches(model.multiple) + picture_batches(sample_pictures(None)[:1], model.multiple)
        export_onnx(model, file, batches=batches)
        entries.append(model_entry(model, file))
    return entries


def build(
    output: Path,
    *,
    models: Sequence[str] = DEFAULT_MODELS,
    runtime: Path | None = None,
    cache: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """화면, 런타임, 모델을 한 폴더에 짓는다. 다 지은 뒤에야 제자리에 놓는다.

    Args:
        output: 지을 폴더. 앞서 지은 것이면 새로 바꾸고, 다른 것이 든 폴더면 건드리지 않는다.
        models: 모델 이름이나 가중치 파일들. 첫째가 화면의 기본이다.
        runtime: onnxruntime-web의 npm 패키지. 없으면 npm으로 받는다.
        cache: 받은 패키지를 둘 폴더. 없으면 이 사용자의 캐시 폴더.
        progress: 지금 내보내는 모델의 이름을 받는 함수.

    Returns:
        `output`.

    Raises:
        UsageError: `output`에 다른 것이 들어 있거나 모델이 없을 때.
        DownloadError: 런타임을 얻지 못했을 때.
        WeightsError, ExportError, MissingPackageError: 모델을 싣거나 내보낼 수 없을 때.
        RealESRGANError: 쓸 수 없을 때.
    """
    if not models:
        raise UsageError("화면에 넣을 모델이 없습니다.\n  해결: --models에 하나 이상 적으세요.")
    if output.exists() and not is_site(output) and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(
            f"다른 것이 든 폴더에는 짓지 않습니다: {output}\n  이유: 있는 파일을 잃을 수 있습니다.\n"
            "  해결: 없는 폴더나 빈 폴더를 --output으로 주세요."
        )
    if runtime is None:
        runtime = fetch_runtime(cache or cache_dir() / "web")
    else:
        check_runtime(runtime)
    try:
        with scratch_folder(output.parent) as part:
            draft = part / "site"
            unpack_runtime(runtime, draft / "ort")
            for name in PAGE_FILES:
                shutil.copyfile(PAGE_FOLDER / name, draft / name)
            entries = write_models(models, draft / "models", progress)
            (draft / "licenses.txt").write_text(_licenses(entries), encoding="utf-8")
            (draft / LIST_NAME).write_text(json.dumps(entries, ensure_ascii=False, indent=1), encoding="utf-8")
            if output.exists():
                output.rename(part / "old")
            draft.rename(output)
    except OSError as error:
        why, remedy = os_reason(error)
        raise RealESRGANError(f"화면을 지을 수 없습니다: {output}\n  이유: {why}\n  해결: {remedy}") from error
    return output


def _licenses(entries: Sequence[dict[str, Any]]) -> str:
    lines = [f"{entry['name']}: {entry['license'] or '-'}" for entry in entries]
    return "\n".join(["Real-ESRGAN: BSD-3-Clause", *lines]) + "\n\n" + runtime_licenses()


def is_site(folder: Path) -> bool:
    """`build`가 지은 폴더인지."""
    return (folder / LIST_NAME).is_file() and (folder / "ort").is_dir()


class _Handler(SimpleHTTPRequestHandler):
    """지은 폴더의 파일만 내놓는다. 폴더의 목록은 보이지 않는다."""

    extensions_map = {  # noqa: RUF012 - 바탕 클래스의 꼴이다
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".json": "application/json",
        ".onnx": "application/octet-stream",
    }

    def end_headers(self) -> None:
        """머리글을 마친다."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: Any) -> None:
        """폴더의 목록 대신 404를 답한다."""
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        """요청을 기록(logging)으로 보낸다."""
        logger.debug(format, *args)


def make_server(directory: Path, host: str = "127.0.0.1", port: int = PORT) -> ThreadingHTTPServer:
    """지은 폴더를 내놓을 서버를 만든다. 아직 답하지는 않는다.

    Raises:
        UsageError: 지은 폴더가 아니거나, 그 주소를 쓸 수 없을 때.
    """
    if not is_site(directory):
        raise UsageError(
            f"지은 화면이 아닙니다: {directory}\n  이유: {LIST_NAME}이 없습니다.\n"
            "  해결: python scripts/build_web_static.py --output 폴더 로 먼저 지으세요."
        )
    try:
        return ThreadingHTTPServer((host, port), partial(_Handler, directory=str(directory)))
    except (OSError, OverflowError) as error:
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        why = "다른 프로그램이 쓰고 있습니다." if taken else str(error)
        raise UsageError(
            f"이 주소에서 시작할 수 없습니다: {host}:{port}\n  이유: {why}\n  해결: --port에 다른 번호를 주세요."
        ) from error


def serve(
    directory: Path, host: str = "127.0.0.1", port: int = PORT, ready: Callable[[str], None] | None = None
) -> None:
    """지은 폴더를 내놓는다. 멈출 때까지(Ctrl-C) 돌아오지 않는다.

    Args:
        directory: `build`가 지은 폴더.
        host: 들을 주소. 다른 기기에 열면 그 기기는 WebGPU를 쓸 수 없을 수 있다(https가 아니므로).
        port: 포트. 0이면 빈 것을 고른다.
        ready: 시작하면 주소를 받는 함수.

    Raises:
        UsageError: 지은 폴더가 아니거나, 그 주소를 쓸 수 없을 때.
    """
    with make_server(directory, host, port) as server:
        if ready is not None:
            ready(f"http://{host}:{server.server_address[1]}/")
        server.serve_forever()
