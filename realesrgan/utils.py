"""예전 자리에서 불러 쓰는 코드를 위한 이름. 새 코드는 `from realesrgan import RealESRGANer`를 쓴다."""

from realesrgan.inference.realesrganer import RealESRGANer
from realesrgan.inference.threads import IOConsumer, PrefetchReader

__all__ = ["IOConsumer", "PrefetchReader", "RealESRGANer"]
