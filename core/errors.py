"""The one kind of error a person is shown: what is wrong, where, and the fix, in one or two lines."""

from __future__ import annotations

# Exit codes of the command line, see docs/commands.md.
EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DOES_NOT_FIT = 3
EXIT_MISSING = 4
EXIT_INTERRUPTED = 130


class TunedeckError(Exception):
    """Something a person can act on. Shown without a traceback; the traceback goes to the log.

    `what` is one sentence. `where` names file, row or field. `fix` says what to do next.
    `exit_code` is what a command ends with.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "", exit_code: int = EXIT_FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix
        self.exit_code = exit_code

    def __str__(self) -> str:
        first = f"{self.where}: {self.what}" if self.where else self.what
        return f"{first}\n{self.fix}" if self.fix else first


class UsageError(TunedeckError):
    """The call or a file that was named is wrong; exit code 2."""

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what, where=where, fix=fix, exit_code=EXIT_USAGE)


class MissingError(TunedeckError):
    """Something is not here: a package, a GPU, access, a download; exit code 4."""

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what, where=where, fix=fix, exit_code=EXIT_MISSING)
