"""The codec: what a step returned, as JSON and back."""

from __future__ import annotations

import base64
import collections
import enum
import functools
import json
import math
import os
import pathlib
import pickle
import subprocess
import sys
import types
import uuid
from collections.abc import Iterator
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy
import pandas
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dotflow import Context, action
from dotflow.core import codec as codec_module
from dotflow.core.codec import MARK, Codec, Kept, register_codec
from dotflow.core.exception import ConfigurationError, CorruptCheckpoint, ResultNotStorable

KEY = b"a key of the tests"
BERLIN = ZoneInfo("Europe/Berlin")


class Colour(enum.Enum):
    RED = "red"
    BLUE = (1, 2)


class Level(enum.StrEnum):
    HIGH = "high"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Point:
    x: int
    y: Any = None


@dataclass(frozen=True, slots=True)
class Frozen:
    name: str
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", len(self.name))


@dataclass
class Loud:
    """Would run code if it were built by calling it."""

    x: int
    factor: InitVar[int] = 2
    calls = 0

    def __post_init__(self, factor: int) -> None:
        type(self).calls += 1
        self.x *= factor

    @functools.cached_property
    def cached(self) -> object:
        return object()


class Pair(NamedTuple):
    left: Any
    right: Any = 0


class Model(pydantic.BaseModel):
    name: str
    point: Point | None = None
    tags: set[str] = set()
    inner: list[Model] = []
    _seen: int = pydantic.PrivateAttr(default=0)


class Stripping(pydantic.BaseModel):
    """Validation would change it a second time."""

    text: str = pydantic.Field(alias="Text")

    @pydantic.field_validator("text")
    @classmethod
    def _shorten(cls, value: str) -> str:
        return value[1:]


class MyText(str):
    __slots__ = ()


class Plain:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return type(other) is Plain and other.x == self.x

    __hash__ = None  # type: ignore[assignment]


@action
def step() -> None: ...


@pytest.fixture
def codec() -> Codec:
    made = Codec()
    made.learn(step)
    return made


@pytest.fixture
def registered() -> Iterator[None]:
    """Undo what a test registers."""
    before = dict(codec_module._custom), dict(codec_module._custom_names)
    yield
    for table, kept in zip((codec_module._custom, codec_module._custom_names), before, strict=True):
        table.clear()  # type: ignore[attr-defined]
        table.update(kept)  # type: ignore[attr-defined]


def through_json(raw: Any) -> Any:
    back = json.loads(json.dumps(raw))
    assert back == raw
    assert raw is not None
    return back


def there_and_back(codec: Codec, value: Any) -> Any:
    return codec.decode(through_json(codec.encode(value, bind="run-task")), bind="run-task")


def is_same(left: Any, right: Any) -> bool:
    """Equal, with the same types and order all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return bool(left.hex() == right.hex())
    if isinstance(left, complex):
        return is_same((left.real, left.imag), (right.real, right.imag))
    if isinstance(left, dict):
        return is_same([list(pair) for pair in left.items()], [list(pair) for pair in right.items()])
    if isinstance(left, (list, tuple, collections.deque)):
        return len(left) == len(right) and all(map(is_same, left, right))
    if isinstance(left, Decimal):
        return str(left) == str(right)
    if isinstance(left, (datetime, time)):
        return left.replace(tzinfo=None) == right.replace(tzinfo=None) and (left.fold, left.tzinfo) == (
            right.fold,
            right.tzinfo,
        )
    return bool(left == right)


# -- plain JSON -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [0, "", [], {}, False, True, 1.5, -0.0, "é\n\0", {"a": [1, None, {"b": 2.0}]}, [[]], [None, 1, "x"], 2**64],
    ids=repr,
)
def test_plain_json_passes_as_the_same_object(codec: Codec, value: Any) -> None:
    """What JSON keeps is neither copied nor wrapped."""
    assert codec.encode(value) is value
    assert codec.decode(value) is value
    assert is_same(there_and_back(codec, value), value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        10**5000,
        [-(10**5000), 1],
        math.inf,
        [-math.inf],
        "\ud83d\ude00",
        ["a", "\udc00"],
        {"\ud800": 1},
        {MARK: 1},
        {MARK: 1, "value": 2, "check": "x"},
        {"a": {MARK: "tuple", "v": []}, "b": ()},
        {"value": 1, "check": 2, "other": 3},
        {"value": 1, "sig": 2, MARK: 3},
        {1: "a", "1": "b", None: "c", (1, 2): "d", 1.5: {2: 3}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_would_change_goes_into_an_envelope(codec: Codec, value: Any) -> None:
    """None, huge ints, odd floats and texts, odd keys and look-alikes of envelopes come back as they went."""
    raw = codec.encode(value)

    assert raw[MARK] == 1
    assert is_same(there_and_back(codec, value), value)


def test_nan_comes_back(codec: Codec) -> None:
    assert math.isnan(there_and_back(codec, [math.nan])[0])


def test_the_order_of_a_dict_is_kept(codec: Codec) -> None:
    assert list(there_and_back(codec, {"b": 1, "a": (), "c": 0})) == ["b", "a", "c"]


# -- types ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        (1, (2, [()])),
        {1, "a", (1, 2)},
        frozenset({b"x"}),
        b"\x00\xff",
        bytearray(b"xy"),
        complex(-0.0, math.inf),
        date(2024, 2, 29),
        datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN),
        datetime(2024, 10, 27, 2, 30, fold=0, tzinfo=BERLIN),
        datetime(1, 1, 1, 0, 0, 0, 1),
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=5, seconds=7), "Odd")),
        time(23, 59, 59, 999999, fold=1),
        time(1, tzinfo=timezone(timedelta(hours=-3))),
        timedelta(-1, 2, 3),
        timedelta.max,
        BERLIN,
        UTC,
        Decimal("1.10"),
        Decimal("-0"),
        Decimal("sNaN12"),
        Fraction(-1, 3),
        uuid.uuid4(),
        pathlib.Path("a/b"),
        pathlib.PurePosixPath("/a"),
        pathlib.PureWindowsPath("c:\\x"),
        range(0, 10, 3),
        slice(1, None),
        collections.OrderedDict([("b", 1), ("a", (2,))]),
        collections.Counter("aab"),
        collections.deque([1, (2,)], maxlen=3),
        Colour.BLUE,
        {Colour.RED: 1},
        Level.HIGH,
        Right.READ,
        Right.READ | Right.WRITE,
        Right(0),
        Point(1, Point(2, (3,))),
        Frozen("abc"),
        Pair(1, Pair((2,))),
        Model(name="a", point=Point(1), tags={"x"}, inner=[Model(name="b")]),
        Stripping(Text="xabc"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_comes_back_equal_and_of_its_type(codec: Codec, value: Any) -> None:
    """Every known type survives, alone and nested."""
    assert codec.encode(value)[MARK] == 1
    assert is_same(there_and_back(codec, value), value)
    nested = {"k": [value, (value,)], "n": 1}
    assert is_same(there_and_back(codec, nested), nested)


def test_utc_is_still_utc(codec: Codec) -> None:
    assert there_and_back(codec, datetime(2024, 1, 1, tzinfo=UTC)).tzinfo is UTC


def test_dataclass_is_rebuilt_without_running_its_code(codec: Codec) -> None:
    """Neither __init__ nor __post_init__ runs again; what is cached is left out; other attributes stay."""
    value = Loud(3)
    value.extra = (1,)  # type: ignore[attr-defined]
    assert value.cached
    calls = Loud.calls

    back = there_and_back(codec, value)

    assert (back.x, back.extra, Loud.calls) == (6, (1,), calls)
    assert "cached" not in vars(back)


def test_private_attributes_and_set_fields_of_a_model_stay(codec: Codec) -> None:
    value = Model(name="a")
    value._seen = 4

    back = there_and_back(codec, value)

    assert back._seen == 4
    assert back.model_fields_set == {"name"}


def test_class_that_gained_a_field(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new field takes its default; a new field without one is an error that says so."""

    def version(**fields: Any) -> type:
        made = types.new_class("Grown", (), exec_body=lambda space: space.update(fields))
        made.__module__ = __name__
        return dataclass(slots=True)(made)

    old = version(__annotations__={"x": int})
    new = version(__annotations__={"x": int, "y": int, "z": list}, y=5, z=field(default_factory=list))
    bare = version(__annotations__={"x": int, "y": int})
    raw = Codec(types=[old]).encode(old(1))

    assert Codec(types=[new]).decode(raw) == new(1, 5, [])
    with pytest.raises(CorruptCheckpoint, match="a class may have changed"):
        Codec(types=[bare]).decode(raw)


def test_contexts_come_back_as_contexts(codec: Codec) -> None:
    """Value, ids, the kind of the workflow id and both times are kept."""
    value = [Context((1,), "a", uuid.uuid4()), Context(Context(None, "b", "text")), Context()]
    value[0].scheduled_for = datetime(2024, 1, 1, tzinfo=UTC)

    back = there_and_back(codec, value)

    assert back == value
    for one, other in zip(back, value, strict=True):
        assert type(one) is Context
        assert (one.time, one.scheduled_for) == (other.time, other.scheduled_for)
        assert type(one.workflow_id) is type(other.workflow_id)


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.datetimes(timezones=st.timezones() | st.none())
    | st.timedeltas()
    | st.dates()
    | st.sampled_from([Colour.RED, Right.WRITE, Level.HIGH]),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.sampled_from([MARK, "value", "check", "v", "of"]), inner)
        | st.dictionaries(st.integers() | st.tuples(st.text()), inner)
        | st.builds(Point, st.integers(), inner)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=12,
)


@given(json_like)
@settings(deadline=None)
def test_any_value_survives(value: Any) -> None:
    """Whatever is nested in whatever comes back the same, in every mode."""
    for codec in (Codec(types=[Colour, Right, Level, Point, Pair]), Codec("signed", key=KEY)):
        codec.learn(step)
        assert is_same(there_and_back(codec, value), value)


# -- NumPy and pandas -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        numpy.arange(6, dtype=">i2").reshape(2, 3),
        numpy.arange(6).reshape(2, 3).T,
        numpy.array(5.0),
        numpy.zeros((0, 2)),
        numpy.array(["a", "é"]),
        numpy.array([(1, "x")], dtype=[("n", "i4"), ("t", "U3")]),
        numpy.array(["2024-01-01", "NaT"], dtype="M8[s]"),
        numpy.float64(1.5),
        numpy.int8(-3),
        numpy.bool_(True),
        numpy.str_("é"),
        numpy.datetime64("2024-01-01T00", "h"),
    ],
    ids=repr,
)
def test_arrays_and_numpy_scalars_survive(codec: Codec, value: Any) -> None:
    back = there_and_back(codec, {"a": value})["a"]

    assert type(back) is type(value)
    assert back.dtype == value.dtype
    assert numpy.array_equal(back, value, equal_nan=value.dtype.kind in "fM")


FRAMES = {
    "many dtypes": pandas.DataFrame(
        {
            "int": numpy.array([1, 2], dtype="int8"),
            "float": [1.5, math.nan],
            "bool": [True, False],
            "str": ["x", None],
            "string": pandas.array(["a", None], dtype="string"),
            "object": pandas.Series([(1, 2), {"a": b"x"}], dtype=object),
            "Int64": pandas.array([2**60 + 1, None], dtype="Int64"),
            "boolean": pandas.array([True, None], dtype="boolean"),
            "Float64": pandas.array([1.5, None], dtype="Float64"),
            "when": pandas.to_datetime(["2024-01-01", None]),
            "zoned": pandas.to_datetime(["2024-03-31T00:30Z", None]).tz_convert("Europe/Berlin"),
            "span": pandas.to_timedelta([1, 2], unit="s"),
            "cat": pandas.Categorical(["b", "a"], categories=["b", "a", "c"], ordered=True),
            "period": pandas.period_range("2024", periods=2, freq="M"),
        }
    ),
    "empty": pandas.DataFrame(),
    "no columns": pandas.DataFrame(index=[3, 1]),
    "no rows": pandas.DataFrame({"a": pandas.Series([], dtype="int64")}),
    "twice the same name": pandas.DataFrame([[1, 2.0]], columns=["a", "a"]),
    "int columns": pandas.DataFrame([[1, 2]], columns=pandas.Index([5, 7], name="n")),
    "index of days": pandas.DataFrame({"v": [1, 2]}, index=pandas.date_range("2024", periods=2, name="day", tz="UTC")),
    "index of texts": pandas.DataFrame({"v": [1, 2]}, index=["x", "y"]),
    "index of tuples": pandas.DataFrame({"v": [1, 2]}, index=pandas.Index([(1, 2), (3,)], tupleize_cols=False)),
    "range": pandas.DataFrame({"v": [1, 2]}, index=pandas.RangeIndex(4, 8, 2, name="r")),
    "sparse": pandas.Series([1.5, 0.0], dtype=pandas.SparseDtype("float64")),
    "series": pandas.Series([1, 2], name=("a", 1), index=[0.5, 1.5]),
    "series of objects": pandas.Series(
        [pandas.Timestamp("2024"), pandas.NaT, pandas.NA, pandas.Timedelta(5), pandas.Timestamp("2024", tz=BERLIN)],
        dtype=object,
    ),
}


def assert_same_table(back: Any, value: Any) -> None:
    check = pandas.testing.assert_frame_equal if value.ndim == 2 else pandas.testing.assert_series_equal
    check(back, value, check_exact=True)


@pytest.mark.parametrize("name", FRAMES)
def test_tables_survive(codec: Codec, name: str) -> None:
    """Values, dtypes, names and index come back equal."""
    value = FRAMES[name]
    value.attrs["source"] = (1,)

    back = there_and_back(codec, [value])[0]

    assert_same_table(back, value)
    assert back.attrs == value.attrs


@pytest.mark.parametrize(
    "value",
    [
        pandas.DataFrame({"a": [1]}, index=pandas.MultiIndex.from_tuples([(1, 2)])),
        pandas.DataFrame([[1]], columns=pandas.MultiIndex.from_tuples([(1, 2)])),
        numpy.array([object()]),
        numpy.ma.masked_array([1], mask=[True]),
    ],
    ids=["rows", "columns", "objects", "masked"],
)
def test_what_has_no_plain_form_is_refused_or_pickled(codec: Codec, value: Any) -> None:
    """It is refused at the save, unless pickle is allowed."""
    with pytest.raises(ResultNotStorable, match=r'^result\["t"\] is of type '):
        codec.encode({"t": value})

    back = there_and_back(Codec("pickle"), value)

    assert type(back) is type(value)


# -- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [MyText("secret"), Plain(1), object(), int, len, lambda: None, iter([1])])
def test_unknown_type_is_refused_with_path_type_and_fix(codec: Codec, value: Any) -> None:
    """Subclasses of builtins are no exception; the text of values is not shown."""
    with pytest.raises(ResultNotStorable) as caught:
        codec.encode({"a": [1, {"b": value}], "secret": "secret"})

    text = str(caught.value)
    assert text.startswith(f'result["a"][1]["b"] is of type {type(value).__module__}:{type(value).__qualname__},')
    assert "Config(codec='pickle')" in text
    assert "register_codec" in text
    assert "secret" not in text


def test_path_names_fields_and_keys(codec: Codec) -> None:
    """A field is shown as a field, a key that is no text by its type."""
    with pytest.raises(ResultNotStorable, match=r"^result\[<tuple>\]\[2\]\.y is of type"):
        codec.encode({(1,): [0, 1, Point(1, object())]})


@pytest.mark.parametrize("kind", [list, tuple])
def test_depth_is_limited(codec: Codec, kind: type) -> None:
    """Two hundred levels pass, one more is refused."""
    value: Any = kind()
    for _ in range(200):
        value = kind([value])
    assert is_same(there_and_back(codec, value), value)

    with pytest.raises(ResultNotStorable, match=r"^result\[0\]\[0\].*… is deeper than 200 levels"):
        codec.encode(kind([value]))


def test_cycle_is_refused(codec: Codec) -> None:
    """A list, a dict and an object that contain themselves."""
    ring: list[Any] = []
    ring.append({"again": ring})
    point = Point(1)
    point.y = [point]

    with pytest.raises(ResultNotStorable, match=r'^result\[0\]\["again"\]\[0\].* contains itself'):
        codec.encode(ring)
    with pytest.raises(ResultNotStorable, match=r"^result\.y\[0\]\.y.* contains itself"):
        codec.encode(point)


def test_time_zone_that_has_no_name_is_refused(codec: Codec) -> None:
    import importlib.resources

    with importlib.resources.files("tzdata.zoneinfo").joinpath("UTC").open("rb") as file:
        zone = ZoneInfo.from_file(file)

    with pytest.raises(ResultNotStorable, match="without a key"):
        codec.encode(datetime(2024, 1, 1, tzinfo=zone))


def test_data_class_on_a_built_in_type_is_refused(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Odd(dict):  # type: ignore[type-arg]
        x: int = 1

    with pytest.raises(ResultNotStorable, match="inherits from a built-in type"):
        Codec(types=[Odd]).encode(Odd())


# -- corruption -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["safe", "signed"])
@pytest.mark.parametrize(
    "value",
    [
        None,
        {MARK: 1, "value": (1.5, "é"), "check": b"\x00"},
        {"when": datetime(2024, 1, 1, tzinfo=UTC), "n": [1, -2], "p": Point(1)},
        [Pair({"a": 1, "b": 2}, Colour.RED), Right.READ],
    ],
    ids=["none", "marked", "mixed", "classes"],
)
def test_any_changed_byte_is_noticed(mode: str, value: Any) -> None:
    """A changed byte of the text of an envelope gives the value or an error, never another value."""
    codec = Codec(mode, key=KEY if mode == "signed" else None)
    codec.learn(step)
    text = json.dumps(codec.encode(value, bind="k")).encode()
    for position, was in enumerate(text):
        for new in {was ^ 1, was ^ 4, was ^ 32, was ^ 128, *b' "\\0}],:a'} - {was}:
            changed = text[:position] + bytes([new]) + text[position + 1 :]
            try:
                raw = json.loads(changed)
            except ValueError:
                continue
            try:
                back = codec.decode(raw, bind="k")
            except CorruptCheckpoint:
                continue
            assert is_same(back, value), changed


@given(json_like, st.data())
@settings(deadline=None, max_examples=60)
def test_any_change_of_an_envelope_is_noticed(value: Any, data: st.DataObject) -> None:
    codec = Codec("signed", key=KEY)
    codec.learn(step)
    text = json.dumps(codec.encode(value)).encode()
    position = data.draw(st.integers(0, len(text) - 1))
    changed = text[:position] + bytes([data.draw(st.integers(0, 255))]) + text[position + 1 :]
    try:
        assert is_same(codec.decode(json.loads(changed)), value)
    except (ValueError, CorruptCheckpoint):
        pass


def forge(tree: Any, **other: Any) -> Any:
    """An envelope with a checksum that matches, as anyone can make one."""
    return {MARK: 1, "value": tree, "check": Codec()._seal(tree, ""), **other}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({MARK: 2, "value": 1, "check": ""}, "version 2, not 1: upgrade dotflow"),
        ({MARK: True, "value": 1, "check": ""}, "damaged"),
        ({MARK: 1}, "damaged"),
        ({MARK: 1, "value": 1, "check": None}, "no 'check'"),
        ({MARK: 1, "value": 1, "check": "é"}, "does not match"),
        (forge(1, more=1), "damaged"),
        (forge({MARK: "new", "v": 1}), "the tag 'new', which this program does not know"),
        (forge({MARK: [], "v": 1}), "cannot be rebuilt"),
        (forge({MARK: "tuple"}), "cannot be rebuilt"),
        (forge({MARK: "UUID", "v": "x"}), "cannot be rebuilt"),
        (forge({MARK: "Decimal", "v": "x"}), "cannot be rebuilt"),
        (forge({MARK: "data", "of": f"{__name__}:Colour", "v": "GREEN"}), "cannot be rebuilt"),
        (forge({MARK: "data", "of": f"{__name__}:Pair", "v": {"up": 1}}), "cannot be rebuilt"),
        (forge({MARK: "data", "of": f"{__name__}:Point", "v": {"x": 1, "__class__": 2}}), "cannot be rebuilt"),
        (forge({MARK: "data", "of": f"{__name__}:Frozen", "v": {"name": "", "q": 2}}), "cannot be rebuilt"),
    ],
    ids=str,
)
def test_damaged_envelope_is_a_clear_error(codec: Codec, raw: Any, message: str) -> None:
    with pytest.raises(CorruptCheckpoint, match=message) as caught:
        codec.decode(raw)

    assert "start(resume=False)" in str(caught.value)


def test_very_deep_data_is_an_error(codec: Codec) -> None:
    raw: Any = []
    for _ in range(5000):
        raw = [raw]

    with pytest.raises(CorruptCheckpoint):
        codec.decode({MARK: 1, "value": raw, "check": ""})


@pytest.mark.parametrize("mode", ["safe", "signed"])
def test_envelope_moved_to_another_key_is_refused(mode: str) -> None:
    codec = Codec(mode, key=KEY if mode == "signed" else None)

    with pytest.raises(CorruptCheckpoint, match="does not match: it was changed, or moved"):
        codec.decode(codec.encode((1,), bind="run-one"), bind="run-two")


# -- data never names code --------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["data", "custom"])
@pytest.mark.parametrize(
    "name", ["os:system", "this:Zen", "builtins:eval", f"{__name__}:Codec", f"{__name__}:os", None]
)
def test_name_in_an_envelope_is_not_followed(codec: Codec, tag: str, name: Any) -> None:
    """A name that no step and nobody registered is an error, and nothing is imported."""
    before = set(sys.modules)

    with pytest.raises(CorruptCheckpoint, match="does not know"):
        codec.decode(forge({MARK: tag, "of": name, "v": {"command": "true"}}))

    assert set(sys.modules) == before
    assert "this" not in sys.modules


def test_pickle_is_not_read_unless_allowed(codec: Codec, tmp_path: pathlib.Path) -> None:
    """A pickle in a safe codec's storage does not run."""
    target = tmp_path / "made"

    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(target),)

    text = base64.b64encode(pickle.dumps(Evil())).decode()
    raw = forge({MARK: "pickle", "v": {MARK: "bytes", "v": text}})

    with pytest.raises(CorruptCheckpoint, match="it holds a pickle"):
        codec.decode(raw)
    with pytest.raises(CorruptCheckpoint):
        Codec("signed", key=KEY).decode(raw)
    assert not target.exists()


def test_class_unknown_to_the_steps_is_refused_at_the_save() -> None:
    """The error names the class and every way out; each of these works."""
    with pytest.raises(ResultNotStorable) as caught:
        Codec().encode([Point(1)])

    assert "result[0] is of type test_codec:Point".replace("test_codec", __name__) in str(caught.value)
    assert "import it there, give Config(types=[Point])" in str(caught.value)
    assert "register_codec(Point" in str(caught.value)
    assert there_and_back(Codec(types=[Point]), Point(1)) == Point(1)
    assert there_and_back(Codec("pickle"), Point(1)) == Point(1)


PROBE = """
from dataclasses import dataclass
import enum
from dotflow import action

def hidden():
    class Inner(enum.Enum):
        A = 1
    @dataclass
    class Outer:
        inner: list[Inner | None]
    return Inner, Outer

@dataclass
class P:
    x: int

@action
def step(): ...
"""


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module of steps, made from ``PROBE``."""
    made = types.ModuleType("codec_probe")
    monkeypatch.setitem(sys.modules, "codec_probe", made)
    exec(compile(PROBE, "codec_probe.py", "exec", dont_inherit=True), vars(made))
    return made


def test_classes_in_closures_annotations_and_fields_are_learned(module: types.ModuleType) -> None:
    """What the step's code can name is known, and what the fields of that can hold."""
    inner, outer = module.hidden()

    def plain() -> Any:
        return outer

    def annotated() -> None: ...

    annotated.__annotations__ = {"return": types.GenericAlias(dict, (str, outer))}

    class Steps:
        @action
        def run(self) -> Any:
            return outer

    wrapped = functools.wraps(annotated)(lambda: None)
    for func in (plain, annotated, functools.partial(plain), wrapped, Steps, Steps().run):
        codec = Codec()
        learned = action(func)
        codec.learn(learned)
        value = outer([inner.A])
        assert there_and_back(codec, value) == value


def test_class_defined_again_is_the_one_that_counts(module: types.ModuleType) -> None:
    """As in a notebook, where a cell defines the class again."""
    codec = Codec()
    codec.learn(module.step)
    old = module.P
    assert there_and_back(codec, old(1)) == old(1)

    exec(compile("@dataclass\nclass P:\n x: int\n y: int = 2", "cell", "exec", dont_inherit=True), vars(module))

    assert there_and_back(codec, module.P(1)) == module.P(1)
    with pytest.raises(ResultNotStorable, match="a class that no step's module names"):
        codec.encode(old(1))


def test_hints_that_only_type_checkers_can_read_are_no_error(codec: Codec) -> None:
    """A step whose annotations or closure are not there yet can be learned."""

    def later() -> Any:
        return absent

    def odd() -> None: ...

    odd.__annotations__ = {"return": "NotThere"}
    steps = [action(later), action(odd)]
    for each in steps:
        codec.learn(each)

    assert there_and_back(codec, Point(1)) == Point(1)
    absent = 1


def test_instance_that_is_more_than_its_fields_is_refused() -> None:
    """A member that its enum does not list, a NamedTuple with attributes of its own."""

    class Wide(Pair):
        pass

    wide = Wide(1)
    wide.more = 2  # type: ignore[attr-defined]
    loose = object.__new__(Colour)
    loose._name_, loose._value_ = "LOOSE", 1

    for value in (wide, loose):
        with pytest.raises(ResultNotStorable, match=r"with more than its fields|does not list"):
            Codec(types=[Wide, Colour]).encode(value)


def test_learning_does_not_keep_steps_alive() -> None:
    """A codec that serves for months does not collect the steps of every run."""
    codec = Codec()
    for _ in range(100):

        @action
        def once() -> None: ...

        codec.learn(once)

    assert len(codec._steps) <= 1


# -- register_codec ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("registered")
def test_registered_codec_is_used_for_its_exact_type(codec: Codec) -> None:
    """What it gives may hold any known type, and its name is what stands in the checkpoint."""
    register_codec(Plain, lambda value: (value.x,), lambda v: Plain(v[0]), name="plain")
    register_codec(MyText, str, MyText)

    assert codec.encode(Plain(1))["value"]["of"] == "plain"
    assert is_same(there_and_back(codec, [Plain(1), MyText("x")]), [Plain(1), MyText("x")])
    with pytest.raises(ResultNotStorable):
        codec.encode(type("Sub", (Plain,), {})(1))


@pytest.mark.usefixtures("registered")
def test_registered_codec_that_fails_is_reported(codec: Codec) -> None:
    register_codec(Plain, lambda value: 1 // 0, Plain)
    with pytest.raises(ResultNotStorable, match=r'^result\["p"\] cannot be kept: ZeroDivisionError'):
        codec.encode({"p": Plain(1)})

    register_codec(Plain, lambda value: value.x, lambda v: 1 // 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(CorruptCheckpoint, match="ZeroDivisionError"):
        codec.decode(codec.encode(Plain(1)))

    register_codec(Plain, lambda value: value, Plain)
    with pytest.raises(ResultNotStorable, match="RecursionError"):
        codec.encode(Plain(1))


@pytest.mark.usefixtures("registered")
def test_registration_that_makes_no_sense_is_refused() -> None:
    register_codec(Plain, lambda value: value.x, Plain, name="n")

    with pytest.raises(ConfigurationError, match="the name 'n' belongs to"):
        register_codec(MyText, str, MyText, name="n")
    with pytest.raises(ConfigurationError, match=r"register_codec\(int\) has no effect"):
        register_codec(int, str, int)


# -- modes ------------------------------------------------------------------------------------------------


def test_modes_and_keys_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOTFLOW_CODEC_KEY", raising=False)

    with pytest.raises(ConfigurationError, match="codec='json' is not a mode; use one of safe, pickle, signed"):
        Codec("json")
    with pytest.raises(ConfigurationError, match="DOTFLOW_CODEC_KEY"):
        Codec("signed")
    with pytest.raises(ConfigurationError, match="key= has no effect"):
        Codec("pickle", key=KEY)
    with pytest.raises(ConfigurationError, match="types= takes enums"):
        Codec(types=[Plain])

    monkeypatch.setenv("DOTFLOW_CODEC_KEY", KEY.decode())
    assert Codec("signed").decode(Codec("signed", key=KEY).encode((1,))) == (1,)


def test_pickle_takes_the_rest() -> None:
    for codec in (Codec("pickle"), Codec("signed", key=KEY)):
        assert is_same(there_and_back(codec, [Plain(1), (1,)]), [Plain(1), (1,)])
        with pytest.raises(ResultNotStorable, match=r"^result\[0\] cannot be kept"):
            codec.encode([lambda: None])


def test_signed_codec_signs_everything_and_reads_nothing_else() -> None:
    """Neither an unsigned envelope nor bare JSON, nor what another key signed."""
    signed = Codec("signed", key=KEY)

    assert signed.encode({"a": 1}).keys() == {MARK, "value", "sig"}
    for raw in (Codec().encode((1,)), {"a": 1}, 5, None, Codec("signed", key=b"other").encode((1,))):
        with pytest.raises(CorruptCheckpoint):
            signed.decode(raw)
    with pytest.raises(CorruptCheckpoint, match=r"another Config\(codec=...\)"):
        Codec().decode(signed.encode((1,)))


@pytest.mark.parametrize("mode", ["safe", "pickle", "signed"])
def test_storage_that_keeps_objects_gets_the_object(mode: str) -> None:
    """Nothing is copied or looked into; only what would be mistaken is wrapped."""
    codec = Codec(mode, key=KEY if mode == "signed" else None)
    marked = {MARK: 1, "value": 2, "check": 3}
    for value in (object(), 5, {"a": object()}, marked, None, Kept(1), [None]):
        raw = codec.encode(value, keeps_objects=True)
        assert raw is not None
        assert codec.decode(raw) is value
    if mode != "signed":
        assert codec.encode(marked["value"], keeps_objects=True) is marked["value"]
    assert type(codec.encode(marked, keeps_objects=True)) is Kept


def test_import_is_cheap() -> None:
    """Nothing that only some values need is loaded with the codec."""
    code = "import sys, dotflow.core.codec as c; c.Codec().decode(c.Codec().encode([1])); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert not {"base64", "hashlib", "decimal", "pickle", "numpy", "pandas", "pydantic"} & set(done.stdout.split())
