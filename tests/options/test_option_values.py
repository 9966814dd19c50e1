"""옵션의 값과 있음을 본다. 만들기 전에, 자리와 값과 올 수 있는 값을 말하며."""

# ruff: noqa: E501 - 돌아다니는 옵션 파일의 모양 그대로다

import copy
import json

import pytest
import yaml

from tests.conftest import ROOT
from tests.training.extra import require_training_extra
from tests.training.tiny_run import tiny_options

require_training_extra()
msgspec = pytest.importorskip("msgspec")

from realesrgan.basicsr_bridge import (  # noqa: E402
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    MODEL_REGISTRY,
)
from realesrgan.errors import OptionError  # noqa: E402
from realesrgan.models.step_options import STEP_KEYS, StepOptions  # noqa: E402
from realesrgan.training.option_reading import describe  # noqa: E402
from realesrgan.training.option_reference import render, schema  # noqa: E402
from realesrgan.training.option_schema import check_options, import_user_modules  # noqa: E402
from realesrgan.training.option_types import TrainingOptions, TrainOptions  # noqa: E402
from realesrgan.training.options import fill_empty, load_yaml, prepare_options  # noqa: E402

FOLDER = ROOT / "options"
import_user_modules()
GONE = object()


def changed(folder, path, value, gan=True):
    options = copy.deepcopy(tiny_options(folder, gan))
    *parents, last = path.split(":")
    target = options
    for name in parents:
        target = target[name]
    if value is GONE:
        del target[last]
    else:
        target[last] = value
    return options


@pytest.mark.parametrize(
    "path",
    [
        "train:optim_g",
        "train:optim_d",
        "train:gan_opt",
        "train:scheduler",
        "train:total_iter",
        "network_d",
        "gt_size",
        "jpeg_range2",
        "second_blur_prob",
        "datasets:train:io_backend",
        "datasets:train:io_backend:type",
        "datasets:train:dataroot_gt",
        "datasets:train:kernel_list",
        "datasets:train:final_sinc_prob",
        "datasets:train:batch_size_per_gpu",
    ],
)
def test_what_is_missing_is_named(tmp_path, path):
    with pytest.raises(OptionError) as caught:
        check_options(changed(tmp_path, path, GONE))
    assert path in str(caught.value) and "해결" in str(caught.value)


@pytest.mark.parametrize("name", ["", " ", ".", "..", "../x", "a/b", "a\\b", "x\ny", " x", "긴" * 100])
@pytest.mark.parametrize("model", ["RealESRNetModel", "SRModel"])
def test_a_name_that_points_elsewhere_is_refused(tmp_path, name, model):
    """이름이 빈 글이면 experiments/ 전체를, ..이면 그 위를 옮기게 된다."""
    with pytest.raises(OptionError, match="name"):
        check_options(changed(tmp_path, "name", name, gan=False) | {"model_type": model})
    check_options(changed(tmp_path, "name", "한글 이름-2_b", gan=False) | {"model_type": model})


def test_what_the_loop_reads_is_checked_for_every_model(tmp_path):
    options = changed(tmp_path, "model_type", "SRModel", gan=False)
    for path, value in {
        "num_gpu": "many",
        "manual_seed": "x",
        "train:total_iter": "many",
        "logger:print_freq": "x",
        "path:resume_options": "old",
        "dist_params": {"backend": "mpi"},
    }.items():
        wrong = copy.deepcopy(options)
        *parents, last = path.split(":")
        block = wrong
        for parent in parents:
            block = block[parent]
        block[last] = value
        with pytest.raises(OptionError, match=path):
            check_options(wrong)


def test_empty_values_are_the_defaults(tmp_path):
    options = changed(tmp_path, "queue_size", None)
    options |= {"high_order_degradation": None, "l1_gt_usm": None}
    options["datasets"]["train"] |= {"blur_kernel_size": None, "num_worker_per_gpu": None}
    options["train"]["warmup_iter"] = None
    fill_empty(options)
    assert (options["queue_size"], options["high_order_degradation"], options["l1_gt_usm"]) == (180, True, True)
    assert options["datasets"]["train"]["blur_kernel_size"] == 21
    assert options["train"]["warmup_iter"] == -1 and options["path"]["resume_state"] is None
    check_options(options)


def test_a_training_dataset_cannot_validate(tmp_path):
    options = changed(tmp_path, "gt_size", 32)
    options["datasets"]["val"] = dict(options["datasets"]["train"])
    with pytest.raises(OptionError, match="RealESRGANDegradedDataset"):
        check_options(options)


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        ("jpeg_range", [95, 30], "[30, 95]"),
        ("manual_seed", 2**32, "4294967295"),
        ("noise_range", [1, float("inf")], "NaN과 Inf가 아닌"),
        ("train:optim_g:lr", float("inf"), "NaN과 Inf가 아닌"),
        ("train:optim_g", {"type": "Adam"}, "train:optim_g:lr"),
        ("resize_prob", [0, 0, 0], "합이 0"),
        ("datasets:train:kernel_prob", [0] * 6, "합이 0"),
        ("resize_modes", [], "하나 이상"),
        ("datasets:train:dataroot_gt", "", "비지 않은 글"),
        ("datasets:train:io_backend", {"type": "disk", "root": "x"}, "io_backend:root"),
        ("network_g:num_feat", 0, "1 이상"),
        ("network_g:num_conv", -1, "0 이상"),
        ("network_g:nf", 8, "num_feat"),
        ("network_g", {"type": "UNetDiscriminatorSN", "num_in_ch": 1}, "채널 수"),
        ("jpeg_range", [0, 30], "1 이상"),
        ("jpeg_range", [30], "2개의 목록"),
        ("resize_prob", [1, 2], "3개의 목록"),
        ("gaussian_noise_prob", 1.5, "1 이하"),
        ("datasets:train:sinc_prob", -0.1, "0 이상"),
        ("datasets:train:kernel_list", ["iso", "anis"], "aniso"),
        ("datasets:train:io_backend:type", "memory", "lmdb"),
        ("train:optim_g:lr", "abc", "수"),
        ("train:optim_g:betas", [0.9], "2개의 목록"),
        ("train:total_iter", 0, "1 이상"),
        ("train:total_iter", "many", "정수"),
        ("train:scheduler:milestones", 400, "목록"),
        ("train:ema_decay", 1.5, "1 이하"),
        ("train:amp", "fp8", "bf16"),
        ("train:gan_opt:gan_type", "vanila", "vanilla"),
        ("train:channels_last", "yes", "true"),
        ("network_g:num_feat", "wide", "정수"),
        ("num_gpu", "all", "auto"),
        ("scale", 2, "network_g:upscale"),
        ("gt_size", 30, "8의 배수"),
        ("gt_size", 64, "crop_size"),
        ("queue_size", 5, "queue_size: 4"),
        ("logger:wandb", {"project": 3}, "글"),
        ("dist_params", {"backend": "mpi"}, "nccl"),
    ],
)
def test_wrong_values_are_named_with_what_would_be_right(tmp_path, path, value, hint):
    with pytest.raises(OptionError) as caught:
        check_options(changed(tmp_path, path, value))
    assert path in str(caught.value) and hint in str(caught.value) and "해결" in str(caught.value)


def test_the_file_is_named(tmp_path):
    with pytest.raises(OptionError, match=r"옵션 파일: .*mine\.yml"):
        check_options(changed(tmp_path, "scale", "four"), tmp_path / "mine.yml")


def test_what_is_read_cannot_be_changed(tmp_path):
    found = check_options(tiny_options(tmp_path))
    assert found.train.optim_g.lr == 0.001 and found.queue_size == 4 and found.train.accumulate == 1
    with pytest.raises(AttributeError):
        found.scale = 2
    with pytest.raises(AttributeError):
        found.train.total_iter = 2


def test_a_float_that_is_whole_is_an_integer(tmp_path):
    assert check_options(changed(tmp_path, "logger:save_checkpoint_freq", 5e3)).logger.save_checkpoint_freq == 5000


def test_the_defaults_of_a_step_are_declared_once():
    declared = {field.name: field.default for field in msgspec.structs.fields(TrainOptions)}
    # channels_last는 적지 않으면 장치와 정밀도가 정한다.
    assert declared.pop("channels_last") is None
    same = [key for key in STEP_KEYS if key in declared]
    assert {key: declared[key] for key in same} == {key: getattr(StepOptions(), key) for key in same}


def test_descriptions():
    fields = {field.name: field.type for field in msgspec.structs.fields(TrainingOptions)}
    assert describe(fields["num_gpu"]) == "정수, 0 이상 또는 auto"
    assert describe(fields["gaussian_noise_prob"]) == "수, 0 이상 1 이하"
    assert describe(fields["jpeg_range"]) == "2개의 목록(수, 1 이상 100 이하)"


def test_the_schema_and_the_table_are_current():
    """다르면 `python scripts/generate_option_reference.py`를 실행한다."""
    for path, content in render(FOLDER).items():
        assert path.read_text(encoding="utf-8") == content, path.name


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yml")), ids=lambda p: p.stem)
def test_every_file_follows_the_schema(path):
    validator = pytest.importorskip("jsonschema").Draft202012Validator(schema())
    options = load_yaml(path)
    validator.validate(options)
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=options.schema.json\n")
    options["gt_ums"] = True
    assert not validator.is_valid(options)


def test_the_schema_is_json():
    assert json.loads(json.dumps(schema())) == schema()


# --------------------------------------------------------------------------- 돌아다니는 파일의 모양

_DEGRADATION = """
resize_prob: [0.2, 0.7, 0.1]
resize_range: [0.15, 1.5]
gaussian_noise_prob: 0.5
noise_range: [1, 30]
poisson_scale_range: [0.05, 3]
gray_noise_prob: 0.4
jpeg_range: [30, 95]
second_blur_prob: 0.8
resize_prob2: [0.3, 0.4, 0.3]
resize_range2: [0.3, 1.2]
gaussian_noise_prob2: 0.5
noise_range2: [1, 25]
poisson_scale_range2: [0.05, 2.5]
gray_noise_prob2: 0.4
jpeg_range2: [30, 95]
"""
_KERNELS = """
    blur_kernel_size: 21
    kernel_list: ['iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso']
    kernel_prob: [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
    sinc_prob: 0.1
    blur_sigma: [0.2, 3]
    betag_range: [0.5, 4]
    betap_range: [1, 2]
    blur_kernel_size2: 21
    kernel_list2: ['iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso']
    kernel_prob2: [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
    sinc_prob2: 0.1
    blur_sigma2: [0.2, 1.5]
    betag_range2: [0.5, 4]
    betap_range2: [1, 2]
    final_sinc_prob: 0.8
"""
_ADAM = "{type: Adam, lr: !!float 1e-4, weight_decay: 0, betas: [0.9, 0.99]}"
_TAIL = "\nlogger: {print_freq: 100, save_checkpoint_freq: !!float 5e3, use_tb_logger: true, wandb: {project: ~, resume_id: ~}}\ndist_params: {backend: nccl, port: 29500}\n"
_PAIRED = "{name: DF2K, type: PairedImageDataset, dataroot_gt: a, dataroot_lq: b, meta_info_file: ~, filename_tmpl: '{}x4', io_backend: {type: disk}, gt_size: 128, use_hflip: true, use_rot: true, use_shuffle: true, num_worker_per_gpu: 6, batch_size_per_gpu: 16, dataset_enlarge_ratio: 100, prefetch_mode: ~}"

SHAPES = {
    # 데이터셋 블록에 phase와 scale과 쓰지 않는 폴더가 있고, 장치를 넷으로 적은 것.
    "dataset with phase, scale and unused roots": f"""
name: fork_a
model_type: RealESRNetModel
scale: 4
num_gpu: 4
manual_seed: 0
is_train: true
dist: true
gt_usm: True
{_DEGRADATION}
gt_size: 256
queue_size: 192
datasets:
  train:
    name: Mine
    phase: train
    scale: 4
    type: RealESRGANDataset
    dataroot_gt: datasets/a
    dataroot_lq: ~
    meta_info: datasets/a.txt
    filename_tmpl: '{{}}'
    io_backend: {{type: disk}}
    {_KERNELS}
    gt_size: 256
    use_hflip: True
    use_rot: False
    use_shuffle: true
    num_worker_per_gpu: 5
    batch_size_per_gpu: 12
    dataset_enlarge_ratio: 1
    prefetch_mode: ~
network_g: {{type: RRDBNet, num_in_ch: 3, num_out_ch: 3, num_feat: 64, num_block: 6, num_grow_ch: 32}}
path: {{pretrain_network_g: a.pth, param_key_g: params_ema, strict_load_g: true, resume_state: ~, root: ~}}
train:
  ema_decay: 0.999
  optim_g: {_ADAM}
  scheduler: {{type: MultiStepLR, milestones: [1000000], gamma: 0.5}}
  total_iter: 1000000
  warmup_iter: -1
  pixel_opt: {{type: L1Loss, loss_weight: 1.0, reduction: mean}}
{_TAIL}""",
    "compact generator, lmdb, two validation sets": f"""
name: fork_b
model_type: RealESRGANModel
scale: 4
num_gpu: auto
manual_seed: 10
l1_gt_usm: True
percep_gt_usm: True
gan_gt_usm: False
{_DEGRADATION}
gt_size: 192
queue_size: 180
datasets:
  train:
    name: Lmdb
    type: RealESRGANDataset
    dataroot_gt: datasets/a.lmdb
    io_backend: {{type: lmdb}}
    {_KERNELS}
    gt_size: 192
    use_hflip: True
    use_rot: False
    num_worker_per_gpu: 8
    batch_size_per_gpu: 20
    prefetch_mode: cuda
    pin_memory: true
  val: {{name: Set5, type: PairedImageDataset, dataroot_gt: a, dataroot_lq: b, io_backend: {{type: disk}}}}
  val_2: {{name: Real, type: SingleImageDataset, dataroot_lq: c, io_backend: {{type: disk}}}}
network_g: {{type: SRVGGNetCompact, num_in_ch: 3, num_out_ch: 3, num_feat: 64, num_conv: 32, upscale: 4, act_type: prelu}}
network_d: {{type: UNetDiscriminatorSN, num_in_ch: 3, num_feat: 64, skip_connection: True}}
path: {{pretrain_network_g: ~, param_key_g: params, strict_load_g: true, ignore_resume_networks: [network_d]}}
train:
  ema_decay: 0.999
  optim_g: {_ADAM}
  optim_d: {_ADAM}
  scheduler: {{type: CosineAnnealingRestartLR, periods: [200000, 200000], restart_weights: [1, 0.5], eta_min: !!float 1e-7}}
  total_iter: 400000
  warmup_iter: 2000
  pixel_opt: {{type: L1Loss, loss_weight: 1.0, reduction: mean}}
  gan_opt: {{type: GANLoss, gan_type: vanilla, real_label_val: 1.0, fake_label_val: 0.0, loss_weight: !!float 1e-1}}
  net_d_iters: 1
  net_d_init_iters: 0
val:
  val_freq: !!float 5e3
  save_img: True
  pbar: False
  metrics:
    psnr: {{type: calculate_psnr, crop_border: 4, test_y_channel: false}}
    niqe: {{type: calculate_niqe, crop_border: 4, better: lower}}
{_TAIL}""",
    "SRModel on pairs": f"""
name: 001_MSRResNet
model_type: SRModel
scale: 4
num_gpu: 1
manual_seed: 0
datasets:
  train: {_PAIRED}
network_g: {{type: MSRResNet, num_in_ch: 3, num_out_ch: 3, num_feat: 64, num_block: 16, upscale: 4}}
path: {{pretrain_network_g: ~, strict_load_g: true, resume_state: ~}}
train:
  ema_decay: 0.999
  optim_g: {_ADAM}
  scheduler: {{type: CosineAnnealingRestartLR, periods: [250000, 250000, 250000, 250000], restart_weights: [1, 1, 1, 1], eta_min: !!float 1e-7}}
  total_iter: 1000000
  warmup_iter: -1
  pixel_opt: {{type: L1Loss, loss_weight: 1.0, reduction: mean}}
{_TAIL}""",
    "ESRGANModel with ldl": f"""
name: LDL
model_type: ESRGANModel
scale: 4
num_gpu: 4
manual_seed: 0
datasets:
  train: {_PAIRED}
network_g: {{type: RRDBNet, num_in_ch: 3, num_out_ch: 3, num_feat: 64, num_block: 23}}
network_d: {{type: VGGStyleDiscriminator, num_in_ch: 3, num_feat: 64}}
path: {{pretrain_network_g: a.pth, strict_load_g: true, resume_state: ~}}
train:
  ema_decay: 0.999
  optim_g: {_ADAM}
  optim_d: {_ADAM}
  scheduler: {{type: MultiStepLR, milestones: [50000, 100000], gamma: 0.5}}
  total_iter: 400000
  pixel_opt: {{type: L1Loss, loss_weight: !!float 1e-2, reduction: mean}}
  perceptual_opt: {{type: PerceptualLoss, layer_weights: {{conv5_4: 1}}, vgg_type: vgg19, use_input_norm: true, range_norm: false, perceptual_weight: 1.0, style_weight: 0, criterion: l1}}
  gan_opt: {{type: GANLoss, gan_type: vanilla, real_label_val: 1.0, fake_label_val: 0.0, loss_weight: !!float 5e-3}}
  net_d_iters: 1
  net_d_init_iters: 0
{_TAIL}""",
    # path와 dist_params가 통째로 주석이고, 배율 1로 미세조정한다.
    "scale 1, no path": f"""
name: restore_x1
model_type: RealESRNetModel
scale: 1
num_gpu: auto
manual_seed: 0
gt_usm: True
{_DEGRADATION}
gt_size: 256
queue_size: 180
datasets:
  train:
    name: Films
    type: RealESRGANDataset
    dataroot_gt: datasets/a
    meta_info: datasets/a.txt
    io_backend: {{type: disk}}
    {_KERNELS}
    gt_size: 256
    use_hflip: True
    use_rot: False
    num_worker_per_gpu: 5
    batch_size_per_gpu: 6
  val: {{name: validation, type: PairedImageDataset, dataroot_gt: a, dataroot_lq: b, io_backend: {{type: disk}}}}
network_g: {{type: RRDBNet, num_in_ch: 3, num_out_ch: 3, num_feat: 64, num_block: 23, num_grow_ch: 32, scale: 1}}
train:
  ema_decay: 0.999
  optim_g: {_ADAM}
  scheduler: {{type: MultiStepLR, milestones: [1000000], gamma: 0.5}}
  total_iter: 1000000
  warmup_iter: -1
  pixel_opt: {{type: L1Loss, loss_weight: 1.0, reduction: mean}}
""",
    # 사용자의 모델, 데이터셋, 네트워크, 손실. type이 없는 손실 블록과 제 열화의 키가 있다.
    "own classes everywhere": f"""
name: own
model_type: OwnGANModel
scale: 4
num_gpu: auto
manual_seed: 0
{_DEGRADATION}
jpeg_diff_range: [5, 60]
queue_size: 80
find_unused_parameters: True
datasets:
  train: {{name: D, type: OwnPicturesDataset, dataroot_gt: a, meta_info: a.txt, io_backend: {{type: disk}}, batch_size_per_gpu: 4, num_worker_per_gpu: 5}}
network_g: {{type: OwnNet, num_in_ch: 3, num_feats: [64, 64], downscales: [1, 2]}}
network_d: {{type: UNetDiscriminatorSN, num_in_ch: 3, num_feat: 64, skip_connection: True}}
path: {{pretrain_network_g: a.pth, param_key_g: params_ema, strict_load_g: true, resume_state: ~}}
train:
  ema_decay: 0.999
  optim_g: {_ADAM}
  optim_d: {_ADAM}
  scheduler: {{type: MultiStepLR, milestones: [400000], gamma: 0.5}}
  total_iter: 590000
  pixel_opt: {{type: L1Loss, loss_weight: 1.0, reduction: mean}}
  rank_opt: {{type: OwnRankLoss, loss_weight: 0.01, margin: 0.05}}
  rank_opt_anchor: {{loss_weight: 0.0001}}
  gan_opt: {{type: GANLoss, gan_type: vanilla, real_label_val: 1.0, fake_label_val: 0.0, loss_weight: !!float 1e-1}}
{_TAIL}""",
    "SwinIRModel with a mean": f"""
name: SwinIR
model_type: SwinIRModel
scale: 2
num_gpu: auto
manual_seed: 0
datasets:
  train: {_PAIRED.replace("prefetch_mode: ~", "mean: [0.44, 0.43, 0.40], std: [1, 1, 1]")}
network_g: {{type: SwinIR, upscale: 2, in_chans: 3, img_size: 48, window_size: 8, img_range: 1., depths: [2], embed_dim: 12, num_heads: [2], mlp_ratio: 2, upsampler: pixelshuffle, resi_connection: 1conv}}
path: {{pretrain_network_g: ~, strict_load_g: true, resume_state: ~}}
train:
  ema_decay: 0.999
  optim_g: {_ADAM}
  scheduler: {{type: MultiStepLR, milestones: [250000, 400000], gamma: 0.5}}
  total_iter: 500000
  pixel_opt: {{type: L1Loss, loss_weight: 1.0, reduction: mean}}
val: {{val_freq: !!float 5e3, save_img: false, use_pbar: true, suffix: ~}}
{_TAIL}""",
}


@pytest.mark.parametrize("name", SHAPES)
def test_files_met_in_the_wild_are_accepted(name, tmp_path, monkeypatch):
    for registry, kind in (
        (MODEL_REGISTRY, "OwnGANModel"),
        (DATASET_REGISTRY, "OwnPicturesDataset"),
        (ARCH_REGISTRY, "OwnNet"),
        (LOSS_REGISTRY, "OwnRankLoss"),
    ):
        monkeypatch.setitem(registry._obj_map, kind, type(kind, (), {}))
    path = tmp_path / "wild.yml"
    path.write_text(SHAPES[name], encoding="utf-8")
    options = load_yaml(path)
    fill_empty(options)
    check_options(options, path)
    prepare_options(options, tmp_path)
    assert yaml.safe_dump(options)
