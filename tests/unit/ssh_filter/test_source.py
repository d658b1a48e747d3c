"""The source keeps to what login nodes have, and to what an auditor may rely on."""

from __future__ import annotations

import ast
import stat

import pytest

from component.ssh_filter.node import FILTER

pytestmark = pytest.mark.unit

TREE = ast.parse(FILTER.read_text(), feature_version=(3, 6))
# What runs on login nodes too: the program that starts the filter, and the one that looks at a node.
BESIDE = {
    name: ast.parse((FILTER.parent / name).read_text(), feature_version=(3, 6))
    for name in ("launcher", "goldcrest_node_check.py")
}

# Modules of Python 3.6's standard library that the filter may use; each costs start-up time and attack surface.
ALLOWED_IMPORTS = {
    "_socket", "binascii", "bz2", "collections", "ctypes", "errno", "fcntl", "grp", "hashlib", "json", "os", "pwd", "re",
    "select", "signal", "stat", "struct", "sys", "tarfile", "time", "zipfile", "zlib",
}  # fmt: skip
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__", "input", "globals", "breakpoint", "aiter", "anext"}
# Shells, and what Python 3.6 does not have.
FORBIDDEN_ATTRIBUTES = {
    "spawnl", "spawnv", "execvp", "execlp", "posix_spawnp", "memfd_create",
    "pidfd_open", "waitstatus_to_exitcode", "removeprefix", "removesuffix", "isascii", "bit_count", "pairwise",
    "format_map", "get_running_loop", "time_ns", "monotonic_ns", "perf_counter_ns", "preadv", "copy_file_range",
    "file_digest", "randbytes", "add_dll_directory", "register_at_fork",
}  # fmt: skip


# Newer than 3.6 as well: where it is not there, the filter does without.
ASKED_FOR = {"posix_spawn"}


def test_syntax_is_that_of_python_3_6() -> None:
    """No walrus, no match, no positional-only parameters; f-strings not at all, for `=` in them cannot be told apart."""
    # feature_version does not cover all of these.
    for node in [node for tree in (TREE, *BESIDE.values()) for node in ast.walk(tree)]:
        assert not isinstance(node, ast.NamedExpr | ast.Match | ast.JoinedStr | ast.AsyncFunctionDef), node.lineno
        if isinstance(node, ast.arguments):
            assert not node.posonlyargs, node.lineno


def test_only_known_modules_are_imported() -> None:
    """Nothing beyond the short list: above all no subprocess, no pickle, no third-party module."""
    imported = set()
    for node in ast.walk(TREE):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert imported == ALLOWED_IMPORTS


def test_no_eval_no_shell_and_nothing_newer_than_3_6() -> None:
    """Names that could run text as code or start a shell, and names that Python 3.6 lacks, do not occur."""
    for node in ast.walk(TREE):
        if isinstance(node, ast.Name):
            assert node.id not in FORBIDDEN_NAMES, (node.id, node.lineno)
        elif isinstance(node, ast.Attribute):
            assert node.attr not in FORBIDDEN_ATTRIBUTES, (node.attr, node.lineno)
            if isinstance(node.value, ast.Name) and node.value.id == "os":
                assert node.attr not in ("system", "popen"), node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value not in ("/bin/sh -c", "sh", "bash")


def test_what_newer_pythons_have_is_asked_for() -> None:
    """Used only behind `hasattr`, in the same function."""
    for function in (node for node in ast.walk(TREE) if isinstance(node, ast.FunctionDef)):
        used = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)} & ASKED_FOR
        asked = {ast.unparse(node.args[1]) for node in ast.walk(function) if _is_hasattr(node)}  # type: ignore[attr-defined]
        assert {repr(name) for name in used} <= asked, function.name


def _is_hasattr(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hasattr"


def test_modular_inverse_is_not_by_negative_exponent() -> None:
    """`pow(x, -1, p)` exists from Python 3.8 only; on a node with 3.6 each signature would be refused."""
    for node in ast.walk(TREE):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "pow":
            assert not isinstance(node.args[1], ast.UnaryOp), node.lineno


def test_program_is_started_isolated() -> None:
    """Without -I, PYTHONPATH of the user would decide what code runs; without -S, site-packages would."""
    assert FILTER.read_text().splitlines()[0] == "#!/usr/bin/python3 -IS"
    assert FILTER.stat().st_mode & stat.S_IXUSR


def test_environment_is_read_in_one_place() -> None:
    """The user controls the environment: it is read once, for what sshd puts there, and nothing else consults it."""
    places = [
        node.attr
        for node in ast.walk(TREE)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
    ]
    assert places == ["environb"]


def test_every_function_of_an_operation_is_in_the_table() -> None:
    """An operation that is written but not in the table would be dead code that an auditor reads in vain."""
    functions = {node.name for node in TREE.body if isinstance(node, ast.FunctionDef)}
    named = {node.id for node in ast.walk(TREE) if isinstance(node, ast.Name)}
    assert {name for name in functions if name.startswith(("fs_", "slurm_", "sys_"))} <= named


def test_what_is_beside_the_filter_keeps_to_python_3_6_too() -> None:
    """No shell and nothing that 3.6 lacks; only the check, which sshd never starts, may run programs, by lists."""
    for name, tree in BESIDE.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                assert node.id not in FORBIDDEN_NAMES, (name, node.id, node.lineno)
            elif isinstance(node, ast.Attribute):
                assert node.attr not in FORBIDDEN_ATTRIBUTES | {"getgrouplist"}, (name, node.attr, node.lineno)
            elif isinstance(node, ast.keyword):  # of subprocess, and later than 3.6
                assert node.arg not in ("shell", "capture_output", "text", "user", "group"), (name, node.arg)
    imported = {
        alias.name for node in ast.walk(BESIDE["launcher"]) if isinstance(node, ast.Import) for alias in node.names
    }
    assert imported == {"os", "sys", "goldcrest_ssh_filter", "goldcrest_node_check"}


def test_the_launcher_is_isolated_too() -> None:
    """It is what sshd starts: the same first line as the filter's, and Python's own modules before ours."""
    text = (FILTER.parent / "launcher").read_text()
    assert text.splitlines()[0] == "#!/usr/bin/python3 -IS"
    assert "sys.path.append(" in text
    assert "sys.path.insert" not in text
