"""The house rules that one Python file can break by itself. Each rule takes a source and yields what breaks it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.support.source import Source, Violation, classes, dotted, functions, last_name

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 50
MAX_CONSTRUCTOR_PARAMETERS = 7
MAX_CONSTRUCTOR_CALLABLES = 2

NAMED_TUPLE_METHODS = frozenset({"_asdict", "_fields", "_make", "_replace"})
PUBLIC_IN_SPITE_OF_ITS_NAME = frozenset({"os._exit", "sys._getframe"})
OWN_NAMES = frozenset({"self", "cls"})

TASK_STARTERS = frozenset({"create_task", "ensure_future"})
SUPERVISOR_MODULE = "runtime/supervisor.py"

BROAD_EXCEPTIONS = frozenset({"Exception", "BaseException"})
REPORTING_WORDS = ("supervisor", "report")
HANDING_ON_METHODS = frozenset({"set_exception", "abort"})

CONFIGURATION_NAMES = frozenset({"self", "cls", "config", "settings"})


def file_length(source: Source) -> Iterator[Violation]:
    """A file has at most 500 lines."""
    lines = len(source.text.splitlines())
    if lines > MAX_FILE_LINES:
        yield source.violation(1, f"{lines} lines, at most {MAX_FILE_LINES}")


def function_length(source: Source) -> Iterator[Violation]:
    """A function has at most 50 lines, its docstring not counted."""
    for function in functions(source):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1 - _docstring_lines(function)
        if lines > MAX_FUNCTION_LINES:
            yield source.violation(function, f"{function.name} has {lines} lines, at most {MAX_FUNCTION_LINES}")


def _docstring_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(function, clean=False) is None:
        return 0
    first = function.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def constructor_size(source: Source) -> Iterator[Violation]:
    """An explicit ``__init__`` has at most 7 parameters, of which at most 2 are annotated as callables."""
    for function in functions(source):
        if function.name != "__init__":
            continue
        arguments = function.args
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs][1:]
        if len(parameters) > MAX_CONSTRUCTOR_PARAMETERS:
            yield source.violation(function, f"constructor with {len(parameters)} parameters")
        callables = [item for item in parameters if item.annotation and "Callable" in ast.unparse(item.annotation)]
        if len(callables) > MAX_CONSTRUCTOR_CALLABLES:
            yield source.violation(function, f"constructor with {len(callables)} callables")


def private_access(source: Source) -> Iterator[Violation]:
    """Code touches underscore attributes of its own class only.

    Own are ``self``, ``cls``, the enclosing class by its name, and other instances of it: parameters annotated with the
    class or ``Self``, and names assigned from a call of the class. An underscore name is not imported either.
    """
    yield from _private_attributes(source, source.tree, OWN_NAMES, "")
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if _is_private(alias.name):
                    yield source.violation(node, f"imports the private name {alias.name}")


def _private_attributes(source: Source, node: ast.AST, own: frozenset[str], owner: str) -> Iterator[Violation]:
    if isinstance(node, ast.ClassDef):
        own, owner = OWN_NAMES | {node.name}, node.name
    elif owner and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        own = own | _instances(node, owner)
    elif isinstance(node, ast.Attribute) and _is_private(node.attr) and not _may_touch(node, own):
        yield source.violation(node, f"touches the private attribute {ast.unparse(node)}")
    for child in ast.iter_child_nodes(node):
        yield from _private_attributes(source, child, own, owner)


def _instances(function: ast.FunctionDef | ast.AsyncFunctionDef, owner: str) -> set[str]:
    """Names that hold instances of the class the function belongs to."""
    types, makers = {owner, f"'{owner}'", "Self"}, {owner, "cls", f"{owner}.__new__", "cls.__new__"}
    found = set()
    for node in ast.walk(function):
        match node:
            case ast.arg(arg=name, annotation=ast.expr() as annotation) if ast.unparse(annotation) in types:
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=maker)) if dotted(maker) in makers:
                found.add(name)
    return found


def _may_touch(node: ast.Attribute, own: frozenset[str]) -> bool:
    if node.attr in NAMED_TUPLE_METHODS or dotted(node) in PUBLIC_IN_SPITE_OF_ITS_NAME:
        return True
    if isinstance(node.value, ast.Call):
        return dotted(node.value.func) == "super"
    return isinstance(node.value, ast.Name) and node.value.id in own


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def slotted_dataclasses(source: Source) -> Iterator[Violation]:
    """Every dataclass is declared with ``slots=True``."""
    for node in classes(source):
        for decorator in node.decorator_list:
            if last_name(decorator) == "dataclass" and not _has_true_keyword(decorator, "slots"):
                yield source.violation(node, f"dataclass {node.name} without slots=True")


def _has_true_keyword(decorator: ast.expr, name: str) -> bool:
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    return any(
        item.arg == name and isinstance(item.value, ast.Constant) and item.value.value is True for item in keywords
    )


def broad_excepts(source: Source) -> Iterator[Violation]:
    """A handler of everything raises again, reports, or hands the error on.

    Broad is a bare ``except``, ``Exception`` or ``BaseException``, also in a tuple. Its body must contain a ``raise``; or
    a call whose name or receiver says ``supervisor`` or ``report`` (``self._supervisor.failed(error)``,
    ``report_failure(error)``); or ``set_exception``, which raises in whoever awaits; or gRPC's ``abort``, which raises; or a
    call of a function of the same file that contains one of these.
    """
    reporting = {function.name for function in functions(source) if any(map(_reports, _executed(function)))}
    handlers = [node for node in source.nodes if isinstance(node, ast.ExceptHandler) and _is_broad(node.type)]
    for handler in handlers:
        if not any(_reports(part) or _calls_own(part, reporting) for part in _executed(handler)):
            yield source.violation(handler, "broad except that neither raises again nor reports")


def _calls_own(node: ast.AST, names: set[str]) -> bool:
    if not isinstance(node, ast.Call):
        return False
    receiver, _, name = dotted(node.func).rpartition(".")
    return receiver in {"", *OWN_NAMES} and name in names


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    members = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(last_name(member) in BROAD_EXCEPTIONS for member in members)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """What runs as part of a node: nested functions run later, if at all."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _executed(child)


def _reports(node: ast.AST) -> bool:
    if isinstance(node, ast.Raise):
        return True
    if not isinstance(node, ast.Call):
        return False
    name = dotted(node.func)
    return any(word in name.lower() for word in REPORTING_WORDS) or last_name(node.func) in HANDING_ON_METHODS


def background_tasks(source: Source) -> Iterator[Violation]:
    """Only the supervisor starts background tasks; a task group of the caller's own scope is structured and may."""
    if source.path.endswith(SUPERVISOR_MODULE):
        return
    for node in source.nodes:
        if not isinstance(node, ast.Call) or last_name(node.func) not in TASK_STARTERS:
            continue
        receiver = dotted(node.func).rpartition(".")[0].rpartition(".")[2]
        if receiver in {"", "asyncio"} or receiver.endswith("loop"):
            yield source.violation(node, f"{dotted(node.func)} outside the supervisor")


def composition_root(source: Source) -> Iterator[Violation]:
    """A service's server.py wires and starts: no branch on domain data.

    It has no ``match``, and the test of every ``if``, ``while``, conditional expression and comprehension filter reads
    configuration or presence only: names, attributes of self, cls, config or settings, and comparisons with None.
    """
    if not (source.is_service and source.path.endswith("/server.py")):
        return
    for node in source.nodes:
        if isinstance(node, ast.Match):
            yield source.violation(node, "match in a composition root")
        for test in _tests_of(node):
            for part in ast.walk(test):
                if _reads_domain_data(part):
                    yield source.violation(test, f"branch on domain data in a composition root: {ast.unparse(test)}")
                    break


def _tests_of(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        return [node.test]
    return node.ifs if isinstance(node, ast.comprehension) else []


def _reads_domain_data(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
        return not any(isinstance(operand, ast.Constant) and operand.value is None for operand in operands)
    return isinstance(node, ast.Attribute) and dotted(node).partition(".")[0] not in CONFIGURATION_NAMES


def aliases(source: Source) -> Iterator[Violation]:
    """A thing has one public name: no module-level ``Other = Thing`` for a class or function of this module or an import.

    A private shorthand, ``_R = Reason`` above a long table, is no second public name.
    """
    definitions = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    known = {node.name for node in source.tree.body if isinstance(node, definitions)}
    for node in source.tree.body:
        if isinstance(node, ast.ImportFrom):
            known.update(alias.asname or alias.name for alias in node.names)
    for node in source.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=value)) if (
                value in known and not _is_private(name)
            ):
                yield source.violation(node, f"{name} is an alias of {value}")


def reexport_modules(source: Source) -> Iterator[Violation]:
    """Only a package's ``__init__`` re-exports; a module that has nothing but imports is not created."""
    if source.path.endswith(("/__init__.py", "/__main__.py")) or not source.tree.body:
        return
    statements = [node for node in source.tree.body if not _is_docstring(node)]
    if statements and all(isinstance(node, ast.Import | ast.ImportFrom) or _is_all(node) for node in statements):
        yield source.violation(1, "module with nothing but imports")


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(last_name(target) == "__all__" for target in node.targets)
