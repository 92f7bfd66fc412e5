"""What the README shows is what there is: its programs run, and the experiment it prints is the one in the package."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def program(word: str) -> str:
    """The one Python program of the README with this word in it."""
    [found] = [text for text in PROGRAMS if word in text]
    return found


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("UdpTunnel", "b'hello'"),
        ("Delay(Reno)", "500000 octets, 0 sent again, RTT 0.07 s"),
        ("lossy_hello", "50000 octets, all of them"),
    ],
    ids=["a link of one's own", "a congestion controller of one's own", "a virtual clock"],
)
def test_programs_do_what_they_say(word: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(program(word))
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith(said)
    assert not done.stderr


def test_experiment_is_the_one_in_the_package() -> None:
    experiment = (ROOT / "usertcp/lab/experiments/fin_loss.py").read_text()
    assert program("lose_first_fin") == experiment


def test_experiments_are_those_of_the_lab() -> None:
    [listed] = re.findall(r"\$ usertcp lab list\n(.*?)```", README, re.DOTALL)
    command = [sys.executable, "-m", "usertcp", "lab", "list"]
    assert listed == subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def test_nothing_was_left_to_be_filled_in() -> None:
    assert re.findall(r"@[A-Z]+@", README) == []


def test_every_file_of_the_map_is_there() -> None:
    [layout] = re.findall(r"```\n(usertcp/\n.*?)```", README, re.DOTALL)
    folders = re.findall(r"^  (\w+(?:\.py|/))", layout, re.MULTILINE)
    assert len(folders) >= 10
    assert [name for name in folders if not (ROOT / "usertcp" / name).exists()] == []
