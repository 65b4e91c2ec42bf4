"""Tables of whatever texts and figures, written and read again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocli.table import PredictionTable
from emocli.table_io import FORMATS, table_stream
from emocli.table_reader import parse_columns

# Parquet keeps no lone surrogates; file names that are not UTF-8 have a test of their own. A null
# byte is what tells binary data from CSV.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
figures = st.one_of(st.just(float("nan")), st.floats(-1e12, 1e12, allow_subnormal=False))
rows = st.lists(
    st.fixed_dictionaries(
        {"file": texts.filter(bool), "text": texts, "remark by hand": texts, "arousal": figures}
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("kind", FORMATS)
@given(rows=rows, n_first=st.integers(0, 5))
def test_no_text_and_no_figure_is_lost(kind, rows, n_first, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    table = PredictionTable.from_rows(rows)
    with table_stream(str(path), kind, list(table.columns)) as stream:
        for part in (np.arange(n_first), np.arange(n_first, len(rows))):
            stream.write(table.select(part[part < len(rows)]))
    found = PredictionTable.from_columns(parse_columns(path.read_bytes(), "it", kind=kind))
    for name in ("file", "text", "remark by hand"):
        assert found[name].tolist() == table[name].tolist()
    np.testing.assert_allclose(found["arousal"], table["arousal"], rtol=1e-8)
