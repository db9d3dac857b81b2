import pytest
import torch

from fer_repro.errors import UserError
from fer_repro.layers.image_sets import SharedTrunk, check_mask, images_second, weighted_mean


def test_every_image_is_embedded_alike():
    trunk = SharedTrunk(2).double().eval()
    images = torch.rand(2, 3, 3, 32, 32).double()
    with torch.no_grad():
        together = trunk.embed(images)
        assert together.shape == (2, 3, 16)
        for n in range(2):
            torch.testing.assert_close(together[n], trunk.embed_images(images[n]), rtol=1e-9, atol=1e-12)


def test_padding_is_zero_and_not_computed():
    trunk = SharedTrunk(2).train()
    images, mask = torch.rand(2, 3, 3, 32, 32), torch.tensor([[True, False, True], [False, True, True]])
    images[~mask] = torch.inf
    seen = []
    trunk.conv1.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    vectors = trunk.embed(images, mask)
    assert seen == [4]
    assert (vectors[~mask] == 0).all()
    assert torch.isfinite(vectors).all()
    vectors.sum().backward()
    assert torch.isfinite(trunk.conv1.weight.grad).all()


def test_both_layouts_are_told_apart_by_their_channels():
    ours = torch.rand(2, 5, 3, 16, 20)
    assert images_second(ours, "frames") is ours
    assert torch.equal(images_second(ours.permute(0, 2, 3, 4, 1), "frames"), ours)
    three = torch.rand(2, 3, 3, 16, 20)
    assert images_second(three, "frames") is three
    assert torch.equal(images_second(three.permute(0, 2, 3, 4, 1), "frames"), three)


@pytest.mark.parametrize("shape", [(2, 5, 4, 16, 16), (5, 3, 16, 16), (2, 3, 5, 3, 16, 16)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(UserError, match=r"frames have the shape .*: expected \(N, frames, 3, H, W\)"):
        images_second(torch.rand(shape), "frames")


def test_empty_samples_are_named():
    images = torch.rand(3, 2, 3, 8, 8)
    check_mask(torch.tensor([[True, False]] * 3), images, "frames")
    with pytest.raises(UserError, match="samples 0, 2 of the batch have no frames"):
        check_mask(torch.tensor([[False, False], [True, True], [False, False]]), images, "frames")


def test_the_weighted_mean_by_hand():
    vectors = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]]])
    weights = torch.tensor([[[1.0], [3.0], [0.0]]])
    assert weighted_mean(vectors, weights).tolist() == [[2.5, 5.0]]
