"""둘째 단계 모델 RealESRGAN: 픽셀, 지각, 적대(GAN) 손실로 생성자와 판별자를 함께 훈련한다."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from realesrgan.basicsr_bridge import MODEL_REGISTRY, build_loss, build_network
from realesrgan.errors import OptionError
from realesrgan.models.losses import TARGETS
from realesrgan.models.stepper import Losses, StepResult, at_least_float32, hold_spectral_norm
from realesrgan.models.training_model import TrainingModel
from realesrgan.models.trial import blaming


@MODEL_REGISTRY.register()
class RealESRGANModel(TrainingModel):
    """열화를 합성하며 생성자와 판별자를 번갈아 훈련하는 모델. Real-ESRGAN 3.4절과 4.1절.

    선명화한 GT를 열화시키되 쌍 풀에는 본래 GT를 두고, 나온 뒤에 다시 선명화한다. 손실마다 어느 GT를 쓸지는
    `l1_gt_usm`, `percep_gt_usm`, `gan_gt_usm`이 정한다.
    """

    def _init_extra_networks(self) -> None:
        train = self.opt["train"]
        if not train.get("gan_opt") or not self.opt.get("network_d"):
            raise OptionError(
                "RealESRGANModel에는 판별자와 적대 손실이 있어야 합니다.\n  network_d나 train.gan_opt가 없습니다.\n"
                "  해결: 둘을 적거나, 판별자 없이 훈련하려면 model_type을 RealESRNetModel로 바꾸세요."
            )
        with blaming("train:gan_opt", train["gan_opt"]):
            self.cri_gan = build_loss(train["gan_opt"]).to(self.device)
        with blaming("network_d", self.opt["network_d"]):
            self.net_d = self.model_to_device(build_network(self.opt["network_d"]))
        self.print_network(self.net_d)
        path = self.opt["path"].get("pretrain_network_d")
        if path is not None:
            strict, key = self.opt["path"].get("strict_load_d", True), self.opt["path"].get("param_key_d", "params")
            self.load_network(self.net_d, path, strict, key)
        self.net_d.train()
        self.net_d_iters = int(train.get("net_d_iters") or 1)
        self.net_d_init_iters = int(train.get("net_d_init_iters") or 0)

    def _has_losses(self) -> bool:
        return True

    def setup_optimizers(self) -> None:
        """생성자와 판별자의 옵티마이저를 만든다."""
        super().setup_optimizers()
        self.optimizer_d = self._make_optimizer(self.net_d, "optim_d")
        self.scalers["d"] = self.stepper.make_scaler()

    def network_groups(self) -> dict[str, dict[str, nn.Module]]:
        """생성자에 더해 판별자를 `net_d_{반복}.pth`로 담는다."""
        return super().network_groups() | {"net_d": {"params": self.net_d}}

    @torch.no_grad()
    def feed_data(self, data: Mapping[str, Any]) -> None:
        """배치를 받아 LQ, GT, 선명화한 GT를 준비한다."""
        if self.synthesises:
            lq, gt = self._synthesise(data, sharpen=True, keep_sharp=False)
        else:
            lq, gt = self._paired(data)
        self._keep(lq, gt)
        if self.is_train:
            self.gt_usm = self._arrange(self.usm_sharpener(self.gt))

    def _target(self, key: str) -> Tensor:
        return self.gt_usm if self.opt.get(key, True) else self.gt

    def _generator_losses(
        self, outputs: list[Tensor], iteration: int, lq: Tensor, l1_gt: Tensor, percep_gt: Tensor, *targets: Tensor
    ) -> Losses:
        first = not outputs
        output = at_least_float32(self.net_g(lq))
        outputs.append(output.detach())
        losses: Losses = {}
        if self.cri_pix is not None:
            losses["l_g_pix"] = self.cri_pix(output, l1_gt)
        if self.cri_perceptual is not None:
            found = zip(("l_g_percep", "l_g_style"), self.cri_perceptual(output, percep_gt), strict=True)
            losses |= {name: value for name, value in found if value is not None}
        if self.loss_entries:
            losses |= self._listed_losses(output, lq, dict(zip(TARGETS, targets, strict=True)), iteration)
        # 판별자의 그래디언트는 쓰지 않으므로 분산 래퍼를 거치지 않는다.
        bare = self.get_bare_model(self.net_d)
        with hold_spectral_norm(bare, held=not first):
            judged = at_least_float32(bare(output))
        losses["l_g_gan"] = self.cri_gan(judged, True, is_disc=False)
        return losses

    def _judge(self, images: Tensor, real: bool, first: bool) -> Losses:
        with hold_spectral_norm(self.net_d, held=not first):
            judged = at_least_float32(self.net_d(images))
        name = "real" if real else "fake"
        return {f"l_d_{name}": self.cri_gan(judged, real, is_disc=True), f"out_d_{name}": judged.detach().mean()}

    def _step_generator(self, current_iter: int) -> tuple[StepResult, list[Tensor]]:
        targets = (self.gt, self.gt_usm) if self.loss_entries else ()
        parts = self.stepper.split(self.lq, self._target("l1_gt_usm"), self._target("percep_gt_usm"), *targets)
        outputs: list[Tensor] = []
        if current_iter % self.net_d_iters == 0 and current_iter > self.net_d_init_iters:
            closures = [functools.partial(self._generator_losses, outputs, current_iter, *part) for part in parts]
            result = self.stepper.run(self.net_g, self.optimizer_g, self.scalers["g"], closures, len(parts))
            return result, outputs
        with torch.no_grad(), self.stepper.autocast():
            return StepResult(), [at_least_float32(self.net_g(lq)) for lq, *_ in parts]

    def optimize_parameters(self, current_iter: int) -> None:
        """생성자를 한 걸음, 이어 판별자를 한 걸음 움직인다. 판별자는 생성자가 움직이기 전의 출력을 본다.

        Raises:
            NonFiniteLossError: 손실이 잇달아 너무 많이 유한하지 않을 때.
        """
        self.net_d.requires_grad_(False)
        generator, outputs = self._step_generator(current_iter)
        self.net_d.requires_grad_(True)
        self.output = torch.cat(outputs) if len(outputs) > 1 else outputs[0]
        if generator.bad:
            self._finish_step([generator], current_iter)
            return
        real = [part for (part,) in self.stepper.split(self._target("gan_gt_usm"))]
        # 진짜 토막을 모두 본 뒤 가짜를 본다. 나누지 않았을 때와 같은 차례라야 스펙트럼 정규화의 추정도 같다.
        closures = [
            functools.partial(self._judge, images, is_real, number == 0)
            for is_real, kind in ((True, real), (False, outputs))
            for number, images in enumerate(kind)
        ]
        discriminator = self.stepper.run(self.net_d, self.optimizer_d, self.scalers["d"], closures, len(real))
        self._finish_step([generator, discriminator], current_iter)
