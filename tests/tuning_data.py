"""Tiny encoders, tones and sentences to fine-tune on."""

from pathlib import Path

import checkpoints
import numpy as np
import soundfile
import transformers

SMALL = (
    "hidden=16", "epochs=3", "micro_batch=4", "accumulation=2", "learning_rate=1e-3",
    "pooling_rate=1e-2", "head_rate=1e-2", "dropout=0.1", "workers=0",
)  # fmt: skip


def settings(*more: str) -> list[str]:
    """Options that make a recipe small."""
    return [word for setting in (*SMALL, *more) for word in ("--set", setting)]


def wavlm(folder: Path, kind: str = "wavlm", norm: str = "layer", **facts: object) -> Path:
    """A bare encoder of waveforms."""
    facts = {**checkpoints.WAVEFORM_CONFIG, "initializer_range": 0.1, **facts}
    config = transformers.AutoConfig.for_model(
        kind, **facts, feat_extract_norm=norm, do_stable_layer_norm=norm == "layer",
        mask_time_length=2,
    )  # fmt: skip
    network = checkpoints.build(transformers.MODEL_MAPPING[type(config)], config)
    return checkpoints.save_network(folder, network)


def roberta(folder: Path, kind: str = "roberta") -> Path:
    """A bare encoder of texts with its tokenizer."""
    config = transformers.AutoConfig.for_model(
        kind, **{**checkpoints.TEXT_CONFIG, "initializer_range": 0.1}
    )
    network = checkpoints.build(transformers.MODEL_MAPPING[type(config)], config)
    checkpoints.save_network(folder, network, preprocessor=None)
    return checkpoints.save_tokenizer(folder)


def tones(folder: Path, n: int = 8, seconds: tuple[float, float] = (0.2, 0.4)) -> Path:
    """A table of recordings of four speakers, high when angry and low when sad."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["file,emotion,speaker,arousal,dominance,valence,text"]
    for speaker in "abcd":
        for index in range(n):
            emotion, hz = (("anger", 400), ("sad", 110))[index % 2]
            time = np.arange(int(16000 * rng.uniform(*seconds))) / 16000
            wave = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 6))
            noise = rng.normal(0, 0.005, len(time))
            soundfile.write(folder / f"{speaker}{index}.wav", 0.1 * wave + noise, 16000)
            values = ",".join(
                f"{4 + (2 if hz > 200 else -2) + rng.normal(0, 0.3):.3f}" for _ in "adv"
            )
            text = "i am happy !" if emotion == "sad" else "i am not sad"
            lines.append(f"{speaker}{index}.wav,{emotion},{speaker},{values},{text}")
    table = folder / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    return table
