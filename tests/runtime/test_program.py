import json

import pytest
from conformance.generate import random_program

from sluicegate_runtime import InputError, Op, Preprocessing, Program, Value

SMALL = Program(
    input="x",
    output="y",
    values=(Value("x", (3, 4, 5)), Value("g", (2,), "gate"), Value("y", (2, 4, 5), gate="g")),
    ops=(Op("conv", "c", ("x",), "y", {"weight": "w"}, {"stride": (1, 1), "activation": "relu"}, "g"),),
    preprocessing=Preprocessing(256, 224, (0.5, 0.25), (1.0, 2.0)),
    classes=("cat", "dog"),
)


def test_json_round_trip():
    assert Program.from_json(SMALL.to_json()) == SMALL


@pytest.mark.parametrize("seed", range(20))
def test_json_round_trip_of_random_programs(seed):
    program, _ = random_program(seed)
    assert Program.from_json(program.to_json()) == program


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"input": NaN}', "NaN is not a number"),
        ('{"input": "x", "input": "y"}', "a key stands twice"),
        ("[]", "must be an object"),
        ("{}", "input must be a text"),
        ('{"input": "x", "output": "y", "colour": 3}', "unknown field 'colour'"),
        ('{"input": "x", "output": "y", "ops": 3}', "ops must be a list"),
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
