"""설치 스크립트. 도구 설정은 `pyproject.toml`에 있다."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def read_version() -> str:
    """패키지를 불러오지 않고 버전 상수를 읽는다."""
    text = (HERE / "realesrgan" / "version.py").read_text(encoding="utf-8")
    found = re.search(r'__version__ = "([^"]+)"', text)
    if found is None:
        raise RuntimeError("realesrgan/version.py에서 __version__을 찾지 못했습니다.")
    return found.group(1)


def read_requirements() -> list[str]:
    """`requirements.txt`의 패키지 이름을 읽는다. 두 곳에 따로 적어 어긋나는 일을 막는다."""
    lines = (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


EXTRAS = {
    "heic": ["pillow-heif>=1.0"],
    # torch를 먼저 설치한 뒤 `--no-build-isolation`으로 설치한다(basicsr의 설치가 torch를 부른다).
    # msgspec(BSD-3)은 옵션의 선언을 검사하고 편집기의 스키마를 만든다. 딸린 패키지가 없다.
    "training": ["basicsr==1.4.2", "msgspec>=0.19", "scipy>=1.11", "torchvision>=0.25"],
    "export": ["onnx>=1.17", "onnxruntime>=1.20"],
    "openvino": ["openvino>=2025.0"],
    # 이 프로젝트의 것이 아닌 초해상도 네트워크 40여 가지. torchvision도 함께 설치된다.
    "spandrel": ["spandrel>=0.4"],
    # 휴대전화의 런타임들. 파일을 만들고 그 런타임으로 견준다. 딸린 패키지가 많아(수백 MB) 저마다 따로 둔다.
    # 그 파이썬 버전의 wheel이 아직 없으면 pip가 설치하지 못하고, 그 런타임의 내보내기만 쓸 수 없다.
    "executorch": ["executorch>=1.0"],  # BSD-3
    "litert": ["litert-torch>=0.8"],  # Apache-2.0. ai-edge-litert, ai-edge-quantizer가 함께 온다
    "coreml": ["coremltools>=9.0"],  # BSD-3
    "mobile": ["executorch>=1.0", "litert-torch>=0.8", "coremltools>=9.0"],
    # 얼굴을 고치는 네트워크(GFPGAN, RestoreFormer). 얼굴을 찾는 것은 이 패키지에 들어 있다.
    "face": ["spandrel>=0.4"],
    # 화면(Apache-2.0). 사진과 비디오를 브라우저에서 키운다.
    "web": ["gradio>=6.0"],
    # 화면을 진짜 브라우저로 보는 시험(Apache-2.0, MIT와 MPL-2.0의 axe-core). 브라우저는 운영체제의 크로미움이다. 이름에
    # 밑줄을 두지 않는다. 새 setuptools는 그것을 줄표로 적고, 옛 pip는 그 둘을 다른 이름으로 보아 조용히 빠뜨린다.
    "webtest": ["axe-playwright-python>=0.1.8", "playwright>=1.50"],
    # onnx, onnxruntime, lmdb는 작아서 시험에 함께 넣는다. openvino(180MB)는 있을 때만 시험한다.
    # 검사의 결과가 날마다 달라지지 않도록 도구의 버전을 묶는다. 시험에는 필요 없다.
    "dev": [
        "msgspec>=0.19",  # mypy가 옵션의 선언을 따라간다
        "mypy==2.4.1",
        "ruff==0.17.6",
        "types-PyYAML==6.0.12.20261122",
        "types-psutil==7.2.2.20261111",
        "types-tqdm==4.70.0.20261106",
    ],
    "test": [
        "hypothesis>=6.100",
        "jsonschema>=4.20",  # 옵션의 스키마를 옵션 파일에 견주는 시험
        "imageio-ffmpeg>=0.5",  # 비디오의 시험을 따로 판단하는 ffmpeg 프로그램
        "lmdb>=1.4",
        "onnx>=1.17",
        "onnxruntime>=1.20",
        "pillow-heif>=1.0",
        "pytest>=8",
        "pytest-xdist>=3.5",
    ],
}

setup(
    name="realesrgan",
    version=read_version(),
    description="실세계 사진과 비디오의 블라인드 초해상도(Real-ESRGAN)",
    long_description=(HERE / "README_KR.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="BSD-3-Clause",
    python_requires=">=3.10",
    package_data={
        "realesrgan.face": ["mtcnn.safetensors", "mtcnn_license.txt"],
        "realesrgan.web": ["static/*"],
    },
    packages=find_packages(include=["realesrgan", "realesrgan.*"]),
    install_requires=read_requirements(),
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "realesrgan=realesrgan.cli.image:run",
            "realesrgan-video=realesrgan.cli.video:run",
            "realesrgan-web=realesrgan.cli.web:run",
        ]
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Operating System :: OS Independent",
        "Natural Language :: Korean",
    ],
)
