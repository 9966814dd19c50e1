"""훈련 옵션의 선언. 키마다 자료형, 기본값, 범위, 뜻을 한 번 적는다. 검사, 편집기의 스키마, 문서의 표가 여기서 나온다.

클래스를 만드는 블록(`network_*`, `optim_*`, `*_opt`, 지표)은 여기 적힌 키의 값만 보고, 나머지 인자는 그 클래스의 서명이
정한다.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

Probability = Annotated[float, Meta(ge=0, le=1)]
Weight = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
Crf = Annotated[float, Meta(ge=0, le=51)]
Quality = Annotated[float, Meta(ge=1, le=100)]
# 범위는 (작은 값, 큰 값)이다. 차례는 `options.read_block`이 본다.
Range = tuple[Weight, Weight]
KernelKind = Literal["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]
ResizeMode = Literal["area", "bilinear", "bicubic"]
Text = Annotated[str, Meta(min_length=1)]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Block = dict[str, Any]


def key(description: str) -> Meta:
    """키의 뜻."""
    return Meta(description=description)


class _Options(msgspec.Struct, frozen=True, kw_only=True):
    """선언의 바탕. 읽은 뒤에는 바뀌지 않는다."""


class IoBackend(_Options, frozen=True, kw_only=True):
    """`io_backend` 블록."""

    closed: ClassVar[bool] = True

    type: Annotated[Literal["disk", "lmdb"], key("이미지를 읽는 길")]
    readonly: Annotated[bool, key("(lmdb) 읽기만 한다")] = True
    lock: Annotated[bool, key("(lmdb) 잠금을 쓴다")] = False
    readahead: Annotated[bool, key("(lmdb) 운영체제가 미리 읽게 한다")] = False


class LoaderKeys(_Options, frozen=True, kw_only=True):
    """어느 데이터셋에나 있는, 데이터 로더가 읽는 키."""

    name: Annotated[Text | None, key("로그와 결과 폴더에 적히는 이름. 없으면 train, val 같은 단계의 이름")] = None
    type: Annotated[str, key("데이터셋 클래스의 이름")]
    use_shuffle: Annotated[bool, key("세대마다 뒤섞기")] = True
    num_worker_per_gpu: Annotated[Annotated[int, Meta(ge=0)], key("프로세스마다의 작업자 수")] = 0
    batch_size_per_gpu: Annotated[Count, key("프로세스마다의 배치 크기. 훈련 자료에는 꼭 있어야 한다")] = 1
    dataset_enlarge_ratio: Annotated[Count, key("한 세대를 늘리는 배수. 작은 자료에서 키운다")] = 1
    prefetch_mode: Annotated[Literal["cpu", "cuda"] | None, key("cuda면 고정 메모리(pin memory)를 쓴다")] = None
    num_prefetch_queue: Annotated[Count | None, key("작업자마다 미리 읽을 배치의 수")] = None
    pin_memory: Annotated[bool | None, key("고정 메모리를 쓴다. 없으면 prefetch_mode를 따른다")] = None
    persistent_workers: Annotated[bool, key("세대가 끝나도 작업자를 살려 둔다")] = False


class LoaderOptions(LoaderKeys, frozen=True, kw_only=True):
    """데이터셋의 종류와 상관없는 키."""

    io_backend: Annotated[IoBackend, key("읽는 길")]


class KernelKeys(LoaderOptions, frozen=True, kw_only=True):
    """블러 커널의 키. 이름이 2로 끝나는 것은 둘째 열화의 것이다."""

    color: Annotated[Literal["rgb", "gray"] | None, key("gray면 한 채널. 없으면 network_g의 num_in_ch를 따른다")] = None
    blur_kernel_size: Annotated[Count, key("커널의 가장 큰 크기, 홀수. 7부터 이 값까지의 홀수를 뽑는다")] = 21
    kernel_list: Annotated[list[KernelKind], key("커널의 종류")]
    kernel_prob: Annotated[list[Weight], key("종류마다의 비중")]
    sinc_prob: Annotated[Probability, key("블러 대신 sinc 커널을 쓸 확률")]
    blur_sigma: Annotated[Range, key("표준편차의 범위(픽셀)")]
    betag_range: Annotated[Range, key("일반화 가우시안의 모양 변수")]
    betap_range: Annotated[Range, key("평탄(plateau) 커널의 모양 변수")]
    blur_kernel_size2: Annotated[Count, key("(둘째) 커널의 가장 큰 크기, 홀수")] = 21
    kernel_list2: Annotated[list[KernelKind], key("(둘째) 커널의 종류")]
    kernel_prob2: Annotated[list[Weight], key("(둘째) 종류마다의 비중")]
    sinc_prob2: Annotated[Probability, key("(둘째) sinc 커널을 쓸 확률")]
    blur_sigma2: Annotated[Range, key("(둘째) 표준편차의 범위(픽셀)")]
    betag_range2: Annotated[Range, key("(둘째) 일반화 가우시안의 모양 변수")]
    betap_range2: Annotated[Range, key("(둘째) 평탄 커널의 모양 변수")]
    final_sinc_prob: Annotated[Probability, key("마지막 sinc의 확률. 나머지는 아무것도 하지 않는다")]


class RealESRGANDatasetOptions(KernelKeys, frozen=True, kw_only=True):
    """`RealESRGANDataset`: 정답만 읽고 열화는 모델이 합성한다."""

    dataroot_gt: Annotated[Text, key("정답 이미지의 폴더 또는 .lmdb")]
    meta_info: Annotated[str | None, key("이미지 목록. 없으면 폴더 전체를 쓴다")] = None
    crop_size: Annotated[Count, key("데이터셋이 주는 조각의 한 변. 열화는 이 크기에서 한다")] = 400
    gt_size: Annotated[Count | None, key("맨 위의 gt_size와 같은 값")] = None
    use_hflip: Annotated[bool, key("좌우 뒤집기")] = True
    use_rot: Annotated[bool, key("90도 돌리기")] = False
    max_bad_ratio: Annotated[Probability, key("읽지 못한 이미지의 허용 비율")] = 0.01


class RealESRGANVideoDatasetOptions(RealESRGANDatasetOptions, frozen=True, kw_only=True):
    """`RealESRGANVideoDataset`: 작업자가 열화와 비디오 코덱까지 마친 짝. `high_order_degradation: false`로 쓴다."""

    usm: Annotated[
        Literal["none", "source", "both"],
        key("source면 선명화한 정답을 열화시키고 본래 정답을, both면 선명화한 정답을 준다"),
    ] = "source"
    codec_prob: Annotated[Probability, key("비디오 코덱으로 누를 확률, 장마다")] = 0.0
    codec_list: Annotated[
        Annotated[list[Literal["h264", "h265", "av1"]], Meta(min_length=1)] | None, key("코덱들. 없으면 셋 모두")
    ] = None
    codec_weights: Annotated[list[Weight] | None, key("코덱마다의 비중. 없으면 같다")] = None
    codec_crf: Annotated[
        tuple[Crf, Crf] | None, key("품질(CRF)의 범위, 없으면 18..35. 클수록 나쁘다. AV1은 63 눈금으로 옮긴다")
    ] = None
    codec_frames: Annotated[Count, key("클립의 길이(프레임). 마지막 프레임을 쓴다")] = 3
    codec_motion: Annotated[Weight, key("프레임마다 움직이는 가장 큰 거리(LQ 픽셀)")] = 2.0


class RealESRGANMixedDatasetOptions(LoaderOptions, frozen=True, kw_only=True):
    """`RealESRGANMixedDataset`: 여러 데이터셋을 확률로 섞는다."""

    color: Annotated[Literal["rgb", "gray"] | None, key("gray면 한 채널. 없으면 network_g의 num_in_ch를 따른다")] = None
    sources: Annotated[
        Annotated[list[Block], Meta(min_length=1)], key("데이터셋 블록들. weight(기본 1)가 고를 비중이다")
    ]
    gt_size: Annotated[Count | None, key("적지 않은 데이터셋에 물려줄 조각의 한 변. 훈련 자료에는 꼭 있어야 한다")] = (
        None
    )


class _PairKeys(LoaderOptions, frozen=True, kw_only=True):
    dataroot_gt: Annotated[Text, key("정답 이미지의 폴더 또는 .lmdb")]
    dataroot_lq: Annotated[Text, key("저품질 이미지의 폴더 또는 .lmdb")]
    filename_tmpl: Annotated[str | None, key("LQ의 이름을 GT의 이름에서 만드는 꼴. 예: '{}x4'")] = None
    gt_size: Annotated[Count | None, key("훈련 조각의 한 변(GT 픽셀). 훈련 자료에는 꼭 있어야 한다")] = None
    use_hflip: Annotated[bool, key("좌우 뒤집기")] = True
    use_rot: Annotated[bool, key("90도 돌리기")] = False
    mean: Annotated[list[float] | None, key("빼 줄 채널마다의 평균")] = None
    std: Annotated[list[Positive] | None, key("나눌 채널마다의 표준편차")] = None


class RealESRGANPairedDatasetOptions(_PairKeys, frozen=True, kw_only=True):
    """`RealESRGANPairedDataset`: 정답과 저품질 이미지의 짝."""

    color: Annotated[Literal["rgb", "gray"] | None, key("gray면 한 채널. 없으면 network_g의 num_in_ch를 따른다")] = None
    meta_info: Annotated[str | None, key("짝의 목록. 한 줄에 'GT 경로, LQ 경로'")] = None
    max_bad_ratio: Annotated[Probability, key("쓰지 못하는 짝의 허용 비율")] = 0.01


class PairedImageDatasetOptions(_PairKeys, frozen=True, kw_only=True):
    """`PairedImageDataset`: BasicSR의 짝 자료."""

    meta_info_file: Annotated[str | None, key("짝의 목록(BasicSR의 꼴)")] = None
    color: Annotated[Literal["y"] | None, key("y면 밝기만 쓴다")] = None


class SingleImageDatasetOptions(LoaderOptions, frozen=True, kw_only=True):
    """`SingleImageDataset`: 정답 없이 저품질 이미지만. 검증 이미지를 남길 때 쓴다."""

    dataroot_lq: Annotated[Text, key("저품질 이미지의 폴더 또는 .lmdb")]
    meta_info_file: Annotated[str | None, key("이미지 목록(BasicSR의 꼴)")] = None
    mean: Annotated[list[float] | None, key("빼 줄 채널마다의 평균")] = None
    std: Annotated[list[Positive] | None, key("나눌 채널마다의 표준편차")] = None
    color: Annotated[Literal["y"] | None, key("y면 밝기만 쓴다")] = None


class DegradedDatasetOptions(LoaderOptions, frozen=True, kw_only=True):
    """`RealESRGANDegradedDataset`: 정답을 정해진 씨앗으로 열화시키는 검증 자료.

    열화와 커널의 키는 훈련의 것을 물려받고, 적으면 적은 것이 앞선다.
    """

    color: Annotated[Literal["rgb", "gray"] | None, key("gray면 한 채널. 없으면 network_g의 num_in_ch를 따른다")] = None
    dataroot_gt: Annotated[Text, key("정답 이미지의 폴더 또는 .lmdb")]
    meta_info: Annotated[str | None, key("이미지 목록. 없으면 폴더 전체를 쓴다")] = None
    seed: Annotated[Seed, key("열화의 씨앗. 같으면 언제나 같은 LQ다")] = 0
    crop_size: Annotated[Count | None, key("가운데를 이 크기로 자른다. 없으면 이미지 전체를 잰다")] = None


# 블록마다, 선언에 없지만 실제로 돌아다니는 옵션 파일에 적혀 있어 받아 주는 키. 읽지 않는다.
HARMLESS: dict[str, tuple[str, ...]] = {
    "맨 위": ("is_train", "dist", "rank", "world_size", "root_path", "auto_resume"),
    "path": ("root", "experiments_root", "models", "training_states", "log", "visualization"),
    "val": ("use_pbar", "rgb2bgr", "use_image"),
    "datasets": ("phase", "scale", "use_flip", "test_mode"),
}

DATASETS: dict[str, type[LoaderOptions]] = {
    "RealESRGANDataset": RealESRGANDatasetOptions,
    "RealESRGANPairedDataset": RealESRGANPairedDatasetOptions,
    "RealESRGANVideoDataset": RealESRGANVideoDatasetOptions,
    "RealESRGANMixedDataset": RealESRGANMixedDatasetOptions,
    "RealESRGANDegradedDataset": DegradedDatasetOptions,
    "PairedImageDataset": PairedImageDatasetOptions,
    "SingleImageDataset": SingleImageDatasetOptions,
}
# 이 패키지의 데이터셋. `color`가 한 채널로 읽을지를 정한다.
OWN_DATASETS = tuple(name for name in DATASETS if name.startswith("RealESRGAN"))


class PathOptions(_Options, frozen=True, kw_only=True):
    """`path` 블록."""

    pretrain_network_g: Annotated[str | None, key("생성자의 처음 가중치: 파일, 주소, 모델 이름. 없으면 무작위")] = None
    param_key_g: Annotated[str | None, key("파일 안의 키. 없으면 params_ema, params, 파일 전체의 차례로 찾는다")] = None
    strict_load_g: Annotated[bool, key("키와 크기가 모두 맞아야 한다. false면 맞는 것만 싣는다")] = True
    pretrain_network_d: Annotated[str | None, key("판별자의 처음 가중치")] = None
    param_key_d: Annotated[str | None, key("파일 안의 키")] = None
    strict_load_d: Annotated[bool, key("키와 크기가 모두 맞아야 한다")] = True
    resume_state: Annotated[str | None, key("이어 할 .state. 보통은 비워 두고 --auto_resume을 쓴다")] = None
    resume_options: Annotated[
        Literal["new", "keep"], key("이어 갈 때 바뀐 옵션을 따를지(new), 저장할 때의 값을 쓸지(keep)")
    ] = "new"
    ignore_resume_networks: Annotated[list[str] | None, key("이어 갈 때 되돌리지 않을 네트워크의 이름들")] = None


class OptimizerOptions(_Options, frozen=True, kw_only=True):
    """`optim_*` 블록. 나머지 키는 옵티마이저의 인자다."""

    type: Annotated[str, key("옵티마이저의 이름")]
    lr: Annotated[Weight, key("학습률")]
    weight_decay: Annotated[Weight, key("가중치 감쇠")] = 0.0
    betas: Annotated[tuple[Probability, Probability] | None, key("Adam 계열의 두 계수")] = None


class SchedulerOptions(_Options, frozen=True, kw_only=True):
    """`scheduler` 블록. 나머지 키는 스케줄러의 인자다."""

    type: Annotated[str, key("스케줄러의 이름")]
    milestones: Annotated[list[Annotated[int, Meta(ge=0)]] | None, key("MultiStepLR이 학습률을 낮추는 반복")] = None
    gamma: Annotated[Positive | None, key("MultiStepLR이 낮추는 배수")] = None
    periods: Annotated[list[Count] | None, key("CosineAnnealingRestartLR의 주기들(반복)")] = None
    restart_weights: Annotated[list[Weight] | None, key("주기마다 학습률에 곱하는 값")] = None
    eta_min: Annotated[Weight | None, key("가장 낮은 학습률")] = None


class LossOptions(_Options, frozen=True, kw_only=True):
    """`*_opt` 블록. 나머지 키는 손실 클래스의 인자다."""

    type: Annotated[str, key("손실 클래스의 이름")]
    loss_weight: Annotated[Weight | None, key("비중")] = None
    reduction: Annotated[Literal["mean", "sum", "none"] | None, key("평균을 낼지")] = None
    perceptual_weight: Annotated[Weight | None, key("PerceptualLoss의 비중")] = None
    style_weight: Annotated[Weight | None, key("PerceptualLoss의 스타일 손실의 비중")] = None
    gan_type: Annotated[
        Literal["vanilla", "lsgan", "wgan", "wgan_softplus", "hinge"] | None, key("적대 손실의 종류")
    ] = None


class LossEntryOptions(_Options, frozen=True, kw_only=True):
    """`train:losses`의 항목 하나. 나머지 키는 손실 클래스의 인자다."""

    type: Annotated[str, key("등록된 손실 클래스의 이름. LDLLoss, MSSSIMLoss, FocalFrequencyLoss, PyiqaLoss 등")]
    weight: Annotated[Weight, key("비중")] = 1.0
    start_iter: Annotated[Annotated[int, Meta(ge=0)], key("쓰기 시작하는 반복")] = 0
    end_iter: Annotated[Count | None, key("그만 쓰는 반복. 없으면 끝까지")] = None
    target: Annotated[Literal["gt", "gt_usm"], key("견줄 정답: 본래 것, 선명화한 것")] = "gt"
    name: Annotated[str | None, key("로그에 적을 이름. 없으면 type")] = None


class TrainOptions(_Options, frozen=True, kw_only=True):
    """`train` 블록."""

    total_iter: Annotated[Count, key("반복 횟수")]
    warmup_iter: Annotated[int, key("학습률을 서서히 올리는 반복. -1이면 쓰지 않는다")] = -1
    ema_decay: Annotated[Probability, key("지수이동평균(EMA)의 감쇠. 0이면 쓰지 않는다")] = 0.0
    optim_g: Annotated[OptimizerOptions, key("생성자의 옵티마이저")]
    optim_d: Annotated[OptimizerOptions | None, key("판별자의 옵티마이저. RealESRGANModel에는 꼭 있어야 한다")] = None
    scheduler: Annotated[SchedulerOptions, key("학습률 스케줄러")]
    pixel_opt: Annotated[LossOptions | None, key("픽셀 손실")] = None
    perceptual_opt: Annotated[LossOptions | None, key("지각 손실. `path`로 VGG19 가중치 파일을 가리킬 수 있다")] = None
    gan_opt: Annotated[LossOptions | None, key("적대 손실. RealESRGANModel에는 꼭 있어야 한다")] = None
    losses: Annotated[list[Block] | None, key("더 쓸 손실의 목록. 항목의 키는 아래 표에 있다")] = None
    net_d_iters: Annotated[Count, key("판별자를 몇 번 움직일 때마다 생성자를 한 번 움직일지")] = 1
    net_d_init_iters: Annotated[Annotated[int, Meta(ge=0)], key("처음에 판별자만 움직이는 반복")] = 0
    amp: Annotated[Literal["bf16", "fp16"] | None, key("혼합 정밀도(AMP)의 자료형")] = None
    channels_last: Annotated[
        bool | None, key("배열의 순서를 바꾼다. 셈은 같고 반올림만 다르다. 없으면 CPU와 amp에서 켠다")
    ] = None
    compile: Annotated[bool, key("`torch.compile`. C++ 컴파일러가 있어야 한다")] = False
    grad_checkpoint: Annotated[bool, key("중간값을 다시 계산해 메모리를 아낀다(RRDBNet)")] = False
    grad_clip: Annotated[Positive | None, key("그래디언트 노름의 상한")] = None
    accumulate: Annotated[Count, key("배치를 나누는 토막의 수. 배치의 약수여야 한다")] = 1
    max_nonfinite: Annotated[Count, key("유한하지 않은 손실이 잇달아 이만큼이면 멈춘다")] = 10


class ValOptions(_Options, frozen=True, kw_only=True):
    """`val` 블록."""

    val_freq: Annotated[Annotated[int, Meta(ge=0)] | None, key("검증하는 간격(반복). 없으면 끝에만 잰다")] = None
    save_img: Annotated[bool, key("결과 이미지를 visualization/에 남긴다")] = False
    side_by_side: Annotated[bool, key("LQ, 결과, 정답을 나란히 남기고 TensorBoard에도 적는다")] = False
    whole_pixels: Annotated[Count | None, key("LQ가 이보다 크면 띠나 타일로 나누어 잰다. 없으면 262144(512x512)")] = (
        None
    )
    pbar: Annotated[bool, key("읽기만 하고 쓰지 않는다")] = False
    metrics: Annotated[dict[str, Block] | None, key("지표의 이름마다 type과 인자")] = None
    suffix: Annotated[str | None, key("결과 이미지의 이름 뒤에 붙일 글")] = None


class WandbOptions(_Options, frozen=True, kw_only=True):
    """`logger:wandb` 블록."""

    project: Annotated[str | None, key("Weights & Biases의 프로젝트. 적으면 켜진다")] = None
    resume_id: Annotated[str | None, key("이어 적을 실행의 번호")] = None


class LoggerOptions(_Options, frozen=True, kw_only=True):
    """`logger` 블록."""

    print_freq: Annotated[Annotated[int, Meta(ge=0)], key("로그를 적는 간격(반복). 0이면 적지 않는다")] = 100
    save_checkpoint_freq: Annotated[
        Annotated[int, Meta(ge=0)], key("체크포인트를 저장하는 간격(반복). 0이면 끝에만 쓴다")
    ] = 5000
    keep_checkpoints: Annotated[Annotated[int, Meta(ge=0)], key("남길 체크포인트의 수. 0이면 모두 남긴다")] = 0
    keep_best: Annotated[
        str | None, key("이 지표가 가장 좋은 가중치를 net_g_best.pth로 남긴다. 검증 자료가 여럿이면 첫째의 것")
    ] = None
    save_safetensors: Annotated[bool, key("net_g_latest.safetensors도 쓴다(EMA가 있으면 EMA)")] = False
    use_tb_logger: Annotated[bool, key("TensorBoard에 적는다")] = False
    wandb: Annotated[WandbOptions | None, key("Weights & Biases. use_tb_logger가 켜져 있어야 한다")] = None


class DistOptions(_Options, frozen=True, kw_only=True):
    """`dist_params` 블록."""

    backend: Annotated[Literal["nccl", "gloo"], key("CUDA가 없으면 gloo로 바뀐다")] = "nccl"
    port: Annotated[Annotated[int, Meta(ge=1, le=65535)] | None, key("SLURM에서 쓰는 포트")] = None


class TrainingOptions(_Options, frozen=True, kw_only=True):
    """옵션 파일의 맨 위."""

    name: Annotated[Text, key("실험 이름. experiments/와 tb_logger/ 아래의 폴더 이름이 된다")]
    model_type: Annotated[str, key("모델 클래스의 이름")]
    scale: Annotated[Count, key("업스케일 배율. network_g의 배율과 같아야 한다")]
    num_gpu: Annotated[
        Annotated[int, Meta(ge=0)] | Literal["auto"],
        key("0이면 CPU. 한 프로세스는 GPU 하나를 쓰고 여럿은 torchrun으로 띄운다"),
    ] = "auto"
    manual_seed: Annotated[Seed | None, key("모든 난수의 씨앗. 없으면 뽑는다")] = None
    find_unused_parameters: Annotated[bool, key("분산 훈련에서 쓰이지 않는 가중치를 찾는다")] = False
    gt_usm: Annotated[bool, key("(RealESRNet) 선명화(USM)한 정답을 열화시키고 그것을 정답으로 삼는다")] = True
    l1_gt_usm: Annotated[bool, key("(RealESRGAN) 픽셀 손실의 정답을 선명화한다")] = True
    percep_gt_usm: Annotated[bool, key("(RealESRGAN) 지각 손실의 정답을 선명화한다")] = True
    gan_gt_usm: Annotated[bool, key("(RealESRGAN) 판별자가 보는 진짜 이미지를 선명화한다")] = True
    high_order_degradation: Annotated[bool, key("이차 열화를 합성한다. 짝 자료를 쓰면 false")] = True
    gt_size: Annotated[Count | None, key("훈련 조각의 한 변(GT 픽셀). 합성하는 훈련에는 꼭 있어야 한다")] = None
    queue_size: Annotated[Count, key("쌍 풀의 크기. 배치로 나누어떨어져야 한다")] = 180
    resize_prob: Annotated[tuple[Weight, Weight, Weight] | None, key("키움, 줄임, 그대로의 비중")] = None
    resize_range: Annotated[tuple[Positive, Positive] | None, key("배율의 범위")] = None
    gaussian_noise_prob: Annotated[Probability | None, key("가우시안 잡음의 확률. 나머지는 푸아송 잡음이다")] = None
    noise_range: Annotated[Range | None, key("가우시안 잡음의 표준편차, 0..255 눈금")] = None
    poisson_scale_range: Annotated[Range | None, key("푸아송 잡음의 배수")] = None
    gray_noise_prob: Annotated[Probability | None, key("장마다 회색 잡음일 확률")] = None
    jpeg_range: Annotated[tuple[Quality, Quality] | None, key("JPEG 품질의 범위, 장마다 뽑는다")] = None
    second_blur_prob: Annotated[Probability | None, key("둘째 블러를 할 확률")] = None
    resize_prob2: Annotated[tuple[Weight, Weight, Weight] | None, key("(둘째) 키움, 줄임, 그대로의 비중")] = None
    resize_range2: Annotated[tuple[Positive, Positive] | None, key("(둘째) 배율의 범위")] = None
    gaussian_noise_prob2: Annotated[Probability | None, key("(둘째) 가우시안 잡음의 확률")] = None
    noise_range2: Annotated[Range | None, key("(둘째) 가우시안 잡음의 표준편차, 0..255 눈금")] = None
    poisson_scale_range2: Annotated[Range | None, key("(둘째) 푸아송 잡음의 배수")] = None
    gray_noise_prob2: Annotated[Probability | None, key("(둘째) 장마다 회색 잡음일 확률")] = None
    jpeg_range2: Annotated[tuple[Quality, Quality] | None, key("(둘째) JPEG 품질의 범위")] = None
    first_blur_prob: Annotated[Probability, key("첫 블러를 할 확률")] = 1.0
    resize_modes: Annotated[
        Annotated[list[ResizeMode], Meta(min_length=1)] | None, key("크기를 바꾸는 방식들. 없으면 셋 모두")
    ] = None
    noise_prob: Annotated[Probability, key("잡음을 더할 확률, 배치마다")] = 1.0
    jpeg_prob: Annotated[Probability, key("JPEG로 누를 확률, 배치마다")] = 1.0
    resize_modes2: Annotated[
        Annotated[list[ResizeMode], Meta(min_length=1)] | None, key("(둘째) 크기를 바꾸는 방식들. 없으면 셋 모두")
    ] = None
    noise_prob2: Annotated[Probability, key("(둘째) 잡음을 더할 확률, 배치마다")] = 1.0
    jpeg_prob2: Annotated[Probability, key("(둘째) JPEG로 누를 확률, 배치마다")] = 1.0
    lq_usm_prob: Annotated[Probability, key("마지막에 LQ를 선명화할 확률, 배치마다")] = 0.0
    datasets: Annotated[dict[str, Block], key("자료. train과, val로 시작하는 이름들")]
    network_g: Annotated[Block, key("생성자: type과 인자")]
    network_d: Annotated[Block | None, key("판별자: type과 인자")] = None
    path: Annotated[PathOptions | None, key("가중치와 이어 하기. 없으면 무작위로 시작한다")] = None
    train: Annotated[TrainOptions, key("훈련")]
    val: Annotated[ValOptions | None, key("검증")] = None
    logger: Annotated[LoggerOptions | None, key("기록. 없으면 모두 기본값이다")] = None
    dist_params: Annotated[DistOptions | None, key("분산 훈련")] = None
