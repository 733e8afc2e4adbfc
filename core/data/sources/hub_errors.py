"""What goes wrong with a data set of the Hub, each as one sentence with its fix."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.errors import TunedeckError, UsageError
from core.models.hub import in_words

if TYPE_CHECKING:
    from core.recipe import DataSection

_NAMES = re.compile(r"\[(.*?)\]", re.DOTALL)


@contextlib.contextmanager
def data_set_errors(source: str, section: DataSection) -> Iterator[None]:
    """Turn what `datasets` and huggingface_hub raise into TunedeckError, in words and without the token."""
    try:
        yield
    except TunedeckError:
        raise
    except Exception as error:
        raise _in_words(error, source, section) from None


def _in_words(error: Exception, source: str, section: DataSection) -> TunedeckError:
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import DataFilesNotFoundError, DatasetBuildError
    from pyarrow import ArrowException

    text = str(error)
    if isinstance(error, ValueError) and "onfig" in text:
        return _configuration(text, source, section)
    if isinstance(error, ValueError) and "split" in text:
        return UsageError(
            f'it has no split "{section.split}"',
            where=source,
            fix=f"set data.split to one of: {_listed(text)}",
        )
    if isinstance(error, (EmptyDatasetError, DataFilesNotFoundError)):
        return TunedeckError("it holds no data files of a known kind", where=source, fix="choose another set")
    if isinstance(error, RuntimeError) and "scripts are no longer supported" in text:
        return TunedeckError(
            "it is a loading script, which the datasets library no longer runs",
            where=source,
            fix="choose a set of data files (parquet, jsonl, csv)",
        )
    if isinstance(error, (DatasetBuildError, ArrowException)):
        cause = error.__cause__ or error.__context__ or error
        first = next((line for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
        return TunedeckError(
            f"the datasets library cannot read its files: {first.strip()}",
            where=source,
            fix="download the files, and name their folder as data.source: bad rows are then findings",
        )
    return in_words(error, source, section.revision, kind="data set")


def _configuration(text: str, source: str, section: DataSection) -> TunedeckError:
    what = (
        f'it has no configuration "{section.config}"' if section.config else "it has several configurations"
    )
    return UsageError(what, where=source, fix=f"set data.config to one of: {_listed(text)}")


def _listed(text: str) -> str:
    """The names between the brackets of a message."""
    found = _NAMES.search(text)
    return found[1].replace("'", "").replace('"', "") if found else text.splitlines()[0]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and log lines of libraries: standard error may be the screen, and the error says it all."""
    import logging

    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from datasets.utils.logging import get_verbosity, set_verbosity
    from huggingface_hub.utils import are_progress_bars_disabled as hub_bars_disabled
    from huggingface_hub.utils import disable_progress_bars as disable_hub_bars
    from huggingface_hub.utils import enable_progress_bars as enable_hub_bars

    shown, hub_shown, level = not are_progress_bars_disabled(), not hub_bars_disabled(), get_verbosity()
    disable_progress_bars()
    disable_hub_bars()
    set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        set_verbosity(level)
        if shown:
            enable_progress_bars()
        if hub_shown:
            enable_hub_bars()
