"""훈련의 빠르기를 BasicSR과 견준다. 재는 일은 `scripts/benchmark/training.py`에 있다."""

import sys
from pathlib import Path

# 설치하지 않은 소스 폴더에서도 돌아가게 한다.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.training import main

if __name__ == "__main__":
    sys.exit(main())
