"""``python -m tests.simulator``: the long form. ``--story NAME`` tells one hazard alone, ``--plot FILE`` draws it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

from rich.console import Console

from tests.simulator import guide, plot, report
from tests.simulator.browsers import Shape
from tests.simulator.play import crowd, play
from tests.simulator.stories import load


def main(given: Sequence[str] | None = None) -> int:
    """Play, show, write; 0 when every goal is met, else 1."""
    arguments = _arguments(given)
    console = Console(width=150)
    if arguments.stories:
        report.stories(console)
        return 0
    seed, told = arguments.seed, arguments.story
    names = [told] * arguments.casts if told else crowd(Random(seed), arguments.people)
    whom = f"--story {told} --casts {arguments.casts}" if told else f"--people {arguments.people}"
    command = f"python -m tests.simulator {whom} --seed {seed} --shape {arguments.shape}"
    if not told:
        report.parameters(console)
    verdict = play(seed, names, days=arguments.days, shape=Shape(arguments.shape))
    report.show(console, verdict, command, is_crowd=told is None)
    if arguments.plot:
        arguments.plot.write_bytes(plot.draw(verdict, command))
    if arguments.guide:
        verdicts = {shape: verdict if shape == arguments.shape else play(seed, names, shape=shape) for shape in Shape}
        command = f"python -m tests.simulator --people {arguments.people} --seed {seed} --guide"
        guide.GUIDE.write_text(guide.write(guide.GUIDE.read_text(), verdicts, command))
        guide.PICTURE.write_bytes(plot.draw(verdicts[Shape.PATH], command))
    return 0 if all(is_met for *_, is_met in report.goals(verdict, is_crowd=told is None)) else 1


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--people", type=int, default=300, help="households of the crowd (long form: 5000)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--days", type=float, default=None, help="how long it lasts (default: as in the parameters)")
    parser.add_argument("--story", choices=sorted(load()), help="tell this story alone")
    parser.add_argument("--casts", type=int, default=5, help="by how many casts, with --story")
    parser.add_argument("--shape", choices=[*Shape], default=Shape.PATH, help="where the relay stands")
    parser.add_argument("--plot", type=Path, help="file for the picture (SVG)")
    parser.add_argument("--guide", action="store_true", help="write relay/guides/recovery.md and its picture")
    parser.add_argument("--stories", action="store_true", help="list the stories")
    arguments = parser.parse_args(given)
    if arguments.guide and (arguments.story or arguments.days):
        parser.error("--guide: tells of a whole crowd over the whole time, so neither --story nor --days goes with it")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
