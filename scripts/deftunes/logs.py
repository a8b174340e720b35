"""What the commands log, for people or, with DBT_LOG_FORMAT=json, for machines."""

import json
import logging
from datetime import datetime, timezone

from deftunes.settings import wants_json_logs


class _JsonFormatter(logging.Formatter):
    """Formats a record as dbt does: a JSON object on one line, with `info` in it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON; a traceback becomes `exc_info`."""
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        info = {
            "name": record.name,
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
            "ts": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "pid": record.process,
        }
        if record.exc_info:
            info["exc_info"] = self.formatException(record.exc_info)
        return json.dumps({"info": info, "data": {}})


def set_up_logging() -> None:
    """Log to standard error, from level INFO on; as JSON with DBT_LOG_FORMAT=json."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(_JsonFormatter() if wants_json_logs() else text)
    # Forced: libraries that are imported may have set up something.
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


def say(text: str) -> None:
    """Print what a person wants to know at the end; log it instead if logs are JSON."""
    if wants_json_logs():
        logging.getLogger("summary").info("%s", text)
    else:
        print(text)
