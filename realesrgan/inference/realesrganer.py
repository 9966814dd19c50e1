"""사진 한 장을 키우는 `RealESRGANer`. 배열이 들어오고 배열이 나간다."""

from __future__ import annotations

import copy
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realesrgan.errors import UsageError
from realesrgan.inference.engine import TorchEngine
from realesrgan.inference.memory import auto_tile, bytes_per_pixel, known_generator, memory_budget, pixel_limit
from realesrgan.inference.padding import pad_amounts, pad_bottom_right
from realesrgan.inference.pixels import Pixels, join_image, resize_output, split_image
from realesrgan.inference.precision import PRECISION_DTYPES, choose_device, choose_precision
from realesrgan.inference.tiling import Box, Progress, plan_tiles, upscale_tiled
from realesrgan.zoo.weights import (
    LoadedWeights,
    interpolate_weights,
    load_network,
    load_weights,
    network_for,
    resolve_model_path,
)

logger = logging.getLogger(__name__)

# 업스트림과 같은 규칙: 배율이 2나 1인 네트워크는 입력을 먼저 접으므로 크기가 이 배수여야 한다.
SCALE_MULTIPLE = {2: 2, 1: 4}
STEP_METHODS = ("pre_process", "process", "tile_process", "post_process")

ModelPath = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class RealESRGANer:
    """Real-ESRGAN으로 사진을 키운다. 한 인스턴스를 여러 스레드가 함께 써도 된다.

    Args:
        scale: 네트워크의 업스케일 배율.
        model_path: 가중치의 경로나 주소(`.pth`, `.safetensors`). 둘을 목록으로 주면 `dni_weight`로 섞는다.
        dni_weight: 두 가중치의 비율 `[w0, w1]`(심층 네트워크 보간(DNI)).
        model: 네트워크. 없으면 가중치에서 알아낸다.
        tile: 타일(tile) 한 변(픽셀). 0이면 통째, `'auto'`면 남은 메모리에 맞춘다.
        tile_pad: 타일의 패딩(픽셀).
        pre_pad: 영상의 오른쪽과 아래에 먼저 덧댈 반사 패딩(픽셀).
        half: 반정밀도(fp16)를 쓸지. CPU에서는 한 줄로 알리고 fp32를 쓴다.
        device: 장치. 정수면 CUDA 장치 번호다. 없으면 쓸 수 있는 것을 고른다.
        gpu_id: CUDA 장치 번호. `device`가 없을 때만 본다.
        precision: `auto`, `fp32`, `fp16`, `bf16`. 주면 `half`보다 우선한다.
        batch: 한 번에 계산할 타일 수.
        act_type: SRVGGNetCompact의 활성화 함수. 텐서에서 알 수 없을 때만 필요하다.

    Raises:
        WeightsError: 가중치를 찾거나 읽거나 실을 수 없을 때.
        DeviceError: 장치나 정밀도를 쓸 수 없을 때.
        ValueError: 타일이나 패딩이 음수일 때.
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
        valid_tile = tile == "auto" or (isinstance(tile, int) and tile >= 0)
        if not valid_tile or tile_pad < 0 or pre_pad < 0:
            raise ValueError(
                "tile은 0 이상의 정수나 'auto', tile_pad와 pre_pad는 0 이상이어야 합니다: "
                f"{tile!r}, {tile_pad}, {pre_pad}"
            )
        self.scale = scale
        self.tile_size = tile
        self.tile_pad = tile_pad
        self.pre_pad = pre_pad
        self.mod_scale: int | None = None
        self.batch = batch
        if device is None and gpu_id is not None and torch.cuda.is_available():
            device = f"cuda:{gpu_id}"
        self.device = choose_device(f"cuda:{device}" if isinstance(device, int) else device)
        self.precision = choose_precision(precision or ("fp16" if half else "fp32"), self.device)
        self.half = self.precision == "fp16"
        self._lock = threading.RLock()
        self.img: Tensor | None = None
        self.output: Tensor | None = None
        self.model = self._load_model(model_path, dni_weight, model, act_type)

    @property
    def engine(self) -> TorchEngine:
        """지금의 네트워크를 부르는 엔진."""
        return self._engine

    @property
    def size_multiple(self) -> int:
        """네트워크에 넣을 영상의 크기가 맞춰야 하는 배수(픽셀)."""
        self._update_mod_scale()
        return self._multiple()

    @property
    def model(self) -> nn.Module:
        """장치와 정밀도에 놓인 네트워크. 바꾸어 넣으면(예: `torch.compile`) 다음 호출부터 쓰인다."""
        return self._engine.network

    @model.setter
    def model(self, network: nn.Module) -> None:
        """네트워크를 장치와 정밀도에 놓고 엔진을 새로 만든다."""
        known = known_generator(network)
        if known is not None and known.scale != self.scale:
            logger.warning("네트워크의 배율이 %d배라 지정한 scale=%d 대신 그것을 씁니다.", known.scale, self.scale)
            self.scale = known.scale
        self._engine = TorchEngine(
            self._place(network),
            self.device,
            self.precision,
            scale=self.scale,
            multiple=1 if known is None else known.size_multiple,
            full_network=None if self.precision == "fp32" else network,
        )

    def _place(self, network: nn.Module) -> nn.Module:
        """네트워크를 장치와 정밀도에 놓는다. 낮은 정밀도면 fp32 원본을 남기고 사본을 옮긴다."""
        if self.precision != "fp32":
            network = copy.deepcopy(network)
        network = network.eval().to(self.device, PRECISION_DTYPES[self.precision])
        # 채널을 안쪽에 두면(channels_last) CPU와 GPU 모두 합성곱이 빨라진다. 값은 같다.
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _load_model(
        self, model_path: ModelPath, dni_weight: Sequence[float] | None, model: nn.Module | None, act_type: str | None
    ) -> nn.Module:
        if model_path is None:
            raise ValueError("model_path에 가중치의 경로나 주소를 주세요. 훈련하지 않은 네트워크로는 키울 수 없습니다.")
        if isinstance(model_path, (str, os.PathLike)):
            loaded = load_weights(resolve_model_path(model_path))
        else:
            if len(model_path) != 2 or dni_weight is None or len(dni_weight) != 2:
                raise ValueError("가중치를 섞으려면(DNI) model_path와 dni_weight에 각각 두 개씩 주어야 합니다.")
            first, second = (load_weights(resolve_model_path(path)) for path in model_path)
            loaded = LoadedWeights(interpolate_weights(first.state, second.state, dni_weight), first.metadata)
        if model is not None:
            return load_network(model, loaded.state, model_path)
        return network_for(loaded, model_path, act_type=act_type)

    def dni(
        self, net_a: str, net_b: str, dni_weight: Sequence[float], key: str = "params", loc: str = "cpu"
    ) -> dict[str, dict[str, Tensor]]:
        """두 체크포인트(checkpoint)를 섞어 `{key: state dict}`로 돌려준다. 업스트림과 같은 이름과 인자다.

        Raises:
            WeightsError: 파일을 읽을 수 없거나 두 네트워크의 모양이 다를 때.
        """
        first, second = (load_weights(Path(path), key).state for path in (net_a, net_b))
        mixed = interpolate_weights(first, second, dni_weight)
        return {key: {name: value.to(loc) for name, value in mixed.items()}}

    def enhance(
        self,
        img: NDArray[Any],
        outscale: float | None = None,
        alpha_upsampler: str = "realesrgan",
        *,
        progress: Progress | None = None,
    ) -> tuple[NDArray[Any], str]:
        """영상 한 장을 키운다.

        Args:
            img: `(H, W)` 회색, `(H, W, 3)` BGR, `(H, W, 4)` BGRA. uint8, uint16, 또는 0..255의 실수.
            outscale: 마지막 업스케일 배율. 네트워크의 배율과 다르면 Lanczos로 다시 맞춘다.
            alpha_upsampler: `realesrgan`이면 알파 채널도 네트워크로, 다른 값이면 선형 보간으로 키운다.
            progress: `(끝난 픽셀, 전체 픽셀)`을 받는 함수.

        Returns:
            키운 영상과 모드. 크기는 `int(H*outscale) x int(W*outscale)`, 16비트 입력은 uint16, 나머지는 uint8.
            모드는 `L`, `RGB`, `RGBA` 가운데 하나.

        Raises:
            ValueError: 배열의 모양이 다르거나 비었을 때.
            OutOfMemoryError: 타일을 줄여도 메모리가 모자랄 때.
            NonFiniteOutputError: fp32로도 유한한 결과가 나오지 않을 때.
        """
        pixels = split_image(img)
        self._update_mod_scale()
        upscale = self._upscale_by_steps if self._steps_overridden() else self._upscale
        output = join_image(pixels, upscale, self._engine.scale, alpha_upsampler, progress)
        if outscale is not None and outscale != float(self._engine.scale):
            output = resize_output(output, pixels.height, pixels.width, outscale)
        return output, pixels.mode

    def tile_for(self, height: int, width: int) -> int:
        """이 크기의 영상에 쓸 타일 한 변을 정한다. 0이면 통째.

        `tile_size`가 `'auto'`면 지금 남은 메모리를 보고, 아니면 정해진 값을 그대로 쓴다. 0(통째)이라도 장치가 한 번에
        다룰 수 있는 크기를 넘으면 나눈다.
        """
        limit = pixel_limit(self.model, self.precision, self.device) // max(self.batch, 1)
        if self.tile_size != "auto" and (self.tile_size > 0 or height * width <= limit):
            return int(self.tile_size)
        per_pixel = bytes_per_pixel(self.model, self.precision) * max(self.batch, 1)
        budget = min(memory_budget(self.device, per_pixel), limit * per_pixel)
        return auto_tile((height, width), budget, per_pixel, pad=self.tile_pad, multiple=self._multiple())

    def _multiple(self) -> int:
        return max(self.mod_scale or 1, self._engine.multiple)

    def _upscale(self, pixels: Pixels, store: Any, progress: Progress | None) -> None:
        """한 장을 타일마다 키워 `store`에 넘긴다. 상태를 쓰지 않으므로 동시에 불러도 된다."""
        engine = self._engine
        bottom, right = pad_amounts(pixels.height, pixels.width, self.pre_pad, self._multiple())
        padded = pixels.padded(bottom, right, self.pre_pad)
        upscale_tiled(
            engine,
            padded.read,
            store,
            height=padded.height,
            width=padded.width,
            tile=self.tile_for(padded.height, padded.width),
            pad=self.tile_pad,
            batch=self.batch,
            progress=progress,
        )

    # 아래는 업스트림의 단계별 메서드다. 안에서는 아무도 부르지 않고, 하위 클래스가 하나라도 덮어썼을 때만
    # enhance가 잠금을 쥐고 이 길로 간다.

    def _steps_overridden(self) -> bool:
        own = type(self)
        return any(
            name in self.__dict__ or getattr(own, name) is not getattr(RealESRGANer, name) for name in STEP_METHODS
        )

    def _upscale_by_steps(self, pixels: Pixels, store: Any, progress: Progress | None) -> None:
        with self._lock:
            self.pre_process(pixels.as_rgb())
            if self.tile_for(pixels.height, pixels.width) > 0:
                self.tile_process()
            else:
                self.process()
            output = self.post_process()
        result = output.detach()[0].to("cpu", torch.float32).numpy().copy()
        store(result, Box(0, 0, pixels.height, pixels.width))
        if progress is not None:
            progress(1, 1)

    def _update_mod_scale(self) -> None:
        # 한번 정해지면 scale이 바뀌어도 남는다. 업스트림을 쓰는 코드가 이 행동에 기댄다.
        self.mod_scale = SCALE_MULTIPLE.get(self.scale, self.mod_scale)

    def pre_process(self, img: NDArray[np.float32]) -> None:
        """`(H, W, 3)` RGB float32, 0..1을 패딩한 텐서로 바꾸어 `self.img`에 둔다."""
        self._update_mod_scale()
        height, width = img.shape[:2]
        bottom, right = pad_amounts(height, width, self.pre_pad, self._multiple())
        self.mod_pad_h, self.mod_pad_w = bottom - self.pre_pad, right - self.pre_pad
        padded = pad_bottom_right(img, bottom, right, (self.pre_pad, self.pre_pad))
        planes = np.ascontiguousarray(np.transpose(padded, (2, 0, 1)), dtype=np.float32)
        parameter = next(self.model.parameters(), None)
        dtype = PRECISION_DTYPES[self.precision] if parameter is None else parameter.dtype
        self.img = torch.from_numpy(planes)[None].to(self.device, dtype)

    def process(self) -> None:
        """`self.img` 전체를 네트워크에 넣어 `self.output`에 둔다."""
        with torch.no_grad():
            self.output = self.model(self._prepared())

    def tile_process(self) -> None:
        """`self.img`를 타일마다 네트워크에 넣어 `self.output`에 이어 붙인다."""
        source = self._prepared()
        batch, channels, height, width = source.shape
        tile = self.tile_for(height, width) or max(height, width)
        multiple = self._multiple()
        multiple = multiple if height % multiple == width % multiple == 0 else 1
        self.output = source.new_zeros((batch, channels, height * self.scale, width * self.scale))
        for piece in plan_tiles(height, width, tile, self.tile_pad, multiple):
            read, crop, write = piece.read, piece.crop, piece.write
            with torch.no_grad():
                result = self.model(source[:, :, read.top : read.bottom, read.left : read.right])
            self.output[
                :,
                :,
                write.top * self.scale : write.bottom * self.scale,
                write.left * self.scale : write.right * self.scale,
            ] = result[
                :,
                :,
                crop.top * self.scale : crop.bottom * self.scale,
                crop.left * self.scale : crop.right * self.scale,
            ]

    def post_process(self) -> Tensor:
        """패딩만큼 잘라 낸 결과 `(1, 3, H*scale, W*scale)`를 돌려준다."""
        if self.output is None:
            raise UsageError("post_process보다 먼저 process나 tile_process를 불러야 합니다.")
        _, _, height, width = self.output.shape
        height -= self.mod_pad_h * self.scale
        width -= self.mod_pad_w * self.scale
        self.output = self.output[:, :, : height - self.pre_pad * self.scale, : width - self.pre_pad * self.scale]
        return self.output

    def _prepared(self) -> Tensor:
        if self.img is None:
            raise UsageError("process보다 먼저 pre_process를 불러야 합니다.")
        return self.img
