"""다른 프로그램이 부르는 자리(endpoint): `/submit`, `/job`, `/cancel`, `/resume`, `/again`, `/remove`,
`/estimate`, `/models`.

쓰는 법은 `web_context.md`에 있다. 오류는 `gr.Error`가 되어 부른 쪽에 그 글이 간다.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import quote

import gradio as gr

from realesrgan.errors import RealESRGANError, UsageError
from realesrgan.web.jobs import Job
from realesrgan.web.page import Site
from realesrgan.zoo.models import MODELS


def build_api(site: Site) -> None:
    """자리들을 놓는다. `gr.Blocks` 안에서 부른다."""
    api = Api(site)
    # 보이지 않는 칸은 받을 값의 종류를 말할 뿐이다.
    with gr.Row(visible=False):
        files = gr.File(file_count="multiple", label="files")
        kind = gr.Textbox("picture", label="kind")
        options = gr.JSON(label="options")
        weights = gr.File(file_count="single", label="weights")
        name = gr.Textbox(label="id")
        answer, results = gr.JSON(label="job"), gr.File(file_count="multiple", label="results")
        rows: tuple[tuple[str, Any, list[Any], Any, str], ...] = (
            ("submit", api.submit, [files, kind, options, weights], answer, "올린 파일들을 줄에 세운다."),
            ("job", api.job, [name], answer, "일의 지금."),
            ("results", api.results, [name], results, "끝난 결과 파일들."),
            ("cancel", api.cancel, [name], answer, "일을 멈춘다."),
            ("resume", api.resume, [name], answer, "멈추었거나 실패한 일을 이어 한다."),
            ("again", api.again, [name, options, weights], answer, "같은 파일로 처음부터 다시 한다."),
            ("remove", api.remove, [name], answer, "일과 그 파일을 지운다."),
            ("estimate", api.estimate, [files, kind, options, weights], answer, "시간과 메모리를 어림한다."),
            ("models", api.models, [], answer, "쓸 수 있는 모델들."),
        )
        for title, work, inputs, output, text in rows:
            gr.Button(title).click(_told(work), inputs, output, api_name=title, api_description=text)


def _told(work: Callable[..., Any]) -> Callable[..., Any]:
    """알린 오류를 부른 쪽이 받는 오류로 바꾼다."""

    @wraps(work)
    def answer(*values: Any) -> Any:
        try:
            return work(*values)
        except RealESRGANError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return answer


class Api:
    """자리마다의 일.

    Args:
        site: 화면이 쓰는 것들.
    """

    def __init__(self, site: Site) -> None:
        self._site, self._queue = site, site.queue

    def submit(self, files: Any, kind: str, options: Any, weights: Any) -> dict[str, Any]:
        """파일들을 맡기고 일을 돌려준다."""
        job = self._queue.submit(f"api-{secrets.token_hex(16)}", *self._request(files, kind, options, weights))
        return self._shown(job)

    def estimate(self, files: Any, kind: str, options: Any, weights: Any) -> dict[str, Any]:
        """맡기지 않고 어림만 한다."""
        found = self._queue.estimate(*self._request(files, kind, options, weights))
        return {name: value for name, value in found.items() if name not in ("event", "views")}

    def _request(self, files: Any, kind: str, options: Any, weights: Any) -> tuple[Any, ...]:
        if kind not in ("picture", "video"):
            raise UsageError(f"쓸 수 없는 값입니다: kind={kind}\n  해결: picture나 video")
        if options is not None and not isinstance(options, dict):
            raise UsageError("options는 이름과 값의 묶음(JSON object)이어야 합니다.")
        paths, names = self._site.paths_of([str(path) for path in files or []])
        given = None if not weights else self._queue.storage.owned(str(weights))
        return kind, options or {}, paths, names, given

    def job(self, name: str) -> dict[str, Any]:
        """일의 지금."""
        return self._shown(self._queue.find(name))

    def results(self, name: str) -> list[str]:
        """끝난 결과들."""
        return [one["output"] for one in self._queue.find(name).files]

    def cancel(self, name: str) -> dict[str, Any]:
        """멈춘다."""
        return self._shown(self._queue.cancel(name))

    def resume(self, name: str) -> dict[str, Any]:
        """이어 한다."""
        return self._shown(self._queue.resume(name))

    def again(self, name: str, options: Any, weights: Any) -> dict[str, Any]:
        """같은 파일로 새 일을 맡긴다. `options`가 없으면 앞의 일의 값이다."""
        if options is not None and not isinstance(options, dict):
            raise UsageError("options는 이름과 값의 묶음(JSON object)이어야 합니다.")
        given = None if not weights else self._queue.storage.owned(str(weights))
        return self._shown(self._queue.again(name, options, given))

    def remove(self, name: str) -> dict[str, Any]:
        """지운다."""
        self._queue.remove(name)
        return {"id": name, "state": "removed"}

    def models(self) -> list[dict[str, Any]]:
        """모델들."""
        return [{"name": one.name, "description": one.description, "scale": one.scale} for one in MODELS.values()]

    def _shown(self, job: Job) -> dict[str, Any]:
        """밖에 보일 일. 주인의 표와 서버의 폴더는 보이지 않는다."""
        names = ("input", "input_size", "output_size", "frames", "seconds", "counts", "notes")
        files = [
            {**{name: one[name] for name in names}, "url": f"/gradio_api/file={quote(one['output'])}"}
            for one in job.files
        ]
        return {
            "id": job.id,
            "state": job.state,
            "place": self._queue.place(job),
            "progress": job.progress,
            "files": files,
            "errors": job.errors,
        }
