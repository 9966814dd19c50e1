import copy

import pytest
import torch

from tests.models.tiny import make_batch, model_options, paired_batch
from tests.training.extra import require_training_extra

require_training_extra()

from basicsr.losses.gan_loss import GANLoss  # noqa: E402
from basicsr.models import build_model  # noqa: E402

from realesrgan.archs import RRDBNet, UNetDiscriminatorSN  # noqa: E402
from realesrgan.data.degradations import usm_sharpen  # noqa: E402
from realesrgan.errors import CheckpointError, NonFiniteLossError, OptionError  # noqa: E402
from realesrgan.models.realesrgan_model import RealESRGANModel  # noqa: E402
from realesrgan.models.realesrnet_model import RealESRNetModel  # noqa: E402
from realesrgan.models.step_options import StepOptions, checkpoint_blocks  # noqa: E402
from realesrgan.models.stepper import hold_spectral_norm  # noqa: E402
from realesrgan.models.training_model import update_ema  # noqa: E402


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def steps(model, count, batches=make_batch):
    for iteration in range(1, count + 1):
        model.update_learning_rate(iteration)
        model.feed_data(batches(iteration))
        model.optimize_parameters(iteration)
    return model


@pytest.mark.parametrize("gan", [False, True])
def test_a_few_steps_move_the_networks(tmp_path, gan):
    torch.manual_seed(0)
    model = build_model(model_options(tmp_path, gan))
    assert type(model) is (RealESRGANModel if gan else RealESRNetModel)
    before, ema = weights(model.net_g), weights(model.net_g_ema)
    steps(model, 4)
    assert not torch.equal(before, weights(model.net_g))
    assert not torch.equal(ema, weights(model.net_g_ema))
    expected = {"l_g_pix", "l_g_gan", "l_d_real", "l_d_fake", "out_d_real", "out_d_fake"} if gan else {"l_pix"}
    assert set(model.get_current_log()) == expected
    assert model.lq.shape == (2, 3, 8, 8) and model.gt.shape == (2, 3, 32, 32)


def test_training_lowers_the_loss(tmp_path):
    torch.manual_seed(0)
    model = build_model(model_options(tmp_path, high_order_degradation=False, gt_usm=False))
    losses = []
    for iteration in range(1, 121):
        model.feed_data(paired_batch())
        model.optimize_parameters(iteration)
        losses.append(model.get_current_log()["l_pix"])
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("gan", [False, True])
def test_same_seed_same_weights(tmp_path, gan):
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(weights(steps(build_model(model_options(tmp_path, gan)), 3).net_g))
    assert torch.equal(*results)


@pytest.mark.parametrize("gt_usm", [True, False])
def test_realesrnet_targets(tmp_path, gt_usm):
    model = build_model(model_options(tmp_path, gt_usm=gt_usm, queue_size=2, gt_size=48))
    batch = make_batch()
    model.feed_data(batch)
    expected = usm_sharpen(batch["gt"]) if gt_usm else batch["gt"]
    torch.testing.assert_close(model.gt, expected)


def test_realesrgan_keeps_the_plain_gt_through_the_pool(tmp_path):
    model = build_model(model_options(tmp_path, True, queue_size=2, gt_size=48))
    batch = make_batch()
    model.feed_data(batch)
    torch.testing.assert_close(model.gt, batch["gt"])
    torch.testing.assert_close(model.gt_usm, usm_sharpen(batch["gt"]))
    assert model._target("l1_gt_usm") is model.gt_usm
    assert model._target("gan_gt_usm") is model.gt


def test_gan_step_follows_the_recipe(tmp_path):
    """생성자와 판별자의 한 걸음을 손으로 쓴 것과 견준다."""
    torch.manual_seed(1)
    model = build_model(model_options(tmp_path, True, high_order_degradation=False))
    generator, judge = copy.deepcopy(model.net_g), copy.deepcopy(model.net_d)
    optimizers = [torch.optim.Adam(net.parameters(), 1e-3, betas=(0.9, 0.99)) for net in (generator, judge)]
    batch, gan = paired_batch(), GANLoss("vanilla", loss_weight=0.1)
    model.feed_data(batch)
    model.optimize_parameters(1)
    output = generator(batch["lq"])
    loss = (output - usm_sharpen(batch["gt"])).abs().mean() + gan(judge(output), True)
    loss.backward()
    optimizers[0].step()
    optimizers[1].zero_grad()
    gan(judge(batch["gt"]), True, is_disc=True).backward()
    gan(judge(output.detach()), False, is_disc=True).backward()
    optimizers[1].step()
    torch.testing.assert_close(weights(model.net_g), weights(generator))
    torch.testing.assert_close(weights(model.net_d), weights(judge))


def test_discriminator_only_iterations(tmp_path):
    options = model_options(tmp_path, True, **{"train.net_d_iters": 2, "train.net_d_init_iters": 2})
    model = build_model(options)
    for iteration, moves in ((1, False), (2, False), (3, False), (4, True)):
        before, judge = weights(model.net_g), weights(model.net_d)
        model.feed_data(make_batch(iteration))
        model.optimize_parameters(iteration)
        assert torch.equal(before, weights(model.net_g)) is not moves
        assert not torch.equal(judge, weights(model.net_d))


def test_ema_follows_buffers():
    source = torch.nn.BatchNorm2d(3)
    target = copy.deepcopy(source)
    source.running_mean.fill_(1.0)
    source.num_batches_tracked.fill_(7)
    update_ema(target, source, 0.75)
    assert target.running_mean.tolist() == [0.25] * 3
    assert target.num_batches_tracked.item() == 7


@pytest.mark.parametrize("gan", [False, True])
@pytest.mark.parametrize("extra", [{"train.accumulate": 2}, {"train.channels_last": False}])
def test_harmless_options_keep_the_step(tmp_path, gan, extra):
    results = []
    for changes in ({}, extra):
        torch.manual_seed(5)
        options = model_options(tmp_path, gan, high_order_degradation=False, **changes)
        model = build_model(options)
        model.feed_data(paired_batch())
        model.optimize_parameters(1)
        results.append([s["exp_avg"] for one in model.optimizers for s in one.state_dict()["state"].values()])
    for plain, changed in zip(*results, strict=True):
        assert (plain - changed).norm() < 1e-5 * plain.norm()


@pytest.mark.parametrize("gan", [False, True])
def test_the_layout_changes_the_losses_by_rounding_only(tmp_path, gan):
    losses = []
    for layout in (False, True):
        torch.manual_seed(5)
        model = build_model(model_options(tmp_path, gan, **{"train.channels_last": layout}))
        found = []
        for number in range(1, 21):
            model.feed_data(make_batch(number))
            model.optimize_parameters(number)
            found.append(list(model.log_dict.values()))
        losses.append(torch.tensor(found))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("extra", "expected"), [({}, True), ({"train.channels_last": False}, False)])
def test_the_layout_is_chosen_unless_it_is_said(tmp_path, extra, expected):
    model = build_model(model_options(tmp_path, **extra))
    assert model.step_options.channels_last is expected
    assert model.net_g.body[2].weight.is_contiguous(memory_format=torch.channels_last) is expected
    assert not StepOptions.from_options({}).channels_last and StepOptions.from_options({"amp": "bf16"}).channels_last


def test_held_spectral_norm_keeps_its_estimate():
    torch.manual_seed(0)
    network = UNetDiscriminatorSN(3, num_feat=4)
    image, before = torch.rand(1, 3, 16, 16), network.conv3.weight_u.clone()
    with hold_spectral_norm(network):
        network(image)
    assert torch.equal(network.conv3.weight_u, before)
    assert all(module.training for module in network.modules())
    with hold_spectral_norm(network, held=False):
        network(image)
    assert not torch.equal(network.conv3.weight_u, before)
    network.eval()
    with hold_spectral_norm(network):
        network(image)
    assert not any(module.training for module in network.modules())


def test_grad_checkpoint_keeps_the_gradients():
    torch.manual_seed(0)
    plain = RRDBNet(3, 3, num_feat=8, num_block=2, num_grow_ch=4)
    saved = copy.deepcopy(plain)
    assert checkpoint_blocks(saved) == 2
    image = torch.rand(1, 3, 8, 8)
    for network in (plain, saved):
        network(image).sum().backward()
    for one, other in zip(plain.parameters(), saved.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert list(plain.state_dict()) == list(saved.state_dict())


def test_grad_checkpoint_needs_blocks(tmp_path):
    with pytest.raises(OptionError, match=r"(?s)train\.grad_checkpoint.*SRVGGNetCompact.*checkpointed_blocks"):
        build_model(model_options(tmp_path, **{"train.grad_checkpoint": True}))


def test_grad_checkpoint_asks_the_network_which_blocks():
    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = RRDBNet(3, 3, num_feat=4, num_block=2, num_grow_ch=2)
            self.tail = torch.nn.Conv2d(3, 3, 1)

        def checkpointed_blocks(self):
            return [*self.inner.checkpointed_blocks(), self.tail]

    assert checkpoint_blocks(Wrapped()) == 3


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
@pytest.mark.parametrize("gan", [False, True])
def test_amp_trains_close_to_full_precision(tmp_path, amp, gan):
    logs = []
    for changes in ({}, {"train.amp": amp}):
        torch.manual_seed(2)
        model = steps(build_model(model_options(tmp_path, gan, **changes)), 3)
        logs.append(model.get_current_log())
    name = "l_g_pix" if gan else "l_pix"
    assert logs[1][name] == pytest.approx(logs[0][name], rel=0.03)
    assert model.scalers["g"].is_enabled() is (amp == "fp16")


def smoothed(values, width=20):
    """잇닿은 `width`개의 평균들."""
    return [sum(values[start : start + width]) / width for start in range(len(values) - width + 1)]


@pytest.mark.parametrize("gan", [False, True])
def test_bf16_follows_full_precision_for_many_steps(tmp_path, gan):
    losses = []
    for changes in ({}, {"train.amp": "bf16"}):
        torch.manual_seed(0)
        model = build_model(model_options(tmp_path, gan, **changes))
        losses.append([])
        for iteration in range(1, 61):
            model.feed_data(make_batch(iteration))
            model.optimize_parameters(iteration)
            losses[-1].append(dict(model.get_current_log()))
    names = [name for name in losses[0][0] if name.startswith("l_")]
    assert len(names) == (4 if gan else 1)
    for name in names:
        full, half = ([one[name] for one in run] for run in losses)
        assert sum(half) == pytest.approx(sum(full), rel=0.02), name
        # 적대 손실은 로짓이 조금만 갈려도 걸음마다 흔들린다(training_context.md의 기록).
        assert smoothed(half) == pytest.approx(smoothed(full), rel=0.02 if "pix" in name else 0.03), name


def test_logits_are_computed_in_full_precision_under_autocast():
    torch.manual_seed(0)
    network = UNetDiscriminatorSN(3, num_feat=4).eval()
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(image)
    assert logits.dtype == torch.float32
    # bf16에 담으면 눈금이 256배 성기다.
    assert not torch.equal(logits, logits.bfloat16().float())


def test_grad_clip_bounds_the_norm(tmp_path):
    torch.manual_seed(0)
    model = build_model(model_options(tmp_path, **{"train.grad_clip": 1e-3}))
    model.feed_data(make_batch())
    model.optimize_parameters(1)
    norm = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in model.net_g.parameters()]))
    assert norm <= 1e-3 * 1.001


@pytest.mark.parametrize("gan", [False, True])
def test_nonfinite_loss_is_skipped_then_stops(tmp_path, gan):
    model = steps(build_model(model_options(tmp_path, gan, **{"train.max_nonfinite": 3})), 1)
    model.last_checkpoint = "here.state"
    before, ema = weights(model.net_g), weights(model.net_g_ema)
    for iteration in (2, 3):
        model.feed_data(make_batch(iteration))
        model.lq = model.lq * float("nan")
        model.optimize_parameters(iteration)
    assert torch.equal(before, weights(model.net_g)) and torch.equal(ema, weights(model.net_g_ema))
    assert model.guard.total == 2
    model.feed_data(make_batch(4))
    model.optimize_parameters(4)
    assert model.guard.streak == 0 and not torch.equal(before, weights(model.net_g))
    with pytest.raises(NonFiniteLossError, match=r"(?s)pix.*here\.state"):
        for iteration in range(5, 9):
            model.feed_data(make_batch(iteration))
            model.lq = model.lq * float("inf")
            model.optimize_parameters(iteration)


@pytest.mark.parametrize(
    "changes",
    [{"train.amp": "fp8"}, {"train.accumulate": 0}, {"train.grad_clip": -1.0}, {"train.pixel_opt": None}],
)
def test_bad_train_options_are_refused(tmp_path, changes):
    with pytest.raises(OptionError, match="해결"):
        build_model(model_options(tmp_path, **changes))


def test_gan_needs_a_discriminator(tmp_path):
    with pytest.raises(OptionError, match="network_d"):
        build_model(model_options(tmp_path, True, network_d=None))


def test_pretrained_weights(tmp_path):
    donor = build_model(model_options(tmp_path))
    donor.save(0, -1)
    path = str(tmp_path / "models" / "net_g_latest.pth")
    model = build_model(model_options(tmp_path, **{"path.pretrain_network_g": path, "path.param_key_g": "params_ema"}))
    assert torch.equal(weights(model.net_g), weights(donor.net_g_ema))
    bare = tmp_path / "bare.pth"
    torch.save(donor.net_g.state_dict(), bare)
    model = build_model(model_options(tmp_path, **{"path.pretrain_network_g": str(bare)}))
    assert torch.equal(weights(model.net_g), weights(donor.net_g))
    wide = {"type": "SRVGGNetCompact", "num_feat": 12, "num_conv": 1, "upscale": 4}
    with pytest.raises(CheckpointError, match="strict_load_g"):
        build_model(model_options(tmp_path, network_g=wide, **{"path.pretrain_network_g": path}))
    loose = {"path.pretrain_network_g": path, "path.strict_load_g": False}
    assert build_model(model_options(tmp_path, network_g=wide, **loose)).net_g.num_feat == 12
    with pytest.raises(CheckpointError, match=r"none\.pth"):
        build_model(model_options(tmp_path, **{"path.pretrain_network_g": str(tmp_path / "none.pth")}))
