"""EfficientNet and Xception (arXiv:1610.02357) of any width, as timm modules with the reference's names.

B4 has five layers of stride 2, and the padding there decides the result: three releases of
efficientnet_pytorch compute three different networks from the same weights. Keys and numbers: fact sheet of
arXiv:2004.07676, sections 1 and 2.
"""

import re
from functools import partial
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.resnet import initialise_kaiming

Trunk = Literal["b0", "b2", "b4"]
Padding = Literal["same", "static380-v063", "static380-v071", "symmetric"]

# B0's stages, depthwise-separable (ds) or inverted residual (ir): repeats r, kernel k, stride s, expansion e,
# channels c, squeeze-and-excitation ratio se
_STAGES = [
    ["ds_r1_k3_s1_e1_c16_se0.25"],
    ["ir_r2_k3_s2_e6_c24_se0.25"],
    ["ir_r2_k5_s2_e6_c40_se0.25"],
    ["ir_r3_k3_s2_e6_c80_se0.25"],
    ["ir_r3_k5_s1_e6_c112_se0.25"],
    ["ir_r4_k5_s2_e6_c192_se0.25"],
    ["ir_r1_k3_s1_e6_c320_se0.25"],
]
_SCALES = {
    "b0": (1.0, 1.0, 224),
    "b2": (1.1, 1.2, 260),
    "b4": (1.4, 1.8, 380),
}  # width, depth, side it was made for
B4_BLOCKS = (0, 2, 6, 10, 16, 22, 30)  # index of each stage's first block in B4


def efficientnet(
    trunk: Trunk,
    width: int = 32,
    padding: Padding = "same",
    drop_connect: float = 0.2,
    norm_momentum: float = 0.01,
) -> nn.Module:
    """Build a trunk without classifier: timm's ``tf_efficientnet_b0``, ``_b2`` or ``_b4`` where width is 32.

    Args:
        trunk: which pair of width and depth multipliers.
        width: channels that the width multiplier is applied to, in B0 the stem's; 32 in the paper.
        padding: ``same`` pads from each map's size, as TensorFlow does. The others pad by fixed amounts,
            whatever the input: those of efficientnet_pytorch up to 0.6.3, of 0.7.1, and of 0.7.0
            (``symmetric``).
        drop_connect: probability of dropping a block times its place in the network, in training only.
        norm_momentum: of the running statistics; 0.01 in efficientnet_pytorch.
    """
    from timm.models._efficientnet_builder import decode_arch_def, round_channels
    from timm.models.efficientnet import EfficientNet

    wider, deeper, side = _SCALES[trunk]
    scaled = partial(round_channels, multiplier=wider * width / 32)
    network = EfficientNet(
        decode_arch_def(_STAGES, deeper),
        num_classes=0,
        num_features=scaled(1280),
        pad_type="same" if padding == "same" else "",
        act_layer=nn.SiLU,
        norm_layer=partial(nn.BatchNorm2d, eps=1e-3, momentum=norm_momentum),
        round_chs_fn=scaled,
        drop_path_rate=drop_connect,
    )
    if padding.startswith("static"):
        _freeze_paddings(network, side, padding)
    return network


class FrozenPadConv2d(nn.Conv2d):
    """A convolution that pads ``before`` and ``after`` on both axes, whatever the size of its input.

    Args:
        conv: whose weight and stride it takes over; square, without bias.
        before: zeros above and to the left.
        after: zeros below and to the right.
    """

    def __init__(self, conv: nn.Conv2d, before: int, after: int) -> None:
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            (conv.kernel_size[0], conv.kernel_size[1]),
            (conv.stride[0], conv.stride[1]),
            groups=conv.groups,
            bias=False,
        )
        self.weight = conv.weight
        self.before_after = (before, after)

    def forward(self, input: Tensor) -> Tensor:
        """Pad and convolve (N, C, h, w)."""
        return super().forward(F.pad(input, self.before_after * 2))


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's SAME padding (before, after) of an axis: the output is ceil(size / stride) long."""
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _freeze_paddings(network: nn.Module, side: int, padding: Padding) -> None:
    """Give the strided layers the amounts of an input of ``side``.

    Release 0.6.3 used that side for every layer, 0.7.1 the side that the layer would see.
    """
    strided = [
        name for name, part in network.named_modules() if isinstance(part, nn.Conv2d) and part.stride[0] == 2
    ]
    for name in strided:
        conv = cast(nn.Conv2d, network.get_submodule(name))
        frozen = FrozenPadConv2d(conv, *same_padding(side, conv.kernel_size[0], 2))
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, frozen)
        if padding == "static380-v071":
            side = -(-side // 2)


def padding_of(backbone: str) -> Padding:
    """Infer the padding from how a checkpoint's trunk is described.

    Args:
        backbone: a padding's name, or a text with the version of efficientnet_pytorch; without one it is
            ``same``, because at 224 pixels the published checkpoints need it.
    """
    if backbone in get_args(Padding):
        return cast(Padding, backbone)
    version = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", backbone)
    if version is None:
        return "same"
    number = tuple(int(part or 0) for part in version.groups())
    if number < (0, 7, 0):
        return "static380-v063"
    return "symmetric" if number == (0, 7, 0) else "static380-v071"


_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
_FIRST = {  # the blocks of stage 0 do not expand
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_LATER = {
    **_FIRST,
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def timm_key(key: str) -> str:
    """Rename a key of efficientnet_pytorch's B4 to timm's; a key that is none of them stays as it is."""
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if block is None:
        part, _, tensor = key.partition(".")
        return f"{_TOP.get(part, part)}.{tensor}"
    index, part, tensor = int(block[1]), block[2], block[3]
    stage = max(s for s, first in enumerate(B4_BLOCKS) if first <= index)
    names = _LATER if stage else _FIRST
    return f"blocks.{stage}.{index - B4_BLOCKS[stage]}.{names.get(part, part)}.{tensor}"


_RENAMED = {  # how a key of the networks of arXiv:2004.07676 begins, and ours
    "feat_ext.classifier.": "unused_classifier.",
    "efficientnet.attconv.": "extractor.attention.",
    "xception.last_linear.": "classifier.",
    "xception.": "extractor.backbone.",
}


def official_key(key: str) -> str:
    """Rename a key of the networks of arXiv:2004.07676: efficientnet_pytorch and Cadene names to timm's."""
    inner = key if key.startswith("feat_ext.classifier.") else key.removeprefix("feat_ext.")
    for theirs, ours in _RENAMED.items():
        if inner.startswith(theirs):
            return ours + inner.removeprefix(theirs)
    if inner.startswith("efficientnet."):
        return f"extractor.backbone.{timm_key(inner.removeprefix('efficientnet.'))}"
    return inner


def load_imagenet(network: nn.Module, name: str) -> None:
    """Copy ImageNet weights that timm publishes into a trunk of full width.

    Args:
        network: a timm trunk.
        name: of the weights, e.g. ``tf_efficientnet_b4.aa_in1k``.

    Raises:
        UserError: the weights are not in timm's cache and cannot be fetched.
    """
    import timm

    try:
        state = timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # the hub raises its own kinds
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the ImageNet weights {name} cannot be obtained ({reason}): fetch them once with a connection, "
            "or set model.pretraining to none"
        ) from None
    network.load_state_dict(state, strict=True)


def xception(width: int = 32) -> nn.Module:
    """Build Xception without classifier: timm's ``legacy_xception`` where width is 32.

    Args:
        width: channels of the first convolution; 32 in the paper. The others scale alike, in steps of 8.
    """
    from timm.models.xception import Block, SeparableConv2d, Xception

    if width == 32:
        return Xception(num_classes=0)

    def scaled(channels: int) -> int:
        return max(8, round(channels * width / 32 / 8) * 8)

    with torch.device("meta"):
        network = Xception(num_classes=0)  # every layer with weights is replaced below
    network.conv1 = nn.Conv2d(3, scaled(32), 3, stride=2, bias=False)
    network.conv2 = nn.Conv2d(scaled(32), scaled(64), 3, bias=False)
    network.block1 = Block(scaled(64), scaled(128), 2, 2, start_with_relu=False)
    network.block2 = Block(scaled(128), scaled(256), 2, 2)
    network.block3 = Block(scaled(256), scaled(728), 2, 2)
    for n in range(4, 12):
        network.add_module(f"block{n}", Block(scaled(728), scaled(728), 3, 1))
    network.block12 = Block(scaled(728), scaled(1024), 2, 2, grow_first=False)
    network.conv3 = SeparableConv2d(scaled(1024), scaled(1536), 3, 1, 1)
    network.conv4 = SeparableConv2d(scaled(1536), scaled(2048), 3, 1, 1)
    for n, channels in enumerate((32, 64, 1536, 2048), start=1):
        network.add_module(f"bn{n}", nn.BatchNorm2d(scaled(channels)))
    network.num_features = network.head_hidden_size = scaled(2048)
    initialise_kaiming(network)
    return network
