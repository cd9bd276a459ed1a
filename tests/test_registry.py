import sys
import threading
from pathlib import Path

import pytest

from palora_core.errors import UserError
from palora_core.registry import Registry

MODULE = """
from hosts.shelf import shelf

@shelf.register("{name}")
class Entry:
    pass
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package `hosts.things` whose modules register with `hosts.shelf.shelf`."""
    things = tmp_path / "hosts" / "things"
    things.mkdir(parents=True)
    (tmp_path / "hosts" / "__init__.py").write_text("")
    (things / "__init__.py").write_text("")
    (tmp_path / "hosts" / "shelf.py").write_text(
        "from palora_core.registry import Registry\nshelf = Registry('thing', package='hosts.things')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield things
    for name in [name for name in sys.modules if name.partition(".")[0] == "hosts"]:
        del sys.modules[name]


def shelf() -> Registry:
    import hosts.shelf

    return hosts.shelf.shelf


def test_register_returns_the_entry_and_get_finds_it():
    registry = Registry("colour")

    @registry.register("red")
    class Red:
        pass

    assert registry.get("red") is Red
    assert "red" in registry
    assert list(registry) == registry.names() == ["red"]
    assert registry() == {"red": Red}
    assert len(registry) == 1


def test_names_are_sorted():
    registry = Registry("colour")
    for name in ("red", "blue", "green"):
        registry.register(name)(type(name, (), {}))
    assert registry.names() == ["blue", "green", "red"]
    assert list(registry()) == ["blue", "green", "red"]


@pytest.mark.parametrize("wrong", ["gren", "Green", "GREEN"])
def test_unknown_name_lists_the_known_ones_and_the_closest(wrong):
    registry = Registry("colour")
    for name in ("green", "violet"):
        registry.register(name)(type(name, (), {}))
    with pytest.raises(UserError, match=r"unknown colour .*did you mean 'green'\?.*green, violet"):
        registry.get(wrong)


@pytest.mark.parametrize("wrong", [None, 3, ["red"]])
def test_a_name_that_is_no_string_is_unknown(wrong):
    with pytest.raises(UserError, match="unknown colour"):
        Registry("colour").get(wrong)


def test_a_name_is_given_once():
    registry = Registry("colour")
    registry.register("red")(type("First", (), {}))
    with pytest.raises(UserError, match=r"'red' is taken by .*First"):
        registry.register("red")(type("Second", (), {}))


def test_the_same_definition_may_come_again():
    registry = Registry("colour")
    registry.register("red")(type("Red", (), {}))
    newer = registry.register("red")(type("Red", (), {}))
    assert registry.get("red") is newer


def test_one_new_file_is_one_new_entry(package):
    (package / "first.py").write_text(MODULE.format(name="first"))
    (package / "second.py").write_text(MODULE.format(name="second"))
    (package / "_helper.py").write_text("raise RuntimeError('must not be imported')")
    assert shelf().names() == ["first", "second"]
    assert shelf().get("second").__module__ == "hosts.things.second"


def test_nothing_is_imported_before_the_first_use(package):
    (package / "first.py").write_text(MODULE.format(name="first"))
    registry = shelf()
    assert "hosts.things.first" not in sys.modules
    assert "first" in registry
    assert "hosts.things.first" in sys.modules


def test_a_module_that_lacks_an_optional_dependency_is_noted(package):
    (package / "good.py").write_text(MODULE.format(name="good"))
    (package / "needy.py").write_text("import a_package_nobody_has\n" + MODULE.format(name="needy"))
    assert shelf().names() == ["good"]
    with pytest.raises(UserError, match=r"hosts\.things\.needy could not be loaded .*a_package_nobody_has"):
        shelf().get("needy")


@pytest.mark.parametrize("fault", ["import hosts.nowhere", "1 / 0", "def broken(:"])
def test_a_broken_module_of_our_own_fails_every_time(package, fault):
    (package / "broken.py").write_text(fault)
    registry = shelf()
    for _ in range(2):
        with pytest.raises((ModuleNotFoundError, ZeroDivisionError, SyntaxError)):
            registry.names()


def test_a_module_may_look_up_names_while_it_is_imported(package):
    (package / "a.py").write_text(MODULE.format(name="a"))
    (package / "b.py").write_text(MODULE.format(name="b") + "\nseen = shelf.names()\n")
    assert shelf().names() == ["a", "b"]
    assert sys.modules["hosts.things.b"].seen == ["a", "b"]


def test_first_use_from_many_threads_sees_every_entry(package):
    for index in range(5):
        (package / f"m{index}.py").write_text("import time; time.sleep(0.01)\n" + MODULE.format(name=f"m{index}"))
    registry, seen = shelf(), []
    threads = [threading.Thread(target=lambda: seen.append(registry.names())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [[f"m{index}" for index in range(5)]] * 6
