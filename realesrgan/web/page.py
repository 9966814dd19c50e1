"""화면: 양식, 줄, 비교, 내려받기. 일은 `jobs.JobQueue`가 하고 여기서는 묻고 보일 뿐이다."""

from __future__ import annotations

import html
import mimetypes
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from realesrgan.errors import RealESRGANError, UsageError
from realesrgan.media.formats import is_image_name, writable_extensions
from realesrgan.util.files import natural_key
from realesrgan.util.numbers import describe_bytes
from realesrgan.web import options as forms
from realesrgan.web.comparison import build_comparison, shown_pair
from realesrgan.web.jobs import Job, JobQueue
from realesrgan.web.options import Kind, command_line, default_options, read_options
from realesrgan.web.words import ENGLISH, KOREAN, MODELS_IN_ENGLISH, Words, seconds_in
from realesrgan.zoo.models import FACE_MODELS, MODELS

TICK_SECONDS = 1.0
MAX_LISTED = 5000
# 화면을 새로 고치는 것과 닫는 것을 가리려고 기다리는 시간(초).
LEAVE_SECONDS = 30.0
# 브라우저의 저장소에 적힌 것을 감싸는 열쇠. 서버를 다시 띄워도 읽을 수 있게 정해 둔다. 비밀이 아니다.
STORAGE_KEY, STORAGE_SECRET = "realesrgan", "realesrgan"
PLAYED = (".mp4", ".webm", ".mov", ".m4v")
# gradio의 더 올리기 단추는 이름이 번역되지 않고 단추 안에 단추가 있어 감춘다. 지우고 다시 올리면 된다.
CSS = """
.realesrgan-status progress { width: 100%; height: 1.2rem; }
.realesrgan-status .problem { color: var(--error-text-color, #b10000); white-space: pre-wrap; overflow-wrap: anywhere; }
.realesrgan-status .text { overflow-wrap: anywhere; }
input[role="listbox"], input[role="combobox"] { text-overflow: ellipsis; padding-right: 1.5rem; }
button[aria-label="common.upload"] { display: none; }
nav a { color: var(--body-text-color) !important; }
button[role="tab"][aria-selected="true"] { color: var(--color-accent) !important; }
"""


@dataclass
class Site:
    """화면이 쓰는 것들.

    Attributes:
        queue: 일의 줄.
        folder: 열어 볼 수 있는 서버의 폴더(`--folder`). 없으면 None.
        leavers: 열린 화면마다의 `(주인, 나갈 때 지울지)`.
    """

    queue: JobQueue
    folder: Path | None = None
    leavers: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def see(self, session: str | None, owner: str, leave: bool) -> None:
        """화면이 열려 있음을 적는다."""
        if session:
            self.leavers[session] = owner, leave

    def left(self, session: str | None) -> None:
        """화면이 닫혔다. 지우기를 바랐고 그 브라우저의 다른 화면도 없으면 잠시 뒤에 지운다."""
        owner, leave = self.leavers.pop(session or "", ("", False))
        if leave and owner:
            timer = threading.Timer(LEAVE_SECONDS, self.forget, (owner,))
            timer.daemon = True
            timer.start()

    def forget(self, owner: str) -> None:
        """돌아오지 않은 브라우저의 일과 파일을 지운다."""
        if not any(one == owner for one, _ in self.leavers.values()):
            for job in self.queue.owned_by(owner):
                self.queue.remove(job.id)

    def listing(self, kind: Kind) -> list[str]:
        """`--folder`에서 고를 수 있는 파일들. 폴더부터의 이름이고 자연스러운 차례다."""
        found: list[Path] = []
        for top, folders, names in os.walk(self.folder or os.devnull):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [
                (Path(top) / name).relative_to(self.folder or top)
                for name in names
                if not name.startswith(".") and _is_of_kind(name, kind)
            ]
            if len(found) >= MAX_LISTED:
                break
        return [path.as_posix() for path in sorted(found, key=natural_key)[:MAX_LISTED]]

    def paths_of(self, uploads: Sequence[str], chosen: Sequence[str] = ()) -> tuple[list[Path], list[str]]:
        """올린 파일과, 서버의 폴더에서 고른 파일의 `(경로, 이름)`.

        Raises:
            UsageError: 올린 것도 그 폴더 안의 것도 아닐 때.
        """
        paths = [self.queue.storage.owned(path) for path in uploads]
        for text in chosen:
            real = Path(os.path.realpath((self.folder or Path()) / text))
            inside = self.folder is not None and real.is_relative_to(os.path.realpath(self.folder))
            if not inside or not real.is_file():
                raise UsageError("그 폴더 안의 파일만 열 수 있습니다.\n  해결: 파일을 올리세요.")
            paths.append(real)
        return paths, [path.name for path in paths]


def _is_of_kind(name: str, kind: Kind) -> bool:
    """이름으로 사진인지 비디오인지 본다. 움직이는 이미지는 둘 다다."""
    if kind == "picture":
        return is_image_name(name)
    guess = mimetypes.guess_type(name)[0] or ""
    return guess.startswith("video/") or Path(name).suffix.lower() in (".mkv", ".ts", ".m2ts", ".gif", ".webp", ".apng")


@dataclass
class Form:
    """양식 하나의 칸들.

    Attributes:
        fields: 값의 이름과 칸. 차례가 있다.
    """

    kind: Kind
    fields: dict[str, Any] = field(default_factory=dict)

    def read(self, values: Sequence[Any]) -> dict[str, Any]:
        """칸의 값을 `read_options`가 받는 것으로 바꾼다.

        Raises:
            UsageError: 크기의 글을 읽을 수 없을 때.
        """
        found = dict(zip(self.fields, values, strict=True))
        mode, size = found.pop("size_mode"), str(found.pop("size") or "").strip()
        for name in ("quality", "crf"):
            if name in found and not found[name]:
                found[name] = None
        if "tile" in found:
            text = str(found["tile"] or "auto").strip()
            found["tile"] = int(text) if text.isdecimal() else text
        if mode != "native":
            found[mode] = size if mode == "fit" else _number(size)
        return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"크기가 수가 아닙니다: {text or '빈칸'}\n  해결: 2나 3840처럼 적으세요.") from None


def shown_values(kind: Kind, values: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """저장된 값이나 프리셋을 칸에 보일 값으로 바꾼다. `Form.read`의 거꾸로다."""
    options = read_options(values, kind)
    mode = next((name for name in forms.SIZE_NAMES if getattr(options, name) is not None), "native")
    size = "" if mode == "native" else getattr(options, mode)
    special = {
        "size_mode": mode,
        "size": f"{size:g}" if isinstance(size, float) else str(size),
        "quality": options.quality or 0,
        "crf": options.crf or 0,
        "tile": str(options.tile),
    }
    return [special.get(name, getattr(options, name, None)) for name in names]


def build_form(kind: Kind, words: Words) -> Form:
    """양식의 칸들을 놓는다."""
    plain, form = default_options(kind), Form(kind)
    fields = form.fields
    described = {
        name: MODELS_IN_ENGLISH[name] if words is ENGLISH else spec.description for name, spec in MODELS.items()
    }
    fields["model"] = gr.Dropdown(
        [(f"{name}: {text}", name) for name, text in described.items()], value=plain.model, label=words["model"]
    )
    with gr.Row():
        modes = [(words[f"size_{name}"], name) for name in ("native", *forms.SIZE_NAMES)]
        fields["size_mode"] = gr.Dropdown(modes, value="native", label=words["size_mode"], min_width=120)
        fields["size"] = gr.Textbox(label=words["size"], info=words["size_info"], min_width=120)
    with gr.Row():
        pictures = [item.removeprefix(".") for item in writable_extensions()]
        allowed = ["auto", *(pictures if kind == "picture" else forms.CONTAINERS)]
        fields["format"] = gr.Dropdown(allowed, value="auto", label=words["format"], min_width=120)
        if kind == "picture":
            fields["quality"] = gr.Slider(0, 100, value=0, step=1, label=words["quality"], min_width=240)
        else:
            fields["crf"] = gr.Slider(0, 63, value=0, step=1, label=words["crf"], min_width=240)
    fields["blend"] = gr.Slider(0, 1, value=1, step=0.05, label=words["blend"])
    fields["faces"] = gr.Checkbox(value=False, label=words["faces"], info=words["faces_info"])
    with gr.Accordion(words["more"], open=False):
        _build_more(kind, words, fields)
    return form


def _build_more(kind: Kind, words: Words, fields: dict[str, Any]) -> None:
    """접어 두는 칸들."""
    if kind == "video":
        with gr.Row():
            fields["start"] = gr.Textbox(label=words["start"], min_width=120)
            fields["end"] = gr.Textbox(label=words["end"], min_width=120)
        choices = [(words["none_choice" if name == "none" else name], name) for name in forms.INTERLACED]
        fields["codec"] = gr.Dropdown(list(forms.CODECS), value="auto", label=words["codec"])
        fields["interlaced"] = gr.Dropdown(choices, value="none", label=words["interlaced"])
        fields["keep_going"] = gr.Checkbox(value=False, label=words["keep_going"])
    fields["face_model"] = gr.Dropdown(list(FACE_MODELS), value="GFPGANv1.4", label=words["face_model"])
    fields["face_strength"] = gr.Slider(0, 1, value=1, step=0.05, label=words["face_strength"])
    fields["only_center_face"] = gr.Checkbox(value=False, label=words["only_center_face"])
    fields["denoise"] = gr.Slider(0, 1, value=0.5, step=0.05, label=words["denoise"])
    fields["sharpen"] = gr.Slider(0, 3, value=0, step=0.1, label=words["sharpen"])
    fields["color_fix"] = gr.Dropdown(list(forms.COLOR_FIXES), value="none", label=words["color_fix"])
    fields["alpha_upsampler"] = gr.Dropdown(
        list(forms.ALPHA_UPSAMPLERS), value="realesrgan", label=words["alpha_upsampler"]
    )
    fields["precision"] = gr.Dropdown(list(forms.PRECISIONS), value="auto", label=words["precision"])
    fields["tile"] = gr.Textbox(value="auto", label=words["tile"])
    fields["ensemble"] = gr.Checkbox(value=False, label=words["ensemble"])


def notice(text: str = "", *, problem: bool = True) -> str:
    """알리는 말의 HTML."""
    if not text:
        return ""
    kind = 'class="problem" role="alert"' if problem else 'class="text" role="status"'
    return f'<div class="realesrgan-status"><div {kind}>{html.escape(text)}</div></div>'


def describe(job: Job | None, place: int, words: Words) -> str:
    """일의 상태와 진행의 HTML."""
    if job is None:
        return f'<div class="realesrgan-status"><p role="status">{html.escape(words["none"])}</p></div>'
    now = job.progress
    fraction = 1.0 if job.state == "done" else min(max(float(now.get("fraction", 0.0)), 0.0), 1.0)
    head = words[job.state].format(place=place)
    parts = [head, *_progress_words(job, words)]
    if job.state == "running" and job.started and fraction > 0.01:
        left = (time.time() - job.started) * (1 - fraction) / fraction
        parts.append(words["left"].format(left=seconds_in(words, left)))
    bar = ""
    if job.active:
        label = html.escape(words["status"])
        bar = f'<progress max="1" value="{fraction:.4f}" aria-label="{label}">{fraction:.0%}</progress>'
    notes = dict.fromkeys(note for one in job.files for note in one["notes"])
    made = [_made_words(one, words) for one in job.files[-5:]]
    lines = "".join(f'<p class="text">{html.escape(line)}</p>' for line in (*made, *notes))
    errors = "".join(
        f'<div class="problem" role="alert">{html.escape(_problem(one, words))}</div>' for one in job.errors[:20]
    )
    text = html.escape(", ".join(parts))
    return f'<div class="realesrgan-status">{bar}<p class="text" role="status">{text}</p>{lines}{errors}</div>'


def _made_words(one: Mapping[str, Any], words: Words) -> str:
    """결과 하나를 설명하는 한 줄."""
    sizes = " -> ".join("x".join(map(str, one[name])) for name in ("input_size", "output_size") if one[name])
    parts = [f"{one['input']}: {sizes}", seconds_in(words, one["seconds"])]
    if "faces" in one["counts"]:
        parts.append(words["faces_found"].format(count=one["counts"]["faces"]))
    return ", ".join(parts)


def _problem(error: Mapping[str, str], words: Words) -> str:
    # 명령의 옵션으로 푸는 것은 이 화면의 단추로 바꾸어 말한다.
    message = _hidden(error["message"]).replace(
        "--resume 대신 --overwrite로 처음부터 다시 하세요", f"'{words['again']}' 단추로 처음부터 하세요"
    )
    return f"{error['input']} ({error['kind']})\n{message}".strip()


def _hidden(message: str) -> str:
    """오류의 글에서 서버의 폴더를 지우고 파일의 이름만 남긴다."""
    return re.sub(r"(?:/[^\s/:]+)*/files/(?:jobs/)?[0-9a-f]{32,}/(?:(?:in|out|view)/)?", "", message)


def _progress_words(job: Job, words: Words) -> list[str]:
    now = job.progress
    stage = now.get("stage")
    if stage == "loading":
        return [words["loading"]]
    if stage == "download":
        sizes = {name: describe_bytes(now.get(name) or 0) for name in ("done", "total")}
        return [words["download"].format(**sizes)]
    if stage == "pictures":
        name = job.inputs[now["index"]]
        return [words["pictures"].format(index=now["index"] + 1, count=now["count"], name=name)]
    if stage == "video":
        seconds = max(time.time() - (job.started or 0.0), 1e-9)
        speed = (now["frames"] - now["resumed"]) / seconds
        return [words["frames"].format(frames=now["frames"], total=now["total"] or "?", speed=f"{speed:.2f}")]
    return []


def job_choices(jobs: Sequence[Job], words: Words) -> list[tuple[str, str]]:
    """`내 작업`에 보일 것."""
    choices = []
    for job in jobs:
        more = f" +{len(job.inputs) - 1}" if len(job.inputs) > 1 else ""
        when = time.strftime("%m-%d %H:%M:%S", time.localtime(job.created))
        state = words["queued" if job.state == "waiting" else job.state]
        choices.append((f"{job.inputs[0]}{more} ({state}, {when})", job.id))
    return choices


def video_player(path: str, words: Words) -> str:
    """다 된 비디오를 보이는 HTML."""
    if not path.lower().endswith(PLAYED):
        return ""
    address = html.escape(f"/gradio_api/file={quote(path)}")
    label, text = html.escape(Path(path).name), html.escape(words["cannot_play"])
    return (
        f'<video controls preload="metadata" style="max-width:100%" aria-label="{label}" src="{address}"></video>'
        f"<p>{text}</p>"
    )


def build_page(site: Site, words: Words) -> None:
    """화면 하나를 놓는다. `gr.Blocks` 안에서 부른다."""
    Page(site, words).build()


class Page:
    """한 말의 화면.

    Args:
        site: 화면이 쓰는 것들.
        words: 화면의 말.
    """

    def __init__(self, site: Site, words: Words) -> None:
        self.site, self.words = site, words
        self.lang = "ko" if words is KOREAN else "en"

    def build(self) -> None:
        """칸을 놓고 일을 잇는다."""
        words = self.words
        gr.Navbar(visible=True, main_page_name="한국어")
        gr.Markdown(f"# {words['title']}\n{words['intro']}")
        self.owner = self._stored("owner", "")
        self.leave_stored = self._stored("leave", False)
        with gr.Row():
            with gr.Column(min_width=320):
                with gr.Tab(words["picture"], id="picture"):
                    picture = self._form("picture")
                with gr.Tab(words["video"], id="video"):
                    video = self._form("video")
                self.notice = gr.HTML()
            with gr.Column(min_width=320):
                self._results()
        for parts in (picture, video):
            self._connect(*parts)
        self._connect_results()
        self._connect_again(picture, video)

    def _stored(self, name: str, value: Any) -> Any:
        return gr.BrowserState(value, storage_key=f"{STORAGE_KEY}-{name}", secret=STORAGE_SECRET)

    def _form(self, kind: Kind) -> tuple[Form, dict[str, Any]]:
        """양식 하나와 그 단추들."""
        words = self.words
        parts = self._sources(kind)
        own = [(words[name], name) for name, (one, _) in forms.PRESETS.items() if one == kind]
        parts["preset"] = gr.Dropdown([(words["preset_none"], ""), *own], value="", label=words["preset"])
        form = build_form(kind, words)
        with gr.Accordion(words["save_preset"], open=False):
            parts["preset_name"] = gr.Textbox(label=words["preset_name"], max_length=60)
            parts["save"] = gr.Button(words["save_preset"], size="sm")
        with gr.Accordion(words["weights"], open=False):
            parts["weights"] = gr.File(
                label=words["weights"], file_count="single", height=120, elem_id=f"weights-{kind}-{self.lang}"
            )
        parts["command"] = gr.Textbox(
            value=command_line(default_options(kind), kind),
            label=words["command"],
            interactive=False,
            buttons=["copy"],
            elem_id=f"command-{kind}-{self.lang}",
        )
        parts["estimate_text"] = gr.HTML()
        if kind == "video":
            parts["first"] = build_comparison(words, f"first-{self.lang}")
        with gr.Row():
            parts["estimate"] = gr.Button(
                words["estimate" if kind == "picture" else "first_frame"], elem_id=f"estimate-{kind}-{self.lang}"
            )
            parts["run"] = gr.Button(words["run"], variant="primary", elem_id=f"run-{kind}-{self.lang}")
        parts["settings"] = self._stored(f"settings-{kind}", {})
        parts["presets"] = self._stored(f"presets-{kind}", {})
        return form, parts

    def _sources(self, kind: Kind) -> dict[str, Any]:
        """입력을 고르는 자리들."""
        words = self.words
        parts: dict[str, Any] = {}
        if kind == "picture":
            parts["files"] = gr.File(
                label=words["files"], file_count="multiple", height=140, elem_id=f"files-{self.lang}"
            )
            with gr.Accordion(words["folder"], open=False):
                parts["folder"] = gr.File(label=words["folder"], file_count="directory", height=120)
        else:
            parts["files"] = gr.File(label=words["film"], file_count="single", height=140, elem_id=f"film-{self.lang}")
        if self.site.folder is not None:
            with gr.Accordion(words["server_files"], open=False):
                # 고른 것이 그 폴더 안에 있는지는 `Site.paths_of`가 본다.
                parts["server"] = gr.Dropdown(
                    [],
                    label=words["server_files"],
                    multiselect=kind == "picture",
                    allow_custom_value=True,
                    elem_id=f"server-{kind}-{self.lang}",
                )
        return parts

    def _results(self) -> None:
        """줄과 결과."""
        words, lang = self.words, self.lang
        self.jobs = gr.Dropdown([], label=words["jobs"], elem_id=f"jobs-{lang}")
        self.status = gr.HTML(describe(None, 0, words), elem_id=f"status-{lang}")
        with gr.Row():
            self.cancel = gr.Button(
                words["cancel"], min_width=90, variant="stop", interactive=False, elem_id=f"cancel-{lang}"
            )
            self.resume = gr.Button(words["resume"], min_width=90, interactive=False, elem_id=f"resume-{lang}")
            self.again = gr.Button(words["again"], min_width=170, interactive=False, elem_id=f"again-{lang}")
            self.remove = gr.Button(words["remove"], min_width=90, interactive=False, elem_id=f"remove-{lang}")
        self.picked = gr.Dropdown([], label=words["picked"], visible=False)
        self.slider = build_comparison(words, f"compare-{lang}", max_height=640)
        self.player = gr.HTML(visible=False, elem_id=f"player-{lang}")
        self.files = gr.File(
            label=words["results"], file_count="multiple", interactive=False, visible=False, elem_id=f"results-{lang}"
        )
        self.zip = gr.Button(words["zip"], visible=False, elem_id=f"zip-{lang}")
        self.leave = gr.Checkbox(value=False, label=words["leave"])
        self.seen = gr.State("")
        self.timer = gr.Timer(TICK_SECONDS)

    def _connect(self, form: Form, parts: dict[str, Any]) -> None:
        """양식의 일들을 잇는다. 화면의 것은 API에 보이지 않는다."""
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        fields = list(form.fields.values())
        sources = [parts[name] for name in ("files", "folder", "server") if name in parts]
        inputs = [*sources, parts["weights"], *fields]
        refresh = partial(self._refresh, form, len(sources))
        for component in (*sources, parts["weights"]):
            component.change(refresh, inputs, [parts["command"], parts["settings"], self.notice], **quiet)
        for component in fields:
            # 프리셋이 채우거나 사람이 바꾸거나 같은 길로 온다.
            component.change(refresh, inputs, [parts["command"], parts["settings"], self.notice], **quiet)
        outputs = [*fields, self.notice]
        parts["preset"].input(partial(self._fill, form), [parts["preset"], parts["presets"]], outputs, **quiet)
        parts["save"].click(
            partial(self._save_preset, form),
            [parts["preset_name"], parts["presets"], *fields],
            [parts["presets"], parts["preset"], self.notice],
            **quiet,
        )
        shown = [parts["estimate_text"], *([parts["first"]] if "first" in parts else []), self.notice]
        estimate = partial(self._estimate, form, len(sources))
        slow = {"api_visibility": "private", "concurrency_limit": 4}
        parts["estimate"].click(estimate, inputs, shown, **slow)
        if form.kind == "picture":
            parts["files"].upload(estimate, inputs, shown, **slow)
        parts["run"].click(
            partial(self._run, form, len(sources)), [self.owner, *inputs], [self.owner, self.jobs, self.notice], **quiet
        )
        if "server" in parts:
            root: Any = gr.context.Context.root_block
            root.load(lambda: gr.update(choices=self.site.listing(form.kind)), None, [parts["server"]], **quiet)
        restore = partial(self._restore, form)
        gr.context.Context.root_block.load(  # type: ignore[union-attr]
            restore, [parts["settings"], parts["presets"]], [*fields, parts["preset"]], **quiet
        )

    def _connect_results(self) -> None:
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        result = [self.slider, self.player]
        everything = [
            self.jobs,
            self.status,
            self.cancel,
            self.resume,
            self.again,
            self.remove,
            self.picked,
            *result,
            self.files,
            self.zip,
            self.seen,
        ]
        inputs = [self.owner, self.jobs, self.seen, self.leave]
        self.timer.tick(self._tick, inputs, everything, queue=False, **quiet)
        self.jobs.input(self._tick, inputs, everything, queue=False, **quiet)
        self.picked.change(self._compare, [self.jobs, self.picked], result, **quiet)
        for button, act in ((self.cancel, "cancel"), (self.resume, "resume"), (self.remove, "remove")):
            button.click(partial(self._act, act), [self.owner, self.jobs], [self.notice], **quiet)
        self.zip.click(self._zip, [self.owner, self.jobs], [self.files, self.notice], **quiet)
        self.leave.input(lambda leave: leave, [self.leave], [self.leave_stored], **quiet)
        root: Any = gr.context.Context.root_block
        root.load(self._arrive, [self.owner, self.leave_stored], [self.owner, self.leave], **quiet)

    def _connect_again(self, *both: tuple[Form, dict[str, Any]]) -> None:
        """앞의 작업의 파일을 지금 양식의 설정으로 다시 하는 단추를 잇는다."""
        inputs = [one for form, parts in both for one in (parts["weights"], *form.fields.values())]
        self.again.click(
            partial(self._again, [form for form, _ in both]),
            [self.owner, self.jobs, *inputs],
            [self.jobs, self.notice],
            api_visibility="private",
            show_progress="hidden",
        )

    def _again(self, both: Sequence[Form], owner: str, chosen: str | None, *values: Any) -> tuple[Any, str]:
        """고른 작업의 파일을 그 종류의 양식의 설정으로 새로 맡긴다. 앞의 작업과 결과는 그대로다."""
        left = list(values)
        try:
            job = self._mine(owner, chosen)
            for form in both:
                weights, *fields = (left.pop(0) for _ in range(1 + len(form.fields)))
                if form.kind == job.kind:
                    given = None if not weights else self.site.queue.storage.owned(str(weights))
                    made = self.site.queue.again(job.id, form.read(fields), given)
        except RealESRGANError as error:
            return gr.skip(), notice(str(error))
        choices = job_choices(self.site.queue.owned_by(owner), self.words)
        return gr.update(choices=choices, value=made.id), ""

    def _arrive(self, owner: Any, leave: Any) -> tuple[str, bool]:
        """처음 온 브라우저에 표를 준다."""
        known = isinstance(owner, str) and len(owner) >= 32
        return owner if known else secrets.token_urlsafe(32), leave is True

    def _collect(self, count: int, values: Sequence[Any]) -> tuple[list[Path], list[str], Path | None, Sequence[Any]]:
        """받은 값에서 파일들과 가중치와 양식의 칸을 가른다."""
        listed = [one if isinstance(one, list) else [one] if one else [] for one in values[:count]]
        server = listed[-1] if self.site.folder is not None else []
        uploads = [path for one in listed[: count - (self.site.folder is not None)] for path in one]
        paths, names = self.site.paths_of([str(path) for path in uploads], [str(path) for path in server])
        weights = values[count]
        return paths, names, None if not weights else self.site.queue.storage.owned(str(weights)), values[count + 1 :]

    def _refresh(self, form: Form, count: int, *values: Any) -> tuple[Any, Any, str]:
        """명령줄을 다시 적고 양식을 브라우저에 기억한다."""
        try:
            _, names, weights, fields = self._collect(count, values)
            found = form.read(fields)
            options = read_options(found, form.kind)
        except RealESRGANError as error:
            return gr.skip(), gr.skip(), notice(str(error))
        line = command_line(options, form.kind, tuple(names[:20]), None if weights is None else weights.name)
        return line, found, ""

    def _fill(self, form: Form, name: str, own: Mapping[str, Any]) -> list[Any]:
        """프리셋으로 양식을 채운다."""
        values = forms.PRESETS[name][1] if name in forms.PRESETS else dict((own or {}).get(name, {}))
        try:
            return [*shown_values(form.kind, values, list(form.fields)), ""]
        except RealESRGANError as error:
            return [*([gr.skip()] * len(form.fields)), notice(str(error))]

    def _save_preset(self, form: Form, name: str, own: Any, *fields: Any) -> tuple[Any, Any, str]:
        name = (name or "").strip()
        try:
            if not name or name in forms.PRESETS:
                raise UsageError("프리셋의 이름을 적으세요.")
            found = form.read(fields)
            read_options(found, form.kind)
        except RealESRGANError as error:
            return gr.skip(), gr.skip(), notice(str(error))
        own = {**(own or {}), name: found}
        saved = notice(self.words["saved"].format(name=name), problem=False)
        return own, gr.update(choices=self._preset_choices(form.kind, own), value=name), saved

    def _preset_choices(self, kind: Kind, own: Mapping[str, Any]) -> list[tuple[str, str]]:
        given = [(self.words[name], name) for name, (one, _) in forms.PRESETS.items() if one == kind]
        return [(self.words["preset_none"], ""), *given, *((name, name) for name in own)]

    def _restore(self, form: Form, values: Any, own: Any) -> list[Any]:
        """이 브라우저가 지난번에 쓰던 양식을 되살린다. 읽을 수 없는 것은 버린다."""
        try:
            shown = shown_values(form.kind, values if isinstance(values, dict) else {}, list(form.fields))
        except RealESRGANError:
            shown = shown_values(form.kind, {}, list(form.fields))
        return [*shown, gr.update(choices=self._preset_choices(form.kind, own if isinstance(own, dict) else {}))]

    def _run(self, form: Form, count: int, owner: str, *values: Any) -> tuple[Any, Any, str]:
        """일을 맡긴다."""
        if not isinstance(owner, str) or len(owner) < 32:
            owner = secrets.token_urlsafe(32)
        try:
            paths, names, weights, fields = self._collect(count, values)
            job = self.site.queue.submit(owner, form.kind, form.read(fields), paths, names, weights)
        except RealESRGANError as error:
            return owner, gr.skip(), notice(str(error))
        choices = job_choices(self.site.queue.owned_by(owner), self.words)
        return owner, gr.update(choices=choices, value=job.id), ""

    def _estimate(self, form: Form, count: int, *values: Any) -> tuple[Any, ...]:
        """시간과 메모리를 어림한다. 비디오는 첫 프레임도 보인다."""
        film = form.kind == "video"
        try:
            paths, names, weights, fields = self._collect(count, values)
            if not paths:
                return ("", *([gr.update(visible=False)] if film else []), "")
            found = self.site.queue.estimate(form.kind, form.read(fields), paths, names, weights)
        except RealESRGANError as error:
            return ("", *([gr.update(visible=False)] if film else []), notice(_hidden(str(error))))
        text = notice(self._estimated(found), problem=False)
        if not film:
            return text, ""
        return text, shown_pair(found.get("views")), ""

    def _estimated(self, found: Mapping[str, Any]) -> str:
        words = self.words
        sizes = ", ".join(
            f"{name} {'x'.join(map(str, before))} -> {'x'.join(map(str, after))}"
            for name, before, after in found["sizes"][:3]
        )
        seconds = "?" if found["seconds"] is None else seconds_in(words, found["seconds"])
        if "frames" in found:
            size = "?" if found["size"] is None else describe_bytes(found["size"])
            return words["estimated_film"].format(frames=found["frames"], seconds=seconds, size=size, sizes=sizes)
        memory = describe_bytes(found["memory"])
        shown = {name: found[name] for name in ("backend", "device", "precision")}
        return words["estimated"].format(
            count=len(found["sizes"]), seconds=seconds, memory=memory, sizes=sizes, **shown
        )

    def _tick(self, owner: str, chosen: str | None, seen: str, leave: bool, request: gr.Request) -> tuple[Any, ...]:
        """일의 지금을 보인다. 결과의 칸은 바뀐 것이 있을 때만 건드린다."""
        queue, words = self.site.queue, self.words
        self.site.see(request.session_hash, owner or "", leave is True)
        jobs = queue.owned_by(owner) if owner else []
        job = next((one for one in jobs if one.id == chosen), jobs[0] if jobs else None)
        place = 0 if job is None else queue.place(job)
        state = "" if job is None else f"{job.id} {job.state} {len(job.files)}"
        listed = f"{state} {[(one.id, one.state) for one in jobs]}"
        status = describe(job, place, words)
        buttons = [
            gr.update(interactive=job is not None and job.active),
            gr.update(interactive=job is not None and job.state in ("cancelled", "failed")),
            gr.update(interactive=job is not None),
            gr.update(interactive=job is not None),
        ]
        if listed == seen:
            return (gr.skip(), status, *buttons, *([gr.skip()] * 5), seen)
        # 고른 것이 그대로면 값을 적지 않는다. 그사이 새로 맡긴 작업으로 옮겨 간 것을 되돌리지 않는다.
        kept = {} if job is not None and job.id == chosen else {"value": None if job is None else job.id}
        choices = gr.update(choices=job_choices(jobs, words), **kept)
        return (choices, status, *buttons, *self._made(job), listed)

    def _made(self, job: Job | None) -> list[Any]:
        """결과의 칸들: 비교할 것, 비교, 재생, 파일, 묶기."""
        files = [] if job is None else sorted(job.files, key=lambda one: natural_key(Path(one["output"])))
        compared = [(one["input"], str(index)) for index, one in enumerate(files) if one["views"]]
        paths = [one["output"] for one in files if Path(one["output"]).exists()]
        first = compared[0][1] if compared else None
        slider, player = self._compare(None if job is None else job.id, first)
        return [
            gr.update(choices=compared, value=first, visible=len(compared) > 1),
            slider,
            player,
            gr.update(value=paths or None, visible=bool(paths)),
            gr.update(visible=len(paths) > 1),
        ]

    def _compare(self, chosen: str | None, index: str | None) -> tuple[Any, Any]:
        """고른 결과의 비교."""
        try:
            job = None if not chosen else self.site.queue.find(chosen)
        except UsageError:
            job = None
        files = [] if job is None else sorted(job.files, key=lambda one: natural_key(Path(one["output"])))
        views = files[int(index)]["views"] if index and index.isdecimal() and int(index) < len(files) else None
        shown = views if views and all(Path(view).exists() for view in views) else None
        film = video_player(files[0]["output"], self.words) if job is not None and job.kind == "video" and files else ""
        return shown_pair(shown), gr.update(value=film, visible=bool(film))

    def _act(self, act: str, owner: str, chosen: str | None) -> str:
        """멈추거나, 이어 하거나, 지운다. 제 것만 된다."""
        try:
            job = self._mine(owner, chosen)
            acts: Mapping[str, Callable[[str], Any]] = {
                "cancel": self.site.queue.cancel,
                "resume": self.site.queue.resume,
                "remove": self.site.queue.remove,
            }
            acts[act](job.id)
        except RealESRGANError as error:
            return notice(str(error))
        return ""

    def _mine(self, owner: str, chosen: str | None) -> Job:
        job = self.site.queue.find(chosen or "")
        if job.owner != owner:
            raise UsageError("그런 작업이 없습니다. 화면을 새로 고치세요.")
        return job

    def _zip(self, owner: str, chosen: str | None) -> tuple[Any, str]:
        """결과를 zip 하나로 묶어 파일의 목록 앞에 둔다."""
        try:
            job = self._mine(owner, chosen)
            paths = [Path(one["output"]) for one in job.files if Path(one["output"]).exists()]
            made = self.site.queue.storage.zip_results(job.id, paths)
        except RealESRGANError as error:
            return gr.skip(), notice(str(error))
        return [str(made), *map(str, paths)], ""
