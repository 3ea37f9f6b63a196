from pathlib import Path

import pytest

from tests.media.render.reel import Cutting


@pytest.fixture
def cutting(tmp_path: Path) -> Cutting:
    return Cutting(tmp_path)
