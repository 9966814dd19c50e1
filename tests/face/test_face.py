"""얼굴을 찾고, 맞추고, 고쳐 붙이는 일. 고치는 네트워크 대신 받은 것을 돌려주는 함수로 자리를 판단한다."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realesrgan.errors import UsageError, WeightsError
from realesrgan.face import restoration, retinaface
from realesrgan.face.align import SIDE, TEMPLATE, crop_face, paste_face, resized, similarity, soft_mask
from realesrgan.face.mtcnn import Face, load_detector, suppress
from realesrgan.face.restoration import FaceRestoration, find_faces, load_restorer
from realesrgan.face.retinaface import RetinaFace, anchor_boxes, load_retinaface
from realesrgan.inference.finish import ArrayCanvas, FrameCanvas
from realesrgan.inference.frames import FrameFormat, FrameUpscaler
from realesrgan.inference.model import Model, load
from realesrgan.inference.steps import parse_steps
from realesrgan.inference.upscaler import split_image
from realesrgan.media.video.types import Colour, PixelLayout
from realesrgan.util.optional import prepare_torchvision
from tests.conftest import ROOT

CPU = torch.device("cpu")
PHOTO = ROOT / "inputs" / "astronaut.jpg"
# 사진(128x128)에서 사람이 짚은 두 눈, 코, 두 입꼬리.
SEEN = np.array([[46.7, 57.5], [75.8, 59.5], [61, 74.5], [48, 84], [73, 85]])


def photo() -> Any:
    return cv2.cvtColor(cv2.imread(str(PHOTO)), cv2.COLOR_BGR2RGB)


def smooth(height: int, width: int) -> Any:
    """보간으로 잃을 것이 거의 없는 이미지. 자리가 조금만 어긋나도 값이 크게 달라진다."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 60 * np.sin(x / 11 + k) + 60 * np.cos(y / 13 - k) for k in range(3)]
    return np.stack(planes, 2).round().clip(0, 255).astype(np.uint8)


def face_at(centre: tuple[float, float], size: float, angle: float = 0.0) -> Face:
    """`size`는 512x512의 얼굴이 차지하는 한 변(픽셀), `angle`은 도."""
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * size / SIDE
    return Face(((TEMPLATE - SIDE / 2) @ matrix.T + centre).astype(np.float32), 1.0, size)


def canvas(image: Any) -> ArrayCanvas:
    return ArrayCanvas(split_image(image, bgr=False, unit=True), CPU)


def restored(image: Any, faces: list[Face], enlarged: Any | None = None, **options: Any) -> tuple[Any, dict[str, int]]:
    made = (image if enlarged is None else enlarged).copy()
    step = FaceRestoration("same", detect=lambda _: faces, restore=options.pop("restore", lambda face: face), **options)
    return made, step.finish(canvas(made), canvas(image))


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(-180, 180), scale=st.floats(0.05, 20), x=st.floats(-500, 500), y=st.floats(-500, 500))
def test_similarity_is_found_back(angle: float, scale: float, x: float, y: float) -> None:
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn), x], [np.sin(turn), np.cos(turn), y], [0, 0, 1]])
    matrix[:2, :2] *= scale
    moved = (matrix @ np.column_stack([TEMPLATE, np.ones(5)]).T)[:2].T
    np.testing.assert_allclose(similarity(TEMPLATE, moved), matrix, atol=1e-6 * max(1, scale) * 1000)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "face", [face_at((100, 90), 90), face_at((100, 90), 120, 45), face_at((100, 90), 110, -30), face_at((8, 150), 80)]
)
def test_face_that_is_not_changed_comes_back_to_its_place(face: Face, dtype: type) -> None:
    """바깥은 비트까지 같고, 안은 두 번의 보간으로 잃는 것(48dB)보다 나쁘지 않다. 반 픽셀 어긋나면 34dB가 된다."""
    top = np.iinfo(dtype).max
    image = (smooth(180, 200).astype(np.float64) / 255 * top).round().astype(dtype)
    made, counts = restored(image, [face])
    assert counts == {"faces": 1, "small_faces": 0}
    mask = soft_mask(np.linalg.inv(similarity(face.points, TEMPLATE)), (200, 180))
    np.testing.assert_array_equal(made[mask == 0], image[mask == 0])
    error = (made.astype(float) - image)[mask > 0] / top
    assert 10 * np.log10(1 / np.mean(error**2)) > 48 and (mask > 0).sum() > 1000


@pytest.mark.parametrize("scale", [2, 4])
def test_face_lands_where_it_is_in_the_enlarged_picture(scale: int) -> None:
    image, face = smooth(120, 140), face_at((70, 60), 70, 15)
    enlarged = cv2.resize(image, (140 * scale, 120 * scale), interpolation=cv2.INTER_CUBIC)
    made, _ = restored(image, [face], enlarged)
    assert 10 * np.log10(255**2 / np.mean((made.astype(float) - enlarged) ** 2)) > 45


def test_only_the_asked_part_of_the_face_is_taken() -> None:
    image, face = smooth(120, 120), face_at((60, 60), 80)
    full, _ = restored(image, [face], restore=torch.ones_like)
    half, _ = restored(image, [face], restore=torch.ones_like, strength=0.5)
    none, counts = restored(image, [face], restore=torch.ones_like, strength=0)
    assert np.abs((full.astype(float) + image) / 2 - half).max() <= 1
    np.testing.assert_array_equal(none, image)
    assert full[60, 60].tolist() == [255] * 3 and counts["faces"] == 1


def test_small_faces_are_left_and_counted_and_the_centre_is_chosen() -> None:
    faces = [face_at((20, 20), 60), face_at((100, 95), 60), face_at((60, 30), 20)]
    image = smooth(180, 200)
    made, counts = restored(image, faces, restore=torch.zeros_like, only_center=True)
    assert counts == {"faces": 1, "small_faces": 1}
    assert made[95, 100].max() == 0 and made[20, 20].max() > 0


@pytest.mark.parametrize("shape", [(60, 60), (60, 60, 4)])
def test_gray_stays_gray_and_alpha_is_not_touched(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    made, counts = restored(image, [face_at((30, 30), 50)], restore=torch.zeros_like)
    assert made.shape == shape and counts["faces"] == 1 and made[30, 30].flat[0] == 0
    if len(shape) == 3:
        np.testing.assert_array_equal(made[..., 3], image[..., 3])


def test_face_outside_or_across_the_border_is_safe() -> None:
    image = smooth(50, 50)
    for centre in ((-20, 25), (25, 70), (400, 400), (0, 0)):
        made, _ = restored(image, [face_at(centre, 60)])
        assert np.abs(made.astype(int) - image).max() <= 6
    assert crop_face(canvas(image), similarity(face_at((900, 900), 60).points, TEMPLATE)).shape == (SIDE, SIDE, 3)
    away = resized(1, 1) + np.array([[0, 0, 900], [0, 0, 900], [0, 0, 0]])
    paste_face(canvas(image), np.zeros((SIDE, SIDE, 3), np.float32), away)


def test_photo_without_a_face_is_the_same_to_the_bit(nearest_weights: Any) -> None:
    model: Model = load(nearest_weights(4), device="cpu")
    image = smooth(60, 80)
    step = FaceRestoration("same", restore=lambda face: pytest.fail("얼굴이 없다"))
    np.testing.assert_array_equal(model.upscale(image, steps=[step]), model.upscale(image))


@pytest.mark.parametrize("angle", [0, -45, -30, 30, 45])
@pytest.mark.parametrize("shrink", [1, 2])
def test_face_in_a_photograph_is_found_with_its_five_points(angle: int, shrink: int) -> None:
    image = photo()
    matrix = cv2.getRotationMatrix2D((61, 70), angle, 1)
    turned = cv2.warpAffine(image, matrix, (128, 128), borderMode=cv2.BORDER_REPLICATE)
    turned = cv2.resize(turned, (128 // shrink, 128 // shrink), interpolation=cv2.INTER_AREA)
    expected = (SEEN @ matrix[:, :2].T + matrix[:, 2]) / shrink
    faces = find_faces(turned)
    assert len(faces) == 1 and faces[0].score > 0.98
    assert np.abs(faces[0].points - expected).max() < 5 / shrink + 1


def test_many_faces_and_large_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = np.concatenate([np.concatenate([photo()] * 3, 1)] * 2, 0)
    assert len(find_faces(sheet)) == 6
    monkeypatch.setattr(restoration, "LONGEST_SEARCHED", 128)
    large = cv2.resize(photo(), (512, 512), interpolation=cv2.INTER_CUBIC)
    (face,) = find_faces(large)
    assert np.abs(face.points - SEEN * 4).max() < 24


def test_pictures_with_nothing_to_find() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    for image in (smooth(5, 200), np.zeros((64, 64, 3), np.uint8), noise):
        assert find_faces(image) == []


def test_overlapping_boxes_leave_the_surest() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30], [2, 2, 5, 5]], float)
    scores = np.array([0.8, 0.9, 0.7, 0.6])
    assert suppress(boxes, scores, 0.5).tolist() == [1, 2, 3]
    assert suppress(boxes, scores, 0.5, smaller=True).tolist() == [1, 2]
    assert suppress(boxes[:0], scores[:0], 0.5).tolist() == []


def test_frames_take_the_same_step_and_count(nearest_weights: Any) -> None:
    model: Model = load(nearest_weights(2), device="cpu", backend="torch", tile=0)
    step = FaceRestoration("same", restore=torch.zeros_like)
    layout = PixelLayout("gbrp", "rgb", 8)
    shapes = [FrameFormat(layout, Colour(), side, side) for side in (128, 256)]
    upscale = FrameUpscaler(model.upscaler, *shapes, whole=[step])
    # 이 배치의 평면은 초록, 파랑, 빨강의 차례다.
    frames = [tuple(np.ascontiguousarray(photo()[..., channel]) for channel in (1, 2, 0))] * 2
    made = upscale(frames)
    assert upscale.counts == {"faces": 2, "small_faces": 0}
    picture = model.upscale(photo(), steps=[step]).transpose(2, 0, 1)
    assert np.abs(np.stack(made[0]).astype(int) - picture[[1, 2, 0]]).max() <= 1
    assert FrameCanvas(torch.zeros(3, 2, 2)).device == CPU


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("faces", "faces=GFPGANv1.4:1"),
        ("faces=GFPGANv1.3:0.5", "faces=GFPGANv1.3:0.5"),
        ("faces=RestoreFormer:center", "faces=RestoreFormer:1:center"),
        ("faces=C:/a/b.pth:0.2:center", "faces=C:/a/b.pth:0.2:center"),
    ],
)
def test_step_is_read_and_told_as_text(text: str, told: str) -> None:
    assert parse_steps([text])[0].text == told


@pytest.mark.parametrize("text", ["faces=GFPGANv9", "faces=GFPGANv1.4:2"])
def test_unknown_model_and_strength_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError, match=r"[가-힣]"):
        parse_steps([text])


def test_detector_reads_the_weights_it_carries() -> None:
    assert sum(values.numel() for values in load_detector().parameters()) == 495_850


def test_weights_of_another_network_are_refused(tmp_path: Path, save_network: Any, tiny_rrdbnet: Any) -> None:
    prepare_torchvision()
    pytest.importorskip("spandrel")
    with pytest.raises(WeightsError, match="얼굴을 고치는 네트워크"):
        load_restorer(save_network(tiny_rrdbnet(4)), CPU)


def random_restorer(folder: Path) -> Path:
    """공식 GFPGAN v1.4와 모양이 같고 값이 무작위인 체크포인트."""
    prepare_torchvision()
    module = pytest.importorskip("spandrel.architectures.GFPGAN")
    torch.manual_seed(0)
    options = {"fix_decoder": False, "input_is_latent": True, "different_w": True, "sft_half": True}
    network = module.GFPGAN(out_size=512, **options)
    path = folder / "GFPGANv1.4.pth"
    torch.save({"params_ema": network.state_dict()}, path)
    return path


@pytest.mark.slow
def test_checkpoint_of_the_official_shapes_loads_and_restores_the_same_every_time(tmp_path: Path) -> None:
    """공식 파일은 여기서 받을 수 없으므로 모양이 같고 값이 무작위인 체크포인트로 싣는 길을 본다."""
    path = random_restorer(tmp_path)
    # 공식 파일의 크기와 견준다. 이름표의 길이만큼만 다르다.
    assert abs(path.stat().st_size - 348_632_874) < 100_000
    step = FaceRestoration(str(path))
    image = photo()
    first, second = (image.copy() for _ in range(2))
    for made in (first, second):
        assert step.finish(canvas(made), canvas(image))["faces"] == 1
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, image)


def small_retinaface(tmp_path: Path) -> Path:
    """공식 체크포인트와 이름과 모양이 같고 값이 무작위인 파일."""
    torch.manual_seed(0)
    path = tmp_path / "detection_Resnet50_Final.pth"
    torch.save({f"module.{name}": values for name, values in RetinaFace().state_dict().items()}, path)
    return path


def test_anchors_cover_the_picture_from_the_centre_of_each_cell() -> None:
    anchors = anchor_boxes(33, 20)
    assert len(anchors) == 2 * (5 * 3 + 3 * 2 + 2 * 1)
    assert anchors[:3].tolist() == [[4, 4, 16, 16], [4, 4, 32, 32], [12, 4, 16, 16]]
    assert anchors[-1].tolist() == [16, 48, 512, 512]


@pytest.mark.slow
def test_official_detector_is_used_when_the_user_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not FaceRestoration().text.endswith("retinaface")
    monkeypatch.setenv("REALESRGAN_HOME", str(tmp_path))
    path = small_retinaface(tmp_path)
    # 공식 파일의 크기와 견준다. 이름표의 길이만큼만 다르다.
    assert abs(path.stat().st_size - 109_497_761) < 200_000
    step = FaceRestoration(restore=lambda face: face)
    assert step.text == "faces=GFPGANv1.4:1+retinaface"
    monkeypatch.setattr(retinaface, "THRESHOLD", 0.0)
    image = photo()
    assert sum(step.finish(canvas(image.copy()), canvas(image)).values()) > 0
    network = load_retinaface(path, CPU)
    boxes, scores, points = network(torch.rand(1, 3, 33, 20))
    assert boxes.shape == (1, 46, 4) and scores.shape == (1, 46) and points.shape == (1, 46, 10)


def test_file_of_another_network_is_no_detector(save_network: Any, tiny_rrdbnet: Any) -> None:
    with pytest.raises(WeightsError, match="RetinaFace"):
        load_retinaface(save_network(tiny_rrdbnet(4)), CPU)
