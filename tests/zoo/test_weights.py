"""가중치를 정해진 순서로 찾고, 안전하게 읽고, 네트워크를 알아내는지."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realesrgan.archs import RRDBNet, SRVGGNetCompact, UNetDiscriminatorSN
from realesrgan.errors import WeightsError, WeightsNotFoundError
from realesrgan.registry import ARCH_REGISTRY
from realesrgan.zoo import weights
from realesrgan.zoo.models import get_model
from realesrgan.zoo.weights import (
    Checkpoint,
    cache_dir,
    find_weights,
    identify,
    interpolate_weights,
    load_network,
    load_weights,
    open_weights,
    resolve_model_path,
    save_safetensors,
    select_params,
)


def recognised(state: dict[str, torch.Tensor], **hints: object) -> tuple[str, dict[str, object]]:
    """State dict에서 알아낸 네트워크와 인자."""
    found = identify(Checkpoint(state, {}), "net.pth", hints)
    return found.arch, dict(found.arch_args)


@pytest.fixture
def empty_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """가중치가 어디에도 없고 연결도 되지 않는 곳."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr("realesrgan.zoo.models.RELEASE_BASE", "http://127.0.0.1:9/")
    return tmp_path


@pytest.mark.parametrize("name", ["RealESRGAN_x4plus", "RealESRGAN_x4plus_anime_6B", "realesr-animevideov3"])
def test_package_weights_convert_and_load_strictly(name: str, real_weights: Callable[[str], Path]) -> None:
    path = real_weights(name)
    found = open_weights(path)
    spec = get_model(name)
    network = found.network()
    assert (found.arch, dict(found.arch_args)) == (spec.arch, dict(spec.arch_args))
    assert (found.name, found.license) == (name, spec.license)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_conversion_lands_in_the_cache_and_is_used_again(empty_world: Path) -> None:
    spec = get_model("realesr-animevideov3")
    first = find_weights(spec)
    assert first == empty_world / "cache" / "realesr-animevideov3.safetensors"
    stamp = first.stat().st_mtime_ns
    assert find_weights(spec) == first
    assert first.stat().st_mtime_ns == stamp
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_own_weights_folders_come_before_the_cache(empty_world: Path) -> None:
    spec = get_model("realesr-animevideov3")
    find_weights(spec)
    for folder in (empty_world / "checkout" / "weights", empty_world / "weights"):
        folder.mkdir(parents=True)
        own = folder / "realesr-animevideov3.pth"
        own.write_bytes(b"x")
        assert find_weights(spec) == own


def test_unwritable_cache_still_gives_weights(
    empty_world: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (empty_world / "file").write_text("")
    monkeypatch.setenv("REALESRGAN_HOME", str(empty_world / "file" / "cache"))
    with caplog.at_level("WARNING", logger="realesrgan"):
        path = find_weights(get_model("realesr-animevideov3"))
    assert load_weights(path).state
    assert "캐시 폴더에 쓸 수 없어" in caplog.text


def test_missing_weights_tell_the_address_and_the_folder(empty_world: Path) -> None:
    with pytest.raises(WeightsNotFoundError) as caught:
        find_weights(get_model("RealESRGAN_x2plus"))
    message = str(caught.value)
    assert "v0.2.1/RealESRGAN_x2plus.pth" in message
    assert str(empty_world / "weights") in message
    assert "연결할 수 없습니다" in message


def test_ema_weights_are_preferred_and_the_prefix_of_parallel_training_dropped(tmp_path: Path) -> None:
    network = SRVGGNetCompact(num_feat=2, num_conv=0)
    ema, plain = (
        {f"module.{key}": torch.full_like(tensor, fill) for key, tensor in network.state_dict().items()}
        for fill in (1.0, 0.0)
    )
    torch.save({"params": plain, "params_ema": ema}, tmp_path / "net.pth")
    assert open_weights(tmp_path / "net.pth").state["body.0.bias"].unique().tolist() == [1.0]
    assert open_weights(tmp_path / "net.pth", params_key="params").state["body.0.bias"].unique().tolist() == [0.0]


def test_plain_state_dict_is_accepted(tmp_path: Path, tiny_srvgg: SRVGGNetCompact) -> None:
    torch.save(tiny_srvgg.state_dict(), tmp_path / "net.pth")
    assert load_weights(tmp_path / "net.pth").state.keys() == tiny_srvgg.state_dict().keys()


class _Payload:
    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (self.sentinel,))


@pytest.mark.parametrize("legacy", [True, False])
def test_code_in_a_pickle_is_never_run(tmp_path: Path, legacy: bool) -> None:
    sentinel, path = tmp_path / "ran", tmp_path / "net.pth"
    if legacy:
        path.write_bytes(pickle.dumps(_Payload(sentinel)))
    else:
        torch.save({"params": _Payload(sentinel)}, path)
    with pytest.raises(WeightsError, match=r"실행될 수 있는 코드|깨졌거나"):
        load_weights(path)
    assert not sentinel.exists()


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04", b"PK\x03\x04broken"])
def test_broken_file_is_refused_in_korean(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="깨졌거나"):
        load_weights(path)


def test_truncated_checkpoint_is_refused(tmp_path: Path, tiny_srvgg: SRVGGNetCompact) -> None:
    path = tmp_path / "net.pth"
    torch.save({"params": tiny_srvgg.state_dict()}, path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(WeightsError):
        load_weights(path)


def test_training_state_is_not_taken_for_weights(tmp_path: Path) -> None:
    torch.save({"epoch": 1, "iter": 2, "optimizers": []}, tmp_path / "1.pth")
    with pytest.raises(WeightsError, match="state dict"):
        load_weights(tmp_path / "1.pth")


@settings(max_examples=25, deadline=None)
@given(
    num_feat=st.integers(2, 9),
    num_block=st.integers(1, 3),
    num_grow_ch=st.integers(1, 5),
    scale=st.sampled_from([1, 2, 4]),
)
def test_rrdbnet_of_any_size_is_recognised(num_feat: int, num_block: int, num_grow_ch: int, scale: int) -> None:
    arguments = {"num_in_ch": 3, "num_out_ch": 3, "scale": scale}
    arguments |= {"num_feat": num_feat, "num_block": num_block, "num_grow_ch": num_grow_ch}
    with torch.device("meta"):
        state = RRDBNet(**arguments).state_dict()
    assert recognised(state) == ("RRDBNet", arguments)


@settings(max_examples=25, deadline=None)
@given(
    num_feat=st.integers(1, 9),
    num_conv=st.integers(0, 6),
    upscale=st.sampled_from([1, 2, 3, 4]),
    act_type=st.sampled_from(["relu", "prelu", "leakyrelu"]),
)
def test_srvgg_of_any_size_is_recognised(num_feat: int, num_conv: int, upscale: int, act_type: str) -> None:
    arguments = {"num_in_ch": 3, "num_out_ch": 3, "num_feat": num_feat, "num_conv": num_conv}
    arguments |= {"upscale": upscale, "act_type": act_type}
    with torch.device("meta"):
        state = SRVGGNetCompact(**arguments).state_dict()
    hint = None if act_type == "prelu" else act_type
    assert recognised(state, act_type=hint) == ("SRVGGNetCompact", arguments)
    found = identify(Checkpoint(state, {"act_type": act_type}), "net.pth")
    assert (found.arch, dict(found.arch_args)) == ("SRVGGNetCompact", arguments)


def test_activation_that_leaves_no_trace_must_be_named() -> None:
    state = SRVGGNetCompact(num_feat=4, num_conv=1, act_type="relu").state_dict()
    with pytest.raises(WeightsError, match="--act_type"):
        recognised(state)


def test_activation_is_kept_in_the_metadata_of_safetensors(tmp_path: Path) -> None:
    network = SRVGGNetCompact(num_feat=4, num_conv=1, act_type="leakyrelu")
    path = tmp_path / "net.safetensors"
    save_safetensors(network.state_dict(), path, {"act_type": "leakyrelu"})
    loaded = open_weights(path).network()
    assert isinstance(loaded, SRVGGNetCompact) and loaded.act_type == "leakyrelu"
    image = torch.rand(1, 3, 6, 6)
    assert torch.equal(loaded(image), network.eval()(image))


def test_written_network_and_arguments_are_used_and_foreign_words_are_not(tiny_srvgg: SRVGGNetCompact) -> None:
    class Squeeze(torch.nn.Module):
        scale = 1

        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.body = torch.nn.Conv2d(3, width, 1)

    state = Squeeze(7).state_dict()
    ARCH_REGISTRY.register(Squeeze)
    try:
        noted = Checkpoint(state, {"arch": "Squeeze", "arch_args": '{"width": 7}'})
        assert identify(noted, "net").arch_args == {"width": 7}
        assert recognised(state, arch="Squeeze", arch_args={"width": 7}) == ("Squeeze", {"width": 7})
        assert recognised(Squeeze().state_dict()) == ("Squeeze", {})
        for arguments in ("[1]", "{"):
            with pytest.raises(WeightsError, match="arch_args"):
                identify(Checkpoint(state, {"arch": "Squeeze", "arch_args": arguments}), "net")
    finally:
        del ARCH_REGISTRY._objects["Squeeze"]
    with pytest.raises(WeightsError, match="등록되지 않은 네트워크"):
        identify(noted, "net")
    # 다른 프로그램이 같은 이름으로 적은 글은 알아보는 일을 막지 않는다.
    for arch in ("ESRGAN-like", "RRDBNet"):
        foreign = Checkpoint(tiny_srvgg.state_dict(), {"arch": arch, "arch_args": "{}"})
        assert identify(foreign, "net").arch == "SRVGGNetCompact"


def test_discriminator_is_not_taken_for_a_generator() -> None:
    with pytest.raises(WeightsError, match="netD"):
        recognised(UNetDiscriminatorSN(3, num_feat=4).state_dict())


def test_weights_that_lack_a_layer_do_not_load(tiny_srvgg: SRVGGNetCompact) -> None:
    state = tiny_srvgg.state_dict()
    del state["body.2.bias"]
    with pytest.raises(WeightsError, match="맞지 않습니다"):
        identify(Checkpoint(state, {}), "net.pth").network()


def test_network_that_is_neither_rgb_nor_gray_is_refused() -> None:
    state = RRDBNet(2, 2, num_feat=4, num_block=1, num_grow_ch=2).state_dict()
    with pytest.raises(WeightsError, match="2채널"):
        identify(Checkpoint(state, {}), "net.pth")


def test_interpolation_follows_the_two_weights() -> None:
    mixed = interpolate_weights({"a": torch.tensor([1.0])}, {"a": torch.tensor([3.0])}, [0.25, 0.75])
    assert mixed["a"].item() == pytest.approx(2.5)


def test_interpolation_of_different_networks_is_refused() -> None:
    with pytest.raises(WeightsError, match="DNI"):
        interpolate_weights({"a": torch.zeros(1)}, {"a": torch.zeros(2)}, [0.5, 0.5])


def test_model_path_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match="파일이 없습니다"):
        resolve_model_path(tmp_path / "없는 파일.pth")
    with pytest.raises(WeightsNotFoundError, match="폴더입니다"):
        resolve_model_path(tmp_path)


def test_address_that_cannot_be_reached_says_what_to_do(empty_world: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match="--model_path"):
        resolve_model_path("http://127.0.0.1:9/net.pth")
    with pytest.raises(WeightsError, match=r"\.safetensors"):
        resolve_model_path("http://127.0.0.1:9/net.zip")


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, Path("/x/realesrgan")),
        ("win32", {"LOCALAPPDATA": "/l"}, Path("/l/realesrgan")),
        ("linux", {"REALESRGAN_HOME": "/h"}, Path("/h")),
    ],
)
def test_cache_folder_follows_the_system(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: Path
) -> None:
    monkeypatch.delenv("REALESRGAN_HOME")
    monkeypatch.setattr("sys.platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_dir() == expected


def test_content_that_is_not_a_dictionary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="state dict"):
        select_params([1, 2], tmp_path / "net.pth")


def test_same_file_name_at_two_addresses_is_two_files(
    empty_world: Path, tiny_srvgg: SRVGGNetCompact, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[str] = []

    def fake(url: str, target: Path, **_: object) -> Path:
        served.append(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"params": tiny_srvgg.state_dict()}, target)
        return target

    monkeypatch.setattr("realesrgan.util.download.download", fake)
    first = resolve_model_path("https://example.com/v1/net.pth")
    second = resolve_model_path("https://example.com/v2/net.pth")
    assert first != second
    assert resolve_model_path("https://example.com/v1/net.pth") == first
    assert len(served) == 2
    # 남의 주소에서 받은 파일이 같은 이름의 공식 모델 자리를 차지하지 않는다.
    other = resolve_model_path("https://example.com/realesr-animevideov3.pth")
    assert find_weights(get_model("realesr-animevideov3")) != other


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/모델.pth", "http://[bad/x.pth", "http://127.0.0.1:9/a%00b.pth"])
def test_odd_address_is_a_korean_message_and_not_a_traceback(empty_world: Path, url: str) -> None:
    with pytest.raises(WeightsError, match=r"[가-힣]"):
        resolve_model_path(url)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.sampled_from([b"", b"\x80\x02", b"\x80\x04\x95", b"PK\x03\x04"]), body=st.binary(max_size=80))
def test_no_garbage_escapes_as_another_exception(tmp_path: Path, head: bytes, body: bytes) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(head + body)
    with pytest.raises(WeightsError):
        load_weights(path)


def test_made_up_layer_numbers_do_not_build_forever(tiny_srvgg: SRVGGNetCompact) -> None:
    state = tiny_srvgg.state_dict()
    state["body.400000000.weight"] = state["body.0.weight"]
    with pytest.raises(WeightsError):
        recognised(state)


@pytest.mark.parametrize(
    "shapes",
    [
        {"body.0.weight": (0, 0, 3, 3)},
        {"conv_first.weight": (4,), "body.0.rdb1.conv1.weight": (2, 4, 3, 3), "conv_last.weight": (0, 4, 3, 3)},
    ],
    ids=["empty srvgg", "odd rrdb"],
)
def test_odd_shapes_are_refused(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(WeightsError):
        recognised({key: torch.zeros(shape) for key, shape in shapes.items()})


def test_upper_case_suffix_is_read_the_same(tmp_path: Path, tiny_srvgg: SRVGGNetCompact) -> None:
    path = tmp_path / "NET.SAFETENSORS"
    save_safetensors(tiny_srvgg.state_dict(), path)
    assert load_weights(path).state.keys() == tiny_srvgg.state_dict().keys()


class _Indexed(torch.nn.Module):
    """정수 버퍼를 색인으로 쓰는 네트워크."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.register_buffer("order", torch.tensor([2, 1, 0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, self.order]


def test_integer_buffers_stay_integers() -> None:
    network = load_network(_Indexed(), _Indexed().state_dict(), "net.pth")
    image = torch.rand(1, 3, 2, 2)
    assert torch.equal(network(image), image.flip(1))
