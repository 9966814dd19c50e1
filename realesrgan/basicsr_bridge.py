"""BasicSR 1.4.2와의 연결. BasicSR과 torchvision의 결함을 아는 유일한 파일이다.

이 모듈을 불러오면 아래 고침이 한 번 적용된 BasicSR을 쓸 수 있다. 데이터셋과 모델 모듈이 스스로 이 모듈을
불러오므로 사용자는 따로 준비 함수를 부르지 않는다. 추론(inference) 쪽 코드는 이 모듈을 절대 불러오지 않는다.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from realesrgan.errors import TrainingDependencyError
from realesrgan.registry import ARCH_REGISTRY as PROJECT_ARCHS
from realesrgan.util.optional import install_torchvision_finder


def _require(*packages: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise TrainingDependencyError(
            f"훈련에 필요한 패키지가 없습니다: {', '.join(missing)}\n"
            "  데이터셋, 모델, 손실은 BasicSR 1.4.2 위에서 돌지만 추론만 설치하면 함께 깔리지 않습니다.\n"
            "  해결: torch를 먼저 설치한 뒤 README_KR.md의 '훈련 (Training)'을 따라 하세요(Python 3.10~3.12)."
        )


def _import_basicsr() -> None:
    """BasicSR을 불러온다. 불러오는 동안 바뀌는 NumPy의 전역 오류 설정은 되돌린다."""
    before = np.geterr()
    try:
        importlib.import_module("basicsr")
    finally:
        np.seterr(**before)


def _fix_filter2d() -> None:
    """BasicSR의 `filter2D`가 연속하지 않은 텐서에서 멈추지 않게 한다.

    왜: 안에서 `.view`를 쓰는데, channels_last 입력은 패딩 뒤에도 연속하지 않아 RuntimeError가 난다.
    """
    home = importlib.import_module("basicsr.utils.img_process_util")
    original = home.filter2D

    @functools.wraps(original)
    def filter2d(img: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return original(img.contiguous(), kernel.contiguous())

    for name in ("utils.img_process_util", "models.realesrgan_model", "models.realesrnet_model"):
        importlib.import_module(f"basicsr.{name}").filter2D = filter2d  # type: ignore[attr-defined]


def _fix_diffjpeg() -> None:
    """`DiffJPEG.forward`가 부른 쪽의 `quality` 텐서를 덮어쓰지 않게 한다."""
    cls = importlib.import_module("basicsr.utils.diffjpeg").DiffJPEG
    original = cls.forward

    @functools.wraps(original)
    def forward(self: Any, x: torch.Tensor, quality: Any) -> torch.Tensor:
        return original(self, x, quality.clone() if isinstance(quality, torch.Tensor) else quality)

    cls.forward = forward


def _fix_model_to_device() -> None:
    """BasicSR의 모델이 CUDA 없는 여러 프로세스(gloo)에서도 분산 래퍼를 씌우게 한다.

    왜: `device_ids=[torch.cuda.current_device()]`를 언제나 주어, CUDA가 없으면 오류로 끝난다.
    """
    cls = importlib.import_module("basicsr.models.base_model").BaseModel
    original = cls.model_to_device

    @functools.wraps(original)
    def model_to_device(self: Any, net: Any) -> Any:
        if not self.opt["dist"] or self.device.type == "cuda":
            return original(self, net)
        unused = self.opt.get("find_unused_parameters", False)
        return DistributedDataParallel(net.to(self.device), find_unused_parameters=unused)

    cls.model_to_device = model_to_device


def _fix_get_optimizer() -> None:
    """BasicSR의 모델이 torch의 다른 옵티마이저도 쓰게 한다.

    왜: `get_optimizer`가 Adam만 알고 나머지에는 NotImplementedError를 낸다.
    """
    cls = importlib.import_module("basicsr.models.base_model").BaseModel

    def get_optimizer(_self: Any, optim_type: str, params: Any, lr: float, **rest: Any) -> Any:
        return getattr(torch.optim, optim_type)(params, lr=lr, **rest)

    cls.get_optimizer = get_optimizer


def _share_networks() -> None:
    """BasicSR의 모듈에서 불러온 네트워크의 이름도 이 패키지의 클래스를 가리키게 한다.

    왜: `isinstance(net, basicsr.archs.rrdbnet_arch.RRDBNet)`으로 가르는 코드가 이 패키지의 네트워크를 알아보지 못한다.
    """
    homes = {"RRDBNet": "rrdbnet_arch", "SRVGGNetCompact": "srvgg_arch", "UNetDiscriminatorSN": "discriminator_arch"}
    for name, home in homes.items():
        setattr(importlib.import_module(f"basicsr.archs.{home}"), name, PROJECT_ARCHS.get(name))


def replace_entry(registry: Any, obj: Any) -> Any:
    """BasicSR 등록부에 `obj`를 제 이름으로 넣는다. 같은 이름이 있으면 등록부와 그것이 든 모듈에서 갈아 끼운다.

    왜: BasicSR은 같은 이름을 다시 등록하면 AssertionError를 내는데, RRDBNet과 PerceptualLoss는 이미 들어 있다. 모듈에서
    불러온 이름으로 `isinstance`를 묻는 코드도 갈아 끼운 클래스를 알아본다.
    """
    old = registry._obj_map.get(obj.__name__)
    # 파일을 바로 실은 사용자의 클래스는 모듈이 없을 수 있다. 그러면 바꿀 이름도 없다.
    home = None if old is None else sys.modules.get(old.__module__)
    if home is not None:
        setattr(home, obj.__name__, obj)
    add_entry(registry, obj.__name__, obj)
    return obj


def add_entry(registry: Any, name: str, obj: Any) -> None:
    """BasicSR 등록부에 `obj`를 `name`으로 넣는다. 같은 이름이 있으면 갈아 끼운다."""
    registry._obj_map[name] = obj


def sync_archs() -> None:
    """두 등록부에서 서로의 네트워크가 보이게 한다. 여러 번 불러도 같다.

    이 패키지의 `ARCH_REGISTRY`에 있는 것은 BasicSR의 것에도 올리고(같은 이름이면 갈아 끼운다), BasicSR의 것에만 있는
    네트워크는 이 패키지의 등록부에서도 찾게 한다.
    """
    PROJECT_ARCHS.look_behind(ARCH_REGISTRY)
    for name, network in PROJECT_ARCHS:
        ARCH_REGISTRY._obj_map[name] = network


@contextlib.contextmanager
def own_log_handlers() -> Iterator[None]:
    """BasicSR이 로그의 출구를 스스로 달지 않게 한다.

    왜: `get_root_logger`는 처음 불릴 때 표준 오류로 나가는 출구를 달고, 프로세스에서 한 번만 파일을 연다. 그래서 한
    프로세스에서 두 번째로 훈련하면 기록 파일이 생기지 않는다.
    """
    initialized = importlib.import_module("basicsr.utils.logger").initialized_logger
    before = dict(initialized)
    initialized["basicsr"] = True
    try:
        yield
    finally:
        initialized.clear()
        initialized.update(before)


_require("torchvision", "basicsr")
install_torchvision_finder()
# ARCH_REGISTRY를 채운다. 그 폴더에 둔 사용자의 파일이 BasicSR을 불러올 수 있으므로 위의 준비 다음이어야 한다.
importlib.import_module("realesrgan.archs")
importlib.import_module("realesrgan.archs.discriminator_arch")
_import_basicsr()
_fix_filter2d()
_fix_diffjpeg()
_fix_model_to_device()
_fix_get_optimizer()
_share_networks()

from basicsr.archs import build_network  # noqa: E402
from basicsr.data import build_dataset  # noqa: E402
from basicsr.losses import build_loss  # noqa: E402
from basicsr.metrics import calculate_metric  # noqa: E402
from basicsr.models import build_model  # noqa: E402
from basicsr.models.lr_scheduler import CosineAnnealingRestartLR, MultiStepRestartLR  # noqa: E402
from basicsr.models.sr_model import SRModel  # noqa: E402
from basicsr.utils import (  # noqa: E402
    AvgTimer,
    FileClient,
    MessageLogger,
    get_env_info,
    get_time_str,
    init_tb_logger,
    init_wandb_logger,
    set_random_seed,
)
from basicsr.utils.options import dict2str  # noqa: E402
from basicsr.utils.registry import (  # noqa: E402
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
)

sync_archs()

__all__ = [
    "ARCH_REGISTRY",
    "DATASET_REGISTRY",
    "LOSS_REGISTRY",
    "METRIC_REGISTRY",
    "MODEL_REGISTRY",
    "AvgTimer",
    "CosineAnnealingRestartLR",
    "FileClient",
    "MessageLogger",
    "MultiStepRestartLR",
    "SRModel",
    "add_entry",
    "build_dataset",
    "build_loss",
    "build_model",
    "build_network",
    "calculate_metric",
    "dict2str",
    "get_env_info",
    "get_time_str",
    "init_tb_logger",
    "init_wandb_logger",
    "own_log_handlers",
    "replace_entry",
    "set_random_seed",
    "sync_archs",
]
