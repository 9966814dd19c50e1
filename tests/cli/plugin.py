"""네트워크, 엔진, 단계를 하나씩 더하는 사용자의 파일."""

PLUGIN = """
from dataclasses import dataclass

import torch
from torch import nn

from realesrgan.inference.engines import torch as torch_engine
from realesrgan.inference.engines.base import EngineRow, register_engine
from realesrgan.inference.steps import register_step
from realesrgan.registry import ARCH_REGISTRY


@ARCH_REGISTRY.register()
class NearestNet(nn.Module):
    scale = 2

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, image):
        return nn.functional.interpolate(image * self.gain, scale_factor=2, mode="nearest")


@dataclass(frozen=True)
class Invert:
    amount: str
    margin: int = 0

    @property
    def text(self):
        return f"invert={self.amount}"

    def __call__(self, enlarged, source):
        return 1 - enlarged


def create(*arguments):
    engine = torch_engine.create(*arguments)
    engine.name = "mine"
    return engine


register_step("invert", Invert)
register_engine(EngineRow("mine", __name__))
"""
