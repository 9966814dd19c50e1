"""원본의 데이터셋을 쓰던 코드가 기대하는 것: 이름, 속성, 항목의 열쇠와 모양."""

import pytest

from tests.data.pictures import write_pictures
from tests.data.recipe import KERNELS
from tests.training.extra import require_training_extra

require_training_extra()

import torch  # noqa: E402
from basicsr.data import build_dataset  # noqa: E402

from realesrgan.data.realesrgan_dataset import RealESRGANDataset  # noqa: E402
from realesrgan.data.realesrgan_paired_dataset import RealESRGANPairedDataset  # noqa: E402
from tests.data.test_datasets import make_lmdb  # noqa: E402


@pytest.fixture
def options(tmp_path):
    """원본의 옵션 파일에 적는 것만. `crop_size`처럼 이 패키지에만 있는 키는 없다."""
    write_pictures(tmp_path / "gt", 2, size=(420, 410))
    (tmp_path / "meta.txt").write_text("pic0.png\npic1.png\n", encoding="utf-8")
    return {
        **{"name": "Demo", "type": "RealESRGANDataset", "dataroot_gt": str(tmp_path / "gt")},
        **{"meta_info": str(tmp_path / "meta.txt"), "io_backend": {"type": "disk"}},
        **KERNELS,
        **{"gt_size": 128, "use_hflip": True, "use_rot": False, "phase": "train"},
    }


def check_item(item, path_end):
    assert set(item) == {"gt", "kernel1", "kernel2", "sinc_kernel", "gt_path"}
    assert item["gt"].shape == (3, 400, 400) and item["gt"].dtype == torch.float32
    for name in ("kernel1", "kernel2", "sinc_kernel"):
        assert item[name].shape == (21, 21) and item[name].dtype == torch.float32
        assert float(item[name].sum()) == pytest.approx(1, abs=1e-4)
    assert str(item["gt_path"]).endswith(path_end)


def test_the_synthesising_dataset(options):
    dataset = build_dataset(options)
    assert type(dataset) is RealESRGANDataset and len(dataset) == 2
    assert dataset.io_backend_opt["type"] == "disk"
    assert dataset.kernel_list == KERNELS["kernel_list"] and dataset.betag_range2 == [0.5, 4]
    check_item(dataset[0], "pic0.png")
    # 원본의 시험처럼 실행 중에 확률을 바꾼다.
    dataset.sinc_prob, dataset.sinc_prob2, dataset.final_sinc_prob = 1.0, 1.0, 1.0
    check_item(dataset[1], "pic1.png")
    dataset.sinc_prob, dataset.sinc_prob2, dataset.final_sinc_prob = 0.0, 0.0, 0.0
    pulse = dataset[0]["sinc_kernel"]
    assert float(pulse[10, 10]) == 1 and float(pulse.sum()) == 1


def test_the_synthesising_dataset_in_an_lmdb(options, tmp_path):
    make_lmdb(tmp_path / "gt.lmdb", sorted((tmp_path / "gt").glob("*.png")))
    held = options | {"dataroot_gt": str(tmp_path / "gt.lmdb"), "io_backend": {"type": "lmdb"}}
    dataset = RealESRGANDataset(held)
    assert dataset.io_backend_opt["type"] == "lmdb" and len(dataset) == 2
    check_item(dataset[0], "pic0")
    with pytest.raises(ValueError, match="lmdb"):
        RealESRGANDataset(held | {"dataroot_gt": str(tmp_path / "gt")})


@pytest.mark.parametrize("way", ["folder", "meta", "lmdb"])
def test_the_paired_dataset(tmp_path, way):
    gt = write_pictures(tmp_path / "gt", 2, size=(480, 480))
    lq = write_pictures(tmp_path / "lq", 2, size=(120, 120))
    options = {
        **{"name": "Demo", "type": "RealESRGANPairedDataset", "scale": 4, "phase": "train", "gt_size": 128},
        **{"dataroot_gt": str(tmp_path / "gt"), "dataroot_lq": str(tmp_path / "lq")},
        **{"io_backend": {"type": "disk"}, "filename_tmpl": "{}", "use_hflip": True, "use_rot": False},
        **{"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    }
    if way == "meta":
        (tmp_path / "meta.txt").write_text("pic0.png, pic0.png\npic1.png, pic1.png\n", encoding="utf-8")
        options["meta_info"] = str(tmp_path / "meta.txt")
    if way == "lmdb":
        for name, paths in (("gt", gt), ("lq", lq)):
            make_lmdb(tmp_path / f"{name}.lmdb", paths)
            options[f"dataroot_{name}"] = str(tmp_path / f"{name}.lmdb")
        options["io_backend"] = {"type": "lmdb"}
    dataset = build_dataset(options)
    assert type(dataset) is RealESRGANPairedDataset and len(dataset) == 2
    assert dataset.io_backend_opt["type"] == options["io_backend"]["type"]
    assert dataset.mean == [0.5, 0.5, 0.5] and dataset.std == [0.5, 0.5, 0.5]
    item = dataset[0]
    assert set(item) == {"gt", "lq", "gt_path", "lq_path"}
    assert item["gt"].shape == (3, 128, 128) and item["lq"].shape == (3, 32, 32)
    assert item["gt"].min() >= -1 and item["gt"].max() <= 1 and item["gt"].min() < 0
