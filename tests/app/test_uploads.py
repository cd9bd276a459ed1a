import numpy as np
import pytest

from app.pictures.uploads import UploadStore
from app.serving.cache import weigh
from palora_core.errors import UserError


def test_store_forgets():
    store = UploadStore(capacity=3 * weigh(np.zeros((10, 10, 3), np.uint8)), lifetime=1000)
    tokens = [store.put(np.zeros((10, 10, 3), np.uint8)) for _ in range(5)]
    assert [token in store for token in tokens] == [False, False, True, True, True]
    assert len(set(tokens)) == 5 and all(len(token) > 24 for token in tokens)
    with pytest.raises(UserError, match="send it again"):
        store.get(tokens[0])
    store.lifetime = -1
    assert tokens[4] not in store
