"""한 채널(회색) 훈련: 데이터셋, 열화, 손실, 검증, 저장과 그 네트워크로 키우기."""

import copy

import cv2
import numpy as np
import pytest

from tests.data.pictures import write_pictures
from tests.training.extra import require_training_extra
from tests.training.test_features import held
from tests.training.test_resume import local

require_training_extra()

import torch  # noqa: E402

import realesrgan as sr  # noqa: E402
from realesrgan.archs import RRDBNet, SRVGGNetCompact  # noqa: E402
from realesrgan.cli.image import main as image_main  # noqa: E402
from realesrgan.data.degradations import (  # noqa: E402
    DegradationRandom,
    gaussian_noise,
    jpeg_compress,
    poisson_noise,
    to_gray,
    usm_sharpen,
)
from realesrgan.data.realesrgan_paired_dataset import RealESRGANPairedDataset  # noqa: E402
from realesrgan.errors import OptionError, WeightsError  # noqa: E402
from realesrgan.inference.steps import KeepColour  # noqa: E402
from realesrgan.models.losses import MSSSIMLoss  # noqa: E402
from realesrgan.models.perceptual_loss import VGGFeatures  # noqa: E402
from realesrgan.training.api import train  # noqa: E402
from realesrgan.utils import RealESRGANer  # noqa: E402
from tests.data.test_datasets import pair_options  # noqa: E402


def gray_options(folder, gan=False):
    options = held(local(folder, gan=gan))
    options["network_g"] |= {"num_in_ch": 1, "num_out_ch": 1}
    if gan:
        options["network_d"]["num_in_ch"] = 1
    options["val"]["save_img"] = True
    options["train"]["total_iter"] = 2
    return options


@pytest.mark.parametrize("gan", [False, True])
def test_a_gray_network_trains_validates_saves_and_resumes(tmp_path, gan):
    options = gray_options(tmp_path, gan)
    result = train(options, root=tmp_path)
    assert result.complete and result.metrics["held"]["psnr"] > 0
    saved = next((result.folder / "visualization").rglob("*.png"))
    assert cv2.imread(str(saved), cv2.IMREAD_UNCHANGED).ndim == 2
    assert torch.load(result.weights, weights_only=True)["params"]["body.0.weight"].shape[1] == 1
    assert train(options, root=tmp_path, auto_resume=True, overrides={"train:total_iter": 3}).iterations == 3


@pytest.mark.parametrize("kind", ["RealESRGANVideoDataset", "RealESRGANMixedDataset"])
def test_pairs_made_by_the_workers_are_gray_too(tmp_path, kind):
    pytest.importorskip("av")
    options = gray_options(tmp_path) | {"high_order_degradation": False}
    block = options["datasets"]["train"] | {"type": "RealESRGANVideoDataset", "gt_size": 32, "codec_prob": 1.0}
    if kind == "RealESRGANMixedDataset":
        shared = {key: block.pop(key) for key in ("name", "io_backend", "batch_size_per_gpu", "num_worker_per_gpu")}
        block = {**shared, "type": kind, "gt_size": 32, "sources": [block]}
    options["datasets"]["train"] = block
    assert train(options, root=tmp_path).complete


def test_paired_items_are_one_channel_of_the_luma(tmp_path):
    (gt, *_) = write_pictures(tmp_path / "gt", 2)
    write_pictures(tmp_path / "lq", 2, size=(36, 32))
    options = pair_options(tmp_path / "gt", tmp_path / "lq") | {"color": "gray", "mean": [0.5], "std": [0.5]}
    dataset = RealESRGANPairedDataset(options | {"phase": "val"})
    item = dataset[0]
    assert item["gt"].shape == (1, 72, 64) and item["lq"].shape == (1, 36, 32)
    expected = cv2.cvtColor(cv2.imread(str(gt)), cv2.COLOR_BGR2GRAY)
    np.testing.assert_allclose(item["gt"][0].numpy() * 0.5 + 0.5, expected / 255, atol=1e-6)
    turned = RealESRGANPairedDataset(options | {"use_rot": True})
    assert {turned[index]["lq"].shape[0] for index in (0, 1) for _ in range(4)} == {1}


def test_degradations_of_one_channel_agree_with_gray_rgb():
    """회색 RGB를 누른 것의 휘도와 같아야 한다. 색차는 가운데 값이라 양자화해도 그대로다."""
    one = torch.nn.functional.interpolate(torch.rand(2, 1, 8, 8), size=(50, 46), mode="bicubic").clamp(0, 1)
    three = one.expand(-1, 3, -1, -1)
    quality = torch.tensor([30.0, 90.0])
    torch.testing.assert_close(jpeg_compress(one, quality), jpeg_compress(three, quality)[:, 1:2], atol=2e-3, rtol=0)
    torch.testing.assert_close(usm_sharpen(one), usm_sharpen(three)[:, :1])
    assert torch.equal(to_gray(one), one)
    for make in (gaussian_noise, poisson_noise):
        noise = make(one, torch.tensor([20.0, 1.0]), torch.tensor([1.0, 0.0]), DegradationRandom.from_seed(0))
        assert noise.shape == one.shape and noise.std() > 0


def test_losses_take_one_channel(monkeypatch, tmp_path):
    one = torch.rand(1, 1, 48, 48)
    assert float(MSSSIMLoss(levels=2)(one, one)) == pytest.approx(0, abs=1e-6)
    monkeypatch.setattr(VGGFeatures, "_load", lambda _self, _path: None)
    monkeypatch.setattr("realesrgan.models.perceptual_loss.find_vgg_weights", lambda *_: tmp_path)
    features = VGGFeatures(["conv1_1"], "vgg11")
    assert torch.equal(features(one)["conv1_1"], features(one.expand(-1, 3, -1, -1))["conv1_1"])


@pytest.mark.parametrize(
    "overrides",
    [
        {"network_g:num_out_ch": 3},
        {"network_d:num_in_ch": 3},
        {"datasets:train:color": "rgb"},
        {"network_g:num_in_ch": 4, "network_g:num_out_ch": 4, "network_d:num_in_ch": 4},
    ],
)
def test_channels_that_do_not_agree_are_named(tmp_path, overrides):
    with pytest.raises(OptionError, match="채널 수가 맞지 않습니다"):
        train(gray_options(tmp_path, gan=True), root=tmp_path, overrides=overrides)


NETWORKS = [
    SRVGGNetCompact(1, 1, num_feat=8, num_conv=2, upscale=2),
    RRDBNet(1, 1, 4, num_feat=8, num_block=1, num_grow_ch=4),
    RRDBNet(1, 1, 2, num_feat=8, num_block=1, num_grow_ch=4),
    RRDBNet(1, 1, 3, num_feat=8, num_block=1, num_grow_ch=4),
]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda one: f"{type(one).__name__}-{one.scale}")
@torch.inference_mode()
def test_a_gray_network_enlarges_gray_pictures_as_itself(tmp_path, network):
    torch.save({"params": network.state_dict()}, tmp_path / "gray.pth")
    model = sr.load(tmp_path / "gray.pth", backend="torch")
    assert model.weights.gray and model.weights.arch_args["num_in_ch"] == 1
    image = np.random.default_rng(0).integers(0, 256, (24, 20), dtype=np.uint8)
    expected = network(torch.from_numpy(image)[None, None].float() / 255)[0, 0].clamp(0, 1).numpy()
    result = model.upscale(image)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result / 255, expected, atol=0.51 / 255)
    colour = np.repeat(image[..., None], 3, 2)
    np.testing.assert_allclose(model.upscale(colour)[..., 1] / 255, expected, atol=0.51 / 255)


@torch.inference_mode()
def test_colour_is_kept_by_whole_tiles_and_strips(tmp_path):
    network = NETWORKS[1]
    torch.save({"params": network.state_dict()}, tmp_path / "gray.pth")
    image = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8), (60, 90))
    model = sr.load(tmp_path / "gray.pth", backend="torch")
    whole = model.upscale(image)
    model.upscaler.budget = 2_000_000
    assert model.upscaler.cut_for(90, 60) is not None
    assert np.abs(model.upscale(image).astype(int) - whole).max() <= 1
    enlarged, source = torch.rand(1, 3, 16, 12), torch.rand(1, 3, 4, 3)
    kept = KeepColour()(enlarged, source)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    torch.testing.assert_close((kept * weights).sum(1), (enlarged * weights).sum(1), atol=1e-5, rtol=0)
    gray = source[:, :1].expand(-1, 3, -1, -1)
    assert torch.equal(KeepColour()(enlarged, gray), enlarged)


def test_the_command_enlarges_with_it_and_its_conversions_load(tmp_path, capsys):
    from realesrgan.zoo.convert import check_saved, save_weights
    from realesrgan.zoo.weights import open_weights

    torch.save({"params": NETWORKS[0].state_dict()}, tmp_path / "gray.pth")
    (tmp_path / "in").mkdir()
    write_pictures(tmp_path / "in", 1, size=(20, 24))
    arguments = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model_path", str(tmp_path / "gray.pth")]
    code = image_main(arguments)
    capsys.readouterr()
    assert code == 0
    assert cv2.imread(str(next((tmp_path / "out").iterdir()))).shape == (40, 48, 3)
    weights = open_weights(tmp_path / "gray.pth")
    save_weights(weights, tmp_path / "copy.safetensors")
    check_saved(weights, tmp_path / "copy.safetensors", half=False)
    assert open_weights(tmp_path / "copy.safetensors").gray


@pytest.mark.parametrize("network", NETWORKS[:2], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("given", [True, False])
@torch.inference_mode()
def test_realesrganer_takes_a_gray_network_and_keeps_the_colour(tmp_path, network, given):
    path = tmp_path / "gray.pth"
    torch.save({"params": network.state_dict()}, path)
    upsampler = RealESRGANer(network.scale, str(path), model=copy.deepcopy(network) if given else None, pre_pad=0)
    colour = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    gray = colour[..., 0].copy()
    expected = network(torch.from_numpy(gray)[None, None].float() / 255)[0, 0].clamp(0, 1).numpy()
    result, mode = upsampler.enhance(gray)
    assert mode == "L"
    np.testing.assert_allclose(result / 255, expected, atol=0.51 / 255)
    enlarged, _ = upsampler.enhance(colour)
    # `RealESRGANer`는 BGR, `load`는 RGB다.
    reference = sr.load(path, backend="torch").upscale(colour[..., ::-1])[..., ::-1]
    assert np.abs(enlarged.astype(int) - reference).max() <= 1
    # 단계별 메서드를 덮어쓴 하위 클래스의 길도 같다.
    upsampler.process = upsampler.process
    assert np.abs(upsampler.enhance(colour)[0].astype(int) - reference).max() <= 1


def test_realesrganer_keeps_showing_the_attributes_of_the_given_network(tmp_path):
    torch.save({"params": NETWORKS[0].state_dict()}, tmp_path / "gray.pth")
    upsampler = RealESRGANer(2, str(tmp_path / "gray.pth"), model=copy.deepcopy(NETWORKS[0]))
    assert len(upsampler.model.body) == len(NETWORKS[0].body)
    upsampler.model = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2)
    assert isinstance(upsampler.model, SRVGGNetCompact) and not upsampler.upscaler.always


SPANDREL = {
    "SPAN": {"num_in_ch": 1, "num_out_ch": 1, "feature_channels": 8, "upscale": 4, "norm": False},
    "SwinIR": {
        **{"in_chans": 1, "img_size": 16, "embed_dim": 8, "depths": [2], "num_heads": [2], "window_size": 8},
        **{"upscale": 4, "upsampler": "pixelshuffledirect", "resi_connection": "1conv", "mlp_ratio": 2},
    },
}


@pytest.mark.parametrize("name", SPANDREL)
def test_a_gray_network_of_spandrel_trains_resumes_and_enlarges(tmp_path, name):
    pytest.importorskip("spandrel")
    options = gray_options(tmp_path)
    options["network_g"] = {"type": f"spandrel:{name}", **SPANDREL[name]}
    result = train(options, root=tmp_path)
    assert result.complete and result.metrics["held"]["psnr"] > 0
    assert train(options, root=tmp_path, auto_resume=True, overrides={"train:total_iter": 3}).iterations == 3
    model = sr.load(result.weights, backend="torch")
    assert model.weights.gray and model.weights.arch.startswith("spandrel:")
    image = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    gray = model.upscale(image[..., 0].copy())
    assert gray.shape == (96, 80)
    colour = model.upscale(image)
    assert np.ptp(colour, axis=2).mean() > 10
    luma = model.upscale(np.repeat(image[..., :1], 3, 2))
    assert np.abs(luma[..., 1].astype(int) - gray).max() <= 1


def test_a_gray_discriminator_and_network_of_spandrel_must_agree(tmp_path):
    pytest.importorskip("spandrel")
    options = gray_options(tmp_path, gan=True)
    options["network_g"] = {"type": "spandrel:SPAN", **SPANDREL["SPAN"]}
    options["network_d"]["num_in_ch"] = 3
    with pytest.raises(OptionError, match="채널 수가 맞지 않습니다"):
        train(options, root=tmp_path)


def test_a_gray_network_of_another_kind_is_refused_by_name(tmp_path):
    from realesrgan.registry import ARCH_REGISTRY

    class OnlyGray(torch.nn.Module):
        scale = 1

        def __init__(self, num_in_ch=1):
            super().__init__()
            self.conv = torch.nn.Conv2d(num_in_ch, 1, 3, 1, 1)

    ARCH_REGISTRY.register(OnlyGray)
    try:
        torch.save(OnlyGray().state_dict(), tmp_path / "odd.pth")
        with pytest.raises(WeightsError, match="OnlyGray"):
            sr.load(tmp_path / "odd.pth", arch="OnlyGray", arch_args={"num_in_ch": 1})
    finally:
        del ARCH_REGISTRY._objects["OnlyGray"]
