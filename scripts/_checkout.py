"""불러오면 이 소스 폴더가 검색 경로의 맨 앞에 놓인다. 설치하지 않은 소스에서도 명령이 돌아가게 한다."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
