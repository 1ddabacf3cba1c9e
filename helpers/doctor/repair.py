"""What the data doctor's mends name: each returns a new array and writes no file."""

import numpy as np

__all__ = ["fix_labels", "labels_from_colours", "labels_from_mask", "relabel", "split_pieces"]


def labels_from_mask(mask):
    """Return a number for each connected piece of foreground.

    Parameters
    ----------
    mask : ndarray
        YX or ZYX; everything above 0 is foreground.

    Returns
    -------
    ndarray of int32
        Labels 1, 2, ... in reading order.

    Notes
    -----
    Pixels that touch at a corner are connected. Objects that touch become one: draw a line of
    background between them, or separate them by hand.

    Examples
    --------
    >>> labels_from_mask(np.array([[255, 0, 255, 255]]))
    array([[1, 0, 2, 2]], dtype=int32)
    """
    from skimage.measure import label

    return label(np.asarray(mask) > 0).astype(np.int32)


def split_pieces(labels, *, keep="all"):
    """Return labels of which each is one connected piece.

    Parameters
    ----------
    labels : ndarray of integers
        YX or ZYX.
    keep : {"all", "largest"}
        "all" gives each further piece a number of its own; "largest" turns all but the largest
        piece of a label into background.

    Returns
    -------
    ndarray of int32
        The largest piece (the first of equals) keeps the label; new numbers follow the
        highest one.

    Raises
    ------
    ValueError
        If `keep` is neither.

    Examples
    --------
    >>> split_pieces(np.array([[4, 4, 0, 4]]))
    array([[4, 4, 0, 5]], dtype=int32)
    >>> split_pieces(np.array([[4, 4, 0, 4]]), keep="largest")
    array([[4, 4, 0, 0]], dtype=int32)
    """
    if keep not in ("all", "largest"):
        raise ValueError(f"keep is {keep!r}: give 'all' or 'largest'")
    labels = np.asarray(labels)
    pieces, label_of, size_of = find_pieces(labels)
    number_of = label_of.copy()
    is_further = np.ones(len(label_of), bool)
    largest_first = np.argsort(-size_of, kind="stable")
    is_further[largest_first[np.unique(label_of[largest_first], return_index=True)[1]]] = False
    n_new = np.count_nonzero(is_further)
    top = labels.max(initial=0)
    number_of[is_further] = np.arange(top + 1, top + 1 + n_new) if keep == "all" else 0
    return number_of[pieces].astype(np.int32)


def find_pieces(labels):
    """Return the connected pieces of all labels.

    Parameters
    ----------
    labels : ndarray of integers
        YX or ZYX.

    Returns
    -------
    pieces : ndarray of int
        A number for each piece, 0 for background.
    label_of, size_of : ndarray of int
        The label and the number of pixels of each piece; entry 0 is the background.
    """
    from skimage.measure import label

    pieces = label(labels, background=0)
    label_of = np.zeros(pieces.max(initial=0) + 1, np.int64)
    label_of[pieces] = labels
    return pieces, label_of, np.bincount(pieces.ravel(), minlength=len(label_of))


def relabel(labels):
    """Return labels with the numbers 1, 2, ... in the same order, without gaps.

    Parameters
    ----------
    labels : ndarray of integers
        Any shape, 0 for background.

    Returns
    -------
    ndarray of int32

    Examples
    --------
    >>> relabel(np.array([0, 7, 3, 7]))
    array([0, 2, 1, 2], dtype=int32)
    """
    labels = np.asarray(labels)
    values = np.unique(labels)
    return np.searchsorted(values[values != 0], labels, side="left").astype(np.int32) + (
        labels != 0
    )


def labels_from_colours(mask):
    """Return a number for each colour of a colour-coded mask, with black as background.

    Parameters
    ----------
    mask : ndarray
        YXC or ZYXC.

    Returns
    -------
    ndarray of int32
        YX or ZYX; 1, 2, ... in the order of the colours' values.
    """
    mask = np.asarray(mask)
    colours, numbers = np.unique(mask.reshape(-1, mask.shape[-1]), axis=0, return_inverse=True)
    has_black = not colours[0].any()
    return (numbers.reshape(mask.shape[:-1]) + (not has_black)).astype(np.int32)


def fix_labels(labels, *, keep="all"):
    """Return a clean label image: int32, one piece per label, numbers without gaps.

    Parameters
    ----------
    labels : ndarray
        YX, ZYX, or colour-coded YXC. Whole numbers of any type; negative ones become
        background. A mask with one value becomes one label per connected piece.
    keep : {"all", "largest"}
        What happens to further pieces of a label, see `split_pieces`.

    Returns
    -------
    ndarray of int32
        YX or ZYX.

    Raises
    ------
    ValueError
        If there are fractions or NaN.
    """
    from helpers.images import check_labels

    labels = np.asarray(labels)
    if labels.ndim > 2 and labels.shape[-1] in (2, 3, 4):
        labels = labels_from_colours(labels)
    if labels.dtype.kind in "if":
        labels = np.maximum(labels, 0)
    labels = check_labels(labels, "labels").astype(np.int32)
    is_binary = len(np.unique(labels[labels > 0])) == 1
    return labels_from_mask(labels) if is_binary else relabel(split_pieces(labels, keep=keep))
