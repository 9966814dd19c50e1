"""평가의 흐름: 짝, LQ 만들기, 기록, 표, 없는 패키지."""

from __future__ import annotations

import csv
import doctest
import io
import json
import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import realesrgan as sr
from realesrgan.dataset_tools.outcome import Outcome
from realesrgan.errors import EvaluationError, InvalidValueError, MissingPackageError, UsageError
from realesrgan.evaluation.api import EvaluationSettings, make_candidates, name_of
from realesrgan.evaluation.bicubic import bicubic_8bit
from realesrgan.evaluation.metrics import make_metrics, mean, psnr
from realesrgan.evaluation.results import EvaluationResult, ModelResult, means_table, to_csv, to_json, to_markdown
from realesrgan.evaluation.run import Candidate, EvaluationLog, Plan, measure_all, summarise
from realesrgan.evaluation.samples import bicubic_degrade, find_samples, load_sample
from realesrgan.inference.model import ComputeSettings
from tests.conftest import ROOT
from tests.scripts.command import draw, read


def _candidate(name: str = "nearest", calls: list[int] | None = None) -> Candidate:
    def upscale(lq: np.ndarray) -> np.ndarray:
        if calls is not None:
            calls.append(1)
        return lq.repeat(4, 0).repeat(4, 1)

    return Candidate(name, 4, None, "", upscale)


def _plan(folder: Path, output: Path, **more: object) -> Plan:
    samples, _ = find_samples(folder, None)
    single, whole = make_metrics(["psnr", "ssim"], 4, False)
    return Plan(samples, single, whole, bicubic_degrade, output, **more)


def test_lq_is_made_by_bicubic_from_the_cropped_gt(tmp_path: Path) -> None:
    picture = read(draw(tmp_path / "a.png", 41, 50))
    (sample,), _ = find_samples(tmp_path, None)
    gt, lq = load_sample(sample, 4, bicubic_degrade)
    assert np.array_equal(gt, picture[:40, :48]) and np.array_equal(lq, bicubic_8bit(gt, 0.25))


def test_ensembles_and_steps_are_measured_and_named(tmp_path: Path, nearest_weights) -> None:
    draw(tmp_path / "gt" / "a.png", 40, 48)
    weights = nearest_weights(2)
    plain = sr.evaluate([weights], tmp_path / "gt")
    compute = ComputeSettings(ensemble=True)
    settings = EvaluationSettings(steps=("sharpen=1",))
    sharp = sr.evaluate([weights], tmp_path / "gt", settings=settings, compute=compute)
    assert sharp.settings["steps"] == "sharpen=1" and sharp.settings["ensemble"] == "x8"
    assert sharp.models[1].means["psnr"] != plain.models[1].means["psnr"]
    assert sharp.models[0].means == plain.models[0].means
    with pytest.raises(UsageError, match="모르는 단계"):
        sr.evaluate([weights], tmp_path / "gt", settings=EvaluationSettings(steps=("none=1",)))


def test_one_model_may_be_given_alone(tmp_path: Path, nearest_weights) -> None:
    draw(tmp_path / "gt" / "a.png", 24, 24)
    weights = nearest_weights(2)
    several = sr.evaluate([weights], tmp_path / "gt")
    for one in (weights, str(weights), sr.load(weights, device="cpu")):
        alone = sr.evaluate(one, tmp_path / "gt")
        assert [model.means["psnr"] for model in alone.models] == [model.means["psnr"] for model in several.models]


def test_lq_files_are_paired_and_their_scale_is_checked(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        draw(tmp_path / "gt" / f"{name}.png", 41, 50)
    draw(tmp_path / "lq" / "ax4.png", 10, 12)
    draw(tmp_path / "lq" / "b.png", 20, 25)
    samples, problems = find_samples(tmp_path / "gt", tmp_path / "lq")
    assert [sample.name for sample in samples] == ["a", "b"] and len(problems) == 1
    gt, lq = load_sample(samples[0], 4, bicubic_degrade)
    assert gt.shape == (40, 48, 3) and lq.shape == (10, 12, 3)
    with pytest.raises(EvaluationError, match="4배가 아닙니다"):
        load_sample(samples[1], 4, bicubic_degrade)


def test_sixteen_bits_gray_and_alpha_become_plain_rgb(tmp_path: Path) -> None:
    deep = read(draw(tmp_path / "a.png", 16, 16, 3, np.uint16))
    draw(tmp_path / "b.png", 16, 16, 1)
    draw(tmp_path / "c.png", 16, 16, 4)
    loaded = [load_sample(sample, 4, bicubic_degrade)[0] for sample in find_samples(tmp_path, None)[0]]
    assert all(gt.shape == (16, 16, 3) and gt.dtype == np.uint8 for gt in loaded)
    assert np.array_equal(loaded[0], np.rint(deep / 257).astype(np.uint8))


def test_one_bad_picture_does_not_stop_the_rest(tmp_path: Path) -> None:
    for index in range(3):
        draw(tmp_path / "gt" / f"{index}.png", 48, 48, seed=index)
    (tmp_path / "gt" / "1.png").write_bytes(b"broken")
    plan = _plan(tmp_path / "gt", tmp_path)
    found = measure_all([_candidate()], plan, EvaluationLog(tmp_path / "j", {}))
    assert sorted(found.values["nearest"]) == ["0", "2"]
    assert [outcome.status for outcome in found.outcomes] == ["done", "failed", "done"]
    (result,) = summarise(found, [_candidate()], plan)
    values = [found.values["nearest"][name]["psnr"] for name in ("0", "2")]
    assert result.means["psnr"] == pytest.approx(np.mean(values))


def test_second_run_measures_only_what_is_missing(tmp_path: Path) -> None:
    for index in range(4):
        draw(tmp_path / "gt" / f"{index}.png", 48, 48, seed=index)
    calls: list[int] = []
    plan = _plan(tmp_path / "gt", tmp_path, sheet_pictures=1)
    first = measure_all([_candidate(calls=calls)], plan, EvaluationLog(tmp_path / "j", {"a": 1}))
    # 적다가 끊긴 줄은 버리고 그 이미지를 다시 잰다.
    lines = (tmp_path / "j").read_text().splitlines()
    (tmp_path / "j").write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:-9])
    calls.clear()
    again = measure_all([_candidate(calls=calls)], plan, EvaluationLog(tmp_path / "j", {"a": 1}))
    assert len(calls) == 2  # 비교표에 넣을 첫 이미지와 끊긴 이미지
    assert again.values == first.values and set(again.cells) == {"0"}
    calls.clear()
    measure_all([_candidate(calls=calls)], plan, EvaluationLog(tmp_path / "j", {"a": 2}))
    assert len(calls) == 4
    calls.clear()
    draw(tmp_path / "gt" / "3.png", 48, 52, seed=9)
    measure_all([_candidate(calls=calls)], plan, EvaluationLog(tmp_path / "j", {"a": 2}))
    assert len(calls) == 2


def test_tables_hold_every_value_and_infinity_is_legal_json() -> None:
    results = [
        ModelResult("bicubic", 4, None, {"가": {"psnr": 20.5, "niqe": None}, "b": {"psnr": math.inf, "niqe": 5.0}}),
        ModelResult("net", 4, "w.pth", {"가": {"psnr": 21.0, "niqe": 4.0}}, {"fid": 12.5}),
    ]
    outcomes = (Outcome("x", "failed", "이유"), Outcome("y", "done"))
    found = EvaluationResult(tuple(results), ("psnr", "niqe"), {"gt": "폴더"}, outcomes)
    assert found["net"].means == {"psnr": 21.0, "niqe": 4.0, "fid": 12.5}
    with pytest.raises(KeyError, match="bicubic, net"):
        found["없음"]
    markdown = to_markdown(found)
    assert "| net | 4 | 1 | 21.00 | 4.0000 |" in markdown and "| 가 | 20.50 | 21.00 |" in markdown
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert len(rows) == 5 and rows[0]["niqe"] == "" and rows[4] == rows[4] | {"picture": "(mean)", "psnr": "21.0"}
    content = json.loads(to_json(found))
    assert content["models"][0]["pictures"]["b"]["psnr"] == "inf"
    assert content["models"][1]["mean"]["fid"] == 12.5 and content["failures"] == [{"name": "x", "reason": "이유"}]
    assert mean([None, math.nan]) is None and mean([1.0, None, 3.0]) == 2.0


def test_the_table_says_why_a_value_is_missing() -> None:
    pictures = {"small": {"psnr": 20.0, "niqe": None}, "large": {"psnr": 22.0, "niqe": 5.0}}
    found = EvaluationResult((ModelResult("a", 4, None, pictures),), ("psnr", "niqe"))
    assert "niqe 값이 없는 이미지 1장" in means_table(found) and "psnr 값" not in means_table(found)


def test_unknown_and_missing_metrics_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="모르는 지표"):
        make_metrics(["psrn"], 0, False)
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(MissingPackageError, match="pip install pyiqa"):
        make_metrics(["lpips"], 0, False)


class _Scorer:
    """pyiqa의 지표 흉내. 텐서는 평균 차이를, 폴더는 이미지 수를 낸다."""

    lower_better = True

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, first: object, second: object) -> object:
        if isinstance(first, str):
            return float(len(list(Path(first).glob("*.png"))) * 10 + len(list(Path(second).glob("*.png"))))
        assert first.shape == second.shape and first.shape[1] == 3 and 0 <= first.min() <= first.max() <= 1
        return (first - second).abs().mean()


def test_pyiqa_metrics_get_tensors_and_fid_gets_the_whole_set_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def create(name: str, device: str) -> _Scorer:
        asked.append((name, device))
        return _Scorer(name)

    monkeypatch.setitem(sys.modules, "pyiqa", types.SimpleNamespace(create_metric=create))
    for index in range(2):
        draw(tmp_path / "gt" / f"{index}.png", 48, 48, seed=index)
    single, whole = make_metrics(["lpips", "dists", "fid"], 0, False)
    assert asked == [("lpips", "cpu"), ("dists", "cpu"), ("fid", "cpu")]
    assert [metric.higher_better for metric in (*single, *whole)] == [False, False, False]
    samples, _ = find_samples(tmp_path / "gt", None)
    plan = Plan(samples, single, whole, bicubic_degrade, tmp_path / "out")
    (tmp_path / "out").mkdir()
    found = measure_all([_candidate()], plan, EvaluationLog(tmp_path / "j", {}))
    (result,) = summarise(found, [_candidate()], plan)
    gt, lq = load_sample(samples[0], 4, bicubic_degrade)
    expected = np.abs(lq.repeat(4, 0).repeat(4, 1).astype(float) - gt).mean() / 255
    assert found.values["nearest"]["0"]["lpips"] == pytest.approx(expected, abs=1e-5)
    assert result.whole == {"fid": 22.0} and "fid" not in found.values["nearest"]["0"]


def test_niqe_is_basicsrs_and_small_pictures_are_left_blank(tmp_path: Path) -> None:
    from tests.training.extra import require_training_extra

    require_training_extra()
    from basicsr.metrics import calculate_niqe

    draw(tmp_path / "big.png", 112, 204)
    draw(tmp_path / "small.png", 48, 48)
    single, _ = make_metrics(["psnr", "niqe"], 4, False)
    samples, _ = find_samples(tmp_path, None)
    noisy = np.random.default_rng(0).integers(0, 256, (112, 204, 3), dtype=np.uint8)
    assert single[1].measure(noisy, noisy) == pytest.approx(float(calculate_niqe(noisy, 4)))
    plan = Plan(samples, single, [], bicubic_degrade, tmp_path)
    values = measure_all([_candidate()], plan, EvaluationLog(tmp_path / "j", {})).values["nearest"]
    assert values["small"]["niqe"] is None and values["small"]["psnr"] > 0 and values["big"]["niqe"] is not None


def test_candidates_bring_bicubic_of_every_scale(tmp_path: Path, save_network, tiny_srvgg, tiny_rrdbnet) -> None:
    paths = save_network(tiny_srvgg, "four.pth"), save_network(tiny_rrdbnet(2), "two.pth")
    models = [(name_of(path), sr.load(path, tile=0, device="cpu")) for path in paths]
    found = make_candidates(models)
    assert [(c.name, c.scale) for c in found] == [("bicubic_x4", 4), ("bicubic_x2", 2), ("four", 4), ("two", 2)]
    lq = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    assert [c.upscale(lq).shape for c in found] == [(36, 44, 3), (18, 22, 3)] * 2
    expected = tiny_srvgg(torch.from_numpy(lq[..., ::-1].copy()).permute(2, 0, 1)[None] / 255)
    planes = (expected[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
    assert np.abs(found[2].upscale(lq).astype(int) - planes).max() <= 1
    with pytest.raises(UsageError, match="이름이 같은"):
        make_candidates([models[0], models[0]])
    with pytest.raises(UsageError, match="모델이 없습니다"):
        make_candidates([])


def test_a_value_belongs_to_the_weights_and_the_way_they_are_computed(save_network, tiny_srvgg) -> None:
    model = sr.load(save_network(tiny_srvgg), device="cpu")
    with torch.no_grad():
        tiny_srvgg.body[0].bias += 1
    changed = sr.load(save_network(tiny_srvgg), device="cpu")
    stamps = [make_candidates([("a", one)])[1].stamp for one in (model, changed, model.with_compute(tile=32))]
    assert len(set(stamps)) == 3
    assert stamps[0] == make_candidates([("b", model)])[1].stamp


def test_models_are_evaluated_from_python_and_nothing_is_left(
    tmp_path: Path, save_network, tiny_srvgg, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = read(draw(tmp_path / "gt" / "하나.png", 50, 61, seed=1))[:48, :60]
    draw(tmp_path / "gt" / "둘.png", 48, 48, seed=2)
    (tmp_path / "gt" / "깨짐.png").write_bytes(b"x")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    model = sr.load(tiny_srvgg.state_dict(), name=None, device="cpu")
    steps: list[tuple[int, int]] = []
    settings = sr.EvaluationSettings(metrics=["psnr"], save_images=True)
    models = [model, save_network(tiny_srvgg, "net_g_latest.pth")]
    result = sr.evaluate(
        models, tmp_path / "gt", settings=settings, progress=lambda done, total: steps.append((done, total))
    )
    assert [one.name for one in result.models] == ["bicubic", model.name, "net_g_latest"]
    assert [one.weights is None for one in result.models] == [True, True, False]
    bicubic = bicubic_8bit(bicubic_8bit(picture, 0.25), 4)
    assert result["bicubic"].pictures["하나"]["psnr"] == pytest.approx(psnr(bicubic, picture, border=4))
    mine, theirs = result[model.name], result["net_g_latest"]
    assert mine.pictures == theirs.pictures and set(mine.pictures) == {"하나", "둘"}
    assert mine.means["psnr"] == pytest.approx(np.mean([values["psnr"] for values in mine.pictures.values()]))
    assert len(result.failures) == 3 and "깨짐.png" in result.failures[0].name
    assert steps[-1] == (9, 9) and result.output is None
    assert not list((tmp_path / "tmp").iterdir())


def test_settings_out_of_range_and_unusable_engines_are_told_before_the_work(tmp_path: Path, save_network, tiny_srvgg):
    with pytest.raises(InvalidValueError, match="max_pictures"):
        sr.EvaluationSettings(max_pictures=0)
    draw(tmp_path / "gt" / "a.png")
    weights = save_network(tiny_srvgg)
    with pytest.raises(UsageError, match="모르는 엔진"):
        sr.evaluate([weights], tmp_path / "gt", compute=ComputeSettings(backend="없음"))


def test_the_example_of_the_public_function_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from realesrgan.evaluation import api

    monkeypatch.chdir(ROOT)
    (example,) = doctest.DocTestFinder().find(api.evaluate, "evaluate", globs={})
    assert doctest.DocTestRunner().run(example).failed == 0
