"""ACT's autoencoder: what its encoder sees, how z is drawn, and that the exported graph is its decoder at z = 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from vla_models.act.names import CHUNK
from vla_models.chunks.names import ACTIONS
from vla_models.registry import find_policy

SMALL = {"width": 24, "hidden": 40, "heads": 2, "encoder_layers": 2, "posterior_layers": 2, "latent": 5}
N = 6


@pytest.fixture
def policy() -> Any:
    import torch

    torch.manual_seed(0)
    spec = find_policy("act")
    return spec.make(spec.configured(SMALL)).eval()


def given(policy: Any, seed: int = 1) -> dict[str, Any]:
    """Inputs of `forward`."""
    import torch

    chunk = torch.randn(N, 16, 2, generator=torch.Generator().manual_seed(seed))
    return {**policy.graphs()[0].example(N, seed), CHUNK: chunk}


def test_z_is_drawn_from_the_posterior_with_torch_s_generator(policy: Any) -> None:
    import torch

    inputs = given(policy)
    torch.manual_seed(3)
    found = policy(**inputs)
    torch.manual_seed(3)
    z = torch.distributions.Normal(found.mean, found.log_variance.exp().sqrt()).rsample()
    assert z.shape == (N, SMALL["latent"])
    assert torch.allclose(found.actions, policy.network(inputs["corners"], inputs["state"], z), atol=1e-6)
    assert (policy(**inputs).actions - found.actions).abs().max() > 1e-3, "another draw"


def test_the_exported_graph_is_the_decoder_at_zero(policy: Any, tmp_path: Path) -> None:
    """It takes no chunk, and has no weight of the encoder."""
    import torch

    from vla_models.export_onnx import export_onnx

    export_onnx(policy, tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    assert [value.name for value in model.graph.input] == ["corners", "state"]
    weights = {onnx.numpy_helper.to_array(t).tobytes() for t in model.graph.initializer}
    held = [p.detach().numpy().tobytes() for p in policy.posterior.parameters() if p.unique().numel() > 2]
    assert len(held) > 10 and not weights & set(held)
    assert policy.network.corners.bias.detach().numpy().tobytes() in weights
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    inputs = {name: value[:1] for name, value in given(policy).items() if name != CHUNK}
    (found,) = session.run([ACTIONS], {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        at_zero, elsewhere = (policy.network(**inputs, z=torch.full((1, 5), z)).numpy() for z in (0.0, 1.0))
    assert np.abs(found - at_zero).max() < 1e-5 < 1e-2 < np.abs(found - elsewhere).max()


def test_the_posterior_reaches_the_output(policy: Any) -> None:
    """With next to no variance, z is the mean; another mean is another chunk."""
    import torch

    inputs, latent = given(policy), SMALL["latent"]
    with torch.no_grad():
        policy.posterior.out.weight[latent:] = 0
        policy.posterior.out.bias[latent:] = -60
        first = policy(**inputs)
        policy.posterior.out.bias[:latent] += 1
        second = policy(**inputs)
        assert torch.allclose(second.mean, first.mean + 1, atol=1e-5)
        for found in (first, second):
            wanted = policy.network(inputs["corners"], inputs["state"], found.mean)
            assert torch.allclose(found.actions, wanted, atol=1e-5)
    assert (first.actions - second.actions).abs().max() > 1e-2


def test_what_the_posterior_depends_on(policy: Any) -> None:
    """The state, every action and its step; not the corners. Each sample on its own."""
    import torch

    inputs = given(policy)
    others = given(policy, seed=2)
    with torch.no_grad():
        plain = policy(**inputs)
        for name, matters in (("state", True), (CHUNK, True), ("corners", False)):
            changed = policy(**inputs | {name: others[name]})
            for one, other in ((plain.mean, changed.mean), (plain.log_variance, changed.log_variance)):
                assert ((one - other).abs().max() > 1e-3) == matters, name
        turned = policy(**inputs | {CHUNK: inputs[CHUNK].flip(1)})
        assert (plain.mean - turned.mean).abs().max() > 1e-3, "which action is at which step"
        mixed = inputs[CHUNK].clone()
        mixed[0] = others[CHUNK][0]
        changed = policy(**inputs | {CHUNK: mixed})
        assert torch.allclose(plain.mean[1:], changed.mean[1:], atol=1e-6)
    chunk = inputs[CHUNK].clone().requires_grad_()
    (slope,) = torch.autograd.grad(policy(**inputs | {CHUNK: chunk}).mean.sum(), chunk)
    assert (slope.abs().amax(dim=(0, 2)) > 0).all(), "every step"


def test_what_the_device_sees(policy: Any) -> None:
    """The state, and each corner in its place, decide the chunk, of which no two actions are alike."""
    import torch

    inputs = {name: value for name, value in given(policy).items() if name != CHUNK}
    with torch.no_grad():
        plain = policy.network(**inputs)
        for name in inputs:
            assert (plain - policy.network(**inputs | {name: inputs[name].flip(0)})).abs().max() > 1e-3, name
        turned = policy.network(**inputs | {"corners": inputs["corners"].flip(1)})
    assert plain.shape == (N, 16, 2) and (plain - turned).abs().max() > 1e-3
    assert torch.cdist(plain[0], plain[0]).add(torch.eye(16)).min() > 1e-4
