"""``python -m tests.simulator``: the long form. ``--story NAME`` tells one hazard alone, ``--plot FILE`` draws it."""

import argparse
import sys
from pathlib import Path
from random import Random

from rich.console import Console

from tests.simulator import plot, report
from tests.simulator.browsers import Shape
from tests.simulator.play import crowd, play
from tests.simulator.stories import load


def main() -> int:
    arguments = _arguments()
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
    return 0 if all(is_met for *_, is_met in report.goals(verdict, is_crowd=told is None)) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--people", type=int, default=300, help="households of the crowd (long form: 5000)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--days", type=float, default=None, help="how long it lasts (default: as in the parameters)")
    parser.add_argument("--story", choices=sorted(load()), help="tell this story alone")
    parser.add_argument("--casts", type=int, default=5, help="by how many casts, with --story")
    parser.add_argument("--shape", choices=[*Shape], default=Shape.PATH, help="where the relay stands")
    parser.add_argument("--plot", type=Path, help="file for the picture (SVG)")
    parser.add_argument("--stories", action="store_true", help="list the stories")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
