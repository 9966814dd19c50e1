import cv2
import pytest
import torch

from tests.data.pictures import write_pictures
from tests.scripts.command import run_script
from tests.training.extra import require_training_extra

require_training_extra()

from basicsr.utils import DiffJPEG, USMSharp  # noqa: E402
from benchmark import training as benchmark  # noqa: E402

from realesrgan.data.degradations import DegradationRandom  # noqa: E402
from realesrgan.data.pipeline import PipelineOptions, draw_plan, synthesise  # noqa: E402
from realesrgan.data.realesrgan_dataset import RealESRGANDataset  # noqa: E402
from tests.data.recipe import DEGRADATION, KERNELS  # noqa: E402


def test_every_measurement_gives_numbers(tmp_path):
    write_pictures(tmp_path, 4, size=(80, 80))
    results = benchmark.run(tmp_path, batch=2, size=64, rounds=1)
    assert set(results) == {"열화", "항목", "자료 대기"}
    assert all(value > 0 for values in results.values() for value in values.values())


def test_the_reference_draws_the_same_pictures(tmp_path):
    """잡음을 끄면 견주는 두 쪽이 같은 이미지를 낸다."""
    write_pictures(tmp_path, 2, size=(80, 80))
    quiet = DEGRADATION | {"gaussian_noise_prob": 1.0, "gaussian_noise_prob2": 1.0}
    quiet |= {"noise_range": [0, 0], "noise_range2": [0, 0]}
    options = PipelineOptions.from_options({**quiet, "scale": 4})
    base = {"dataroot_gt": str(tmp_path), "io_backend": {"type": "disk"}, "crop_size": 64, **KERNELS}
    gt, kernels = benchmark.make_batch(RealESRGANDataset(base), 2)
    compared = 0
    for seed in range(12):
        random = DegradationRandom.from_seed(seed)
        plan = draw_plan(random.host, options, 2)
        random = DegradationRandom.from_seed(seed)
        _, ours = synthesise(gt, kernels, options, random)
        if plan.jpeg_last or plan.first.factor < 0.5:
            continue
        theirs = benchmark.reference_degrade(gt, kernels, plan, 4, USMSharp(), DiffJPEG(differentiable=False))
        # 반올림의 경계에 놓인 값만 한 눈금 갈린다.
        assert (ours - theirs).abs().mean() < 1 / 255
        compared += 1
    assert compared >= 2


@pytest.mark.parametrize("arguments", [["--rounds", "1", "--batch", "1", "--size", "64"]])
def test_command_prints_a_table(capsys, arguments):
    assert run_script("benchmark_training", *arguments) == 0
    out = capsys.readouterr().out
    assert "열화" in out and f"torch {torch.__version__}" in out


def test_a_step_is_compared_with_that_of_basicsr(tmp_path, monkeypatch, capsys):
    # BasicSR은 0.15배로 줄인 이미지도 21탭으로 흐리므로 조각이 작으면 멈춘다.
    write_pictures(tmp_path, 2, size=(112, 112))
    small = {"num_feat": 4, "num_conv": 1}
    files = ("train_realesrnet_compact_x4.yml", "train_realesrgan_compact_x4.yml")
    monkeypatch.setattr(benchmark, "STEPS", {file: (file, small) for file in files})
    cuda = torch.Tensor.cuda
    sizes = ["--rounds", "1", "--batch", "2", "--size", "96", "--gt_size", "32", "--repeats", "2", "--cpu_time"]
    assert run_script("benchmark_training", "--steps", "--data", tmp_path, *sizes) == 0
    assert torch.Tensor.cuda is cuda and capsys.readouterr().out.count("걸음만의 배") == 4


def test_items_are_made_in_turns_and_the_median_is_kept(monkeypatch):
    """느린 한 번이 결과를 흔들지 않고, 앞뒤 차례가 번갈아 바뀐다."""
    clock = {"now": 0.0}
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: clock["now"])
    calls = []

    def worker(name, cost):
        def work(number, index):
            calls.append((name, index))
            clock["now"] += 50.0 if (number, index) == (1, 0) else cost

        return work

    assert benchmark.compare_items(worker("a", 2.0), worker("b", 1.0), rounds=2, count=3) == (2.0, 1.0)
    assert [name for name, _ in calls[:6]] == ["b", "a", "a", "b", "b", "a"]


def test_items_are_measured_like_a_worker():
    before = torch.get_num_threads(), cv2.getNumThreads()
    with benchmark.single_thread():
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before
