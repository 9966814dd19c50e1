"""이름 있는 예외들. 메시지는 무슨 일이, 왜, 어떻게 하면 되는지를 한국어로 말한다."""

from __future__ import annotations


class RealESRGANError(Exception):
    """이 패키지가 사용자에게 알리는 모든 오류의 바탕."""


class UsageError(RealESRGANError):
    """명령이나 인자를 잘못 썼을 때. 명령줄에서는 종료 코드 2가 된다."""


class PluginError(UsageError):
    """사용자가 가리킨 플러그인(plugin) 파일이 없거나 불러오는 동안 오류가 났을 때."""


class InvalidValueError(UsageError, ValueError):
    """함수에 준 값을 쓸 수 없을 때(모양이 다른 배열, 0 이하의 배율 등)."""


class WeightsError(RealESRGANError):
    """가중치(weights) 파일을 읽거나 네트워크에 넣을 수 없을 때."""


class WeightsNotFoundError(WeightsError, FileNotFoundError):
    """가중치 파일이 어디에도 없고 내려받지도 못했을 때."""


class DownloadError(WeightsError, OSError):
    """내려받기가 실패했거나 받은 파일이 기대한 해시와 다를 때."""


class ImageReadError(RealESRGANError):
    """이미지 파일을 읽을 수 없을 때(없음, 잘림, 이미지가 아님, 지원하지 않는 형식)."""


class ImageTooLargeError(ImageReadError):
    """결과의 픽셀 수가 허용 한도를 넘을 때(압축 폭탄(decompression bomb) 방지)."""


class ImageWriteError(RealESRGANError):
    """이미지 파일을 쓸 수 없을 때(권한, 디스크 가득 참, 형식의 한계)."""


class DeviceError(RealESRGANError):
    """요청한 장치(device)나 정밀도(precision)를 쓸 수 없을 때."""


class OutOfMemoryError(RealESRGANError):
    """타일을 가장 작게 줄여도 장치 메모리가 모자랄 때."""


class NotStreamableError(RealESRGANError):
    """띠로 이어 돌릴(streaming) 수 없는 네트워크일 때. 메시지가 까닭을 말한다."""


class NonFiniteOutputError(RealESRGANError):
    """단정밀도(fp32)로 다시 계산해도 결과에 NaN이나 Inf가 있을 때."""

    def __init__(
        self,
        message: str = "네트워크의 출력에 NaN이나 Inf가 있어 이미지를 만들 수 없습니다.\n"
        "  단정밀도(fp32)로 다시 계산해도 마찬가지이니 가중치 파일이 손상되었거나 훈련이 발산한 것입니다.\n"
        "  해결: 다른 가중치를 쓰거나 파일을 다시 받으세요.",
    ) -> None:
        super().__init__(message)


class ReportError(RealESRGANError):
    """보고서 파일을 쓸 수 없을 때."""


class MissingPackageError(RealESRGANError, ImportError):
    """고를 수 있는 기능(내보내기, 지표 등)에 필요한 패키지가 설치되어 있지 않을 때."""


class EvaluationError(RealESRGANError):
    """지표를 재거나 견줄 이미지를 짝지을 수 없을 때."""


class ExportError(RealESRGANError):
    """네트워크를 다른 형식으로 내보낼 수 없거나, 내보낸 것이 본래와 다를 때."""


class BenchmarkError(RealESRGANError):
    """빠르기를 재는 프로세스를 띄우지 못했거나 그것이 실패했을 때."""


class TrainingError(RealESRGANError):
    """훈련(training)에서 사용자에게 알리는 오류의 바탕."""


class TrainingDependencyError(TrainingError, ImportError):
    """훈련에 필요한 패키지(BasicSR, torchvision 등)가 없을 때."""


class OptionError(TrainingError, UsageError):
    """옵션 파일이나 `--force_yml`에 모르는 키나 잘못된 값이 있을 때."""


class DatasetError(TrainingError):
    """데이터셋(dataset)을 열 수 없거나 읽지 못한 이미지가 허용치를 넘을 때."""


class DatasetValueError(DatasetError, ValueError):
    """데이터셋에 준 값을 쓸 수 없을 때(lmdb 폴더의 이름 등). 원본처럼 `ValueError`이기도 하다."""


class CheckpointError(TrainingError):
    """체크포인트(checkpoint)가 없거나 깨졌거나 이 훈련과 맞지 않을 때."""


class NonFiniteLossError(TrainingError):
    """손실(loss)이 여러 번 잇달아 NaN이나 Inf일 때."""


class VideoError(RealESRGANError):
    """비디오를 읽고 쓰는 오류의 바탕."""


class VideoDependencyError(VideoError, ImportError):
    """비디오를 다루는 패키지(PyAV)가 없을 때."""


class VideoReadError(VideoError):
    """비디오를 읽을 수 없을 때(없음, 비디오가 아님, 지원하지 않는 코덱, 프레임 없음)."""


class VideoDamagedError(VideoReadError):
    """비디오가 잘렸거나 깨졌을 때. 성한 프레임을 다 내준 뒤에 일어난다."""


class VideoFormatError(VideoError):
    """청한 코덱이나 픽셀 형식, 묶음 형식을 쓸 수 없을 때."""


class VideoWriteError(VideoError):
    """비디오를 쓸 수 없을 때(권한, 디스크 가득 참, 부호기의 오류)."""
