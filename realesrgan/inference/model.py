"""모델: 실은 네트워크와 그것에 대해 아는 것. 키우고, 평가하고, 내보내는 모든 것이 이것을 받는다."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from realesrgan.archs.base import network_scale, size_multiple
from realesrgan.errors import InvalidValueError, UsageError
from realesrgan.inference.engines.base import AUTO, CHOICES_FILE, Engine, create_engine, engine_packages
from realesrgan.inference.tiling import Progress
from realesrgan.inference.upscaler import SIXTEEN_BIT, Upscaler, split_image
from realesrgan.util.files import cache_dir
from realesrgan.util.numbers import Outscale, check_outscale, plan_passes, scaled_size
from realesrgan.zoo.weights import DEFAULT_DENOISE_STRENGTH, Weights, open_weights

if TYPE_CHECKING:
    from torch import nn

    from realesrgan.inference.engines.choices import Choice
    from realesrgan.inference.steps import Step

TileSize = int | Literal["auto"]
ModelSource = str | os.PathLike[str] | Mapping[str, Any] | Weights


@dataclass(frozen=True)
class ComputeSettings:
    """어디서 어떻게 계산할지.

    Attributes:
        device: `cpu`, `cuda`, `cuda:N`, `mps`, `xpu`, `vulkan`(ncnn). `auto`면 가장 빠른 것.
        precision: `fp32`, `fp16`, `bf16`. `auto`면 CUDA에서 fp16, 다른 곳에서 fp32.
        backend: 엔진의 이름(`torch`, `openvino`, `onnxruntime`, `ncnn`). `auto`면 CPU의 fp32에서
            ncnn(AMX를 가진 CPU는 torch), 아니면 torch.
        tile: 타일(tile) 한 변(픽셀). 0이면 통째, `auto`면 남은 메모리에 맞춘다.
        tile_pad, pre_pad: 타일과 가장자리의 패딩(픽셀).
        batch: 한 번에 계산할 타일 수.
        ensemble: 뒤집고 돌린 여덟 방향의 결과를 평균할지(셀프 앙상블(self-ensemble)). 시간이 여덟 배 든다.
    """

    device: str = AUTO
    precision: str = AUTO
    backend: str = AUTO
    tile: TileSize = "auto"
    tile_pad: int = 10
    pre_pad: int = 0
    batch: int = 1
    ensemble: bool = False

    def __post_init__(self) -> None:
        valid_tile = self.tile == AUTO or (isinstance(self.tile, int) and self.tile >= 0)
        if not valid_tile or self.tile_pad < 0 or self.pre_pad < 0 or self.batch < 1:
            raise InvalidValueError(
                "tile은 0 이상의 정수나 'auto', tile_pad와 pre_pad는 0 이상, batch는 1 이상이어야 합니다: "
                f"{self.tile!r}, {self.tile_pad}, {self.pre_pad}, {self.batch}"
            )


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """실은 모델 하나. `realesrgan.load`가 만든다. 파일은 한 번만 읽고, 장치마다의 모델은 네트워크를 나누어 쓴다.

    Attributes:
        network: CPU의 fp32 네트워크. `(N, 3, H, W)`를 `(N, 3, H*scale, W*scale)`로 키운다.
        weights: 가중치와 그 출처.
        scale: 업스케일 배율.
        multiple: 입력의 두 변이 맞춰야 하는 배수.
        compute: 어디서 어떻게 계산할지.
    """

    network: nn.Module
    weights: Weights
    scale: int
    multiple: int
    compute: ComputeSettings = field(default_factory=ComputeSettings)

    def __repr__(self) -> str:
        return f"Model(name={self.name!r}, arch={self.arch!r}, scale={self.scale}, compute={self.compute})"

    def __getstate__(self) -> dict[str, Any]:
        """복사하거나 다른 프로세스로 보낼 것. 엔진은 장치와 스레드에 매여 있으므로 받은 쪽이 처음 쓸 때 만든다."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @property
    def name(self) -> str:
        """모델 이름. 파일에서 실었으면 파일 이름의 몸통이다."""
        return self.weights.name

    @property
    def arch(self) -> str:
        """네트워크의 종류(`ARCH_REGISTRY`의 이름)."""
        return self.weights.arch

    @property
    def license(self) -> str:
        """가중치의 라이선스. 모르면 빈 글이다."""
        return self.weights.license

    @property
    def files(self) -> tuple[Path, ...]:
        """가중치 파일. 섞었으면(DNI) 둘이고, state dict에서 실었으면 비어 있다."""
        return self.weights.files

    @cached_property
    def engine(self) -> Engine:
        """이 설정의 엔진. 처음 쓸 때 만든다."""
        compute = self.compute
        where: dict[str, Any] = {name: getattr(compute, name) for name in ("backend", "device", "precision")}
        # 여럿을 평균하는 네트워크(`ensemble.MixedNetwork`)는 저마다의 엔진을 갖는다.
        networks: Any = getattr(self.network, "networks", None)
        if networks is None and not compute.ensemble:
            return create_engine(self.network, scale=self.scale, multiple=self.multiple, **where)
        from realesrgan.inference.ensemble import DIRECTIONS, AveragedEngine

        engines = [create_engine(network, scale=self.scale, **where) for network in networks or [self.network]]
        weights: Any = [1.0] if networks is None else self.network.weights
        return AveragedEngine(engines, weights, DIRECTIONS if compute.ensemble else 1)

    @cached_property
    def upscaler(self) -> Upscaler:
        """이 설정의 업스케일러. 메모리에 맞추어 줄어든 타일을 기억하므로 이어서 쓴다."""
        compute = self.compute
        made = Upscaler(
            self.engine, tile=compute.tile, tile_pad=compute.tile_pad, pre_pad=compute.pre_pad, batch=compute.batch
        )
        if self.weights.gray:
            from realesrgan.inference.steps import KeepColour

            made.always = (KeepColour(),)
        made.strip_bytes = None if self.tuned is None else self.tuned.strip_bytes
        return made

    @cached_property
    def tuned(self) -> Choice | None:
        """이 기계에서 `--tune`이 골라 둔 것. 없거나, 지금의 설정이 다른 엔진을 쓰면 None."""
        if not (cache_dir() / CHOICES_FILE).is_file():
            return None
        from realesrgan.inference.engines.choices import remembered

        found = remembered(self.network, engine_packages())
        engine = self.engine
        place = getattr(engine, "place", engine.device).type
        same = found is not None and (found.backend, found.device, found.precision) == (
            engine.name,
            place,
            engine.precision,
        )
        return found if same else None

    def with_compute(self, **changes: Any) -> Model:
        """같은 네트워크를 다른 설정(`ComputeSettings`의 이름들)으로 쓰는 모델. 파일을 다시 읽지 않는다."""
        changed = replace(self, compute=replace(self.compute, **changes))
        if not {"device", "precision", "backend", "ensemble"} & set(changes):
            changed.__dict__["engine"] = self.engine
        return changed

    def metadata(self, precision: str) -> dict[str, str]:
        """내보낸 파일에 적을 글자들."""
        return {
            "model": self.name,
            "architecture": type(self.network).__name__,
            "scale": str(self.scale),
            "size_multiple": str(self.multiple),
            "precision": precision,
            "license": self.license,
            "input": "RGB, NCHW float32, 0..1, height and width multiples of size_multiple",
            "output": "RGB, NCHW float32, clamp to 0..1",
        }

    def upscale(
        self,
        image: Any,
        outscale: Outscale | None = None,
        *,
        alpha_upsampler: str = "realesrgan",
        steps: Sequence[str | Step] = (),
        progress: Progress | None = None,
    ) -> Any:
        """이미지 한 장을 키운다. 받은 것과 같은 종류로 돌려준다.

        Args:
            image: PIL 이미지, 또는 `(H, W)` 회색, `(H, W, 3)` RGB, `(H, W, 4)` RGBA의 NumPy 배열. 배열은 uint8, uint16,
                또는 0..1의 실수다.
            outscale: 마지막 업스케일 배율이나 결과의 크기(`OutputSize`). 없으면 네트워크의 배율이다. 다르면 Lanczos로
                맞추고, 네트워크의 배율보다 크면 결과를 다시 키운다(`plan_passes`).
            alpha_upsampler: `realesrgan`이면 알파 채널도 네트워크로, `bicubic`이면 보간으로 키운다.
            steps: 네트워크 다음에 거칠 단계들(`"blend=0.7"` 등).
            progress: `(끝난 픽셀, 전체 픽셀)`을 받는 함수.

        Returns:
            키운 이미지. 크기는 원본의 `outscale`배를 반올림한 것이다. 배열은 uint8, uint16, 또는 0..1의 float32다.

        Raises:
            InvalidValueError: 배열의 모양이나 값, 배율을 쓸 수 없을 때.
            OutOfMemoryError: 타일을 줄여도 메모리가 모자랄 때.
            NonFiniteOutputError: fp32로도 유한한 결과가 나오지 않을 때.

        예:
            >>> import numpy as np, realesrgan
            >>> model = realesrgan.load("realesr-animevideov3")
            >>> model.upscale(np.zeros((8, 6, 3), np.uint8), outscale=2).shape
            (16, 12, 3)
        """
        factor: Outscale = self.scale if outscale is None else check_outscale(outscale)
        if not isinstance(image, np.ndarray):
            return _upscale_pil(self, image, factor, alpha_upsampler, steps, progress)
        return self.upscale_array(
            image, factor, alpha_upsampler=alpha_upsampler, steps=steps, progress=progress, bgr=False
        )

    def upscale_array(
        self,
        image: NDArray[Any],
        outscale: Outscale,
        *,
        alpha_upsampler: str = "realesrgan",
        steps: Sequence[str | Step] = (),
        progress: Progress | None = None,
        bgr: bool = True,
        allocate: Callable[..., Any] = np.empty,
        counts: Counter[str] | None = None,
    ) -> NDArray[Any]:
        """배열 한 장을 키운다. `upscale`과 같되 채널의 차례와, 결과를 적을 것(`Upscaler.upscale`)을 고를 수 있다.

        단계가 센 것은 `counts`에 더한다.
        """
        if image.ndim not in (2, 3) or 0 in image.shape:
            raise InvalidValueError(
                f"이미지의 모양은 (H, W), (H, W, 3), (H, W, 4) 가운데 하나여야 합니다: {image.shape}"
            )
        by_tile: Sequence[Step] = ()
        early: Sequence[Step] = ()
        whole: Sequence[Any] = ()
        if steps:
            from realesrgan.inference.steps import parse_steps, split_steps

            by_tile, whole = split_steps(parse_steps(steps))
            early = [step for step in by_tile if not getattr(step, "last", False)]
        source = image
        height, width = image.shape[:2]
        passes = plan_passes(width, height, scaled_size(width, height, outscale), self.scale)
        # 한 번 거칠 때의 일은 들어가는 픽셀에 비례한다.
        areas = [width * height, *(wide * high for wide, high in passes[:-1])]
        for index, size in enumerate(passes):
            before, now, total = sum(areas[:index]), areas[index], sum(areas)
            part = partial(_report_pass, progress, before, now, total) if progress and len(passes) > 1 else progress
            now_steps = early if index < len(passes) - 1 else by_tile
            upscaler = self.upscaler.with_steps(now_steps) if now_steps else self.upscaler
            image = upscaler.upscale(image, size, alpha_upsampler, bgr=bgr, unit=True, progress=part, allocate=allocate)
        if whole:
            from realesrgan.inference.finish import ArrayCanvas, finish_image

            pixels = split_image(source, bgr=bgr, unit=True)
            # 잘라 적을 수 있기만 하면 되므로 파일에 있는 결과도 제자리에서 고친다.
            enlarged = replace(pixels, color=image[:, :, :3] if image.ndim == 3 else image)
            device = self.engine.device
            finish_image(whole, ArrayCanvas(enlarged, device), ArrayCanvas(pixels, device), counts)
        return image


def _report_pass(progress: Progress, before: int, now: int, whole: int, done: int, total: int) -> None:
    """여러 번 거칠 때 한 번의 진행을 전체의 진행으로 알린다."""
    progress(before + now * done // max(total, 1), whole)


def _upscale_pil(
    model: Model,
    image: Any,
    outscale: Outscale,
    alpha_upsampler: str,
    steps: Sequence[str | Step],
    progress: Progress | None,
) -> Any:
    """PIL 이미지를 키운다. 팔레트는 펴고, 다른 색 공간은 RGB로 바꾼다."""
    from PIL import Image

    if not isinstance(image, Image.Image):
        raise InvalidValueError(
            f"이미지는 PIL 이미지나 NumPy 배열이어야 합니다: {type(image).__name__}\n"
            "  파일을 키우려면 realesrgan.upscale_file을 쓰세요."
        )
    if image.mode == "F":
        raise InvalidValueError(
            "실수 이미지(F)의 값의 범위를 알 수 없습니다.\n  해결: 0..1로 나눈 배열이나 L, I;16으로 바꾸어 주세요."
        )
    if image.mode == "I":
        # Pillow는 16비트 회색을 32비트 정수로도 연다. RGB로 바꾸면 255에서 잘린다.
        values = np.asarray(image).clip(0, SIXTEEN_BIT)
        array = values.astype(np.uint16 if values.max(initial=0) > 255 else np.uint8)
        output = model.upscale_array(array, outscale, steps=steps, progress=progress)
        return Image.fromarray(output.astype(np.int32))
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("1", "L"):
        image = image.convert("L")
    elif image.mode.startswith("I;16"):
        array = np.asarray(image).astype(np.uint16)
        return Image.fromarray(model.upscale_array(array, outscale, steps=steps, progress=progress))
    elif image.mode in ("LA", "PA", "La", "RGBa", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
    else:
        image = image.convert("RGB")
    output = model.upscale_array(
        np.asarray(image), outscale, alpha_upsampler=alpha_upsampler, steps=steps, progress=progress, bgr=False
    )
    return Image.fromarray(output)


def load(
    what: ModelSource | Sequence[ModelSource],
    *,
    device: str = AUTO,
    precision: str = AUTO,
    backend: str = AUTO,
    tile: TileSize = "auto",
    tile_pad: int = 10,
    pre_pad: int = 0,
    batch: int = 1,
    ensemble: bool = False,
    mix: Sequence[float] | None = None,
    denoise_strength: float | None = None,
    default_strength: float = DEFAULT_DENOISE_STRENGTH,
    name: str | None = None,
    act_type: str | None = None,
    arch: str | None = None,
    arch_args: Mapping[str, Any] | None = None,
    params_key: str | None = None,
    plugins: Sequence[str | os.PathLike[str]] = (),
    progress: Any = None,
) -> Model:
    """모델을 싣는다.

    Args:
        what: 모델 표의 이름(`realesrgan.list_models()`), 가중치 파일의 경로나 주소, 또는 state dict. 경로 나눔표나
            확장자가 있는 글은 경로로 본다. 옛 ESRGAN의 이름, 감싼 것의 머리(`module.` 등), ncnn의 `.param`도 읽는다.
            `spandrel`이 설치되어 있으면 그것이 아는 초해상도 네트워크도 실린다. 배율이 같은 것을 목록으로 주면 결과를
            평균하는 모델이다.
        device, precision, backend, tile, tile_pad, pre_pad, batch, ensemble: `ComputeSettings`와 같다.
        mix: `what`이 목록일 때 저마다의 무게, 0보다 큰 수. 합은 1로 맞춘다. 없으면 모두 같다.
        denoise_strength: 잡음 제거 세기 0..1. realesr-general-x4v3에만 적용된다. 없으면 `default_strength`.
        default_strength: `denoise_strength`가 없을 때의 세기. 1이면 짝과 섞지 않고 그 파일만 읽는다(내보내기, 평가).
        name: `what`이 파일일 때, 그것이 어느 공식 모델의 것인지.
        act_type: SRVGGNetCompact의 활성화 함수. 가중치에서 알 수 없을 때만 필요하다.
        arch, arch_args: 네트워크의 종류(`ARCH_REGISTRY`의 이름)와 생성자의 인자. 텐서의 이름과 모양에서 알아볼 수 없을
            때만 필요하다.
        params_key: 체크포인트에서 고를 키. 없으면 지수이동평균(EMA)이 먼저다.
        plugins: 먼저 불러올 사용자의 파일이나 폴더(네트워크, 엔진, 단계를 등록하는 것).
        progress: 내려받을 때 `(받은 바이트, 전체 바이트)`를 받는 함수.

    Returns:
        모델. 엔진은 처음 쓸 때 만든다.

    Raises:
        UsageError: 모델 이름을 모를 때(가까운 이름을 담는다), 배율을 알 수 없을 때, 평균할 수 없을 때.
        WeightsError: 찾거나 읽거나 알아볼 수 없을 때.

    예:
        >>> import realesrgan
        >>> model = realesrgan.load("realesr-animevideov3", tile=256)
        >>> model.scale, model.arch
        (4, 'SRVGGNetCompact')
    """
    if plugins or os.environ.get("REALESRGAN_PLUGINS"):
        from realesrgan.util.plugins import load_plugins

        load_plugins(plugins)
    compute = ComputeSettings(device, precision, backend, tile, tile_pad, pre_pad, batch, ensemble)
    sources: Sequence[Any] = what if isinstance(what, Sequence) and not isinstance(what, (str, bytes)) else (what,)
    if not sources or not all(isinstance(one, (str, os.PathLike, Mapping, Weights)) for one in sources):
        raise UsageError(
            f"모델은 이름, 경로, 주소, state dict로 줍니다: {what!r:.100}\n"
            '  해결: realesrgan.load("RealESRGAN_x4plus")처럼 주세요. 이름은 realesrgan.list_models()가 알려 줍니다.'
        )
    opened = [
        one
        if isinstance(one, Weights)
        else open_weights(
            one,
            name=name,
            denoise_strength=denoise_strength,
            default_strength=default_strength,
            params_key=params_key,
            hints={"act_type": act_type, "arch": arch, "arch_args": arch_args},
            progress=progress,
        )
        for one in sources
    ]
    network, weights = opened[0].network(), opened[0]
    if len(opened) > 1 or mix is not None:
        from realesrgan.inference.ensemble import mix_networks

        network, weights = mix_networks([network, *(one.network() for one in opened[1:])], opened, mix)
    scale = network_scale(network)
    if scale is None:
        raise UsageError(
            f"네트워크의 배율을 알 수 없습니다: {weights.arch}\n  해결: 클래스에 정수 속성 scale을 두세요."
        )
    return Model(network, weights, scale, size_multiple(network), compute)
