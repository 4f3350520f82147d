"""What pytest does, one JSON line for each event.

The test-runner writes this file to the run's scratch folder under a name that nobody can guess, with a few lines put in
front that set NONCE, EVENTS, CHECKOUT and CLONE, and loads it with `-p`. It watches; it never changes an outcome, and a
fault of its own never reaches the suite.

It must work with pytest 6 to 9 and Python 3.8 and later, beside xdist, reruns and subtests, without a terminal, and while
a test has replaced `os`, `open` or `time`: so whatever it needs is bound in closures before any test runs, and each event
is one append to a file that is opened for it, which survives `os._exit`, SIGKILL and a test that closes every descriptor.
"""

import json
import os
import sys

import pytest

DETAIL = 4000
MODULES = 20


def _emitter(path, nonce):
    opened, write, close, getpid = os.open, os.write, os.close, os.getpid
    dumps = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    owner = getpid()

    def emit(event, **fields):
        # A forked child of a test is not the session.
        if getpid() != owner:
            return
        try:
            line = dumps(dict(fields, nonce=nonce, event=event)) + "\n"
            # `surrogates` of file names that are no UTF-8 are escaped by ensure_ascii.
            descriptor = opened(path, flags, 0o600)
            try:
                write(descriptor, line.encode("ascii"))
            finally:
                close(descriptor)
        except Exception:
            # A suite must not fail because it is watched; the missing line is evidence enough.
            pass

    return emit


def _resolved(file, known):
    """The real path of a file, with `known` for the folders that were resolved before."""
    folder, name = os.path.split(file)
    if folder not in known:
        known[folder] = os.path.realpath(folder)
    path = os.path.join(known[folder], name)
    return os.path.realpath(path) if os.path.islink(path) else path


def _foreign(checkout, clone):
    """A function that names the modules that were imported from the user's checkout and not from the clone."""
    realpath, separator = os.path.realpath, os.sep
    prefixes = [realpath(path) + separator for path in {sys.prefix, sys.exec_prefix, sys.base_prefix}]
    inside = realpath(checkout) + separator if checkout else None
    # The clone, and this file's folder, may lie below the checkout.
    own = [realpath(path) + separator for path in (clone, os.path.dirname(os.path.abspath(__file__))) if path]
    modules = sys.modules
    # Where folders really are: a few hold the files of many modules.
    real = {}

    def foreign():
        if inside is None:
            return []
        found = []
        try:
            for name, module in list(modules.items()):
                file = getattr(module, "__file__", None)
                if not isinstance(file, str) or not os.path.isabs(file):
                    continue
                path = _resolved(file, real)
                if not path.startswith(inside) or any(path.startswith(prefix) for prefix in own):
                    continue
                # An environment inside the checkout holds what was installed, not what is examined.
                if any(path.startswith(prefix) for prefix in prefixes) or "-packages" + separator in path:
                    continue
                found.append(str(name))
                if len(found) >= MODULES:
                    break
        except Exception:
            pass
        return found

    return foreign


def _unbuilt(checkout, clone):
    """A function that names the module whose import failed, if the checkout has it as the product of a build: an extension
    module, or a generated file. A clone has none before something builds it, and that is not the code's fault."""
    marks = ("generated", "setuptools_scm", "setuptools-scm", "hatch-vcs", "versioneer", "do not edit")

    def is_product(path):
        name = os.path.basename(path)
        if not name.endswith(".py") or "version" in name:
            return True
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                head = file.read(1000).lower()
        except OSError:
            return False
        return any(mark in head for mark in marks)

    def candidates(root, parts):
        path = os.path.join(root, *parts)
        yield from (path + ".py", os.path.join(path, "__init__.py"))
        folder, last = os.path.split(path)
        try:
            names = os.listdir(folder)
        except OSError:
            names = []
        for name in names:
            if name.startswith(last + ".") and name.endswith((".so", ".pyd")):
                yield os.path.join(folder, name)

    def unbuilt(error):
        seen = 0
        while checkout and error is not None and seen < 20:
            if isinstance(error, ImportError) and error.name:
                inner = getattr(error, "name_from", None)
                for name in [error.name] + ([error.name + "." + inner] if inner else []):
                    for root in ("", "src", "lib", "python"):
                        for path in candidates(os.path.join(checkout, root), name.split(".")):
                            there = os.path.join(clone, os.path.relpath(path, checkout))
                            if os.path.isfile(path) and not os.path.exists(there) and is_product(path):
                                return os.path.relpath(path, checkout)
            error = getattr(error, "cause", None) or error.__cause__ or error.__context__
            seen += 1
        return None

    def safely(error):
        try:
            return unbuilt(error)
        except Exception:
            return None

    return safely


def _detail(report):
    try:
        return report.longreprtext[-DETAIL:]
    except Exception:
        return str(getattr(report, "longrepr", ""))[-DETAIL:]


def _plugin(emit, foreign, is_worker):
    class Reporter:
        """Hooks that the controller of a session has; a worker of xdist has fewer."""

        @pytest.hookimpl(tryfirst=True, hookwrapper=True)
        def pytest_sessionfinish(self, session):
            yield
            emit("foreign", modules=foreign())
            if not is_worker:
                # Outermost of the wrappers: whoever changes the exit status has done it by now.
                emit("finished", status=int(session.exitstatus))

        def pytest_exception_interact(self, node, call):
            # Workers of xdist collect, too, and only they have the exception.
            if isinstance(node, pytest.Collector):
                missing = _find_unbuilt(call.excinfo.value)
                if missing:
                    emit("unbuilt", id=missing)

        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(self, session):
            emit("foreign", modules=foreign())
            if not is_worker:
                emit("collected", count=len(session.items))

    if is_worker:
        return Reporter()

    class Controller(Reporter):
        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionstart(self, session):
            emit("began")

        @pytest.hookimpl(optionalhook=True)
        def pytest_xdist_node_collection_finished(self, node, ids):
            emit("collected", count=len(ids))

        @pytest.hookimpl(optionalhook=True)
        def pytest_testnodedown(self, node, error):
            code = None
            try:
                code = node.gateway._io.popen.wait(5)
            except Exception:
                pass
            emit("worker-down", crashed=bool(error), code=code)

        def pytest_deselected(self, items):
            emit("deselected", count=len(items))

        def pytest_collectreport(self, report):
            if report.failed:
                emit("collect-error", id=report.nodeid, detail=_detail(report))
            elif report.skipped:
                emit("collect-skip", id=report.nodeid)

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logreport(self, report):
            when = report.when
            passed = report.outcome == "passed"
            if passed and when != "call":
                # Setups and teardowns that went well are of no interest, but tests end at their teardown.
                if when == "teardown":
                    emit("end", id=report.nodeid)
                return
            emit(
                "result",
                id=report.nodeid,
                when=str(when),
                outcome=str(report.outcome),
                xfail=hasattr(report, "wasxfail"),
                subtest=getattr(report, "context", None) is not None,
                ms=int(max(0.0, getattr(report, "duration", 0) or 0) * 1000),
                detail="" if passed else _detail(report),
            )
            if when == "teardown":
                emit("end", id=report.nodeid)

        def pytest_keyboard_interrupt(self, excinfo):
            emit("interrupted", by=excinfo.type.__name__)

        def pytest_internalerror(self, excrepr):
            emit("internal-error", detail=str(excrepr)[-DETAIL:])

    return Controller()


_emit = _emitter(EVENTS, NONCE)  # noqa: F821
_find_foreign = _foreign(CHECKOUT, CLONE)  # noqa: F821
_find_unbuilt = _unbuilt(CHECKOUT, CLONE)  # noqa: F821


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_load_initial_conftests(early_config):
    outcome = yield
    # `_excinfo` before pluggy 1.1, `excinfo` since.
    excinfo = getattr(outcome, "excinfo", None) or getattr(outcome, "_excinfo", None)
    if excinfo and excinfo[0].__name__ == "ConftestImportFailure":
        cause = getattr(excinfo[1], "cause", None) or excinfo[1].__cause__
        _emit("conftest-error", detail=str(excinfo[1])[-DETAIL:] + ("\n%r" % (cause,) if cause else ""))
        missing = _find_unbuilt(excinfo[1])
        if missing:
            _emit("unbuilt", id=missing)
        _emit("foreign", modules=_find_foreign())


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    is_worker = hasattr(config, "workerinput")
    config.pluginmanager.register(_plugin(_emit, _find_foreign, is_worker), __name__ + "_hooks")


_emit("loaded", python=sys.version.split()[0], pytest=pytest.__version__)
