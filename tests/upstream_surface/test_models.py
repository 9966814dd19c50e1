"""원본의 모델을 쓰던 코드가 기대하는 것: 클래스, 속성, 손실의 이름, 검증."""

import pytest

from tests.models.tiny import model_options
from tests.training.extra import require_training_extra

require_training_extra()

import torch  # noqa: E402
from basicsr.archs.discriminator_arch import UNetDiscriminatorSN as BasicDiscriminator  # noqa: E402
from basicsr.archs.srvgg_arch import SRVGGNetCompact as BasicCompact  # noqa: E402
from basicsr.losses import basic_loss  # noqa: E402
from basicsr.losses.gan_loss import GANLoss  # noqa: E402
from basicsr.models import build_model  # noqa: E402

from realesrgan.archs.discriminator_arch import UNetDiscriminatorSN  # noqa: E402
from realesrgan.archs.srvgg_arch import SRVGGNetCompact  # noqa: E402
from realesrgan.models.perceptual_loss import VGGFeatures  # noqa: E402
from realesrgan.models.realesrgan_model import RealESRGANModel  # noqa: E402
from realesrgan.models.realesrnet_model import RealESRNetModel  # noqa: E402


def batch(count=1):
    """원본의 시험처럼 5x5의 아무 커널."""
    kernel = torch.rand(count, 5, 5)
    return {"gt": torch.rand(count, 3, 32, 32), "kernel1": kernel, "kernel2": kernel, "sinc_kernel": kernel}


class Dummy(torch.utils.data.Dataset):
    def __init__(self):
        self.opt = {"name": "DUMMY"}

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return {"lq": torch.rand(3, 8, 8), "lq_path": "lq.png", "gt": torch.rand(3, 32, 32), "gt_path": "gt.png"}


def check_feeding(model):
    model.feed_data(batch())
    assert model.lq.shape == (1, 3, 8, 8) and model.gt.shape == (1, 3, 32, 32)
    for name in ("gaussian_noise_prob", "gaussian_noise_prob2", "gray_noise_prob", "second_blur_prob"):
        model.opt[name] = 0.0
    model.feed_data(batch())
    assert model.lq.shape == (1, 3, 8, 8)
    # 쌍 풀이 찬 뒤에도 모양이 같다.
    for _ in range(5):
        model.feed_data(batch())
    assert model.lq.shape == (1, 3, 8, 8) and model.gt.shape == (1, 3, 32, 32)


def check_validation(model):
    model.is_train = False
    model.feed_data({"lq": torch.rand(1, 3, 8, 8), "gt": torch.rand(1, 3, 32, 32)})
    assert model.lq.shape == (1, 3, 8, 8) and model.gt.shape == (1, 3, 32, 32)
    model.is_train = True
    loader = torch.utils.data.DataLoader(dataset=Dummy(), batch_size=1, shuffle=False, num_workers=0)
    assert model.is_train is True
    model.nondist_validation(loader, 1, None, False)
    assert model.is_train is True and set(model.metric_results) == {"psnr"}


def test_the_first_stage_model(tmp_path):
    model = build_model(model_options(tmp_path))
    assert type(model) is RealESRNetModel and type(model).__name__ == "RealESRNetModel"
    assert isinstance(model.net_g, SRVGGNetCompact) and isinstance(model.net_g, BasicCompact)
    assert isinstance(model.cri_pix, basic_loss.L1Loss) and isinstance(model.optimizers[0], torch.optim.Adam)
    assert model.queue_size == 4
    check_feeding(model)
    model.optimize_parameters(1)
    assert set(model.log_dict) == {"l_pix"} and model.output.shape == (1, 3, 32, 32)
    check_validation(model)


def test_the_second_stage_model(tmp_path, monkeypatch):
    monkeypatch.setattr(VGGFeatures, "_load", lambda *_: None)
    monkeypatch.setattr("realesrgan.models.perceptual_loss.find_vgg_weights", lambda *_: tmp_path)
    perceptual = {
        **{"type": "PerceptualLoss", "layer_weights": {"conv1_1": 0.1}, "vgg_type": "vgg11"},
        **{"use_input_norm": True, "perceptual_weight": 1.0, "style_weight": 0.0, "range_norm": False},
        **{"criterion": "l1"},
    }
    model = build_model(model_options(tmp_path, True, **{"train.perceptual_opt": perceptual}))
    assert type(model) is RealESRGANModel
    assert isinstance(model.net_d, UNetDiscriminatorSN) and isinstance(model.net_d, BasicDiscriminator)
    assert isinstance(model.cri_pix, basic_loss.L1Loss) and isinstance(model.cri_gan, GANLoss)
    assert isinstance(model.cri_perceptual, basic_loss.PerceptualLoss)
    assert [type(one) for one in model.optimizers] == [torch.optim.Adam] * 2
    check_feeding(model)
    assert model.gt_usm.shape == (1, 3, 32, 32)
    model.optimize_parameters(1)
    names = {"l_g_pix", "l_g_percep", "l_g_gan", "l_d_real", "out_d_real", "l_d_fake", "out_d_fake"}
    assert set(model.log_dict) == names and model.output.shape == (1, 3, 32, 32)
    check_validation(model)


def test_the_discriminator():
    for skip in (True, False):
        network = UNetDiscriminatorSN(num_in_ch=3, num_feat=4, skip_connection=skip)
        assert network(torch.rand(1, 3, 32, 32)).shape == (1, 1, 32, 32)


@pytest.mark.parametrize("act_type", ["relu", "prelu", "leakyrelu"])
def test_the_compact_generator(act_type):
    network = SRVGGNetCompact(num_in_ch=3, num_out_ch=3, num_feat=4, num_conv=1, upscale=2, act_type=act_type)
    assert network(torch.rand(1, 3, 8, 10)).shape == (1, 3, 16, 20)
