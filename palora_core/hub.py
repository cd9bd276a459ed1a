"""Sharing models through the Hugging Face Hub: the model folder as a repository, with a page made from the card.

``huggingface_hub`` (the extra ``hub``) talks to the server; what it fetches is read like any folder from elsewhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from palora_core.checkpoint import WEIGHTS, load, save
from palora_core.conditioning.base import ParetoModel
from palora_core.errors import UserError, shortened
from palora_core.storage.cards import CARD, OWN

FILES = (WEIGHTS, CARD, "front.json", "samples.npz")  # of a repository; nothing else is fetched
PAGE = "README.md"


def push_to_hub(
    model: ParetoModel,
    repo: str,
    card: Mapping[str, Any] | None = None,
    folder: Path | str | None = None,
    adapters_only: bool = False,
    private: bool = False,
    token: str | None = None,
) -> str:
    """Upload a model, its card and a page that is made from it.

    Args:
        model: any λ-conditioned network.
        repo: ``"user/name"``; made where it is missing.
        card: see :func:`palora_core.checkpoint.save`.
        folder: a run's folder, whose front and samples go along.
        adapters_only: see :func:`palora_core.checkpoint.save`.
        private: for a repository that is made.
        token: of the account; by default the one that ``hf auth login`` left.

    Returns:
        The address of the commit.

    Raises:
        UserError: no ``huggingface_hub``, no access, or no answer.
    """
    api = _hub().HfApi(token=token)
    with tempfile.TemporaryDirectory() as place:
        written = save(place, model, card, adapters_only=adapters_only)
        for name in FILES[2:]:
            if folder is not None and (Path(folder) / name).is_file():
                (Path(place) / name).write_bytes((Path(folder) / name).read_bytes())
        (Path(place) / PAGE).write_text(page(written, repo), encoding="utf-8")
        try:
            api.create_repo(repo, private=private, exist_ok=True)
            done = api.upload_folder(repo_id=repo, folder_path=place, commit_message=f"Upload {written['name']}")
        except Exception as error:  # the library's own errors, its HTTP client's and the system's
            raise _refused("upload to", repo, error) from error
    return str(getattr(done, "commit_url", done))


def from_hub(
    repo: str, network: nn.Module | None = None, revision: str | None = None, token: str | None = None
) -> tuple[ParetoModel, dict[str, Any]]:
    """The model and the card of a repository, as :func:`palora_core.checkpoint.load` gives them.

    Args:
        repo: ``"user/name"``.
        network: see :func:`palora_core.checkpoint.load`.
        revision: branch, tag or commit.
        token: of an account that may read it.

    Raises:
        UserError: no ``huggingface_hub``, no access, no answer, or no model in there.
    """
    try:
        folder = _hub().snapshot_download(repo, revision=revision, token=token, allow_patterns=list(FILES))
    except UserError:
        raise
    except Exception as error:  # see push_to_hub
        raise _refused("fetch", repo, error) from error
    return load(folder, network=network)


def page(card: Mapping[str, Any], repo: str) -> str:
    """The repository's page: what the model is, how good, how it is loaded, and what it is not for."""
    tasks = [str(task["name"]) for task in card["tasks"]]
    front = card.get("front") or {}
    middle = ", ".join([f"{1 / len(tasks):.3g}"] * len(tasks))
    own = ", network=MyNetwork()" if card["network"]["name"] == OWN or "base" in card else ""
    told = [
        ("Objectives, in the order of λ", ", ".join(tasks)),
        ("Hypervolume", f"{front['hypervolume']:.4g}" if "hypervolume" in front else ""),
        ("Data", card.get("data", "")),
        ("Licence", card.get("licence", "")),
        ("Not for", card.get("limits", "")),
    ]
    return "\n".join(
        [
            "---",
            "library_name: palora",
            "tags: [palora, pareto, multi-task]",
            "---",
            f"# {card['title']}",
            "",
            "One network for every trade-off between its objectives: a preference λ chooses the one you want.",
            "",
            *(f"- **{name}**: {text}" for name, text in told if text),
            "",
            "```python",
            "import palora_core as pc",
            "",
            f'model, card = pc.from_hub("{repo}"{own})',
            f"y = model(x, [{middle}])  # any preference",
            "```",
            "",
        ]
    )


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise UserError("huggingface_hub is not installed; pip install 'palora-core[hub]' brings it.") from None
    return huggingface_hub


def _refused(what: str, repo: str, error: Exception) -> UserError:
    reason = shortened(str(error).partition("\n")[0] or type(error).__name__)
    return UserError(f"Could not {what} the repository {repo!r} ({reason}); check its name, the token and the network.")
