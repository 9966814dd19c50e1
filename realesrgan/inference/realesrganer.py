"""예전 Real-ESRGAN의 이름과 인자를 그대로 갖는 `RealESRGANer`. 계산은 `Upscaler`가 한다."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realesrgan.archs.base import GrayNetwork, is_gray, network_scale
from realesrgan.errors import InvalidValueError
from realesrgan.inference.engines.base import choose_device, choose_precision, create_engine
from realesrgan.inference.step_methods import StepMethods
from realesrgan.inference.steps import KeepColour
from realesrgan.inference.tiling import Progress
from realesrgan.inference.upscaler import Upscaler, resize_output
from realesrgan.util.numbers import check_outscale
from realesrgan.zoo.weights import interpolate_weights, load_network, load_weights, open_weights, state_for

logger = logging.getLogger(__name__)

ModelPath = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class RealESRGANer(StepMethods):
    """Real-ESRGAN으로 이미지를 키운다. 한 인스턴스를 여러 스레드가 함께 써도 된다.

    Args:
        scale: 네트워크의 업스케일 배율.
        model_path: 모델 이름, 가중치의 경로나 주소. 둘을 목록으로 주면 `dni_weight`로 섞는다.
        dni_weight: 두 가중치의 비율 `[w0, w1]`(심층 네트워크 보간(DNI)).
        model: 네트워크. 없으면 가중치에서 알아낸다. 한 채널(회색)이면 휘도를 키우고 색은 원본의 것을 입힌다.
        tile: 타일(tile) 한 변(픽셀). 0이면 통째, `'auto'`면 남은 메모리에 맞춘다.
        tile_pad, pre_pad: 타일과 가장자리의 패딩(픽셀).
        half: 반정밀도(fp16)를 쓸지. CPU에서는 한 줄로 알리고 fp32를 쓴다.
        device: 장치. 정수면 CUDA 장치 번호다. 없으면 쓸 수 있는 것을 고른다.
        gpu_id: CUDA 장치 번호. `device`가 없을 때만 본다.
        precision: `auto`, `fp32`, `fp16`, `bf16`. 주면 `half`보다 우선한다.
        batch: 한 번에 계산할 타일 수.
        act_type: SRVGGNetCompact의 활성화 함수. 텐서에서 알 수 없을 때만 필요하다.

    Raises:
        WeightsError: 가중치를 찾거나 읽거나 실을 수 없을 때.
        DeviceError: 장치나 정밀도를 쓸 수 없을 때.
        InvalidValueError: 타일이나 패딩이 음수일 때.
    """

    def __init__(
        self,
        scale: int,
        model_path: ModelPath,
        dni_weight: Sequence[float] | None = None,
        model: nn.Module | None = None,
        tile: int | Literal["auto"] = 0,
        tile_pad: int = 10,
        pre_pad: int = 10,
        half: bool = False,
        device: str | int | torch.device | None = None,
        gpu_id: int | None = None,
        *,
        precision: str | None = None,
        batch: int = 1,
        act_type: str | None = None,
    ) -> None:
        if not (tile == "auto" or (isinstance(tile, int) and tile >= 0)) or tile_pad < 0 or pre_pad < 0:
            raise InvalidValueError(f"tile, tile_pad, pre_pad는 0 이상이어야 합니다: {tile!r}, {tile_pad}, {pre_pad}")
        self.scale, self.tile_size, self.tile_pad, self.pre_pad, self.batch = scale, tile, tile_pad, pre_pad, batch
        if device is None and gpu_id is not None and torch.cuda.is_available():
            device = gpu_id
        self.device = choose_device(f"cuda:{device}" if isinstance(device, int) else device)
        self.precision = choose_precision(precision or ("fp16" if half else "fp32"), self.device)
        self.half = self.precision == "fp16"
        self._place(*_load(model_path, dni_weight, model, {"act_type": act_type}))

    @property
    def model(self) -> Any:
        """장치와 정밀도에 놓인 네트워크. 바꾸어 넣으면(`torch.compile`, TensorRT 등) 다음 호출부터 쓰인다."""
        return self._upscaler.engine.network  # type: ignore[attr-defined]

    @model.setter
    def model(self, network: Any) -> None:
        """`(N, 3, h, w)`를 받는 네트워크나 객체를 놓는다. 네트워크의 배율이 `scale`과 다르면 그것을 따른다.

        한 채널(회색) 네트워크면 휘도를 키우고 색은 원본의 것을 입힌다.
        """
        gray = is_gray(network)
        self._place(GrayNetwork(network) if gray else network, gray)

    def _place(self, network: Any, gray: bool) -> None:
        """RGB를 받는 네트워크를 놓는다. `gray`면 회색으로 훈련한 것이라 원본의 색을 입힌다."""
        known = network_scale(network) if isinstance(network, nn.Module) else None
        if known is not None and known != self.scale:
            logger.warning("네트워크의 배율이 %d배라 지정한 scale=%d 대신 그것을 씁니다.", known, self.scale)
            self.scale = known
        # 부른 쪽이 `model`의 값을 제자리에서 바꾸어도 따라가야 하므로 언제나 네트워크를 그대로 부르는 torch를 쓴다.
        engine = create_engine(network, backend="torch", device=self.device, precision=self.precision, scale=self.scale)
        self._upscaler = Upscaler(engine)
        self._upscaler.always = (KeepColour(),) if gray else ()

    def dni(
        self, net_a: str, net_b: str, dni_weight: Sequence[float], key: str = "params", loc: str = "cpu"
    ) -> dict[str, dict[str, Tensor]]:
        """두 체크포인트(checkpoint)를 섞어 `{key: state dict}`로 돌려준다.

        Raises:
            WeightsError: 파일을 읽을 수 없거나 두 네트워크의 모양이 다를 때.
        """
        first, second = (load_weights(Path(path), key).state for path in (net_a, net_b))
        return {key: {name: value.to(loc) for name, value in interpolate_weights(first, second, dni_weight).items()}}

    def enhance(
        self,
        img: NDArray[Any],
        outscale: float | None = None,
        alpha_upsampler: str = "realesrgan",
        *,
        progress: Progress | None = None,
    ) -> tuple[NDArray[Any], str]:
        """이미지 한 장을 키운다.

        Args:
            img: `(H, W)` 회색, `(H, W, 3)` BGR, `(H, W, 4)` BGRA. uint8, uint16, 또는 0..255(0..65535)의 다른 수.
            outscale: 마지막 업스케일 배율. 네트워크의 배율과 다르면 Lanczos로 다시 맞춘다.
            alpha_upsampler: `realesrgan`이면 알파 채널도 네트워크로, 다른 값이면 선형 보간으로 키운다.
            progress: `(끝난 픽셀, 전체 픽셀)`을 받는 함수.

        Returns:
            키운 이미지와 모드. 크기는 `int(H*outscale) x int(W*outscale)`, 16비트 입력은 uint16, 나머지는 uint8.
            모드는 `L`, `RGB`, `RGBA` 가운데 하나.

        Raises:
            InvalidValueError: 배열의 모양이 다르거나 비었을 때, `outscale`이 0보다 큰 수가 아닐 때.
            OutOfMemoryError: 타일을 줄여도 메모리가 모자랄 때.
            NonFiniteOutputError: fp32로도 유한한 결과가 나오지 않을 때.
        """
        factor = check_outscale(outscale)
        upscaler = self.upscaler
        fill = self._fill_by_steps if self._steps_overridden() else None
        output = upscaler.upscale(img, None, alpha_upsampler, progress=progress, fill=fill)
        if factor is not None and factor != float(upscaler.scale):
            height, width = img.shape[:2]
            output = resize_output(output, max(int(width * factor), 1), max(int(height * factor), 1))
        return output, "L" if output.ndim == 2 else "RGB" if output.shape[2] == 3 else "RGBA"


def _load(
    model_path: ModelPath, dni_weight: Sequence[float] | None, network: nn.Module | None, hints: dict[str, Any]
) -> tuple[nn.Module, bool]:
    """가중치를 읽어, 섞어 달라고 했으면 섞고, 받은 네트워크나 알아낸 네트워크에 싣는다.

    Returns:
        RGB를 받는 네트워크와, 회색으로 훈련한 것인지.
    """
    if model_path is None:
        raise InvalidValueError(
            "model_path에 모델 이름이나 가중치의 경로를 주세요. 훈련하지 않은 네트워크로는 키울 수 없습니다."
        )
    paths = [model_path] if isinstance(model_path, (str, os.PathLike)) else list(model_path)
    alone = isinstance(model_path, (str, os.PathLike))
    ratio = list(dni_weight or ())
    if not alone and (len(paths) != 2 or len(ratio) != 2):
        raise InvalidValueError("가중치를 섞으려면(DNI) model_path와 dni_weight에 각각 두 개씩 주어야 합니다.")
    opened = [] if network is not None else [open_weights(path, default_strength=1, hints=hints) for path in paths]
    states = [one.state for one in opened] or [state_for(network, path) for path in paths]  # type: ignore[arg-type]
    state = states[0] if len(states) == 1 else interpolate_weights(states[0], states[1], ratio)
    if network is not None:
        loaded = load_network(network, state, model_path)
        gray = is_gray(loaded)
        return (GrayNetwork(loaded) if gray else loaded), gray
    return replace(opened[0], state=state).network(), opened[0].gray
