import numpy as np
import pytest

from helpers.datasets import Split
from helpers.folds import split_folds, take_fold

NAMES = [f"{source}{i}" for source in "abcdef" for i in range(1 + (source == "a") * 5)]


def test_each_name_is_tested_once_and_never_learned_there():
    folds = split_folds(NAMES, 4)
    assert sorted(name for _, test in folds for name in test) == sorted(NAMES)
    for train, test in folds:
        assert not set(train) & set(test) and len(train) + len(test) == len(NAMES)
    sizes = [len(test) for _, test in folds]
    assert max(sizes) - min(sizes) <= 1


def test_no_source_leaks():
    folds = split_folds(NAMES, 3, groups=lambda name: name[0])
    for train, test in folds:
        assert not {name[0] for name in train} & {name[0] for name in test}
    assert sorted(len(test) for _, test in folds) == [2, 3, 6]


def test_seed_and_order():
    groups = {name: name[0] for name in NAMES}
    first = split_folds(NAMES, 3, groups=groups, seed=1)
    assert first == split_folds(NAMES, 3, groups=groups, seed=1)
    turned = split_folds(NAMES[::-1], 3, groups=groups, seed=1)
    assert [set(test) for _, test in first] == [set(test) for _, test in turned]
    assert any(first != split_folds(NAMES, 3, groups=groups, seed=s) for s in range(2, 9))


@pytest.mark.parametrize(
    ("names", "n_folds", "groups", "message"),
    [
        (["a", "a"], 2, None, "more than once"),
        (["a", "b"], 3, None, "n_folds is 3"),
        (["a", "b"], 1, None, "n_folds is 1"),
        (["a1", "a2"], 2, lambda name: name[0], "1 sources"),
        (["a", "b"], 2, {"a": 1}, "lacks b"),
    ],
)
def test_errors(names, n_folds, groups, message):
    with pytest.raises(ValueError, match=message):
        split_folds(names, n_folds, groups=groups)


def test_a_fold_of_a_whole_data_set_keeps_fields_apart():
    names = [f"{field}{i}" for field in "abcdef" for i in range(2)]
    images = [np.full((2, 2), i) for i in range(12)]
    data = {
        "train": Split("train", names[:8], images[:8], images[:8]),
        "test": Split("test", names[8:], images[8:], images[8:]),
    }
    tested = []
    for fold in (1, 2, 3):
        parts = take_fold(data, fold, n_folds=3, groups=lambda name: name[0])
        fields = {key: {name[0] for name in part.names} for key, part in parts.items()}
        assert sum(map(len, fields.values())) == 6  # no field is in two parts
        for part in parts.values():
            assert [names[x[0, 0]] for x in part.images] == part.names
            assert all(x is y for x, y in zip(part.images, part.masks, strict=True))
        tested += parts["test"].names
    assert sorted(tested) == names
    with pytest.raises(ValueError, match="fold is 0 of 5: give 1 to n_folds"):
        take_fold(data, 0)
