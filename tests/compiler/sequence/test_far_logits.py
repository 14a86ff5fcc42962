"""Logits beyond what the machine's int16 holds: refused where shares of the softmax would change, else as in float."""

import re

import numpy as np
import onnx_ir as ir
import pytest
from blocks import Sequence
from on_device import snr

import vlarun
from vla_isa.hardware import load
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions, compile_file
from vlac.errors import CalibrationError
from vlac.quantize.far_logits import LogitBounds
from vlac.quantize.rounds import all_rounds

KEYS, D = 12, 16


def attention(scale, *, mask=None, given=False, **more):
    g = Sequence("attention")
    parts = [g.input(n, (1, KEYS, D)) for n in ("q", "k", "v")]
    parts += [g.constant(mask)] if mask is not None else [g.input("mask", (KEYS, KEYS))] if given else []
    counts = {"q_num_heads": 2, "kv_num_heads": 2}
    return g.finished(g.node("Attention", parts, D, scale=scale, **counts, **more))


def samples(seed=0, count=6):
    rng = np.random.default_rng(seed)
    return [{n: rng.standard_normal((1, KEYS, D)).astype(np.float32) for n in ("q", "k", "v")} for _ in range(count)]


def compiled(model, data):
    return compile_file(model, load("tiny"), CompileOptions(calibration=data, check=True))


def reach(data, scale):
    """The largest logit of either head, key by key."""
    found = 0.0
    for sample in data:
        for head in (slice(0, 8), slice(8, 16)):
            for q in sample["q"][0, :, head]:
                for k in sample["k"][0, :, head]:
                    found = max(found, abs(scale * float(np.dot(q.astype(np.float64), k))))
    return found


def test_what_would_change_shares_is_refused():
    data = samples(count=4)  # none is held out
    scale = 400 / reach(data, 1.0)
    wanted = (
        r"Attention 'attention0\S*': its logits reach 400\.0 nat on the calibration data, the machine's 128\.0; shares"
    )
    with pytest.raises(CalibrationError, match=wanted + r".*off by up to \d+ %.*softcap, at most 127"):
        compiled(attention(scale), data)


@pytest.mark.parametrize("sign", [1, -1])
def test_all_logits_of_a_row_at_one_end_are_refused(sign):
    """140 and 141 nat, or -140 and -141: equal where both stop, though they are no further apart than 1."""
    data = samples(count=4)
    for sample in data:
        sample["q"][:], sample["k"][:] = 0, 0
        sample["q"][..., ::8], sample["k"][..., ::8] = 1, sign * (1 - np.arange(KEYS)[None, :, None] / 140)
    with pytest.raises(CalibrationError, match=r"reach 140\.0 nat"):
        compiled(attention(140.0), data)
    state = compiled(attention(100.0), data)
    found = vlarun.Session(state.program).run(data[0])
    wanted = Reference(attention(100.0)).run(data[0])
    assert all(snr(a, found[name]) > 20 for name, a in wanted.items())


def lone(data):
    """Each query has one key far above all others."""
    for sample in data:
        sample["q"], sample["k"] = (np.zeros((1, KEYS, D), np.float32) for _ in range(2))
        sample["k"][0, :, 0] = sample["k"][0, :, 8] = [1 if i == 3 else 0.2 for i in range(KEYS)]
        sample["q"][..., ::8] = 1
    return data


def test_a_key_far_above_all_others_is_what_it_is_in_float():
    """200 nat beside 40: the machine's 128 beside 40 is the same softmax."""
    data = lone(samples(count=4))
    state = compiled(attention(200.0), data)
    found = vlarun.Session(state.program).run(data[1])
    assert all(snr(a, found[name]) > 30 for name, a in Reference(attention(200.0)).run(data[1]).items())


def test_what_holds_logits_itself_is_no_fault():
    """A cap of the model's own; a mask by positions that is far from 0 alike for a whole row; keys that are hidden."""
    data = samples(count=4)
    compiled(attention(400 / reach(data, 1.0), softcap=50.0), data)
    far = (np.arange(KEYS)[None] * 30 - 400 + np.zeros((KEYS, 1))).astype(np.float32)
    compiled(attention(0.3, mask=far), data)
    hidden = np.where(np.tri(KEYS, dtype=bool), 0, -1e4).astype(np.float32)
    compiled(attention(0.3, mask=hidden), data)
    compiled(attention(0.3, given=True), [{**s, "mask": hidden} for s in data])


def test_a_mask_that_the_model_gets_counts():
    data = [{**s, "mask": np.full((KEYS, KEYS), -150, np.float32)} for s in samples(count=4)]
    with pytest.raises(CalibrationError, match=r"reach 1[56]\d\.\d nat"):
        compiled(attention(0.3, given=True), data)


def test_the_message_names_every_node():
    data = samples(count=4)
    g = Sequence("two")
    q, k, v = (g.input(n, (1, KEYS, D)) for n in ("q", "k", "v"))
    counts = {"q_num_heads": 2, "kv_num_heads": 2}
    first = g.node("Attention", [q, k, v], D, scale=100.0, **counts)
    model = g.finished(g.node("Attention", [q, k, first], D, scale=50.0, **counts))
    with pytest.raises(CalibrationError) as error:
        compiled(model, data)
    assert re.findall(r"Attention '(attention\d)\S*': its", str(error.value)) == ["attention0", "attention1"]


def test_norms_of_rows_spare_a_look_at_all_logits(monkeypatch):
    """Queries and keys of one large channel, each another one: their ranges' product is far above any logit."""
    rng = np.random.default_rng(0)
    data = samples(count=4)
    for sample in data:
        for name in ("q", "k"):
            sample[name][:] = 0
            np.put_along_axis(sample[name], rng.integers(0, D, (1, KEYS, 1)), np.float32(4), axis=2)
    model = attention(3.0)
    loaded = ir.from_proto(model)
    bounds = LogitBounds(loaded)
    all_rounds(loaded, data, [bounds])
    (node,) = loaded.graph
    assert reach(data, 3.0) == pytest.approx(48) and bounds.of(node) == pytest.approx(48)
    runs = []
    monkeypatch.setattr("vlac.quantize.far_logits.attention_heads", lambda *given: runs.append(given) or [])
    compiled(model, data)  # 8 channels of 4 x 4 x 3 nat would be 384
    assert not runs
    compiled(attention(7.0), data)  # 112 nat: looked at
    assert runs
