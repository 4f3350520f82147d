"""Imports of a package that is installed as editable go to the clone, not to the user's checkout.

`pip install -e` leaves a path to the checkout in the environment, and the clone's tests would import from there: dirty
files, and not the commit that is examined. The test-runner puts this file on PYTHONPATH, so that every interpreter of
the run, a test's own subprocesses too, reads it once its `.pth` files are done. Each mapping to the checkout is
turned to the same place in the clone, and nothing else moves: the order of the import path stays as it is by hand.
What the clone does not have stays where it was, and the reporter says so.

CHECKOUT, CLONE and OWN (this file's folder) are set by a few lines put in front of it.
"""

import sys


def _redirect(checkout, clone):
    import os

    checkout = os.path.realpath(checkout)
    clone = os.path.realpath(clone)
    prefixes = [os.path.realpath(path) + os.sep for path in {sys.prefix, sys.exec_prefix, sys.base_prefix}]

    def moved(path):
        if not isinstance(path, str) or not path:
            return path
        real = os.path.realpath(path)
        if real != checkout and not real.startswith(checkout + os.sep):
            return path
        # An environment or a clone inside the checkout is no part of it.
        slashed = real + os.sep
        if any(slashed.startswith(prefix) for prefix in prefixes) or "-packages" + os.sep in slashed:
            return path
        if real == clone or real.startswith(clone + os.sep):
            return path
        there = clone + real[len(checkout):]
        return there if os.path.exists(there) else path

    sys.path[:] = [moved(path) for path in sys.path]
    # setuptools: a finder of its own for each editable package, with its mapping as module variables.
    for name, module in list(sys.modules.items()):
        if not name.startswith("__editable__"):
            continue
        mapping = getattr(module, "MAPPING", None)
        if isinstance(mapping, dict):
            mapping.update({key: moved(value) for key, value in mapping.items()})
        namespaces = getattr(module, "NAMESPACES", None)
        if isinstance(namespaces, dict):
            for key, paths in namespaces.items():
                namespaces[key] = [moved(path) for path in paths]
    # hatchling and others (the `editables` package): a finder with a mapping.
    for finder in sys.meta_path:
        redirections = getattr(finder, "_redirections", None)
        if isinstance(redirections, dict):
            redirections.update({key: moved(value) for key, value in redirections.items()})


def _chain(own):
    """The environment's own sitecustomize, which this file hides, is still run."""
    import os
    from importlib.machinery import PathFinder

    paths = [path for path in sys.path if os.path.realpath(path or ".") != os.path.realpath(own)]
    spec = PathFinder.find_spec("sitecustomize", paths)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


try:
    _redirect(CHECKOUT, CLONE)  # noqa: F821
except Exception:
    # Not redirected is seen by the reporter; a broken start of the interpreter would be worse.
    pass
_chain(OWN)  # noqa: F821
