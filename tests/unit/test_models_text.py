import json

import checkpoints
import numpy as np
import pytest
import torch
import transformers

from emocli.errors import MissingDependency, ModelError
from emocli.models import text_tokens
from emocli.models.checkpoint import Checkpoint
from emocli.models.text import load_text
from emocli.models.text_tokens import mask_users_and_links

CPU, FP32 = torch.device("cpu"), torch.float32
SENTIMENTS = {"0": "Negative", "1": "Neutral", "2": "Positive"}
TEXTS = (
    "i am happy",
    "sad",
    "i am not sad !",
    "",
    "i am not happy i am sad i am not happy !",
    "am i ?",
    "happy happy happy happy",
    "!",
)
FAMILIES = {
    "roberta": {},
    "xlm-roberta": {},
    "camembert": {},
    "bert": {},
    "electra": {"embedding_size": 16},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "position_buckets": 8,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
    },
}


def load(folder, name="tiny", **options):
    return load_text(Checkpoint(folder, name), CPU, FP32, **options)


def save(folder, network, id2label=SENTIMENTS, **facts):
    checkpoints.save_network(folder, network, id2label, None, **facts)
    return checkpoints.save_tokenizer(folder)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_no_text_depends_on_its_batch(model_type, tmp_path):
    network = checkpoints.text_network(model_type, **FAMILIES[model_type])
    folder = save(tmp_path, network)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        expected = torch.stack(
            [network(torch.tensor([tokenizer(said)["input_ids"]])).logits[0] for said in TEXTS]
        ).double()
    assert np.ptp(expected.numpy(), axis=0).max() > 1e-2

    for batch_size in (1, 8, None):
        model = load(folder, batch_size=batch_size)
        np.testing.assert_allclose(model.logits(TEXTS), expected, atol=1e-5)
    assert model.card.labels == ("negative", "neutral", "positive")
    assert (model.card.modality, model.card.sampling_rate) == ("text", 0)


def test_a_multi_label_model_says_so(tmp_path):
    network = checkpoints.text_network("roberta")
    names = {"0": "anger", "1": "joy", "2": "neutral"}
    folder = save(tmp_path, network, names, problem_type="multi_label_classification")
    card = load(folder).card
    assert (card.multi_label, card.labels) == (True, ("angry", "happy", "neutral"))


def test_a_long_text_is_cut_and_said_to_be(tmp_path):
    model = load(save(tmp_path, checkpoints.text_network("roberta")))
    long = " ".join(["happy"] * 30)
    assert model.remarks(["i am", long]) == ["", "text cut to 16 of 32 tokens"]
    np.testing.assert_allclose(
        model.logits([long]), model.logits([" ".join(["happy"] * 14)]), atol=1e-6
    )


def test_positions_limit_a_text_where_the_tokenizer_does_not(tmp_path):
    network = checkpoints.text_network("roberta")
    folder = checkpoints.save_network(tmp_path, network, SENTIMENTS, None)
    checkpoints.save_tokenizer(folder, max_tokens=10**30)
    model = load(folder)
    assert model.max_tokens == 18  # 20 positions, of which 2 come before the first token
    assert model.logits(["happy " * 40]).shape == (1, 3)


def test_users_and_links_of_twitter_models(tmp_path):
    folder = save(tmp_path, checkpoints.text_network("xlm-roberta"))
    said, meant = "@ada i am http://x.org happy", "@user i am http happy"
    assert mask_users_and_links(said) == meant
    plain, twitter = load(folder), load(folder, "cardiffnlp/twitter-xlm-roberta-base-sentiment")
    np.testing.assert_array_equal(twitter.logits([said]), plain.logits([meant]))
    assert not np.allclose(plain.logits([said]), plain.logits([meant]))


def test_a_local_copy_of_a_twitter_model_is_known_by_its_origin(tmp_path):
    folder = save(
        tmp_path,
        checkpoints.text_network("xlm-roberta"),
        _name_or_path="cardiffnlp/twitter-xlm-roberta-base",
    )
    model = load(folder)
    np.testing.assert_array_equal(model.logits(["@ada"]), model.logits(["@bob"]))


def test_an_unused_pooler_is_left_alone(tmp_path):
    network = checkpoints.text_network("roberta")
    state = {**network.state_dict(), "roberta.pooler.dense.weight": torch.zeros(16, 16)}
    state["roberta.embeddings.position_ids"] = torch.arange(20)
    config = {**network.config.to_dict(), "id2label": SENTIMENTS}
    folder = checkpoints.save_tokenizer(checkpoints.save(tmp_path, state, config))
    assert load(folder).logits(TEXTS[:1]).shape == (1, 3)


def test_layer_norms_by_the_names_of_tensorflow(tmp_path):
    network = checkpoints.text_network("bert")
    state = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for key, tensor in network.state_dict().items()
    }
    config = {**network.config.to_dict(), "id2label": SENTIMENTS}
    old = checkpoints.save_tokenizer(checkpoints.save(tmp_path / "old", state, config))
    new = save(tmp_path / "new", network)
    np.testing.assert_array_equal(load(old).logits(TEXTS), load(new).logits(TEXTS))


def test_a_missing_head_is_an_error(tmp_path):
    network = checkpoints.text_network("roberta")
    state = {k: v for k, v in network.state_dict().items() if "out_proj" not in k}
    config = {**network.config.to_dict(), "id2label": SENTIMENTS}
    folder = checkpoints.save_tokenizer(checkpoints.save(tmp_path, state, config))
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert str(caught.value) == (
        "tiny: the weights do not fit the network: missing classifier.out_proj.weight, "
        "classifier.out_proj.bias. The checkpoint is incomplete or of a kind that emocli does "
        "not know; use another one, for example from `emocli models list`."
    )


def test_no_tokenizer(tmp_path):
    folder = checkpoints.save_network(tmp_path, checkpoints.text_network("bert"), SENTIMENTS, None)
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert str(caught.value) == (
        f"tiny: folder {folder} has no tokenizer, expected one of tokenizer.json, vocab.json, "
        f"vocab.txt or a SentencePiece model. Fetch the checkpoint again with its tokenizer files."
    )


@pytest.mark.parametrize("missing", [None, ModuleNotFoundError("No module named 'google'")])
def test_a_tokenizer_that_needs_other_packages(missing, tmp_path, monkeypatch):
    folder = checkpoints.save_network(tmp_path, checkpoints.text_network("bert"), SENTIMENTS, None)
    (folder / "sentencepiece.bpe.model").write_bytes(b"")

    def find_spec(_):
        if missing:
            raise missing

    monkeypatch.setattr(text_tokens, "find_spec", find_spec)
    with pytest.raises(MissingDependency) as caught:
        load(folder)
    assert str(caught.value) == (
        "tiny: its tokenizer is a SentencePiece model, and the packages sentencepiece and "
        "protobuf that read it are not installed. Install them with `pip install sentencepiece "
        "protobuf`."
    )


def test_a_broken_tokenizer(tmp_path):
    folder = save(tmp_path, checkpoints.text_network("bert"))
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "Nonsense"}}))
    with pytest.raises(ModelError, match="no tokenizer can be read"):
        load(folder)


def test_a_tokenizer_of_another_model(tmp_path):
    folder = save(tmp_path, checkpoints.text_network("bert", vocab_size=10))
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert str(caught.value) == (
        "tiny: the tokenizer has 12 tokens and the network 10. The files do not belong "
        "together; fetch the checkpoint again."
    )


def test_memory_that_runs_out(tmp_path, monkeypatch):
    model = load(save(tmp_path, checkpoints.text_network("bert")))

    def forward(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.nn.Module, "__call__", forward)
    with pytest.raises(ModelError) as caught:
        model.logits(["i am"])
    assert str(caught.value) == (
        "tiny: memory of cpu ran out with 1 texts of up to 4 tokens at once. Use a smaller "
        "--batch-size."
    )
