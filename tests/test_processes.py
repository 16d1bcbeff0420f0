from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from spinscope.errors import SpinscopeError
from spinscope.processes import dead, side_by_side, this_process


def test_a_process_is_dead_once_it_has_gone_or_its_number_is_of_another():
    machine, number, began = this_process().split()
    assert not dead(this_process())
    assert dead(f"{machine} {number} 1{began}")  # its number is now of another process
    assert dead("") and dead(f"{machine} no number") and dead(f"{machine} 0 {began}")
    # Names of earlier releases hold the time of the start.
    former = psutil.Process().create_time()
    assert not dead(f"{machine} {number} {former + 1:.2f}")  # the clock was set
    assert dead(f"{machine} {number} {former - 60:.2f}")
    assert not dead(f"elsewhere {number} {began}")
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    assert dead(f"{machine} {gone.pid} {began}")


def test_a_killed_process_is_dead_before_its_parent_knows(tmp_path):
    code = "from spinscope.processes import this_process as p; print(p(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        named = process.stdout.readline().strip()
        assert not dead(named)
        process.kill()
        until(lambda: dead(named))  # a zombie, since nobody waited for it


def test_items_come_in_order_and_a_process_that_dies_is_said():
    assert list(side_by_side(abs, [-3, 2, -1], 2)) == [3, 2, 1]
    with pytest.raises(SpinscopeError, match="killed at work"):
        list(side_by_side(os._exit, [9], 1))


def test_processes_end_with_the_one_that_started_them(tmp_path):
    program = (
        "import sys, time\n"
        "from spinscope.processes import side_by_side\n"
        "from tests_of_processes import note\n"
        "list(side_by_side(note, [sys.argv[1]], 1))\n"
    )
    (tmp_path / "tests_of_processes.py").write_text(
        "import pathlib, time\n"
        "from spinscope.processes import this_process\n"
        "def note(path):\n"
        "    pathlib.Path(path).write_text(this_process())\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "program.py").write_text(f"if __name__ == '__main__':\n{_indented(program)}")
    note = tmp_path / "note"
    with subprocess.Popen([sys.executable, tmp_path / "program.py", note]) as process:
        until(lambda: note.is_file() and note.read_text())
        assert not dead(note.read_text())
        process.kill()
    until(lambda: dead(note.read_text()))


def test_ctrl_c_does_not_wait_for_work_and_reports_no_leak(tmp_path):
    program = (
        "import sys\n"
        "from spinscope.processes import side_by_side\n"
        "from tests_of_interrupts import note\n"
        "try:\n"
        "    list(side_by_side(note, [sys.argv[1]], 1))\n"
        "except KeyboardInterrupt:\n"
        "    raise SystemExit(130)\n"
    )
    (tmp_path / "tests_of_interrupts.py").write_text(
        "import pathlib, time\n"
        "def note(path):\n"
        "    pathlib.Path(path).touch()\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "program.py").write_text(f"if __name__ == '__main__':\n{_indented(program)}")
    note = tmp_path / "note"
    with subprocess.Popen(
        [sys.executable, tmp_path / "program.py", note],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells may ignore it
    ) as process:
        until(note.is_file)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, "")


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def until(true) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
