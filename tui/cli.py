"""The entry point. Nothing heavy is imported here: each command imports what it needs when it runs.

stdout is data, stderr is narration. An error is one or two lines and an exit code (`core.errors`); its
traceback goes to the log. Without a command the full-screen app opens. The commands are in `tui/commands`.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from core.errors import EXIT_FAILED, EXIT_INTERRUPTED, TunedeckError


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code. An error never shows a traceback."""
    try:
        run(sys.argv[1:] if arguments is None else arguments)
    except TunedeckError as error:
        _log_traceback()
        _say(f"tunedeck: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        log = _log_traceback()
        _say(f"tunedeck: unexpected {type(error).__name__}: {error}\nThe details are in {log}")
        sys.exit(EXIT_FAILED)


def run(arguments: list[str]) -> None:
    """Open the app, or hand over to the commands. Leaves by SystemExit."""
    if not arguments:
        # The way most sessions begin. The machinery of the command line would cost the first paint 60 ms.
        from core.workspace import find_workspace
        from tui.commands.screen import open_app

        sys.exit(open_app(find_workspace()))
    from tui.commands.all import app

    app(args=arguments)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)  # noqa: T201 - this is the command line


def _log_traceback() -> Path:
    import traceback

    from core.workspace import state_folder

    log = state_folder() / "tunedeck.log"
    with contextlib.suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {' '.join(sys.argv)}\n{traceback.format_exc()}\n")
    return log


if __name__ == "__main__":
    main()
