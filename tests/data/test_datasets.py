import logging
import random

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.data.pictures import write_pictures
from tests.data.recipe import DEGRADATION, KERNELS
from tests.training.extra import require_training_extra

require_training_extra()

from basicsr.data import build_dataloader, build_dataset  # noqa: E402
from basicsr.data.data_sampler import EnlargedSampler  # noqa: E402
from basicsr.utils.lmdb_util import LmdbMaker  # noqa: E402

from realesrgan.data.image_source import ImageReader, augment, read_lines, to_tensor  # noqa: E402
from realesrgan.data.pair_pool import PairPool  # noqa: E402
from realesrgan.data.realesrgan_dataset import RealESRGANDataset  # noqa: E402
from realesrgan.data.realesrgan_degraded_dataset import RealESRGANDegradedDataset  # noqa: E402
from realesrgan.data.realesrgan_paired_dataset import RealESRGANPairedDataset  # noqa: E402
from realesrgan.data.resumable_sampler import ItemKey, ResumableSampler  # noqa: E402
from realesrgan.errors import DatasetError, ImageReadError  # noqa: E402


def gt_options(folder, **extra):
    return {
        "name": "t",
        "type": "RealESRGANDataset",
        "phase": "train",
        "scale": 4,
        "dataroot_gt": str(folder),
        "io_backend": {"type": "disk"},
        "crop_size": 48,
        "use_hflip": True,
        "use_rot": False,
        **KERNELS,
        **extra,
    }


def pair_options(gt, lq, **extra):
    return {
        "name": "p",
        "type": "RealESRGANPairedDataset",
        "phase": "train",
        "scale": 2,
        "dataroot_gt": str(gt),
        "dataroot_lq": str(lq),
        "io_backend": {"type": "disk"},
        "gt_size": 32,
        **extra,
    }


def make_lmdb(folder, paths):
    maker = LmdbMaker(str(folder), map_size=1024**3)
    for path in paths:
        picture = cv2.imread(str(path))
        maker.put(path.read_bytes(), path.stem, picture.shape)
    maker.close()


def same(one, other):
    return all(torch.equal(one[k], other[k]) if torch.is_tensor(one[k]) else one[k] == other[k] for k in one)


def test_item_shapes_and_ranges(tmp_path):
    write_pictures(tmp_path)
    item = RealESRGANDataset(gt_options(tmp_path))[ItemKey(0, 1, 0, 0, 0)]
    assert item["gt"].shape == (3, 48, 48) and item["gt"].dtype == torch.float32
    assert item["gt"].min() >= 0 and item["gt"].max() <= 1
    for name in ("kernel1", "kernel2", "sinc_kernel"):
        assert item[name].shape == (21, 21) and item[name].sum() == pytest.approx(1, abs=1e-4)


def test_small_pictures_are_reflected(tmp_path):
    (path,) = write_pictures(tmp_path, 1, size=(30, 20))
    item = RealESRGANDataset(gt_options(tmp_path, use_hflip=False))[ItemKey(0, 0, 0, 0, 0)]
    picture = torch.from_numpy(cv2.imread(str(path))[..., ::-1].copy()).permute(2, 0, 1) / 255.0
    assert torch.equal(item["gt"][:, :30, :20], picture)
    assert torch.equal(item["gt"][:, 30, :20], picture[:, 28])


def test_items_depend_only_on_the_key(tmp_path):
    write_pictures(tmp_path)
    dataset = RealESRGANDataset(gt_options(tmp_path))
    assert same(dataset[ItemKey(2, 7, 1, 3, 5)], dataset[ItemKey(2, 7, 1, 3, 5)])
    assert not same(dataset[ItemKey(2, 7, 1, 3, 5)], dataset[ItemKey(2, 7, 1, 3, 6)])


@pytest.mark.parametrize("start", [0, 4])
def test_workers_do_not_change_the_items(tmp_path, start):
    write_pictures(tmp_path, 5)
    dataset = RealESRGANDataset(gt_options(tmp_path))
    batches = []
    for workers in (0, 2):
        sampler = ResumableSampler(len(dataset), ratio=2, seed=3)
        sampler.set_epoch(1, start)
        batches.append(list(DataLoader(dataset, batch_size=2, sampler=sampler, num_workers=workers)))
    assert len(batches[0]) == (10 - start) // 2
    assert all(same(a, b) for a, b in zip(*batches, strict=True))


def test_sampler_covers_everything_once_across_ranks():
    samplers = [ResumableSampler(10, world_size=3, rank=r, seed=1) for r in range(3)]
    seen = [key.item for sampler in samplers for key in sampler]
    assert len(seen) == 12 and set(seen) == set(range(10))
    samplers[0].set_epoch(1)
    assert [k.item for k in samplers[0]] != seen[:4]
    assert [k.item for k in ResumableSampler(4, shuffle=False)] == [0, 1, 2, 3]


def test_empty_sampler_is_refused():
    with pytest.raises(DatasetError, match="비어"):
        ResumableSampler(0)


def test_meta_file_with_shapes_and_spaces(tmp_path):
    write_pictures(tmp_path / "gt", 3)
    (tmp_path / "gt" / "pic1.png").rename(tmp_path / "gt" / "사진 하나.png")
    meta = tmp_path / "meta.txt"
    meta.write_text("pic0.png (72,64,3)\n\n사진 하나.png (72, 64, 3) 1\n", encoding="utf-8")
    assert read_lines(meta) == ["pic0.png", "사진 하나.png"]
    dataset = RealESRGANDataset(gt_options(tmp_path / "gt", meta_info=str(meta)))
    assert [dataset[ItemKey(i, 0, 0, 0, 0)]["gt_path"].endswith(("0.png", "하나.png")) for i in (0, 1)] == [True, True]
    with pytest.raises(DatasetError, match="meta_info"):
        RealESRGANDataset(gt_options(tmp_path / "gt", meta_info=str(tmp_path / "no.txt")))


def test_lmdb_gives_the_same_items(tmp_path):
    paths = write_pictures(tmp_path / "gt", 3)
    make_lmdb(tmp_path / "gt.lmdb", paths)
    disk = RealESRGANDataset(gt_options(tmp_path / "gt"))
    options = gt_options(tmp_path / "gt.lmdb", io_backend={"type": "lmdb"})
    lmdb = RealESRGANDataset(options)
    assert options["io_backend"] == {"type": "lmdb"}
    for index in range(3):
        key = ItemKey(index, 0, 0, 0, index)
        assert torch.equal(disk[key]["gt"], lmdb[key]["gt"])
    with pytest.raises(DatasetError, match=r"\.lmdb"):
        RealESRGANDataset(gt_options(tmp_path / "gt", io_backend={"type": "lmdb"}))


def test_missing_folder_and_empty_folder(tmp_path):
    with pytest.raises(DatasetError, match="폴더가 없습니다"):
        RealESRGANDataset(gt_options(tmp_path / "none"))
    with pytest.raises(DatasetError, match="이미지 파일이 없습니다"):
        RealESRGANDataset(gt_options(tmp_path))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_picture_is_replaced_and_counted(tmp_path, caplog, workers):
    paths = write_pictures(tmp_path, 8)
    paths[3].write_bytes(paths[3].read_bytes()[:20])
    dataset = RealESRGANDataset(gt_options(tmp_path, max_bad_ratio=0.2))
    sampler = ResumableSampler(len(dataset), ratio=3)
    logging.getLogger("basicsr").propagate = True
    with caplog.at_level(logging.WARNING):
        items = [p for batch in DataLoader(dataset, 2, sampler=sampler, num_workers=workers) for p in batch["gt_path"]]
    assert len(items) == 24 and str(paths[3]) not in items
    assert dataset.bad_files.count == 1
    if workers == 0:
        assert "pic3.png" in caplog.text


def test_too_many_bad_pictures_stop_with_the_list(tmp_path):
    paths = write_pictures(tmp_path, 6)
    for path in paths[:3]:
        path.write_bytes(b"not a picture")
    dataset = RealESRGANDataset(gt_options(tmp_path))
    with pytest.raises(DatasetError, match=r"(?s)pic\d\.png.*max_bad_ratio"):
        list(DataLoader(dataset, 1, sampler=ResumableSampler(len(dataset))))


def test_all_bad_pictures_never_loop_forever(tmp_path):
    for path in write_pictures(tmp_path, 3):
        path.write_bytes(b"")
    with pytest.raises(DatasetError):
        RealESRGANDataset(gt_options(tmp_path, max_bad_ratio=1.0))[0]


def test_paired_patches_are_aligned(tmp_path):
    for path in write_pictures(tmp_path / "lq", 3, size=(40, 36)):
        small = cv2.imread(str(path))
        (tmp_path / "gt").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "gt" / path.name), small.repeat(2, 0).repeat(2, 1))
    dataset = RealESRGANPairedDataset(pair_options(tmp_path / "gt", tmp_path / "lq", use_rot=True))
    for position in range(12):
        item = dataset[ItemKey(position % 3, 0, 0, 0, position)]
        assert item["lq"].shape == (3, 16, 16)
        assert torch.equal(item["gt"], item["lq"].repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_paired_meta_lmdb_and_mismatch(tmp_path):
    gt = write_pictures(tmp_path / "gt", 4, size=(64, 64))
    lq = write_pictures(tmp_path / "lq", 4, size=(32, 32))
    meta = tmp_path / "pairs.txt"
    meta.write_text("pic1.png, pic1.png\npic2.png, pic2.png\n")
    dataset = RealESRGANPairedDataset(pair_options(tmp_path / "gt", tmp_path / "lq", meta_info=str(meta)))
    assert len(dataset) == 2
    make_lmdb(tmp_path / "gt.lmdb", gt)
    make_lmdb(tmp_path / "lq.lmdb", lq)
    stored = RealESRGANPairedDataset(
        pair_options(tmp_path / "gt.lmdb", tmp_path / "lq.lmdb", io_backend={"type": "lmdb"})
    )
    assert torch.equal(stored[ItemKey(1, 0, 0, 0, 0)]["lq"], dataset[ItemKey(0, 0, 0, 0, 0)]["lq"])
    cv2.imwrite(str(lq[1]), np.zeros((30, 30, 3), np.uint8))
    item = dataset[ItemKey(0, 0, 0, 0, 0)]
    assert item["gt_path"].endswith("pic2.png") and dataset.bad_files.count == 1
    meta.write_text("pic1.png pic1.png\n")
    with pytest.raises(DatasetError, match="1째 줄"):
        RealESRGANPairedDataset(pair_options(tmp_path / "gt", tmp_path / "lq", meta_info=str(meta)))
    lq[2].unlink()
    with pytest.raises(DatasetError, match="짝이 되는 LQ"):
        RealESRGANPairedDataset(pair_options(tmp_path / "gt", tmp_path / "lq"))


def test_paired_validation_is_whole_and_normalised(tmp_path):
    write_pictures(tmp_path / "gt", 2, size=(66, 65))
    write_pictures(tmp_path / "lq", 2, size=(32, 32))
    options = pair_options(tmp_path / "gt", tmp_path / "lq", phase="val", mean=[0.5] * 3, std=[0.5] * 3)
    item = RealESRGANPairedDataset(options)[0]
    assert item["gt"].shape == (3, 64, 64) and item["lq"].shape == (3, 32, 32)
    assert item["gt"].min() < 0


def test_degraded_validation_is_repeatable(tmp_path):
    write_pictures(tmp_path, 2, size=(101, 90))
    options = gt_options(tmp_path, **DEGRADATION, phase="val", seed=5, crop_size=None)
    dataset, again = RealESRGANDegradedDataset(options), RealESRGANDegradedDataset(options)
    item = dataset[1]
    assert item["gt"].shape == (3, 100, 88) and item["lq"].shape == (3, 25, 22)
    assert same(item, again[1])
    other = RealESRGANDegradedDataset(options | {"seed": 6})[1]
    assert torch.equal(item["gt"], other["gt"]) and not torch.equal(item["lq"], other["lq"])
    (tmp_path / "pic0.png").write_bytes(b"")
    with pytest.raises(ImageReadError):
        dataset[0]


def test_basicsr_loader_seeds_the_items(tmp_path):
    write_pictures(tmp_path, 4)
    options = gt_options(tmp_path, batch_size_per_gpu=2, num_worker_per_gpu=1)
    batches = []
    for _ in range(2):
        dataset = build_dataset(options)
        assert type(dataset) is RealESRGANDataset
        sampler = EnlargedSampler(dataset, 1, 0, 1)
        loader = build_dataloader(dataset, options, num_gpu=0, dist=False, sampler=sampler, seed=11)
        batches.append(list(loader))
    assert all(same(a, b) for a, b in zip(*batches, strict=True))


def test_plain_index_uses_the_worker_seed(tmp_path):
    write_pictures(tmp_path, 2)
    dataset = RealESRGANDataset(gt_options(tmp_path))
    random.seed(4)
    first = dataset[0]
    random.seed(4)
    assert same(first, dataset[0])


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("rotate", [False, True])
def test_tensors_show_what_the_flipped_picture_shows(hflip, rotate):
    """뒤집고 돌리고 잘라 본 이미지를 빠르게 늘어놓아도 픽셀마다 옮긴 것과 비트까지 같다."""
    rng = np.random.default_rng(0)
    seen = set()
    for seed in range(64):
        image = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        (view,) = augment([image], np.random.default_rng(seed), hflip, rotate)
        view = view[1:8, 2:9]
        seen.add(view.strides)
        expected = torch.from_numpy(np.array(view.tolist(), dtype=np.float32)[..., ::-1].copy()).permute(2, 0, 1) / 255
        assert torch.equal(to_tensor(view), expected)
    assert len(seen) == (2 if hflip else 1) * (4 if rotate else 1)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\ufeff사진/하나.png (3,4,3) 1\n둘.png\n".encode(), ["사진/하나.png", "둘.png"]),
        ("사진/하나.png\r\n".encode("cp949"), ["사진/하나.png"]),
    ],
)
def test_lists_with_a_bom_or_in_cp949(tmp_path, content, expected):
    (tmp_path / "list.txt").write_bytes(content)
    assert read_lines(tmp_path / "list.txt") == expected


def test_a_list_in_no_known_encoding_is_named(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\xff\xff\x80")
    with pytest.raises(DatasetError, match="UTF-8"):
        read_lines(tmp_path / "list.txt")


def test_sixteen_bit_pictures_keep_their_levels(tmp_path):
    picture = (np.arange(12 * 10 * 3).reshape(12, 10, 3) * 181 % 65536).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), picture)
    read = ImageReader({"type": "disk"}, {}).read(str(tmp_path / "deep.png"), "gt")
    assert read.dtype == np.uint16
    values = to_tensor(read[:, ::-1]).numpy().transpose(1, 2, 0)[:, ::-1, ::-1]
    np.testing.assert_allclose(values, picture / 65535, atol=1e-7)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_half_a_picture_is_refused(tmp_path, suffix):
    rng = np.random.default_rng(0)
    content = cv2.imencode(suffix, rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))[1].tobytes()
    reader = ImageReader({"type": "disk"}, {})
    for length in (len(content) // 2, len(content) - 12):
        (tmp_path / f"half{suffix}").write_bytes(content[:length])
        with pytest.raises(ImageReadError, match="잘렸"):
            reader.read(str(tmp_path / f"half{suffix}"), "gt")
    (tmp_path / f"whole{suffix}").write_bytes(content + b"\0\0")
    assert reader.read(str(tmp_path / f"whole{suffix}"), "gt").shape == (64, 64, 3)


def test_the_pool_follows_other_sizes():
    rng = np.random.default_rng(0)

    def pair(count, side):
        return torch.rand(count, 3, side, side), torch.rand(count, 3, 4 * side, 4 * side)

    pool = PairPool(6)
    pool.exchange(*pair(2, 4), rng)
    pool.resize(4)
    assert (pool.size, pool.filled) == (4, 2)
    pool.exchange(*pair(2, 4), rng)
    pool.resize(8)
    assert (pool.size, pool.filled) == (8, 4)
    pool.exchange(*pair(2, 6), rng)
    assert pool.filled == 2
    pool.filled = 7
    lq, gt = pool.exchange(*pair(4, 6), rng)
    assert pool.filled == 8 and lq.shape == (4, 3, 6, 6) and gt.shape == (4, 3, 24, 24)
