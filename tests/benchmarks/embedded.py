"""How speech models of the package do on corpora that they have not heard, and what --adapt adds.

    python tests/benchmarks/embedded.py builtin
    python tests/benchmarks/embedded.py whisper-base --encoder base.pt [--free] [--write FOLDER]

`builtin` measures the weights of the package on the corpora that they were not trained on. A name
of Whisper trains a head on its encoder for each corpus that is left out and measures it there,
then six times on all corpora with other speakers held out; with --write the head that is trained on
everything is written, as the package has it. Figures for adaptation are always those of
corpora other than the one that is measured.

Corpora are the folders of EMOCLI_TEST_DATA/corpora (labels.csv with file, emotion, speaker); angry,
happy, neutral and sad count. Intervals are of 1,000 draws of speakers. Statistics of recordings are
kept in --cache, for computing them takes about 0.05 s of one core per second of speech.

Mixes made uneven on purpose: all neutral recordings and a ninth as many others, in equal parts; one
emotion only; two only; each speaker with one emotion; each speaker with 90 % neutral; three
speakers under one name. Each is drawn four times. Where emotions are missing, UAR is over those
that are there.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from emocli.calibration.adaptation import ADAPTATION_FILE, Adaptation, adapt
from emocli.metrics.calibration import bins, expected_calibration_error
from emocli.models.registry import resolve
from emocli.models.whisper_emotion import load_encoder
from emocli.networks.functionals import Functionals
from emocli.networks.logmel import FrontEndConfig, LogMelPitch, pad_frames
from emocli.networks.whisper_emotion import WhisperEmotion
from emocli.posteriors import log_softmax, softmax
from emocli.table_io import read_table
from emocli.training.adaptation import fit_adaptation, write_adaptation
from emocli.training.data import Utterance
from emocli.training.statistics_head import StatisticsHead, fit_head
from emocli.training.temperature import fit_temperature

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"
LABELS = ("angry", "happy", "neutral", "sad")
FREE = ("crema-d", "resd", "banglaser", "indowave")
"""Corpora whose licences allow any use."""
HEARD = ("ravdess", "nemo")
"""What the weights of `builtin` were trained on."""
LAYERS = (2, 3, 4)
DRAWS, REPEATS, FOLDS = 1000, 4, 6
CLIPS = (1, 2, 4, 8, 16, 32)

Waveform = NDArray[np.float32]
Extract = Callable[[Waveform], NDArray[np.float32]]


@dataclass(frozen=True)
class Data:
    """Recordings of all corpora, in their order.

    Attributes:
        utterances: what is known of them.
        truth: index of the label, shape (n,).
        features: shape (n, n_features).
    """

    utterances: list[Utterance]
    truth: NDArray[np.intp]
    features: NDArray[np.float32]

    @property
    def corpora(self) -> list[str]:
        return list(dict.fromkeys(one.corpus for one in self.utterances))

    def of(self, corpora: Sequence[str]) -> NDArray[np.intp]:
        return np.flatnonzero([one.corpus in corpora for one in self.utterances])

    def pick(self, which: NDArray[np.intp]) -> list[Utterance]:
        return [self.utterances[i] for i in which]

    def speakers(self, which: NDArray[np.intp]) -> NDArray[np.str_]:
        return np.array([self.utterances[i].unit for i in which])


def read_data(folder: Path, cache: Path, name: str, extract: Extract) -> Data:
    """All recordings with their features, computed or from the cache."""
    utterances: list[Utterance] = []
    features = []
    for table in sorted(folder.glob("*/labels.csv")):
        corpus = table.parent.name
        rows = read_table(str(table))
        own = [
            Utterance(file, table.parent / file, corpus, label, speaker)
            for file, label, speaker in zip(
                *(rows.column(key) for key in ("file", "emotion", "speaker")), strict=True
            )
            if label in LABELS
        ]
        path = cache / f"{name}-{corpus}.npy"
        if not path.is_file():
            cache.mkdir(parents=True, exist_ok=True)
            heard = [extract(soundfile.read(one.path, dtype="float32")[0]) for one in own]
            np.save(path, np.stack(heard))
        utterances += own
        features.append(np.load(path))
    truth = np.array([LABELS.index(one.label) for one in utterances])
    return Data(utterances, truth, np.concatenate(features))


def uar(truth: NDArray[np.intp], found: NDArray[np.intp]) -> float:
    """Mean recall of the labels that are there."""
    return float(np.mean([np.mean(found[truth == k] == k) for k in np.unique(truth)]))


def interval(truth: NDArray[np.intp], found: NDArray[np.intp], speakers: NDArray[np.str_]) -> str:
    """95 % of UAR over draws of speakers."""
    rng = np.random.default_rng(0)
    own = [np.flatnonzero(speakers == name) for name in np.unique(speakers)]
    draws = []
    for _ in range(DRAWS):
        which = np.concatenate([own[i] for i in rng.integers(0, len(own), len(own))])
        draws.append(uar(truth[which], found[which]))
    low, high = np.quantile(draws, (0.025, 0.975))
    return f"[{low:.3f}, {high:.3f}]"


def mixes(data: Data, own: NDArray[np.intp]) -> Iterator[tuple[str, str, NDArray[np.intp], list]]:
    """Names, kinds of groups, recordings and groups, of a corpus as it is and made uneven."""
    truth, speakers = data.truth[own], data.speakers(own)
    present = np.unique(truth)

    def once(name: str, which: NDArray[np.intp]) -> tuple[str, str, NDArray[np.intp], list]:
        return name, "run", which, ["all"] * len(which)

    def apart(name: str, which: NDArray[np.intp]) -> tuple[str, str, NDArray[np.intp], list]:
        return name, "speaker", which, data.speakers(which).tolist()

    yield once("all, own mix", own)
    yield apart("speaker, own mix", own)
    for label in present:
        yield once("all, one emotion", own[truth == label])
        for other in present[present > label] if len(present) > 2 else ():
            yield once("all, two emotions", own[(truth == label) | (truth == other)])
    for repeat in range(REPEATS):
        rng = np.random.default_rng(repeat)
        order = rng.permutation(len(own))
        yield once("all, 90 % neutral", own[_mostly_neutral(truth, order)])
        one_each, neutral_each = [], []
        for name in np.unique(speakers):
            mine = order[speakers[order] == name]
            label = rng.choice(np.unique(truth[mine]))
            one_each += [i for i in mine if truth[i] == label]
            neutral_each += list(_mostly_neutral(truth, mine))
        yield apart("speaker, one emotion each", own[one_each])
        yield apart("speaker, 90 % neutral each", own[neutral_each])
        names = {name: i // 3 for i, name in enumerate(rng.permutation(np.unique(speakers)))}
        yield "speaker, three under a name", "speaker", own, [names[name] for name in speakers]
        for n_clips in CLIPS:
            kept = []
            for name in np.unique(speakers):
                mine = order[speakers[order] == name]
                kept += list(mine[:n_clips]) if len(mine) >= n_clips else []
            if len(kept) >= 5 * n_clips:
                yield apart(f"speaker, {n_clips} clips", own[kept])


def _mostly_neutral(truth: NDArray[np.intp], order: NDArray[np.intp]) -> NDArray[np.intp]:
    """All neutral recordings of some, and a ninth as many of the other emotions."""
    neutral = LABELS.index("neutral")
    count = max(1, round((truth[order] == neutral).sum() / 9 / 3))
    others = [order[truth[order] == k][:count] for k in range(len(LABELS)) if k != neutral]
    return np.concatenate([order[truth[order] == neutral], *others])


def measure(data: Data, logits: NDArray[np.float64], others: Callable[[str], Adaptation]) -> None:
    """Print what left-out corpora come to, as they are and adapted.

    Args:
        data: recordings.
        logits: of models that have not heard the recording's corpus; NaN where there are none.
        others: figures for adaptation without a corpus.
    """
    table: dict[str, dict[str, list[tuple[float, float]]]] = {}
    print("| left out | UAR | ECE | --adapt all | --adapt speaker |\n|---|---|---|---|---|")
    for corpus in data.corpora:
        own = data.of([corpus])
        own = own[np.isfinite(logits[own]).all(axis=1)]
        if not len(own):
            continue
        adaptation = others(corpus)
        log_probs = log_softmax(logits)
        for name, kind, which, groups in mixes(data, own):
            figures = getattr(adaptation, kind)
            traits = adaptation.directions.traits(data.features[which].astype(np.float64))
            found = adapt(log_probs[which], traits, groups, figures).log_probs.argmax(axis=1)
            pair = (uar(data.truth[which], log_probs[which].argmax(axis=1)),
                    uar(data.truth[which], found))  # fmt: skip
            table.setdefault(name, {}).setdefault(corpus, []).append(pair)
            if name == "all, own mix":
                by_all = found
            elif name == "speaker, own mix":
                by_speaker = found
        truth, speakers = data.truth[own], data.speakers(own)
        probs = softmax(logits[own])
        sums = bins(probs.max(axis=1), probs.argmax(axis=1) == truth)
        ece = float(expected_calibration_error(sums))
        answers = [
            f"{uar(truth, found):.3f} {interval(truth, found, speakers)}"
            for found in (log_probs[own].argmax(axis=1), by_all, by_speaker)
        ]
        print(f"| {corpus} | {answers[0]} | {ece:.3f} | {answers[1]} | {answers[2]} |", flush=True)
    print("\n| mix | corpora | without | adapted | worst corpus |\n|---|---|---|---|---|")
    for name, by_corpus in table.items():
        means = np.array([np.mean(pairs, axis=0) for pairs in by_corpus.values()])
        worst = min((after - before, corpus) for (before, after), corpus in
                    zip(means, by_corpus, strict=True))  # fmt: skip
        before, after = means.mean(axis=0)
        print(
            f"| {name} | {len(means)} | {before:.3f} | {after:.3f} | {worst[1]} {worst[0]:+.3f} |"
        )


def left_out(data: Data, train: Sequence[str]) -> NDArray[np.float64]:
    """Logits for every corpus by a head that has heard the others of ``train``."""
    logits = np.full((len(data.truth), len(LABELS)), np.nan)
    for corpus in data.corpora:
        logits[data.of([corpus])] = _head(data, [c for c in train if c != corpus]).logits(
            data.features[data.of([corpus])]
        )
    return logits


def _head(data: Data, corpora: Sequence[str], without: Sequence[int] = ()) -> StatisticsHead:
    which = np.setdiff1d(data.of(corpora), without)
    return fit_head(data.features[which], data.truth[which], data.pick(which), len(LABELS))


def inside(data: Data, train: Sequence[str]) -> None:
    """Print what speakers held out of the corpora that are trained on come to."""
    logits = np.full((len(data.truth), len(LABELS)), np.nan)
    own = data.of(train)
    units = data.speakers(own)
    dealt = {name: i % FOLDS for i, name in enumerate(dict.fromkeys(units))}
    fold = np.array([dealt[name] for name in units])
    for number in range(FOLDS):
        out = own[fold == number]
        logits[out] = _head(data, train, without=out.tolist()).logits(data.features[out])
    print("\n| inside, speakers apart | UAR |\n|---|---|")
    for corpus in train:
        which = data.of([corpus])
        found = logits[which].argmax(axis=1)
        speakers = data.speakers(which)
        truth = data.truth[which]
        print(f"| {corpus} | {uar(truth, found):.3f} {interval(truth, found, speakers)} |")


def adaptation_of(data: Data, logits: NDArray[np.float64], corpora: Sequence[str]) -> Adaptation:
    """Figures of corpora, from logits of models that have not heard the recording's."""
    which = data.of(corpora)
    which = which[np.isfinite(logits[which]).all(axis=1)]
    found = fit_adaptation(logits[which], data.features[which], data.truth[which], data.pick(which))
    assert found is not None, "fewer than three corpora"
    return found


def whisper(arguments: argparse.Namespace) -> None:
    """Heads on an encoder of Whisper."""
    network = WhisperEmotion(load_encoder(arguments.encoder, max(LAYERS)), LAYERS, len(LABELS))

    def extract(waveform: Waveform) -> NDArray[np.float32]:
        found = network.eval().statistics(torch.from_numpy(waveform))
        assert found is not None
        return found.numpy()

    data = read_data(arguments.data / "corpora", arguments.cache, arguments.model, extract)
    train = [c for c in data.corpora if c in FREE or not arguments.free]
    logits = left_out(data, train)
    own = data.of(train)
    temperature = fit_temperature(logits[own], data.truth[own])
    print(f"trained on {', '.join(train)}; temperature {temperature:.3f}\n")
    logits /= temperature
    measure(data, logits, lambda corpus: adaptation_of(
        data, logits, [c for c in train if c != corpus]))  # fmt: skip
    inside(data, train)
    if arguments.write:
        write_head(arguments.write, _head(data, train).cooled(temperature),
                   adaptation_of(data, logits, train), arguments.model)  # fmt: skip


def write_head(folder: Path, head: StatisticsHead, adaptation: Adaptation, model: str) -> None:
    """A head as the package has it; texts of config.json that are there already stay."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        "mean": head.mean, "deviation": head.deviation,
        "classifier.weight": head.weight, "classifier.bias": head.bias,
    }  # fmt: skip
    stored = {
        name: torch.from_numpy(np.ascontiguousarray(v)).float() for name, v in tensors.items()
    }
    save_file(stored, folder / "model.safetensors")
    write_adaptation(folder / ADAPTATION_FILE, adaptation)
    path = folder / "config.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    config = {
        "model_type": "emocli-whisper-emotion",
        "name": folder.name,
        "encoder": model.removeprefix("whisper-"),
        "layers": list(LAYERS),
        "labels": list(LABELS),
        "sampling_rate": 16000,
        "licence": "",
        "description": "",
        **before,
    }
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def builtin(arguments: argparse.Namespace) -> None:
    """The weights of the package, where they have heard nothing."""
    recognizer = resolve("builtin")
    front_end, functionals = LogMelPitch(FrontEndConfig()), Functionals(FrontEndConfig())

    def extract(waveform: Waveform) -> NDArray[np.float32]:
        logits = recognizer.logits([waveform])[0]
        own = functionals(*pad_frames([front_end(torch.from_numpy(waveform))]))[0].numpy()
        return np.concatenate([logits, own]).astype(np.float32)

    both = read_data(arguments.data / "corpora", arguments.cache, "builtin", extract)
    data = Data(both.utterances, both.truth, both.features[:, len(LABELS) :])
    logits = both.features[:, : len(LABELS)].astype(np.float64)
    logits[data.of(HEARD)] = np.nan
    strange = [c for c in data.corpora if c not in HEARD]
    measure(data, logits, lambda corpus: adaptation_of(
        data, logits, [c for c in strange if c != corpus]))  # fmt: skip


def main() -> None:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="builtin, or whisper-SIZE")
    parser.add_argument("--encoder", type=Path, help="a .pt file or a folder of the hub's kind")
    parser.add_argument("--free", action="store_true", help="train on free corpora alone")
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/emocli-embedded").expanduser())
    place = Path(os.environ.get("EMOCLI_TEST_DATA", DEFAULT))
    parser.add_argument("--data", type=Path, default=place)
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    (builtin if arguments.model == "builtin" else whisper)(arguments)


if __name__ == "__main__":
    main()
