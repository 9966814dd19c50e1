"""`python -m realesrgan`. 사진을 키우는 명령과 같다."""

import sys

from realesrgan.cli.image import main

if __name__ == "__main__":
    sys.exit(main())
