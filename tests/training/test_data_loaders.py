"""작업자가 태어나는 때를 시험한다."""

import subprocess
import sys
import textwrap

import pytest

from tests.training.extra import require_training_extra

require_training_extra()


@pytest.mark.skipif(sys.platform == "win32", reason="윈도는 갈라지지(fork) 않는다")
def test_workers_start_after_opencv_has_used_its_threads():
    code = """
        import cv2, numpy as np
        from torch.utils.data import DataLoader, Dataset
        from realesrgan.training.data_loaders import start_workers

        class Blurred(Dataset):
            def __len__(self):
                return 4

            def __getitem__(self, index):
                return cv2.GaussianBlur(np.full((600, 600, 3), index, np.float32), (51, 51), 0).mean()

        cv2.setNumThreads(2)
        cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.float32), (51, 51), 0)
        loader = DataLoader(Blurred(), num_workers=2, multiprocessing_context="fork")
        for _ in range(2):
            print([round(float(value)) for value in start_workers(loader)], cv2.getNumThreads())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == ["[0, 1, 2, 3] 2"] * 2, done.stderr
