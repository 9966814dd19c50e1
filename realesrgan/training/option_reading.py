"""선언(`option_types`)대로 옵션 블록을 읽는다. 틀린 값은 자리와 값과 올 수 있는 값을 말하는 오류다."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta

from realesrgan.errors import OptionError

T = TypeVar("T", bound=msgspec.Struct)
# 두 수가 작은 것부터 와야 하는 키의 끝.
_RANGES = ("_range", "_range2", "blur_sigma", "blur_sigma2", "codec_crf")
# 합이 0이면 아무것도 고를 수 없는 비중의 목록.
_WEIGHTS = ("resize_prob", "resize_prob2", "kernel_prob", "kernel_prob2", "codec_weights")
_NAMES = {int: "정수", float: "수", bool: "true나 false", str: "글", dict: "'키: 값'의 블록"}


def nearest(word: str, known: Iterable[str]) -> str:
    """가장 가까운 이름을 알리는 문장. 가까운 것이 없으면 아는 이름을 모두 적는다."""
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"혹시 '{close[0]}'입니까?" if close else f"쓸 수 있는 이름: {', '.join(names)}"


def check_keys(where: str, options: Any, known: Iterable[str]) -> None:
    """사전의 키가 모두 `known`에 있는지 본다.

    Raises:
        OptionError: 사전이 아니거나 모르는 키가 있을 때.
    """
    if not isinstance(options, Mapping):
        raise OptionError(
            f"사전이 아닌 옵션입니다: {where}={options!r}\n  이 자리에는 '키: 값'들이 와야 합니다.\n"
            "  해결: options/의 본보기와 들여쓰기를 견주어 고치세요."
        )
    known = tuple(known)
    for key in options:
        if key not in known:
            raise OptionError(
                f"모르는 옵션입니다: {label(where, str(key))}\n  철자가 틀린 옵션은 조용히 무시되므로 멈춥니다.\n"
                f"  해결: {nearest(str(key), known)}"
            )


def label(where: str, key: str) -> str:
    """오류에 적을 키의 자리."""
    return key if where == "맨 위" else f"{where}:{key}"


def strip(annotation: Any) -> tuple[Any, list[Meta]]:
    """`Annotated`를 벗기고 붙은 것을 바깥 것부터 돌려준다. `| None`도 벗긴다."""
    metas: list[Meta] = []
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *found = get_args(annotation)
            metas += found
        elif get_origin(annotation) in (types.UnionType, typing.Union):
            rest = [one for one in get_args(annotation) if one is not type(None)]
            if len(rest) > 1:
                return annotation, metas
            annotation = rest[0]
        else:
            return annotation, metas


def describe(annotation: Any) -> str:
    """자료형과 범위를 사람이 읽는 말로. 예: `수, 0 이상 1 이하`."""
    bare, metas = strip(annotation)
    origin = get_origin(bare)
    if origin is Literal:
        return " 또는 ".join(map(str, get_args(bare)))
    if origin in (types.UnionType, typing.Union):
        return " 또는 ".join(describe(one) for one in get_args(bare) if one is not type(None))
    if origin is tuple:
        items = get_args(bare)
        return f"{len(items)}개의 목록({describe(items[0])})"
    shortest = next((meta.min_length for meta in metas if meta.min_length), 0)
    if origin is list:
        return f"목록({describe(get_args(bare)[0])}){', 하나 이상' if shortest else ''}"
    if bare is str and shortest:
        return "비지 않은 글"
    name = _NAMES.get(origin or bare, _NAMES[dict])
    bounds = [
        f"{getattr(meta, attribute)}{word}"
        for meta in metas
        for attribute, word in (("ge", " 이상"), ("gt", " 초과"), ("le", " 이하"))
        if getattr(meta, attribute, None) is not None
    ]
    return f"{name}, {' '.join(bounds)}" if bounds else name


def _integral(value: Any) -> Any:
    """`5e3`처럼 적은 정수를 정수로. 수의 자리에는 정수도 들어가므로 모두 바꾸어도 된다."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_integral(one) for one in value]
    return value


def _is_block(annotation: Any) -> bool:
    bare, _ = strip(annotation)
    return isinstance(bare, type) and issubclass(bare, msgspec.Struct)


def read_block(
    kind: type[T], options: Any, where: str, rest: Iterable[str] | Mapping[str, Iterable[str]] | None = ()
) -> T:
    """블록 하나를 선언대로 읽는다. 값이 비었으면(`~`) 적지 않은 것으로 본다.

    Args:
        kind: 선언.
        options: 옵션 파일의 블록.
        where: 오류에 적을 자리.
        rest: 선언에 없지만 받아 주는 키. 사전이면 블록의 자리마다의 키, None이면 무엇이든 받는다.

    Raises:
        OptionError: 모르는 키, 빠진 키, 틀린 값이 있을 때.
    """
    fields = msgspec.structs.fields(kind)
    known = [field.name for field in fields]
    inside = rest if isinstance(rest, Mapping) else {}
    own = inside.get(where, ()) if isinstance(rest, Mapping) else rest
    check_keys(where, options, options if own is None and isinstance(options, Mapping) else (*known, *(own or ())))
    values = {}
    for field in fields:
        value = options.get(field.name)
        if value is None:
            if field.required:
                raise OptionError(
                    f"옵션이 빠졌습니다: {label(where, field.name)}\n  {meaning(field.type)}.\n"
                    f"  해결: 값을 적으세요. 올 수 있는 값: {describe(field.type)}"
                )
        elif _is_block(field.type):
            # 클래스를 만드는 블록은 그 클래스의 서명이 나머지 키를 정한다.
            inner = strip(field.type)[0]
            open_ended = "type" in inner.__struct_fields__ and not getattr(inner, "closed", False)
            values[field.name] = read_block(inner, value, label(where, field.name), None if open_ended else inside)
        else:
            values[field.name] = read_value(field.type, value, label(where, field.name))
    return kind(**values)


def read_value(annotation: Any, value: Any, where: str) -> Any:
    """값 하나를 자료형대로 읽는다. 두 수의 범위는 작은 것이 앞이어야 한다.

    Raises:
        OptionError: 자료형이나 범위가 맞지 않을 때.
    """
    try:
        found = msgspec.convert(_integral(value), annotation)
    except msgspec.ValidationError as error:
        raise OptionError(
            f"옵션의 값이 잘못됐습니다: {where}={value!r}\n  {meaning(annotation)}.\n"
            f"  해결: 올 수 있는 값은 {describe(annotation)}입니다."
        ) from error
    if not _is_finite(found):
        raise OptionError(
            f"유한하지 않은 수입니다: {where}={value!r}\n  {meaning(annotation)}.\n"
            f"  해결: NaN과 Inf가 아닌 수로 적으세요. 올 수 있는 값은 {describe(annotation)}입니다."
        )
    if where.endswith(_WEIGHTS) and not sum(found) > 0:
        raise OptionError(
            f"비중의 합이 0입니다: {where}={value!r}\n  {meaning(annotation)}. 아무것도 고를 수 없습니다.\n"
            "  해결: 하나는 0보다 크게 적으세요."
        )
    if where.endswith(_RANGES):
        low, high = found
        if low > high:
            raise OptionError(
                f"범위가 거꾸로입니다: {where}={value!r}\n  작은 값이 앞에 와야 합니다.\n"
                f"  해결: [{high:g}, {low:g}]로 적으세요."
            )
    return found


def _is_finite(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def meaning(annotation: Any) -> str:
    """선언에 적은 키의 뜻."""
    _, metas = strip(annotation)
    return next((str(meta.description) for meta in metas if meta.description), "이 자리의 값")
