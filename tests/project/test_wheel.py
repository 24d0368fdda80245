"""The wheel: what is built holds all that the service needs when it runs."""

import subprocess
import sys
from pathlib import Path

from tests.servers.tools import environment

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


def test_the_demonstration_runs_from_a_wheel_that_was_built(tmp_path: Path) -> None:
    """As after `pipx install`: nothing of the checkout is in reach."""
    wheels, installed, place = tmp_path / "wheels", tmp_path / "installed", tmp_path / "elsewhere"
    place.mkdir()
    env = environment(HOME=str(tmp_path))
    built = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(built, env=env, check=True)
    (wheel,) = wheels.iterdir()
    subprocess.run(
        [*PIP, "install", "--no-deps", "--no-index", "--target", str(installed), str(wheel)], env=env, check=True
    )
    program = f"import runpy, sys; sys.path.insert(0, {str(installed)!r}); sys.argv = ['userdrop', 'demo']; "
    program += "runpy.run_module('watcher', run_name='__main__')"
    shown = subprocess.check_output([sys.executable, "-P", "-c", program], cwd=place, env=env, text=True)
    assert "sam.okonjo@example.edu" in shown
    assert [path.suffix for path in (place / "var" / "demo" / "mail").iterdir()] == [".eml"]
    asked = "import sys; sys.path.insert(0, sys.argv[1]); import watcher; print(watcher.__file__)"
    found = subprocess.check_output([sys.executable, "-P", "-c", asked, str(installed)], cwd=place, env=env, text=True)
    assert found.startswith(str(installed))
