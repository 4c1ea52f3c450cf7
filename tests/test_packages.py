"""Which import packages a wheel gets."""

from __future__ import annotations

from configparser import ConfigParser

from .tools import ROOT


def test_each_package_there_is_gets_into_the_wheel() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    named = config["options"]["packages"].split()

    there = []
    for root, name in (ROOT, "sync_sio"), (ROOT / "integrations", "sync_sio_*"):
        for top in root.glob(name):
            there += [".".join(init.parent.relative_to(root).parts) for init in top.rglob("__init__.py")]
    assert named == sorted(there)
