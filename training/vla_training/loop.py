"""The one training loop, for any policy, objective and world. Read it from top to bottom.

A run writes `OUT/checkpoints/`, `OUT/train.jsonl`, `OUT/tensorboard/` and `OUT/config.json`. Started again with as many
processes it goes on from the last checkpoint, and ends with the bytes of a run that never stopped: all randomness of a
step comes from its number. On several devices `torchrun` starts one process each; every process computes its share of
each batch.

Not here: losses (`objectives/`), what a policy makes of a frame (`vla_models`), the first weights (`first_policy.py`),
what is stored (`checkpoint.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vla_datasets.files import write_json
from vla_datasets.lerobot.reader import check_statistics, dataset_digest, open_dataset
from vla_datasets.lerobot.windows import Windows, load_windows
from vla_datasets.worlds.registry import find_world
from vla_isa.errors import OutputError
from vla_isa.files import alone, make_folder
from vla_models.draws import Draws
from vla_models.registry import find_policy
from vla_training.checkpoint import (
    Best,
    TrainingState,
    last_checkpoint,
    pretrained_folder,
    restore,
    save_checkpoint,
)
from vla_training.config.run import TrainConfig
from vla_training.environment import note_start
from vla_training.errors import TrainConfigError
from vla_training.first_policy import first_policy
from vla_training.loggers import Logger, make_loggers
from vla_training.prune import keep_pruned
from vla_training.sampler import EpochSampler, seed_step
from vla_training.validate import to_tensors, validate

__all__ = ["check_data", "check_taught", "learning_rate", "train"]

Config = TrainConfig[Any, Any]
Progress = Callable[[int, Mapping[str, float]], None]


def train(
    config: Config,
    data: Path,
    out: Path,
    stop_after: int | None = None,
    progress: Progress = lambda step, values: None,
) -> Path:
    """Train (or go on training) a policy and return the folder of the newest saved one.

    Args:
        config: the run.
        data: a data set with the splits `train` and `val`.
        out: folder of the run.
        stop_after: stop at this step, as if interrupted right after its checkpoint.
        progress: called after each step with its number (from 1) and the latest numbers.

    Raises:
        TrainConfigError, CheckpointError, DatasetError: see their messages.
        OutputError: another process trains in `out`, or it cannot be written.
    """
    with _accelerator(config) as accelerator:
        state, model = _start(config, data, accelerator)
        checkpoints = out / "checkpoints"
        checkpoint = last_checkpoint(checkpoints)
        first_step = restore(checkpoint, state) if checkpoint else 0
        last_step = min(config.steps, stop_after if stop_after is not None else config.steps)
        if first_step >= last_step:
            return pretrained_folder(out)

        training, held_out = (_windows(config, data, split, state.policy) for split in ("train", "val"))
        shares = find_world(config.world).frame_shares(data, "train", config.balance) if config.balance else None
        sampler = EpochSampler(len(training), config.batch_size, config.seed, shares)
        main = accelerator.is_main_process
        with _alone(config, out, checkpoint, main), _loggers(out, first_step, main) as loggers:
            if main:
                note_start(out / "environment.jsonl", first_step)
            started = time.perf_counter()
            for step in range(first_step, last_step):
                values, watched = _step(config, accelerator, state, model, training, sampler, step)
                done = step + 1
                if done % config.log_every == 0 or done == last_step:
                    values |= watched | {"seconds": time.perf_counter() - started}
                saves = done % config.save_every == 0 or done == config.steps
                if main and (done % config.validate_every == 0 or done == config.steps):
                    scores = validate(config, state.usable, held_out, accelerator.device)
                    _check_finite(done, scores.values)
                    values |= scores.values
                    if saves and (state.best is None or scores.score > state.best.score):
                        state.best = Best(done, scores.score)
                if len(values) > 1:
                    for logger in loggers:
                        logger.log(done, values)
                if main and (saves or done == last_step):
                    save_checkpoint(checkpoints, done, state, config.keep_checkpoints)
                if main:
                    progress(done, values)
        accelerator.wait_for_everyone()
    return pretrained_folder(out)


def _step(
    config: Config,
    accelerator: Accelerator,
    state: TrainingState,
    model: torch.nn.Module,
    training: Windows,
    sampler: EpochSampler,
    step: int,
) -> tuple[dict[str, float], dict[str, float]]:
    """One optimizer step on this process's share of its batch; returns the loss, and more numbers to watch."""
    rate = learning_rate(step, config)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    model.train()
    losses, norm, metrics = [], torch.zeros(()), {}
    prepare: Any = state.policy.prepare
    frames = sampler.batch(step)
    mine = np.arange(len(frames))[accelerator.process_index :: accelerator.num_processes]
    for part, rows in enumerate(np.array_split(mine, config.accumulate)):
        generator = seed_step(accelerator.device, config.seed, step, accelerator.process_index, part)
        draws = Draws(generator, torch.from_numpy(rows).to(accelerator.device), len(frames))
        with accelerator.accumulate(model):
            batch = prepare(to_tensors(training.batch(frames[rows]), accelerator.device))
            batch = dataclasses.replace(batch, progress=step / config.steps)
            with accelerator.autocast():
                loss, metrics = config.objective_options.loss(model, batch, draws)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                norm = accelerator.clip_grad_norm_(model.parameters(), config.clip_norm)
            state.optimizer.step()
            state.optimizer.zero_grad()
        losses.append(loss.item())
    if state.averaged is not None:
        state.averaged.update_parameters(state.policy)
    loss = sum(losses) / len(losses)
    if accelerator.num_processes > 1:
        loss = float(accelerator.reduce(torch.tensor(loss, device=accelerator.device), "mean"))
    watched = {**{name: float(value) for name, value in metrics.items()}, "gradient_norm": float(norm)}
    _check_finite(step + 1, {"loss": loss})
    if accelerator.scaler is None:  # which skips steps whose gradient is not finite
        _check_finite(step + 1, watched)
    return {"loss": loss}, {**watched, "learning_rate": rate}


def _check_finite(step: int, values: Mapping[str, float]) -> None:
    """Stop before a checkpoint holds weights that are no numbers."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainConfigError(f"'{name}' is {value} at step {step}; lower 'learning_rate'.")


def learning_rate(step: int, config: Config) -> float:
    """Linear warm-up to `learning_rate`, then half a cosine to zero at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))


@contextlib.contextmanager
def _accelerator(config: Config) -> Iterator[Accelerator]:
    """Devices, processes and precision of this run; another run in this process may have another precision."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic matrix products need on a GPU
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True)
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        mixed_precision=config.precision, gradient_accumulation_steps=config.accumulate, cpu=config.device == "cpu"
    )
    shares = accelerator.num_processes * config.accumulate
    if config.batch_size % shares:
        raise TrainConfigError(
            f"'batch_size' is {config.batch_size}, not a multiple of {accelerator.num_processes} processes x "
            f"{config.accumulate} parts."
        )
    yield accelerator


def _start(config: Config, data: Path, accelerator: Accelerator) -> tuple[TrainingState, torch.nn.Module]:
    """The state of a run before its first step, and the policy as training calls it (wrapped, on many devices)."""
    if config.validate_episodes:
        find_world(config.world).make(config.level).close()  # an unknown one is refused before hours of training
    check_data(config, data)
    torch.manual_seed(config.seed)
    policy = first_policy(config, data)
    check_taught(config, policy)
    learned = [weight for weight in policy.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=config.learning_rate, weight_decay=config.weight_decay)
    model, prepared = accelerator.prepare(policy, optimizer)
    if config.init_from:
        keep_pruned(policy)
    averaged = None
    if config.ema_decay:
        averaged = AveragedModel(policy, multi_avg_fn=_average(config), use_buffers=True)
    identity, digest = json.loads(json.dumps(config.to_json())), dataset_digest(data)
    return TrainingState(config.saved_policy, policy, prepared, averaged, accelerator.scaler, identity, digest), model


def _average(config: Config) -> Callable[[list[torch.Tensor], list[torch.Tensor], torch.Tensor | int], None]:
    """Moves averaged weights towards those of now, given how many are in them."""

    def move(averaged: list[torch.Tensor], now: list[torch.Tensor], count: torch.Tensor | int) -> None:
        warmed = 1 - (1 + float(count)) ** -config.ema_power if config.ema_power else 1.0
        get_ema_multi_avg_fn(min(config.ema_decay, warmed))(averaged, now, count)

    return move


def check_data(config: Config, data: Path) -> None:
    """Refuse demonstrations of another world or level than the run's, or that its policy is not for. What somebody else
    recorded may not say.

    Raises:
        TrainConfigError: they are.
        PolicyError: the policy says why.
        DatasetError: `data` is no data set, or its statistics are another one's.
    """
    dataset = open_dataset(data)
    made = dataset.info.get("collection")
    for name in ("world", "level"):
        found, asked = made.get(name) if isinstance(made, dict) else None, getattr(config, name)
        if found not in (None, asked):
            raise TrainConfigError(
                f"'{name}' is '{asked}', and data set {data} was collected with '{found}'; give --{name} {found}, or a "
                "data set of the run's."
            )
    check_statistics(dataset)
    find_policy(config.policy).check_set(config.policy_options, dataset.info)


def check_taught(config: Config, policy: Any) -> None:
    """Refuse an objective that teaches the network something else than its sampler asks it for.

    Raises:
        TrainConfigError: it does.
    """
    taught = getattr(config.objective_options, "teaches", "")
    for graph in policy.graphs():
        asked = getattr(graph.module, "asks", taught)
        if asked != taught:
            raise TrainConfigError(
                f"the sampler of policy '{config.policy}' asks the network for the {asked}; objective "
                f"'{config.objective}' teaches it {f'the {taught}' if taught else 'neither'}. Choose another "
                "'objective', or another 'method' of the policy."
            )


def _windows(config: Config, data: Path, split: str, policy: Any) -> Windows:
    tile = getattr(policy, "tile", 0)
    if config.tile_cache and not tile:
        raise TrainConfigError(f"'tile_cache' is on; policy '{config.policy}' takes images, no tiles. Turn it off.")
    return load_windows(
        data, split, policy.windows, tile if config.tile_cache else 0, getattr(policy, "image_sides", None)
    )


@contextlib.contextmanager
def _alone(config: Config, out: Path, checkpoint: Path | None, main: bool) -> Iterator[None]:
    """Hold the run's folder, whose newest checkpoint was read; clear what a run that was killed left in it."""
    if not main:
        yield
        return
    make_folder(out)
    with alone(out, "trains"):
        if last_checkpoint(out / "checkpoints") != checkpoint:
            raise OutputError(f"output folder '{out}': another process has just trained there; start again")
        for left in (out / "checkpoints").glob(".saving-*"):
            shutil.rmtree(left, ignore_errors=True)
        write_json(out / "config.json", config.to_json())
        yield


@contextlib.contextmanager
def _loggers(out: Path, first_step: int, main: bool) -> Iterator[list[Logger]]:
    loggers = make_loggers(out, first_step) if main else []
    try:
        yield loggers
    finally:
        for logger in loggers:
            logger.close()
