"""The text network against the library's own, on padding, and in number of parameters."""

import pytest
import torch
import transformers

from emocli.networks.text_head import TextClassifier, TextHead, TextHeadConfig


@pytest.fixture(scope="module")
def roberta():
    """A library's classifier and ours with its weights."""
    torch.manual_seed(6)
    config = transformers.RobertaConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=64, num_labels=3, classifier_dropout=0.3,
    )  # fmt: skip
    library = transformers.RobertaForSequenceClassification(config).eval()
    encoder = transformers.RobertaModel(config, add_pooling_layer=False)
    ours = TextClassifier(encoder, TextHead(TextHeadConfig(n_channels=16, n_outputs=3))).eval()
    ours.load_state_dict(library.state_dict())
    return library, ours


def tokens(lengths, longest):
    torch.manual_seed(8)
    ids = torch.full((len(lengths), longest), 1)  # 1 pads
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = torch.randint(3, 30, (length,))
    return ids, (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()


@torch.no_grad()
def test_text_classifier_is_a_roberta_for_sequence_classification(roberta):
    library, ours = roberta
    ids, mask = tokens((7, 2, 12), 12)
    torch.testing.assert_close(
        ours(ids, mask), library(ids, attention_mask=mask).logits, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("longest", [12, 50])
@torch.no_grad()
def test_padding_never_changes_the_result_of_a_text(roberta, longest):
    _, ours = roberta
    lengths = (7, 2, 12)
    ids, mask = tokens(lengths, longest)
    alone = [ours(row[None, :length], None) for row, length in zip(ids, lengths, strict=True)]
    torch.testing.assert_close(ours(ids, mask), torch.cat(alone), atol=1e-5, rtol=0)


def test_gradients_flow_through_a_text_to_every_parameter(roberta):
    _, ours = roberta
    ours.train()
    ours(*tokens((7, 2, 12), 12)).square().sum().backward()
    ours.eval()
    silent = {name for name, p in ours.named_parameters() if not p.grad.abs().max() > 1e-9}
    # A constant added to all keys cancels in the softmax, to rounding.
    assert {name for name in silent if not name.endswith("key.bias")} == set()
    for parameter in ours.parameters():
        assert torch.isfinite(parameter.grad).all()


def test_a_text_head_has_the_published_dropout_and_size():
    with torch.device("meta"):
        head = TextHead(TextHeadConfig())
    assert head.dropout.p == 0.3
    assert (
        sum(parameter.numel() for parameter in head.parameters())
        == 1024 * 1024 + 1024 + 1024 * 8 + 8
    )
