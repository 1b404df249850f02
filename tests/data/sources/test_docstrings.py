"""Docstrings are read in source order, without importing the file."""

from infinito.data.sources.docstrings import find_modules, read_sections

SOURCE = '''"""Module."""
raise RuntimeError("this file must not be imported")
if True:
    def f():
        """Function.

            Indented.
        """
class C:
    """Class."""
    async def g(self):
        """Method \\d."""
    def h(self):
        return 1
'''


def test_sections_in_source_order(tmp_path):
    path = tmp_path / "m.py"
    path.write_text(SOURCE)
    assert read_sections(path, "pkg.m") == [
        ("pkg.m", "Module."),
        ("pkg.m.f", "Function.\n\nIndented."),
        ("pkg.m.C", "Class."),
        ("pkg.m.C.g", "Method \\d."),
    ]


def test_a_file_that_does_not_parse_has_none(tmp_path):
    path = tmp_path / "m.py"
    path.write_text("def broken(:\n")
    assert read_sections(path, "m") == []


def test_tests_and_installed_packages_are_left_out(tmp_path):
    for name in ("a.py", "pkg/__init__.py", "pkg/b.py", "test/c.py", "site-packages/d.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [name for name, _ in find_modules(tmp_path)] == ["a", "pkg", "pkg.b"]
