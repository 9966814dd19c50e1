"""내보낼 생성자(generator)를 이름이나 파일에서 싣는다."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from realesrgan.archs import RRDBNet, SRVGGNetCompact
from realesrgan.zoo.convert import locate_weights
from realesrgan.zoo.models import MODELS
from realesrgan.zoo.weights import load_weights, network_for


@dataclass(frozen=True)
class Generator:
    """실은 생성자 하나.

    Attributes:
        network: CPU의 fp32 네트워크. `(N, 3, H, W)`를 `(N, 3, H*scale, W*scale)`로 키운다.
        name: 모델 이름. 파일에서 실었으면 파일 이름의 몸통이다.
        scale: 업스케일 배율.
        multiple: 입력의 두 변이 맞춰야 하는 배수.
        license: 가중치의 라이선스. 모르면 빈 글이다.
        source: 가중치 파일.
    """

    network: nn.Module
    name: str
    scale: int
    multiple: int
    license: str
    source: Path

    def metadata(self, precision: str) -> dict[str, str]:
        """내보낸 파일에 적을 글자들."""
        return {
            "model": self.name,
            "architecture": type(self.network).__name__,
            "scale": str(self.scale),
            "size_multiple": str(self.multiple),
            "precision": precision,
            "license": self.license,
            "input": "RGB, NCHW float32, 0..1, height and width multiples of size_multiple",
            "output": "RGB, NCHW float32, clamp to 0..1",
        }


def load_generator(wanted: str, params_key: str | None = None, act_type: str | None = None) -> Generator:
    """모델 이름, 가중치 파일, 주소에서 생성자를 싣는다.

    Args:
        wanted: 모델 표의 이름이거나 `.pth`, `.safetensors`의 경로나 주소.
        params_key: 체크포인트에서 고를 키. 없으면 EMA가 앞선다.
        act_type: SRVGGNetCompact의 활성화 함수. 텐서에서 알 수 없을 때만 필요하다.

    Raises:
        WeightsError: 찾거나 읽거나 알아볼 수 없을 때.
    """
    spec, file = locate_weights(wanted)
    loaded = load_weights(file, params_key)
    network = network_for(loaded, file, spec=spec, act_type=act_type)
    known = spec or MODELS.get(loaded.metadata.get("model", ""))
    license_name = loaded.metadata.get("license", known.license if known else "")
    if not isinstance(network, (RRDBNet, SRVGGNetCompact)):
        raise TypeError(f"배율을 알 수 없는 네트워크입니다: {type(network).__name__}")
    name = known.name if known else file.stem
    return Generator(network, name, network.scale, network.size_multiple, license_name, file)
