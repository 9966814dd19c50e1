"""도구가 만든 조각, 목록, lmdb를 훈련의 데이터셋이 그대로 읽는지."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.extra import require_training_extra

require_training_extra()
pytest.importorskip("lmdb")

import torch  # noqa: E402

from realesrgan.data.realesrgan_dataset import RealESRGANDataset  # noqa: E402
from realesrgan.data.realesrgan_paired_dataset import RealESRGANPairedDataset  # noqa: E402
from realesrgan.data.resumable_sampler import ItemKey  # noqa: E402
from tests.data.recipe import KERNELS  # noqa: E402
from tests.scripts.command import draw, run_script  # noqa: E402

KEY = ItemKey(0, 0, 0, 0, 0)


def _gt_options(root: Path, **more: object) -> dict[str, object]:
    return {"dataroot_gt": str(root), "io_backend": {"type": "disk"}, "crop_size": 40, **KERNELS, **more}


def test_subimages_meta_info_and_lmdb_give_the_same_item(tmp_path: Path) -> None:
    draw(tmp_path / "큰것" / "a.png", 80, 96)
    arguments = ("--input", tmp_path / "큰것", "--output", tmp_path / "sub", "--crop_size", 40, "--step", 40)
    assert run_script("extract_subimages", *arguments, "--n_thread", 1) == 0
    meta = tmp_path / "meta.txt"
    assert run_script("generate_meta_info", "--input", tmp_path / "sub", "--meta_info", meta) == 0
    lmdb = tmp_path / "sub.lmdb"
    assert run_script("create_lmdb", "--input", tmp_path / "sub", "--output", lmdb, "--n_thread", 1) == 0
    folder = RealESRGANDataset(_gt_options(tmp_path / "sub"))
    listed = RealESRGANDataset(_gt_options(tmp_path, meta_info=str(meta)))
    stored = RealESRGANDataset(_gt_options(lmdb, io_backend={"type": "lmdb"}))
    # 작업 기록 같은 숨은 파일은 데이터셋에 섞이지 않는다.
    assert len(folder) == len(listed) == len(stored) == 6
    assert all(torch.equal(folder[KEY]["gt"], other[KEY]["gt"]) for other in (listed, stored))


def test_pair_list_and_pair_lmdb_give_the_same_item(tmp_path: Path) -> None:
    for index in range(2):
        draw(tmp_path / "gt" / f"{index}.png", seed=index)
        draw(tmp_path / "lq" / f"{index}.png", 10, 12, seed=index)
    folders, stores = (tmp_path / "gt", tmp_path / "lq"), (tmp_path / "gt.lmdb", tmp_path / "lq.lmdb")
    meta = tmp_path / "pairs.txt"
    assert run_script("generate_meta_info_pairdata", "--input", *folders, "--meta_info", meta, "--n_thread", 1) == 0
    assert run_script("create_lmdb", "--input", *folders, "--output", *stores, "--n_thread", 1) == 0
    base = {"scale": 4, "phase": "train", "gt_size": 32}
    roots = {"dataroot_gt": str(tmp_path), "dataroot_lq": str(tmp_path)}
    listed = RealESRGANPairedDataset(base | roots | {"meta_info": str(meta), "io_backend": {"type": "disk"}})
    roots = {"dataroot_gt": str(stores[0]), "dataroot_lq": str(stores[1])}
    stored = RealESRGANPairedDataset(base | roots | {"io_backend": {"type": "lmdb"}})
    assert len(listed) == len(stored) == 2
    for name in ("gt", "lq"):
        assert torch.equal(listed[KEY][name], stored[KEY][name])
