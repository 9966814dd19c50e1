import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from tests.training.extra import require_training_extra

require_training_extra()

from basicsr.archs import build_network  # noqa: E402
from basicsr.utils import DiffJPEG  # noqa: E402
from basicsr.utils.img_process_util import USMSharp, filter2D  # noqa: E402

from realesrgan import basicsr_bridge as bridge  # noqa: E402
from realesrgan.registry import ARCH_REGISTRY as PROJECT_ARCHS  # noqa: E402


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "options",
    [
        {"type": "RRDBNet", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1, "num_grow_ch": 4},
        {"type": "SRVGGNetCompact", "num_feat": 8, "num_conv": 1},
        {"type": "UNetDiscriminatorSN", "num_in_ch": 3, "num_feat": 8},
    ],
)
def test_build_network_gives_the_project_class(options):
    network = build_network(options)
    assert type(network) is PROJECT_ARCHS.get(options["type"])
    assert type(network).__module__.startswith("realesrgan.archs")


def test_basicsr_convention_registers_a_new_arch():
    @bridge.ARCH_REGISTRY.register()
    class BridgeTestNet(torch.nn.Module):
        pass

    assert isinstance(build_network({"type": "BridgeTestNet"}), BridgeTestNet)


def test_each_registry_sees_the_archs_of_the_other():
    @bridge.ARCH_REGISTRY.register()
    class OnlyInBasicSR(torch.nn.Module):
        pass

    assert PROJECT_ARCHS.get("OnlyInBasicSR") is OnlyInBasicSR and "OnlyInBasicSR" in PROJECT_ARCHS
    assert dict(iter(PROJECT_ARCHS))["OnlyInBasicSR"] is OnlyInBasicSR

    @PROJECT_ARCHS.register()
    class OnlyInProject(torch.nn.Module):
        pass

    # BasicSR에 이미 있는 이름도 이 패키지의 등록부에는 새로 올릴 수 있고, 그것이 앞선다.
    @PROJECT_ARCHS.register()
    class EDSR(torch.nn.Module):
        pass

    bridge.sync_archs()
    assert isinstance(build_network({"type": "OnlyInProject"}), OnlyInProject)
    assert isinstance(build_network({"type": "EDSR"}), EDSR) and PROJECT_ARCHS.get("EDSR") is EDSR


def test_sync_archs_is_idempotent():
    before = dict(iter(bridge.ARCH_REGISTRY))
    bridge.sync_archs()
    assert dict(iter(bridge.ARCH_REGISTRY)) == before


def test_filter2d_accepts_channels_last():
    image = torch.rand(2, 3, 24, 20)
    kernel = torch.rand(2, 5, 5)
    expected = filter2D(image, kernel)
    torch.testing.assert_close(filter2D(image.to(memory_format=torch.channels_last), kernel), expected)
    last = image.repeat(1, 1, 3, 3).to(memory_format=torch.channels_last)
    torch.testing.assert_close(USMSharp()(last), USMSharp()(last.contiguous()))


def test_diffjpeg_leaves_the_quality_alone():
    quality = torch.tensor([40.0, 70.0])
    DiffJPEG(differentiable=False)(torch.rand(2, 3, 16, 16), quality=quality)
    assert quality.tolist() == [40.0, 70.0]


def test_import_keeps_numpy_error_settings():
    out = run_python(
        """
        import numpy as np
        before = np.geterr()
        import realesrgan.basicsr_bridge
        print(np.geterr() == before)
        """
    )
    assert out.strip().splitlines()[-1] == "True"
    assert np.geterr()["divide"] == "warn"


def test_missing_basicsr_is_a_named_error():
    out = run_python(
        """
        import importlib.util
        found = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *rest: None if name == "basicsr" else found(name, *rest)
        try:
            import realesrgan.basicsr_bridge
        except ImportError as error:
            print(type(error).__name__, "basicsr" in str(error), "해결" in str(error))
        """
    )
    assert out.split() == ["TrainingDependencyError", "True", "True"]


def test_inference_side_never_imports_training():
    out = run_python(
        """
        import sys
        import realesrgan, realesrgan.archs, realesrgan.inference, realesrgan.zoo, realesrgan.media, realesrgan.registry
        print([name for name in ("basicsr", "torchvision", "scipy", "realesrgan.training") if name in sys.modules])
        """
    )
    assert out.strip() == "[]"


def test_code_of_others_imports_basicsr_after_this_package():
    """GFPGAN과 facexlib이 맨 위에서 불러오는 것들. 이 패키지의 훈련 쪽은 불러오지 않는다."""
    out = run_python(
        """
        import sys
        import realesrgan
        assert "torchvision" not in sys.modules and "realesrgan.basicsr_bridge" not in sys.modules
        from basicsr.utils.download_util import load_file_from_url
        from torchvision.transforms.functional_tensor import rgb_to_grayscale
        from torchvision.transforms import functional
        import realesrgan.util.optional as hook
        hook.install_torchvision_finder()
        finders = [finder for finder in sys.meta_path if isinstance(finder, hook.TorchvisionFinder)]
        print(rgb_to_grayscale is functional.rgb_to_grayscale, len(finders), "realesrgan.basicsr_bridge" in sys.modules)
        """
    )
    assert out.split() == ["True", "1", "False"]


def test_module_that_torchvision_still_has_is_left_alone(monkeypatch):
    from importlib.machinery import ModuleSpec, PathFinder

    from realesrgan.util.optional import _MISSING, TorchvisionFinder

    finder = TorchvisionFinder()
    assert finder.find_spec("json") is None and finder.find_spec(_MISSING, []).loader is finder
    monkeypatch.setattr(PathFinder, "find_spec", lambda name, path=None, target=None: ModuleSpec(name, None))
    assert finder.find_spec(_MISSING, []) is None
