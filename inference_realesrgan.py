"""사진을 키우는 명령. `realesrgan`, `python -m realesrgan`과 같다."""

import sys

from realesrgan.cli.image import main

if __name__ == "__main__":
    sys.exit(main())
