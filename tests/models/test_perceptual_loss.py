import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from tests.training.extra import require_training_extra

require_training_extra()

from basicsr.losses import build_loss  # noqa: E402
from torchvision.models import vgg11  # noqa: E402

from realesrgan.errors import DownloadError, OptionError, WeightsError, WeightsNotFoundError  # noqa: E402
from realesrgan.models import perceptual_loss as P  # noqa: E402


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    torch.manual_seed(0)
    network = vgg11(weights=None)
    path = tmp_path_factory.mktemp("vgg") / "vgg11.pth"
    # 쓰지 않는 분류기(classifier)는 커서 빼지만, 키의 모양은 torchvision의 것이다.
    torch.save({k: v for k, v in network.state_dict().items() if k.startswith("features")}, path)
    return path, network


def make(path, **changes):
    options = {
        "type": "PerceptualLoss",
        "layer_weights": {"conv1_1": 0.1, "conv2_1": 1.0},
        "vgg_type": "vgg11",
        "path": str(path),
    }
    return build_loss(options | changes)


def test_features_match_torchvision(vgg_file):
    path, network = vgg_file
    image = torch.rand(1, 3, 32, 32)
    mean, std = torch.tensor(P.IMAGENET_MEAN).view(1, 3, 1, 1), torch.tensor(P.IMAGENET_STD).view(1, 3, 1, 1)
    found = P.VGGFeatures(["conv1_1", "conv2_1", "pool2"], "vgg11", str(path))(image)
    normal = (image - mean) / std
    torch.testing.assert_close(found["conv1_1"], network.features[:1](normal))
    torch.testing.assert_close(found["conv2_1"], network.features[:4](normal))
    torch.testing.assert_close(found["pool2"], network.features[:6](normal))


def test_vgg19_layer_positions():
    names, modules = P._build_layers("vgg19")
    assert [names.index(n) for n in ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")] == [2, 7, 16, 25, 34]
    assert sum(isinstance(m, torch.nn.Conv2d) for m in modules) == 16


@pytest.mark.parametrize("criterion", ["l1", "l2", "fro"])
def test_loss_and_gradient(vgg_file, criterion):
    loss = make(vgg_file[0], criterion=criterion, style_weight=1.0)
    image, gt = torch.rand(1, 3, 32, 32, requires_grad=True), torch.rand(1, 3, 32, 32)
    perceptual, style = loss(image, gt)
    (perceptual + style).backward()
    assert perceptual > 0 and style > 0 and image.grad.abs().sum() > 0
    assert all(p.grad is None for p in loss.parameters())
    same, _ = loss(gt, gt)
    assert same == 0
    assert make(vgg_file[0])(gt, gt)[1] is None


def test_bad_names_are_refused(vgg_file):
    path = vgg_file[0]
    for changes in ({"vgg_type": "vgg20"}, {"layer_weights": {"conv9_1": 1}}, {"criterion": "l3"}):
        with pytest.raises(OptionError, match="해결"):
            make(path, **changes)


def test_missing_weights_never_become_random(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def refuse(*_, **__):
        raise DownloadError("연결할 수 없음")

    monkeypatch.setattr(P, "download", refuse)
    with pytest.raises(WeightsNotFoundError, match=r"(?s)연결할 수 없음.*해결.*vgg19-dcbb9e9d\.pth"):
        P.find_vgg_weights("vgg19")
    with pytest.raises(WeightsNotFoundError, match=r"no\.pth"):
        P.find_vgg_weights("vgg19", tmp_path / "no.pth")
    for folder in ("hub/checkpoints", "weights", "experiments/pretrained_models"):
        target = tmp_path / folder / "vgg19-dcbb9e9d.pth"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"")
        assert P.find_vgg_weights("vgg19").resolve() == target


@pytest.fixture
def vgg_server():
    """정해진 내용을 내주는 서버. 주소와 내용을 돌려준다."""
    content = bytes(range(256)) * 64

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", content
    server.shutdown()
    server.server_close()


def test_weights_are_fetched_once_and_checked(tmp_path, monkeypatch, vgg_server):
    address, content = vgg_server
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    prefix = hashlib.sha256(content).hexdigest()[:8]
    monkeypatch.setattr(P, "vgg_url", lambda _: f"{address}/vgg19-{prefix}.pth")
    found = P.find_vgg_weights("vgg19")
    assert found == tmp_path / "hub/checkpoints" / f"vgg19-{prefix}.pth" and found.read_bytes() == content
    monkeypatch.setattr(P, "download", None)
    assert P.find_vgg_weights("vgg19") == found


def test_a_changed_download_is_not_kept(tmp_path, monkeypatch, vgg_server):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(P, "vgg_url", lambda _: f"{vgg_server[0]}/vgg19-00000000.pth")
    with pytest.raises(WeightsNotFoundError, match=r"(?s)공식 파일과 다릅니다.*해결"):
        P.find_vgg_weights("vgg19")
    assert not list((tmp_path / "hub").rglob("*.*"))


def test_broken_weights_are_a_named_error(tmp_path):
    path = tmp_path / "vgg11.pth"
    path.write_bytes(b"broken")
    with pytest.raises(WeightsError, match="VGG"):
        make(path)
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="VGG"):
        make(path)
