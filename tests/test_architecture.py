"""The house keeps its shape: one name in all its places, few public names, small files."""

import ast
import json
import re
from importlib import import_module
from pathlib import Path

import pytest

import slatewise
from slatewise.core.stage import Annotator, Selector, Stage
from slatewise.stages import STAGES

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "slatewise").rglob("*.py"))


@pytest.mark.parametrize("section", STAGES)
def test_a_stage_has_one_name_in_all_its_places(section):
    layer, verb = section.split(".")
    stage = STAGES[section]
    assert stage.section == section
    assert stage.__module__ == f"slatewise.{section}"
    assert stage.__name__ == verb.title().replace("_", "")
    assert getattr(slatewise, stage.__name__) is stage
    assert (ROOT / "tests" / layer / f"test_{verb}.py").is_file()
    page = ROOT / "docs" / layer / f"{verb}.md"
    assert page.read_text().startswith(f"# `{section}`")


@pytest.mark.parametrize("section", STAGES)
def test_a_stage_is_of_one_kind_and_says_what_it_reads_and_writes(section):
    stage = STAGES[section]
    assert not (issubclass(stage, Annotator) and issubclass(stage, Selector))
    told = stage.__doc__ or ""
    assert "Reads:" in told
    assert "Examples:" in told
    assert ("Writes:" in told) == issubclass(stage, Annotator)
    assert issubclass(stage, Stage)


def test_public_names_are_few_and_there():
    stages = {stage.__name__ for stage in STAGES.values()}
    assert len(set(slatewise.__all__) - stages) <= 15  # stages are as many as there are
    assert sorted(slatewise.__all__) == sorted(slatewise._HOMES)
    for name in slatewise.__all__:
        assert getattr(slatewise, name).__module__.startswith("slatewise.")
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = slatewise.Nothing


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_rooms_that_fit_in_the_head(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 350
    tree = ast.parse(text)
    assert path.name == "__init__.py" or ast.get_docstring(tree), "a file says what it is about"
    if "kernels" in path.parts:
        imported = re.findall(r"^(?:from|import) (\S+)", text, re.MULTILINE)
        allowed = ("__future__", "math", "typing", "contextlib", "pathlib", "numpy", "numba", "llvmlite")
        allowed = (*allowed, "slatewise.kernels")
        assert all(name.startswith(allowed) for name in imported)
    names = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    banned = re.compile(r"Manager|Handler|Helper|Util|Base\b|Impl|Processor|Common|Misc")
    assert not [name for name in names if banned.search(name)]


def test_every_module_is_importable():
    for path in SOURCES:
        if path.name != "__init__.py":
            import_module(".".join(path.relative_to(ROOT / "src").with_suffix("").parts))


def test_the_readme_shows_the_benchmarks_results():
    space: dict = {"__file__": str(ROOT / "benchmarks" / "tables.py"), "__name__": "tables"}
    exec((ROOT / "benchmarks" / "tables.py").read_text(), space)
    readme = (ROOT / "README.md").read_text()
    assert space["with_tables"](readme) == readme
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        rows = json.loads(path.read_text())
        assert rows
        assert all(set(row) == {"target", "goal", "measured", "peer", "ok"} for row in rows)
