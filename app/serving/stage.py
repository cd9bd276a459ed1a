"""A model that is being looked at: its network and its scenes, which are forgotten together."""

from __future__ import annotations

from app.library.loading import LoadedModel
from app.pictures.scenes import SAMPLE, Scene, make_scene
from app.pictures.uploads import UploadStore
from app.serving.cache import ByteCache, weigh
from app.serving.precision import ServedNetwork

SCENE_BYTES = 32 * 2**20


def scene_bytes(scene: Scene) -> int:
    """What a scene takes; the model that it points to is not its own."""
    return weigh((scene.image, scene.x, scene.targets, scene.picture))


class Stage:
    """What is kept of one model; only for the worker's thread.

    Args:
        loaded: the model.
        uploads: people's own pictures.
    """

    def __init__(self, loaded: LoadedModel, uploads: UploadStore) -> None:
        self.loaded = loaded
        self.served: ServedNetwork | None = None
        self._uploads = uploads
        self._scenes: ByteCache[Scene] = ByteCache(SCENE_BYTES, scene_bytes)

    def scene(self, image: str) -> Scene:
        """The scene of an image id.

        Raises:
            UserError: no such image, or one that this model cannot take.
        """
        if not image.startswith(SAMPLE):
            self._uploads.get(image)  # refuses expired ones, and notes that this one is in use
        scene = self._scenes.get(image)
        if scene is None:
            scene = make_scene(self.loaded, image, self._uploads)
            self._scenes.put(image, scene)
        return scene

    def network(self, scene: Scene) -> ServedNetwork:
        """The network that the model is served with, folded for its samples, or for ``scene`` where it has none."""
        if self.served is None:
            example = scene.x if self.loaded.example is None else self.loaded.example
            self.served = ServedNetwork(self.loaded, example)
        return self.served

    def improve(self) -> bool:
        """Do one more step of the search for a faster format; False when it is over."""
        return self.served is not None and self.served.improve()
