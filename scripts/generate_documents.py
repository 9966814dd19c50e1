"""문서의 표와 그림을 코드와 옵션 파일에서 새로 쓴다. 명령의 옵션, 모듈, 레시피, 폴더의 의존을 바꾼 뒤에 실행한다."""

import argparse
import ast
import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다

from realesrgan.cli.console import say
from realesrgan.cli.tools import run_and_leave, run_tool, tool_parser

ROOT = Path(__file__).resolve().parents[1]
# 문서에서 만든 것이 놓이는 자리. `<!-- 만듦: 이름 인자 -->`에서 `<!-- 만듦 끝 -->`까지다.
PLACE = re.compile(r"(<!-- 만듦: ([^>]+?) -->\n).*?(<!-- 만듦 끝 -->)", re.S)
RECIPES = (
    ("RealESRNet", "train_realesrnet_x4plus"),
    ("RealESRGAN", "train_realesrgan_x4plus"),
    ("미세조정", "finetune_realesrgan_x4plus"),
    ("내 사진", "finetune_my_pictures"),
    ("빠른 시작", "quickstart_cpu"),
)
# 훈련 표의 줄: 옵션 파일에서의 자리와 뜻.
TRAINING = (
    ("network_g:type", "생성자"),
    ("network_d:type", "판별자"),
    ("gt_size", "훈련 조각의 한 변(GT 픽셀)"),
    ("datasets:train:batch_size_per_gpu", "배치 크기"),
    ("queue_size", "쌍 풀의 크기"),
    ("train:total_iter", "반복"),
    ("train:optim_g:type", "옵티마이저"),
    ("train:optim_g:lr", "생성자의 학습률"),
    ("train:optim_d:lr", "판별자의 학습률"),
    ("train:scheduler:type", "스케줄러"),
    ("train:warmup_iter", "학습률을 올리는 반복"),
    ("train:ema_decay", "EMA의 감쇠"),
    ("train:pixel_opt:loss_weight", "픽셀 손실의 비중"),
    ("train:perceptual_opt:perceptual_weight", "지각 손실의 비중"),
    ("train:gan_opt:loss_weight", "적대 손실의 비중"),
    ("gt_usm", "(RealESRNet) 선명화한 정답"),
    ("l1_gt_usm", "픽셀 손실의 정답을 선명화"),
    ("percep_gt_usm", "지각 손실의 정답을 선명화"),
    ("gan_gt_usm", "판별자의 정답을 선명화"),
)
DEGRADATION = (
    ("sinc_prob", "sinc 커널의 확률"),
    ("blur_sigma", "블러의 표준편차(픽셀)"),
    ("betag_range", "일반화 가우시안의 모양"),
    ("betap_range", "평탄 커널의 모양"),
    ("resize_prob", "키움, 줄임, 그대로"),
    ("resize_range", "크기를 바꾸는 배율"),
    ("gaussian_noise_prob", "가우시안 잡음의 확률(나머지는 푸아송)"),
    ("noise_range", "가우시안 잡음의 표준편차(0..255)"),
    ("poisson_scale_range", "푸아송 잡음의 배수"),
    ("gray_noise_prob", "회색 잡음의 확률"),
    ("jpeg_range", "JPEG 품질"),
)
# 어디서나 쓰이므로 폴더의 그림에서 뺀 것.
EVERYWHERE = {"util", "errors", "registry", "version", "utils", "__init__", "__main__"}


def build_parser() -> argparse.ArgumentParser:
    """인자 해석기를 만든다."""
    parser = tool_parser(
        "generate_documents.py",
        "문서에서 만든 자리(명령의 옵션, 모듈의 목록, 하이퍼파라미터의 표, 폴더의 그림)를 코드와 옵션 파일에서 새로 "
        "씁니다. 만든 자리는 손으로 고치지 않습니다.",
        ["python scripts/generate_documents.py"],
    )
    parser.add_argument("--check", action="store_true", help="쓰지 않고, 다른 문서가 있으면 1로 끝납니다.")
    return parser


def run(*, check: bool) -> int:
    """새로 쓰거나 견준다."""
    from realesrgan.util.files import write_atomically

    stale = [page for page in pages() if render(page) != page.read_text(encoding="utf-8")]
    for page in stale:
        if not check:
            write_atomically(page, render(page).encode())
        say(f"{'코드와 다릅니다' if check else '새로 썼습니다'}: {page.relative_to(ROOT)}")
    if not stale:
        say("문서가 이미 코드와 같습니다.")
    return int(check and bool(stale))


def pages() -> list[Path]:
    """만든 자리가 있는 문서들."""
    folders = ("docs", "realesrgan", "options", "scripts", "tests")
    found = [*ROOT.glob("*.md"), *(page for folder in folders for page in (ROOT / folder).rglob("*.md"))]
    return sorted(page for page in found if "<!-- 만듦: " in page.read_text(encoding="utf-8"))


def render(page: Path) -> str:
    """만든 자리를 새로 채운 문서의 글."""

    def fill(found: re.Match[str]) -> str:
        name, *rest = found[2].split()
        return f"{found[1]}{PRODUCERS[name](*rest).rstrip()}\n{found[3]}"

    return PLACE.sub(fill, page.read_text(encoding="utf-8"))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown 표."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)])


def parser_of(command: str) -> argparse.ArgumentParser:
    """명령의 해석기. `scripts/`의 파일이면 그 이름을 준다."""
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    homes = dict(re.findall(r'"(realesrgan[\w-]*)=([\w.]+):\w+"', setup)) | {
        "realesrgan": "realesrgan.cli.arguments",
        "realesrgan-video": "realesrgan.cli.video_arguments",
        "train": "realesrgan.cli.train",
    }
    if command in homes:
        return importlib.import_module(homes[command]).build_parser()
    spec = importlib.util.spec_from_file_location(f"script_{command}", ROOT / "scripts" / f"{command}.py")
    if spec is None or spec.loader is None:
        raise LookupError(command)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build_parser()


def options(command: str) -> str:
    """명령의 모든 옵션. 묶음마다 표 하나다."""
    parts = []
    for group in parser_of(command)._action_groups:
        rows = [option_row(action) for action in group._group_actions if action.help is not argparse.SUPPRESS]
        if rows:
            parts.append(f"**{group.title}**\n\n{table(('옵션', '뜻'), rows)}")
    return "\n\n".join(parts)


def option_row(action: argparse.Action) -> tuple[str, str]:
    """옵션 하나의 이름들과 뜻."""
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.metavar or action.dest}`"
    value = f" `{action.metavar}`" if action.option_strings and isinstance(action.metavar, str) else ""
    return names + value, " ".join((action.help or "").replace("%%", "%").split())


def tools() -> str:
    """`scripts/`의 명령마다 하는 일과 옵션."""
    parts = []
    for path in sorted((ROOT / "scripts").glob("[!_]*.py")):
        parts.append(f"### {path.name}\n\n{first_line(path)}")
        if "def build_parser" in path.read_text(encoding="utf-8"):
            parser = parser_of(path.stem)
            given = [action for action in parser._actions if action.dest not in ("help", "verbose", "plugin")]
            parts.append(table(("옵션", "뜻"), [option_row(action) for action in given]))
    return "\n\n".join(parts)


def first_line(path: Path) -> str:
    """모듈의 독스트링의 첫 줄."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not text:
        raise ValueError(f"첫 줄에 무엇을 하는 모듈인지 적으세요: {path}")
    return text.splitlines()[0]


def modules(folder: str) -> str:
    """폴더의 모듈마다 한 줄."""
    files = [path for path in sorted((ROOT / folder).glob("*.py")) if path.name != "__init__.py"]
    return table(("모듈", "하는 일"), [(f"`{path.name}`", first_line(path)) for path in files])


def networks() -> str:
    """네트워크의 인자와 기본값."""
    from realesrgan import archs

    rows = []
    for name in ("RRDBNet", "SRVGGNetCompact", "UNetDiscriminatorSN"):
        kind = getattr(archs, name)
        text = f"{kind.__doc__}\n{kind.__init__.__doc__ or ''}"
        for argument in list(inspect.signature(kind).parameters.values()):
            meaning = re.search(rf"^ +(?:\w+, )*{argument.name}(?:, \w+)*: (.+)$", text, re.M)
            default = "**필수**" if argument.default is inspect.Parameter.empty else f"`{argument.default}`"
            rows.append((f"`{name}`", f"`{argument.name}`", default, meaning[1] if meaning else ""))
    return table(("네트워크", "인자", "기본", "뜻"), rows)


def costs() -> str:
    """공식 모델마다 가중치의 수, 계산량, 메모리의 어림. 다시 재지 않고 네트워크의 모양에서 나온다."""
    from benchmark.flops import network_flops

    from realesrgan import archs
    from realesrgan.archs.base import activation_values
    from realesrgan.zoo.models import MODELS

    rows, side = [], 128
    for spec in MODELS.values():
        network = getattr(archs, spec.arch)(**spec.arch_args)
        weights = sum(parameter.numel() for parameter in network.parameters())
        flops = network_flops(network, side, side) / side**2
        values = activation_values(network).peak * 4
        size, work, memory = f"{weights / 1e6:.2f}백만", f"{flops / 1e6:.1f} MFLOP", f"{values * 1e6 / 2**30:.1f} GiB"
        rows.append((f"`{spec.name}`", f"`{spec.arch}`", f"{spec.scale}", size, work, memory))
    memory = "입력 1메가픽셀을 통째로 할 때의 메모리(fp32, 어림)"
    return table(("모델", "네트워크", "배율", "가중치의 수", "입력 픽셀마다의 계산량", memory), rows)


def recipe(name: str) -> dict[str, Any]:
    """옵션 파일."""
    import yaml

    return yaml.safe_load((ROOT / "options" / f"{name}.yml").read_text(encoding="utf-8"))


def looked_up(options: Any, key: str) -> str:
    """`a:b:c`의 값. 없으면 `-`."""
    for part in key.split(":"):
        if not isinstance(options, dict) or options.get(part) is None:
            return "-"
        options = options[part]
    if isinstance(options, list):
        return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in options)
    return str(options).lower() if isinstance(options, bool) else str(options)


def training() -> str:
    """레시피마다의 훈련 값."""
    files = [recipe(name) for _, name in RECIPES]
    rows = [(f"`{key}`", meaning, *(looked_up(one, key) for one in files)) for key, meaning in TRAINING]
    return table(("키", "뜻", *(title for title, _ in RECIPES)), rows)


def degradation() -> str:
    """첫째와 둘째 열화의 값."""
    both = recipe("train_realesrgan_x4plus")
    both = {**both, **both["datasets"]["train"]}
    rows: list[tuple[str, ...]] = [
        (f"`{key}`", meaning, looked_up(both, key), looked_up(both, f"{key}2")) for key, meaning in DEGRADATION
    ]
    rows += [
        ("`second_blur_prob`", "둘째 블러의 확률", "언제나", looked_up(both, "second_blur_prob")),
        ("`final_sinc_prob`", "마지막 sinc의 확률", "-", looked_up(both, "final_sinc_prob")),
        *((f"`kernel_prob` {kind}", "커널의 비중", *weights) for kind, *weights in kernel_weights(both)),
    ]
    return table(("키(둘째는 `2`를 붙임)", "뜻", "첫째", "둘째"), rows)


def kernel_weights(both: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """커널의 종류마다 첫째와 둘째의 비중."""
    columns = zip(both["kernel_list"], both["kernel_prob"], both["kernel_prob2"], strict=True)
    return ((kind, f"{first:g}", f"{second:g}") for kind, first, second in columns)


def place_of(path: Path) -> str:
    """파일이 든 폴더, 또는 패키지 바로 아래의 파일 이름."""
    inside = path.relative_to(ROOT / "realesrgan")
    return inside.parent.as_posix() if len(inside.parts) > 1 else inside.stem


def imported_places(path: Path) -> set[str]:
    """파일이 불러오는 이 패키지의 폴더들."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    places = set()
    for name in (name for name in names if name.startswith("realesrgan.")):
        file = ROOT.joinpath(*name.split("."))
        while file != ROOT / "realesrgan" and not (file.is_dir() or file.with_suffix(".py").is_file()):
            file = file.parent
        inside = file.relative_to(ROOT / "realesrgan")
        places.add(inside.as_posix() if file.is_dir() else place_of(file.with_suffix(".py")))
    return places - {"."}


def dependencies() -> dict[str, set[str]]:
    """폴더마다 바로 불러오는 폴더들. 어디서나 쓰이는 것은 뺀다."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "realesrgan").rglob("*.py"):
        place = place_of(path)
        if place not in EVERYWHERE:
            found.setdefault(place, set()).update(imported_places(path) - EVERYWHERE - {place})
    return found


def needed_edges(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """다른 길로 닿는 의존을 뺀 것(transitive reduction)."""

    def reach(start: str) -> set[str]:
        return graph[start].union(*(reach(place) for place in graph[start]), set())

    return [
        (place, target)
        for place in sorted(graph)
        for target in sorted(graph[place])
        if not any(target in reach(other) for other in graph[place] - {target})
    ]


def architecture() -> str:
    """폴더의 의존을 그린 mermaid. 화살표는 불러오는 쪽에서 불리는 쪽으로 간다."""
    graph = dependencies()
    lines = ["```mermaid", "flowchart TD"]
    for place in sorted(graph):
        file = ROOT / "realesrgan" / place / "__init__.py"
        told = first_line(file if file.is_file() else ROOT / "realesrgan" / f"{place}.py")
        short = re.split(r"[.](?: |$)|: |\(|$", told)[0].strip().replace("`", "")
        lines.append(f'    {node(place)}["{place}<br/>{short}"]')
    lines += [f"    {node(place)} --> {node(target)}" for place, target in needed_edges(graph)]
    return "\n".join([*lines, "```"])


def node(place: str) -> str:
    """mermaid의 마디 이름."""
    return "n_" + re.sub(r"\W", "_", place)


PRODUCERS: dict[str, Callable[..., str]] = {
    "architecture": architecture,
    "costs": costs,
    "degradation": degradation,
    "modules": modules,
    "networks": networks,
    "options": options,
    "tools": tools,
    "training": training,
}


def main(argv: Sequence[str] | None = None) -> int:
    """명령을 실행하고 종료 코드를 돌려준다."""
    return run_tool(build_parser(), run, argv)


if __name__ == "__main__":
    run_and_leave(main)
