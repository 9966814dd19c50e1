"""`python -m realesrgan`. 사진을 키우는 명령과 같다."""

from realesrgan.cli.image import run

if __name__ == "__main__":
    run()
