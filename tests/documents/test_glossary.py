"""한 뜻에 한 낱말. 문서, 독스트링, 메시지, 주석, 옵션 파일의 주석을 본다."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.documents.pages import PAGES, name_of, read

# 쓰지 않는 낱말과 대신 쓸 것.
WORDS = {
    r"동?영상(?![가-힣]*의학)": "비디오",
    r"화소": "픽셀",
    r"upstream(?=[가-힣(]| 의)": "원본",
    r"이음매": "이음새",
    r"저수지": "쌍 풀",
    r"조리법": "레시피",
    r"그림의 차례": "이미지 시퀀스",
    r"에만 듣": "에만 적용됩니다",
    r"(?<![가-힣])이 판(?:은|이|에|의|부터|까지)(?![가-힣])": "이 버전",
    r"거절": "받지 않는다, 시작할 수 없음",
    r"(?<!미리)(?<!미리 )보기:": "예:",
    r"곧이곧대로": "그대로",
    r"학습(?!률)": "훈련",
    r"미세 조정|파인 ?튜닝": "미세조정",
    r"체크 포인트": "체크포인트",
    r"판별기": "판별자",
    r"생성 ?네트워크|신경망|뉴럴": "생성자, 네트워크",
    r"두 세제곱|쌍삼차|쌍3차": "바이큐빅",
    r"최근방|최근린": "최근접",
    r"부호화|복호화": "인코딩, 디코딩",
    r"최적화기": "옵티마이저",
    r"그라디언트|경사도": "그래디언트",
    r"종속성|꾸러미": "의존성, 패키지",
    r"(?<!\()노이즈": "잡음",
    r"아티팩트": "압축 흔적",
    r"샤프닝": "선명화",
    r"업스케일링": "업스케일",
    r"데이터 세트|데이타": "데이터셋",
    r"반 정밀도|하프 정밀도": "반정밀도",
    r"배치 사이즈": "배치 크기",
    r"컬러 프로파일|색상 프로파일": "색 프로파일",
    r"수퍼 ?레졸루션|슈퍼 ?레졸루션|초고해상도": "초해상도",
}
# 조사의 두 꼴을 함께 적은 것. 메시지는 `tests/cli`가 따로 본다.
PARTICLES = r"을\(를\)|를\(을\)|은\(는\)|는\(은\)|이\(가\)|가\(이\)|와\(과\)|과\(와\)|\(으\)로"
SOURCES = sorted(path for tree in ("realesrgan", "scripts") for path in (ROOT / tree).rglob("*.py"))
OPTIONS = sorted((ROOT / "options").glob("*.yml"))


def texts_of_python(path: Path) -> Iterator[tuple[int, str]]:
    """주석과 글 상수의 `(줄, 글)`."""
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type in kinds:
            yield from enumerate(token.string.splitlines(), token.start[0])


def misused(lines: Iterator[tuple[int, str]]) -> list[str]:
    return [
        f"{line}: {found[0]} -> {instead}: {text.strip()[:80]}"
        for line, text in lines
        for word, instead in WORDS.items()
        if (found := re.search(word, text))
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_words_of_the_pages(page: Path) -> None:
    assert not misused(iter(enumerate(read(page).splitlines(), 1)))
    assert not re.findall(PARTICLES, read(page))


def test_words_of_docstrings_comments_and_messages() -> None:
    assert not [f"{name_of(path)}:{wrong}" for path in SOURCES for wrong in misused(texts_of_python(path))]


def test_words_of_the_option_files() -> None:
    lines = ((path, enumerate(path.read_text(encoding="utf-8").splitlines(), 1)) for path in OPTIONS)
    assert not [f"{name_of(path)}:{wrong}" for path, each in lines for wrong in misused(iter(each))]


def test_the_check_finds_a_wrong_word() -> None:
    assert misused(iter([(1, "영상의 화소를(을) 학습한다")]))
    assert not misused(iter([(1, "비디오의 픽셀, 학습률, 미리보기: a.png, 잡음(노이즈)")]))
