"""모델 표(model zoo). 이름과 체크포인트(checkpoint)의 대응은 여기 한 곳에만 있다."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from realesrgan.errors import UsageError

RELEASE_BASE = "https://github.com/xinntao/Real-ESRGAN/releases/download/"
GFPGAN_RELEASE_BASE = "https://github.com/TencentARC/GFPGAN/releases/download/"
DEFAULT_MODEL = "RealESRGAN_x4plus"
DEFAULT_VIDEO_MODEL = "realesr-animevideov3"


@dataclass(frozen=True)
class ModelSpec:
    """공식 체크포인트 하나.

    Attributes:
        name: 모델 이름. 파일 이름의 몸통이기도 하다.
        description: 한국어 설명 한 줄.
        arch: 네트워크 클래스 이름(`ARCH_REGISTRY`의 키).
        arch_args: 네트워크 생성자의 인자.
        scale: 업스케일 배율.
        release: 배포 페이지에서 파일이 있는 버전.
        size: 파일 크기(바이트). 모르면 None.
        sha256: 파일의 SHA-256. 모르면 None.
        ncnn: 가중치 패키지에 든 ncnn 파일의 몸통 이름. 없으면 None.
        denoise_partner: 잡음 제거 세기를 조절할 때 섞는 모델(DNI). 없으면 None.
        license: 가중치의 라이선스.
        base: 배포 페이지의 주소.
    """

    name: str
    description: str
    arch: str
    arch_args: Mapping[str, Any]
    scale: int
    release: str
    size: int | None = None
    sha256: str | None = None
    ncnn: str | None = None
    denoise_partner: str | None = None
    license: str = field(default="BSD-3-Clause")
    base: str = RELEASE_BASE

    @property
    def file_name(self) -> str:
        """체크포인트의 파일 이름."""
        return f"{self.name}.pth"

    @property
    def url(self) -> str:
        """체크포인트를 받을 주소."""
        return f"{self.base}{self.release}/{self.file_name}"


def _rrdb(num_block: int, scale: int = 4) -> Mapping[str, Any]:
    return MappingProxyType(
        {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 64, "num_block": num_block, "num_grow_ch": 32, "scale": scale}
    )


def _compact(num_conv: int) -> Mapping[str, Any]:
    return MappingProxyType(
        {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 64, "num_conv": num_conv, "upscale": 4, "act_type": "prelu"}
    )


_SPECS = (
    ModelSpec(
        name="RealESRGAN_x4plus",
        description="일반 사진용 4배 모델. 선명한 결과를 내는 기본 모델입니다.",
        arch="RRDBNet",
        arch_args=_rrdb(23),
        scale=4,
        release="v0.1.0",
        size=67040989,
        sha256="4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        ncnn="REALESRGAN_X4PLUS_UP4X",
    ),
    ModelSpec(
        name="RealESRNet_x4plus",
        description="일반 사진용 4배 모델. GAN 없이 훈련해 무늬를 지어내지 않지만 부드럽습니다.",
        arch="RRDBNet",
        arch_args=_rrdb(23),
        scale=4,
        release="v0.1.1",
    ),
    ModelSpec(
        name="RealESRGAN_x4plus_anime_6B",
        description="일러스트와 애니메이션용 4배 모델. 블록이 6개라 가볍습니다.",
        arch="RRDBNet",
        arch_args=_rrdb(6),
        scale=4,
        release="v0.2.2.4",
        size=17938799,
        sha256="f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
        ncnn="REALESRGAN_X4PLUSANIME_UP4X",
    ),
    ModelSpec(
        name="RealESRGAN_x2plus",
        description="일반 사진용 2배 모델.",
        arch="RRDBNet",
        arch_args=_rrdb(23, scale=2),
        scale=2,
        release="v0.2.1",
        sha256="49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
    ),
    ModelSpec(
        name="realesr-animevideov3",
        description="애니메이션 비디오용 4배 모델. 작고 빠릅니다.",
        arch="SRVGGNetCompact",
        arch_args=_compact(16),
        scale=4,
        release="v0.2.5.0",
        size=2504012,
        sha256="b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
        ncnn="REALESRGAN_ANIMAVIDEOV3_UP4X",
    ),
    ModelSpec(
        name="realesr-general-x4v3",
        description="일반 장면용 작은 4배 모델. -dn으로 잡음 제거 세기를 조절합니다.",
        arch="SRVGGNetCompact",
        arch_args=_compact(32),
        scale=4,
        release="v0.2.5.0",
        size=4885111,
        sha256="8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
        denoise_partner="realesr-general-wdn-x4v3",
    ),
    ModelSpec(
        name="realesr-general-wdn-x4v3",
        description="realesr-general-x4v3의 짝. 잡음을 약하게 지웁니다(DNI용).",
        arch="SRVGGNetCompact",
        arch_args=_compact(32),
        scale=4,
        release="v0.2.5.0",
    ),
)


def _face(name: str, description: str, arch: str, release: str, sha256: str | None = None) -> ModelSpec:
    size = 348632874 if arch == "GFPGAN" else None
    return ModelSpec(
        name, description, arch, {}, 1, release, size, sha256, license="Apache-2.0", base=GFPGAN_RELEASE_BASE
    )


# 얼굴을 고치는 네트워크. 키우는 모델이 아니므로 `MODELS`와 따로 둔다.
FACE_MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            _face(
                "GFPGANv1.4",
                "얼굴 복원(기본). 자연스럽습니다.",
                "GFPGAN",
                "v1.3.0",
                "e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
            ),
            _face("GFPGANv1.3", "얼굴 복원. 아주 흐린 얼굴에 강합니다.", "GFPGAN", "v1.3.0"),
            _face("RestoreFormer", "얼굴 복원. 주의(attention)로 무늬를 찾아 씁니다.", "RestoreFormer", "v1.3.4"),
        )
    }
)
# 얼굴을 찾는 공식 네트워크. 내려받지 않고, 사용자가 가졌을 때만 쓴다.
FACE_DETECTOR = ModelSpec(
    name="detection_Resnet50_Final",
    description="얼굴 찾기(RetinaFace).",
    arch="RetinaFace",
    arch_args={},
    scale=1,
    release="v0.1.0",
    size=109497761,
    sha256="6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
    license="MIT",
    base="https://github.com/xinntao/facexlib/releases/download/",
)
MODELS: Mapping[str, ModelSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})


def get_model(name: str) -> ModelSpec:
    """이름으로 모델을 찾는다. 끝에 붙은 `.pth`는 무시한다.

    Raises:
        UsageError: 그런 모델이 없을 때. 메시지에 가까운 이름과 전체 목록을 담는다.
    """
    import difflib

    key = name.removesuffix(".pth")
    if key in MODELS:
        return MODELS[key]
    near = difflib.get_close_matches(key, MODELS, n=1, cutoff=0.4)
    hint = f" 혹시 '{near[0]}'입니까?" if near else ""
    raise UsageError(
        f"모르는 모델입니다: {name}.{hint}\n"
        f"  쓸 수 있는 이름: {', '.join(MODELS)}\n"
        "  직접 훈련한 가중치는 --model_path로 지정하세요."
    )


def list_models(pattern: str = "*") -> list[str]:
    """이름이 무늬에 맞는 모델들의 이름을 표의 차례로 돌려준다.

    Args:
        pattern: `*anime*` 같은 셸의 무늬. 대소문자를 가리지 않는다.

    예:
        >>> import realesrgan
        >>> realesrgan.list_models("*anime*")
        ['RealESRGAN_x4plus_anime_6B', 'realesr-animevideov3']
    """
    import fnmatch

    return [name for name in MODELS if fnmatch.fnmatchcase(name.casefold(), pattern.casefold())]
