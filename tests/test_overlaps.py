import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from data_download.samples.afm_sim import afm_maps, simulate_map
from helpers.afm.overlaps import find_overlaps, group_overlaps, make_relief
from helpers.doctor import check_dataset
from helpers.doctor.findings import NOTE, WARNING
from helpers.doctor.scans import check_overlaps
from helpers.folds import split_folds
from helpers.images import write_image, write_labels


def scan(field, y, x, rng, size=160):
    """Return a part of a field as a second scan would show it: another bow, noise and stretch."""
    yy, xx = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    part = field[y : y + size, x : x + size] + 15 * (
        (yy - rng.uniform(-1, 1)) ** 2 + xx * rng.uniform()
    )
    part = part + rng.normal(0, 0.5, part.shape) + rng.normal(0, 0.5, (size, 1))
    return (part * rng.uniform(0.6, 1.5)).astype(np.float32)


@pytest.fixture(scope="module")
def scans():
    """Seven scans: 0, 1, 2 in a chain, 3 and 4 of one field, 5 and 6 alone."""
    rng = np.random.default_rng(7)
    fields = [simulate_map(np.random.default_rng(s), size=288)[0] for s in range(4)]
    places = [
        (0, 10, 0),
        (0, 60, 40),
        (0, 100, 80),
        (1, 0, 90),
        (1, 100, 100),
        (2, 0, 0),
        (3, 50, 50),
    ]
    return [scan(fields[k], y, x, rng) for k, y, x in places]


@pytest.fixture(scope="module")
def table(scans):
    return find_overlaps(scans)


def test_finds_the_overlaps_and_their_shifts(table):
    shifts = {(r.first, r.second): (r.shift_y, r.shift_x) for r in table.itertuples()}
    expected = {("0", "1"): (50, 40), ("1", "2"): (40, 40), ("3", "4"): (100, 10)}
    far = {("0", "2"): (90, 80)}  # a fifth in common: may be found
    assert set(expected) <= set(shifts) <= set(expected | far)
    for pair, shift in shifts.items():
        assert np.allclose(shift, (expected | far)[pair], atol=2)
    row = table[(table["first"] == "0") & (table["second"] == "1")].iloc[0]
    assert row["share"] == pytest.approx(110 * 120 / 160**2, abs=0.03)
    assert row["ncc"] > 0.4 and table["ncc"].is_monotonic_decreasing


def test_order_of_the_two_turns_the_shift(scans):
    one = find_overlaps(scans[:2]).iloc[0]
    other = find_overlaps(scans[1::-1]).iloc[0]
    assert abs(one.shift_y + other.shift_y) <= 1 and abs(one.shift_x + other.shift_x) <= 1
    assert one.ncc == pytest.approx(other.ncc, abs=0.05)


def test_large_scans_give_shifts_in_their_own_pixels():
    field = gaussian_filter(np.random.default_rng(1).normal(0, 1, (900, 900)), 4)
    found = find_overlaps([field[:700, :700], field[150:850, 90:790]]).iloc[0]
    assert abs(found.shift_y - 150) <= 3 and abs(found.shift_x - 90) <= 3


def test_groups_keep_chains_together(scans, table):
    names = [str(i) for i in range(len(scans))]
    groups = group_overlaps(names, table)
    assert groups == {"0": "0", "1": "0", "2": "0", "3": "3", "4": "3", "5": "5", "6": "6"}
    for train, test in split_folds(names, 3, groups=groups):
        for pair in ({"0", "1"}, {"1", "2"}, {"3", "4"}):
            assert pair <= set(train) or pair <= set(test)


def test_different_maps_do_not_overlap():
    maps = [image for image, _ in afm_maps()["val"]]
    assert not len(find_overlaps(maps))


def test_relief_takes_bow_and_lines_out(scans):
    relief = make_relief(scans[0], side=128)
    y, x = np.mgrid[-1:1:160j, -1:1:160j]
    lines = np.random.default_rng(0).normal(0, 5, (160, 1))
    other = make_relief(scans[0] + 40 * (y**2 + x) + lines, side=128)
    assert relief.shape == (128, 128) and relief.std() == pytest.approx(1, abs=1e-3)
    assert np.corrcoef(relief.ravel(), other.ravel())[0, 1] > 0.8
    assert not make_relief(np.ones((20, 30)), side=128).any()


def test_doctor_warns_across_splits(scans):
    splits = {"train": (["a", "b", "c"], [scans[0], scans[3], scans[5]]),
              "test": (["d", "e"], [scans[1], scans[6]])}  # fmt: skip
    (finding,) = check_overlaps(splits)
    assert finding.severity == WARNING and finding.file == "d"
    assert "as a " in finding.finding and "group_overlaps" in finding.mend
    together = {"train": (["a", "b"], scans[:2]), "test": (["c"], [scans[5]])}
    assert check_overlaps(together) == []  # within one split an overlap does no harm
    (note,) = check_overlaps({"all": (["a", "b", "c"], [*scans[:2], scans[5]])})
    assert note.severity == NOTE
    mixed = {"train": (["a"], [scans[0]]), "test": (["b"], [scans[1][:100]])}
    assert check_overlaps(mixed) == []


def test_doctor_looks_for_overlaps_when_asked(scans, tmp_path):
    for split, scan in {"train": scans[0], "val": scans[5], "test": scans[1]}.items():
        write_image(tmp_path / split / "images" / f"{split}.tif", scan.astype(np.float32))
        write_labels(tmp_path / split / "masks" / f"{split}.tif", (scan > scan.mean()).astype(int))
    told = [check_dataset(tmp_path, task="semantic", overlaps=asked) for asked in (True, False)]
    found = [table.finding.str.contains("same piece as").sum() for table in told]
    assert found == [1, 0]


def test_errors(scans):
    with pytest.raises(ValueError, match="1 names for 2"):
        find_overlaps(scans[:2], ["a"])
    with pytest.raises(ValueError, match="longer sides"):
        find_overlaps([scans[0], scans[1][:99, :99]])
    with pytest.raises(ValueError, match="one plane"):
        make_relief(np.zeros((3, 3, 3)), side=8)
    with pytest.raises(ValueError, match="names z"):
        group_overlaps(["a"], [("a", "z")])
    assert not len(find_overlaps([])) and not len(find_overlaps(scans[:1]))
