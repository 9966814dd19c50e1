"""시작할 때 한 번 해 본다: 옵션대로 만들고, 작은 텐서로 네트워크와 손실을 돌려 본다.

틀린 인자는 클래스마다 다른 오류를 첫 걸음이나 몇 시간 뒤에야 낸다. 실험 폴더를 마련하기 전에 알아, 어느 블록의
무엇인지를 말한다.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from realesrgan.errors import OptionError, OutOfMemoryError, RealESRGANError, TrainingError
from realesrgan.models.stepper import at_least_float32

if TYPE_CHECKING:
    from realesrgan.models.training_model import TrainingModel

LOGGER = logging.getLogger("basicsr")
# 판별자와 지각 손실까지 볼 수 있는 가장 작은 배치.
_BATCH = 1


def is_out_of_memory(error: BaseException) -> bool:
    """메모리가 모자라서 난 오류인지. CPU의 할당 오류는 평범한 RuntimeError로 온다."""
    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or "allocate memory" in str(error)


def memory_error(what: str) -> OutOfMemoryError:
    """훈련의 메모리가 모자랄 때의 오류."""
    return OutOfMemoryError(
        f"메모리가 모자랍니다: {what}\n  네트워크의 중간값이 장치의 메모리를 넘었습니다.\n"
        "  해결: datasets:train:batch_size_per_gpu를 줄이고 train:accumulate를 올리세요. 그다음은 train:amp: bf16, "
        "train:grad_checkpoint: true, 더 작은 gt_size입니다."
    )


@contextlib.contextmanager
def blaming(where: str, options: Any, doing: str = "만들지") -> Iterator[None]:
    """안에서 난 오류를 옵션의 자리를 말하는 오류로 바꾼다. 이름 있는 오류는 그대로 둔다.

    Args:
        where: 옵션 블록의 자리.
        options: 그 블록. `type`이 있으면 오류에 적는다.
        doing: "…못했습니다"의 앞에 올 말.

    Raises:
        OptionError: 남의 클래스가 낸 오류.
        OutOfMemoryError: 메모리가 모자랄 때.
    """
    try:
        yield
    except RealESRGANError:
        raise
    except Exception as error:  # 어느 클래스의 무엇이든 올 수 있다. 어느 블록인지를 말한다.
        kind = options.get("type") if isinstance(options, Mapping) else None
        name = f"{where}:type={kind}" if kind else where
        if is_out_of_memory(error):
            raise memory_error(name) from error
        raise OptionError(
            f"옵션대로 {doing} 못했습니다: {name}\n  {type(error).__name__}: {_first_line(error)}\n"
            f"  해결: {where} 블록의 값을 {kind or '그 클래스'}의 인자에 맞게 고치세요."
        ) from error


def _first_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]}..."


@contextlib.contextmanager
def naming_step(iteration: int, checkpoint: object) -> Iterator[None]:
    """훈련이나 검증의 걸음에서 난 남의 오류를, 추적(traceback)은 기록에 남기고 이름 있는 오류로 바꾼다.

    Args:
        iteration: 지금의 반복.
        checkpoint: 이어 갈 수 있는 마지막 체크포인트. 없으면 None.

    Raises:
        OutOfMemoryError: 메모리가 모자랄 때.
        TrainingError: 그 밖의 오류.
    """
    try:
        yield
    except RealESRGANError:
        raise
    except Exception as error:  # 사용자의 모델, 네트워크, 손실은 어떤 오류든 낼 수 있다.
        if is_out_of_memory(error):
            raise memory_error(f"반복 {iteration}") from error
        LOGGER.exception("훈련의 추적:")
        raise TrainingError(
            f"훈련하다가 오류가 났습니다(반복 {iteration}): {type(error).__name__}: {_first_line(error)}\n"
            "  어디에서 났는지는 위의(그리고 실험 폴더의 기록에 남은) 추적에 있습니다. "
            f"이어 갈 수 있는 마지막 체크포인트: {checkpoint or '없음'}\n"
            "  해결: 직접 만든 모델, 네트워크, 손실의 코드라면 그 줄을 고치고 --auto_resume으로 이어 가세요."
        ) from error


@contextlib.contextmanager
def _evaluating(*networks: nn.Module) -> Iterator[None]:
    """네트워크를 평가 상태로 둔다. 배치 정규화와 스펙트럼 정규화의 추정이 움직이지 않는다."""
    training = [network.training for network in networks]
    try:
        for network in networks:
            network.eval()
        yield
    finally:
        for network, before in zip(networks, training, strict=True):
            network.train(before)


@torch.no_grad()
def try_step(model: TrainingModel) -> None:
    """조각 한 장으로 생성자, 판별자, 손실을 한 번씩 돌려 본다. 가중치와 난수는 움직이지 않는다.

    Args:
        model: 이 패키지의 모델. 걸음을 다시 적은 모델은 어떤 꼴로 부를지 알 수 없다.

    Raises:
        OptionError: 돌릴 수 없거나, 결과의 크기가 정답과 다르거나, 손실이 수가 아닐 때.
        OutOfMemoryError: 한 장도 돌릴 메모리가 없을 때.
    """
    train = model.opt["datasets"]["train"]
    size = int(model.opt.get("gt_size") or train.get("gt_size") or 0)
    if not size:
        return
    channels = 1 if train.get("color") == "gray" else 3
    devices = [model.device] if model.device.type == "cuda" else []
    networks = [model.get_bare_model(net) for net in (model.net_g, getattr(model, "net_d", None)) if net is not None]
    with torch.random.fork_rng(devices), _evaluating(*networks), model.stepper.autocast():
        gt = torch.rand(_BATCH, channels, size, size, device=model.device)
        lq = torch.rand(_BATCH, channels, *[size // int(model.opt["scale"])] * 2, device=model.device)
        output = _try_generator(model, networks[0], lq, gt)
        _try_losses(model, output, gt)
        if len(networks) > 1:
            _try_discriminator(model, networks[1], output)


def _try_generator(model: TrainingModel, network: nn.Module, lq: Tensor, gt: Tensor) -> Tensor:
    options = model.opt["network_g"]
    with blaming("network_g", options, f"{tuple(lq.shape)}의 입력을 키우지"):
        # `compile`한 네트워크를 이 크기로 다시 컴파일하지 않도록 forward를 바로 부른다.
        output = network.forward(lq)
    if not isinstance(output, Tensor) or output.shape != gt.shape:
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise OptionError(
            f"생성자의 결과가 정답과 맞지 않습니다: network_g:type={options['type']}\n"
            f"  입력 {tuple(lq.shape)}에서 {tuple(gt.shape)}이 나와야 하는데 {found}입니다"
            f"(scale={model.opt['scale']}).\n"
            "  해결: scale과, network_g의 배율과 채널 수의 인자를 서로 맞추세요."
        )
    return at_least_float32(output)


def _try_losses(model: TrainingModel, output: Tensor, gt: Tensor) -> None:
    train = model.opt["train"]
    if model.cri_pix is not None:
        with blaming("train:pixel_opt", train["pixel_opt"], "재지"):
            _check_number("train:pixel_opt", train["pixel_opt"], model.cri_pix(output, gt))
    if model.cri_perceptual is not None:
        with blaming("train:perceptual_opt", train["perceptual_opt"], "재지"):
            found = model.cri_perceptual(output, gt)
        if not isinstance(found, tuple) or len(found) != 2:
            raise OptionError(
                f"지각 손실이 아닙니다: train:perceptual_opt:type={train['perceptual_opt']['type']}\n"
                "  (지각 손실, 스타일 손실)의 둘을 내야 합니다.\n"
                "  해결: type을 PerceptualLoss로 바꾸거나, 이 손실을 train:losses의 목록에 적으세요."
            )
    for number, (entry, options) in enumerate(zip(model.loss_entries, train.get("losses") or (), strict=True)):
        where = f"train:losses:{number}"
        with blaming(where, options, "재지"):
            _check_number(where, options, entry.measure(output, gt, output))


def _try_discriminator(model: TrainingModel, network: nn.Module, output: Tensor) -> None:
    with blaming("network_d", model.opt["network_d"], f"{tuple(output.shape)}을 판별하지"):
        judged = at_least_float32(network.forward(output))
    options = model.opt["train"]["gan_opt"]
    criterion: Any = getattr(model, "cri_gan")  # noqa: B009  판별자가 있는 모델에만 있다
    for is_disc in (False, True):
        with blaming("train:gan_opt", options, "재지"):
            _check_number("train:gan_opt", options, criterion(judged, True, is_disc=is_disc))


def _check_number(where: str, options: Mapping[str, Any], value: Any) -> None:
    if not isinstance(value, Tensor) or value.numel() != 1:
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise OptionError(
            f"손실이 수 하나를 내지 않습니다: {where}:type={options.get('type')}\n  낸 것은 {found}입니다.\n"
            "  해결: reduction을 mean이나 sum으로 적으세요."
        )
