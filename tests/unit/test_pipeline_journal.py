"""Journals: what an interruption leaves, what is taken up again, and who is refused."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import FakeRecognizer, FakeTextRecognizer, write_tone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emocli.errors import TableError
from emocli.files import journal_path
from emocli.pipeline.inputs import Utterance, read_inputs
from emocli.pipeline.journal import Journal, keeps_journal, utterance_key
from emocli.pipeline.predict import PredictionRun
from emocli.pipeline.scoring import PredictOptions
from emocli.table_io import write_table

SETTINGS = {"model": "fake", "window": 12.0}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Five recordings, one of them broken, and models that are given two at once."""
    monkeypatch.setattr("emocli.pipeline.speech.POOL_WINDOWS", 2)
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        write_tone(tmp_path / "rec" / f"{number}.wav", 0.3, amplitude=0.1 + number / 10)
    (tmp_path / "rec" / "broken.wav").write_bytes(b"")
    return tmp_path


class BatchRecognizer(FakeRecognizer):
    """One whose scores tell what else was in the batch, as sums of floats do."""

    def _logits(self, utterances):
        found = super()._logits(utterances)
        found[:, 2] += 1e-3 * len(utterances)
        return found


def run_of(*recognizers, **options):
    inputs = read_inputs("rec")
    return PredictionRun(inputs, recognizers or (BatchRecognizer(),), PredictOptions(**options))


def complete(run, output="out.csv", stop_after=None, **options):
    """Bytes of the table of a run; nothing if it is stopped after some blocks."""
    with Journal(output, SETTINGS, **options) as journal:
        for number, _ in enumerate(run.blocks(journal=journal), 1):
            if number == stop_after:
                return None, journal
        write_table(run.table(run.recorded(journal)), output, "csv")
        journal.finish()
    return Path(output).read_bytes(), journal


def test_journal_lies_hidden_beside_the_output():
    assert journal_path("some/out.csv") == Path(os.path.abspath("some/.out.csv.journal"))
    assert journal_path("tracks/").name == ".tracks.journal"


def test_pipes_and_devices_keep_no_journal(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert not keeps_journal("-")
    assert not keeps_journal("/dev/null")
    assert not keeps_journal(str(tmp_path / "pipe"))
    assert keeps_journal(str(tmp_path))
    assert keeps_journal(str(tmp_path / "new.csv"))


@pytest.mark.usefixtures("folder")
def test_table_of_a_journal_is_that_of_the_rows():
    found, _ = complete(run_of())
    run = run_of()
    write_table(run.table(row for b in run.blocks() for _, rows in b for row in rows), "b", "csv")
    assert found == Path("b").read_bytes()


@pytest.mark.usefixtures("folder")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(share=st.floats(0, 1), batch_size=st.sampled_from([None, 2]))
def test_a_run_cut_at_any_byte_goes_on_to_the_same_bytes(share, batch_size):
    for old in (Path("out.csv"), journal_path("out.csv")):
        old.unlink(missing_ok=True)
    whole, _ = complete(run_of(batch_size=batch_size))
    content = journal_path("out.csv").read_bytes()
    Path("out.csv").unlink()
    journal_path("out.csv").write_bytes(content[: round(share * (len(content) - 20))])
    assert complete(run_of(batch_size=batch_size))[0] == whole


@pytest.mark.usefixtures("folder")
def test_only_what_is_new_changed_or_failed_is_done_again():
    model = FakeRecognizer()
    first, journal = complete(run_of(model))
    assert (journal.n_before, journal.n_done, sum(map(len, model.calls))) == (0, 5, 4)
    model = FakeRecognizer()
    again, journal = complete(run_of(model))
    assert again == first
    assert (journal.n_before, model.calls) == (4, [])  # the broken one is heard in vain
    write_tone(Path("rec/broken.wav"), 0.5)
    write_tone(Path("rec/0.wav"), 0.4)
    write_tone(Path("rec/new.wav"), 0.6)
    model = FakeRecognizer()
    table, journal = complete(run_of(model))
    assert journal.n_before == 3
    assert sorted(n for call in model.calls for n in call) == [6400, 8000, 9600]
    assert table == complete(run_of(FakeRecognizer()), "fresh.csv")[0]


@pytest.mark.usefixtures("folder")
def test_speech_and_text_have_rows_of_their_own():
    for path in sorted(Path("rec").glob("*.wav")):
        path.with_suffix(".txt").write_text("love")
    models = (FakeRecognizer(), FakeTextRecognizer())
    whole, _ = complete(run_of(*models))
    assert complete(run_of(*models))[1].n_before == 9
    Path("rec/1.txt").write_text("hate")
    changed, journal = complete(run_of(*models))
    assert journal.n_before == 8
    assert changed != whole


@pytest.mark.usefixtures("folder")
def test_overwrite_and_a_removed_table_start_afresh():
    complete(run_of())
    assert complete(run_of(), overwrite=True)[1].n_before == 0
    Path("out.csv").unlink()
    assert complete(run_of())[1].n_before == 0


@pytest.mark.usefixtures("folder")
def test_unfinished_run_with_other_settings_is_not_forgotten():
    complete(run_of(), stop_after=1)
    with pytest.raises(TableError) as caught:
        Journal("out.csv", {**SETTINGS, "window": 4.0, "model": "other"})
    assert str(caught.value) == (
        "out.csv: an unfinished run with another model and window is kept for it, expected the "
        "same command. Repeat that command to go on, or add --overwrite."
    )
    with Journal("out.csv", {**SETTINGS, "window": 4.0}, overwrite=True) as journal:
        assert journal.n_done == 0
    assert not journal_path("out.csv").exists()  # nothing done, nothing left behind


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("settings", [None, [], {**SETTINGS, "gone": 1}])
def test_unfinished_run_of_an_emocli_that_knew_other_settings(settings):
    complete(run_of(), stop_after=1)
    path = journal_path("out.csv")
    header, rows = path.read_bytes().split(b"\n", 1)
    header = json.dumps({**json.loads(header), "settings": settings}).encode()
    path.write_bytes(header + b"\n" + rows)
    with pytest.raises(TableError) as caught:
        Journal("out.csv", SETTINGS)
    assert str(caught.value) == (
        "out.csv: an unfinished run with another version of emocli is kept for it, expected the "
        "same command. Repeat that command to go on, or add --overwrite."
    )


def test_a_recording_that_is_gone_or_comes_back_is_another(tmp_path):
    place = tmp_path / "a.wav"
    gone = utterance_key("speech", Utterance("a.wav", place))
    assert gone == utterance_key("speech", Utterance("a.wav", place))
    place.write_bytes(b"sound")
    assert gone != utterance_key("speech", Utterance("a.wav", place))
    assert utterance_key("speech", Utterance("a.wav", Path("a\0.wav"))) not in (gone, b"")


@pytest.mark.usefixtures("folder")
def test_finished_run_with_other_settings_gives_way():
    complete(run_of())
    with Journal("out.csv", {"model": "other"}) as journal:
        assert journal.n_done == 0


@pytest.mark.usefixtures("folder")
def test_a_file_that_is_no_journal_gives_way():
    journal_path("out.csv").write_bytes(b"\x00\xff not one\n")
    assert complete(run_of())[1].n_before == 0


@pytest.mark.usefixtures("folder")
def test_damage_in_the_middle_costs_what_follows_and_no_more():
    whole, _ = complete(run_of())
    content = journal_path("out.csv").read_bytes().splitlines(keepends=True)
    content[2] = b"{broken\n"
    journal_path("out.csv").write_bytes(b"".join(content))
    assert complete(run_of())[0] == whole


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(TableError) as caught:
        Journal(str(tmp_path / "no" / "out.csv"), SETTINGS)
    assert str(caught.value) == (
        f"{tmp_path}/no/out.csv: cannot be written (No such file or directory), expected a folder "
        f"that exists and may be written to. Make the folder or choose another place with -o."
    )
    Journal(str(tmp_path / "no" / "out"), SETTINGS, makes_folders=True).__exit__(None, None, None)
    assert (tmp_path / "no").is_dir()


def test_a_second_process_is_refused(tmp_path):
    code = (
        "import sys; from emocli.pipeline.journal import Journal\n"
        "try: Journal(sys.argv[1], {})\n"
        "except Exception as error: print(error)"
    )
    output = str(tmp_path / "out.csv")
    with Journal(output, {}):
        done = subprocess.run([sys.executable, "-c", code, output], capture_output=True, text=True)
    assert done.stdout == (
        f"{output}: another emocli is writing it, expected to be the only one. Wait for it to "
        f"end, or choose another place with -o.\n"
    )


def test_a_system_without_locks_keeps_a_journal_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with Journal(str(tmp_path / "out.csv"), SETTINGS) as journal:
        assert journal.n_done == 0


def test_a_file_system_without_locks_keeps_a_journal_all_the_same(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.lockf", refuse)
    with Journal(str(tmp_path / "out.csv"), SETTINGS) as journal:
        assert journal.n_done == 0


def test_what_a_killed_run_had_written_of_its_table_is_cleared_away(tmp_path):
    """Not that of another table, and not what somebody else has put there."""
    output = tmp_path / "out.csv"
    names = (".out.csv.ab_12.draft", ".out.csv.notes", ".out.csv", ".other.csv.x.draft")
    for name in names:
        (tmp_path / name).write_text("x")
    with Journal(str(output), {}):
        assert all((tmp_path / name).exists() for name in names)
        killed = journal_path(str(output)).read_bytes()
    journal_path(str(output)).write_bytes(killed)
    with Journal(str(output), {}):
        assert [(tmp_path / name).exists() for name in names] == [False, True, True, True]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.usefixtures("folder")
def test_a_full_disk_is_said_and_the_rows_before_it_are_kept(monkeypatch):
    with Journal("out.csv", SETTINGS) as journal:
        blocks = run_of().blocks(journal=journal)
        next(blocks)
        done = journal.n_done
        with open("/dev/full", "wb", buffering=0) as full, monkeypatch.context() as patch:
            patch.setattr(journal, "_stream", full)
            with pytest.raises(TableError) as caught:
                list(blocks)
    assert str(caught.value) == (
        f"{journal_path('out.csv')}: cannot be written (No space left on device), expected room "
        f"for the rows. Free some space and run the same command again: it goes on from here."
    )
    with Journal("out.csv", SETTINGS) as journal:
        assert journal.n_done == done


@pytest.mark.usefixtures("folder")
def test_who_is_interrupted_while_writing_finds_what_was_written(monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    with Journal("out.csv", SETTINGS) as journal, monkeypatch.context() as patch:
        patch.setattr("emocli.pipeline.journal.SYNC_SECONDS", 0.0)
        patch.setattr("emocli.pipeline.journal.os.fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(run_of().blocks(journal=journal))
    with Journal("out.csv", SETTINGS) as again:
        assert again.n_done == journal.n_done > 0


@pytest.mark.usefixtures("folder")
def test_a_journal_that_is_damaged_while_it_is_read():
    run = run_of()
    with Journal("out.csv", SETTINGS) as journal:
        list(run.blocks(journal=journal))
        journal_path("out.csv").write_bytes(b"\n" * 100_000)
        with pytest.raises(TableError) as caught:
            list(run.recorded(journal))
    assert str(caught.value).endswith(
        "expected the rows that this run has written. Run the same command again."
    )


def test_header_is_readable(tmp_path):
    with Journal(str(tmp_path / "a.csv"), SETTINGS):
        first = journal_path(str(tmp_path / "a.csv")).read_bytes()
    assert json.loads(first) == {"journal": 1, "settings": SETTINGS}
