"""옵션을 검사한다. 선언(`option_types`)과 클래스의 서명에 견주고, 값들이 서로 맞는지 본다."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from msgspec import Meta, Struct, structs

from realesrgan.archs import RRDBNet, SRVGGNetCompact, UNetDiscriminatorSN
from realesrgan.archs.base import input_channels
from realesrgan.basicsr_bridge import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    add_entry,
    sync_archs,
)
from realesrgan.data.kernels import KERNEL_KEYS
from realesrgan.data.pipeline import EXTRA_PIPELINE_KEYS, PIPELINE_KEYS
from realesrgan.data.realesrgan_dataset import RealESRGANDataset
from realesrgan.data.realesrgan_degraded_dataset import RealESRGANDegradedDataset
from realesrgan.data.realesrgan_mixed_dataset import RealESRGANMixedDataset
from realesrgan.data.realesrgan_paired_dataset import RealESRGANPairedDataset
from realesrgan.data.realesrgan_video_dataset import RealESRGANVideoDataset
from realesrgan.errors import OptionError
from realesrgan.models.losses import ENTRY_KEYS, FocalFrequencyLoss, LDLLoss, MSSSIMLoss, PyiqaLoss
from realesrgan.models.optimizers import (
    BASICSR_SCHEDULERS,
    OPTIMIZER_NAMES,
    SCHEDULERS,
    find_optimizer,
    try_scheduler,
)
from realesrgan.models.perceptual_loss import PerceptualLoss
from realesrgan.models.realesrgan_model import RealESRGANModel
from realesrgan.models.realesrnet_model import RealESRNetModel
from realesrgan.models.trial import blaming
from realesrgan.models.validation import calculate_pyiqa
from realesrgan.training.option_reading import check_keys, describe, label, nearest, read_block, read_value
from realesrgan.training.option_types import (
    DATASETS,
    HARMLESS,
    OWN_DATASETS,
    DegradedDatasetOptions,
    DistOptions,
    KernelKeys,
    LoaderKeys,
    LoaderOptions,
    LoggerOptions,
    LossEntryOptions,
    PathOptions,
    RealESRGANVideoDatasetOptions,
    TrainingOptions,
    TrainOptions,
    ValOptions,
)
from realesrgan.util.plugins import import_folder, load_plugins
from realesrgan.zoo import community

# 옵션을 어디에 두는지 아는 모델. 다른 모델은 제 옵션을 어디에 둘지 스스로 정한다.
OWN_MODELS = (RealESRNetModel, RealESRGANModel)
# 이 패키지들과 아래 클래스의 서명만 따진다. 사용자가 등록한 것은 어느 폴더에 있든 무엇을 받든 그 클래스의 일이다.
_KNOWN_PACKAGES = ("basicsr", "torch", "spandrel")
_OWN_NETWORKS = (RRDBNet, SRVGGNetCompact, UNetDiscriminatorSN)
# 네트워크의 인자 가운데 0이어도 되는 것. 나머지 정수는 1 이상이다.
_COUNTS = ("num_block", "num_conv", "num_upsample")
_OWN_CLASSES = (
    *_OWN_NETWORKS,
    *(PerceptualLoss, calculate_pyiqa),
    *(LDLLoss, MSSSIMLoss, FocalFrequencyLoss, PyiqaLoss),
    *(RealESRGANDataset, RealESRGANPairedDataset, RealESRGANDegradedDataset),
    *(RealESRGANVideoDataset, RealESRGANMixedDataset),
)


def _is_ours(target: Any) -> bool:
    return target in _OWN_CLASSES or str(getattr(target, "__module__", "")).split(".")[0] in _KNOWN_PACKAGES


def check_class_block(
    where: str,
    options: Any,
    find: Callable[[str], Any],
    names: Iterable[str],
    given: tuple[str, ...] = (),
    ignores_rest: bool = False,
    extra: tuple[str, ...] = (),
) -> None:
    """클래스를 만드는 블록의 키를 그 클래스의 서명과 견준다.

    Args:
        where: 오류에 적을 블록의 자리.
        options: `type`과 인자들.
        find: 이름으로 클래스를 찾는 함수. 없으면 None을 돌려준다.
        names: 쓸 수 있는 이름들.
        given: 옵션이 아니라 부르는 쪽이 주는 인자의 이름들.
        ignores_rest: `**kwargs`가 나머지를 버리는 데만 쓰이는지. 아니면 `**kwargs`가 무엇이든 받는다고 본다.
        extra: 클래스의 인자가 아니지만 블록에 있어도 되는 키.

    Raises:
        OptionError: 이름을 모르거나, 인자가 빠졌거나, 모르는 인자가 있을 때.
    """
    if not isinstance(options, Mapping) or not options.get("type"):
        raise OptionError(f"옵션 {where}에 type이 없습니다.\n  무엇을 만들지 알 수 없습니다.\n  해결: type을 적으세요.")
    target = find(str(options["type"]))
    if target is None:
        raise OptionError(
            f"모르는 type입니다: {where}:type={options['type']}\n  그런 이름으로 등록된 것이 없습니다.\n"
            f"  해결: {nearest(str(options['type']), names)}"
        )
    if not _is_ours(target):
        return
    parameters = list(inspect.signature(target).parameters.values())
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name not in given]
    if ignores_rest or not any(p.kind == p.VAR_KEYWORD for p in parameters):
        check_keys(where, options, ("type", *extra, *(p.name for p in named)))
    _check_argument_types(where, options, target)
    missing = [p.name for p in named if p.default is p.empty and p.name not in options]
    if missing:
        raise OptionError(
            f"옵션이 빠졌습니다: {where}의 {', '.join(missing)}\n"
            f"  이것 없이는 만들 수 없는 클래스입니다: {options['type']}\n  해결: 값을 적으세요."
        )


def _check_argument_types(where: str, options: Mapping[str, Any], target: Any) -> None:
    """이 패키지의 클래스라면 값의 자료형도 본다. 다른 패키지의 표기는 믿을 수 없어 보지 않는다."""
    if target not in _OWN_CLASSES:
        return
    hints = get_type_hints(vars(target)["__init__"] if isinstance(target, type) else target)
    for name, value in options.items():
        if name in hints and hints[name] in (int, float, bool, str) and value is not None:
            number = hints[name] is int and target in _OWN_NETWORKS
            smallest = Meta(ge=0 if name in _COUNTS else 1, description="네트워크의 크기")
            read_value(Annotated[int, smallest] if number else hints[name], value, f"{where}:{name}")


def _finder(registry: Any) -> tuple[Callable[[str], Any], list[str]]:
    entries = dict(iter(registry))
    return lambda name: entries.get(name, entries.get(f"{name}_basicsr")), list(entries)


def _check_datasets(datasets: Any, own_model: bool) -> None:
    find, names = _finder(DATASET_REGISTRY)
    for phase, options in datasets.items():
        where = f"datasets:{phase}"
        if phase.split("_")[0] not in ("train", "val", "test"):
            raise OptionError(
                f"모르는 데이터셋 단계입니다: {where}\n  단계의 이름은 train, val, val_2처럼 시작해야 합니다.\n"
                f"  해결: {nearest(phase, ('train', 'val', 'test'))}"
            )
        if not isinstance(options, Mapping) or find(str(options.get("type"))) is None:
            kind = options.get("type") if isinstance(options, Mapping) else options
            raise OptionError(
                f"모르는 데이터셋입니다: {where}:type={kind}\n  그런 이름으로 등록된 것이 없습니다.\n"
                f"  해결: {nearest(str(kind), names)}"
            )
        if phase.split("_")[0] == "val" and options["type"] == "RealESRGANDataset":
            raise OptionError(
                f"검증에 쓸 수 없는 데이터셋입니다: {where}:type=RealESRGANDataset\n"
                "  정답의 조각과 커널만 주므로 키울 저품질 이미지가 없습니다.\n"
                "  해결: type을 RealESRGANDegradedDataset(정답을 정해진 씨앗으로 열화)으로 바꾸세요."
            )
        declared = DATASETS.get(options["type"])
        if declared is not None and _is_ours(find(options["type"])):
            _check_dataset(where, options, declared, own_model)
        else:
            # 남의 데이터셋이라도 데이터 로더가 읽는 키는 여기서 쓴다.
            read_block(LoaderKeys, options, where, None)
            if where == "datasets:train":
                _need(where, options, ["batch_size_per_gpu"], LoaderKeys)


def _check_dataset(where: str, options: Mapping[str, Any], declared: type[LoaderOptions], own_model: bool) -> None:
    """아는 데이터셋의 블록을 본다. 다른 데이터셋의 키(쓰지 않는 폴더 등)는 받아 준다."""
    harmless = {*HARMLESS["datasets"], *(name for one in DATASETS.values() for name in one.__struct_fields__)}
    if declared in (DegradedDatasetOptions, RealESRGANVideoDatasetOptions):
        harmless |= {*PIPELINE_KEYS, *EXTRA_PIPELINE_KEYS}
        types = {one.name: one.type for kind in (KernelKeys, TrainingOptions) for one in structs.fields(kind)}
        for name in (*PIPELINE_KEYS, *EXTRA_PIPELINE_KEYS, *KERNEL_KEYS):
            if options.get(name) is not None:
                read_value(types[name], options[name], f"{where}:{name}")
    read_block(declared, options, where, harmless if own_model else None)
    if where == "datasets:train":
        for number, source in enumerate(options.get("sources") or ()):
            _check_source(f"{where}:sources:{number}", source, options, own_model)
        needed = ["batch_size_per_gpu"] + (["gt_size"] if options["type"] in _PAIRED else [])
        _need(where, options, needed, declared)


def _check_source(where: str, source: Any, around: Mapping[str, Any], own_model: bool) -> None:
    """섞을 데이터셋 하나의 블록을 본다."""
    check_keys(where, source, source if isinstance(source, Mapping) else ())
    find, names = _finder(DATASET_REGISTRY)
    kind = str(source.get("type"))
    if find(kind) is None or kind in ("RealESRGANDataset", "RealESRGANMixedDataset"):
        raise OptionError(
            f"섞을 수 없는 데이터셋입니다: {where}:type={kind}\n  lq와 gt를 함께 주는 데이터셋이어야 합니다.\n"
            f"  해결: {nearest(kind, [*_PAIRED[:3], *names])}"
        )
    declared = DATASETS.get(kind)
    if declared is not None and _is_ours(find(kind)):
        shared = {key: around[key] for key in ("io_backend", "gt_size") if around.get(key) is not None}
        rest = {key: value for key, value in source.items() if key != "weight"}
        _check_dataset(where, {**shared, **rest}, declared, own_model)


def _need(where: str, options: Mapping[str, Any], names: Iterable[str], declared: type[Struct]) -> None:
    """이 자리에서만 꼭 있어야 하는 키가 있는지 본다."""
    described = {one.name: one.type for one in structs.fields(declared)}
    missing = [name for name in names if options.get(name) is None]
    if missing:
        places = ", ".join(label(where, name) for name in missing)
        raise OptionError(
            f"옵션이 빠졌습니다: {places}\n  이 훈련에는 꼭 있어야 합니다.\n"
            f"  해결: 값을 적으세요. 올 수 있는 값: {describe(described[missing[0]])}"
        )


# 배율을 정하는 인자의 이름과, 배율마다 입력의 변이 되어야 하는 배수.
_SCALE_ARGUMENT = {RRDBNet: "scale", SRVGGNetCompact: "upscale"}
_INPUT_MULTIPLE = {RRDBNet: {2: 2, 1: 4}}
# UNetDiscriminatorSN은 세 번 줄였다 키우며 더한다.
_DISCRIMINATOR_MULTIPLE = 8


def _check_sizes(options: Mapping[str, Any]) -> None:
    """배율과 조각과 쌍 풀의 크기가 서로 맞는지 본다.

    Raises:
        OptionError: 네트워크의 배율이 다르거나, 조각이 배수가 아니거나, 쌍 풀이 배치로 나누어떨어지지 않을 때.
    """
    scale = int(options["scale"])
    find, _ = _finder(ARCH_REGISTRY)
    network = find(str(options["network_g"]["type"]))
    multiple = scale * _INPUT_MULTIPLE.get(network, {}).get(scale, 1)
    if network in _SCALE_ARGUMENT:
        name = _SCALE_ARGUMENT[network]
        own = options["network_g"].get(name, inspect.signature(network).parameters[name].default)
        if own != scale:
            raise OptionError(
                f"배율이 다릅니다: scale={scale}, network_g:{name}={own}\n"
                f"  {network.__name__}은 적지 않으면 {inspect.signature(network).parameters[name].default}배입니다.\n"
                f"  해결: network_g:{name}을 {scale}로 적거나 scale을 {own}로 바꾸세요."
            )
    if (options.get("network_d") or {}).get("type") == "UNetDiscriminatorSN":
        multiple = math.lcm(multiple, _DISCRIMINATOR_MULTIPLE)
    train = options["datasets"].get("train") or {}
    for where, size in (("gt_size", options.get("gt_size")), ("datasets:train:gt_size", train.get("gt_size"))):
        if isinstance(size, int) and size % multiple:
            raise OptionError(
                f"조각의 크기가 맞지 않습니다: {where}={size}\n"
                f"  배율과 네트워크가 나누어떨어지려면 {multiple}의 배수여야 합니다.\n"
                f"  해결: {max(size // multiple, 1) * multiple} 또는 {(size // multiple + 1) * multiple}로 적으세요."
            )
    if options.get("high_order_degradation", True) and train.get("type") == "RealESRGANDataset":
        _check_synthesis(options, train)


def _check_synthesis(options: Mapping[str, Any], train: Mapping[str, Any]) -> None:
    _need("맨 위", options, ("gt_size", *PIPELINE_KEYS), TrainingOptions)
    pool, batch = int(options.get("queue_size") or 180), int(train["batch_size_per_gpu"])
    if pool % batch:
        raise OptionError(
            f"쌍 풀이 배치로 나누어떨어지지 않습니다: queue_size={pool}, datasets:train:batch_size_per_gpu={batch}\n"
            "  쌍 풀을 배치 단위로 채우므로 남는 자리가 생깁니다.\n"
            f"  해결: 이렇게 바꾸세요. queue_size: {max(pool // batch, 1) * batch}"
        )
    size, crop = int(options["gt_size"]), int(train.get("crop_size") or 400)
    if size > crop:
        raise OptionError(
            f"조각이 데이터셋이 주는 것보다 큽니다: gt_size={size}, datasets:train:crop_size={crop}\n"
            "  열화를 마친 이미지에서 그만한 조각을 잘라 낼 수 없습니다.\n"
            "  해결: gt_size를 줄이거나 crop_size를 키우세요."
        )


def _check_channels(options: Mapping[str, Any]) -> None:
    """네트워크와 데이터셋의 채널 수가 서로 맞는지 본다.

    Raises:
        OptionError: 생성자의 입력과 출력, 판별자의 입력, 데이터셋의 색이 서로 다를 때.
    """
    find, _ = _finder(ARCH_REGISTRY)
    channels: dict[str, int] = {}
    for block, names in (("network_g", ("num_in_ch", "num_out_ch")), ("network_d", ("num_in_ch",))):
        given = options.get(block) or {}
        if (network := find(str(given.get("type")))) in (*_SCALE_ARGUMENT, UNetDiscriminatorSN):
            defaults = inspect.signature(network).parameters
            channels |= {f"{block}:{n}": given.get(n, defaults[n].default) for n in names if n in defaults}
    own = channels.get("network_g:num_in_ch", input_channels(options["network_g"]))
    if own is None:
        return
    for phase, one in options["datasets"].items():
        if one["type"] in OWN_DATASETS and one.get("color") is not None:
            channels[f"datasets:{phase}:color={one['color']}"] = 1 if one["color"] == "gray" else 3
    wrong = [f"{name}({count})" for name, count in channels.items() if count != own]
    if wrong or own not in (1, 3):
        raise OptionError(
            f"채널 수가 맞지 않습니다: network_g의 입력={own}, {', '.join(wrong) or '1도 3도 아님'}\n"
            "  입력, 출력, 판별자, 데이터셋이 모두 RGB(3)이거나 모두 회색(1)이어야 합니다.\n"
            "  해결: 회색으로 훈련하려면 network_g의 num_in_ch와 num_out_ch, network_d의 num_in_ch를 1로 적으세요."
        )


# 짝(LQ와 GT)을 주는 데이터셋과, GT만 주는 데이터셋.
_PAIRED = ("RealESRGANPairedDataset", "PairedImageDataset", "RealESRGANVideoDataset", "RealESRGANMixedDataset")


def _check_pairing(options: Mapping[str, Any]) -> None:
    """데이터셋이 주는 것과 모델이 바라는 것이 맞는지 본다.

    Raises:
        OptionError: 짝 자료인데 열화를 합성하려 하거나 그 반대일 때.
    """
    kind = (options["datasets"].get("train") or {}).get("type")
    synthesises = options.get("high_order_degradation", True)
    if kind in _PAIRED and synthesises:
        raise OptionError(
            f"짝 자료를 쓰는데 열화를 합성하게 되어 있습니다: datasets:train:type={kind}\n"
            "  이 데이터셋은 이미 열화된 LQ를 주고 블러 커널은 주지 않습니다.\n"
            "  해결: 옵션 파일의 맨 위에 한 줄을 더하세요.\n    high_order_degradation: false"
        )
    if kind == "RealESRGANDataset" and not synthesises:
        raise OptionError(
            "정답만 주는 데이터셋인데 열화를 합성하지 않게 되어 있습니다: high_order_degradation=false\n"
            f"  {kind}은 LQ를 주지 않아 모델이 합성해야 합니다.\n"
            "  해결: high_order_degradation을 지우거나, 짝이 있으면 type을 RealESRGANPairedDataset으로 바꾸세요."
        )


def _check_batches(options: Mapping[str, Any]) -> None:
    """배치를 나누는 수와 데이터셋의 이름을 본다.

    Raises:
        OptionError: `accumulate`가 배치를 나누지 못하거나, 검증 데이터셋의 이름이 겹칠 때.
    """
    batch = (options["datasets"].get("train") or {}).get("batch_size_per_gpu")
    parts = options["train"].get("accumulate") or 1
    if isinstance(batch, int) and isinstance(parts, int) and parts > 0 and batch % parts:
        raise OptionError(
            f"배치를 나눌 수 없습니다: train:accumulate={parts}, datasets:train:batch_size_per_gpu={batch}\n"
            "  토막의 크기가 다르면 손실의 평균이 나누지 않은 것과 달라집니다.\n"
            "  해결: accumulate를 배치의 약수로 바꾸세요."
        )
    names = [str(one.get("name")) for phase, one in options["datasets"].items() if one and phase.split("_")[0] == "val"]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise OptionError(
            f"검증 데이터셋의 이름이 겹칩니다: {', '.join(doubled)}\n"
            "  지표와 결과 이미지가 이름으로 갈리므로 서로 덮어씁니다.\n"
            "  해결: datasets:val*:name을 서로 다르게 적으세요."
        )


def _check_train(train: Mapping[str, Any], own_model: bool) -> None:
    schedulers = SCHEDULERS if own_model else {name: SCHEDULERS[name] for name in BASICSR_SCHEDULERS}
    find_loss, losses = _finder(LOSS_REGISTRY)
    for key, options in train.items():
        where = f"train:{key}"
        if not own_model and not (isinstance(options, Mapping) and "type" in options):
            # 사용자의 모델이 제 방식으로 읽는 블록이다.
            continue
        if key.startswith("optim_"):
            check_class_block(where, options, find_optimizer, OPTIMIZER_NAMES, ("params",))
        elif key == "scheduler":
            check_class_block(where, options, schedulers.get, schedulers, ("optimizer",))
            with blaming(where, options):
                try_scheduler(options, int(train["total_iter"]))
        elif key.endswith("_opt") and options is not None:
            check_class_block(where, options, find_loss, losses)
        elif key == "losses" and own_model:
            for number, entry in enumerate(options or ()):
                own = read_block(LossEntryOptions, entry, f"{where}:{number}", None)
                rest = {name: value for name, value in entry.items() if name not in ENTRY_KEYS}
                check_class_block(f"{where}:{number}", {"type": own.type, **rest}, find_loss, losses)


def _check_best(options: Mapping[str, Any]) -> None:
    best = options["logger"].get("keep_best")
    metrics = (options.get("val") or {}).get("metrics") or {}
    if best and best not in metrics:
        raise OptionError(
            f"재지 않는 지표입니다: logger:keep_best={best}\n  val:metrics에 그런 이름이 없습니다.\n"
            f"  해결: {nearest(str(best), metrics) if metrics else 'val:metrics에 지표를 적으세요.'}"
        )


def _check_boards(logger: Mapping[str, Any]) -> None:
    wandb = logger.get("wandb") or {}
    check_keys("logger:wandb", wandb, ("project", "resume_id"))
    if wandb.get("project") and not logger.get("use_tb_logger"):
        raise OptionError(
            f"Weights & Biases에 적을 것이 없습니다: logger:wandb:project={wandb['project']}\n"
            "  TensorBoard의 기록을 옮겨 적으므로 TensorBoard가 꺼져 있으면 아무것도 남지 않습니다.\n"
            "  해결: logger:use_tb_logger를 true로 두거나 project를 비우세요."
        )


REQUIRED_TOP = ("name", "model_type", "scale", "datasets", "network_g", "train")
# 없으면 모두 기본값인 블록.
OPTIONAL_BLOCKS = ("path", "logger")
# train 블록을 이 선언대로 읽는 BasicSR의 모델.
_BASICSR_MODELS = ("SRModel", "SRGANModel", "ESRGANModel", "SwinIRModel")


def check_options(options: Any, source: object = None) -> TrainingOptions | None:
    """옵션 파일 전체를 검사한다. 값은 바꾸지 않는다.

    Args:
        options: 옵션 파일의 내용.
        source: 오류에 적을 파일.

    Returns:
        읽어 굳힌 옵션. 모델이 이 패키지의 것이 아니면 옵션을 어디에 두는지 알 수 없어 None이다.

    Raises:
        OptionError: 빠졌거나 모르는 키, 틀린 값, 모르는 클래스가 있을 때. 자리와 값과 올 수 있는 값을 담는다.
    """
    try:
        return _check(options)
    except OptionError as error:
        if source is None:
            raise
        first, _, rest = str(error).partition("\n")
        raise OptionError(f"{first}\n  옵션 파일: {source}\n{rest}") from error


def _check(options: Any) -> TrainingOptions | None:
    if not isinstance(options, Mapping):
        raise OptionError(
            "옵션 파일이 비었거나 사전이 아닙니다.\n  '키: 값'들이 와야 합니다.\n  해결: 파일을 확인하세요."
        )
    missing = [key for key in REQUIRED_TOP if options.get(key) is None]
    if missing:
        raise OptionError(
            f"꼭 있어야 할 옵션이 없습니다: {', '.join(missing)}\n  이것 없이는 훈련을 시작할 수 없습니다.\n"
            "  해결: options/의 본보기에서 옮겨 적으세요."
        )
    options = {**options, **{key: {} for key in OPTIONAL_BLOCKS if options.get(key) is None}}
    for key in ("datasets", "network_g", "train", *OPTIONAL_BLOCKS):
        check_keys(key, options[key], options[key] if isinstance(options[key], Mapping) else ())
    find_model, models = _finder(MODEL_REGISTRY)
    model = find_model(str(options["model_type"]))
    if model is None:
        raise OptionError(
            f"모르는 모델입니다: model_type={options['model_type']}\n  그런 이름으로 등록된 것이 없습니다.\n"
            f"  해결: {nearest(str(options['model_type']), models)}"
        )
    found = _read_blocks(options, model)
    _check_name(options["name"])
    _check_datasets(options["datasets"], model in OWN_MODELS)
    _register_borrowed(options)
    find_arch, archs = _finder(ARCH_REGISTRY)
    for key in options:
        if key.startswith("network_") and options[key] is not None:
            check_class_block(key, options[key], find_arch, archs)
    _check_train(options["train"], model in OWN_MODELS)
    if model in OWN_MODELS:
        _check_pairing(options)
        _check_sizes(options)
        _check_channels(options)
    _check_batches(options)
    find_metric, metrics = _finder(METRIC_REGISTRY)
    for name, block in ((options.get("val") or {}).get("metrics") or {}).items():
        where = f"val:metrics:{name}"
        check_class_block(where, block, find_metric, metrics, ("img", "img2"), ignores_rest=True, extra=("better",))
        if block.get("better") is not None:
            read_value(
                Annotated[Literal["higher", "lower"], Meta(description="좋은 쪽")], block["better"], f"{where}:better"
            )
    return found


# 폴더의 이름이 될 수 없는 글자. 윈도는 더 많다.
_NAME_REFUSED = set("/\\") | (set('<>:"|?*') if os.name == "nt" else set())
_LONGEST_NAME = 200


def _check_name(name: str) -> None:
    """실험의 이름을 폴더의 이름으로 쓸 수 있는지 본다. 다른 폴더를 가리키면 그 폴더를 옮기게 된다.

    Raises:
        OptionError: 쓸 수 없을 때.
    """
    bad = sorted(letter for letter in set(name) if letter in _NAME_REFUSED or not letter.isprintable())
    if bad or not name.strip(" .") or name != name.strip() or len(name.encode()) > _LONGEST_NAME:
        reason = (
            f"쓸 수 없는 글자: {' '.join(map(repr, bad))}" if bad else "빈 이름, 점뿐인 이름, 앞뒤의 빈칸, 너무 긴 이름"
        )
        raise OptionError(
            f"실험의 이름을 폴더의 이름으로 쓸 수 없습니다: name={name!r}\n  {reason}.\n"
            "  해결: 글자, 숫자, 빈칸, -, _로 된 짧은 이름을 적으세요. 예: name: my_experiment"
        )


def _register_borrowed(options: Mapping[str, Any]) -> None:
    """`spandrel:`로 시작하는 네트워크를 등록부에 올린다."""
    for key, block in options.items():
        name = block.get("type") if key.startswith("network_") and isinstance(block, Mapping) else None
        if isinstance(name, str) and name.startswith(community.PREFIX):
            add_entry(ARCH_REGISTRY, name, community.network_builder(name))


def _read_blocks(options: Mapping[str, Any], model: Any) -> TrainingOptions | None:
    """선언대로 읽는다. 사용자의 모델이면 훈련 루프가 읽는 것만 본다."""
    if model in OWN_MODELS:
        found = read_block(TrainingOptions, options, "맨 위", HARMLESS)
        _check_boards(options["logger"])
        _check_best(options)
        if model is RealESRGANModel:
            _need("train", options["train"], ("optim_d", "gan_opt"), TrainOptions)
            _need("맨 위", options, ("network_d",), TrainingOptions)
        return found
    if model.__name__ in _BASICSR_MODELS and _is_ours(model):
        read_block(TrainOptions, options["train"], "train", None)
    _need("train", options["train"], ("total_iter",), TrainOptions)
    read_value(Annotated[int, Meta(ge=1)], options["train"]["total_iter"], "train:total_iter")
    # 어느 모델이든 훈련 루프와 데이터 로더가 읽는 것이다.
    types = {one.name: one.type for one in structs.fields(TrainingOptions)}
    for key in ("name", "scale", "num_gpu", "manual_seed", "find_unused_parameters"):
        if options.get(key) is not None:
            read_value(types[key], options[key], key)
    for key, kind in (
        ("path", PathOptions),
        ("logger", LoggerOptions),
        ("val", ValOptions),
        ("dist_params", DistOptions),
    ):
        if options.get(key) is not None:
            read_block(kind, options[key], key, None)
    _check_boards(options["logger"])
    _check_best(options)
    return None


def import_user_modules(plugins: Iterable[str | os.PathLike[str]] = ()) -> list[str]:
    """사용자의 파일을 불러와 등록시킨다: 플러그인과, `archs`, `data`, `models` 폴더에 둔 모듈.

    폴더에 둔 것은 BasicSR의 관습대로 이름이 `_arch.py`, `_dataset.py`, `_model.py`로 끝나는 파일이다. 추론은 이 함수를
    부르지 않는다.

    Args:
        plugins: `load_plugins`에 줄 파일이나 폴더.

    Returns:
        불러온 모듈의 이름들.

    Raises:
        PluginError: 플러그인을 불러오지 못했을 때.
    """
    root = Path(__file__).resolve().parent.parent
    names = []
    for folder, suffix in (("archs", "_arch"), ("data", "_dataset"), ("models", "_model")):
        names += import_folder(f"realesrgan.{folder}", root / folder, suffix)
    names += [module.__name__ for module in load_plugins(plugins)]
    sync_archs()
    return names
