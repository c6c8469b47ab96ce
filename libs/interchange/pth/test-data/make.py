"""Makes reference-form.pth with torch.save: the reference's form of a checkpoint, and every type of element, sharing and stride."""
import argparse
import collections
import os

import torch

a = torch.arange(6, dtype=torch.float32).reshape(2, 3)
weights = collections.OrderedDict(
    f32=a / 4,
    transposed=a.t(),
    part=a[:, 1:],
    scalar=torch.tensor(2.5),
    empty=torch.zeros(0, 3),
    expanded=torch.tensor([7.0]).expand(2, 2),
    f64=torch.tensor([1 / 3], dtype=torch.float64),
    f16=torch.tensor([1.5, -0.25, 65504], dtype=torch.float16),
    bf16=torch.tensor([1.5, -0.25, 3e38], dtype=torch.bfloat16),
    i64=torch.tensor([-(2**53), 7]),
    i32=torch.tensor([-5, 7], dtype=torch.int32),
    u8=torch.tensor([0, 255], dtype=torch.uint8),
    bool=torch.tensor([True, False]),
    parameter=torch.nn.Parameter(torch.tensor([1.0, 2.0])),
)
weights._metadata = {"": {"version": 1}}
args = argparse.Namespace(model="vit_tiny", lr=4e-3, epochs=300, clip_grad=None, model_ema=True, cutmix_minmax=[0.2, 0.8], big=2**70, minus=-300)
optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0]}]}
state = {"model": weights, "optimizer": optimizer, "epoch": 3, "scaler": {"scale": 65536.0}, "args": args, "model_ema": collections.OrderedDict(f32=a)}
torch.save(state, os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference-form.pth"))
