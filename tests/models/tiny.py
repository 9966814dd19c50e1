"""시험에 쓰는 작은 모델 옵션과 배치."""

from copy import deepcopy

import torch

from tests.data.recipe import DEGRADATION

GENERATOR = {"type": "SRVGGNetCompact", "num_feat": 8, "num_conv": 1, "upscale": 4}


def model_options(folder, gan=False, **changes):
    """한 프로세스 CPU에서 도는 모델의 옵션. `changes`의 키는 `train.amp`처럼 점으로 잇는다."""
    options = {
        "name": "tiny",
        "model_type": "RealESRGANModel" if gan else "RealESRNetModel",
        "scale": 4,
        "num_gpu": 0,
        "dist": False,
        "rank": 0,
        "world_size": 1,
        "is_train": True,
        "manual_seed": 0,
        "gt_usm": True,
        "l1_gt_usm": True,
        "percep_gt_usm": True,
        "gan_gt_usm": False,
        "gt_size": 32,
        "queue_size": 4,
        **deepcopy(DEGRADATION),
        "network_g": dict(GENERATOR),
        "path": {
            "models": str(folder / "models"),
            "training_states": str(folder / "training_states"),
            "visualization": str(folder / "visualization"),
        },
        "train": {
            "ema_decay": 0.9,
            "optim_g": {"type": "Adam", "lr": 1e-3, "betas": [0.9, 0.99]},
            "scheduler": {"type": "MultiStepLR", "milestones": [100], "gamma": 0.5},
            "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
        },
        "logger": {"print_freq": 1},
        "val": {"metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 4}}},
    }
    if gan:
        options["network_d"] = {"type": "UNetDiscriminatorSN", "num_in_ch": 3, "num_feat": 4}
        options["train"] |= {
            "optim_d": {"type": "Adam", "lr": 1e-3, "betas": [0.9, 0.99]},
            "gan_opt": {"type": "GANLoss", "gan_type": "vanilla", "loss_weight": 0.1},
            "net_d_iters": 1,
            "net_d_init_iters": 0,
        }
    for key, value in changes.items():
        *parents, last = key.split(".")
        target = options
        for parent in parents:
            target = target[parent]
        target[last] = value
    return options


def make_batch(seed=0, batch=2, size=48):
    """합성 훈련의 배치. 커널은 펄스다."""
    generator = torch.Generator().manual_seed(seed)
    kernel = torch.zeros(batch, 21, 21)
    kernel[:, 10, 10] = 1
    smooth = torch.rand(batch, 3, 10, 10, generator=generator)
    gt = torch.nn.functional.interpolate(smooth, size=(size, size), mode="bicubic").clamp(0, 1)
    return {"gt": gt, "kernel1": kernel, "kernel2": kernel, "sinc_kernel": kernel}


def paired_batch(seed=0, batch=2, size=32):
    """짝 자료의 배치."""
    gt = make_batch(seed, batch, size)["gt"]
    return {"gt": gt, "lq": torch.nn.functional.interpolate(gt, scale_factor=0.25, mode="area")}
