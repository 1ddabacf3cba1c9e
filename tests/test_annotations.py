"""Annotations of Supervisely, COCO and labelme, read from files written here."""

import base64
import io
import json
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, binary_erosion

from helpers.annotations import (
    decode_rle,
    read_coco,
    read_labelme,
    read_supervisely,
    write_supervisely,
)
from helpers.annotations.shapes import DrawnObject, Piece, paint_objects
from helpers.annotations.supervisely import fill_polygon


def random_labels(seed, shape=(40, 50), n=9):
    """Discs, some covered in part by others, some cut by the frame; ids with gaps."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    rows, columns = np.indices(shape)
    for k in range(1, n + 1):
        (row, column), radius = rng.uniform(0, shape), rng.uniform(0.5, 8)
        labels[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = 3 * k
    return labels


def compact(labels):
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def png_text(mask, *, mode="1", pack=False):
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(mask, bool)).convert(mode).save(buffer, "PNG")
    data = zlib.compress(buffer.getvalue()) if pack else buffer.getvalue()
    return base64.b64encode(data).decode()


# painting


def objects(*masks):
    return [DrawnObject(f"object {k}", "cell", [Piece((0, 0), m)]) for k, m in enumerate(masks, 1)]


LEFT, RIGHT = np.array([[1, 1, 0]], bool), np.array([[0, 1, 1]], bool)


@pytest.mark.parametrize(("overlap", "expected"), [("later", [1, 2, 2]), ("earlier", [1, 1, 2])])
def test_overlapping_pixel_belongs_to_the_later_or_earlier_object(overlap, expected):
    labels, classes = paint_objects(objects(LEFT, RIGHT), (1, 3), overlap=overlap)
    np.testing.assert_array_equal(labels, [expected])
    assert labels.dtype == np.int32 and classes == ("cell", "cell")


def test_overlap_can_be_refused_and_names_both():
    with pytest.raises(ValueError, match="object 2 overlaps object 1 in 1 pixels"):
        paint_objects(objects(LEFT, RIGHT), (1, 3), overlap="error")


def test_covered_object_leaves_a_gap_in_the_numbers():
    labels, classes = paint_objects(objects(LEFT, LEFT, RIGHT), (1, 3))
    np.testing.assert_array_equal(labels, [[2, 3, 3]])
    assert len(classes) == 3


@pytest.mark.parametrize("corner", [(-1, -2), (1, 3), (0, 0)])
def test_what_leaves_the_image_is_cut_off(corner):
    piece = Piece(corner, np.ones((2, 3), bool))
    labels, _ = paint_objects([DrawnObject("o", "c", [piece])], (2, 4))
    expected = np.zeros((6, 10), int)
    expected[corner[0] + 2 : corner[0] + 4, corner[1] + 3 : corner[1] + 6] = 1
    np.testing.assert_array_equal(labels, expected[2:4, 3:7])


@pytest.mark.parametrize("corner", [(-9, 0), (0, -9), (9, 0), (0, 99)])
def test_object_outside_of_the_image_is_refused(corner):
    with pytest.raises(ValueError, match="o covers no pixel of the image, which has 2 rows"):
        paint_objects([DrawnObject("o", "c", [Piece(corner, np.ones((2, 3), bool))])], (2, 4))


# Supervisely


def supervisely_project(folder, *objects, size=(6, 8)):
    write(folder / "meta.json", {"classes": [{"title": "Nucleus"}, {"title": "Debris"}]})
    size = {"height": size[0], "width": size[1]}
    write(folder / "a/ann/cell.png.json", {"size": size, "objects": list(objects)})
    return folder


def bitmap(mask, origin, **options):
    data = png_text(mask, pack=True, **options)
    return {"classTitle": "Nucleus", "geometryType": "bitmap",
            "bitmap": {"data": data, "origin": list(origin)}}  # fmt: skip


def polygon(exterior, *interior, title="Nucleus"):
    return {"classTitle": title, "geometryType": "polygon",
            "points": {"exterior": exterior, "interior": list(interior)}}  # fmt: skip


def test_bitmap_lies_at_its_origin_given_as_x_y(tmp_path):
    mask = np.array([[1, 0, 1], [1, 1, 1]])
    (found,) = read_supervisely(supervisely_project(tmp_path, bitmap(mask, (4, 1))))
    expected = np.zeros((6, 8), int)
    expected[1:3, 4:7] = mask
    np.testing.assert_array_equal(found.labels, expected)
    assert found.name == "a/cell.png"
    assert found.path == tmp_path / "a/img/cell.png"
    assert found.classes == ("Nucleus",)


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_bitmap_without_alpha_is_what_is_not_black(tmp_path, mode):
    project = supervisely_project(tmp_path, bitmap([[0, 1]], (0, 0), mode=mode))
    np.testing.assert_array_equal(np.argwhere(read_supervisely(project)[0].labels), [[0, 1]])


def test_bitmap_with_alpha_is_what_is_not_transparent(tmp_path):
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, 1] = (0, 0, 0, 255)  # black and opaque
    pixels[0, 2] = (255, 255, 255, 0)  # white and transparent
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    data = base64.b64encode(zlib.compress(buffer.getvalue())).decode()
    entry = {**bitmap([[1]], (0, 0)), "bitmap": {"data": data, "origin": [2, 0]}}
    found = read_supervisely(supervisely_project(tmp_path, entry))[0]
    np.testing.assert_array_equal(np.argwhere(found.labels), [[0, 3]])


def test_polygon_includes_its_line_and_a_hole_its_own(tmp_path):
    entry = polygon([[1, 1], [5, 1], [5, 5], [1, 5]], [[3, 3], [4, 3], [4, 4], [3, 4]])
    expected = np.zeros((6, 8), int)
    expected[1:6, 1:6] = 1
    expected[3:5, 3:5] = 0
    found = read_supervisely(supervisely_project(tmp_path, entry))[0]
    np.testing.assert_array_equal(found.labels, expected)


def test_object_in_the_hole_of_another_is_kept(tmp_path):
    ring = polygon([[0, 0], [4, 0], [4, 4], [0, 4]], [[1, 1], [3, 1], [3, 3], [1, 3]])
    for order in ([bitmap([[1]], (2, 2)), ring], [ring, bitmap([[1]], (2, 2))]):
        found = read_supervisely(supervisely_project(tmp_path, *order))[0]
        assert len(np.unique(found.labels)) == 3


def test_filled_polygon_agrees_with_pillow():
    corners = np.array([[3, 1], [30, 5], [22, 28], [9, 17]])
    canvas = Image.new("L", (40, 40))
    ImageDraw.Draw(canvas).polygon([tuple(c) for c in corners.tolist()], fill=1, outline=1)
    piece = fill_polygon(corners)
    ours = np.zeros((40, 40), bool)
    ours[1 : 1 + piece.mask.shape[0], 3 : 3 + piece.mask.shape[1]] = piece.mask
    theirs = np.asarray(canvas) > 0  # rounds lines between pixels differently, by one at most
    assert not (theirs & ~binary_dilation(ours)).any()
    assert not (binary_erosion(ours) & ~theirs).any()


def test_classes_choose_objects(tmp_path):
    triangle = [[0, 0], [2, 0], [0, 2]]
    project = supervisely_project(
        tmp_path, polygon(triangle, title="Debris"), bitmap([[1]], (5, 5))
    )
    (found,) = read_supervisely(project, classes=["Nucleus"])
    assert np.argwhere(found.labels).tolist() == [[5, 5]] and found.classes == ("Nucleus",)
    with pytest.raises(
        ValueError, match="classes has Cell, but .*meta.json lists only Debris, Nuc"
    ):
        read_supervisely(project, classes=["Cell"])


def test_old_exports_do_not_name_the_geometry(tmp_path):
    old = {k: v for k, v in bitmap([[1]], (5, 5)).items() if k != "geometryType"}
    old["points"] = {"exterior": [], "interior": []}
    found = read_supervisely(supervisely_project(tmp_path, old))[0]
    assert found.labels.sum() == 1


@pytest.mark.parametrize("geometry", ["bitmap", "polygon"])
@pytest.mark.parametrize("seed", range(5))
def test_supervisely_round_trip_is_exact(tmp_path, geometry, seed):
    labels = random_labels(seed)
    if geometry == "polygon":  # a polygon is one piece
        labels = cut_into_pieces(labels)
    image = np.random.default_rng(seed).integers(0, 60_000, labels.shape).astype(np.uint16)
    write_supervisely(tmp_path, {"x": image}, {"x": labels}, geometry=geometry)
    (found,) = read_supervisely(tmp_path, overlap="error")
    np.testing.assert_array_equal(found.labels, compact_in_order(labels, found.labels))
    assert found.path == tmp_path / "ds0/img/x.png" and found.path.exists()


def cut_into_pieces(labels):
    from skimage.measure import label

    return label(labels, background=0, connectivity=2)


def compact_in_order(labels, found):
    """Ids from 1 without gaps, in the order of the ids: what the export numbers by."""
    assert found.max() == len(np.unique(labels[labels > 0]))
    return compact(labels) if (labels == 0).any() else compact(labels) + 1


@pytest.mark.parametrize("geometry", ["bitmap", "polygon"])
def test_holes_and_single_pixels_survive_the_round_trip(tmp_path, geometry):
    labels = np.zeros((9, 12), np.int32)
    labels[1:8, 1:8] = 7
    labels[2, 2] = labels[4:7, 3] = labels[4, 5:7] = labels[5, 4] = 0  # holes, two of one pixel off
    labels[4, 5] = 9  # an object in a hole
    labels[0, 11] = 12
    write_supervisely(tmp_path, {"x": labels}, {"x": labels}, geometry=geometry)
    (found,) = read_supervisely(tmp_path, overlap="error")
    np.testing.assert_array_equal(found.labels, compact(labels))


def test_an_object_in_pieces_becomes_one_polygon_each(tmp_path):
    labels = np.array([[4, 0, 4, 0, 0], [0, 0, 0, 0, 4]])
    write_supervisely(tmp_path, {"x": labels}, {"x": labels}, geometry="polygon")
    np.testing.assert_array_equal(
        read_supervisely(tmp_path)[0].labels, [[1, 0, 2, 0, 0], [0] * 4 + [3]]
    )
    write_supervisely(tmp_path, {"x": labels}, {"x": labels}, dataset="b", class_title="Whole")
    both = {found.name: found.labels for found in read_supervisely(tmp_path)}
    np.testing.assert_array_equal(both["b/x.png"], labels > 0)
    assert list(both) == ["b/x.png", "ds0/x.png"]


def test_written_image_is_eight_bit_and_the_bitmap_transparent(tmp_path):
    image = np.array([[100, 600, np.nan], [1100, 100, np.inf]])
    write_supervisely(tmp_path, {"x": image}, {"x": np.eye(2, 3, dtype=int)})
    stored = cv2.imread(str(tmp_path / "ds0/img/x.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored, [[0, 128, 0], [255, 0, 0]])
    annotation = json.loads((tmp_path / "ds0/ann/x.png.json").read_text())
    data = zlib.decompress(base64.b64decode(annotation["objects"][0]["bitmap"]["data"]))
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded[..., 3] > 0, [[1, 0], [0, 1]])
    assert annotation["size"] == {"height": 2, "width": 3}


def test_export_replaces_nothing_unasked(tmp_path):
    pair = {"x": np.eye(3, dtype=np.uint8)}
    write_supervisely(tmp_path, pair, pair)
    before = (tmp_path / "ds0/ann/x.png.json").read_text()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_supervisely(tmp_path, pair, pair)
    assert (tmp_path / "ds0/ann/x.png.json").read_text() == before
    write_supervisely(tmp_path, pair, {"x": 0 * pair["x"]}, overwrite=True)
    assert not read_supervisely(tmp_path)[0].labels.any()


@pytest.mark.parametrize(
    ("images", "labels", "options", "message"),
    [
        ({"x": 0}, {"y": 0}, {}, "differ in the names x, y"),
        ({"a/b": np.eye(2)}, {"a/b": np.eye(2, dtype=int)}, {}, "'a/b' cannot name a file"),
        ({"x": np.eye(2)}, {"x": np.eye(3, dtype=int)}, {}, r"x: .*\(2, 2\) .*\(3, 3\)"),
        ({"x": np.ones((2, 2, 2))}, {"x": np.eye(2, dtype=int)}, {}, "x: .* 2 channels"),
        ({"x": np.eye(2)}, {"x": -np.eye(2, dtype=int)}, {}, "x: labels must lie between"),
        ({}, {}, {"geometry": "line"}, "geometry is 'line'"),
    ],
)
def test_what_cannot_be_exported_is_refused(tmp_path, images, labels, options, message):
    with pytest.raises(ValueError, match=message):
        write_supervisely(tmp_path, images, labels, **options)


def test_a_class_keeps_its_geometry(tmp_path):
    pair = {"x": np.eye(3, dtype=np.uint8)}
    write_supervisely(tmp_path, pair, pair)
    with pytest.raises(ValueError, match="'Nucleus' for bitmap objects"):
        write_supervisely(tmp_path, pair, pair, dataset="b", geometry="polygon")


def with_data(data, **options):
    return {**bitmap([[1]], (0, 0)), "bitmap": {"data": data, "origin": [0, 0], **options}}


NO_PNG = base64.b64encode(zlib.compress(b"x")).decode()
NO_ORIGIN = {**bitmap([[1]], (0, 0)), "bitmap": {"data": png_text([[1]], pack=True)}}
BOX = {**polygon([[0, 0], [1, 1]]), "geometryType": "rectangle"}
BROKEN = {
    "no PNG": (with_data(NO_PNG), "no PNG image"),
    "no zlib": (with_data("aGk="), "not zlib-packed"),
    "no base64": (with_data("?"), "no base64"),
    "no origin": (NO_ORIGIN, "has no 'origin'"),
    "beyond": (bitmap([[1, 1]], (7, 0)), "1 rows and 2 columns at x=7, y=0, which leaves"),
    "huge": (bitmap(np.ones((7, 9)), (0, 0)), "7 rows and 9 columns, larger than"),
    "two points": (polygon([[0, 0], [1, 1]]), "has 2 points: it needs at least 3"),
    "words": (polygon([["a", 0], [1, 1], [2, 2]]), "no list of finite pairs"),
    "rectangle": (BOX, "is a rectangle, which has no pixels"),
    "class": (polygon([], title="Cell"), "is of class 'Cell', which meta.json does not list"),
    "no class": ({}, "has no 'classTitle'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_object_is_named_with_its_file(tmp_path, name):
    entry, message = BROKEN[name]
    project = supervisely_project(tmp_path, bitmap([[1]], (0, 0)), entry)
    with pytest.raises(ValueError, match=rf"a.ann.cell\.png\.json, object 2.*{message}"):
        read_supervisely(project)


def test_a_bitmap_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path):
    bomb = base64.b64encode(zlib.compress(bytes(50_000_000))).decode()
    entry = {**bitmap([[1]], (0, 0)), "bitmap": {"data": bomb, "origin": [0, 0]}}
    with pytest.raises(ValueError, match="object 1 .*no PNG image"):
        read_supervisely(supervisely_project(tmp_path, entry))


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="meta.json does not exist"):
        read_supervisely(tmp_path)
    write(tmp_path / "meta.json", {"classes": []})
    with pytest.raises(FileNotFoundError, match="has no DATASET/ann/IMAGE.json"):
        read_supervisely(tmp_path)
    for text, message in [("{", "is no JSON text"), ("[]", "holds a list"), ("{}", "no 'size'")]:
        write(tmp_path / "a/ann/x.json", text)
        with pytest.raises(ValueError, match=rf"x\.json.*{message}"):
            read_supervisely(tmp_path)
    with pytest.raises(ValueError, match="overlap is 'both'"):
        read_supervisely(tmp_path, overlap="both")


# COCO


def coco(path, *annotations, size=(4, 5)):
    return write(path / "coco.json", {
        "images": [{"id": 3, "file_name": "a.png", "height": size[0], "width": size[1]},
                   {"id": 8, "file_name": "empty.png", "height": 2, "width": 2}],
        "categories": [{"id": 1, "name": "cell"}, {"id": 4, "name": "dust"}],
        "annotations": [{"image_id": 3, "category_id": 1, "id": k, **a}
                        for k, a in enumerate(annotations, 70)],
    })  # fmt: skip


def encode_rle(mask):
    """Runs and compressed text, written from the format's description, bit by bit."""
    flat = np.concatenate([[0], np.asarray(mask, int).T.ravel(), [2]])
    ends = np.flatnonzero(np.diff(flat))
    runs = np.diff(np.concatenate([[0], ends])).tolist()
    text = ""
    for k, run in enumerate(runs):
        value = run - runs[k - 2] if k > 2 else run
        groups = next(n for n in range(1, 9) if -(1 << 5 * n - 1) <= value < 1 << 5 * n - 1)
        for g in range(groups):
            text += chr(48 + (value >> 5 * g & 31) + 32 * (g < groups - 1))
    return runs, text


def test_coco_polygon_holds_the_pixels_whose_centres_lie_inside(tmp_path):
    square = {"segmentation": [[1, 0, 4, 0, 4, 2, 1, 2]]}
    found, empty = read_coco(coco(tmp_path, square))
    expected = np.zeros((4, 5), int)
    expected[0:2, 1:4] = 1
    np.testing.assert_array_equal(found.labels, expected)
    assert found.labels.dtype == np.int32
    assert (found.name, found.path, found.classes) == ("a.png", tmp_path / "a.png", ("cell",))
    assert empty.labels.shape == (2, 2) and not empty.labels.any()


def test_coco_polygons_of_one_annotation_are_one_object(tmp_path):
    parts = {"segmentation": [[0, 0, 1, 0, 1, 1, 0, 1], [3, 3, 5, 3, 5, 4, 3, 4]]}
    found = read_coco(coco(tmp_path, parts))[0]
    assert np.argwhere(found.labels == 1).tolist() == [[0, 0], [3, 3], [3, 4]]


def test_coco_polygon_agrees_with_a_point_in_polygon_test(tmp_path):
    from matplotlib.path import Path as Outline

    rng = np.random.default_rng(0)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    corners = 20 + np.c_[np.cos(angles), np.sin(angles)] * rng.uniform(4, 19, (9, 1)) + 0.013
    found = read_coco(coco(tmp_path, {"segmentation": [corners.ravel().tolist()]}, size=(40, 42)))
    rows, columns = np.indices((40, 42)) + 0.5
    inside = Outline(corners).contains_points(np.c_[columns.ravel(), rows.ravel()])
    np.testing.assert_array_equal(found[0].labels.ravel() > 0, inside)


def test_rle_worked_out_by_hand():
    # column by column: 1 of background, 3 of object, 2 of background
    np.testing.assert_array_equal(decode_rle([1, 3, 2], (2, 3)), [[0, 1, 0], [1, 1, 0]])
    # one character each: 48 + run; the fourth is the difference to the second: 1 - 3 = -2 = 30
    np.testing.assert_array_equal(decode_rle("132N", (1, 7)), [[0, 1, 1, 1, 0, 0, 1]])
    # 16 needs two groups, since bit 16 of the last one is the sign: (16 + 32) + 48, 0 + 48
    assert decode_rle("0`0", (4, 4)).all()


@pytest.mark.parametrize("seed", range(4))
def test_both_forms_of_rle_agree_with_the_mask(tmp_path, seed):
    mask = random_labels(seed, shape=(50, 61)) > 0
    mask[0, 0] = seed % 2
    runs, text = encode_rle(mask)
    np.testing.assert_array_equal(decode_rle(runs, mask.shape), mask)
    np.testing.assert_array_equal(decode_rle(text, mask.shape), mask)
    for counts in (runs, text):
        entry = {"segmentation": {"size": [50, 61], "counts": counts}, "iscrowd": 0}
        np.testing.assert_array_equal(
            read_coco(coco(tmp_path, entry, size=(50, 61)))[0].labels, mask
        )


def test_coco_crowds_are_left_out_and_classes_choose(tmp_path):
    square = {"segmentation": [[1, 0, 4, 0, 4, 2, 1, 2]]}
    crowd = {"segmentation": {"size": [4, 5], "counts": [0, 20]}, "iscrowd": 1}
    dust = {**square, "category_id": 4}
    path = coco(tmp_path, crowd, dust, square)
    assert read_coco(path)[0].classes == ("dust", "cell")
    (only, _) = read_coco(path, classes=["dust"], images=tmp_path / "img")
    assert only.classes == ("dust",) and only.path == tmp_path / "img/a.png"
    with pytest.raises(ValueError, match="classes has x, which .*coco.json does not list"):
        read_coco(path, classes=["x"])


def test_coco_overlap(tmp_path):
    path = coco(tmp_path, *[{"segmentation": [[x, 0, x + 2, 0, x + 2, 1, x, 1]]} for x in (0, 1)])
    rows = {o: read_coco(path, overlap=o)[0].labels[0].tolist() for o in ("later", "earlier")}
    assert rows == {"later": [1, 2, 2, 0, 0], "earlier": [1, 1, 2, 0, 0]}
    with pytest.raises(ValueError, match="annotation 71 .* overlaps .*annotation 70"):
        read_coco(path, overlap="error")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"image_id": 5}, "belongs to image 5"),
        ({"category_id": 5}, "has category 5"),
        ({}, "has no 'segmentation'"),
        ({"segmentation": []}, "empty segmentation"),
        ({"segmentation": [[1, 2, 3]]}, "no list x1, y1"),
        ({"segmentation": [[1, 2, 3, 4]]}, "has 2 points"),
        ({"segmentation": [[8, 8, 9, 8, 9, 9]]}, "covers no pixel"),
        ({"segmentation": {"size": [5, 4], "counts": [20]}}, r"size \[5, 4\], .* 4 rows and 5"),
        ({"segmentation": {"size": [4, 5], "counts": [3, 4]}}, "add up to 7 pixels"),
        ({"segmentation": {"size": [4, 5], "counts": [-1, 21]}}, "smallest -1"),
        ({"segmentation": {"size": [4, 5], "counts": "\x7f"}}, "is not part of the code"),
        ({"segmentation": {"size": [4, 5], "counts": "`"}}, "ends within a number"),
    ],
)
def test_broken_coco_annotation_is_named(tmp_path, entry, message):
    with pytest.raises(ValueError, match=rf"coco\.json, annotation 70.*{message}"):
        read_coco(coco(tmp_path, entry))


def test_coco_files_must_be_whole(tmp_path):
    path = write(tmp_path / "c.json", {"images": [], "annotations": []})
    with pytest.raises(ValueError, match=r"c\.json has no 'categories'"):
        read_coco(path)
    twice = [{"id": 1, "file_name": "a", "height": 1, "width": 1}] * 2
    write(path, {"images": twice, "annotations": [], "categories": []})
    with pytest.raises(ValueError, match="image 2 has the id 1 of an earlier image"):
        read_coco(path)


# labelme


def labelme(folder, *shapes, name="a", size=(30, 40)):
    shapes = [{"label": "cell", "group_id": None, **shape} for shape in shapes]
    content = {"shapes": shapes, "imagePath": f"..\\raw\\{name}.tif", "imageData": None}
    return write(
        folder / f"{name}.json", {**content, "imageHeight": size[0], "imageWidth": size[1]}
    )


def test_labelme_shapes_are_filled_as_labelme_does(tmp_path):
    corners = [[3.4, 2.7], [20.1, 5.5], [33.9, 28.0], [7.2, 19.6]]
    shapes = [
        {"shape_type": "polygon", "points": corners},
        {"shape_type": "rectangle", "points": [[30, 8], [25, 2]]},
        {"shape_type": "circle", "points": [[6, 24], [6, 27]]},
    ]
    draws = [
        lambda d: d.polygon([tuple(c) for c in corners], fill=1, outline=1),
        lambda d: d.rectangle([25, 2, 30, 8], fill=1, outline=1),
        lambda d: d.ellipse([3, 21, 9, 27], fill=1, outline=1),
    ]
    expected = np.zeros((30, 40), int)
    for number, draw in enumerate(draws, start=1):
        canvas = Image.new("L", (40, 30))
        draw(ImageDraw.Draw(canvas))
        expected[np.asarray(canvas) > 0] = number
    (found,) = read_labelme(labelme(tmp_path, *shapes))
    np.testing.assert_array_equal(found.labels, expected)
    assert (found.name, found.path.name) == ("a", "a.tif")


def test_labelme_mask_lies_between_its_points(tmp_path):
    mask = np.array([[0, 1, 1], [1, 1, 0]])
    entry = {"shape_type": "mask", "points": [[5, 7], [7, 8]], "mask": png_text(mask)}
    found = read_labelme(labelme(tmp_path, entry))[0]
    expected = np.zeros((30, 40), int)
    expected[7:9, 5:8] = mask
    np.testing.assert_array_equal(found.labels, expected)


def test_labelme_groups_are_one_object(tmp_path):
    dots = [[[x, 5], [x + 2, 5], [x, 7]] for x in (1, 10, 20, 30)]
    groups = [None, 4, 4, None]
    shapes = [{"points": p, "group_id": g} for p, g in zip(dots, groups, strict=True)]
    found = read_labelme(labelme(tmp_path, *shapes))[0]
    assert found.labels[5, [1, 10, 20, 30]].tolist() == [1, 2, 2, 3]


def test_labelme_folder_classes_and_overlap(tmp_path):
    triangle = {"points": [[1, 1], [5, 1], [1, 5]]}
    labelme(tmp_path, triangle, {**triangle, "label": "dust"}, name="b")
    labelme(tmp_path, name="a")
    found = read_labelme(tmp_path, classes=["cell"])
    assert [(f.name, f.classes) for f in found] == [("a", ()), ("b", ("cell",))]
    assert read_labelme(tmp_path)[1].labels.max() == 2
    assert read_labelme(tmp_path, overlap="earlier")[1].labels.max() == 1


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"shape_type": "line", "points": [[0, 0], [1, 1]]}, "is a line, which has no area"),
        ({"points": [[0, 0], [1, 1]]}, "has 2 points"),
        ({"points": None}, "no list of finite pairs"),
        ({"shape_type": "mask", "points": [[0, 0], [1, 1]]}, "has no 'mask'"),
        (
            {"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": png_text([[1]])},
            "mask of 1 rows and 1 columns, but its points span 2 and 2",
        ),
    ],
)
def test_broken_labelme_shape_is_named(tmp_path, shape, message):
    with pytest.raises(ValueError, match=rf"a\.json, shape 1 \(cell\).*{message}"):
        read_labelme(labelme(tmp_path, shape))


def test_missing_labelme_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no .json file"):
        read_labelme(tmp_path)
    with pytest.raises(ValueError, match=r"x\.json has no 'imageHeight'"):
        read_labelme(write(tmp_path / "x.json", {"shapes": []}))
