"""Pages that are made from the code: written before the build reads them, and only where they changed."""

from pathlib import Path


def write_pages(folder: Path, pages: dict[str, str]) -> None:
    """Let ``folder`` hold these pages (name → text) and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def heading(text: str, line: str = "=") -> str:
    """A heading of reStructuredText."""
    return f"{text}\n{line * len(text)}\n"
