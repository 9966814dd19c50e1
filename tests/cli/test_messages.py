"""사람에게 보이는 글: 모든 예외와 명령의 끝에서 무슨 일이, 왜, 어떻게 하면 되는지를 한국어로 말한다."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from realesrgan import errors
from tests.conftest import ROOT
from tests.scripts.command import draw

NAMED = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
SOURCES = sorted([*(ROOT / "realesrgan").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")])
# 안에서 붙잡아 다른 길로 가는 것들이라 까닭만 담는다: 타일로 나누거나 띠를 줄인다.
INTERNAL = ("NotStreamableError", "OutOfMemoryError")
# 할 일을 말하는 글: 해결의 줄이나 부탁하는 말, 고를 것들.
REMEDY = re.compile("해결:|세요|습니까|쓸 수 있는|이어야 합니다|여야 합니다|지원하는|가운데 하나|[어야러해]야 합니다")


def text_of(node: ast.AST) -> str:
    """글을 이어 붙인 것. 끼운 값은 빈칸으로 둔다."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(one) if isinstance(one, ast.Constant) else "{}" for one in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return "{}"


def raised() -> Iterator[tuple[str, str, str]]:
    """`(자리, 예외의 이름, 글)`. 글이 그 자리에 적힌 것만."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
                name, given = node.exc.func.id, node.exc.args
                if name in NAMED and given:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", name, text_of(given[0])


def test_every_named_exception_is_raised_or_is_a_base() -> None:
    used = {name for _, name, _ in raised()}
    whole = "".join(path.read_text(encoding="utf-8") for path in SOURCES if path.name != "errors.py")
    bases = {base.__name__ for kind in NAMED.values() for base in kind.__mro__[1:]}
    assert {
        name for name in NAMED if name not in used | bases and not re.search(rf"raise {name}\b|\b{name}\(", whole)
    } == set()


@pytest.mark.parametrize("name", sorted(NAMED.keys() - set(INTERNAL)))
def test_every_exception_says_what_and_what_to_do_in_korean(name: str) -> None:
    missing = []
    for where, kind, text in raised():
        plain = text.replace("{}", "").strip()
        # 다른 곳에서 만든 글을 그대로 넘기는 것은 만든 곳에서 본다.
        if kind != name or not plain or len(plain) < 6:
            continue
        if not re.search("[가-힣]", plain) or ("{}" not in text.splitlines()[-1] and not REMEDY.search(text)):
            missing.append((where, text))
    assert missing == []


def test_no_message_leaves_the_particle_to_the_reader() -> None:
    """받침에 따라 달라지는 조사를 괄호로 적지 않는다."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"[을은이와과](\((를|는|가|과|와)\))|\(으\)로|\(이\)", line)
    ]
    assert found == []


def test_a_path_without_its_option_is_told_to_give_the_option(capsys) -> None:
    from realesrgan.cli import image, video

    for main in (image.main, video.main):
        with pytest.raises(SystemExit) as stopped:
            main(["photo.jpg"])
        assert stopped.value.code == 2
        assert "입력 앞에 -i를 붙이세요(-i photo.jpg)" in capsys.readouterr().err


def test_a_misspelt_option_is_answered_with_the_nearest(capsys) -> None:
    from realesrgan.cli import image, train, video

    for main, wrong, right in (
        (image.main, "--outptu=x", "--outptu 대신 --output입니까?"),
        (video.main, "--resmue", "--resmue 대신 --resume입니까?"),
        (train.main, "--auto-resume", "--auto-resume 대신 --auto_resume입니까?"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["-opt", "x.yml", wrong] if main is train.main else ["-i", "a", wrong])
        assert stopped.value.code == 2
        assert right in capsys.readouterr().err


def test_an_input_that_is_not_there_says_why_and_what_to_do(tmp_path: Path, capsys) -> None:
    from realesrgan.cli import image, video

    for main in (image.main, video.main):
        assert main(["-i", str(tmp_path / "없음.bin"), "-o", str(tmp_path)]) == 2
        said = capsys.readouterr()
        assert "이유:" in said.out + said.err and "해결:" in said.out + said.err


def test_a_video_given_to_the_picture_command_names_the_other_command(tmp_path: Path, capsys) -> None:
    from realesrgan.cli.image import main

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "여행.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    for source in (tmp_path / "in" / "여행.mp4", tmp_path / "in"):
        assert main(["-i", str(source), "-o", str(tmp_path / "out")]) in (1, 2)
        captured = capsys.readouterr()
        said = captured.out + captured.err
        assert "비디오" in said and f"inference_realesrgan_video.py -i {source}" in said


def test_the_end_says_where_the_results_are_and_what_is_next(
    tmp_path: Path, nearest_weights, monkeypatch, capsys
) -> None:
    from realesrgan.cli.image import main

    monkeypatch.chdir(tmp_path)
    for index in range(2):
        draw(tmp_path / "in" / f"{index}.png")
    (tmp_path / "in" / "깨짐.png").write_bytes((tmp_path / "in" / "0.png").read_bytes()[:60])
    assert main(["-i", "in", "-o", "out", "--model_path", str(nearest_weights(2)), "--device", "cpu"]) == 1
    said = capsys.readouterr()
    lines = (said.out + said.err).splitlines()
    assert "결과: out" in lines and any(
        line.startswith("다음에 할 일: ") and "--skip_existing" in line for line in lines
    )
    assert not re.search(r"\b0(개|장|%|프레임)", said.out)
    assert len([line for line in lines if "깨짐.png" in line and "실패" in line]) == 1


def test_times_are_told_as_a_person_says_them() -> None:
    from realesrgan.cli.runner import conclusion

    assert conclusion([], 2488)[1].endswith("(41분 28초)") and conclusion([], 9000)[1].endswith("(2시간 30분)")
    assert conclusion([], 3.21)[1].endswith("(3.2초)")
