"""Tiny encoders and recordings with texts to train cross-modal networks on."""

from pathlib import Path

import numpy as np
import soundfile
from tuning_data import roberta, wavlm

EMOTIONS = {"angry": 400, "sad": 110, "neutral": 220}
TEXTS = {"angry": "i am not happy", "sad": "i am sad !", "neutral": "i am"}
SMALL = (
    "hidden=8", "epochs=2", "folds=2", "micro_batch=8", "learning_rate=3e-2", "dropout=0.1",
    "workers=0", "max_tokens=16",
)  # fmt: skip


def corpus(folder: Path, speakers: str = "abcdef", n: int = 12) -> Path:
    """A table of recordings; texts are in the table and beside the recordings."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["file,emotion,speaker,text"]
    for speaker in speakers:
        for index in range(n):
            emotion = list(EMOTIONS)[index % 3]
            time = np.arange(int(16000 * rng.uniform(0.2, 0.4))) / 16000
            wave = sum(np.sin(2 * np.pi * EMOTIONS[emotion] * k * time) / k for k in range(1, 6))
            noise = rng.normal(0, 0.005, len(time))
            soundfile.write(folder / f"{speaker}{index}.wav", 0.1 * wave + noise, 16000)
            (folder / f"{speaker}{index}.txt").write_text(f"{TEXTS[emotion]}\n")
            lines.append(f"{speaker}{index}.wav,{emotion},{speaker},{TEXTS[emotion]}")
    table = folder / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def encoders(folder: Path) -> tuple[Path, Path]:
    """A speech and a text encoder with random weights."""
    return wavlm(folder / "wavlm"), roberta(folder / "roberta")


def settings(speech: object = "logmel", text: object = "words", *more: str) -> list[str]:
    """Options that make a recipe small."""
    chosen = (f"speech={speech}", f"text={text}", "prosody=prosody", *SMALL, *more)
    return list(chosen)
