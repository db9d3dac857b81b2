"""What the controls of the cosine losses share: label smoothing."""

import torch


def check_smoothing_of_softmax(method, options):
    """Hold the smoothed loss of the arm ``softmax`` against PyTorch's, and find it unlike the plain one."""
    output = method.build_model("softmax", options, 7)(torch.rand(2, 3, 64, 64))
    targets = torch.tensor([1, 2])
    plain, smooth = (method.build_loss(options, *given)(output, targets) for given in ((), (0.1,)))
    wanted = torch.nn.functional.cross_entropy(output.logits, targets, label_smoothing=0.1)
    torch.testing.assert_close(smooth, wanted)
    assert plain.item() != smooth.item()
