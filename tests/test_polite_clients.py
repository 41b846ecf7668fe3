"""Users in front of a limiter: who is refused waits, unless the scenario says otherwise; retries are told apart."""

from __future__ import annotations

import pytest

LIMITED = {
    "models": {"m": {"ttft": [0, 0], "decode_per_token": 0}},
    "limits": [{"kind": "token_bucket", "limit": 2, "rate": 4}],
    "throttling": {"retry_after": "milliseconds", "headers": ["openai"]},
}


def test_the_same_load_raw_and_polite(bench_run):
    done = bench_run(
        target={"simulator": LIMITED},
        models=["m"],
        load={"rate": 12, "duration": 2, "clients": ["raw", "polite"], "pause": 1},
        retries={"attempts": 30},
    )
    rows = done.requests.sort_values("seq").set_index("stage")
    raw, polite = rows.loc["raw"], rows.loc["polite"]
    begun = {stage.name: stage.began for stage in done.run.stages}
    assert list(raw["due"] - begun["raw"]) == pytest.approx(list(polite["due"] - begun["polite"]), abs=1e-6)
    assert set(raw["outcome"]) == {"ok", "throttled"}
    assert (raw["attempts"] == 1).all()
    assert (polite["outcome"] == "ok").all()
    assert (polite["attempts"] > 1).any()
    assert (polite["retry_waited"] > 0).equals(polite["attempts"] > 1)
    groups = done.run.groups
    assert groups.loc[("raw", "m", "all"), "attempts_per_request"] == 1.0
    assert groups.loc[("polite", "m", "all"), "attempts_per_request"] == polite["attempts"].sum() / len(polite)
    assert groups.loc[("polite", "m", "all"), "error_rate"] == 0.0


@pytest.mark.parametrize(("status", "outcome"), [(429, "throttled"), (403, "auth")])
def test_a_user_who_is_refused_waits_and_an_impatient_one_does_not(bench_run, status, outcome):
    limited = LIMITED | {"throttling": LIMITED["throttling"] | {"status": status}}
    users = {"target": {"simulator": limited}, "models": ["m"]}
    patient = bench_run(**users, load={"users": 3, "duration": 1.5}).requests
    impatient = bench_run("--set", "load.impatient=true", **users, load={"users": 3, "duration": 1.5}).requests
    assert (impatient["held_back"] == 0.0).all()
    assert (impatient["outcome"] == outcome).sum() > 5 * (patient["outcome"] == outcome).sum()
    for _, mine in patient.sort_values("sent").groupby("user"):
        refused = (mine["outcome"] == outcome).to_numpy()[:-1]
        assert list(mine["held_back"].to_numpy()[1:] > 0) == list(refused)
        waits = mine["held_back"].to_numpy()[1:][refused]
        assert (waits >= mine["retry_after"].to_numpy()[:-1][refused] - 1e-4).all()
