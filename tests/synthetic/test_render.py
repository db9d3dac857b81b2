import numpy as np
import pandas as pd
import pytest

from fer_repro.errors import UserError
from fer_repro.synthetic.expression import prototype, sample_actions
from fer_repro.synthetic.factors import ACTION_COLUMNS, CLASSES, FACTOR_COLUMNS, HAIR_STYLES
from fer_repro.synthetic.render import render
from fer_repro.synthetic.stills import sample_stills


@pytest.fixture(scope="module")
def table():
    return sample_stills(5, {"train": 3}, 1)


@pytest.fixture(scope="module")
def plain(table):
    """One bald, beardless face, seen from the front in even light, without occluder, blur or noise."""
    even = {"light_azimuth": 0.0, "light_elevation": 20.0, "light_strength": 0.5, "light_ambient": 0.5}
    still = dict.fromkeys(("yaw", "pitch", "roll", "gaze_x", "gaze_y", "jitter_x", "jitter_y"), 0.0)
    clean = {"occluder": "none", "blur": 0.0, "noise": 0.0, "jpeg": 0, "zoom": 1.15, "backdrop": 0.1}
    bare = {"hair_style": "bald", "beard": 0.0, "moustache": 0.0, "freckles": 0.0}
    average = {"skin_tone": 0.3, "asymmetry": 0.0, "age": 30.0}
    calm = dict.fromkeys(ACTION_COLUMNS, 0.0)
    return table[:1].assign(**even, **still, **clean, **bare, **average, **calm)


def image(row, size=64, **changes):
    return render(row.assign(**changes), size).images[0].astype(float)


def test_same_factors_give_the_same_bytes_alone_or_in_a_batch(table):
    images = render(table, 48).images
    assert images.shape == (21, 48, 48)
    assert images.dtype == np.uint8
    assert np.array_equal(images, render(table, 48).images)
    assert np.array_equal(images[13:15], render(table[13:15], 48).images)


def test_sizes_show_the_same_face(table):
    sharp = table.assign(noise=0.0, jpeg=0, blur=0.0)
    small = render(sharp, 32).images.astype(float)
    large = render(sharp, 96).images.reshape(-1, 32, 3, 32, 3).mean(axis=(2, 4))
    assert np.abs(small - large).mean() < 2.5


def test_grey_is_the_grey_of_the_colours(table):
    clean = table.assign(noise=0.0, jpeg=0)
    colour = render(clean, 32, colour=True).images
    assert colour.shape == (21, 32, 32, 3)
    grey = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey - render(clean, 32).images).max() <= 1.01


def test_yaw_moves_the_nose_to_its_side(plain):
    def nose(yaw):
        lit = image(plain, 96, yaw=yaw, light_azimuth=0.0, light_elevation=60.0)
        band = lit[45:62, 18:78]  # the nostrils and the shade below the nose are the darkest there
        dark = np.maximum(np.median(band) - 35.0 - band, 0.0)
        return (dark.sum(0) * np.arange(dark.shape[1])).sum() / dark.sum()

    left, middle, right = nose(-20.0), nose(0.0), nose(20.0)
    assert left < middle - 2 < right - 4


def test_the_far_side_of_a_turned_head_is_hidden(plain):
    """An image sheared or moved as a whole would keep both halves of the face equally wide."""
    front, turned = image(plain, 96), image(plain, 96, yaw=30.0)
    mirrored = front[:, ::-1]
    assert np.abs(front - mirrored).mean() < 3.0
    assert np.abs(turned - turned[:, ::-1]).mean() > 8.0


def test_pitch_and_roll_turn_the_head(plain):
    def middle_of_eyes(row):
        dark = np.maximum(90.0 - row[20:70], 0.0)  # pupils, lashes, brows
        return (dark.sum(1) * np.arange(len(dark))).sum() / dark.sum()

    up, down = (image(plain, 96, pitch=angle, backdrop=0.6) for angle in (14.0, -14.0))
    assert not np.allclose(up, down)
    lean = image(plain, 96, roll=10.0, backdrop=0.0)
    cover = lean[:20] > 30
    columns = np.arange(96)[None].repeat(20, 0)
    assert columns[cover].mean() > 49  # the crown leans to the right


def test_light_comes_from_its_side(plain):
    lit = image(plain, light_azimuth=60.0)
    assert lit[20:44, 36:48].mean() > lit[20:44, 16:28].mean() + 15


def test_happy_lifts_the_corners_and_surprise_opens_the_mouth(plain):
    rest = render(plain, 96, regions=True)
    assert not rest.expressive.any()
    happy = render(plain.assign(**prototype("happy", 1.0, 2)), 96, regions=True)
    surprise = render(plain.assign(**prototype("surprise")), 96, regions=True)
    rows = np.arange(96)
    mouth = slice(60, 96)
    assert happy.expressive[0, 55:].any()
    assert happy.expressive.mean() < 0.5
    sad = image(plain, 96, **prototype("sad"))
    seam_at = [
        [rows[mouth][column.argmin()] for column in image[mouth].T[30:66]] for image in (happy.images[0], sad)
    ]
    bends = [np.mean(seam[:6] + seam[-6:]) - np.mean(seam[15:21]) for seam in seam_at]
    assert bends[0] < bends[1] - 1  # corners above the middle when happy, below when sad
    inside = surprise.images[0, 66:86, 44:52].astype(float)
    assert inside.min() < rest.images[0, 66:86, 44:52].min() - 10
    brows = surprise.expressive[0, 15:40]
    assert brows.any()


@pytest.mark.parametrize("name", CLASSES[:-1])
def test_stronger_expressions_change_more(plain, name):
    rest = image(plain)
    weak, strong = (image(plain, **prototype(name, intensity)) for intensity in (0.4, 1.0))
    assert 0.2 < np.abs(weak - rest).mean() < np.abs(strong - rest).mean()


def test_expressions_differ_from_each_other(plain):
    images = np.stack([image(plain, **prototype(name)) for name in CLASSES])
    distances = np.abs(images[:, None] - images[None]).mean(axis=(2, 3))
    assert distances[~np.eye(7, dtype=bool)].min() > 0.8


@pytest.mark.parametrize("kind", ["glasses", "sunglasses", "mask", "hand", "hair", "block"])
@pytest.mark.parametrize("yaw", [0.0, 22.0])
def test_the_occluder_mask_covers_what_the_occluder_changes(plain, kind, yaw):
    placed = {"occluder": kind, "occluder_x": 0.2, "occluder_y": -0.5, "occluder_size": 0.6, "yaw": yaw}
    with_it = render(plain.assign(**placed, occluder_tone=0.1, occluder_angle=10.0), 64, colour=True)
    without = render(plain.assign(yaw=yaw), 64, colour=True)
    changed = np.abs(with_it.images[0].astype(int) - without.images[0]).max(axis=2) > 4
    covered = with_it.occluded[0]
    assert 0.01 < covered.mean() < 0.5
    assert not (changed & ~covered).any()
    assert changed[covered].mean() > 0.75
    assert not without.occluded.any()


def test_every_hair_style_draws(plain):
    styles = pd.concat([plain.assign(hair_style=style) for style in HAIR_STYLES])
    images = render(styles, 32).images
    assert len({image.tobytes() for image in images}) == len(HAIR_STYLES)


def test_camera_steps_change_the_image(plain):
    clean = image(plain)
    assert np.abs(image(plain, noise=4.0) - clean).std() > 1.5
    assert np.abs(np.diff(image(plain, blur=1.0))).mean() < np.abs(np.diff(clean)).mean()
    assert 0 < np.abs(image(plain, jpeg=40) - clean).mean() < 10
    moved = image(plain, jitter_x=4 / 64)
    assert np.abs(moved[:, 8:56] - clean[:, 4:52]).mean() < 1.0  # to the right by four pixels


def test_actions_stay_within_bounds():
    generator = np.random.default_rng(0)
    for label in range(7):
        actions = sample_actions(generator, label, 1.0)
        assert list(actions) == list(ACTION_COLUMNS)
        assert all(0 <= value <= 1 for value in actions.values())
    assert not any(prototype("neutral").values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="yaw"), "'yaw' is missing"),
        (lambda t: t.assign(pitch=np.nan), "row 0, column 'pitch'"),
        (lambda t: t.assign(hair_style="mohawks"), "row 0, column 'hair_style' is 'mohawks'"),
        (lambda t: t.assign(occluder="glases"), "did you mean 'glasses'"),
    ],
)
def test_bad_factors_are_named(plain, change, message):
    with pytest.raises(UserError, match=message):
        render(change(plain), 32)


def test_bad_sizes_and_names_are_named(plain):
    with pytest.raises(UserError, match="size is 3"):
        render(plain, 3)
    with pytest.raises(UserError, match="did you mean 'surprise'"):
        prototype("suprise")


def test_every_factor_is_a_column(table):
    assert set(FACTOR_COLUMNS) <= set(table.columns)
