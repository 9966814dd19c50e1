"""이름으로 클래스를 찾는 등록부(registry). BasicSR의 데코레이터와 같은 모양이며 BasicSR을 불러오지 않는다."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

T = TypeVar("T")


@dataclass(eq=False)
class Registry:
    """이름과 객체의 대응표.

    `@REGISTRY.register()`로 등록하고 `REGISTRY.get(이름)`으로 찾는다.

    Args:
        _name: 등록부의 이름. 오류에 적는다.
        _homes: 이름이 불릴 때에야 불러올 모듈들. 불러오면 스스로 등록한다.
    """

    _name: str
    _homes: Mapping[str, str] = field(default_factory=dict)
    _objects: dict[str, Any] = field(default_factory=dict)
    _behind: Iterable[tuple[str, Any]] = ()

    def look_behind(self, other: Iterable[tuple[str, Any]]) -> None:
        """여기에 없는 이름은 `other`에서도 찾게 한다. 복사하지 않으므로 나중에 등록된 것도 보인다.

        Args:
            other: (이름, 객체)를 차례로 내는 것. 같은 이름이 양쪽에 있으면 여기의 것이 앞선다.
        """
        self._behind = other

    def _all(self) -> dict[str, Any]:
        for module in self._homes.values():
            importlib.import_module(module)
        own = {name: self._objects[name] for name in self._homes} | self._objects
        return own | {name: obj for name, obj in self._behind if name not in own}

    @overload
    def register(self, obj: T, suffix: str | None = None) -> T: ...

    @overload
    def register(self, obj: None = None, suffix: str | None = None) -> Callable[[T], T]: ...

    def register(self, obj: Any = None, suffix: str | None = None) -> Any:
        """객체를 제 이름으로 등록한다. 데코레이터로도 함수로도 쓸 수 있다.

        Args:
            obj: 등록할 클래스나 함수. 없으면 데코레이터를 돌려준다.
            suffix: 이름 뒤에 `_suffix`를 붙여 등록한다.

        Raises:
            ValueError: 같은 이름이 이미 있을 때.
        """
        if obj is None:
            return lambda decorated: self.register(decorated, suffix)
        name = obj.__name__ if suffix is None else f"{obj.__name__}_{suffix}"
        if name in self._objects or self._homes.get(name, home := obj.__module__) != home:
            raise ValueError(f"{self._name} 등록부에 이미 있는 이름입니다: '{name}'. 다른 이름을 쓰세요.")
        self._objects[name] = obj
        return obj

    def get(self, name: str) -> Any:
        """등록한 객체를 돌려준다.

        Raises:
            KeyError: 그 이름이 없을 때. 메시지에 등록된 이름을 담는다.
        """
        if name in self._homes:
            importlib.import_module(self._homes[name])
        if name in self._objects:
            return self._objects[name]
        try:
            return self._all()[name]
        except KeyError:
            known = ", ".join(sorted(self._all())) or "없음"
            raise KeyError(f"{self._name} 등록부에 없는 이름입니다: '{name}'. 등록된 이름: {known}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self._all().items())

    def keys(self) -> list[str]:
        """등록된 이름을 등록 순서로 돌려준다."""
        return list(self._all())


ARCH_REGISTRY = Registry(
    "네트워크(arch)",
    {"RRDBNet": "realesrgan.archs.rrdbnet_arch", "SRVGGNetCompact": "realesrgan.archs.srvgg_arch"},
)
