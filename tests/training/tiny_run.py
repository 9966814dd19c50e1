"""훈련 명령을 작은 설정으로 돌려 보는 도구."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import torch
import yaml

from tests.data.pictures import write_pictures
from tests.data.recipe import DEGRADATION, KERNELS

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ROOT / "realesrgan" / "train.py"


def tiny_options(folder: Path, gan: bool = False) -> dict:
    """이미지 여섯 장으로 도는 옵션. 세대마다 세 번 반복한다."""
    if not (folder / "gt").exists():
        write_pictures(folder / "gt", 6, size=(56, 56))
    options = {
        "name": "tiny",
        "model_type": "RealESRGANModel" if gan else "RealESRNetModel",
        "scale": 4,
        "num_gpu": "auto",
        "manual_seed": 0,
        **DEGRADATION,
        "gt_size": 32,
        "queue_size": 4,
        "datasets": {
            "train": {
                "name": "tiny",
                "type": "RealESRGANDataset",
                "dataroot_gt": str(folder / "gt"),
                "io_backend": {"type": "disk"},
                **KERNELS,
                "crop_size": 48,
                "use_hflip": True,
                "use_rot": False,
                "num_worker_per_gpu": 1,
                "batch_size_per_gpu": 2,
            }
        },
        "network_g": {"type": "SRVGGNetCompact", "num_feat": 8, "num_conv": 1},
        "path": {"pretrain_network_g": None, "resume_state": None},
        "train": {
            "ema_decay": 0.9,
            "optim_g": {"type": "Adam", "lr": 0.001, "betas": [0.9, 0.99]},
            "scheduler": {"type": "MultiStepLR", "milestones": [5], "gamma": 0.5},
            "total_iter": 4,
            "warmup_iter": -1,
            "pixel_opt": {"type": "L1Loss"},
        },
        "logger": {"print_freq": 1, "save_checkpoint_freq": 2, "use_tb_logger": False},
    }
    if gan:
        options["network_d"] = {"type": "UNetDiscriminatorSN", "num_in_ch": 3, "num_feat": 4}
        options["train"] |= {
            "optim_d": {"type": "Adam", "lr": 0.001, "betas": [0.9, 0.99]},
            "gan_opt": {"type": "GANLoss", "gan_type": "vanilla", "loss_weight": 0.1},
        }
        options |= {"l1_gt_usm": True, "percep_gt_usm": True, "gan_gt_usm": False}
    return options


def write_options(folder: Path, options: dict) -> Path:
    """옵션을 YAML로 쓴다."""
    path = folder / "tiny.yml"
    path.write_text(yaml.safe_dump(options, allow_unicode=True), encoding="utf-8")
    return path


def environment(**extra: str) -> dict[str, str]:
    """자식 프로세스의 환경. 스레드 하나로 돈다."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | extra


def run_train(folder: Path, *arguments: str, launcher: tuple[str, ...] = (), **extra: str):
    """`folder`를 작업 폴더로 훈련 명령을 돌린다."""
    command = [sys.executable, *launcher, str(TRAIN), "-opt", str(folder / "tiny.yml"), *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(**extra), capture_output=True, text=True, check=False, timeout=120
    )


def call_train(folder: Path, *arguments: str) -> tuple[int, str]:
    """훈련 명령을 이 프로세스에서 부른다. 무거운 불러오기를 되풀이하지 않는다.

    Returns:
        종료 코드와 표준 오류에 적힌 글.
    """
    from realesrgan.train import main

    here = Path.cwd()
    written = io.StringIO()
    os.chdir(folder)
    try:
        with contextlib.redirect_stderr(written):
            code = main(["-opt", str(folder / "tiny.yml"), *arguments])
    finally:
        os.chdir(here)
    return code, written.getvalue()


def network(folder: Path, name: str) -> dict:
    """실험 폴더의 네트워크 파일을 읽는다."""
    return torch.load(folder / "experiments" / "tiny" / "models" / name, weights_only=True)


def same_tensors(one, other) -> bool:
    """중첩된 사전의 텐서가 모두 같은가."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_tensors(one[k], other[k]) for k in one)
    return torch.equal(one, other)
