import dataclasses
import json

import pytest
from conformance.generate import random_program
from conformance.wild import random_ops

from sluicegate_runtime import ChannelRun, InputError, Op, Preprocessing, Program, Value

SMALL = Program(
    input="x",
    outputs={"output": "z"},
    values=(
        Value("x", (3, 4, 5)),
        Value("g", (2,), "gate"),
        Value("layer", (1,), "gate"),
        Value("y", (5, 4, 5), channels=(ChannelRun(4, "g", 0, 2), ChannelRun(1))),
        Value("z", (2,)),
    ),
    ops=(Op("conv", "c", ("x",), "y", {"weight": "w"}, {"stride": (1, 1), "activation": "relu"}, ("g",), ("layer",)),),
    preprocessing=Preprocessing(resize=256, crop=224, mean=(0.5, 0.25), std=(1.0, 2.0)),
    classes=("cat", "dog"),
)


def test_json_round_trip():
    assert Program.from_json(SMALL.to_json()) == SMALL


@pytest.mark.parametrize("generate", [random_program, random_ops])
@pytest.mark.parametrize("seed", range(20))
def test_json_round_trip_of_random_programs(generate, seed):
    program, _ = generate(seed)
    assert Program.from_json(program.to_json()) == program


def test_how_json_says_it():
    """The form that other readers rely on."""
    document = json.loads(SMALL.to_json())
    assert document["outputs"] == {"output": "z"}
    assert document["values"][3]["channels"] == [[4, "g", 0, 2], [1]]
    assert (document["ops"][0]["when"], document["ops"][0]["unless"]) == (["g"], ["layer"])


def test_what_is_not_known_is_not_said():
    """Unknown preprocessing is not that which changes nothing."""
    for how in (None, Preprocessing()):
        program = dataclasses.replace(SMALL, preprocessing=how)
        assert ("preprocessing" in json.loads(program.to_json())) == (how is not None)
        assert Program.from_json(program.to_json()) == program


def test_outputs_keep_their_order():
    program = dataclasses.replace(SMALL, outputs={"b": "z", "a": "x"})
    assert list(Program.from_json(program.to_json()).outputs) == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"input": NaN}', "NaN is not a number"),
        ('{"input": "x", "input": "y"}', "a key stands twice"),
        ("[]", "must be an object"),
        ("{}", "input must be a text"),
        ('{"input": "x", "outputs": {}, "colour": 3}', "unknown field 'colour'"),
        ('{"input": "x", "output": "y"}', "unknown field 'output'"),
        ('{"input": "x", "outputs": {"output": "y"}, "ops": 3}', "ops must be a list"),
        ('{"input": "x", "outputs": {"a": "y", "a": "z"}}', "a key stands twice"),
    ],
)
def test_json_of_another_form_is_refused(text, complaint):
    with pytest.raises(InputError, match=complaint) as refusal:
        Program.from_json(text)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (("values", 0, "name"), "half of a pair: \ud800"),
        (("ops", 0, "name"), "two\nlines"),
        (("values", 0, "shape"), [1.5]),
        (("values", 0, "shape"), [True]),
        (("values", 0, "kind"), "map"),
        (("ops", 0, "inputs"), [1]),
        (("ops", 0, "tensors"), {"weight": 2}),
        (("ops", 0, "attributes"), {"stride": None}),
        (("ops", 0, "when"), 4),
        (("ops", 0, "when"), "g"),
        (("ops", 0, "unless"), [1]),
        (("outputs",), "z"),
        (("outputs",), ["z"]),
        (("outputs",), {"output": 1}),
        (("values", 0, "channels"), 3),
        (("values", 0, "channels"), [3]),
        (("values", 0, "channels"), [[]]),
        (("values", 0, "channels"), [[1.5]]),
        (("values", 0, "channels"), [[True]]),
        (("values", 0, "channels"), [[3, "g"]]),
        (("values", 0, "channels"), [[3, None, 0, 1]]),
        (("values", 0, "channels"), [[3, "g", 0, "1"]]),
        (("values", 0, "channels"), [[3, "g", 0, 1, 1]]),
        (("preprocessing",), None),
        (("preprocessing", "resize"), -1),
        (("preprocessing", "mean"), ["a"]),
        (("preprocessing", "mean"), [10**400]),
        (("preprocessing", "std"), [float("inf")]),
        (("classes",), [1]),
    ],
)
def test_a_field_of_the_wrong_type_is_refused(path, content):
    document = json.loads(SMALL.to_json())
    *parents, last = path
    place = document
    for key in parents:
        place = place[key]
    place[last] = content
    with pytest.raises(InputError):
        Program.from_json(json.dumps(document).replace("Infinity", "1e999"))
