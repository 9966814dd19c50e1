"""갈라져 나온 저장소의 코드가 기대하는 겉모습."""

import queue

import cv2
import numpy as np
import pytest

from tests.models.tiny import make_batch, model_options, paired_batch
from tests.training.extra import require_training_extra

require_training_extra()

import torch  # noqa: E402
from basicsr.archs.rrdbnet_arch import RRDBNet as BasicRRDBNet  # noqa: E402
from basicsr.models import build_model  # noqa: E402
from basicsr.utils import DiffJPEG, USMSharp  # noqa: E402

from realesrgan.archs import RRDBNet  # noqa: E402
from realesrgan.data.realesrgan_dataset import RealESRGANDataset  # noqa: E402
from realesrgan.data.realesrgan_paired_dataset import RealESRGANPairedDataset  # noqa: E402
from realesrgan.errors import OptionError  # noqa: E402
from realesrgan.models.realesrgan_model import RealESRGANModel  # noqa: E402
from realesrgan.models.validation import infer, side_by_side  # noqa: E402
from tests.conftest import small_rrdbnet  # noqa: E402
from tests.data.pictures import write_pictures  # noqa: E402
from tests.data.test_datasets import gt_options, pair_options  # noqa: E402


class Held(torch.utils.data.Dataset):
    def __init__(self):
        self.opt = {"name": "held"}

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return {"lq": torch.rand(3, 12, 10), "gt": torch.rand(3, 48, 40), "lq_path": f"{index}.png"}


class ForkModel(RealESRGANModel):
    """원본처럼 검증하는 동안 `is_train`을 끄는 모델."""

    called = 0

    def nondist_validation(self, dataloader, current_iter, tb_logger, save_img):
        type(self).called += 1
        self.is_train = False
        super().nondist_validation(dataloader, current_iter, tb_logger, save_img)
        self.is_train = True


@pytest.mark.parametrize("gan", [False, True])
def test_paired_feed_and_test_while_not_training(tmp_path, gan):
    model = build_model(model_options(tmp_path, gan))
    model.is_train = False
    batch = paired_batch()
    model.feed_data(batch)
    model.test()
    assert model.output.shape == batch["gt"].shape and torch.equal(model.gt, batch["gt"])
    assert set(model.get_current_visuals()) == {"lq", "result", "gt"}
    model.feed_data({"lq": batch["lq"]})
    model.test()
    assert set(model.get_current_visuals()) == {"lq", "result"}
    model.is_train = True
    model.feed_data(make_batch())
    model.optimize_parameters(1)
    assert model.output.shape == model.gt.shape and not model.output.requires_grad


def test_a_model_built_for_testing(tmp_path):
    options = model_options(tmp_path) | {"is_train": False}
    del options["train"]
    model = build_model(options)
    model.feed_data(paired_batch())
    model.test()
    model.validation(torch.utils.data.DataLoader(Held()), 0, None, True)
    assert (tmp_path / "visualization/held/0_tiny.png").is_file() and model.metric_results["psnr"] > 0


def test_an_overridden_nondist_validation_is_called(tmp_path):
    model = ForkModel(model_options(tmp_path, True))
    model.validation(torch.utils.data.DataLoader(Held()), 1, None, False)
    assert ForkModel.called == 1 and model.metric_results["psnr"] > 0


def test_curricula_edit_the_options_of_a_running_model(tmp_path):
    model = build_model(model_options(tmp_path, queue_size=2))
    model.feed_data(make_batch())
    assert model.lq.shape[-1] == 8
    model.opt["jpeg_range"], model.opt["noise_range"], model.opt["gt_size"] = [5, 6], [40, 50], 16
    model.feed_data(make_batch())
    assert model.pipeline.first.jpeg_range == (5, 6) and model.pipeline.first.noise_range == (40, 50)
    assert model.lq.shape[-1] == 4 and model.gt.shape[-1] == 16
    model.opt["high_order_degradation"] = False
    with pytest.raises(OptionError, match="lq"):
        model.feed_data(make_batch())


def test_sharpener_and_jpeger_agree_with_basicsr(tmp_path):
    model = build_model(model_options(tmp_path))
    images = make_batch(size=64)["gt"]
    torch.testing.assert_close(model.usm_sharpener(images), USMSharp()(images), atol=2e-5, rtol=0)
    quality = torch.tensor([30.0, 80.0])
    expected = DiffJPEG(differentiable=False)(images, quality=quality)
    torch.testing.assert_close(model.jpeger(images, quality=quality), expected, atol=1e-4, rtol=0)
    assert model.jpeger(images, 50).shape == images.shape


def test_public_attributes_of_the_datasets(tmp_path):
    write_pictures(tmp_path / "gt", 2)
    dataset = RealESRGANDataset(gt_options(tmp_path / "gt"))
    assert dataset.io_backend_opt == {"type": "disk"} and dataset.betag_range2 == [0.5, 4]
    assert dataset.kernel_list[0] == "iso" and dataset.final_sinc_prob == 0.8 and dataset.blur_kernel_size2 == 21
    dataset.blur_sigma2 = [1, 2]
    assert dataset.second.sigma == (1.0, 2.0) and dataset.blur_sigma2 == [1, 2]
    dataset.final_sinc_prob = 0.0
    assert torch.equal(dataset[0]["sinc_kernel"].nonzero(), torch.tensor([[10, 10]]))
    with pytest.raises(AttributeError, match="nothing"):
        _ = dataset.nothing
    write_pictures(tmp_path / "lq", 2, size=(18, 16))
    paired = RealESRGANPairedDataset(pair_options(tmp_path / "gt", tmp_path / "lq"))
    assert paired.mean is None and paired.std is None and paired.lq_folder == str(tmp_path / "lq")
    with pytest.raises(ValueError, match="lmdb"):
        RealESRGANDataset(gt_options(tmp_path / "gt", io_backend={"type": "lmdb"}))


def test_names_of_the_original():
    from realesrgan.version import __gitsha__, __version__, version_info

    assert isinstance(RRDBNet(3, 3, num_block=1), BasicRRDBNet)
    assert isinstance(__gitsha__, str) and ".".join(map(str, version_info)) == __version__


def test_reading_ahead_and_writing_behind(tmp_path):
    from realesrgan.utils import IOConsumer, PrefetchReader

    paths = write_pictures(tmp_path / "in", 3)
    reader = PrefetchReader([str(path) for path in paths], 2)
    reader.start()
    work = queue.Queue()
    writer = IOConsumer(None, work, 0)
    writer.start()
    for path, image in zip(paths, reader, strict=True):
        work.put({"output": image, "save_path": str(tmp_path / path.name)})
    work.put("quit")
    writer.join()
    for path in paths:
        assert np.array_equal(cv2.imread(str(path)), cv2.imread(str(tmp_path / path.name)))
    broken = PrefetchReader([str(tmp_path / "none.png")], 1)
    broken.start()
    with pytest.raises(OSError, match="none"):
        next(broken)


@pytest.mark.parametrize("scale", [2, 4])
def test_large_pictures_are_validated_in_strips_exactly(scale):
    network = small_rrdbnet(scale)
    lq = torch.rand(1, 3, 150, 31)
    with torch.no_grad():
        padded = torch.nn.functional.pad(lq, (0, 31 % scale and 1 if scale == 2 else 0, 0, 0), mode="reflect")
        whole = network(padded)[..., : 31 * scale]
    torch.testing.assert_close(infer(network, lq, 1000), whole, atol=2e-6, rtol=0)


def test_networks_that_cannot_be_streamed_are_tiled():
    class Odd(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.interpolate(x, scale_factor=2) if x.mean() > -1 else x

    lq = torch.rand(1, 3, 400, 390)
    assert torch.equal(infer(Odd(), lq, 1000), torch.nn.functional.interpolate(lq, scale_factor=2))


def test_side_by_side(tmp_path):
    lq, gt = np.zeros((4, 5, 3), np.uint8), np.full((16, 20, 3), 9, np.uint8)
    assert side_by_side(lq, gt, gt).shape == (16, 60, 3) and side_by_side(lq, gt, None).shape == (16, 40, 3)
    model = build_model(model_options(tmp_path, val={"side_by_side": True}))
    pictures = []

    class Board:
        def add_image(self, tag, image, step, dataformats):
            pictures.append((tag, image.shape, step, dataformats))

    model.validation(torch.utils.data.DataLoader(Held()), 3, Board(), False)
    assert (tmp_path / "visualization/0/0_3_side_by_side.png").is_file()
    assert pictures[0] == ("held/0", (48, 120, 3), 3, "HWC")
