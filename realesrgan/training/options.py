"""훈련의 옵션을 읽고, 덮어쓰고, 채운다. YAML은 안전하게만 읽고, 값을 코드로 실행하지 않는다."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from msgspec import NODEFAULT, Struct, structs

from realesrgan.archs.base import input_channels
from realesrgan.data.kernels import KERNEL_KEYS
from realesrgan.data.pipeline import EXTRA_PIPELINE_KEYS, PIPELINE_KEYS
from realesrgan.data.preview import Recipe
from realesrgan.errors import OptionError
from realesrgan.training.option_reading import strip
from realesrgan.training.option_schema import OPTIONAL_BLOCKS, OWN_MODELS, check_options
from realesrgan.training.option_types import DATASETS, OWN_DATASETS, LoggerOptions, TrainingOptions
from realesrgan.util.files import plain_reason

LOGGER = logging.getLogger("basicsr")
DEBUG_FREQ = 8
_OWN_MODEL_NAMES = tuple(one.__name__ for one in OWN_MODELS)


class OptionLoader(yaml.SafeLoader):
    """`1e-4`도 수로 읽고, 같은 키가 두 번 나오면 오류로 알리는 안전한 YAML 읽기."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """사전 하나를 읽는다.

        Raises:
            yaml.constructor.ConstructorError: 같은 키가 두 번 나오거나, 키가 목록이나 사전일 때.
        """
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "키는 글자나 수여야 하는데 목록이나 사전입니다", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"같은 키가 두 번 나옵니다: {key}", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1은 점이 없는 1e-4를 문자열로 본다.
OptionLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse_yaml(text: str, source: str) -> Any:
    """YAML을 안전하게 읽는다.

    Raises:
        OptionError: 문법이 틀렸거나 파이썬 객체를 만들려는 꼬리표(tag)가 있을 때.
    """
    try:
        return yaml.load(text, Loader=OptionLoader)  # noqa: S506  OptionLoader는 SafeLoader를 이어받아 객체를 만들지 않는다
    except RecursionError as error:
        raise OptionError(
            f"옵션을 읽지 못했습니다: {source}\n  괄호나 들여쓰기가 너무 깊이 겹쳐 있습니다.\n"
            "  해결: options/의 본보기와 견주어 고치세요."
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise OptionError(
            f"옵션을 읽지 못했습니다: {source}\n  {error}\n"
            "  해결: 표시된 줄의 들여쓰기와 따옴표를 고치고, !!python 같은 꼬리표는 지우세요."
        ) from error


def load_yaml(path: str | os.PathLike[str]) -> Any:
    """옵션 파일을 읽는다.

    Raises:
        OptionError: 파일이 없거나 문법이 틀렸을 때.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(
            f"옵션 파일을 읽지 못했습니다: {path}\n  {plain_reason(error)}\n"
            "  해결: -opt의 경로와 파일의 인코딩(UTF-8)을 확인하세요."
        ) from error
    return parse_yaml(text, str(path))


def copy_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """파이썬으로 적은 옵션을 깊이 복사한다. 경로(Path)는 글자로, 튜플은 목록으로 바꾸어 YAML과 같은 모양이 된다.

    Raises:
        OptionError: 글자, 수, 참거짓, None, 목록, 사전이 아닌 값이 있을 때.
    """
    return {str(key): _plain(value, str(key)) for key, value in options.items()}


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one, f"{where}:{key}") for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, where) for one in value]
    raise OptionError(
        f"옵션에 쓸 수 없는 값입니다: {where}={value!r}\n"
        f"  {type(value).__name__}은 옵션 파일에 적을 수 없어 실험을 되풀이할 수 없게 됩니다.\n"
        "  해결: 글자, 수, 참거짓, None, 목록, 사전으로 적으세요."
    )


def parse_force_yml(entries: Sequence[str]) -> dict[str, Any]:
    """`--force_yml`의 `a:b=c`들을 읽는다. 값은 YAML로 읽을 뿐 실행하지 않는다.

    Returns:
        `apply_overrides`가 받는 사전. `none`이라는 글자는 None이 된다.

    Raises:
        OptionError: `블록:키=값`이 아니거나 값이 YAML이 아닐 때.
    """
    overrides = {}
    for entry in entries:
        keys, separator, text = entry.partition("=")
        if not separator or not all(name.strip() for name in keys.split(":")):
            raise OptionError(
                f"--force_yml을 알아볼 수 없습니다: {entry}\n  '블록:키=값'이어야 합니다.\n"
                "  해결: --force_yml train:total_iter=1000처럼 적으세요."
            )
        value = parse_yaml(text.strip(), f"--force_yml {entry}")
        overrides[keys] = None if isinstance(value, str) and value.lower() == "none" else value
    return overrides


def apply_overrides(options: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """`{"train:total_iter": 1000}`처럼 적은 값들을 옵션에 덮어쓴다.

    Raises:
        OptionError: 사이의 블록이 없거나, 옵션에 쓸 수 없는 값일 때.
    """
    for keys, value in overrides.items():
        names = [name.strip() for name in keys.split(":")]
        target: Any = options
        for name in names[:-1]:
            target = target.get(name) if isinstance(target, dict) else None
            if not isinstance(target, dict):
                raise OptionError(
                    f"덮어쓸 블록이 없습니다: {keys}\n"
                    f"  옵션에 없거나 사전이 아닌 블록입니다: {name}\n"
                    "  해결: --force_yml(또는 overrides)의 키와 옵션 파일을 견주어 고치세요."
                )
        if not isinstance(target, dict):
            # 옵션 파일이 비었거나 사전이 아니다. 까닭은 check_options가 말한다.
            return
        target[names[-1]] = _plain(value, keys)


def fill_empty(options: Any) -> None:
    """비워 둔 값(`~`)을 선언한 기본값으로 바꾼다. 이 패키지의 모델에만 한다. 기본값이 없는 키는 그대로 둔다.

    `path`와 `logger` 블록은 모델과 상관없이, 없으면 빈 블록이 된다.
    """
    if not isinstance(options, dict):
        return
    for key in OPTIONAL_BLOCKS:
        if options.get(key) is None:
            options[key] = {}
    if options.get("model_type") not in _OWN_MODEL_NAMES:
        return
    _fill_block(options, TrainingOptions)
    datasets = options.get("datasets")
    for block in datasets.values() if isinstance(datasets, dict) else ():
        kind = DATASETS.get(str(block.get("type"))) if isinstance(block, dict) else None
        if kind is not None:
            _fill_block(block, kind)


def _fill_block(block: dict[str, Any], kind: type[Struct]) -> None:
    for field in structs.fields(kind):
        inner = strip(field.type)[0]
        if field.name in block and block[field.name] is None and field.default not in (None, NODEFAULT):
            block[field.name] = field.default
        elif isinstance(block.get(field.name), dict) and isinstance(inner, type) and issubclass(inner, Struct):
            _fill_block(block[field.name], inner)


def prepare_options(
    options: dict[str, Any], root: Path, *, rank: int = 0, world_size: int = 1, distributed: bool = False
) -> dict[str, Any]:
    """검사한 옵션에 BasicSR이 기대하는 값(경로, 단계, 배율, 장치 수)을 채운다.

    Args:
        options: `check_options`를 거친 옵션. 이 사전을 바꾼다.
        root: `experiments/`와 `tb_logger/`가 놓일 폴더.
        rank: 이 프로세스의 번호.
        world_size: 프로세스 수.
        distributed: 여러 프로세스로 훈련하는지.

    Returns:
        같은 사전.
    """
    options |= {"is_train": True, "dist": distributed, "rank": rank, "world_size": world_size}
    options["root_path"] = str(root)
    for key in ("print_freq", "save_checkpoint_freq"):
        if options["logger"].get(key) is None:
            options["logger"][key] = getattr(LoggerOptions(), key)
    sizes = options.get("gt_size"), (options["datasets"].get("train") or {}).get("gt_size")
    if None not in sizes and sizes[0] != sizes[1]:
        LOGGER.warning("조각의 크기는 맨 위의 gt_size=%s를 씁니다. datasets:train:gt_size=%s는 쓰지 않습니다.", *sizes)
    # 여러 GPU는 torchrun으로만 쓴다. 한 프로세스가 여러 GPU를 나눠 쓰는 DataParallel은 느리고 상태가 갈린다.
    available = torch.cuda.device_count()
    wanted = options.get("num_gpu", "auto")
    options["num_gpu"] = min(1, available if wanted == "auto" else int(wanted), available)
    if wanted != "auto" and int(wanted) > 1 and not distributed:
        LOGGER.warning(
            "num_gpu: %s라고 적혀 있지만 프로세스 하나는 장치 하나만 씁니다(지금: %s).\n"
            "  여러 GPU: torchrun --nproc_per_node=%s realesrgan/train.py -opt 파일.yml --launcher pytorch",
            *(wanted, "GPU 하나" if options["num_gpu"] else "CPU", wanted),
        )
    elif wanted != "auto" and int(wanted) >= 1 and not available:
        LOGGER.warning("num_gpu: %s라고 적혀 있지만 쓸 수 있는 CUDA 장치가 없어 CPU로 훈련합니다.", wanted)
    for phase, dataset in options["datasets"].items():
        dataset["phase"] = phase.split("_")[0]
        if dataset.get("name") is None:
            dataset["name"] = phase
        dataset["scale"] = options["scale"]
        for key in ("dataroot_gt", "dataroot_lq", "meta_info"):
            if dataset.get(key):
                dataset[key] = str(Path(dataset[key]).expanduser())
        if dataset["type"] in OWN_DATASETS and dataset.get("color") is None:
            dataset["color"] = "gray" if input_channels(options["network_g"]) == 1 else "rgb"
    _fill_degraded_datasets(options)
    for key, value in options["path"].items():
        if value and "resume_state" in key:
            options["path"][key] = str(Path(value).expanduser())
    experiment = root / "experiments" / options["name"]
    folders = {"models": "models", "training_states": "training_states", "log": "", "visualization": "visualization"}
    options["path"] |= {"experiments_root": str(experiment)}
    options["path"] |= {key: str(experiment / name) for key, name in folders.items()}
    return options


def _fill_degraded_datasets(options: Mapping[str, Any]) -> None:
    """스스로 열화시키는 데이터셋에 맨 위의 열화와, 검증이면 훈련의 커널을 물려준다. 적어 둔 값이 앞선다."""
    train = options["datasets"].get("train") or {}
    inherited = {key: options[key] for key in (*PIPELINE_KEYS, *EXTRA_PIPELINE_KEYS) if key in options}
    sources = train.get("sources") or ()
    # 섞는 훈련 자료면 커널은 그 안의 데이터셋에 있다.
    kernels = {key: one[key] for one in (*sources, train) for key in KERNEL_KEYS if key in one}
    blocks = [*options["datasets"].values(), *sources]
    for dataset in blocks:
        if dataset["type"] == "RealESRGANDegradedDataset":
            dataset |= {key: value for key, value in (inherited | kernels).items() if key not in dataset}
        elif dataset["type"] == "RealESRGANVideoDataset":
            dataset |= {key: value for key, value in inherited.items() if key not in dataset}


def apply_debug(options: dict[str, Any]) -> None:
    """디버그 방식으로 바꾼다. BasicSR과 같다."""
    if not options["name"].startswith("debug"):
        options["name"] = f"debug_{options['name']}"
    if options.get("val"):
        options["val"]["val_freq"] = DEBUG_FREQ
    options["logger"] |= {"print_freq": 1, "save_checkpoint_freq": DEBUG_FREQ}


def load_recipe(path: Path) -> Recipe:
    """훈련 옵션 파일에서 열화를 읽는다. 훈련과 같은 검사를 거치므로 틀린 철자는 여기서도 오류다.

    Raises:
        OptionError: 읽을 수 없거나, 모르는 키가 있거나, 이차 열화의 옵션이 아닐 때.
    """
    options = load_yaml(path)
    fill_empty(options)
    check_options(options, path)
    return Recipe.from_options(options)
