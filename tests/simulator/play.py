"""From a seed to a verdict: casts the people, lets the weeks pass, and reads what Klaviyo has received."""

import asyncio
import tempfile
from pathlib import Path
from random import Random

from tests.simulator.browsers import Shape
from tests.simulator.parameters import DAY, parameter
from tests.simulator.people import Cast
from tests.simulator.score import Score, Sent, score
from tests.simulator.stage import Stage
from tests.simulator.stories import load

#: Where files cost no disk, if the machine has it: what is judged here is whom things are told of, not the disk.
MEMORY = Path("/dev/shm")  # noqa: S108


def crowd(chance: Random, people: int) -> list[str]:
    """The stories of a shop with so many households, by the shares of ``parameters``."""
    stories = load()
    shares = {name: parameter(f"share_{name}") for name, told in stories.items() if told.is_hazard}
    shares["couple"] = parameter("household_of_two")
    shares["everyday"] = 1.0 - sum(shares.values())
    return chance.choices(list(shares), weights=list(shares.values()), k=people)


def play(
    seed: int, names: list[str], folder: Path | None = None, *, days: float | None = None, **stage: Shape
) -> Score:
    """Tell the stories ``names`` side by side on one stage and judge them. ``folder`` holds the relay's database."""
    if folder is None:
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as temporary:
            return play(seed, names, Path(temporary), days=days, **stage)
    return asyncio.run(_play(seed, names, folder, (days or parameter("days")) * DAY, **stage))


async def _play(seed: int, names: list[str], folder: Path, seconds: float, **options: Shape) -> Score:
    stories, chance = load(), Random(seed)
    async with Stage(folder, chance, **options) as stage:
        cast = Cast(stage)
        for name in names:
            stage.tell(stories[name].tell(cast), begins_in=chance.uniform(0, seconds / 4))
        await stage.play(seconds=seconds)
        suffix = stage.world.site.metric_suffix
        received = [
            Sent(
                unique_id=event.unique_id or "",
                email=stage.world.profile_of(event).email,
                evidence=str(event.properties.get("BackflowEvidence", "")),
                at=event.received_at,
            )
            for event in stage.world.received()
            if event.metric.endswith(suffix) and not event.backfill and not event.metric.startswith("Page")
        ]
        return score(stage.truth, received)
