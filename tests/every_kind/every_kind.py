"""Small problems of all further kinds of tasks and inputs, as a plugin: texts, sounds and pictures with key points."""

import torch
from torch import nn

import palora_core as pc
from palora_core.inputs import RGB, Audio, Text
from palora_core.tasks import Classification, KeyPoints, MultiLabel, Ordinal, Quantile, Regression, Tokens

WORDS = ("good", "bad", "great", "awful", "film", "food")


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.layer = nn.Embedding(8, 16), nn.Linear(16, 16)
        self.signs, self.topics, self.stars = nn.Linear(16, 3), nn.Linear(16, 2), nn.Linear(16, 3)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask[..., None].float()
        each = self.layer(self.embed(input_ids)).relu()
        mean = (each * mask).sum(1) / mask.sum(1).clamp(min=1)
        return self.signs(each), self.topics(mean), self.stars(mean)


def reviews(count, seed):
    ids = torch.randint(2, 8, (count, 6), generator=torch.Generator().manual_seed(seed))
    ids[::3, 4:] = 0
    sign = torch.tensor([-100, -100, 1, 2, 1, 2, 0, 0])[ids]
    topics = torch.stack([(ids == 6).any(1), (ids == 7).any(1)], 1).long()
    stars = ((sign == 1).sum(1) - (sign == 2).sum(1)).clamp(-1, 2) + 1
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}, (sign, topics, stars)


@pc.register("benchmark", "reviews")
def texts():
    """Reviews of six words: signs of words, topics and stars."""
    tasks = [
        Tokens("signs", 3, classes=("none", "praise", "blame"), output=0, target=0),
        MultiLabel("topics", 2, classes=("film", "food"), output=1, target=1),
        Ordinal("stars", 4, classes=("poor", "fair", "good", "best"), output=2, target=2),
    ]
    inputs = Text(6, WORDS, ids="input_ids", mask="attention_mask")
    return pc.Problem(Reader(), tasks, lambda: reviews(256, 0), test=lambda: reviews(32, 1), inputs=inputs)


class Listener(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv1d(1, 8, 16, 8), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten())
        self.pitch, self.volume = nn.Linear(32, 3), nn.Linear(32, 1)

    def forward(self, x):
        features = self.trunk(x)
        return {"pitch": self.pitch(features), "volume": self.volume(features)}


def tones(count, seed):
    generator = torch.Generator().manual_seed(seed)
    pitch, volume = (torch.rand(count, 1, 1, generator=generator) for _ in range(2))
    time = torch.arange(400) / 400
    return volume * torch.sin(time * (60 + 200 * pitch)), {"pitch": pitch[:, 0, 0], "volume": volume[:, 0, 0]}


@pc.register("benchmark", "tones")
def sounds():
    """Tones: how high, as a range, and how loud."""
    tasks = [Quantile("pitch", scale=100, unit="Hz"), Regression("volume")]
    return pc.Problem(Listener(), tasks, lambda: tones(256, 0), test=lambda: tones(32, 1), inputs=Audio(400, 400))


class Finder(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 32, 32), nn.ReLU())
        self.places, self.colour = nn.Linear(32, 4), nn.Linear(32, 3)

    def forward(self, x):
        features = self.trunk(x)
        return {"places": self.places(features), "colour": self.colour(features)}


def dots(count, seed):
    generator = torch.Generator().manual_seed(seed)
    places, colour = torch.rand(count, 2, 2, generator=generator), torch.randint(0, 3, (count,), generator=generator)
    image = torch.zeros(count, 3, 24, 32)
    x, y = (places[..., 0] * 31).round().long(), (places[..., 1] * 23).round().long()
    for k in range(2):
        image[torch.arange(count), colour, y[:, k], x[:, k]] = 1 - 0.5 * k
    return image, {"places": places, "colour": colour}


@pc.register("benchmark", "dots")
def pictures():
    """Two dots of one colour."""
    tasks = [KeyPoints("places", 2, classes=("bright", "dim")), Classification("colour", 3)]
    return pc.Problem(Finder(), tasks, lambda: dots(256, 0), test=lambda: dots(32, 1), inputs=RGB((24, 32)))
