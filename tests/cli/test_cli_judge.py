"""``emocli judge`` against a server over real HTTP: what it asks, and what comes of any answer."""

import base64
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from chat_server import ChatServer, completion, opinion, refusal
from rich.console import Console
from typer.testing import CliRunner

from emocli.chat import batches, service
from emocli.cli import judge as command
from emocli.cli import progress
from emocli.cli.app import app
from emocli.cli.console import Talk

pytest.importorskip("openai", reason='needs pip install "emocli[judge]"')

KEY = "sk-secret-0123456789"
FUSED = """\
file,model,label,p_angry,p_happy,p_neutral,p_sad,text,speaker,emotion,clash,start,end,error
very-sad-1.wav,mean(a;b),sad,0.1,0.3,0.1,0.5,what a day,Anna,happy,yes,0,0.5,
very-sad-1.wav,mean(a;b),sad,0.1,0.3,0.1,0.5,and then,Bert,happy,no,0.5,1,
angry-2.wav,mean(a;b),angry,0.6,0.1,0.2,0.1,leave me alone,Anna,angry,yes,,,
gone-3.wav,mean(a;b),happy,0.1,0.7,0.1,0.1,hello,Carl,happy,yes,,,
failed-4.wav,mean(a;b),,,,,,,Carl,sad,,,,cannot be read
"""
OPINIONS = ("file", "label", "label_before", "judge_label", "judge_confidence", "judge_outcome")


@pytest.fixture
def server():
    running = ChatServer()
    yield running
    running.close()


@pytest.fixture
def folder(tmp_path, monkeypatch, rng):
    (tmp_path / "fused.csv").write_text(FUSED)
    for name in ("very-sad-1.wav", "angry-2.wav"):
        tone = 0.3 * np.sin(2 * np.pi * 180 * np.arange(16000) / 16000)
        soundfile.write(tmp_path / name, tone + 0.01 * rng.standard_normal(16000), 16000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("EMOCLI_JUDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(service, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(command, "LOOK_AGAIN_SECONDS", 0.01)
    return tmp_path


def run(*arguments, url=None):
    whom = ["--endpoint", url, "--judge-model", "m"] if url else []
    done = CliRunner().invoke(
        app, ["judge", *(arguments or ("fused.csv",)), *whom], env={"COLUMNS": "200"}
    )
    assert KEY not in done.stdout + done.stderr
    return done


def rows(done):
    return list(csv.DictReader(done.stdout.splitlines()))


def labels(done):
    return [row["label"] for row in rows(done)]


def outcomes(done):
    return [row["judge_outcome"] for row in rows(done)]


def cached(folder):
    return [p for p in (folder / "cache").rglob("*.json") if p.parent.name != "batches"]


def one_row(folder):
    """A table of one row, which is angry."""
    (folder / "one.csv").write_text("".join(FUSED.splitlines(True)[i] for i in (0, 3)))
    return "one.csv"


def stream(*texts):
    """The body of a completion that comes in pieces."""
    deltas = [{"delta": {"content": text}, "finish_reason": None} for text in texts]
    pieces = [*({"choices": [one]} for one in deltas), {"choices": [], "usage": {}}]
    return "".join(f"data: {json.dumps(one)}\n\n" for one in pieces).encode() + b"data: [DONE]\n\n"


OPINION = '{"label": "sad", "confidence": 0.95, "reason": "slow"}'
CUT = "the reply was cut at the limit of --max-tokens"


def ended(reply, reason):
    """A completion that ended for another reason than that the model was done."""
    reply["choices"][0]["finish_reason"] = reason
    return reply


KEPT = ["sad", "sad", "angry", "happy", ""]
"""Labels of the table as it was."""


def test_conflicts_are_reviewed_and_the_table_tells(folder, server):
    done = run("fused.csv", "--threshold", "0.8", url=server.url)
    assert done.exit_code == 3  # the last row has no prediction
    found = [[row[name] for name in OPINIONS] for row in rows(done)]
    assert found[:2] == [
        ["very-sad-1.wav", "sad", "sad", "sad", "0.95", "confirmed"],
        ["very-sad-1.wav", "sad", "sad", "", "", ""],
    ]
    assert found[2:] == [
        ["angry-2.wav", "sad", "angry", "sad", "0.95", "changed"],
        ["gone-3.wav", "sad", "happy", "sad", "0.95", "changed"],
        ["failed-4.wav", "", "", "", "", ""],
    ]
    changed = rows(done)[2]
    assert changed["judge_changed"] == "angry->sad"
    assert changed["judge_reason"] == "it sounds so"
    assert changed["model"] == "judge(mean(a;b),m)"
    assert (changed["p_angry"], changed["margin"]) == ("0.6", "0.4")
    assert "3 of 5 rows reviewed, 2 labels changed." in done.stderr
    assert "warning: 2 of 5 recordings could not be measured. The first: " in done.stderr


def test_the_judge_never_learns_file_speaker_or_truth(folder, server):
    run("fused.csv", "--all", "--turns", "2", "--truth", "fused.csv", url=server.url)
    assert len(server.asked) == 4
    told = json.dumps(server.asked)
    for secret in ("very-sad", ".wav", "gone-3", "Anna", "Bert", "Carl", 'emotion\\"', KEY):
        assert secret not in told
    second = next(one for one in server.asked if '"transcript": "and then"' in str(one))
    document = json.loads(second["messages"][1]["content"].split("\n")[1])
    assert document["said before"] == [{"speaker": "A", "text": "what a day"}]
    assert document["speaker"] == "B"
    assert set(document) == {
        "said before", "speaker", "transcript", "sound", "low and high are beside", "predicted",
        "probabilities",
    }  # fmt: skip
    assert document["low and high are beside"] == "all speakers"
    assert set(document["sound"]) == {
        "duration", "peak amplitude", "RMS amplitude", "loudness", "median pitch",
        "pitch range, 5th to 95th percentile", "speaking rate",
    }  # fmt: skip
    assert document["sound"]["duration"] == "0.50 s (medium)"


def test_the_request_is_as_it_should_be(folder, server):
    run("fused.csv", url=server.url)
    body = server.asked[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0.3, 1024)
    assert body["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"] == [
        "angry", "happy", "neutral", "sad",
    ]  # fmt: skip
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_a_judge_that_listens_gets_the_recording(folder, server):
    cut = np.zeros(16000 * 31, dtype=np.float32)
    cut[::100] = 0.5
    soundfile.write(folder / "gone-3.wav", cut, 16000)
    done = run("fused.csv", "--all", "--listen", url=server.url)
    assert outcomes(done) == ["confirmed", "confirmed", "changed", "changed", ""]
    found = {}
    for body in server.asked:
        system, user = body["messages"]
        text, sound = user["content"]
        assert "Listen to how it is said" in system["content"]
        assert (text["type"], sound["type"]) == ("text", "input_audio")
        assert sound["input_audio"]["format"] == "wav"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound["input_audio"]["data"])))
        document = json.loads(text["text"].split("\n")[1])
        found[document["transcript"]] = (len(samples) / rate, document["recording"])
        whole, _ = soundfile.read(folder / "very-sad-1.wav")
        if document["transcript"] == "and then":
            assert np.allclose(samples, whole[8000:], atol=1e-4)
    assert found == {
        "what a day": (0.5, "all of it"),
        "and then": (0.5, "all of it"),
        "leave me alone": (1.0, "all of it"),
        "hello": (30.0, "its first 30 s"),
    }
    run("fused.csv", "--all", "--listen", url=server.url)
    assert len(server.asked) == 4  # answers are kept by what was heard
    run("fused.csv", "--all", url=server.url)
    assert len(server.asked) == 8


def test_a_recording_that_cannot_be_read_is_judged_by_its_transcript(folder, server):
    done = run("fused.csv", "--listen", url=server.url)
    assert "2 of 5 recordings could not be measured. The first: gone-3.wav" in done.stderr
    deaf = next(body for body in server.asked if "hello" in str(body))
    assert "input_audio" not in str(deaf)
    assert "Listen" not in str(deaf)


@pytest.mark.parametrize("status", [400, 500])
def test_a_model_that_does_not_hear_says_so(folder, server, status):
    server.answer = lambda body: refusal(status, "audio input is not supported")
    done = run("fused.csv", "--listen", "--concurrency", "1", url=server.url)
    assert (done.exit_code, done.stdout) == (4, "")
    assert f"gave no answer (status {status}: audio input is not supported)" in done.stderr
    assert len(server.asked) == 3  # nothing else that could be left out is to blame


def test_prompts_and_batches_tell_of_the_recording(folder, server):
    done = run("fused.csv", "--listen", "--dry-run")
    assert "[recording]\nWAV of 32044 bytes\n" in done.stdout
    run("fused.csv", "--listen", "--batch", "--no-wait", url=server.url)
    lines = server.files["file-0"].splitlines()
    assert ["input_audio" in str(json.loads(line)) for line in lines] == [True, True, False]


def test_several_answers_are_a_posterior_of_the_judge(folder, server):
    given = {"sad": 0.9, "happy": 1.0, "angry": 0.5}
    order = iter(["sad", "sad", "happy", "sad"])
    server.answer = lambda body: opinion(label := next(order), given[label], f"so {label}")
    done = run(one_row(folder), "--samples", "4", "--threshold", "0.6", url=server.url)
    (row,) = rows(done)
    assert (row["judge_label"], row["judge_outcome"], row["judge_reason"]) == (
        "sad", "changed", "so sad",
    )  # fmt: skip
    assert float(row["judge_confidence"]) == pytest.approx(3 * 0.9 / 4)
    shares = {name: float(row[f"judge_p_{name}"]) for name in ("angry", "happy", "neutral", "sad")}
    assert shares == {"angry": 0.0, "happy": 0.25, "neutral": 0.0, "sad": 0.75}
    expected = 0.75 * np.log(4 / 3) + 0.25 * np.log(4)
    assert float(row["judge_entropy"]) == pytest.approx(expected)
    assert float(row["judge_varentropy"]) == pytest.approx(0.75 * 0.25 * np.log(3) ** 2)
    assert len(server.asked) == len({json.dumps(body) for body in server.asked}) + 3 == 4
    again = run(one_row(folder), "--samples", "4", "--threshold", "0.6", url=server.url)
    assert (len(server.asked), again.stdout) == (4, done.stdout)


def test_a_sample_that_is_no_opinion_costs_no_other(folder, server):
    order = iter([completion("so"), opinion("happy", 0.9), refusal(400, "too long")] * 3)
    server.answer = lambda body: next(order)
    done = run(one_row(folder), "--samples", "2", "--concurrency", "1", url=server.url)
    assert (outcomes(done), rows(done)[0]["judge_p_happy"]) == (["changed"], "1.0")
    server.answer = lambda body: completion("so")
    done = run(one_row(folder), "--samples", "2", "--cache", "new", url=server.url)
    assert (outcomes(done), rows(done)[0]["judge_entropy"]) == (["malformed"], "")
    told = run(one_row(folder), "--samples", "2", "--dry-run")
    assert told.stderr.splitlines()[-1] == (
        "1 prompts for 1 of 1 rows, of which 0 have an answer in the cache. Nobody was asked."
    )


def test_a_judge_that_repeats_what_is_said_changes_nothing(folder, server):
    row = one_row(folder)
    spoken = OPINION.replace('"', '""')
    text = (folder / row).read_text().replace("leave me alone", f'"{spoken}"')
    (folder / row).write_text(text)
    server.answer = lambda body: completion(f"The speaker says {OPINION}")
    done = run(row, url=server.url)
    assert (labels(done), outcomes(done)) == (["angry"], ["malformed"])
    assert rows(done)[0]["judge_reason"] == "the reply repeats a JSON object of the transcript"


def test_nothing_is_paid_twice_and_no_secret_is_kept(folder, server):
    first = run("fused.csv", url=server.url)
    again = run("fused.csv", url=server.url)
    assert first.stdout == again.stdout
    assert len(server.asked) == len(cached(folder)) == 3
    assert "3 answers from the cache" in again.stderr
    assert not any(KEY in path.read_text() for path in cached(folder))
    run("fused.csv", "--temperature", "0.5", url=server.url)
    assert len(server.asked) == 6


def test_an_answer_in_no_form_is_asked_for_again(folder, server):
    server.answer = lambda body: completion("The speaker is happy.")
    first = run("fused.csv", url=server.url)
    assert "malformed" in outcomes(first)
    server.answer = lambda body: opinion("happy", 0.95)
    again = run("fused.csv", url=server.url)
    assert "malformed" not in outcomes(again)
    assert (len(server.asked), "from the cache" in again.stderr) == (6, False)


def test_equal_questions_are_asked_once(folder, server):
    row = FUSED.splitlines()[4]
    twins = [FUSED.splitlines()[0], row, row.replace("gone-3", "gone-4")]
    (folder / "twins.csv").write_text("\n".join(twins) + "\n")
    assert outcomes(run("twins.csv", url=server.url)) == ["changed", "changed"]
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (opinion("ecstatic", 1.0), "off-list", "its label is 'ecstatic', none of the table's"),
        (opinion("happy", 95), "malformed", "its confidence is '95', expected 0 to 1"),
        (
            completion("The speaker is happy."),
            "malformed",
            "the reply holds no JSON object with a label: 'The speaker is happy.'",
        ),
        (completion(None), "malformed", "the reply is empty"),
        (ended(completion(""), "length"), "malformed", CUT),
        (ended(completion('{"label": "hap'), "length"), "malformed", CUT),
        (
            completion(None, refusal="I cannot help with that."),
            "refused",
            "the model refused: I cannot help with that.",
        ),
        (ended(completion(""), "content_filter"), "refused", "the model refused"),
        ({"choices": []}, "malformed", "the reply has no choices"),
        ({"choices": None}, "malformed", "the reply has no choices"),
        ({"choices": ["happy"]}, "malformed", "the reply has no choices"),
        ({"choices": [{"message": "happy"}]}, "malformed", "the reply has no message"),
        (ended(completion(None, reasoning_content=f"{OPINION}? Or"), "length"), "malformed", CUT),
        (
            completion([{"type": "refusal", "refusal": "No."}]),
            "refused",
            "the model refused: No.",
        ),
        (
            refusal(400, "filtered", code="content_filter"),
            "refused",
            "status 400: filtered",
        ),
    ],
)
def test_an_answer_that_is_no_opinion_keeps_the_label(folder, server, answer, outcome, reason):
    (folder / "one.csv").write_text("".join(FUSED.splitlines(True)[i] for i in (0, 3)))
    server.answer = lambda body: answer
    done = run("one.csv", url=server.url)
    assert (done.exit_code, labels(done), outcomes(done)) == (3, ["angry"], [outcome])
    assert rows(done)[0]["judge_reason"] == reason
    assert f"  {outcome} " in done.stderr
    assert f"Without an opinion: {reason}." in done.stderr
    assert "warning: No reply held an opinion; column judge_reason says why.\n" in done.stderr


def test_an_opinion_below_the_threshold_is_one(folder, server):
    (folder / "one.csv").write_text("".join(FUSED.splitlines(True)[i] for i in (0, 3)))
    server.answer = lambda body: opinion("happy", 0.8)
    done = run("one.csv", url=server.url)
    assert (done.exit_code, labels(done), outcomes(done)) == (0, ["angry"], ["unsure"])


def test_some_replies_without_an_opinion_are_no_failure(folder, server):
    server.answer = lambda body: completion("so") if "leave me" in str(body) else opinion()
    (folder / "two.csv").write_text("".join(FUSED.splitlines(True)[i] for i in (0, 1, 3)))
    done = run("two.csv", url=server.url)
    assert (done.exit_code, outcomes(done)) == (0, ["confirmed", "malformed"])


@pytest.mark.parametrize(
    "answer",
    [
        completion(
            [{"type": "text", "text": OPINION[:20]}, {"type": "text", "text": OPINION[20:]}]
        ),
        completion([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": OPINION}]),
        completion(None, reasoning_content=OPINION),
        completion("", reasoning_content=f"long thoughts {OPINION}"),
        completion(" ", reasoning=OPINION),
        completion(OPINION, reasoning_content="hm"),
        completion(None, tool_calls=[{"function": {"name": "review", "arguments": OPINION}}]),
        completion(f"The voice is slow.\n</think>\n\n{OPINION}"),
        {"choices": [{"index": 0, "text": OPINION, "finish_reason": "stop"}]},
        {**completion(OPINION), "error": None},
        completion(None, tool_calls=[{"function": {"arguments": json.loads(OPINION)}}]),
        completion(None, function_call={"name": "review", "arguments": OPINION}),
        completion([{"type": "thinking", "text": "{}"}, {"type": "text", "text": OPINION}]),
        (200, b"\xef\xbb\xbf" + json.dumps(completion(OPINION)).encode(), {}),
        (200, stream(OPINION[:20], OPINION[20:]), {"Content-Type": "text/event-stream"}),
        ended(completion(OPINION), "length"),
    ],
)
def test_a_reply_is_found_wherever_the_server_puts_it(folder, server, answer):
    (folder / "one.csv").write_text("".join(FUSED.splitlines(True)[i] for i in (0, 3)))
    server.answer = lambda body: answer
    done = run("one.csv", url=server.url)
    assert (done.exit_code, labels(done), outcomes(done)) == (0, ["sad"], ["changed"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"error": {"message": "rate limited", "code": 429}}, "status 429: rate limited"),
        ({"error": "busy"}, "an error instead of a reply: busy"),
        ({"error": {"code": 7}}, 'an error instead of a reply: {"code": 7}'),
        ({"error": {"message": f"no {KEY}"}}, "an error instead of a reply: no [key]"),
        ({"error": "busy", "code": 503}, "status 503: busy"),
        ({"object": "error", "message": "busy"}, "an error instead of a reply: busy"),
        ({"choices": [{"error": {"message": "busy", "code": 502}}]}, "status 502: busy"),
        ((200, b'data: {"error": "busy"}\n\n', {}), "an error instead of a reply: busy"),
        ((200, b"<html>\nbusy</html>", {}), "the reply is no JSON: <html> busy</html>"),
        ((200, b'{"choices": [{"mess', {}), 'the reply is no JSON: {"choices": [{"mess'),
        ((200, b"", {}), "the reply is no JSON: (empty)"),
    ],
)
def test_an_error_in_place_of_a_reply_is_asked_again(folder, server, answer, said):
    (folder / "one.csv").write_text("".join(FUSED.splitlines(True)[i] for i in (0, 3)))
    replies = [answer, opinion()]
    server.answer = lambda body: replies.pop(0)
    assert outcomes(run("one.csv", url=server.url)) == ["changed"]
    server.answer = lambda body: answer
    done = run("one.csv", "--retries", "1", "--cache", "new", url=server.url)
    assert done.exit_code == 4
    assert f"gave no answer ({said}), expected" in done.stderr
    assert len(server.asked) == 4


def test_a_reason_that_rows_share_is_told_once(folder, server):
    server.answer = lambda body: completion("")
    done = run(many(folder, 12), url=server.url)
    assert "Without an opinion: the reply is empty (12 rows).\n" in done.stderr


REFUSALS = {
    "temperature": (400, "Unsupported value: 'temperature' does not support 0.3 with this model."),
    "system": (400, "System role not supported"),
    "roles": (422, "Conversation roles must alternate user/assistant"),
    "length": (400, "Use 'max_completion_tokens' instead of 'max_tokens'."),
    "grammar": (500, "grammar error: unsupported"),
    "not implemented": (501, "response_format is not implemented"),
    "schema": (400, "json_schema is not known"),
    "bounds": (400, f"Invalid request. {'So it is. ' * 30} 'maxLength' is not permitted."),
    "not found": (404, "No endpoints found that support response_format"),
}
LEFT_OUT = {
    "temperature": "temperature",
    "system": "system role",
    "roles": "system role",
    "length": "",
    "grammar": "schema, JSON mode",
    "not implemented": "schema, JSON mode",
    "schema": "schema",
    "bounds": "bounds in the schema",
    "not found": "schema, JSON mode",
}


def refused_part(body, what):
    """Whether a request has what a server refuses."""
    return {
        "temperature": "temperature" in body,
        "system": body["messages"][0]["role"] == "system",
        "roles": body["messages"][0]["role"] == "system",
        "length": "max_tokens" in body,
        "grammar": "response_format" in body,
        "not implemented": "response_format" in body,
        "schema": "schema" in str(body.get("response_format")),
        "bounds": "maxLength" in str(body.get("response_format")),
        "not found": "response_format" in body,
    }[what]


@pytest.mark.parametrize("refused", [[what] for what in REFUSALS] + [list(REFUSALS)])
def test_what_a_server_refuses_is_left_out_and_remembered(folder, server, refused):
    def answer(body):
        found = next((what for what in refused if refused_part(body, what)), None)
        return refusal(*REFUSALS[found]) if found else opinion("sad")

    server.answer = answer
    done = run("fused.csv", "--concurrency", "1", "--retries", "0", url=server.url)
    assert done.exit_code == 3  # for the row that has no prediction
    assert outcomes(done) == ["confirmed", "", "changed", "changed", ""]
    assert not any(refused_part(server.asked[-1], what) for what in refused)
    n_refused = sum(any(refused_part(body, what) for what in refused) for body in server.asked)
    assert len(server.asked) == 3 + n_refused
    assert not any(
        refused_part(body, what) for body in server.asked[n_refused:] for what in refused
    )
    told = re.search(r"Asked without what the server refuses: (.*)\.\n", done.stderr)
    if len(refused) == 1:
        assert (told[1] if told else "") == LEFT_OUT[refused[0]]


@pytest.mark.parametrize("code", [None, "400"])
def test_a_complaint_may_name_a_field_or_come_with_status_200(folder, server, code):
    error = {"message": "unsupported value", "param": "temperature", "code": code}
    refused = (200 if code else 400, json.dumps({"error": error}).encode(), {})
    server.answer = lambda body: refused if "temperature" in body else opinion()
    run("fused.csv", "--concurrency", "1", url=server.url)
    assert (len(server.asked), "response_format" in server.asked[-1]) == (4, True)


def test_rules_go_before_the_utterance_for_a_model_without_a_system_s_role(folder, server):
    def answer(body):
        is_refused = body["messages"][0]["role"] == "system"
        return refusal(400, "System role not supported") if is_refused else opinion("sad")

    server.answer = answer
    run("fused.csv", url=server.url)
    (message,) = server.asked[-1]["messages"]
    assert message["role"] == "user"
    assert message["content"].startswith("You are an expert in emotional speech.")
    assert message["content"].rstrip().endswith("END UTTERANCE")


def test_a_server_that_works_on_one_at_a_time_is_not_hurried(folder, server):
    """Each reply takes 0.1 s and the others wait, so eight at a time would all be late."""
    one_at_a_time = threading.Lock()

    def answer(body):
        with one_at_a_time:
            time.sleep(0.1)
        return opinion("sad")

    server.answer = answer
    done = run(many(folder), "--timeout", "0.45", "--retries", "3", url=server.url)
    assert done.exit_code == 0
    assert set(outcomes(done)) <= {"confirmed", "changed"}


def test_a_table_in_another_folder_than_its_recordings_finds_them(folder, server):
    (folder / "out").mkdir()
    (folder / "fused.csv").rename(folder / "out" / "fused.csv")
    done = run("out/fused.csv", "--dry-run")
    assert "2 of 5 recordings could not be measured. The first: gone-3.wav" in done.stderr


def test_a_server_that_is_busy_is_given_its_time(folder, server):
    (folder / "one.csv").write_text("".join(FUSED.splitlines(True)[i] for i in (0, 3)))
    replies = [
        refusal(429, "slow down", {"Retry-After": "0.3"}),
        refusal(500, "oops"),
        refusal(503, "starting", {"Retry-After": "soon"}),
        opinion("sad"),
    ]
    server.answer = lambda body: replies.pop(0)
    begun = time.monotonic()
    assert outcomes(run("one.csv", url=server.url)) == ["changed"]
    assert time.monotonic() - begun > 0.3
    assert len(server.asked) == 4


def test_retry_after_may_be_a_date():
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert service.asked_wait({"retry-after": moment}) == pytest.approx(60, abs=2)
    assert service.asked_wait({"retry-after": "1.5"}) == 1.5
    assert service.asked_wait({"retry-after": "-3"}) is None
    assert service.asked_wait({}) is None


def test_a_connection_that_is_cut_off_is_tried_again(folder, server):
    (folder / "one.csv").write_text("".join(FUSED.splitlines(True)[i] for i in (0, 3)))
    cut = (200, json.dumps(opinion()).encode(), {"x-cut": "yes"})
    replies = [cut, opinion()]
    server.answer = lambda body: replies.pop(0)
    assert outcomes(run("one.csv", url=server.url)) == ["changed"]
    assert len(server.asked) == 2


def test_a_late_answer_keeps_the_label_and_costs_the_others_nothing(folder, server):
    def answer(body):
        if "leave me alone" in str(body):
            time.sleep(1.0)
        return opinion()

    server.answer = answer
    done = run("fused.csv", "--timeout", "0.5", url=server.url)
    assert done.exit_code == 3
    assert outcomes(done) == ["confirmed", "", "late", "changed", ""]
    assert "Without an opinion: no answer within the 0.5 s of --timeout." in done.stderr
    assert len(cached(folder)) == 2


def test_a_server_that_trickles_is_late_too(folder, server):
    slow = (200, json.dumps(opinion()).encode(), {"x-trickle": "0.1"})
    server.answer = lambda body: slow if "leave me" in str(body) else opinion()
    done = run("fused.csv", "--timeout", "0.6", url=server.url)
    assert outcomes(done) == ["confirmed", "", "late", "changed", ""]


@pytest.mark.parametrize("known", ["json_object", None])
def test_servers_that_know_fewer_forms_are_asked_more_simply(folder, server, known):
    def answer(body):
        wanted = body.get("response_format", {}).get("type")
        return opinion() if wanted == known else refusal(400, f"unknown response_format {wanted}")

    server.answer = answer
    done = run("fused.csv", "--concurrency", "1", url=server.url)
    assert outcomes(done) == ["confirmed", "", "changed", "changed", ""]
    assert len(server.asked) == (4 if known else 5)  # what was learned holds for the others


def test_servers_that_call_the_length_otherwise_are_understood(folder, server):
    def answer(body):
        wanted = "use max_completion_tokens instead of max_tokens"
        return refusal(400, wanted) if "max_tokens" in body else opinion()

    server.answer = answer
    run("fused.csv", url=server.url)
    assert server.asked[-1]["max_completion_tokens"] == 1024
    assert "response_format" in server.asked[-1]


def test_one_question_that_the_server_refuses_leaves_the_others_alone(folder, server):
    server.answer = lambda body: (
        refusal(400, f"too long \x1b[31m for {KEY}") if "leave me" in str(body) else opinion()
    )
    done = run("fused.csv", url=server.url)
    assert done.exit_code == 3
    assert outcomes(done) == ["confirmed", "", "failed", "changed", ""]
    assert "Without an opinion: status 400: too long [31m for [key]." in done.stderr


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (refusal(401, f"Incorrect API key provided: {KEY}"), "does not accept the key"),
        (refusal(403, "no"), "does not let us in"),
        (refusal(404, "no model m"), "knows no such model or address"),
        (
            refusal(429, "quota", code="insufficient_quota"),
            "says that nothing is left to spend",
        ),
        (refusal(500, "oops"), "gave no answer (status 500: oops)"),
        (
            refusal(400, "temperature must be 1"),
            "gave no answer (status 400: temperature must be 1)",
        ),
    ],
)
def test_a_server_of_no_use_is_status_4(folder, server, answer, what):
    server.answer = lambda body: answer
    done = run("fused.csv", "--retries", "1", url=server.url)
    assert (done.exit_code, done.stdout) == (4, "")
    assert done.stderr.splitlines()[-1] == (
        f"emocli: {server.url} {what}, expected a server that speaks OpenAI's protocol. "
        f"Check --endpoint, --judge-model and the key in the environment (--key-env)."
    )


def test_no_server_is_status_4(folder):
    done = run("fused.csv", "--retries", "0", url="http://user:pass@127.0.0.1:9/v1")
    assert (done.exit_code, done.stdout) == (4, "")
    assert "emocli: http://127.0.0.1:9/v1 gave no answer (no connection (ConnectError))" in (
        done.stderr
    )


def many(folder, n=30):
    header, row = FUSED.splitlines()[0], FUSED.splitlines()[4]
    lines = [row.replace("hello", f"hello {i}").replace("gone-3", f"gone-{i}") for i in range(n)]
    (folder / "many.csv").write_text("\n".join([header, *lines]) + "\n")
    return "many.csv"


def test_a_server_that_dies_is_not_asked_on_and_on(folder, server):
    def answer(body):
        return opinion() if len(server.asked) <= 3 else refusal(500, "dead")

    server.answer = answer
    done = run(many(folder), "--retries", "0", "--concurrency", "1", url=server.url)
    assert done.exit_code == 3
    assert outcomes(done) == ["changed"] * 3 + ["failed"] * 27
    assert len(server.asked) == 8


def test_no_more_questions_at_a_time_than_asked_for(folder, server):
    def answer(body):
        for _ in range(200):  # until the third is here, which comes after the first quick reply
            if len(server.asked) <= 2 or server.most >= 3:
                break
            time.sleep(0.01)
        return opinion()

    server.answer = answer
    assert run(many(folder), "--concurrency", "3", url=server.url).exit_code == 0
    assert (server.most, len(server.asked)) == (3, 30)


def test_max_calls_limits_what_is_asked_now(folder, server):
    done = run("fused.csv", "--max-calls", "1", url=server.url)
    assert outcomes(done) == ["confirmed", "", "not asked", "not asked", ""]
    assert "2 questions left by --max-calls" in done.stderr
    done = run("fused.csv", "--max-calls", "2", url=server.url)
    assert outcomes(done) == ["confirmed", "", "changed", "changed", ""]
    assert len(server.asked) == 3


def test_a_dry_run_prints_prompts_and_asks_nobody(folder):
    done = run("fused.csv", "--dry-run")
    assert done.exit_code == 0
    assert done.stdout.count("--- prompt ") == 3
    assert '"transcript": "leave me alone"' in done.stdout
    assert done.stderr.splitlines()[-1] == (
        "3 prompts for 3 of 5 rows, of which 0 have an answer in the cache. Nobody was asked."
    )


def test_hopeless_labels_can_be_kept_from_the_judge(folder, server):
    done = run("fused.csv", "--min-probability", "0.15", url=server.url)
    # sad has 0.1 in the third and fourth row.
    assert outcomes(done) == ["confirmed", "", "off-list", "off-list", ""]
    assert labels(done) == KEPT


def test_the_truth_tells_gain_loss_and_other_thresholds(folder, server):
    (folder / "four.csv").write_text("".join(FUSED.splitlines(True)[:5]))
    server.answer = lambda body: opinion("happy", 0.9 if "what a day" in str(body) else 0.7)
    done = run("four.csv", "--truth", "four.csv", url=server.url)
    told = [" ".join(line.split()) for line in done.stderr.splitlines()]
    assert "sad happy 1 1 0" in told
    assert any(line.startswith("no judge 0 0 0 0.5000") for line in told)
    assert any(line.startswith("0.6 2 1 1 0.5000") for line in told)
    assert any(line.startswith("0.8 (used) 1 1 0 0.7500") for line in told)
    assert any(line.startswith("0.9 0 0 0 0.5000") for line in told)


def test_a_reference_keeps_what_low_and_high_mean(folder, server):
    run("fused.csv", "--save-reference", "r.json", "--dry-run")
    whole = run("fused.csv", "--dry-run").stdout
    (folder / "one.csv").write_text("".join(FUSED.splitlines(True)[i] for i in (0, 1)))
    alone = run("one.csv", "--dry-run").stdout
    beside = run("one.csv", "--reference", "r.json", "--dry-run").stdout
    assert "(medium)" in whole
    assert "(medium)" not in alone
    prompt = beside.split("\n", 1)[1].split("[schema]")[0]
    assert prompt in whole
    missing = run("one.csv", "--reference", "no.json", "--dry-run")
    assert missing.stderr == (
        "emocli: no.json: cannot be read (No such file or directory), expected what "
        "--save-reference wrote. Check the path.\n"
    )


def test_conflicts_can_be_found_in_the_inputs(folder, server):
    header = "file,p_angry,p_happy,p_neutral,p_sad\n"
    (folder / "speech.csv").write_text(header + "angry-2.wav,0.9,0.1,0,0\ngone-3.wav,0,1,0,0\n")
    (folder / "text.csv").write_text(header + "angry-2.wav,0.9,0.1,0,0\ngone-3.wav,1,0,0,0\n")
    lines = FUSED.splitlines(True)
    (folder / "two.csv").write_text("".join((lines[0], lines[3], lines[4])))
    done = run("two.csv", "--compare", "speech.csv", "--compare", "text.csv", url=server.url)
    assert outcomes(done) == ["", "changed"]


def test_usage_errors(folder):
    def misused(*arguments, url=None):
        done = run(*arguments, url=url)
        assert (done.exit_code, done.stdout) == (2, "")
        return " ".join(done.stderr.replace("│", " ").split())

    whom = "--endpoint and --judge-model say whom to ask; --dry-run asks nobody"
    assert whom in misused("fused.csv")
    again = "--samples asks the same again, and --temperature 0 answers the same"
    assert again in misused("fused.csv", "--samples", "2", "--temperature", "0", url="http://x/v1")
    wait = "--no-wait says what to do while a batch is open, and there is no --batch"
    assert wait in misused("fused.csv", "--no-wait", url="http://x/v1")


def test_tables_that_cannot_be_reviewed_are_refused(folder):
    (folder / "bare.csv").write_text("file,p_sad,p_happy\na.wav,0.5,0.5\n")
    (folder / "single.csv").write_text("file,label,text\na.wav,sad,so\n")
    assert run("bare.csv", "--dry-run").stderr == (
        "emocli: No column text among file, label, p_sad, p_happy, entropy, varentropy, margin, "
        "normalized_entropy, expected transcripts. Fuse with a table that has them, as emocli "
        "transcribe writes it.\n"
    )
    assert run("single.csv", "--dry-run").stderr == (
        "emocli: The table knows sad, expected two labels or more to choose from. "
        "Give a table with p_ columns, as emocli fuse writes it.\n"
    )
    assert run("fused.csv", url="localhost:8000").stderr.splitlines()[-1] == (
        "emocli: --endpoint localhost:8000 is no address, expected one such as "
        "http://localhost:8000/v1. Write it with http:// or https://."
    )


def test_without_the_client_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    done = run("fused.csv", url="http://127.0.0.1:9/v1")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        "emocli: A judge cannot be asked without openai, which is not installed. "
        'Install it with pip install "emocli[judge]".'
    )


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_answers_that_were_paid_outlive_an_interruption(folder, server, number, status):
    def answer(body):
        if "leave me" in str(body):
            time.sleep(3.0)
        return opinion()

    server.answer = answer
    whom = ["--endpoint", server.url, "--judge-model", "m"]
    arguments = [sys.executable, "-m", "emocli", "judge", "fused.csv", *whom]
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    for _ in range(600):
        if len(cached(folder)) == 2:
            break
        time.sleep(0.05)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (status, "")
    told = "answers that came are kept, and the same command goes on."
    assert (told in stderr) is (number == signal.SIGINT)
    server.answer = lambda body: opinion()
    assert outcomes(run("fused.csv", url=server.url)) == ["confirmed", "", "changed", "changed", ""]
    assert len(server.asked) == 4


# Batches


def open_notes(folder):
    return list((folder / "cache").glob("*/batches/*.json"))


def test_a_batch_can_be_left_and_taken_up_again(folder, server):
    first = run("fused.csv", "--batch", "--no-wait", url=server.url)
    assert (first.exit_code, first.stdout) == (3, "")
    assert "3 questions are on their way; the same command takes them up." in first.stderr
    assert len(open_notes(folder)) == 1
    again = run("fused.csv", "--batch", "--no-wait", url=server.url)
    assert (again.exit_code, len(server.batches)) == (3, 1)
    server.end_batches()
    done = run("fused.csv", "--batch", url=server.url)
    assert outcomes(done) == ["confirmed", "", "changed", "changed", ""]
    assert (len(server.batches), open_notes(folder)) == (1, [])
    assert run("fused.csv", url=server.url).stdout == done.stdout
    assert server.asked == []
    (batch,) = server.batches.values()
    assert batch["endpoint"] == "/v1/chat/completions"
    line = json.loads(server.files[batch["input_file_id"]].splitlines()[0])
    assert line["body"]["max_completion_tokens"] == 1024
    assert not any(KEY.encode() in content for content in server.files.values())


def test_waiting_for_a_batch(folder, server, monkeypatch):
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            server.end_batches()

    monkeypatch.setattr(command, "time", SimpleNamespace(sleep=sleep))
    done = run("fused.csv", "--batch", url=server.url)
    assert outcomes(done) == ["confirmed", "", "changed", "changed", ""]
    assert waited[:3] == [0.01] * 3


def test_an_expired_batch_keeps_what_was_answered(folder, server):
    run("fused.csv", "--batch", "--no-wait", url=server.url)
    server.end_batches("expired", answered=lambda n: n == 1)
    done = run("fused.csv", "--batch", url=server.url)
    assert done.exit_code == 3
    assert outcomes(done) == ["late", "", "changed", "late", ""]
    assert "no answer in a batch that was expired" in done.stderr
    run("fused.csv", "--batch", "--no-wait", url=server.url)
    again = list(server.batches.values())[1]
    assert len(server.files[again["input_file_id"]].splitlines()) == 2


def test_errors_and_nonsense_in_a_batch_are_no_answers(folder, server):
    server.answer = lambda body: (
        refusal(400, f"bad {KEY}") if "leave me" in str(body) else opinion()
    )
    run("fused.csv", "--batch", "--no-wait", url=server.url)
    server.end_batches()
    (batch,) = server.batches.values()
    output = batch["output_file_id"]
    server.files[output] = b'nonsense\n[]\n{"custom_id": "x"}\n' + server.files[output]
    done = run("fused.csv", "--batch", url=server.url)
    assert outcomes(done) == ["confirmed", "", "failed", "changed", ""]


def test_a_failed_batch_is_an_error_and_can_be_sent_again(folder, server):
    run("fused.csv", "--batch", "--no-wait", url=server.url)
    (batch,) = server.batches.values()
    batch |= {"status": "failed", "errors": {"data": [{"message": "bad line"}], "object": "list"}}
    done = run("fused.csv", "--batch", url=server.url)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        f"emocli: {server.url} did not accept the batch (bad line), expected one that it works "
        f"on. Correct the options, or leave out --batch."
    )
    assert run("fused.csv", "--batch", "--no-wait", url=server.url).exit_code == 3
    assert len(server.batches) == 2


def test_a_batch_that_was_sent_and_not_noted_is_found(folder, server):
    run("fused.csv", "--batch", "--no-wait", url=server.url)
    (note,) = open_notes(folder)
    note.write_text(json.dumps({**json.loads(note.read_text()), "batch": ""}))
    server.end_batches()
    done = run("fused.csv", "--batch", url=server.url)
    assert outcomes(done) == ["confirmed", "", "changed", "changed", ""]
    assert len(server.batches) == 1


def test_a_batch_that_was_noted_and_not_sent_is_sent(folder, server):
    run("fused.csv", "--batch", "--no-wait", url=server.url)
    (note,) = open_notes(folder)
    note.write_text(json.dumps({**json.loads(note.read_text()), "batch": ""}))
    server.batches.clear()
    run("fused.csv", "--batch", "--no-wait", url=server.url)
    assert (len(server.batches), len(open_notes(folder))) == (1, 1)


def test_a_server_without_batches_says_so(folder, server):
    done = run("fused.csv", "--batch", url=server.url.replace("/v1", "/none"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        f"emocli: {server.url.replace('/v1', '/none')} knows no such batch, expected a server "
        f"with OpenAI's Batch API. Leave out --batch."
    )
    gone = run("fused.csv", "--batch", "--retries", "0", url="http://127.0.0.1:9/v1")
    assert gone.exit_code == 4
    assert "http://127.0.0.1:9/v1 gave no answer, expected a server" in gone.stderr


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_for_a_batch(folder, server, status):
    server.no_files = refusal(status, f"bad key {KEY}")
    done = run("fused.csv", "--batch", "--retries", "0", url=server.url)
    assert (done.exit_code, done.stdout) == (4, "")
    assert done.stderr.splitlines()[-1] == (
        f"emocli: {server.url} does not let us in, expected a server that speaks OpenAI's "
        f"protocol. Check --endpoint, --judge-model and the key in the environment (--key-env)."
    )


def test_a_batch_that_is_not_taken(folder, server):
    server.no_files = refusal(500, f"no room for {KEY}")
    done = run("fused.csv", "--batch", "--retries", "0", url=server.url)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        f"emocli: {server.url} did not take the batch (status 500: no room for [key]), "
        f"expected a server with OpenAI's Batch API. Try again later, or leave out --batch."
    )
    server.no_files = None
    assert run("fused.csv", "--batch", "--no-wait", url=server.url).exit_code == 3
    assert (len(server.batches), len(open_notes(folder))) == (1, 1)


@pytest.mark.parametrize(
    ("limit", "value", "n_batches"),
    [("LARGEST_BATCH", 2, 2), ("LARGEST_FILE", 1, 3), ("LARGEST_BATCH", 3, 1)],
)
def test_more_questions_than_a_batch_takes(folder, server, monkeypatch, limit, value, n_batches):
    monkeypatch.setattr(batches, limit, value)
    run("fused.csv", "--batch", "--no-wait", url=server.url)
    assert (len(server.batches), len(open_notes(folder))) == (n_batches, n_batches)
    server.end_batches()
    done = run("fused.csv", "--batch", url=server.url)
    assert outcomes(done) == ["confirmed", "", "changed", "changed", ""]
    assert open_notes(folder) == []


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"keys": 1}'])
def test_a_damaged_note_is_none(folder, server, content):
    run("fused.csv", "--batch", "--no-wait", url=server.url)
    (note,) = open_notes(folder)
    damaged = note.with_name("damaged.json")
    damaged.write_bytes(content)
    server.end_batches()
    assert outcomes(run("fused.csv", "--batch", url=server.url))[0] == "confirmed"
    assert open_notes(folder) == [damaged]


# For people


def test_the_readable_table_has_the_rows_that_were_reviewed(folder, server):
    server.answer = lambda body: (
        completion("no idea") if "leave me" in str(body) else opinion(reason="[so] up")
    )
    done = run("fused.csv", "-f", "table", url=server.url)
    assert [" ".join(line.split()) for line in done.stdout.splitlines()] == [
        "file fused judge confidence label outcome reason",
        "─" * 130,
        "very-sad-1.wav at 0.00 s sad sad 0.95 sad confirmed [so] up",
        "angry-2.wav angry angry malformed the reply holds no JSON object with a label: 'no idea'",
        "gone-3.wav happy sad 0.95 sad changed [so] up",
        "Not up for review: 2 rows.",
    ]


def test_waiting_for_a_batch_is_shown_on_a_terminal(folder, server, monkeypatch):
    drawn = io.StringIO()
    terminal = Console(file=drawn, force_terminal=True, width=100)
    monkeypatch.setattr(progress, "err", lambda: terminal)
    monkeypatch.setattr(Talk, "live", True)
    sleep = SimpleNamespace(sleep=lambda seconds: server.end_batches())
    monkeypatch.setattr(command, "time", sleep)
    done = run("fused.csv", "--batch", url=server.url)
    assert outcomes(done) == ["confirmed", "", "changed", "changed", ""]
    assert "0 of 3 questions" in drawn.getvalue()
