"""Which layer of a frozen encoder tells emotions best.

    python tests/benchmarks/encoder_layers.py whisper-base.pt --corpus ravdess --layers 0,3,last

For each layer: UAR of a logistic regression on means and standard deviations of frames, by
cross-validation over speakers (six folds), on the emotions angry, happy, neutral and sad. The
penalty is fixed beforehand, so that nothing is chosen on the speakers that are predicted.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emocli.audio.decode import read_waveform
from emocli.models.encoders import load_encoder
from emocli.table_io import read_table

LABELS = ("angry", "happy", "neutral", "sad")
PENALTY = 0.01  # scikit-learn's C
BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("encoder")
    parser.add_argument("--corpus", action="append", required=True, help="folder with labels.csv")
    parser.add_argument("--layers", default="auto,last", help="such as 0,1,2,3,last")
    parser.add_argument("--every", type=int, default=1, help="take every N-th recording")
    chosen = parser.parse_args()
    print(f"{'corpus':<12}{'layer':>6}{'UAR':>8}{'recordings':>12}")
    for corpus in chosen.corpus:
        rows = list(read_table(str(Path(corpus) / "labels.csv")).rows())
        rows = [row for row in rows if row["emotion"] in LABELS][:: chosen.every]
        waveforms = [read_waveform(Path(corpus) / row["file"]).samples for row in rows]
        truth = np.array([row["emotion"] for row in rows])
        speakers = np.array([row["speaker"] for row in rows])
        for layer in chosen.layers.split(","):
            encoder = load_encoder(chosen.encoder, layer=layer, device="cpu")
            vectors = []
            for i in range(0, len(waveforms), BATCH):
                frames = encoder.encode(waveforms[i : i + BATCH])
                vectors += [np.concatenate([one.mean(0), one.std(0)]) for one in frames]
            classifier = make_pipeline(
                StandardScaler(),
                LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=2000),
            )
            predicted = cross_val_predict(
                classifier, np.stack(vectors), truth, groups=speakers, cv=GroupKFold(6)
            )
            uar = balanced_accuracy_score(truth, predicted)
            print(f"{Path(corpus).name:<12}{layer:>6}{uar:>8.3f}{len(rows):>12}", flush=True)


if __name__ == "__main__":
    main()
