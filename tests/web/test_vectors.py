"""What the browser is tested with is what Python computes now."""

from __future__ import annotations

import pytest
from scripts import web_vectors


@pytest.mark.parametrize("kind", ["vectors", "artifacts"])
def test_the_files_are_current(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    wanted = web_vectors.files(tmp_path_factory.mktemp(kind))
    found = {path: content for path, content in wanted.items() if path.parts[0] == kind}
    assert len(found) >= 3
    for path, content in found.items():
        assert (web_vectors.FOLDER / path).read_bytes() == content, f"{path}: run scripts/web_vectors.py"


def test_a_changed_file_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert web_vectors.main(["--check"]) == 0
    monkeypatch.setattr(web_vectors, "SEED", 18)
    assert web_vectors.main(["--check"]) == 1
    assert "differs: web/test/vectors/border.json" in capsys.readouterr().out
