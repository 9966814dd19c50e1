"""처음 가중치(pretrained weights)를 찾는다. 파일, 주소, 모델 표의 이름을 모두 받는다."""

from __future__ import annotations

import difflib
import logging
from pathlib import Path
from typing import Any

import torch.distributed as dist

from realesrgan.errors import OptionError, UsageError, WeightsError, WeightsNotFoundError
from realesrgan.models.checkpoint import barrier
from realesrgan.zoo.models import MODELS
from realesrgan.zoo.weights import locate_weights

LOGGER = logging.getLogger("basicsr")
RELEASES = "https://github.com/xinntao/Real-ESRGAN/releases/download/"
# 모델 표에 없는 것: 판별자와, 첫 단계가 시작하는 ESRGAN.
OTHER_FILES = {
    "RealESRGAN_x4plus_netD": f"{RELEASES}v0.2.2.3/RealESRGAN_x4plus_netD.pth",
    "RealESRGAN_x2plus_netD": f"{RELEASES}v0.2.2.3/RealESRGAN_x2plus_netD.pth",
    "RealESRGAN_x4plus_anime_6B_netD": f"{RELEASES}v0.2.2.4/RealESRGAN_x4plus_anime_6B_netD.pth",
    "ESRGAN_SRx4_DF2KOST_official-ff704c30": f"{RELEASES}v0.1.1/ESRGAN_SRx4_DF2KOST_official-ff704c30.pth",
}


def find_pretrained(options: dict[str, Any], reads_safetensors: bool = True) -> None:
    """`path:pretrain_network_*`의 이름과 주소를 있는 파일의 경로로 바꾼다. 내려받기는 첫 프로세스가 먼저 한다.

    Args:
        options: 준비를 마친 옵션. `path` 블록을 바꾼다.
        reads_safetensors: 모델이 `.safetensors`를 읽는지. BasicSR의 모델은 읽지 못한다.

    Raises:
        WeightsNotFoundError: 어디에도 없을 때. 어디서 오는 파일인지를 담는다.
        OptionError: 모델이 읽지 못하는 형식일 때.
    """
    paths = options["path"]
    wanted = [name for name in paths if name.startswith("pretrain_network_") and paths[name]]
    first = not dist.is_initialized() or dist.get_rank() == 0
    for key in wanted:
        if not first:
            barrier()
        try:
            paths[key] = str(_locate(key, str(paths[key])))
        finally:
            if first:
                barrier()
    for key in wanted:
        if paths[key].endswith(".safetensors") and not reads_safetensors:
            raise OptionError(
                f"이 모델은 .safetensors를 읽지 못합니다: path:{key}={paths[key]}\n"
                f"  {options['model_type']}은 BasicSR의 방식(.pth)으로 읽습니다.\n"
                "  해결: python scripts/convert_weights.py로 .pth로 바꾸어 그 경로를 적으세요."
            )


def _locate(key: str, given: str) -> Path:
    file = Path(given).expanduser()
    if file.is_file():
        return file
    stem = Path(given).stem if given.lower().endswith((".pth", ".safetensors")) else given
    try:
        found = locate_weights(OTHER_FILES.get(given, given))[1]
    except (UsageError, WeightsError) as error:
        raise _not_found(key, given, stem, error) from error
    LOGGER.info("처음 가중치: %s (%s)", found, given)
    return found


def _not_found(key: str, given: str, stem: str, error: Exception) -> WeightsNotFoundError:
    names = [*MODELS, *OTHER_FILES]
    url = MODELS[stem].url if stem in MODELS else OTHER_FILES.get(stem)
    reason = "그런 파일이 없습니다." if stem != given else "그런 파일도, 그런 이름의 모델도 없습니다."
    if "://" in given or given in names or Path(given).exists():
        reason = str(error).splitlines()[-1].strip()
    close = difflib.get_close_matches(stem, names, n=1)
    if "://" in given:
        remedy = "주소와 연결을 확인하거나, 직접 받아 그 경로를 적으세요."
    elif stem != given and stem in names:
        remedy = f"파일 대신 이름을 적으면({key}: {stem}) 찾거나 내려받습니다. 직접 받으려면 {url}"
    elif url is not None:
        remedy = f"아래 주소에서 받아 그 경로를 적으세요.\n    {url}"
    elif close and stem == given:
        remedy = f"혹시 '{close[0]}'입니까? 파일이라면 경로를 확인하세요."
    else:
        remedy = f"경로를 확인하세요. 공식 모델은 이름으로 적을 수 있습니다: {', '.join(sorted(MODELS))}"
    return WeightsNotFoundError(f"처음 가중치를 찾지 못했습니다: path:{key}={given}\n  {reason}\n  해결: {remedy}")
