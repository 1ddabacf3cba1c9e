"""Every notebook keeps the rules of docs/design.md, and was committed with clean outputs."""

import ast
import re
import runpy
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINKS = runpy.run_path(str(ROOT / "tools" / "links.py"))
# in the order in which they stand, as far as a notebook has them
SECTIONS = (
    "Parameters",
    "Data",
    "Check",
    "Model",
    "Train",
    "Predict",
    "Evaluate",
    "Where it fails",
    "Export",
    "Your own data",
    "References",
)
REQUIRED = {"Parameters", "Data", "Where it fails", "Your own data", "References"}
ABSOLUTE_PATH = re.compile(r"(?<![\w./~-])/(?:home|work|root|tmp|Users|opt|usr)\b|\b[A-Z]:\\")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def headings(notebook):
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return re.findall(r"^#+ +(.*)", "\n".join(texts), re.M)


def shown_texts(notebook):
    """Yield what a reader reads: the sources, and the outputs without their pictures."""
    for cell in notebook.cells:
        yield cell.source
        for output in cell.get("outputs", []):
            yield output.get("text", "")
            yield from (v for k, v in output.get("data", {}).items() if k.startswith("text/"))


def prints(source):
    """Tell whether a cell prints or shows something whatever happens: not in an `if` or `def`."""
    plain = "\n".join(line for line in source.splitlines() if not line.startswith(("%", "!")))
    calls = [node.value for node in ast.parse(plain).body if isinstance(node, ast.Expr)]
    names = [ast.unparse(call.func) for call in calls if isinstance(call, ast.Call)]
    return any(name in ("print", "display", "plt.show") for name in names)


# Each rule takes a notebook and yields one line for each fault.


def kernel_is_microseg(notebook):
    name = notebook.metadata.get("kernelspec", {}).get("name")
    if name != "microseg":
        yield f"the kernel is {name!r}"


def first_cell_is_title_with_badge(notebook):
    first = notebook.cells[0].source
    if not re.match(r"# \d\d ", first):
        yield "the first line is not '# NN Title'"
    if not LINKS["BADGE_LINK"].search(first):
        yield "no Colab badge in the first cell"


def setup_cell_is_the_common_one(notebook):
    if [cell.source.strip() for cell in tagged(notebook, "setup")] != [LINKS["setup_cell"]()]:
        yield "not exactly one cell tagged `setup`, equal to tools/setup_cell.py: run `make links`"


def parameters_are_complete(notebook):
    cells = tagged(notebook, "parameters")
    if len(cells) != 1:
        yield f"{len(cells)} cells are tagged `parameters`"
    for name in ("DATASET", "PRESET", "SEED", "RUN_NAME"):
        if cells and not re.search(rf"^{name} = ", cells[0].source, re.M):
            yield f"the parameters cell does not set {name}"


FORM_LINE = re.compile(
    r"(?P<name>\w+) = (?P<value>.+?)  # @param (?P<choices>\[.*?\])? ?(?P<options>\{.*?\})?( .+)?"
)
FORM_TYPES = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "raw": (int, float, tuple, list, dict, type(None)),
}


def parameters_are_a_form(notebook):
    lines = [line for cell in tagged(notebook, "parameters") for line in cell.source.splitlines()]
    for line in lines:
        if fault := form_fault(line):
            yield f"{fault}: {line!r}"


def form_fault(line):
    """Say what keeps Colab from showing a line of the parameters as a field; None if nothing."""
    found = FORM_LINE.fullmatch(line)
    if not found or not (found["choices"] or found["options"]):
        return "not NAME = value  # @param FORM # advice"
    value = ast.literal_eval(found["value"])
    if found["choices"] and value not in ast.literal_eval(found["choices"]):
        return "the value is none of the choices"
    kind = re.search(r'type:"(\w+)"', found["options"] or "")
    if not found["choices"] and (not kind or kind[1] not in FORM_TYPES):
        return "neither choices nor a type"
    if kind and type(value) not in FORM_TYPES[kind[1]]:
        return f"the value is no {kind[1]}"
    return None


def notebooks_that_train_can_only_predict(notebook):
    trains = [i for i, cell in enumerate(notebook.cells) if "= open_run(" in cell.source]
    if not trains:
        return
    for name in ("PREDICT_ONLY", "PREDICT_FOLDER"):
        if not any(f"\n{name} = " in cell.source for cell in tagged(notebook, "parameters")):
            yield f"the parameters cell does not set {name}"
    first = "\n".join(cell.source for cell in notebook.cells[: trains[0]])
    if not re.search(r"^if PREDICT_ONLY:.*\n(    .*\n)*    predict_only\(", first, re.M):
        yield "no `if PREDICT_ONLY: predict_only(...)` before the training"


def sections_are_there_in_order(notebook):
    found = headings(notebook)
    first = [next((i for i, h in enumerate(found) if h.startswith(s)), None) for s in SECTIONS]
    missing = [s for s, i in zip(SECTIONS, first, strict=True) if i is None and s in REQUIRED]
    yield from (f"no section {section!r}" for section in missing)
    present = [i for i in first if i is not None]
    if present != sorted(present):
        yield f"the sections stand in another order than {SECTIONS}: {found}"


def cells_are_20_to_38(notebook):
    if not 20 <= len(notebook.cells) <= 38:
        yield f"{len(notebook.cells)} cells"


def words_are_at_most_1000(notebook):
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    words = sum(len(text.split()) for text in texts)
    if words > 1000:
        yield f"{words} words"


def code_cells_are_short(notebook):
    for cell in code_cells(notebook):
        if len(cell.source.splitlines()) > 25:
            yield f"{len(cell.source.splitlines())} lines: {cell.source[:60]!r}"


def text_stands_before_code(notebook):
    exempt = [*tagged(notebook, "setup"), *tagged(notebook, "parameters")]
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if cell.cell_type == before.cell_type == "code" and before not in exempt:
            if cell not in exempt:
                yield f"no text before {cell.source[:60]!r}"


def every_cell_ran_once_in_order(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook) if cell.source.strip()]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts {counts}: run `make outputs`"


def printing_cells_have_outputs(notebook):
    for cell in code_cells(notebook):
        if prints(cell.source) and not cell.outputs:
            yield f"no output of {cell.source[:60]!r}"


def outputs_are_clean(notebook):
    for output in (output for cell in code_cells(notebook) for output in cell.outputs):
        if output.output_type == "error":
            yield f"{output.ename}: {output.evalue}"
        elif output.get("name") == "stderr" or "Warning:" in output.get("text", ""):
            yield f"a warning: {output.text[:80]!r}"
        if any("widget" in mime for mime in output.get("data", {})):
            yield "a widget"


def figures_are_at_least_3(notebook):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    figures = sum(mime.startswith("image/") for o in outputs for mime in o.get("data", {}))
    if figures < 3:
        yield f"{figures} figures"


def paths_are_relative(notebook):
    for text in shown_texts(notebook):
        for found in ABSOLUTE_PATH.finditer(text):
            yield f"an absolute path: {text[found.start() : found.end() + 20]!r}"


RULES = (
    kernel_is_microseg,
    first_cell_is_title_with_badge,
    setup_cell_is_the_common_one,
    parameters_are_complete,
    parameters_are_a_form,
    notebooks_that_train_can_only_predict,
    sections_are_there_in_order,
    cells_are_20_to_38,
    words_are_at_most_1000,
    code_cells_are_short,
    text_stands_before_code,
    every_cell_ran_once_in_order,
    printing_cells_have_outputs,
    outputs_are_clean,
    figures_are_at_least_3,
    paths_are_relative,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_rule(path, rule):
    assert list(rule(nbformat.read(path, as_version=4))) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_file_name_and_size(path):
    assert re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name)
    assert path.stat().st_size <= 1_000_000
    title = nbformat.read(path, as_version=4).cells[0].source
    assert title.startswith(f"# {path.name[:2]} ")
    assert f"/{path.name}" in title  # the badge opens this very notebook


def good_notebook():
    """Return a small notebook that keeps every rule."""
    figure = new_output("display_data", {"image/png": "iVBOR"})
    parameters = """\
DATASET = "nuclei"  # @param {type:"string"} # a sample, or the path of your folder
PRESET = "sample"  # @param ["sample", "paper"]
SEED = 1  # @param {type:"integer"}
RUN_NAME = ""  # @param {type:"string"}"""
    sections = [new_markdown_cell(f"## {name}") for name in SECTIONS[1:]]
    figures = [new_code_cell("ax.plot([1, 2])", outputs=[figure]) for _ in sections]
    cells = [
        new_markdown_cell("# 04 StarDist\n" + LINKS["badge"]("04_stardist")),
        new_code_cell(LINKS["setup_cell"](), metadata={"tags": ["setup"]}),
        new_markdown_cell("## Parameters"),
        new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        *(cell for pair in zip(sections, figures, strict=True) for cell in pair),
    ]
    kernel = {"name": "microseg", "display_name": "microseg"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    for number, cell in enumerate(code_cells(notebook), start=1):
        cell.execution_count = number
    return notebook


def last_code_cell(notebook):
    return code_cells(notebook)[-1]


def add_output(notebook, kind, **content):
    last_code_cell(notebook).outputs.append(new_output(kind, **content))


def add_parameter(notebook, line):
    notebook.cells[3].source += f"\n{line}"


TRAINS = "run = open_run(DATASET, RUN_NAME)"
FAULTS = [
    ("kernel_is_microseg", lambda n: n.metadata.kernelspec.update(name="python3")),
    ("first_cell_is_title_with_badge", lambda n: n.cells[0].update(source="# 04 StarDist")),
    ("setup_cell_is_the_common_one", lambda n: n.cells[1].update(source="import helpers")),
    ("setup_cell_is_the_common_one", lambda n: n.cells.pop(1)),
    ("parameters_are_complete", lambda n: n.cells[3].update(source="DATASET = 1\nSEED = 2")),
    ("parameters_are_complete", lambda n: n.cells[3].metadata.clear()),
    ("parameters_are_a_form", lambda n: add_parameter(n, "N_RAYS = 32  # directions")),
    ("parameters_are_a_form", lambda n: add_parameter(n, 'X = 1  # @param {type:"string"}')),
    ("parameters_are_a_form", lambda n: add_parameter(n, 'X = 1  # @param {type:"boolean"}')),
    ("parameters_are_a_form", lambda n: add_parameter(n, 'X = True  # @param {type:"integer"}')),
    ("parameters_are_a_form", lambda n: add_parameter(n, 'X = "c"  # @param ["a", "b"]')),
    ("parameters_are_a_form", lambda n: add_parameter(n, "X = 1  # @param {min:0, max:2}")),
    ("parameters_are_a_form", lambda n: add_parameter(n, "PRESETS = {}")),
    ("notebooks_that_train_can_only_predict", lambda n: n.cells[5].update(source=TRAINS)),
    ("sections_are_there_in_order", lambda n: n.cells.pop()),
    ("cells_are_20_to_38", lambda n: n.cells.extend([new_markdown_cell("word")] * 24)),
    ("words_are_at_most_1000", lambda n: n.cells[4].update(source="## Data\n" + "word " * 1000)),
    ("code_cells_are_short", lambda n: n.cells[5].update(source="x = 1\n" * 26)),
    ("text_stands_before_code", lambda n: n.cells.append(new_code_cell("x = 1"))),
    ("every_cell_ran_once_in_order", lambda n: n.cells[5].update(execution_count=9)),
    ("printing_cells_have_outputs", lambda n: n.cells[5].update(source="print(1)", outputs=[])),
    ("outputs_are_clean", lambda n: add_output(n, "error", ename="E", evalue="", traceback=[])),
    ("outputs_are_clean", lambda n: add_output(n, "stream", name="stderr", text="x")),
    ("outputs_are_clean", lambda n: add_output(n, "stream", text="UserWarning: x")),
    ("figures_are_at_least_3", lambda n: [c.update(outputs=[]) for c in code_cells(n)[3:]]),
    ("paths_are_relative", lambda n: add_output(n, "stream", text="saved in /home/me/runs")),
    ("paths_are_relative", lambda n: n.cells[5].update(source=r"path = 'C:\data'")),
]


@pytest.mark.parametrize(("name", "plant"), FAULTS, ids=[name for name, _ in FAULTS])
def test_rule_finds_a_planted_fault(name, plant):
    rule = {rule.__name__: rule for rule in RULES}[name]
    notebook = good_notebook()
    if name == "sections_are_there_in_order":
        notebook.cells.pop()  # the code cell after the heading that is taken away
    assert list(rule(good_notebook())) == []
    plant(notebook)
    assert len(list(rule(notebook))) > 0


def test_only_what_always_prints_needs_an_output():
    assert prints("x = 1\nprint(x)")
    assert prints("%matplotlib inline\ndisplay(table)")
    assert not prints("if x:\n    print(x)")
    assert not prints("def f():\n    print(1)\nf()")
