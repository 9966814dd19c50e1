"""torch.compile 엔진: 되풀이되는 모양의 타일과 프레임을 컴파일하고, CUDA에서는 그래프(CUDA graph)로 적어 되부른다.

컴파일은 모양마다 몇 초에서 몇 분이 걸리므로 몇 번 되풀이된 모양만 한다. 띠로 이어 돌리는 것은 PyTorch 엔진과 같다.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from realesrgan.errors import OutOfMemoryError
from realesrgan.inference.engines import torch as plain
from realesrgan.inference.engines.base import named_memory_error

logger = logging.getLogger(__name__)

# 이만큼 되풀이된 모양을 컴파일한다. 사진 한 장의 마지막 타일처럼 한두 번 쓰는 모양은 그냥 계산하는 쪽이 빠르다.
REPEATED = 3
# 컴파일해 둘 모양의 수. 그래프는 저마다 입력과 출력, 활성값을 쥔다.
MOST_SHAPES = 4
WARM_UP = 2

Call = Callable[[Tensor], Tensor]
# 엔진마다 두지 않는다. 자물쇠를 가진 객체는 복사(copy.deepcopy)할 수 없다.
_LOCK = threading.RLock()


def present_devices() -> tuple[str, ...]:
    """`--tune`이 재어 볼 만한 장치. CPU에서는 이보다 빠른 엔진(ncnn)이 있어 빼 둔다."""
    able = torch.cuda.is_available() and importlib.util.find_spec("triton") is not None
    return ("cuda",) if able else ()


def create(network: Any, device: torch.device, precision: str, scale: int, multiple: int) -> CompiledEngine:
    """PyTorch 엔진과 같은 네트워크를 놓고, 되풀이되는 모양을 컴파일하는 엔진을 만든다."""
    return plain.create(network, device, precision, scale, multiple, kind=CompiledEngine)


def compile_network(network: Any, example: Tensor) -> Call:
    """그 모양에 맞추어 컴파일한 네트워크. 처음 부를 때의 컴파일까지 마친다.

    Raises:
        RuntimeError: 컴파일러(C++ 컴파일러, Triton)가 없거나 컴파일할 수 없는 네트워크일 때.
    """
    compiled: Call = torch.compile(network, dynamic=False)
    compiled(example)
    return compiled


def record_graph(function: Call, example: Tensor) -> Call:
    """CUDA에서 함수의 부름을 그래프로 적고, 되부르는 함수를 돌려준다. 다른 장치에서는 함수 그대로다.

    Args:
        function: 적을 함수. 같은 모양에 언제나 같은 연산을 해야 한다.
        example: 그 모양의 입력. 값은 쓰지 않는다.

    Raises:
        RuntimeError: 그래프로 적을 수 없는 연산이 있거나 메모리가 모자랄 때.
    """
    if example.device.type != "cuda":
        return function
    held = example.clone(memory_format=torch.preserve_format)
    with torch.cuda.device(example.device):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                function(held)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # 다른 스레드가 그동안 프레임을 올리고 내려도 되게 이 스레드의 일만 적는다.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            made = function(held)

    def replay(batch: Tensor) -> Tensor:
        held.copy_(batch)
        graph.replay()
        # 다음 부름이 같은 자리에 적는다.
        return made.clone()

    return replay


class CompiledEngine(plain.TorchEngine):
    """되풀이되는 모양을 컴파일하는 PyTorch 엔진. 인자는 `TorchEngine`과 같다.

    컴파일할 수 없으면 까닭을 한 번 알리고 컴파일하지 않은 네트워크로 계속한다.
    """

    name = "compile"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seen: Counter[tuple[Any, ...]] = Counter()
        self._prepared: dict[tuple[Any, ...], Call] = {}
        self._refused = not isinstance(self.network, nn.Module)

    def __getstate__(self) -> dict[str, Any]:
        """컴파일한 것은 사본으로 옮기지 않는다. 사본이 스스로 다시 한다."""
        return {**self.__dict__, "_seen": Counter(), "_prepared": {}}

    def __call__(self, batch: Tensor) -> Tensor:
        """배치 하나를 키워, 장치에 그대로 둔 float32 텐서로 돌려준다.

        Raises:
            OutOfMemoryError: 장치 메모리가 모자랄 때.
        """
        output: Tensor = self.run(self._enlarge, batch)
        return output

    def _enlarge(self, batch: Tensor) -> Tensor:
        # 그래프는 정해진 자리에서 읽고 쓰므로 여러 스레드가 함께 되부를 수 없다.
        with _LOCK if batch.device.type == "cuda" else nullcontext():
            prepared = self._call_for(batch)
            output: Tensor = self.network(batch) if prepared is None else prepared(batch)
            return output

    def _call_for(self, batch: Tensor) -> Call | None:
        """이 모양에 마련해 둔 것. 되풀이된 모양이면 지금 마련한다."""
        shape = (*batch.shape, batch.dtype, batch.device)
        if self._refused or shape in self._prepared:
            return self._prepared.get(shape)
        with _LOCK:
            self._seen[shape] += 1
            if self._seen[shape] < REPEATED or len(self._prepared) >= MOST_SHAPES or shape in self._prepared:
                return self._prepared.get(shape)
            logger.info("%dx%d의 계산을 컴파일합니다.", batch.shape[-1], batch.shape[-2])
            try:
                self._prepared[shape] = record_graph(compile_network(self.network, batch), batch)
            except Exception as error:
                # 컴파일러의 오류는 종류가 많고, 컴파일하지 않아도 결과는 같다.
                self._refuse(error)
            return self._prepared.get(shape)

    def _refuse(self, error: Exception) -> None:
        self._refused = True
        reason = named_memory_error(error)
        if isinstance(reason, OutOfMemoryError):
            self.release()
        why = next(iter(str(reason).strip().splitlines()), type(error).__name__)
        logger.warning("컴파일할 수 없어 컴파일하지 않고 계산합니다. 이유: %s", why)

    def release(self) -> None:
        """컴파일한 것이 쥔 메모리까지 장치에 돌려준다."""
        with _LOCK:
            self._prepared.clear()
        super().release()
