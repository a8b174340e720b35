"""Land with the project's loader: `python -m benchmark.land_project ENTITY START END`.

The entity `download` receives the bytes of the sessions and discards them. Prints the
seconds of the work, without the start of Python and the imports.
"""

import sys
import time
from datetime import date

import requests
from deftunes.landing import loader
from deftunes.settings import Settings


def main(entity: str, start: str, end: str) -> None:
    """Land an entity, or download the sessions of [start, end)."""
    settings = Settings.from_environment()
    began = time.perf_counter()
    if entity == "download":
        window = {"start_date": start, "end_date": end}
        answer = requests.get(
            f"{settings.require('api_url')}/sessions", window, timeout=600, stream=True
        )
        answer.raise_for_status()
        for _ in answer.iter_content(1 << 20):
            pass
    else:
        first, last = date.fromisoformat(start), date.fromisoformat(end)
        plan = loader.LandingPlan((entity,), first, last)
        if loader.run(settings, plan).failed:
            sys.exit(1)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:4])
