"""파이썬에서 훈련한다: `realesrgan.train(...)`."""

import copy
import doctest
import logging
import shutil
import subprocess
import sys
import textwrap

import pytest
import yaml

from tests.training.extra import require_training_extra
from tests.training.tiny_run import ROOT, call_train, environment, network, same_tensors, tiny_options, write_options

require_training_extra()

import torch  # noqa: E402

import realesrgan as sr  # noqa: E402
from realesrgan.errors import OptionError, PluginError, UsageError  # noqa: E402
from realesrgan.training.api import train  # noqa: E402

PROJECT_ARCH = """
import torch
from realesrgan.registry import ARCH_REGISTRY

@ARCH_REGISTRY.register()
class {name}(torch.nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.first = torch.nn.Conv2d(3, width, 3, 1, 1)
        self.last = torch.nn.Conv2d(width, 48, 3, 1, 1)

    def checkpointed_blocks(self):
        return [self.first]

    def forward(self, x):
        return torch.nn.functional.pixel_shuffle(self.last(torch.relu(self.first(x))), 4)
"""
BASICSR_ARCH = PROJECT_ARCH.replace("realesrgan.registry", "basicsr.utils.registry")


def with_validation(folder):
    options = tiny_options(folder)
    options["datasets"]["val"] = {
        "name": "held",
        "type": "RealESRGANDegradedDataset",
        "dataroot_gt": str(folder / "gt"),
        "io_backend": {"type": "disk"},
    }
    options["val"] = {"val_freq": 2, "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 4}}}
    return options


def test_a_mapping_trains_and_stays_unchanged(tmp_path):
    options = with_validation(tmp_path)
    before = copy.deepcopy(options)
    seen = []
    result = train(options, overrides={"train:total_iter": 3}, root=tmp_path, progress=seen.append)
    assert options == before
    assert result.weights == tmp_path / "experiments/tiny/models/net_g_latest.pth" and result.weights.is_file()
    assert result.folder == tmp_path / "experiments/tiny"
    assert (result.iterations, result.complete) == (3, True)
    assert 0 < result.metrics["held"]["psnr"] < 60
    assert [(one.iteration, one.total) for one in seen] == [(1, 3), (2, 3), (3, 3)]
    assert all(one.losses["l_pix"] > 0 and one.waited >= 0 for one in seen)
    written = (result.folder / "tiny.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(written) == before and "train:total_iter=3" in written


def test_it_can_be_called_again_and_leaves_nothing_behind(tmp_path):
    logger = logging.getLogger("basicsr")
    before = (list(logger.handlers), logger.level, torch.backends.cudnn.benchmark)
    path = write_options(tmp_path, tiny_options(tmp_path))
    first = train(path, root=tmp_path / "one")
    second = train(str(path), root=tmp_path / "two")
    assert (list(logger.handlers), logger.level, torch.backends.cudnn.benchmark) == before
    assert not torch.distributed.is_initialized()
    for result in (first, second):
        (log,) = result.folder.glob("train_tiny_*.log")
        assert "iter:       4" in log.read_text(encoding="utf-8")
    one, two = (torch.load(result.weights, weights_only=True) for result in (first, second))
    assert same_tensors(one, two)


def test_the_command_gives_the_same_weights(tmp_path):
    path = write_options(tmp_path, tiny_options(tmp_path))
    code, errors = call_train(tmp_path)
    assert code == 0 and "반복 4/" in errors
    result = train(path, root=tmp_path / "api")
    assert same_tensors(network(tmp_path, "net_g_latest.pth"), torch.load(result.weights, weights_only=True))


def test_progress_stops_and_the_run_can_go_on(tmp_path):
    options = tiny_options(tmp_path)
    whole = train(options, root=tmp_path / "whole")
    stopped = train(options, root=tmp_path / "parted", progress=lambda now: now.iteration < 3)
    assert (stopped.iterations, stopped.complete) == (3, False)
    assert stopped.weights.is_file() and (stopped.folder / "training_states/3.state").is_file()
    rest = train(options, root=tmp_path / "parted", auto_resume=True)
    assert (rest.iterations, rest.complete) == (4, True)
    one, two = (torch.load(result.weights, weights_only=True) for result in (whole, rest))
    assert same_tensors(one, two)


def test_errors_are_named_and_clean_up(tmp_path):
    logger = logging.getLogger("basicsr")
    handlers = list(logger.handlers)
    with pytest.raises(OptionError, match="total_iter"):
        train(tiny_options(tmp_path), overrides={"train:total_itre": 3}, root=tmp_path)
    with pytest.raises(OptionError, match="nowhere"):
        train(tmp_path / "nowhere.yml")
    with pytest.raises(UsageError, match="launcher"):
        train(tiny_options(tmp_path), launcher="mpi")
    with pytest.raises(PluginError, match=r"none\.py"):
        train(tiny_options(tmp_path), plugins=[tmp_path / "none.py"], root=tmp_path)

    def fail(_now):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(tiny_options(tmp_path), root=tmp_path, progress=fail)
    assert logger.handlers == handlers


@pytest.mark.parametrize(("name", "text"), [("ProjectPluginNet", PROJECT_ARCH), ("BasicSRPluginNet", BASICSR_ARCH)])
def test_a_network_in_one_file_trains(tmp_path, name, text):
    """어느 등록부에 올렸든 명령과 파이썬에서 함께 쓸 수 있다."""
    plugin = tmp_path / "my_arch.py"
    plugin.write_text(text.format(name=name), encoding="utf-8")
    options = tiny_options(tmp_path)
    options["network_g"] = {"type": name, "width": 6}
    options["train"] |= {"total_iter": 2, "grad_checkpoint": True}
    write_options(tmp_path, options)
    code, errors = call_train(tmp_path)
    assert code == 2 and name in errors
    code, errors = call_train(tmp_path, "--plugin", str(plugin))
    assert code == 0, errors
    assert network(tmp_path, "net_g_latest.pth")["params"]["first.weight"].shape[0] == 6
    assert train(options, plugins=[plugin], root=tmp_path / "api").complete

    from realesrgan.registry import ARCH_REGISTRY

    assert ARCH_REGISTRY.get(name).__name__ == name


def test_plugins_in_the_environment_train_in_a_fresh_process(tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/my_arch.py").write_text(PROJECT_ARCH.format(name="EnvironmentNet"), encoding="utf-8")
    options = tiny_options(tmp_path)
    options["network_g"] = {"type": "EnvironmentNet"}
    options["train"]["total_iter"] = 2
    write_options(tmp_path, options)
    command = [sys.executable, str(ROOT / "realesrgan/train.py"), "-opt", "tiny.yml"]
    extra = environment(REALESRGAN_PLUGINS=str(tmp_path / "plugins"))
    done = subprocess.run(command, cwd=tmp_path, env=extra, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "net_g_latest.pth" in done.stdout


def test_the_example_of_the_docstring_runs(tmp_path, monkeypatch):
    for name in ("inputs", "options"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    tests = doctest.DocTestFinder().find(train, "train", globs={})
    assert sum(len(test.examples) for test in tests) >= 3
    assert not any(doctest.DocTestRunner().run(test).failed for test in tests)


STOPPING = """
import os, sys
import realesrgan as sr

def watch(now):
    return now.iteration < 2

first = os.environ["RANK"] == "0"
result = sr.train(sys.argv[1], launcher="pytorch", root=sys.argv[2], progress=watch if first else None)
assert (result.iterations, result.complete) == (2, False)
again = sr.train(sys.argv[1], launcher="pytorch", root=sys.argv[2], auto_resume=True)
assert (again.iterations, again.complete) == (4, True)
"""


def test_one_process_stops_all_and_training_can_go_on_in_the_same_processes(tmp_path):
    options = tiny_options(tmp_path)
    options["datasets"]["train"]["batch_size_per_gpu"] = 1
    path = write_options(tmp_path, options)
    (tmp_path / "stop.py").write_text(STOPPING, encoding="utf-8")
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone")
    command = [sys.executable, *launcher, str(tmp_path / "stop.py"), str(path), str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]


ORDERS = {
    "function": "import realesrgan as sr\n",
    "module first": "import realesrgan.train\nimport realesrgan as sr\n",
    "function, then module": "import realesrgan as sr\nsr.train\nfrom realesrgan.train import main\n",
    "from": "import types\nfrom realesrgan import train\nsr = types.SimpleNamespace(train=train)\n",
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_function_and_the_module_of_one_name(tmp_path, order):
    write_options(tmp_path, tiny_options(tmp_path))
    code = ORDERS[order] + textwrap.dedent(
        """
        try:
            sr.train("nowhere.yml")
        except Exception as error:
            print(type(error).__name__)
        from realesrgan.train import main
        import realesrgan
        print(callable(realesrgan.train), callable(main), main(["-opt", "nowhere.yml"]))
        """
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["OptionError", "True", "True", "2"], done.stderr


def test_the_package_names_it():
    assert "train" in dir(sr) and callable(sr.train)
    code = "import sys, realesrgan as sr; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert done.stdout.strip() == "False"
