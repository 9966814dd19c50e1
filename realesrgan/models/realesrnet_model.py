"""첫 단계 모델 RealESRNet: 픽셀 손실로만 훈련한다."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from realesrgan.basicsr_bridge import MODEL_REGISTRY
from realesrgan.models.stepper import Losses, at_least_float32
from realesrgan.models.training_model import TrainingModel


@MODEL_REGISTRY.register()
class RealESRNetModel(TrainingModel):
    """열화를 합성하며 생성자를 L1 손실로 훈련하는 모델. Real-ESRGAN 3.4절의 첫 단계.

    `gt_usm`이 참이면 선명화한 GT를 열화시키고 그것을 정답으로 삼는다. 짝 자료(`high_order_degradation: false`)의 정답은
    원본처럼 선명화하지 않는다.
    """

    outputs: list[Tensor]

    @torch.no_grad()
    def feed_data(self, data: Mapping[str, Any]) -> None:
        """배치를 받아 LQ와 GT를 준비한다. 합성하는 훈련이면 `gt`와 커널을, 짝 자료면 `lq`와 `gt`를 쓴다."""
        if self.synthesises:
            lq, gt = self._synthesise(data, bool(self.opt.get("gt_usm", True)), keep_sharp=True)
        else:
            lq, gt = self._paired(data)
        self._keep(lq, gt)

    def _losses(self, iteration: int, lq: Tensor, gt: Tensor) -> Losses:
        output = at_least_float32(self.net_g(lq))
        self.outputs.append(output.detach())
        losses: Losses = {}
        if self.cri_pix is not None:
            losses["l_pix"] = self.cri_pix(output, gt)
        if self.cri_perceptual is not None:
            found = zip(("l_percep", "l_style"), self.cri_perceptual(output, gt), strict=True)
            losses |= {name: value for name, value in found if value is not None}
        if self.loss_entries:
            sharp = self.usm_sharpener(gt) if self._needs_sharp() else gt
            losses |= self._listed_losses(output, lq, {"gt": gt, "gt_usm": sharp}, iteration)
        return losses

    def _needs_sharp(self) -> bool:
        # 합성하며 선명화한 정답을 쓰는 훈련에서는 정답이 이미 선명하다.
        already = self.synthesises and bool(self.opt.get("gt_usm", True))
        return not already and any(one.target == "gt_usm" for one in self.loss_entries)

    def optimize_parameters(self, current_iter: int) -> None:
        """한 걸음 나아간다.

        Raises:
            NonFiniteLossError: 손실이 잇달아 너무 많이 유한하지 않을 때.
        """
        parts = self.stepper.split(self.lq, self.gt)
        closures = [functools.partial(self._losses, current_iter, *part) for part in parts]
        self.outputs = []
        result = self.stepper.run(self.net_g, self.optimizer_g, self.scalers["g"], closures, len(parts))
        self.output = torch.cat(self.outputs) if len(self.outputs) > 1 else self.outputs[0]
        self._finish_step([result], current_iter)
