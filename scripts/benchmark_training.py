"""훈련의 빠르기를 BasicSR과 견준다. 재는 일은 `scripts/benchmark/training.py`에 있다."""

import sys

import _checkout  # noqa: F401  이 소스 폴더를 먼저 찾게 한다
from benchmark.training import main

if __name__ == "__main__":
    sys.exit(main())
