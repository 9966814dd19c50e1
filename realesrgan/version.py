"""패키지 버전. 설치 스크립트가 패키지를 불러오지 않고 읽을 수 있도록 상수만 둔다."""

__version__ = "0.4.0"
# 원본의 이름. 저장소의 해시를 심지 않으므로 늘 같다.
__gitsha__ = "unknown"
version_info = tuple(int(part) for part in __version__.split("."))
