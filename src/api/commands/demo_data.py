"""Fill a database with a year of believable usage, so that there is something to look at."""

from collections.abc import Callable

from api.commands import CommandFailed, database, plans
from api.demo.year import CHARACTERS, DAYS, Year
from api.settings import Settings


async def fill(settings: Settings, say: Callable[[str], None]) -> None:
    """Does nothing where it was done before. Raises CommandFailed where there is no plan file with the example plans."""
    if settings.plans is None:
        raise CommandFailed("The demo data needs the example plans: add --plans plans.yaml.")
    async with database.opened(settings) as container:
        real = container.clock()()
        year = Year(container, real)
        if await year.is_there():
            return
        container.clock.override(lambda: year.now)
        try:
            await plans.push(container, settings.plans)
            say(f"Booking a year of usage of {len(CHARACTERS)} customers …")
            booked = await year.play(lambda day, days: say(f"  {day} of {days} days") if day and day % 90 == 0 else None)
        finally:
            container.clock.reset_override()
        say(f"Booked {booked:,} records over {DAYS} days.")
