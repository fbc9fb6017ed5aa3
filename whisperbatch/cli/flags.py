"""Error messages of options, with the Python names of arguments turned into command-line flags.

``whisperbatch.options`` puts these names in backticks: "`ray_address` needs `backend=ray`" becomes "--ray-address needs
--backend ray".
"""

import re

from whisperbatch.cli import params

RENAMED = {
    "formats": "--format",
    "temperatures": "--temperature",
    "use_journal=False": "--no-journal",
    "write=False": "--stdout",
}  # where the Python name differs from the flag
_NAMED = re.compile(r"`(\w+)(?:=(\S+?))?`")


def with_flags(message: str) -> str:
    """Return an error message with its backticked Python names replaced by flags; others stay as they are."""
    known = params.names()

    def flag(found: re.Match[str]) -> str:
        name, value = found[1], found[2]
        whole = RENAMED.get(found[0].strip("`"))
        spelled = whole or RENAMED.get(name, f"--{name.replace('_', '-')}")
        if spelled not in known:
            return found[0]
        return spelled if whole or value is None else f"{spelled} {value}"

    return _NAMED.sub(flag, message)
