"""순수 PyTorch 네트워크. 이 패키지를 불러오면 모두 `ARCH_REGISTRY`에 등록된다."""

from realesrgan.archs.discriminator_arch import UNetDiscriminatorSN
from realesrgan.archs.rrdbnet_arch import RRDBNet
from realesrgan.archs.srvgg_arch import SRVGGNetCompact

__all__ = ["RRDBNet", "SRVGGNetCompact", "UNetDiscriminatorSN"]
