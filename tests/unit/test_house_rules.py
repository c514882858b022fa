"""The house rules: each is shown to catch what it is for, and the repository is shown to keep it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tests.support import house_rules, suite_rules
from tests.support.source import Source, Violation, parse, repository
from tools.requirements import read_requirements

GATE = "services/gate/src/hyperscale/gate/module.py"
SERVER = "services/gate/src/hyperscale/gate/server.py"
LIBRARY = "libs/example/src/hyperscale/example/module.py"
STATES_THE_RULES = frozenset({"tests/support/suite_rules.py", "tests/unit/test_house_rules.py"})
TEXT_SUFFIXES = (
    ".py",
    ".proto",
    ".md",
    ".toml",
    ".yaml",
    ".yml",
    ".sh",
    ".txt",
    ".in",
    ".lock",
    "Makefile",
    ".ci/run",
    "Dockerfile",
)


def python() -> tuple[Source, ...]:
    return repository(".py")


def product() -> list[Source]:
    return [source for source in python() if source.is_product]


def texts() -> list[Source]:
    return [source for source in repository(*TEXT_SUFFIXES) if source.path not in STATES_THE_RULES]


def shipped_texts() -> list[Source]:
    return [
        source
        for source in texts()
        if not source.path.startswith(("tests/", "docs/")) and not source.path.endswith(".md")
    ]


def assert_kept(rule: Callable[[Source], Iterable[Violation]], sources: Iterable[Source]) -> None:
    assert_none([violation for source in sources for violation in rule(source)], rule.__doc__)


def assert_none(violations: Iterable[Violation], rule: str | None) -> None:
    lines = [str(violation) for violation in violations]
    if lines:
        pytest.fail("\n".join([rule or "", *lines]), pytrace=False)


def breaks(rule: Callable[[Source], Iterable[Violation]], text: str, path: str = LIBRARY) -> bool:
    return bool(list(rule(parse(text, path))))


def long_function(lines: int) -> str:
    return "def f():\n" + "    x = 1\n" * (lines - 1)


def constructor(parameters: str) -> str:
    return f"class A:\n    def __init__(self, {parameters}):\n        pass\n"


def handler(body: str, caught: str = "except Exception as error:") -> str:
    return f"try:\n    f()\n{caught}\n    {body}\n"


BREAKING = [
    (house_rules.file_length, "x = 1\n" * 501, LIBRARY),
    (house_rules.function_length, long_function(51), LIBRARY),
    (house_rules.constructor_size, constructor("a, b, c, d, e, f, *, g, h"), LIBRARY),
    (
        house_rules.constructor_size,
        constructor("a: Callable[[], None], b: Callable[[], int], c: Callable[[], str]"),
        LIBRARY,
    ),
    (house_rules.private_access, "other._state = 1\n", LIBRARY),
    (house_rules.private_access, "class A:\n    def f(self):\n        return self.other._state\n", LIBRARY),
    (
        house_rules.private_access,
        "class A:\n    def __eq__(self, other):\n        return self._x == other._x\n",
        LIBRARY,
    ),
    (house_rules.private_access, "from hyperscale.runtime.logs import _handler\n", LIBRARY),
    (house_rules.slotted_dataclasses, "@dataclass\nclass A: pass\n", LIBRARY),
    (house_rules.slotted_dataclasses, "@dataclasses.dataclass(frozen=True)\nclass A: pass\n", LIBRARY),
    (house_rules.slotted_dataclasses, "@dataclass(slots=False)\nclass A: pass\n", LIBRARY),
    (house_rules.broad_excepts, handler("pass"), LIBRARY),
    (house_rules.broad_excepts, handler("log.warning('failed')"), LIBRARY),
    (house_rules.broad_excepts, handler("give_up()") + "def give_up():\n    pass\n", LIBRARY),
    (house_rules.broad_excepts, handler("pass", "except:"), LIBRARY),
    (house_rules.broad_excepts, handler("pass", "except (ValueError, BaseException):"), LIBRARY),
    (house_rules.broad_excepts, handler("def later(): raise error"), LIBRARY),
    (house_rules.background_tasks, "asyncio.create_task(f())\n", LIBRARY),
    (house_rules.background_tasks, "asyncio.get_running_loop().create_task(f())\n", LIBRARY),
    (house_rules.background_tasks, "self._loop.create_task(f())\n", LIBRARY),
    (house_rules.background_tasks, "ensure_future(f())\n", LIBRARY),
    (house_rules.composition_root, "def f(self, job):\n    if job.state == RUNNING:\n        pass\n", SERVER),
    (house_rules.composition_root, "def f(self, job):\n    return 1 if job.cancelled else 2\n", SERVER),
    (house_rules.composition_root, "def f(self, jobs):\n    return [job for job in jobs if job.running]\n", SERVER),
    (house_rules.composition_root, "match state:\n    case 1: pass\n", SERVER),
    (house_rules.aliases, "class A: pass\nB = A\n", LIBRARY),
    (house_rules.aliases, "from a import f\ng = f\n", LIBRARY),
    (house_rules.reexport_modules, '"""Old names."""\nfrom a import b\n__all__ = ["b"]\n', LIBRARY),
    (suite_rules.unfinished_work, "# TODO: later\n", LIBRARY),
    (suite_rules.unfinished_work, "raise NotImplementedError\n", LIBRARY),
    (suite_rules.package_indexes, "--index-url https://example.org/simple/\n", "requirements.lock"),
    (suite_rules.machine_paths, "PATH = '/work/main/x'\n", LIBRARY),
    (suite_rules.machine_paths, "see /home/someone/notes\n", "README.md"),
    (suite_rules.dated_comments, "x = 1  # since 2024-05-01\n", LIBRARY),
    (suite_rules.dated_comments, '"""Fixes issue 12."""\n', LIBRARY),
    (suite_rules.dated_comments, "x = 1  # see #123\n", LIBRARY),
]

KEEPING = [
    (house_rules.file_length, "x = 1\n" * 500, LIBRARY),
    (house_rules.function_length, long_function(50), LIBRARY),
    (house_rules.function_length, 'def f():\n    """' + "words\n" * 40 + '    """\n' + "    x = 1\n" * 20, LIBRARY),
    (house_rules.constructor_size, constructor("a: Callable[[], None], b: Callable[[], int], c, d, e, f, g"), LIBRARY),
    (house_rules.private_access, "class A:\n    def f(self):\n        self._x = cls._y = super()._z()\n", LIBRARY),
    (
        house_rules.private_access,
        "class A:\n    def f(self):\n        return A._LIMIT, pair._replace(x=1), a.__class__\n",
        LIBRARY,
    ),
    (house_rules.private_access, "class A:\n    def merge(self, other: A):\n        return other._x\n", LIBRARY),
    (house_rules.private_access, "class A:\n    def make(cls):\n        new = cls()\n        new._x = 1\n", LIBRARY),
    (house_rules.slotted_dataclasses, "@dataclass(frozen=True, slots=True)\nclass A: pass\n", LIBRARY),
    (house_rules.broad_excepts, handler("raise"), LIBRARY),
    (house_rules.broad_excepts, handler("raise Other() from error"), LIBRARY),
    (house_rules.broad_excepts, handler("self._supervisor.failed(error)"), LIBRARY),
    (house_rules.broad_excepts, handler("report_failure(error)"), LIBRARY),
    (house_rules.broad_excepts, handler("waiter.set_exception(error)"), LIBRARY),
    (house_rules.broad_excepts, handler("give_up()") + "def give_up():\n    supervisor.report(error)\n", LIBRARY),
    (house_rules.broad_excepts, handler("pass", "except (ValueError, OSError):"), LIBRARY),
    (house_rules.background_tasks, "asyncio.create_task(f())\n", "libs/runtime/src/hyperscale/runtime/supervisor.py"),
    (
        house_rules.background_tasks,
        "async def f():\n    async with TaskGroup() as group:\n        group.create_task(g())\n",
        LIBRARY,
    ),
    (
        house_rules.composition_root,
        "def f(self, config):\n    if config.tls is not None and config.port == None:\n        pass\n",
        SERVER,
    ),
    (house_rules.composition_root, "def f(self):\n    if self._started:\n        return\n", SERVER),
    (house_rules.composition_root, "def f(self, job):\n    if job.state == RUNNING:\n        pass\n", GATE),
    (house_rules.aliases, "LIMIT = 5\nOTHER = LIMIT\n", LIBRARY),
    (house_rules.aliases, "from a import Reason\n_R = Reason\n", LIBRARY),
    (house_rules.reexport_modules, "from a import b\n", "libs/example/src/hyperscale/example/__init__.py"),
    (house_rules.reexport_modules, '"""A package to be."""\n', LIBRARY),
    (suite_rules.unfinished_work, "todo_items = []\n", LIBRARY),
    (suite_rules.package_indexes, "numpy==2.0 --hash=sha256:00\n", "requirements.lock"),
    (suite_rules.machine_paths, "url = 'http://host/work/x'\n", LIBRARY),
    (suite_rules.dated_comments, "x = '2024-05-01'  # 1 of 3, colour #ffaa00\n", LIBRARY),
]


@pytest.mark.parametrize(("rule", "text", "path"), BREAKING)
def test_a_rule_catches_what_it_is_for(rule: Callable[[Source], Iterable[Violation]], text: str, path: str) -> None:
    assert breaks(rule, text, path)


@pytest.mark.parametrize(("rule", "text", "path"), KEEPING)
def test_a_rule_lets_the_rest_pass(rule: Callable[[Source], Iterable[Violation]], text: str, path: str) -> None:
    assert not breaks(rule, text, path)


def test_a_class_name_may_not_be_used_twice() -> None:
    twice = [parse("class A: pass\n", GATE), parse("class A: pass\n", LIBRARY)]
    assert len(list(suite_rules.duplicate_classes(twice))) == 1
    assert not list(suite_rules.duplicate_classes(twice[:1]))


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("class Node: pass\nclass Gate(Node): pass\n", True),
        ("class Node(Generic[T]): pass\nclass Gate(Node[int]): pass\n", True),
        ("class GateHandler(gate_service_pb2_grpc.GateServiceServicer): pass\n", False),
        ("class Store(Protocol): pass\nclass FileStore(Store): pass\n", False),
        ("class NodeConfig(BaseSettings): pass\nclass GateConfig(NodeConfig): pass\n", False),
        ("class NodeError(Exception): pass\nclass LeaseLost(NodeError): pass\n", False),
    ],
)
def test_a_service_class_is_composed(text: str, caught: bool) -> None:
    assert bool(list(suite_rules.service_subclasses([parse(text, GATE)]))) is caught


@pytest.mark.parametrize(
    ("text", "caught"), [("# AD-10.1\n", True), ("# X.1\n", True), ("# X.509\n", False), ("# AD-99\n", True)]
)
def test_requirement_ids_are_recognized(text: str, caught: bool) -> None:
    assert bool(list(suite_rules.requirement_ids(parse(text, LIBRARY), ["AD-10.1", "X.1"]))) is caught


@pytest.mark.requirement("AD-1.1")
def test_no_service_class_is_a_subclass_of_another() -> None:
    assert_none(suite_rules.service_subclasses(product()), suite_rules.service_subclasses.__doc__)


@pytest.mark.requirement("AD-2.1", "ARCH.4")
@pytest.mark.parametrize("rule", [house_rules.background_tasks, house_rules.broad_excepts])
def test_background_work_is_supervised(rule: Callable[[Source], Iterable[Violation]]) -> None:
    assert_kept(rule, product())


@pytest.mark.requirement("ARCH.1")
@pytest.mark.parametrize("rule", [house_rules.composition_root, house_rules.file_length])
def test_composition_roots_wire_and_start_only(rule: Callable[[Source], Iterable[Violation]]) -> None:
    assert_kept(rule, [source for source in product() if source.path.endswith("/server.py")])


@pytest.mark.requirement("ARCH.2")
def test_private_state_is_private() -> None:
    assert_kept(house_rules.private_access, python())


@pytest.mark.requirement("ARCH.3")
def test_a_thing_has_one_name_and_a_name_means_one_thing() -> None:
    assert_none(suite_rules.duplicate_classes(product()), suite_rules.duplicate_classes.__doc__)
    assert_kept(house_rules.aliases, product())
    assert_kept(house_rules.reexport_modules, product())


@pytest.mark.requirement("ARCH.4")
@pytest.mark.parametrize(
    "rule",
    [
        house_rules.file_length,
        house_rules.function_length,
        house_rules.constructor_size,
        house_rules.slotted_dataclasses,
    ],
)
def test_sizes_and_values_stay_within_the_limits(rule: Callable[[Source], Iterable[Violation]]) -> None:
    assert_kept(rule, python())


@pytest.mark.parametrize("rule", [suite_rules.unfinished_work, suite_rules.package_indexes, suite_rules.machine_paths])
def test_texts_are_finished_and_know_no_machine(rule: Callable[[Source], Iterable[Violation]]) -> None:
    assert_kept(rule, texts())


def test_comments_leave_history_to_the_repository() -> None:
    assert_kept(suite_rules.dated_comments, product())


def test_requirement_ids_stand_in_tests_and_documents_only() -> None:
    ids = read_requirements()
    broken = [violation for source in shipped_texts() for violation in suite_rules.requirement_ids(source, ids)]
    assert_none(broken, suite_rules.requirement_ids.__doc__)
