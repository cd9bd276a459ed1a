"""Kinds of inputs: from a person's file to what a network reads, and back to what a person sees."""

import io
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

from palora_core.errors import UserError
from palora_core.inputs import MOST_BYTES, RGB, Audio, Grey, Input, Sound, Table, Text, _decoding, as_input
from palora_core.inputs._decoding import decode_picture
from palora_core.inputs.record import Field, Record, Scale


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width=60, height=40) -> np.ndarray:
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats(kind):
    pixels = decode_picture(encoded(Image.fromarray(gradient()).convert("RGB"), kind))
    assert pixels.shape == (40, 60, 3) and pixels.dtype == np.uint8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "RGB", "I;16", "I"])
def test_modes(mode):
    if mode == "I;16":
        image = Image.fromarray(gradient().astype(np.uint16) * 257)
    elif mode == "I":
        image = Image.fromarray(gradient().astype(np.int32) * 257)
    else:
        image = Image.fromarray(gradient()).convert(mode)
    pixels = decode_picture(encoded(image, "TIFF" if mode in ("CMYK", "I") else "PNG"))
    assert pixels.shape == (40, 60, 3)
    assert pixels[:, -3:].mean() - pixels[:, :3].mean() > 150, "the gradient is still there, not clipped away"


def test_transparent_pixels_become_white():
    image = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert (decode_picture(encoded(image)) == 255).all()


def test_exif_rotation():
    image = Image.fromarray(np.zeros((40, 60, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    assert decode_picture(encoded(image, "JPEG", exif=exif)).shape[:2] == (60, 40)


def test_large_pictures_are_reduced():
    assert max(decode_picture(encoded(Image.new("RGB", (3000, 2000)))).shape) == _decoding.KEPT_SIDE
    assert decode_picture(encoded(Image.new("L", (8000, 8000)), "JPEG")).shape[0] <= _decoding.KEPT_SIDE


def test_extreme_shapes():
    assert decode_picture(encoded(Image.new("RGB", (5000, 9)))).shape[1] == _decoding.KEPT_SIDE


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a picture"),
        (b"hello, I am a text", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (encoded(Image.new("RGB", (64, 64), "red"))[:60], "damaged"),
        (encoded(Image.effect_noise((200, 200), 50), "JPEG")[:900], "damaged"),
        (encoded(Image.new("1", (8000, 8000))), "8000 × 8000"),
        (encoded(Image.new("1", (20000, 20000))), "far too large"),
        (encoded(Image.new("RGB", (2, 300))), "at least 8"),
        (b"\x89PNG" + b"0" * (MOST_BYTES + 1), "MB"),
    ],
    ids=["empty", "text", "svg", "cut png", "cut jpeg", "8000", "bomb", "thin", "bytes"],
)
def test_bad_files_get_one_sentence(data, words):
    with pytest.raises(UserError) as caught:
        decode_picture(data)
    assert words in str(caught.value) and "\n" not in str(caught.value)


# -- kinds ------------------------------------------------------------------------------------------------------------
PHOTO = np.random.default_rng(0).integers(0, 256, (50, 333, 3), np.uint8)
PICTURES = [
    RGB((32, 48)),
    RGB((32, 48), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    RGB((32, 48), (0.5,) * 3, (0.5,) * 3),
    Grey((28, 28)),
    Grey((28, 28), squeezed=True, dark=True),
]


@pytest.mark.parametrize("kind", PICTURES)
def test_a_photo_of_any_shape_becomes_an_input_and_a_picture_again(kind):
    x = kind.to_input(PHOTO)
    assert x.shape[0] == 1 and tuple(x.shape[2:]) == kind.size
    shown = kind.to_shown(x[0])
    assert shown.shape == (*kind.size, 3) and kind.takes(shown)
    again = kind.to_input(shown)
    assert (again - x).abs().max() < 0.02 or kind.dark  # as a picture in 256 steps


def test_scaling_is_what_it_says_and_is_undone():
    plain, scaled = RGB((8, 8)), RGB((8, 8), (0.1, 0.2, 0.3), (0.5, 0.4, 0.3))
    x = torch.rand(2, 3, 8, 8)
    expected = torch.stack([(x[:, c] - m) / d for c, (m, d) in enumerate(((0.1, 0.5), (0.2, 0.4), (0.3, 0.3)))], 1)
    torch.testing.assert_close(scaled.scaled(x), expected)
    torch.testing.assert_close(scaled.restored(scaled.scaled(x)), x)
    assert plain.scaled(x) is x and plain.restored(x) is x


def test_what_is_cut_off_is_said():
    assert RGB((32, 32)).lost(PHOTO) == "The middle is used: 85 % of its width is cut off."
    assert RGB((50, 333)).lost(PHOTO) == "" == Grey((28, 28), squeezed=True).lost(PHOTO)


def test_ink_on_paper_is_inverted_where_the_network_knows_chalk_on_slate():
    paper = np.full((40, 40, 3), 255, np.uint8)
    assert Grey((28, 28), squeezed=True, dark=True).to_input(paper).max() < 1e-5
    assert Grey((28, 28), squeezed=True).to_input(paper).min() > 0.99
    assert Grey((28, 28), dark=True).to_input(255 - paper).max() < 1e-5


ROW = Table(("age", "income"), mean=(40.0, 1000.0), deviation=(10.0, 500.0))


def test_a_row_has_names_and_peoples_units():
    row = ROW.read(b"\xef\xbb\xbfincome,city,age\r\n1500,Ulm,30\r\n")
    assert row == {"age": 30.0, "income": 1500.0} and ROW.takes(row)
    x = ROW.to_input(row)
    assert x.tolist() == [[-1.0, 1.0]]
    assert ROW.to_shown(x[0]) == row
    assert Table().to_shown(torch.tensor([1.0, 2.0])) == {"x1": 1.0, "x2": 2.0}
    assert Table(("a", "b")).to_input({"b": 1.0, "a": 2}).tolist() == [[2.0, 1.0]]
    assert not Table().takes({}) and not ROW.takes({"age": 3.0}) and not ROW.takes(PHOTO)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"age\n3\n", "no column 'income'"),
        (b"age,income\n", "no row below its head"),
        (b"", "no row below its head"),
        (b"age,income\n3,many\n", "'income' holds 'many'"),
        (b"age,income\n3,inf\n", "'income' holds 'inf'"),
        (b"age,income\n3\n", "no column 'income'"),
        (b"\xff\xfe\x00\x01", "no table in text form"),
        (b"a" * (MOST_BYTES + 1), "the limit is 20 MB"),
    ],
)
def test_a_bad_table_gets_one_sentence(data, words):
    with pytest.raises(UserError, match=words):
        ROW.read(data)


def test_tables_refuse_what_does_not_fit_their_columns():
    for options in ({"mean": (1.0,)}, {"deviation": (1.0, 2.0, 3.0)}, {"deviation": (1.0, 0.0)}):
        with pytest.raises(UserError):
            Table(("a", "b"), **options)
    with pytest.raises(UserError, match="3 numbers for 2 columns"):
        ROW.to_shown(torch.zeros(3))


def test_inputs_of_which_nobody_said_more_are_numbers_that_nobody_can_send():
    plain = Input()
    assert plain.to_shown(torch.arange(4).view(2, 2)).tolist() == [0, 1, 2, 3]
    assert plain.suffixes == () and Table().suffixes == () and not plain.takes(PHOTO)
    for ask in (lambda: plain.read(b""), lambda: plain.to_input(PHOTO), lambda: Table().read(b"x1\n1\n")):
        with pytest.raises(UserError, match="cannot be sent"):
            ask()


def test_a_benchmark_names_its_kind_or_gives_it():
    import palora_core as pc

    assert {"rgb", "grey", "table"} <= set(pc.inputs())
    assert [pc.inputs()[name].kind for name in ("rgb", "grey", "table")] == ["rgb", "grey", "table"]
    assert as_input("table") == Table() and as_input(ROW) is ROW
    with pytest.raises(UserError, match=r"'rgb' needs options .*RGB\(…\)"):
        as_input("rgb")
    with pytest.raises(UserError, match="unknown input 'tabel': did you mean 'table'"):
        as_input("tabel")
    with pytest.raises(UserError, match="expected an Input"):
        as_input(3)
    for name, made in pc.benchmarks().items():
        assert isinstance(as_input(made().input_kind), Input), name


PERSON = Record(
    (
        Field("age", (), 17, 90, (Scale(38.0, 13.0),)),
        Field("degree", ("none", "school", "university"), 0, 2, (Scale(1.0, 0.5),)),
        Field("gain", (), 0, 99_999, (Scale(1000.0, 7000.0), Scale(0.7, 2.5, True))),
    )
)


@pytest.mark.parametrize("row", [(17, "none", 0), (90, "university", 99_999), (41, "school", 7_688)])
def test_records_come_back_as_they_went_in(row):
    shown = dict(zip(("age", "degree", "gain"), row))
    x = PERSON.to_input(shown)
    assert x.shape == (1, PERSON.width) == (1, 7) and x.dtype == torch.float32
    assert PERSON.to_shown(x[0]) == shown and PERSON.takes(shown)
    expected = [(row[0] - 38) / 13, *(row[1] == value for value in ("none", "school", "university"))]
    expected += [(("none", "school", "university").index(row[1]) - 1) / 0.5]
    expected += [(row[2] - 1000) / 7000, (math.log1p(row[2]) - 0.7) / 2.5]
    assert x[0].tolist() == pytest.approx([float(value) for value in expected], rel=1e-5)


def test_a_record_is_read_from_a_table_with_its_names():
    table = b"gain,degree,other,age\n12, school ,x,40\n1,none,y,20\n"
    assert PERSON.read(table) == {"age": 40, "degree": "school", "gain": 12}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("40,doctor,1", "field degree is 'doctor'; expected one of none, school, university"),
        ("16,none,1", "field age is '16'; expected a whole number from 17 to 90"),
        ("40.5,none,1", "field age is '40.5'"),
        ("old,none,1", "field age is 'old'"),
        ("40,none,inf", "field gain is 'inf'; expected a whole number from 0 to 99,999"),
    ],
)
def test_a_record_that_cannot_be_is_refused_by_field(row, words):
    with pytest.raises(UserError, match=re.escape(words)):
        PERSON.read(f"age,degree,gain\n{row}\n".encode())
    assert not PERSON.takes(dict(zip(("age", "degree", "gain"), row.split(","))))
    assert not PERSON.takes({"age": 40}) and not PERSON.takes(None)


def test_a_code_that_no_value_has_is_refused():
    with pytest.raises(UserError, match="code for degree that is none of its 3 values"):
        PERSON.encode(torch.tensor([[40, 3, 0]]))


# -- texts and sounds -------------------------------------------------------------------------------------------------
def test_bytes_of_a_text_come_back():
    kind = Text(16)
    x = kind.to_input(kind.read("Grüße!".encode()))
    assert x.shape == (1, 16) and x.dtype == torch.int64 and (x[0, 8:] == 0).all() and x[0, 0] == ord("G") + 1
    assert kind.to_shown(x[0]) == "Grüße!" and kind.takes("any") and not kind.takes(PHOTO)
    assert kind.lost("x" * 20) == "The first 16 of its 20 bytes are used." and kind.lost("x" * 16) == ""


def test_words_of_a_vocabulary_come_back_and_others_are_said():
    kind = Text(5, ("the", "cat", "sat", "."))
    x = kind.to_input("The cat slept.")
    assert x.tolist() == [[2, 3, 1, 5, 0]] and kind.to_shown(x[0]) == "the cat ▢ ."
    assert kind.to_shown(torch.tensor([99, 0, 0, 0, 0])) == "▢"


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "empty"), (b" \n", "empty"), (b"\xff\xfe", "no plain text"), (b"a" * (MOST_BYTES + 1), "MB")],
)
def test_a_bad_text_gets_one_sentence(data, words):
    with pytest.raises(UserError, match=words):
        Text(4).read(data)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_sound_of_any_form_is_what_it_was(width, channels):
    import wave

    tone = 0.5 * np.sin(2 * np.pi * 5 * np.arange(800) / 800)
    steps = np.round(tone * (2 ** (8 * width - 1) - 1)).astype("<i8") + (128 if width == 1 else 0)
    raw = np.repeat(steps.view(np.uint8).reshape(-1, 8)[:, :width], channels, axis=0).tobytes()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((channels, width, 800, 800, "NONE", ""))
        file.writeframes(raw)
    kind = Audio(800, 1000)
    sound = kind.read(buffer.getvalue())
    assert sound.rate == 800 and np.abs(sound.values - tone).max() < 1e-7 + 1.1 / 2 ** (8 * width - 1)
    x = kind.to_input(sound)
    assert x.shape == (1, 1, 1000) and (x[0, 0, 800:] == 0).all()
    again = kind.read(kind.to_shown(x[0]).as_wav())
    assert np.abs(again.values[:800] - tone).max() < 0.01 + 1.1 / 2 ** (8 * width - 1)


def test_a_sound_of_another_rate_keeps_its_tone():
    time = np.arange(16000) / 16000
    sound = Sound(np.sin(2 * np.pi * 50 * time).astype(np.float32), 16000)
    kind = Audio(4000, 4000)
    x = kind.to_input(sound)[0, 0].numpy()
    expected = np.sin(2 * np.pi * 50 * np.arange(4000) / 4000)
    assert np.abs(x - expected)[100:-100].max() < 0.01 and kind.lost(sound) == ""


def test_of_a_long_sound_the_loudest_stretch_is_used_from_where_it_rises():
    kind, rate = Audio(8000, 8000), 16000
    quiet = 0.001 * np.random.default_rng(0).normal(size=3 * rate).astype(np.float32)
    word = np.sin(np.arange(rate // 2) * 0.2).astype(np.float32) * 0.5
    quiet[int(1.7 * rate) :][: len(word)] += word
    sound = Sound(quiet, rate)
    x = kind.to_input(sound)[0, 0].numpy()
    assert np.abs(x[:150]).max() < 0.01 < 0.4 < np.abs(x[200:4000]).max() and np.abs(x[4400:]).max() < 0.01
    assert kind.lost(sound) == "Of its 3 seconds the network hears 1, from 1.66 s on, where it is loudest."
    silence = Sound(np.zeros(32000, np.float32), rate)
    assert kind.to_input(silence).shape == (1, 1, 8000) and kind.lost(silence).startswith(
        "Of its 2 seconds the network hears 1"
    )
    at_once = Sound(np.concatenate([word, word, word]), rate)  # data sets begin at once
    assert np.abs(kind.to_input(at_once)[0, 0].numpy()[:100]).max() > 0.3


@pytest.mark.parametrize("data", [b"", b"RIFF", b"no sound at all", Sound(np.zeros(0, np.float32), 8000).as_wav()])
def test_a_bad_sound_gets_one_sentence(data):
    with pytest.raises(UserError, match=r"WAV file|empty"):
        Audio(8000, 10).read(data)
