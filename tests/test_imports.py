"""What may import what (the design's arrows), by reading the sources; and how cheap importing is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(ROOT.glob("palora_core/**/*.py"))
LAZY = ("torchjd", "pymoo", "scipy", "h5py", "optuna", "onnx", "onnxscript", "onnxruntime", "cvxpy", "pandas")
PUBLIC = {
    *("palorize", "ParetoModel", "annealed_preferences", "simplex_lattice", "register", "methods", "benchmarks"),
    *("samplers", "networks", "tasks", "inputs", "load", "save", "Front", "evaluate", "fit", "LiveNetwork"),
    *("UserError", "Objective", "objective", "Problem", "from_hub", "push_to_hub", "from_checkpoints", "from_loras"),
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, top_only: bool = False) -> set[str]:
    """Dotted names that a file imports, those for type checkers left out."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if top_only and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path} imports relatively"
                found.add(child.module)
                found.update(f"{child.module}.{alias.name}" for alias in child.names)
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


IMPORTS = {module_name(path): imports(path) for path in SOURCES}


def reaches(name: str) -> set[str]:
    """Modules of palora_core that ``name`` imports, directly or through others."""
    seen: set[str] = set()
    queue = [name]
    while queue:
        for found in IMPORTS[queue.pop()] & IMPORTS.keys():
            if found not in seen and found != "palora_core":
                seen.add(found)
                queue.append(found)
    return seen


def inside(part: str) -> list[str]:
    return [name for name in IMPORTS if name == f"palora_core.{part}" or name.startswith(f"palora_core.{part}.")]


FORBIDDEN = [
    ("simplex", ("samplers", "conditioning", "balancing", "methods", "benchmarks", "tasks", "training")),
    ("samplers", ("conditioning", "balancing", "methods", "benchmarks", "training")),
    ("adapters", ("conditioning", "balancing", "methods", "benchmarks", "training", "tasks")),
    ("inputs", ("benchmarks", "methods", "training", "conditioning", "balancing", "tasks", "networks")),
    ("tasks", ("benchmarks", "methods", "training", "conditioning", "balancing")),
    ("conditioning", ("balancing", "methods", "benchmarks", "training")),
    ("balancing", ("methods", "benchmarks", "training")),
    ("methods", ("benchmarks", "training")),
    ("benchmarks", ("methods", "training", "conditioning", "balancing")),
    ("fast_layers", ("networks", "serving", "methods", "benchmarks", "training", "conditioning", "balancing")),
    ("networks", ("methods", "benchmarks", "training", "conditioning", "balancing")),
    ("storage", ("training", "methods", "benchmarks", "conditioning", "balancing", "tasks", "networks", "inputs")),
    ("serving", ("training", "methods", "benchmarks")),
    ("objectives", ("evaluation", "storage", "training", "methods", "benchmarks", "conditioning", "balancing")),
    ("training", ("merging", "commands")),
    ("evaluation.front", ("training", "methods", "benchmarks")),
]


@pytest.mark.parametrize(("part", "above"), FORBIDDEN)
def test_dependencies_point_one_way(part, above):
    for name in inside(part):
        for other in above:
            wrong = sorted(reaches(name) & set(inside(other)))
            assert not wrong, f"{name} must not depend on {wrong[0]}"


def test_commands_are_the_outermost_layer():
    for name, found in IMPORTS.items():
        if not name.startswith("palora_core.commands") and name != "palora_core.__main__":
            assert not any(other.startswith("palora_core.commands") for other in found), name


def needs(name: str) -> set[str]:
    """Modules that ``name`` reads; a package from which only modules are taken is none of them."""
    found = IMPORTS[name] & IMPORTS.keys() - {name}
    return {one for one in found if not any(other.startswith(f"{one}.") for other in found)}


def test_no_imports_go_in_circles():
    """Each module is whole before another one uses it, in whatever order they are read."""
    left = {name: needs(name) for name in IMPORTS}
    while ready := [name for name, above in left.items() if not above & left.keys()]:
        for name in ready:
            del left[name]
    assert not left, f"import each other, or what does: {sorted(left)}"


def test_the_core_knows_nothing_of_the_app():
    for name, found in IMPORTS.items():
        roots = {other.partition(".")[0] for other in found}
        assert not roots & {"streamlit", "plotly", "app", "altair"}, name


@pytest.mark.parametrize("library", LAZY)
def test_optional_libraries_are_imported_lazily(library):
    at_top = [path for path in SOURCES if any(n.partition(".")[0] == library for n in imports(path, top_only=True))]
    own = {module_name(path) for path in at_top}
    assert not own or own <= {"palora_core.balancing.torchjd_weightings"}, own


@pytest.mark.parametrize("library", ["torchjd", "pymoo", "h5py", "optuna", "starlette"])
def test_optional_libraries_are_imported_in_one_place(library):
    users = [name for name, found in IMPORTS.items() if any(n.partition(".")[0] == library for n in found)]
    assert len(users) <= 1, users


def python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_imports_neither_torch_nor_anything_heavy():
    heavy = ["torch", "torchvision", "numpy", "streamlit", "plotly", "pymoo", "torchjd", "scipy", "pandas"]
    assert python(f"import sys, palora_core; print([n for n in {heavy} if n in sys.modules])") == "[]"


def test_what_training_needs_leaves_optional_libraries_alone():
    code = "import sys, palora_core.training.trainer, palora_core as pc; pc.palorize, pc.Front, pc.LiveNetwork; "
    assert python(code + f"print([n for n in {LAZY} if n in sys.modules])") == "[]"


def test_the_public_names():
    import palora_core as pc

    assert set(pc.__all__) == PUBLIC
    assert set(pc.__all__) <= set(dir(pc))
    for name in PUBLIC:
        assert callable(getattr(pc, name)), name
    with pytest.raises(AttributeError, match="nonsense"):
        pc.nonsense  # noqa: B018


def test_registries_answer_a_call():
    import palora_core as pc

    assert "palora" in pc.methods()
    assert "multimnist" in pc.benchmarks()
    assert "annealed" in pc.samplers()
    assert {"lenet", "segnet"} <= set(pc.networks())


def test_registering_from_outside():
    import palora_core as pc
    from palora_core.registries import REGISTRIES

    @pc.register("sampler", "of the test")
    class Mine:
        pass

    try:
        assert pc.samplers()["of the test"] is Mine
        with pytest.raises(pc.UserError, match="no kind 'flavour'"):
            pc.register("flavour", "sweet")
    finally:
        del REGISTRIES["sampler"]._entries["of the test"]


def test_the_package_works_as_the_design_shows():
    code = """
import torch, palora_core as pc
model = pc.palorize(torch.nn.Linear(3, 2), num_tasks=2, rank=1, alpha=1.0, conv_form="flat")
x, preference = torch.rand(4, 3), torch.tensor([0.3, 0.7])
assert torch.equal(model(x, preference), model.merge(preference)(x))
print(tuple(pc.annealed_preferences(num_tasks=3, num_preferences=6, tau=0.5, temperature=1.0).shape),
      tuple(pc.simplex_lattice(num_tasks=3, partitions=10).shape))
"""
    assert python(code) == "(6, 3) (66, 3)"


def test_no_two_test_files_share_a_name():
    """pytest imports them by their names alone: of two, one cannot be collected."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
