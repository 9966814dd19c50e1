"""영상을 키우는 명령. `realesrgan-video`와 같다."""

import sys

from realesrgan.cli.video import main

if __name__ == "__main__":
    sys.exit(main())
