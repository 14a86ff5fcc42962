"""Behaviour cloning: predict the expert's action from what the policy sees. Read it from top to bottom.

A run writes `OUT/checkpoints/`, `OUT/train.jsonl`, `OUT/tensorboard/` and `OUT/config.json`. Started again it
goes on from the last checkpoint, and ends with the weights of a run that never stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from vla_datasets.files import write_json
from vla_datasets.lerobot.format import INFO_PATH, STATS_PATH
from vla_datasets.lerobot.reader import open_dataset
from vla_models.policy import make_policy
from vla_training.checkpoint import last_checkpoint, pretrained_folder, restore, save_checkpoint
from vla_training.config.run import TrainConfig
from vla_training.errors import TrainConfigError
from vla_training.frames import EpochSampler, Frames, load_frames
from vla_training.loggers import make_loggers

__all__ = ["train"]

Progress = Callable[[int, Mapping[str, float]], None]


def train(
    config: TrainConfig,
    data: Path,
    out: Path,
    stop_after: int | None = None,
    progress: Progress = lambda step, values: None,
) -> Path:
    """Train (or go on training) a policy and return the folder of the newest saved one.

    Args:
        config: the run.
        data: a BabyAI data set with the splits `train` and `val`.
        out: folder of the run.
        stop_after: stop at this step, as if interrupted right after its checkpoint.
        progress: called after each step with its number (from 1) and the latest numbers.

    Raises:
        TrainConfigError, CheckpointError, DatasetError: see their messages.
    """
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(config.seed)
    policy = make_policy(config.policy, config.policy_options).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    digest = _digest(config, data)
    checkpoints = out / "checkpoints"
    checkpoint = last_checkpoint(checkpoints)
    first_step = restore(checkpoint, policy, optimizer, digest) if checkpoint else 0
    last_step = min(config.steps, stop_after if stop_after is not None else config.steps)
    if first_step >= last_step:
        return pretrained_folder(out)

    write_json(out / "config.json", config.to_json())
    training, held_out = load_frames(data, "train"), load_frames(data, "val")
    sampler = EpochSampler(len(training), config.batch_size, config.seed)
    loggers = make_loggers(out, first_step)
    started = time.perf_counter()
    for step in range(first_step, last_step):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        inputs, actions = training.batch(sampler.batch(step))
        policy.train()
        logits = policy(inputs[0].contiguous(memory_format=torch.channels_last), *inputs[1:])
        loss = functional.cross_entropy(logits, actions)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), config.clip_norm)
        optimizer.step()

        done = step + 1
        if not math.isfinite(loss.item()):
            raise TrainConfigError(f"The loss is {loss.item()} at step {done}; lower 'learning_rate'.")
        values = {"loss": loss.item()}
        if done % config.log_every == 0 or done == last_step:
            values |= {
                "accuracy": (logits.argmax(1) == actions).float().mean().item(),
                "gradient_norm": float(norm),
                "learning_rate": learning_rate(step, config),
                "seconds": time.perf_counter() - started,
            }
        if done % config.validate_every == 0 or done == config.steps:
            values |= validate(policy, held_out)
        if len(values) > 1:
            for logger in loggers:
                logger.log(done, values)
        if done % config.save_every == 0 or done == last_step:
            save_checkpoint(checkpoints, done, config.policy, policy, optimizer, digest, config.keep_checkpoints)
        progress(done, values)
    for logger in loggers:
        logger.close()
    return pretrained_folder(out)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up to `learning_rate`, then half a cosine to zero at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))


def validate(policy: torch.nn.Module, frames: Frames, batch_size: int = 256) -> dict[str, float]:
    """Mean loss and action accuracy over episodes that training never sees."""
    order = np.arange(len(frames))
    policy.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            inputs, actions = frames.batch(order[start : start + batch_size])
            logits = policy(*inputs)
            loss += functional.cross_entropy(logits, actions, reduction="sum").item()
            correct += int((logits.argmax(1) == actions).sum())
    return {"validation_loss": loss / len(frames), "validation_accuracy": correct / len(frames)}


def _digest(config: TrainConfig, data: Path) -> str:
    """Identity of a run: its config and the data set's description and statistics."""
    open_dataset(data)
    identity = json.dumps(config.to_json(), sort_keys=True).encode()
    for name in (INFO_PATH, STATS_PATH):
        path = data / name
        identity += path.read_bytes() if path.is_file() else b""
    return hashlib.sha256(identity).hexdigest()
