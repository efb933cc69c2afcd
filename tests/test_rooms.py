"""The map of the package: every room and every module is on it."""

import importlib
import pkgutil
import re

import pytest

import liveness

ROOMS = [module.name for module in pkgutil.iter_modules(liveness.__path__)]


def test_every_room_is_on_the_map():
    named = set(re.findall(r"``([a-z_]+)``", liveness.__doc__))
    assert set(ROOMS) <= named


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_is_in_the_docstring_of_its_room(room):
    package = importlib.import_module(f"liveness.{room}")
    modules = {
        item.name for item in pkgutil.iter_modules(getattr(package, "__path__", []))
    }
    assert modules <= set(re.findall(r"``([a-z0-9_]+)``", package.__doc__))
