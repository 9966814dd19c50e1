"""torchrun이 띄우는 시험용 프로세스: 한 걸음 걷고 첫 프로세스가 결과를 저장한다."""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from realesrgan.basicsr_bridge import build_model
from realesrgan.models import realesrgan_model, realesrnet_model  # noqa: F401
from realesrgan.training import distributed
from tests.models.tiny import model_options, paired_batch


class Held(torch.utils.data.Dataset):
    """프로세스마다 다른 개수를 갖도록 다섯 장."""

    def __init__(self):
        self.opt = {"name": "held"}
        self.data = paired_batch(9, batch=5)

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return {"lq": self.data["lq"][index], "gt": self.data["gt"][index], "lq_path": f"{index}.png"}


def walk(folder: Path, gan: bool, extra: dict[str, str], rank: int, world_size: int) -> None:
    """한 걸음 걷고 그래디언트와 지표를 저장한다."""
    dtype = getattr(torch, extra.get("dtype", "float32"))
    torch.set_default_dtype(dtype)
    torch.manual_seed(0)
    changes = {"high_order_degradation": False, "rank": rank, "world_size": world_size, "dist": world_size > 1}
    if "accumulate" in extra:
        changes["train.accumulate"] = int(extra["accumulate"])
    model = build_model(model_options(folder, gan, **changes))
    torch.set_default_dtype(torch.float32)
    whole = paired_batch(1, batch=8)
    share = 8 // world_size
    batch = {name: value[rank * share : (rank + 1) * share] for name, value in whole.items()}
    if "nan" in extra and rank == 1:
        batch["lq"] = batch["lq"] * float("nan")
    model.feed_data(batch)
    for name in {"lq", "gt", "gt_usm"} & set(vars(model)):
        setattr(model, name, getattr(model, name).to(dtype))
    model.optimize_parameters(1)
    # 유한하지 않아 건너뛴 다음 걸음도 모든 프로세스가 함께 걸을 수 있어야 한다.
    if "nan" in extra:
        model.feed_data({name: value[rank * share : (rank + 1) * share] for name, value in whole.items()})
        model.optimize_parameters(2)
    grads = {f"g{i}": s["exp_avg"] for i, s in model.optimizer_g.state_dict()["state"].items()}
    if gan:
        grads |= {f"d{i}": s["exp_avg"] for i, s in model.optimizer_d.state_dict()["state"].items()}
    # 검증의 이미지는 float32다.
    model.net_g_ema.float()
    held = Held()
    loader = torch.utils.data.DataLoader(held, batch_size=1, sampler=range(rank, 5, world_size))
    model.validation(loader, 1, None)
    if rank == 0:
        skipped = model.guard.total
        buffers = dict(model.get_bare_model(model.net_d).named_buffers()) if gan else {}
        result = {"grads": grads, "buffers": buffers, "metrics": model.metric_results, "skipped": skipped}
        torch.save(result, folder / "result.pth")
    if dist.is_initialized():
        dist.barrier()


def main(arguments: list[str]) -> None:
    """폴더, 종류(net, gan), `이름=값`들을 받는다."""
    extra = dict(argument.split("=") for argument in arguments[2:])
    launcher = "pytorch" if "RANK" in os.environ else "none"
    rank, world_size = distributed.start(launcher, {"backend": "nccl"})
    # 모델은 walk가 끝나며 사라진다. 그룹에서 나오기 전이어야 한다.
    walk(Path(arguments[0]), arguments[1] == "gan", extra, rank, world_size)
    distributed.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
