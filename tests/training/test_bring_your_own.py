"""`options/bring_your_own.md`의 코드와 옵션을 그대로 돌린다."""

import re

import pytest
import yaml

from tests.conftest import ROOT
from tests.data.recipe import DEGRADATION
from tests.training.extra import require_training_extra
from tests.training.test_features import held
from tests.training.test_resume import local

require_training_extra()

import torch  # noqa: E402

from realesrgan.training.api import train  # noqa: E402

PAGE = (ROOT / "options/bring_your_own.md").read_text(encoding="utf-8")
FILES = re.findall(r"```python\n# (\w+\.py)\n(.*?)```\n\n```yaml\n(.*?)```", PAGE, re.DOTALL)


def merged(options, changes):
    """블록은 합치고 값은 덮는다."""
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(options.get(key), dict) and "type" not in value
        options[key] = merged(options[key], value) if both else value
    return options


def test_every_kind_is_on_the_page():
    assert [name for name, _, _ in FILES] == [
        "my_dataset.py",
        "my_arch.py",
        "my_model.py",
        "my_loss.py",
        "my_metric.py",
    ]
    assert "bring_your_own.md" in (ROOT / "README_KR.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "code", "block"), FILES, ids=[name for name, _, _ in FILES])
def test_one_file_is_enough(tmp_path, name, code, block):
    plugin = tmp_path / name
    plugin.write_text(code, encoding="utf-8")
    options = merged(held(local(tmp_path)), yaml.safe_load(block))
    if name == "my_dataset.py":
        for key in (*DEGRADATION, "val"):
            del options[key]
        del options["datasets"]["val"]
    seen = []
    result = train(options, plugins=[plugin], root=tmp_path, progress=lambda now: seen.append(dict(now.losses)))
    assert result.complete and all(0 < value < 10 for losses in seen for value in losses.values())
    if name == "my_arch.py":
        assert torch.load(result.weights, weights_only=True)["params"]["first.weight"].shape[0] == 8
    if name == "my_loss.py":
        assert ["l_EdgeLoss" in losses for losses in seen] == [False, True, True, True]
    if name == "my_metric.py":
        assert 0 < result.metrics["held"]["error"] < 255
