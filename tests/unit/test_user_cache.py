"""The folder for what can be made again."""

import sys

from emocli.asr.load import converted_dir
from emocli.pipeline import judge, train
from emocli.user_cache import cache_folder


def test_the_cache_is_where_the_system_keeps_such(monkeypatch, tmp_path):
    monkeypatch.delenv("EMOCLI_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / "emocli"
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "win32")
    assert cache_folder() == tmp_path / "emocli"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder().parts[-3:] == ("Library", "Caches", "emocli")
    monkeypatch.setenv("EMOCLI_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_one_folder_holds_all_of_it(monkeypatch, tmp_path):
    monkeypatch.setenv("EMOCLI_CACHE", str(tmp_path))
    found = [judge.default_cache(), train.default_cache(), converted_dir()]
    assert found == [tmp_path / name for name in ("judge", "training", "ctranslate2")]
