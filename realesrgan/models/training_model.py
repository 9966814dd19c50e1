"""두 훈련 모델의 바탕. BasicSR의 SRModel과 같은 겉모습으로 검증, 저장, 이어 하기를 맡는다."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from realesrgan.basicsr_bridge import SRModel, build_loss, build_network
from realesrgan.data.degradations import DegradationRandom, jpeg_compress, usm_sharpen
from realesrgan.data.pair_pool import PairPool
from realesrgan.data.pipeline import (
    EXTRA_PIPELINE_KEYS,
    PIPELINE_KEYS,
    Kernels,
    PipelineOptions,
    random_crop,
    synthesise,
)
from realesrgan.errors import CheckpointError, OptionError
from realesrgan.models import perceptual_loss  # noqa: F401  지각 손실을 등록한다
from realesrgan.models.checkpoint import read_network
from realesrgan.models.losses import build_entries
from realesrgan.models.model_state import resume_model, save_model
from realesrgan.models.optimizers import make_optimizer, make_scheduler
from realesrgan.models.resume_options import schedule_values
from realesrgan.models.step_options import StepOptions, checkpoint_blocks
from realesrgan.models.stepper import Losses, NonFiniteGuard, Stepper, StepResult, at_least_float32
from realesrgan.models.trial import blaming
from realesrgan.models.validation import (
    WHOLE_PIXELS,
    MetricSums,
    Picture,
    infer,
    is_set_metric,
    measure_picture,
    measure_set,
    side_by_side,
    to_picture,
    write_picture,
)
from realesrgan.zoo.weights import describe_difference

LOGGER = logging.getLogger("basicsr")
DEFAULT_POOL = 180


@torch.no_grad()
def update_ema(target: nn.Module, source: nn.Module, decay: float) -> None:
    """지수이동평균(EMA) `target = decay * target + (1 - decay) * source`. 정수 버퍼(buffer)는 그대로 옮긴다."""
    for mine, theirs in zip(_tensors(target), _tensors(source), strict=True):
        if mine.is_floating_point():
            mine.lerp_(theirs.to(mine.dtype), 1 - decay) if decay else mine.copy_(theirs)
        else:
            mine.copy_(theirs)


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


class TrainingModel(SRModel):
    """저품질 이미지를 합성해 생성자를 훈련하는 모델의 바탕.

    이어받는 클래스는 `feed_data`가 부르는 `_keep_batch`와 `optimize_parameters`를 채운다.

    Args:
        opt: 옵션 전체(BasicSR의 꼴). 이 사전을 바꿀 수 있으므로 복사본을 준다.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.step_options = StepOptions.from_options(opt.get("train") or {}, on_cpu=not opt.get("num_gpu"))
        self.last_checkpoint: str | None = None
        self.position = 0
        self.schedule_values = schedule_values(opt)
        self.scalers: dict[str, torch.amp.GradScaler] = {}
        self.log_dict: dict[str, float] = {}
        super().__init__(opt)
        self._pipeline: tuple[str, PipelineOptions] | None = None
        if self.synthesises:
            PipelineOptions.from_options(opt)
        seed, rank = int(opt.get("manual_seed") or 0), int(opt.get("rank", 0))
        self.random = DegradationRandom.from_seed(seed, rank, device=self.device)
        self.pool = PairPool(int(opt.get("queue_size") or DEFAULT_POOL))

    # ----------------------------------------------------------------- 원본의 모델을 고쳐 쓰는 사람이 기대하는 것

    @property
    def synthesises(self) -> bool:
        """지금 LQ를 합성하는지. 검증하느라 `is_train`을 끄면 짝을 그대로 받는다."""
        return bool(self.is_train and self.opt.get("high_order_degradation", True))

    @property
    def pipeline(self) -> PipelineOptions:
        """열화의 옵션. 훈련하는 동안 `model.opt`의 값을 바꾸면(커리큘럼) 다음 배치부터 따른다."""
        values = repr([self.opt.get(key) for key in (*PIPELINE_KEYS, *EXTRA_PIPELINE_KEYS, "scale")])
        if self._pipeline is None or self._pipeline[0] != values:
            self._pipeline = (values, PipelineOptions.from_options(self.opt))
        return self._pipeline[1]

    @property
    def queue_size(self) -> int:
        """쌍 풀이 담는 쌍의 수."""
        return self.pool.size

    @staticmethod
    def usm_sharpener(images: Tensor) -> Tensor:
        """`(B, C, H, W)`를 선명화(USM)한다."""
        return usm_sharpen(images)

    def jpeger(self, images: Tensor, quality: Tensor | float) -> Tensor:
        """`(B, 3, H, W)` 0..1을 JPEG로 누른다. `quality`는 수 하나나 장마다의 `(B,)`, 1..100."""
        each = torch.as_tensor(quality, dtype=torch.float32, device=images.device).expand(images.shape[0])
        return jpeg_compress(images, each)

    @torch.no_grad()
    def test(self) -> None:
        """`feed_data`가 받은 LQ를 키워 `output`에 둔다. EMA가 있으면 EMA로."""
        self.output = self.upscale(self.lq)

    def upscale(self, lq: Tensor) -> Tensor:
        """EMA(없으면 생성자)로 `(B, C, H, W)`를 키운다. 큰 이미지는 나누어 돌린다."""
        network = self.net_g_ema if hasattr(self, "net_g_ema") else self.get_bare_model(self.net_g)
        limit = int((self.opt.get("val") or {}).get("whole_pixels") or WHOLE_PIXELS)
        return infer(network, self._to_device(lq), limit)

    # ----------------------------------------------------------------- 만들기

    def model_to_device(self, net: nn.Module) -> nn.Module:
        """네트워크를 장치로 옮기고, 옵션에 따라 배치 순서를 바꾸고, 여러 프로세스면 분산 래퍼를 씌운다."""
        net = net.to(self.device)
        if self.step_options.channels_last:
            net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.step_options.compile:
            # 감싸지 않는 제자리 컴파일이라 가중치의 키 이름이 그대로다.
            net.compile()
        if not self.opt["dist"]:
            return net
        devices = [torch.cuda.current_device()] if self.device.type == "cuda" else None
        unused = bool(self.opt.get("find_unused_parameters", False))
        return DistributedDataParallel(net, device_ids=devices, find_unused_parameters=unused)

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        """가중치를 싣는다. `param_key`, `params_ema`, `params` 가운데 파일에 먼저 있는 것을, 없으면 파일 전체를 쓴다.

        Raises:
            CheckpointError: 파일을 읽을 수 없거나 네트워크와 맞지 않을 때. `strict`가 거짓이어도 맞는 것이
                하나도 없으면 오류다.
        """
        key, state = read_network(Path(load_path), param_key)
        bare = self.get_bare_model(net)
        LOGGER.info("%s의 가중치를 싣습니다: %s [%s]", type(bare).__name__, load_path, key or "전체")
        own = bare.state_dict()
        matched = sum(name in own and own[name].shape == value.shape for name, value in state.items())
        if not matched:
            raise CheckpointError(
                f"가중치가 네트워크와 하나도 맞지 않습니다: {load_path} [{key or '전체'}]\n"
                f"  {type(bare).__name__}과 견주어 {describe_difference(bare, state)}\n"
                "  해결: 네트워크의 종류와 크기에 맞는 파일인지 확인하세요."
            )
        if not strict:
            LOGGER.info("이름과 모양이 맞는 것만 싣습니다: %d개 가운데 %d개", len(own), matched)
        self._print_different_keys_loading(bare, state, strict)
        try:
            bare.load_state_dict(state, strict=strict)
        except RuntimeError as error:
            raise CheckpointError(
                f"가중치가 네트워크와 맞지 않습니다: {load_path}\n  {describe_difference(bare, state, error)}\n"
                "  해결: network_g(network_d)의 크기를 가중치에 맞추거나, 맞는 것만 실으려면 "
                "strict_load_g(strict_load_d)를 false로 두세요."
            ) from error

    def init_training_settings(self) -> None:
        """EMA, 손실, 옵티마이저, 스케줄러를 만든다."""
        train = self.opt["train"]
        self.net_g.train()
        if self.step_options.grad_checkpoint:
            checkpoint_blocks(self.get_bare_model(self.net_g))
        self.stepper = Stepper(self.step_options, self.device)
        self.guard = NonFiniteGuard(self.step_options.max_nonfinite)
        self._make_ema(float(train.get("ema_decay") or 0))
        self.cri_pix = self._make_loss("pixel_opt")
        self.cri_perceptual = self._make_loss("perceptual_opt")
        self._init_extra_networks()
        self.loss_entries = build_entries(train.get("losses") or (), self.device, self.ema_decay > 0)
        if not self._has_losses():
            raise OptionError(
                "쓸 손실이 하나도 없습니다.\n  train 블록에 pixel_opt도 perceptual_opt도 losses도 없습니다.\n"
                "  해결: pixel_opt를 적으세요."
            )
        self.setup_optimizers()
        self.setup_schedulers()

    def _has_losses(self) -> bool:
        return self.cri_pix is not None or self.cri_perceptual is not None or bool(self.loss_entries)

    def _init_extra_networks(self) -> None:
        """이어받는 클래스가 판별자처럼 더 필요한 것을 만든다. 바탕은 만들 것이 없다."""

    def _make_loss(self, key: str) -> nn.Module | None:
        options = self.opt["train"].get(key)
        if not options:
            return None
        with blaming(f"train:{key}", options):
            loss: nn.Module = build_loss(options).to(self.device)
        return loss

    def _make_ema(self, decay: float) -> None:
        self.ema_decay = decay
        if decay <= 0:
            return
        LOGGER.info("지수이동평균(EMA)을 씁니다: %s", decay)
        self.net_g_ema = build_network(self.opt["network_g"]).to(self.device)
        path = self.opt["path"].get("pretrain_network_g")
        if path is not None:
            self.load_network(self.net_g_ema, path, self.opt["path"].get("strict_load_g", True), "params_ema")
        else:
            update_ema(self.net_g_ema, self.get_bare_model(self.net_g), 0.0)
        self.net_g_ema.eval().requires_grad_(False)

    def setup_optimizers(self) -> None:
        """네트워크마다 옵티마이저와 스케일러를 만든다."""
        self.optimizer_g = self._make_optimizer(self.net_g, "optim_g")
        self.scalers["g"] = self.stepper.make_scaler()

    def _make_optimizer(self, network: nn.Module, key: str) -> torch.optim.Optimizer:
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        with blaming(f"train:{key}", self.opt["train"][key]):
            optimizer = make_optimizer(parameters, self.opt["train"][key])
        self.optimizers.append(optimizer)
        return optimizer

    def setup_schedulers(self) -> None:
        """옵티마이저마다 스케줄러를 만든다."""
        options = self.opt["train"]["scheduler"]
        with blaming("train:scheduler", options):
            self.schedulers += [make_scheduler(one, options) for one in self.optimizers]

    # ----------------------------------------------------------------- 목록의 손실

    def _listed_losses(self, output: Tensor, lq: Tensor, targets: Mapping[str, Tensor], iteration: int) -> Losses:
        """`train:losses` 가운데 이 반복에서 쓰는 것들.

        Args:
            output: 생성자의 출력 `(B, C, H, W)`.
            lq: 그 입력.
            targets: `gt`와 `gt_usm`에서 정답으로의 표.
            iteration: 지금의 반복.
        """
        active = [one for one in self.loss_entries if one.active(iteration)]
        average = None
        if any(getattr(one.loss, "needs_average", False) for one in active):
            with torch.no_grad():
                average = at_least_float32(self.net_g_ema(lq))
        return {f"l_{one.name}": one.measure(output, targets[one.target], average) for one in active}

    # ----------------------------------------------------------------- 자료

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)

    def _arrange(self, tensor: Tensor) -> Tensor:
        # 쌍 풀에서 꺼낸 조각은 연속이지만 자른 조각은 아니다. DDP는 그래디언트와 값의 놓인 순서가 다르면 느려진다.
        layout = torch.channels_last if self.step_options.channels_last else torch.contiguous_format
        return tensor.contiguous(memory_format=layout)

    def _synthesise(self, data: Mapping[str, Any], sharpen: bool, keep_sharp: bool) -> tuple[Tensor, Tensor]:
        """GT 배치를 열화시키고, 자르고, 쌍 풀을 거쳐 (LQ, GT)를 만든다.

        Args:
            data: 데이터 로더의 배치.
            sharpen: 선명화한 GT를 열화시킬지.
            keep_sharp: 쌍 풀로 선명화한 GT를 보낼지, 본래 GT를 보낼지.
        """
        gt, kernels = self._to_device(data["gt"]), Kernels.from_batch(data, self.device)
        base, lq = synthesise(gt, kernels, self.pipeline, self.random, sharpen)
        source = base if keep_sharp else gt
        size = int(self.opt["gt_size"])
        (cropped,), lq = random_crop((source,), lq, size, self.pipeline.scale, self.random.host)
        return self.pool.exchange(lq, cropped, self.random.host)

    def _paired(self, data: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """짝 자료의 배치에서 (LQ, GT)를 꺼낸다.

        Raises:
            OptionError: 배치에 LQ나 GT가 없을 때.
        """
        missing = [name for name in ("lq", "gt") if name not in data and (name == "lq" or self.is_train)]
        if missing:
            raise OptionError(
                f"짝 자료의 배치에 {', '.join(missing)}가 없습니다.\n  데이터셋이 준 것은 {', '.join(data)}입니다.\n"
                "  해결: 정답만 있는 자료라면 high_order_degradation: false를 지우고, 직접 만든 데이터셋이라면 항목에 "
                "lq와 gt를 넣으세요."
            )
        lq = self._to_device(data["lq"])
        return lq, self._to_device(data["gt"]) if "gt" in data else lq.new_empty(0)

    def _keep(self, lq: Tensor, gt: Tensor) -> None:
        """배치를 `lq`와 `gt`에 둔다. 정답이 없는 배치면 앞 배치의 정답이 남지 않게 지운다."""
        self.lq = self._arrange(lq)
        if gt.numel():
            self.gt = self._arrange(gt)
        elif hasattr(self, "gt"):
            del self.gt

    # ----------------------------------------------------------------- 걸음

    def model_ema(self, decay: float = 0.999) -> None:
        """EMA를 한 번 갱신한다. BasicSR과 달리 버퍼도 따라간다."""
        update_ema(self.net_g_ema, self.get_bare_model(self.net_g), decay)

    def _finish_step(self, results: list[StepResult], iteration: int) -> None:
        bad = [name for result in results for name in result.bad]
        self.guard.record(bad, iteration, self.last_checkpoint)
        if not bad and self.ema_decay > 0:
            self.model_ema(self.ema_decay)
        for result in results:
            self.log_dict.update(result.logs)

    # ----------------------------------------------------------------- 검증

    def nondist_validation(self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool) -> None:
        """검증 자료를 재고 기록한다. 훈련 중이던 배치와 상태는 건드리지 않는다.

        `validation`이 부른다. 원본의 모델을 이어받은 클래스가 앞뒤로 할 일을 더하는 자리다.
        """
        self._validate(dataloader, current_iter, tb_logger, save_img)

    def dist_validation(self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool) -> None:
        """여러 프로세스의 검증. 프로세스마다 제 몫을 재고 모은다."""
        self.nondist_validation(dataloader, current_iter, tb_logger, save_img)

    def _validate(self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool) -> None:
        name = dataloader.dataset.opt["name"]
        metrics: dict[str, Any] = (self.opt.get("val") or {}).get("metrics") or {}
        sums = MetricSums((key for key, value in metrics.items() if not is_set_metric(value)), self.device)
        sets = {key: value["metric"] for key, value in metrics.items() if is_set_metric(value)}
        set_folder = Path(self.opt["path"]["visualization"]) / "_sets" / name / str(current_iter)
        for count, data in enumerate(dataloader):
            picture, gt = self._restore(data)
            stem = Path(data.get("lq_path", data.get("gt_path", [f"{count:04d}"]))[0]).stem
            if save_img:
                gray = data["lq"].shape[1] == 1
                write_picture(self._picture_path(name, stem, current_iter), picture[..., :1] if gray else picture)
            if (self.opt.get("val") or {}).get("side_by_side"):
                self._compare(data["lq"], picture, gt, (name, stem, current_iter), tb_logger)
            if sets and gt is not None:
                write_picture(set_folder / "result" / f"{stem}.png", picture)
                write_picture(set_folder / "gt" / f"{stem}.png", gt)
            for key in sums.names:
                sums.add(key, measure_picture(key, metrics[key], picture, gt))
        values = sums.means()
        values |= {key: measure_set(one, set_folder / "result", set_folder / "gt") for key, one in sets.items()}
        if metrics:
            self._log_metrics(values, name, current_iter, tb_logger)

    def _restore(self, data: Mapping[str, Any]) -> tuple[Picture, Picture | None]:
        return to_picture(self.upscale(data["lq"])), to_picture(data["gt"]) if "gt" in data else None

    def _compare(
        self, lq: Tensor, picture: Picture, gt: Picture | None, place: tuple[str, str, int], tb_logger: Any
    ) -> None:
        """LQ, 결과, 정답을 나란히 남긴다. TensorBoard를 쓰면 거기에도 적는다."""
        dataset, stem, iteration = place
        sheet = side_by_side(to_picture(lq), picture, gt)
        path = self._picture_path(dataset, stem, iteration)
        write_picture(path.with_name(f"{path.stem}_side_by_side.png"), sheet)
        if tb_logger is not None and self.opt.get("rank", 0) == 0:
            tb_logger.add_image(f"{dataset}/{stem}", sheet[..., ::-1].copy(), iteration, dataformats="HWC")

    def _picture_path(self, dataset: str, stem: str, iteration: int) -> Path:
        root = Path(self.opt["path"]["visualization"])
        if self.is_train:
            return root / stem / f"{stem}_{iteration}.png"
        return root / dataset / f"{stem}_{self.opt['val'].get('suffix') or self.opt['name']}.png"

    def _log_metrics(self, values: dict[str, float], dataset: str, iteration: int, tb_logger: Any) -> None:
        self.metric_results = values
        self._initialize_best_metric_results(dataset)
        for key, value in values.items():
            self._update_best_metric_result(dataset, key, value, iteration)
        self._log_validation_metric_values(iteration, dataset, tb_logger if self.opt.get("rank", 0) == 0 else None)

    # ----------------------------------------------------------------- 저장

    def network_groups(self) -> dict[str, dict[str, nn.Module]]:
        """파일마다 담을 네트워크들. 이름은 `net_g_{반복}.pth`의 앞부분과 그 안의 키다."""
        generator = {"params": self.net_g}
        if hasattr(self, "net_g_ema"):
            generator["params_ema"] = self.net_g_ema
        return {"net_g": generator}

    def save(self, epoch: int, current_iter: int, position: int | None = None) -> None:
        """체크포인트를 쓴다. `current_iter`가 -1이면 네트워크만 `latest`로 쓴다.

        `position`은 이 세대에서 이 프로세스가 이미 쓴 항목의 수다. 없으면 훈련 루프가 적어 둔 `self.position`이다.
        """
        save_model(self, epoch, current_iter, self.position if position is None else position)

    def resume_training(self, resume_state: Mapping[str, Any]) -> None:
        """저장한 상태에서 이어 간다."""
        resume_model(self, resume_state)
