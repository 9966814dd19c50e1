"""비디오를 키우는 명령. `realesrgan-video`와 같다."""

from realesrgan.cli.video import run

if __name__ == "__main__":
    run()
