"""Work done before it is asked for: a model's tokenizer is kept while the person still looks at the first panel."""

from __future__ import annotations

import threading

from core.errors import TunedeckError
from core.recipe import Recipe
from core.workspace import Workspace


def keep_tokenizer(recipe: Recipe, workspace: Workspace) -> None:
    """Have the tokenizer of the recipe's model kept, in a thread that never holds up leaving."""
    if not recipe.model.trust_remote_code:
        threading.Thread(target=_keep, args=(recipe, workspace), daemon=True).start()


def _keep(recipe: Recipe, workspace: Workspace) -> None:
    from core.data.kept_tokenizer import make_ready
    from core.models.sources import locate

    try:
        found = locate(recipe.model.source, recipe.model.revision, workspace)
        if found.kind != "config":
            make_ready(found.folder.resolve())
    except (TunedeckError, OSError):
        return  # whoever needs the model says what is wrong with it
